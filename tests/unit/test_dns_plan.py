# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan does to a zone: everything it should, and nothing to what isn't ours."""

from __future__ import annotations

from collections.abc import Iterable

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._dns.marks import Mark, mark_name, read_marks
from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Adoption, Plan, PlanRefused, Scope, make_plan
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RRset, Snapshot, make_rrset, zone_name
from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import MESSAGE_LIMIT, Server, TsigKey
from tests.support.examples import examples

ORIGIN = zone_name("meet.test")
OURS = Scope("ours", "sunflower", ORIGIN)


def rr(name: str, rtype: str, *values: str, ttl: int = 300) -> RRset:
    return make_rrset(name, rtype, ttl, values, ORIGIN)


def zone(*rrsets: RRset) -> dict[tuple[str, str], RRset]:
    return {rrset.key: rrset for rrset in rrsets}


def mark(label: str, *types: str, owner: str = "ours", member: str = "sunflower") -> RRset:
    return Mark(label, owner, member, frozenset(types)).rrset()


def plan(current: Snapshot, desired: Iterable[RRset], scope: Scope = OURS, adopt: Iterable[str] = (), share: float = 1.0) -> Plan:
    return make_plan(current, desired, scope, Adoption(adopt, ORIGIN), share)


def applied(current: Snapshot, made: Plan) -> dict[tuple[str, str], RRset]:
    """The zone after the plan, as a server would do it: all deletions, then all additions."""
    after = dict(current)
    for change in made.changes:
        if change.before is not None:
            assert after.pop(change.before.key) == change.before
    for change in made.changes:
        if change.after is not None:
            assert change.after.key not in after
            after[change.after.key] = change.after
    return after


def shown(made: Plan) -> list[tuple[str, str, str]]:
    return [(change.rrset.name, change.rrset.type, change.action) for change in made.changes]


