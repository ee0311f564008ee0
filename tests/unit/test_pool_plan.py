# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants and nodes of a pool: names, caps, plans and what may be shown of them."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import bbblb
from ansible_collections.meet.coop.plugins.module_utils._pool.bbblb import Bbblb
from ansible_collections.meet.coop.plugins.module_utils._pool.model import AT_ONCE, MASK, MASK_NEW, Node, Tenant
from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import converge_nodes, converge_tenants, diff_nodes, diff_tenants
from tests.support.examples import examples

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-enough-length"
BBBLB = Bbblb("", "")
IDS = st.lists(st.text("abz019", min_size=1, max_size=12), min_size=1, max_size=4).map("-".join)
few = examples(40)

TENANTS = st.builds(
    Tenant,
    name=st.sampled_from(["rosa", "cafe", "sunflower", "a", "0123456789abcdef"]),
    secret=st.text("ABCDEFGH", min_size=16, max_size=20),
    enabled=st.booleans(),
    duration_max=st.integers(0, 100000),
    participants_max=st.integers(0, 100000),
    meetings_at_once=st.integers(0, 100000),
    participants_at_once=st.integers(0, 100000),
    record=st.booleans(),
    disabled_features=st.lists(st.sampled_from(["polls", "chat", "breakoutRooms"]), unique=True).map(tuple),
    state=st.sampled_from(["present", "absent"]),
)


def unique(tenants: list[Tenant]) -> list[Tenant]:
    found: dict[str, Tenant] = {}
    secrets: set[str] = set()
    for tenant in tenants:
        if tenant.secret not in secrets:
            found.setdefault(tenant.name, tenant)
            secrets.add(tenant.secret)
    return list(found.values())


