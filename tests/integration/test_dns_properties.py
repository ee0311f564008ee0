# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random plans, one after another, in a zone that others use too, with the servers as the judges."""

from __future__ import annotations

import collections
from typing import Any

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._dns.marks import Mark
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RecordError, RRset, absolute_name, make_rrset
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.support.lab import RunningLab
from tests.support.zones import RunModule, Zone

FOREIGN = """
add b 60 TXT "by hand"
add c 61 A 192.0.2.77
add c 62 AAAA 2001:db8::77
add alias 60 CNAME elsewhere.example.org.
add *.w 60 A 192.0.2.78
add *.w 60 MX 5 mx.example.org.
add cut 60 NS ns.example.org.
add odd 60 HINFO a b
add x.odd 60 SRV 0 0 1 h.example.org.
add theirs 60 A 192.0.2.79
add _coop.theirs 60 TXT "heritage=meet.coop,owner=others,member=sunflower,types=A,v=1"
add rosa 60 A 192.0.2.80
add _coop.broken 60 TXT "not a mark"
add _coop.c 60 TXT "heritage=meet.coop,owner=OURS,member=rosa,types=TXT,v=1"
"""
KNOWN = ["@", "*", "b", "c", "alias", "ALIAS", "*.w", "s.w", "cut", "x.cut", "odd", "x.odd", "theirs", "rosa", "broken", "_coop.s", "ß"]
VALUES: dict[str, st.SearchStrategy[str]] = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
    "CAA": st.sampled_from(['0 issue "letsencrypt.org"', '128 issuewild ";"', '0 issue "ca.example; accounturi=https://x/1"']),
    "CNAME": st.sampled_from(["h.example.org", "Bücher.example.", "x.y.z"]),
    "MX": st.builds("{} {}".format, st.integers(0, 65535), st.sampled_from(["m.example.org", "M.EXAMPLE.net."])),
    "NS": st.sampled_from(["ns1.example.org", "ns2.example.org"]),
    "SRV": st.builds("{} 0 {} sip.example.org".format, st.integers(0, 65535), st.integers(0, 65535)),
    "TLSA": st.builds("{} 1 1 {}".format, st.integers(0, 3), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    "TXT": st.one_of(
        st.text(max_size=400),
        st.text(max_size=40).map(lambda text: text * 15),
        st.binary(max_size=40).map(lambda data: '"' + "".join(f"\\{octet:03d}" for octet in data) + '"'),
    ),
}
NAMES = st.one_of(
    st.sampled_from(KNOWN),
    st.from_regex(r"(\*\.)?[a-zA-Z0-9_]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]{1,5}){0,3}", fullmatch=True),
    st.text(min_size=1, max_size=12),
    st.from_regex(r"(\\[0-2][0-4][0-9]|\\.|[a-z]){1,6}", fullmatch=True),
    st.integers(55, 63).map(lambda length: ".".join(["l" * length] * 3)),
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    rtype = draw(st.sampled_from(sorted(VALUES)))
    values = draw(st.lists(VALUES[rtype], min_size=1, max_size=1 if rtype == "CNAME" else 3))
    return {"name": draw(NAMES), "type": rtype, "ttl": draw(st.sampled_from([0, 60, 86400])), "values": values}


def canonical(zone: Zone, rrset: RRset) -> set[tuple[str, int, str, bytes]]:
    owner = absolute_name(rrset.name, dns.name.from_text(zone.origin))
    return {(owner.canonicalize().to_text(), rrset.ttl, rrset.type, value) for value in rrset.canonical}


def held(zone: Zone) -> set[tuple[str, int, str, bytes]]:
    """All records under this test's labels as the server transfers them, in canonical form."""
    found = set()
    for (name, rtype), rrset in zone.task().server.observe().items():
        if rtype not in ("RRSIG", "NSEC", "NSEC3") and (name == zone.tag or name.endswith(f".{zone.tag}")):
            found |= canonical(zone, rrset)
    return found


def answered(zone: Zone, rrset: RRset) -> set[tuple[str, int, str, bytes]]:
    """What the server says when it is asked for one record set, in the answer or, for delegations and their addresses, beside it."""
    owner = absolute_name(rrset.name, dns.name.from_text(zone.origin))
    answer = dns.query.tcp(dns.message.make_query(owner, rrset.type), zone.server, timeout=5)
    found = set()
    for entry in (*answer.answer, *answer.authority, *answer.additional):
        if entry.name == owner and dns.rdatatype.to_text(entry.rdtype) == rrset.type:
            found |= canonical(zone, RRset(rrset.name, rrset.type, entry.ttl, frozenset(entry)))
    return found


FEW = [("meet.test", 120), ("bind.test", 50), ("signed.test", 25), ("bind-signed.test", 25)]
MANY = [pytest.param(origin, 6 * examples, marks=pytest.mark.thorough) for origin, examples in FEW]


@pytest.mark.parametrize(("origin", "examples"), [*FEW, *MANY])
def test_random_plans_leave_strangers_alone_and_are_answered_as_planned(
    lab: RunningLab, run_module: RunModule, origin: str, examples: int
) -> None:
    zone = Zone(lab, run_module, origin)
    zone.by_hand(*(f"{line.split()[0]} {line.split()[1]}.{zone.tag} {line.split(maxsplit=2)[2]}".replace("OURS", zone.tag)
                   for line in FOREIGN.strip().splitlines()))  # fmt: skip
    strangers = held(zone)
    assert len(strangers) == len(FOREIGN.strip().splitlines())
    tally: collections.Counter[str] = collections.Counter()

    @settings(max_examples=examples, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.lists(records(), max_size=5))
    def one_plan(wishes: list[dict[str, Any]]) -> None:
        present = held(zone)
        wanted = [{**wish, "name": zone.tag if wish["name"] == "@" else f"{wish['name']}.{zone.tag}"} for wish in wishes]
        options = {"max_delete_share": 1.0}
        try:
            foretold = zone.run(*wanted, check=True, **options)
        except CoopError as refused:
            tally["refused"] += 1
            assert "\n" not in str(refused)
            assert held(zone) == present
            with pytest.raises(CoopError):
                zone.run(*wanted, **options)
            assert held(zone) == present
            return
        assert held(zone) == present
        real = zone.run(*wanted, **options)
        assert (real["changed"], real["diff"]) == (foretold["changed"], foretold["diff"])
        desired = zone.task(*wanted, **options).wanted.desired
        types: dict[str, set[str]] = {}
        for rrset in desired:
            types.setdefault(rrset.name, set()).add(rrset.type)
            assert answered(zone, rrset) == canonical(zone, rrset)
        marks = [Mark(name, zone.tag, "sunflower", frozenset(kinds)).rrset() for name, kinds in types.items()]
        assert held(zone) == strangers | {entry for rrset in (*desired, *marks) for entry in canonical(zone, rrset)}
        assert zone.run(*wanted, **options)["changed"] is False
        tally["applied"] += 1

    try:
        one_plan()
        zone.run(max_delete_share=1.0)
        assert held(zone) == strangers
    finally:
        zone.clean()
    assert tally["applied"] > examples / 10 and tally["refused"] > examples / 10, tally


@settings(max_examples=300)
@given(NAMES, st.sampled_from(sorted(VALUES)), st.data())
def test_a_record_is_made_or_refused_in_one_line(name: str, rtype: str, data: st.DataObject) -> None:
    try:
        make_rrset(name, rtype, 60, [data.draw(VALUES[rtype])], dns.name.from_text("meet.test"))
    except RecordError as error:
        assert str(error) and "\n" not in str(error)