def refusal(current: Snapshot, desired: Iterable[RRset], **options: object) -> str:
    with pytest.raises(PlanRefused) as caught:
        plan(current, desired, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_new_name_gets_records_and_mark() -> None:
    assert shown(plan({}, [rr("s", "A", "192.0.2.1"), rr("s", "AAAA", "::1")])) == [
        ("_coop.s", "TXT", "create"),
        ("s", "A", "create"),
        ("s", "AAAA", "create"),
    ]


def test_nothing_to_do() -> None:
    assert not plan(zone(rr("s", "A", "192.0.2.1"), mark("s", "A")), [rr("S", "a", "192.0.2.1")])


def test_drift_is_repaired() -> None:
    assert shown(plan(zone(rr("s", "A", "192.0.2.9"), mark("s", "A")), [rr("s", "A", "192.0.2.1")])) == [("s", "A", "update")]
    assert shown(plan(zone(mark("s", "A")), [rr("s", "A", "192.0.2.1")])) == [("s", "A", "create")]


def test_type_no_longer_wanted_goes_and_neighbours_stay() -> None:
    current = zone(rr("s", "A", "192.0.2.1"), rr("s", "AAAA", "::1"), rr("s", "TXT", "by hand"), mark("s", "A", "AAAA"))
    made = plan(current, [rr("s", "A", "192.0.2.1")])
    assert applied(current, made) == zone(rr("s", "A", "192.0.2.1"), rr("s", "TXT", "by hand"), mark("s", "A"))


def test_unmarked_is_never_touched() -> None:
    current = zone(rr("www", "A", "192.0.2.9"))
    assert "adopt: ['www/A']" in refusal(current, [rr("www", "A", "192.0.2.1")])
    assert "adopt: ['www/A']" in refusal(current, [rr("www", "A", "192.0.2.9")]), "not even one that looks right already"
    assert not plan(current, [])


@pytest.mark.parametrize("adopt", ["www", "www/A", "WWW.meet.test./a"])
def test_adoption_by_name(adopt: str) -> None:
    current = zone(rr("www", "A", "192.0.2.9"), rr("www", "TXT", "by hand"))
    made = plan(current, [rr("www", "A", "192.0.2.1")], adopt=[adopt])
    assert applied(current, made) == zone(rr("www", "A", "192.0.2.1"), rr("www", "TXT", "by hand"), mark("www", "A"))


def test_adoption_of_another_type_does_not_count() -> None:
    assert "www A exists" in refusal(zone(rr("www", "A", "192.0.2.9")), [rr("www", "A", "192.0.2.1")], adopt=["www/AAAA"])


def test_names_of_others() -> None:
    desired = [rr("s", "A", "192.0.2.1")]
    assert "deployment 'theirs'" in refusal(zone(rr("s", "A", "192.0.2.1"), mark("s", "A", owner="theirs")), desired)
    assert "marked for 'rosa'" in refusal(zone(rr("s", "A", "192.0.2.1"), mark("s", "A", member="rosa")), desired)
    something_else = RRset("_coop.s", "TXT", 1, rr("x", "TXT", "?").rdatas)
    assert "no mark of this tool" in refusal(zone(rr("s", "A", "192.0.2.1"), something_else), desired)
    foreign = zone(rr("s", "A", "192.0.2.1"), mark("s", "A", owner="theirs"))
    assert "deployment 'theirs'" in refusal(foreign, desired, adopt=["s"]), "adoption is for unmarked records only"


def test_prune_only_our_own() -> None:
    theirs = [rr("r", "A", "192.0.2.2"), mark("r", "A", member="rosa"), rr("t", "A", "192.0.2.3"), mark("t", "A", owner="theirs")]
    current = zone(rr("s", "A", "192.0.2.1"), mark("s", "A"), rr("hand", "A", "192.0.2.4"), *theirs)
    assert applied(current, plan(current, [])) == zone(rr("hand", "A", "192.0.2.4"), *theirs)


def test_cname_and_others() -> None:
    a = zone(rr("s", "A", "192.0.2.1"), mark("s", "A"))
    assert applied(a, plan(a, [rr("s", "CNAME", "h.test.org")])) == zone(rr("s", "CNAME", "h.test.org"), mark("s", "CNAME"))
    cname = zone(rr("s", "CNAME", "h.test.org"), mark("s", "CNAME"))
    assert applied(cname, plan(cname, [rr("s", "A", "192.0.2.1")])) == a
    assert "can't stand beside a CNAME" in refusal(zone(rr("s", "TXT", "x")), [rr("s", "CNAME", "h.test.org")])
    assert "can't stand beside A" in refusal(zone(rr("s", "CNAME", "h.test.org")), [rr("s", "A", "192.0.2.1")])
    adopted = plan(zone(rr("s", "CNAME", "h.test.org")), [rr("s", "A", "192.0.2.1")], adopt=["s/CNAME"])
    assert ("s", "CNAME", "delete") in shown(adopted)


def test_wrong_lists() -> None:
    assert "twice" in refusal({}, [rr("s", "A", "192.0.2.1"), rr("S", "A", "192.0.2.2")])
    assert "can't be a CNAME" in refusal({}, [rr("@", "CNAME", "h.test.org")])
    assert "stand beside A" in refusal({}, [rr("s", "A", "192.0.2.1"), rr("s", "CNAME", "h.test.org")])
    assert "NS records belong" in refusal({}, [rr("@", "NS", "ns.test.org")])
    assert "under _coop" in refusal({}, [rr("_coop.x", "TXT", "x")])
    assert "wildcard can't be a delegation" in refusal({}, [rr("*.x", "NS", "ns.test.org")])
    long = ".".join(["l" * 61] * 3 + ["l" * 55])
    assert "too long: with the _coop of its mark" in refusal({}, [rr(long, "TXT", "x")])


def test_delegations_hide_nothing() -> None:
    cut = rr("sub", "NS", "ns1.sub.meet.test", "ns.test.org")
    glue, below = rr("ns1.sub", "A", "192.0.2.53"), rr("www.sub", "A", "192.0.2.1")
    assert len(plan({}, [cut, glue]).changes) == 4
    assert "www.sub A would never be answered: sub NS" in refusal({}, [cut, below])
    assert "www.sub A would never be answered: sub NS" in refusal(zone(cut), [below])
    assert "sub TXT would never be answered" in refusal(zone(cut), [rr("sub", "TXT", "x")])
    assert "sub NS would hide the existing www.sub A" in refusal(zone(below), [cut])
    both = zone(cut, mark("sub", "NS"), below)
    assert not plan(both, [cut]), "what was hidden before is no reason to refuse"
    moved = plan(zone(below, mark("www.sub", "A")), [cut])
    assert ("www.sub", "A", "delete") in shown(moved)
    assert ("www.sub", "A", "create") in shown(plan(zone(cut, mark("sub", "NS")), [below])), "the delegation goes, the record comes"
    dname = RRset("old", "DNAME", 60, frozenset({dns.rdata.from_text("IN", "DNAME", "new.test.org.")}))
    assert "x.old A would never be answered: old DNAME" in refusal(zone(dname), [rr("x.old", "A", "192.0.2.1")])
    assert plan(zone(dname), [rr("old", "A", "192.0.2.1")])


def test_a_cname_that_replaces_rests_on_nothing_else_being_there() -> None:
    (update,) = Server(ORIGIN, "127.0.0.1").updates(plan(zone(rr("s", "A", "192.0.2.9"), mark("s", "A")), [rr("s", "CNAME", "h.test.org")]))
    lines = [line for rrset in update.prerequisite for line in rrset.to_text().splitlines()]
    assert {"s.meet.test. NONE TXT", "s.meet.test. NONE AAAA", "s.meet.test. NONE MX"} <= set(lines)


@pytest.mark.parametrize(
    ("names", "removed", "share", "refused"),
    [
        (2, 1, 0.3, False),
        (2, 2, 0.3, True),
        (10, 3, 0.3, False),
        (10, 4, 0.3, True),
        (10, 10, 1.0, False),
        (1, 1, 0.0, False),
        (3, 2, 0.0, True),
    ],
)
def test_brake(names: int, removed: int, share: float, refused: bool) -> None:
    current = zone(*(rrset for number in range(names) for rrset in (rr(f"n{number}", "A", "192.0.2.1"), mark(f"n{number}", "A"))))
    kept = [rr(f"n{number}", "A", "192.0.2.1") for number in range(removed, names)]
    if refused:
        assert "max_delete_share" in refusal(current, kept, share=share)
    else:
        assert len(plan(current, kept, share=share).changes) == 2 * removed


NAMES = st.sampled_from(["@", "a", "b", "c", "*.d", "a.b"])
VALUES = {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["::1", "::2"], "TXT": ["x", "y" * 300], "CNAME": ["h.test.org"], "MX": ["5 m.test.org"]}


@st.composite
def rrsets(draw: st.DrawFn) -> RRset:
    rtype = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.sets(st.sampled_from(VALUES[rtype]), min_size=1))
    return rr(draw(NAMES), rtype, *values, ttl=draw(st.sampled_from([60, 300])))