def node_sees(overrides: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """What BBBLB 0.0.18 with role pool's corrections sends to the node (bbblb/model.py, TenantOverride.apply; coop_bbblb.py)."""
    parameters = dict(asked)
    for name, text in overrides.items():
        operator, value = text[0], text[1:]
        if name in AT_ONCE.values():
            continue
        if operator == "=":
            if value:
                parameters[name] = value
            else:
                parameters.pop(name, None)
        elif operator == "<":
            try:
                wanted = int(parameters[name])
            except (KeyError, ValueError):
                wanted = -1
            parameters[name] = str(wanted if 0 < wanted <= int(value) else int(value))
        elif operator == "+":
            listed = [one for one in parameters.get(name, "").split(",") if one]
            parameters[name] = ",".join(listed + [one for one in value.split(",") if one not in listed])
        else:
            raise AssertionError(f"BBBLB swallows the first character of {text!r} and takes it for a default")
    return parameters


# -- names -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "tenant"), [("sunflower", "sunflower"), ("a", "a"), ("abcdefghij123456", "abcdefghij123456")])
def test_ids_that_fit_are_their_own_tenant(service: str, tenant: str) -> None:
    assert tenant_name(service) == tenant


@few
@given(IDS)
def test_every_id_gives_a_name_that_engines_take(service: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9]{1,16}", tenant_name(service))
    assert tenant_name(service) == tenant_name(service)


@few
@given(st.sets(IDS, min_size=2, max_size=40))
def test_different_ids_have_different_tenants(services: set[str]) -> None:
    assert len({tenant_name(service) for service in services}) == len(services)


def test_ids_that_differ_only_in_hyphens_or_their_ends_stay_apart() -> None:
    services = ["sun-flower", "sunflower", "sunf-lower", "sunflower-training-room-1", "sunflower-training-room-2"]
    assert len({tenant_name(service) for service in services}) == len(services)


# -- caps ------------------------------------------------------------------------------------------------------------------------


@few
@given(
    TENANTS.filter(lambda tenant: tenant.state == "present"),
    st.dictionaries(
        st.sampled_from(
            ["duration", "maxParticipants", "disabledFeatures", *bbblb.BLOCKED_CREATE, *bbblb.EXPIRY, *bbblb.NO_RECORDING]),
        st.one_of(st.integers(-10, 10**9).map(str), st.sampled_from(["", "true", "1_0", " 7", "1e9", "polls"])),
    ),
)
def test_no_wish_gets_past_the_caps(tenant: Tenant, asked: dict[str, str]) -> None:
    seen = node_sees(bbblb.overrides(tenant)["create"], asked)
    for name, cap in (("duration", tenant.duration_max), ("maxParticipants", tenant.participants_max), *bbblb.EXPIRY.items()):
        if cap:
            assert re.fullmatch(r"[0-9]+", seen[name]) and 0 < int(seen[name]) <= cap
            if re.fullmatch(r"[0-9]+", asked.get(name, "")) and 0 < int(asked[name]) <= cap:
                assert int(seen[name]) == int(asked[name]), "a smaller wish passes"
    assert not set(bbblb.BLOCKED_CREATE) & set(seen)
    if not tenant.record:
        assert {seen[name] for name in bbblb.NO_RECORDING} == {"false"}
    assert set(tenant.disabled_features) <= set(seen.get("disabledFeatures", "").split(","))


def test_a_tenant_that_may_record_decides_for_itself() -> None:
    seen = node_sees(bbblb.overrides(Tenant("a", SECRET, record=True))["create"], {"record": "true", "autoStartRecording": "true"})
    assert (seen["record"], seen["autoStartRecording"]) == ("true", "true")


# -- plans -----------------------------------------------------------------------------------------------------------------------


@few
@given(st.lists(TENANTS, max_size=5).map(unique), st.lists(TENANTS, max_size=5).map(unique))
def test_a_plan_is_idempotent_and_leaves_the_others_alone(there: list[Tenant], wanted: list[Tenant]) -> None:
    current, _changes = diff_tenants(BBBLB, {}, [tenant for tenant in there if tenant.state == "present"])
    try:
        target, changes = diff_tenants(BBBLB, current, wanted)
    except CoopError as error:
        assert "have the same secret" in str(error)
        return
    again, more = diff_tenants(BBBLB, target, wanted)
    assert not more and again == target
    named = {tenant.name for tenant in wanted}
    assert {name: entry for name, entry in target.items() if name not in named} == {
        name: entry for name, entry in current.items() if name not in named}
    assert set(current) <= set(target), "BBBLB disables what a file leaves out"
    assert {change.name for change in changes} <= named
    for tenant in [*there, *wanted]:
        assert tenant.secret not in repr(changes), "no secret is shown"
        assert tenant.secret not in repr(tenant)


def test_a_hand_made_override_is_drift() -> None:
    wanted = [Tenant("sunflower", SECRET, duration_max=60)]
    current, _changes = diff_tenants(BBBLB, {}, wanted)
    current["sunflower"]["overrides"]["create"]["duration"] = "<600"
    current["sunflower"]["overrides"]["join"]["role"] = "=MODERATOR"
    _target, changes = diff_tenants(BBBLB, current, wanted)
    assert [change.action for change in changes] == ["changed"]
    assert changes[0].before is not None and changes[0].before["overrides"]["create"]["duration"] == "<600"
    assert changes[0].before["secret"] == MASK == (changes[0].after or {})["secret"]


def test_a_new_secret_is_seen_to_change_but_not_shown() -> None:
    current, _changes = diff_tenants(BBBLB, {}, [Tenant("sunflower", SECRET)])
    _target, changes = diff_tenants(BBBLB, current, [Tenant("sunflower", SECRET + "2")])
    assert (changes[0].before or {})["secret"] == MASK and (changes[0].after or {})["secret"] == MASK_NEW


def test_a_removed_tenant_is_locked_out_once() -> None:
    current, _changes = diff_tenants(BBBLB, {}, [Tenant("sunflower", SECRET, duration_max=60)])
    gone = [Tenant("sunflower", state="absent")]
    target, changes = diff_tenants(BBBLB, current, gone)
    assert [change.action for change in changes] == ["removed"]
    entry = target["sunflower"]
    assert not entry["enabled"] and entry["secret"] != SECRET and len(entry["secret"]) > 64
    assert diff_tenants(BBBLB, target, gone) == (target, [])
    assert diff_tenants(BBBLB, {}, gone) == ({}, []), "what was never there needs no trace"
    back, changes = diff_tenants(BBBLB, target, [Tenant("sunflower", SECRET, duration_max=60)])
    assert back == current and [change.action for change in changes] == ["changed"]


def test_a_removed_tenant_that_somebody_enabled_is_locked_out_again() -> None:
    gone = [Tenant("sunflower", state="absent")]
    target, _changes = diff_tenants(BBBLB, diff_tenants(BBBLB, {}, [Tenant("sunflower", SECRET)])[0], gone)
    target["sunflower"]["enabled"] = True
    assert [change.action for change in diff_tenants(BBBLB, target, gone)[1]] == ["removed"]


@pytest.mark.parametrize(("wanted", "says"), [
    ([Tenant("Sun-Flower", SECRET)], "lower-case letters and digits"),
    ([Tenant("a" * 17, SECRET)], "1 to 16"),
    ([Tenant("a", "short")], "16 or more"),
    ([Tenant("a", "with spaces in it, long")], "without spaces"),
    ([Tenant("a", "Umlaute-sind-nicht-ASCII-ä")], "visible ASCII"),
    ([Tenant("a", SECRET, duration_max=-1)], "duration_max is -1"),
    ([Tenant("a", SECRET, participants_max=10**6)], "participants_max is 1000000"),
    ([Tenant("a", SECRET, disabled_features=("polls,chat",))], "no name of a BigBlueButton feature"),
    ([Tenant("a", SECRET), Tenant("a", SECRET + "2")], "listed twice"),
    ([Tenant("a", SECRET), Tenant("b", SECRET)], "have the same secret"),
])
def test_bad_tenants_are_refused_in_one_line_without_their_secret(wanted: list[Tenant], says: str) -> None:
    with pytest.raises(CoopError) as raised:
        diff_tenants(BBBLB, {}, wanted)
    assert says in str(raised.value) and "\n" not in str(raised.value)
    assert wanted[0].secret not in str(raised.value)


def test_nodes_are_planned_alike() -> None:
    wanted = [Node("b1.example.org", SECRET), Node("b2.example.org:8443", SECRET, enabled=False), Node("gone.example.org", state="absent")]
    there = {"gone.example.org": {"enabled": True, "secret": "x"}, "other.example.org": {"enabled": True, "secret": "y"}}
    target, changes = diff_nodes(BBBLB, there, wanted)
    assert sorted(target) == ["b1.example.org", "b2.example.org:8443", "other.example.org"]
    assert [change.action for change in changes] == ["created", "created", "removed"]
    assert diff_nodes(BBBLB, target, wanted)[1] == []
    with pytest.raises(CoopError, match="without scheme"):
        diff_nodes(BBBLB, {}, [Node("https://b1.example.org/", SECRET)])


# -- a command in BBBLB's place --------------------------------------------------------------------------------------------------


STAND_IN = r"""#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
state = json.load(open(here + "/state.json"))
words = [word for word in sys.argv[3:] if not word.startswith("-") and word not in ("tenants", "servers")]
open(here + "/calls", "a").write(json.dumps(sys.argv[1:]) + "\n")
if os.path.exists(here + "/broken"):
    sys.stderr.write("Traceback\nsqlalchemy.exc.OperationalError: (psycopg) connection refused\n[parameters: secret]\n")
    sys.exit(1)
if words == ["state", "export"]:
    print(json.dumps({"v": 1, **state}))
elif words == ["state", "import"]:
    given = json.load(sys.stdin)
    for kind in ("tenants", "servers"):
        if kind in given:
            for name in set(state[kind]) - set(given[kind]):
                if kind == "servers":
                    if name in state["busy"]:
                        sys.exit("sqlalchemy.exc.IntegrityError: violates foreign key constraint")
                    state[kind].pop(name)
                else:
                    state[kind][name]["enabled"] = False
            state[kind].update(given[kind])
    if not os.path.exists(here + "/deaf"):
        json.dump(state, open(here + "/state.json", "w"))
    print("Changes applied successfully")
elif words == ["server", "stats", "json"]:
    for name in state["servers"]:
        print(json.dumps({"server": name, "state": state["health"].get(name, "unstable")}))
elif words[:2] == ["server", "enable"]:
    for name in words[2:]:
        state["health"][name] = "available"
    json.dump(state, open(here + "/state.json", "w"))
"""


HOLDING = r"""#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
busy = json.load(open(here + "/state.json"))["busy"]
print(json.dumps({domain: ["meetings"] for domain in sys.argv[3:] if domain in busy}))
"""


class Pool:
    """A pool in a file, behind a command that behaves as bbblb/cli/state.py does."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.command = here / "bbblb"
        self.command.write_text(STAND_IN)
        python = here / "python"
        python.write_text(HOLDING)
        for program in (self.command, python):
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.write({"tenants": {}, "servers": {}, "busy": [], "health": {}})

    def write(self, state: dict[str, Any]) -> None:
        import json

        (self.here / "state.json").write_text(json.dumps(state))

    def read(self) -> dict[str, Any]:
        import json

        found: dict[str, Any] = json.loads((self.here / "state.json").read_text())
        return found

    def engine(self, check: bool = False) -> Bbblb:
        return Bbblb(str(self.command), str(self.here / "conf"), None, lock=str(self.here / "lock"), check_mode=check)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(tmp_path)


def test_one_import_for_all_tenants_and_secrets_never_on_a_command_line(pool: Pool) -> None:
    wanted = [Tenant(f"t{number}", f"{SECRET}-{number}", duration_max=60) for number in range(50)]
    predicted = converge_tenants(pool.engine(check=True), wanted)
    assert not pool.read()["tenants"], "check mode changes nothing"
    done = converge_tenants(pool.engine(), wanted)
    assert predicted.changes == done.changes and len(done.changes) == 50
    assert converge_tenants(pool.engine(), wanted).changes == []
    calls = (pool.here / "calls").read_text()
    assert calls.count('"import"') == 1 and SECRET not in calls


def test_an_import_that_did_nothing_is_an_error(pool: Pool) -> None:
    (pool.here / "deaf").touch()
    with pytest.raises(CoopError, match="did not bring tenant sunflower into the asked state"):
        converge_tenants(pool.engine(), [Tenant("sunflower", SECRET)])


def test_a_failing_command_is_one_line_without_parameters(pool: Pool) -> None:
    (pool.here / "broken").touch()
    with pytest.raises(CoopError) as raised:
        converge_tenants(pool.engine(), [Tenant("sunflower", SECRET)])
    assert str(raised.value) == "bbblb state export ended with 1: sqlalchemy.exc.OperationalError: (psycopg) connection refused"


def test_another_release_is_refused(pool: Pool, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "lib/python3.13/site-packages/bbblb-0.0.17.dist-info").mkdir(parents=True)
    command = venv / "bin" / "bbblb"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    with pytest.raises(CoopError, match=r"BBBLB 0\.0\.17 is installed and 0\.0\.18 is what this collection drives"):
        converge_tenants(Bbblb(str(command), "conf", None, lock=str(tmp_path / "lock")), [])


def test_no_bbblb_is_an_error_or_in_check_mode_an_empty_pool(tmp_path: Path) -> None:
    wanted = [Tenant("sunflower", SECRET)]
    assert [change.action for change in converge_tenants(Bbblb("/nowhere/bbblb", "conf", check_mode=True), wanted).changes] == ["created"]
    with pytest.raises(CoopError, match="run role pool on this host first"):
        converge_tenants(Bbblb("/nowhere/bbblb", "conf", lock=str(tmp_path / "lock")), wanted)


@pytest.mark.parametrize("check", [True, False])
def test_nodes_that_answer_go_into_service_and_the_others_are_told(pool: Pool, check: bool) -> None:
    wanted = [Node("b1.example.org", SECRET), Node("b2.example.org", SECRET), Node("b3.example.org", SECRET, enabled=False)]
    asked: list[str] = []

    def probe(node: Node) -> str | None:
        asked.append(node.domain)
        return None if node.domain == "b1.example.org" else "no route to host"

    outcome = converge_nodes(pool.engine(check), wanted, probe)
    assert asked == ["b1.example.org", "b2.example.org"]
    assert outcome.health == {"b1.example.org": "available"}
    assert len(outcome.warnings) == 1 and "b2.example.org" in outcome.warnings[0]
    assert len(outcome.changes) == 3
    assert pool.read()["health"] == ({} if check else {"b1.example.org": "available"})


def test_a_registered_node_out_of_service_is_drift(pool: Pool) -> None:
    pool.write({"tenants": {}, "servers": {"b1.example.org": {"enabled": True, "secret": SECRET}}, "busy": [], "health": {}})
    wanted = [Node("b1.example.org", SECRET)]
    assert converge_nodes(pool.engine(), wanted, None).changes == []
    outcome = converge_nodes(pool.engine(), wanted, lambda node: None)
    assert [(change.action, change.before, change.after) for change in outcome.changes] == [
        ("available", {"health": "unstable"}, {"health": "available"})]
    assert converge_nodes(pool.engine(), wanted, lambda node: None).changes == []


def test_a_node_with_meetings_drains_before_it_goes(pool: Pool) -> None:
    there = {"b1.example.org": {"enabled": True, "secret": SECRET}, "b2.example.org": {"enabled": True, "secret": SECRET}}
    pool.write({"tenants": {}, "servers": there, "busy": ["b1.example.org"], "health": {}})
    gone = [Node("b1.example.org", state="absent")]
    predicted = converge_nodes(pool.engine(check=True), gone, None)
    outcome = converge_nodes(pool.engine(), gone, None)
    assert predicted.changes == outcome.changes and [change.action for change in outcome.changes] == ["draining"]
    assert outcome.draining == ["b1.example.org"] and not pool.read()["servers"]["b1.example.org"]["enabled"]
    waiting = converge_nodes(pool.engine(), gone, None)
    assert waiting.changes == [] and waiting.draining == ["b1.example.org"]
    pool.write({**pool.read(), "busy": []})
    assert [change.action for change in converge_nodes(pool.engine(), gone, None).changes] == ["removed"]
    assert list(pool.read()["servers"]) == ["b2.example.org"]


# -- one truth -------------------------------------------------------------------------------------------------------------------


def test_the_pinned_release_is_the_same_everywhere() -> None:
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "roles/pool/files/requirements.txt").read_text(), re.MULTILINE))
    assert pinned["bbblb"] == bbblb.VERSION
    assert f'bbblb.__version__ != "{bbblb.VERSION}"' in (ROOT / "roles/pool/files/coop_bbblb.py").read_text()
    assert "greenlet" in pinned, "SQLAlchemy's asyncio needs it and bbblb does not ask for it"
    assert f"BBBLB {bbblb.VERSION}" in (ROOT / "plugins/doc_fragments/pool_engine.py").read_text()