@st.composite
def zones(draw: st.DrawFn) -> dict[tuple[str, str], RRset]:
    """Zones with records of ours, of others and of nobody, with marks that lie and TXT that are no marks."""
    current = zone(*draw(st.lists(rrsets(), max_size=8)))
    for name in draw(st.sets(NAMES)):
        types = draw(st.sets(st.sampled_from(sorted(VALUES)), max_size=3))
        owner, member = draw(st.sampled_from([("ours", "sunflower"), ("ours", "rosa"), ("theirs", "sunflower")]))
        current[mark_name(name), "TXT"] = mark(name, *types, owner=owner, member=member)
    if draw(st.booleans()):
        current["_coop.a", "TXT"] = RRset("_coop.a", "TXT", 60, rr("x", "TXT", "not a mark").rdatas)
    return current


ADOPTIONS = st.lists(st.builds("{}{}".format, NAMES, st.sampled_from(["", "/A", "/CNAME"])), max_size=2)


@examples(400)
@given(zones(), st.lists(rrsets(), max_size=6), ADOPTIONS)
def test_any_plan(current: dict[tuple[str, str], RRset], desired: list[RRset], adopt: list[str]) -> None:
    adoption = Adoption(adopt, ORIGIN)
    try:
        made = make_plan(current, desired, OURS, adoption, 1.0)
    except PlanRefused as refused:
        assert refused.problems
        return
    after = applied(current, made)

    for rrset in desired:
        assert rrset.same(after[rrset.key])
    assert not make_plan(after, desired, OURS, adoption, 1.0), "a second plan is empty"
    assert not make_plan(after, desired, OURS, Adoption([], ORIGIN), 1.0), "and needs no adoption any more"

    wanted = {rrset.key for rrset in desired}
    marks = read_marks(current)
    for key, rrset in current.items():
        found = marks.get(key[0])
        ours = found is not None and (found.owner, found.member) == ("ours", "sunflower") and key[1] in found.types
        is_mark = key[0].startswith("_coop")
        if not is_mark and not ours and not adoption.names(*key):
            assert after.get(key) == rrset, "what carries no mark of ours stays as it is"
        if ours and not is_mark and key not in wanted:
            assert key not in after, "what is ours and no longer wanted goes"
    for label, found in read_marks(current).items():
        if (found.owner, found.member) != ("ours", "sunflower"):
            assert after[mark_name(label), "TXT"] == current[mark_name(label), "TXT"]
    for name in {rrset.name for rrset in desired}:
        assert read_marks(after)[name].types == {rrset.type for rrset in desired if rrset.name == name}
    for name, rtype in after:
        if rtype == "CNAME" and (name, rtype) not in current:
            assert [other for other in after if other[0] == name] == [(name, "CNAME")]


def test_update_rests_on_everything_it_was_planned_on() -> None:
    current = zone(rr("s", "A", "192.0.2.9", "192.0.2.8"), mark("s", "A"))
    server = Server(ORIGIN, "127.0.0.1", key=TsigKey("coop", "hmac-sha256", "c2VjcmV0"))
    (update,) = server.updates(plan(current, [rr("s", "A", "192.0.2.1"), rr("n", "CNAME", "h.test.org")]))
    lines = sorted(line for rrset in update.prerequisite for line in rrset.to_text().splitlines())
    assert lines == [
        '_coop.n.meet.test. NONE TXT',
        '_coop.s.meet.test. 0 IN TXT "heritage=meet.coop,owner=ours,member=sunflower,types=A,v=1"',
        "n.meet.test. NONE ANY",
        "n.meet.test. NONE CNAME",
        "s.meet.test. 0 IN A 192.0.2.8",
        "s.meet.test. 0 IN A 192.0.2.9",
        "s.meet.test. NONE CNAME",
    ]
    assert "c2VjcmV0" not in repr(server)


def test_large_plans_go_in_whole_names() -> None:
    made = plan({}, [rr(f"n{number}", "A", "192.0.2.1") for number in range(3000)])
    updates = list(Server(ORIGIN, "127.0.0.1").updates(made))
    assert len(updates) > 1
    for update in updates:
        assert len(update.to_wire(max_size=65535)) < 65535
        names = {rrset.name.to_text() for rrset in update.update}
        marks = {name for name in names if name.startswith("_coop.")}
        assert {name.removeprefix("_coop.") for name in marks} == names - marks
    assert MESSAGE_LIMIT < 65535
