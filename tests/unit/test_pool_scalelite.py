# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tenants and nodes in Scalelite: what is planned, in which order it is written, and what a run that ends anywhere leaves."""

from __future__ import annotations

import base64
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Count, Live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import scalelite_program
from ansible_collections.meet.coop.plugins.module_utils._pool.bbblb import Bbblb, overrides
from ansible_collections.meet.coop.plugins.module_utils._pool.carry import carry
from ansible_collections.meet.coop.plugins.module_utils._pool.model import BLOCKED_CREATE, EXPIRY, Node, Tenant
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import State, converge_nodes, converge_tenants
from ansible_collections.meet.coop.plugins.module_utils._pool.scalelite import Scalelite
from tests.support.examples import examples

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-of-enough-length"
NAMES = ["rosa", "cafe", "sunflower", "a"]
few = examples(60)

TENANTS = st.builds(
    Tenant,
    name=st.sampled_from(NAMES),
    secret=st.text("ABCDEFGH", min_size=16, max_size=20),
    enabled=st.booleans(),
    duration_max=st.integers(0, 100000),
    participants_max=st.integers(0, 100000),
    meetings_at_once=st.integers(0, 100000),
    participants_at_once=st.integers(0, 100000),
    record=st.booleans(),
    disabled_features=st.lists(st.sampled_from(["breakoutRooms", "chat", "polls"]), unique=True).map(lambda one: tuple(sorted(one))),
    state=st.sampled_from(["present", "absent"]),
    tag=st.sampled_from(["", "rosa"]),
)


def unique(tenants: list[Tenant]) -> list[Tenant]:
    found: dict[str, Tenant] = {}
    secrets: set[str] = set()
    for tenant in tenants:
        if tenant.secret not in secrets:
            found.setdefault(tenant.name, tenant)
            secrets.add(tenant.secret)
    return list(found.values())


class Killed(Exception):
    """The run ended here."""


class Store:
    """What Scalelite keeps, and what its models do to it (app/models/tenant.rb, tenant_setting.rb, server.rb)."""

    def __init__(self) -> None:
        self.tenants: dict[str, dict[str, Any]] = {}
        self.index: dict[str, str] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.servers: dict[str, dict[str, Any]] = {}
        self.meetings: dict[str, int] = {}
        self.number = 0

    def look(self) -> dict[str, Any]:
        return {
            "multitenancy": True,
            "excluded": list(BLOCKED_CREATE),
            "forced": {name: str(minutes) for name, minutes in EXPIRY.items()},
            "clamps": True,
            "tenants": [{**one, "answers": self.index.get(one["name"]) == one["id"]} for one in self.tenants.values()],
            "settings": list(self.settings.values()),
            "servers": list(self.servers.values()),
            "meetings": self.meetings,
        }

    def do(self, operation: dict[str, Any]) -> None:
        given = {name: value for name, value in operation.items() if name != "do"}
        getattr(self, operation["do"])(**copy.deepcopy(given))

    def steps(self, operation: dict[str, Any]) -> list[dict[str, Any]]:
        """The writes that one operation is made of, in the program's order."""
        if operation["do"] == "tenant_add":
            owner = operation["id"]
            return [{"do": "setting_add", "tenant_id": owner, **one} for one in operation["settings"]] + [{**operation, "settings": []}]
        if operation["do"] == "tenant_remove":
            return [{"do": "tenant_gone", "id": operation["id"]}, {"do": "settings_remove", "tenant_id": operation["id"]}]
        return [operation]

    def tenant_add(self, id: str, name: str, secrets: str, settings: list[dict[str, Any]]) -> None:
        assert id not in self.tenants
        self.tenants[id] = {"id": id, "name": name, "secrets": secrets}
        self.index[name] = id

    def tenant_set(self, id: str, secrets: str) -> None:
        self.tenants[id]["secrets"] = secrets

    def tenant_lead(self, id: str, name: str) -> None:
        self.index[name] = id

    def tenant_gone(self, id: str) -> None:
        self.index.pop(self.tenants.pop(id)["name"], None)

    def settings_remove(self, tenant_id: str) -> None:
        self.settings = {key: one for key, one in self.settings.items() if one["tenant_id"] != tenant_id}

    def setting_add(self, tenant_id: str, param: str, value: str, override: str) -> None:
        self.number += 1
        key = f"s{self.number}"
        self.settings[key] = {"id": key, "tenant_id": tenant_id, "param": param, "value": value, "override": override == "true"}

    def setting_set(self, id: str, value: str, override: str) -> None:
        self.settings[id].update(value=value, override=override == "true")

    def setting_remove(self, id: str, tenant_id: str) -> None:
        assert self.settings.pop(id)["tenant_id"] == tenant_id

    def server_add(self, id: str, url: str, secret: str, tag: str | None, state: str) -> None:
        assert id not in self.servers
        self.servers[id] = {"id": id, "url": url, "secret": secret, "tag": tag or "", "state": state, "online": False, "load": None}

    def server_set(self, id: str, secret: str, tag: str | None, enabled: bool) -> None:
        server = self.servers[id]
        server.update(secret=secret, tag=tag or "")
        if enabled:
            server["state"] = "enabled"
        elif server["state"] == "enabled":
            server["state"] = "cordoned"

    def server_now(self, id: str) -> None:
        self.servers[id].update(online=True, load=self.servers[id]["load"] or 0.0)

    def server_remove(self, id: str) -> None:
        if id in self.meetings:
            self.server_set(id, self.servers[id]["secret"], self.servers[id]["tag"], False)
        else:
            self.servers.pop(id)

    def forced(self, name: str) -> dict[str, list[str]]:
        """What binds the meetings of whoever opens this name."""
        found: dict[str, list[str]] = {}
        for one in self.settings.values():
            if one["tenant_id"] == self.index.get(name) and one["override"]:
                found.setdefault(one["param"], []).append(one["value"])
        return found


class InMemory(Scalelite):
    """Scalelite without its container; it may end after a number of writes."""

    def __init__(self, store: Store, check: bool = False, ends_after: int | None = None) -> None:
        super().__init__("scalelite-api", lock="/dev/null", check_mode=True)
        self.check_mode = check
        self.store, self.left, self.calls = store, ends_after, 0

    missing = property(lambda self: False)  # type: ignore[assignment]

    def exclusive(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def _call(self, operations: list[dict[str, Any]]) -> None:
        self.calls += 1
        for operation in operations:
            for step in self.store.steps(operation):
                if self.left == 0:
                    raise Killed
                self.left = None if self.left is None else self.left - 1
                self.store.do(step)
        self._found, self._by_owner = copy.deepcopy(self.store.look()), None


def filled(tenants: list[Tenant]) -> Store:
    store = Store()
    converge_tenants(InMemory(store), [tenant for tenant in tenants if tenant.state == "present"])
    return store


# -- tenants -----------------------------------------------------------------------------------------------------------------------


@few
@given(st.lists(TENANTS, max_size=4).map(unique), st.lists(TENANTS, max_size=4).map(unique))
def test_a_run_is_what_check_mode_says_and_the_next_has_nothing_to_do(there: list[Tenant], wanted: list[Tenant]) -> None:
    store = filled(there)
    before = copy.deepcopy(store.look())
    try:
        predicted = converge_tenants(InMemory(store, check=True), wanted)
    except CoopError as error:
        assert "have the same secret" in str(error) and store.look() == before
        return
    assert store.look() == before
    engine = InMemory(store)
    done = converge_tenants(engine, wanted)
    # The secret that locks a disabled tenant is drawn anew each time, and never shown.
    assert done.changes == predicted.changes and engine.calls == (2 if done.changes else 1)
    assert converge_tenants(InMemory(store), wanted).changes == []
    kept = {one["id"] for one in store.tenants.values()}
    assert {one["tenant_id"] for one in store.settings.values()} <= kept
    for tenant in [*there, *wanted]:
        assert tenant.secret not in repr(done.changes)


@few
@given(st.lists(TENANTS, max_size=3).map(unique), st.lists(TENANTS, min_size=1, max_size=3).map(unique), st.integers(0, 40))
def test_a_run_that_ends_anywhere_never_opens_a_cap_and_is_healed(there: list[Tenant], wanted: list[Tenant], ends_after: int) -> None:
    store = filled(there)
    before = {tenant.name: tenant for tenant in there if tenant.state == "present"}
    try:
        converge_tenants(InMemory(store, ends_after=ends_after), wanted)
    except Killed:
        pass
    except CoopError:
        return
    for tenant in wanted:
        old = before.get(tenant.name)
        for parameter, cap in (("duration", "duration_max"), ("maxParticipants", "participants_max")):
            caps = [getattr(one, cap) for one in (tenant, old) if one is not None and one.state == "present"]
            if tenant.name in store.index and caps and all(caps) and tenant.state == "present":
                (value,) = store.forced(tenant.name)[parameter]
                assert int(value) in caps
    converge_tenants(InMemory(store), wanted)
    assert converge_tenants(InMemory(store), wanted).changes == []
    fresh = filled(wanted)
    for tenant in wanted:
        assert store.forced(tenant.name) == fresh.forced(tenant.name)


def test_namesakes_become_the_one_that_answers() -> None:
    wanted = [Tenant("rosa", SECRET, duration_max=60)]
    store = filled(wanted)
    store.tenant_add("second", "rosa", "somebody-elses-secret", [])
    store.setting_add("second", "duration", "6000", "true")
    outcome = converge_tenants(InMemory(store), wanted)
    assert [change.action for change in outcome.changes] == ["changed"] and (outcome.changes[0].before or {})["twins"] == 2
    assert [one["secrets"] for one in store.tenants.values()] == [SECRET]
    assert store.index["rosa"] in store.tenants and store.forced("rosa")["duration"] == ["60"]


def test_a_tenant_that_has_lost_its_address_gets_it_back() -> None:
    """As after the older of two namesakes was deleted."""
    wanted = [Tenant("rosa", SECRET)]
    store = filled(wanted)
    store.index.clear()
    assert converge_tenants(InMemory(store), wanted).changes and store.index["rosa"] in store.tenants
    assert not converge_tenants(InMemory(store), wanted).changes


def test_a_cap_that_is_there_twice_is_there_once() -> None:
    wanted = [Tenant("rosa", SECRET, duration_max=60)]
    store = filled(wanted)
    store.setting_add(store.index["rosa"], "duration", "6000", "true")
    outcome = converge_tenants(InMemory(store), wanted)
    assert set((outcome.changes[0].before or {})["settings"]["duration"].split()) == {"=60", "=6000"}
    assert store.forced("rosa")["duration"] == ["60"]


def test_what_the_operator_has_to_know_is_said() -> None:
    store = filled([Tenant("rosa", SECRET)])
    store.tenant_add("capitals", "Rosa", "x" * 16, [])
    for number in range(2):
        store.tenant_add(f"t{number}", "other", f"{number}" * 16, [])
    engine = InMemory(store)
    warnings = converge_tenants(engine, [Tenant("rosa", SECRET)]).warnings
    assert engine.clamps is True and len(warnings) == 2
    assert "tenant Rosa is another one than rosa" in warnings[0] and "tenant other is in Scalelite 2 times" in warnings[1]
    store.look = lambda: {**Store.look(store), "clamps": False, "excluded": [], "forced": {}}  # type: ignore[method-assign]
    bare = InMemory(store)
    told = "\n".join(converge_tenants(bare, [Tenant("rosa", SECRET)]).warnings)
    assert bare.clamps is False and "gets the cap" in told and "disabledFeaturesExclude" in told and "OVERRIDE_CREATE_PARAMS" in told


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ([Tenant("rosa", SECRET + ":more")], "takes a colon in a secret for the end of it"),
        ([Tenant("rosa", SECRET, previous_secret="with:a-colon-in-it")], "takes a colon in a secret for the end of it"),
        ([Tenant("rosa", SECRET, previous_secret="short")], "previous_secret: its secret must be 16 or more"),
        ([Tenant("rosa", SECRET, tag="none")], "a tag is 1 to 32 letters"),
        ([Tenant("rosa", SECRET, tag="a;b")], "a tag is 1 to 32 letters"),
        ([Tenant("rosa", SECRET), Tenant("cafe", SECRET)], "have the same secret"),
    ],
)
def test_bad_tenants_are_refused_in_one_line_without_their_secret(wanted: list[Tenant], says: str) -> None:
    store = Store()
    with pytest.raises(CoopError) as raised:
        converge_tenants(InMemory(store), wanted)
    assert says in str(raised.value) and "\n" not in str(raised.value) and SECRET not in str(raised.value)
    assert not store.tenants


@pytest.mark.parametrize("tenant", [Tenant("rosa", SECRET, tag="rosa"), Tenant("rosa", SECRET, previous_secret=SECRET + "2")])
def test_bbblb_says_what_it_cannot(tenant: Tenant) -> None:
    with pytest.raises(CoopError, match=r"leave (tag|previous_secret) out"):
        Bbblb("", "").tenant_entry(tenant, None)


# -- nodes -------------------------------------------------------------------------------------------------------------------------


def test_a_node_with_meetings_drains_before_it_goes(tmp_path: Path) -> None:
    store, holds = Store(), str(tmp_path / "holds")
    wanted = [Node("b1.example.org", SECRET), Node("b2.example.org:8443", SECRET, tag="rosa")]
    outcome = converge_nodes(InMemory(store), wanted, lambda node: None, holds)
    assert outcome.health == dict.fromkeys(("b1.example.org", "b2.example.org:8443"), "available")
    assert [(one["id"], one["url"], one["tag"], one["online"]) for one in store.servers.values()] == [
        ("b1.example.org", "https://b1.example.org/bigbluebutton/api", "", True),
        ("b2.example.org:8443", "https://b2.example.org:8443/bigbluebutton/api", "rosa", True),
    ]
    assert converge_nodes(InMemory(store), wanted, lambda node: None, holds).changes == []
    store.meetings = {"b1.example.org": 2}
    gone = [Node("b1.example.org", state="absent")]
    outcome = converge_nodes(InMemory(store), gone, None, holds)
    assert [change.action for change in outcome.changes] == ["draining"] and store.servers["b1.example.org"]["state"] == "cordoned"
    assert converge_nodes(InMemory(store), gone, None, holds).changes == []
    # The poller disables a cordoned node that is empty; that is the same.
    store.servers["b1.example.org"]["state"], store.meetings = "disabled", {}
    assert converge_nodes(InMemory(store), [Node("b1.example.org", SECRET, enabled=False)], None, holds).changes == []
    assert [change.action for change in converge_nodes(InMemory(store), gone, None, holds).changes] == ["removed"]


def test_a_meeting_that_begins_at_the_last_moment_keeps_its_node(tmp_path: Path) -> None:
    store, holds = Store(), str(tmp_path / "holds")
    converge_nodes(InMemory(store), [Node("b1.example.org", SECRET)], None, holds)
    engine = InMemory(store)
    real = engine._call

    def late(operations: list[dict[str, Any]]) -> None:
        if operations:
            store.meetings = {"b1.example.org": 1}
        real(operations)

    engine._call = late  # type: ignore[method-assign]
    with pytest.raises(CoopError, match="a meeting began there in the meantime"):
        converge_nodes(engine, [Node("b1.example.org", state="absent")], None, holds)
    assert store.servers["b1.example.org"]["state"] == "cordoned"


def test_a_node_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    store = Store()
    for number in range(2):
        store.server_add(f"id{number}", "https://B1.example.org/bigbluebutton/api/", SECRET, None, "enabled")
    with pytest.raises(CoopError, match=r"b1\.example\.org is in Scalelite 2 times"):
        converge_nodes(InMemory(store), [Node("b1.example.org", SECRET)], None, str(tmp_path / "holds"))
    converge_nodes(InMemory(store), [Node("b1.example.org", state="absent")], None, str(tmp_path / "holds"))
    assert not store.servers


# -- from one engine to the other --------------------------------------------------------------------------------------------------


class Old:
    """BBBLB as a state, with its own entries."""

    def __init__(self, tenants: list[Tenant], nodes: list[Node]) -> None:
        self.engine = Bbblb("", "")
        self.state: dict[str, State] = {
            "tenants": {tenant.name: self.engine.tenant_entry(tenant, None) or {} for tenant in tenants},
            "servers": {node.domain: self.engine.node_entry(node, None) or {} for node in nodes},
        }
        self.missing, self.title, self.check_mode = False, "BBBLB", False
        self.tenant_of, self.node_of, self.exclusive = self.engine.tenant_of, self.engine.node_of, InMemory(Store()).exclusive

    def observe(self, kind: str) -> State:
        return copy.deepcopy(self.state[kind])

    def apply(self, kind: str, target: State) -> State:
        self.state[kind] = copy.deepcopy(target)
        return target


MODEL = TENANTS.filter(lambda tenant: tenant.state == "present" and not tenant.tag)


@few
@given(MODEL)
def test_a_tenant_is_the_same_in_both_engines(tenant: Tenant) -> None:
    bbblb, scalelite = Bbblb("", ""), Scalelite("")
    assert bbblb.tenant_of(tenant.name, bbblb.tenant_entry(tenant, None) or {}) == tenant
    entry = scalelite.tenant_entry(tenant, None) or {}
    back = scalelite.tenant_of(tenant.name, entry)
    assert overrides(back) == overrides(tenant) and back.enabled == tenant.enabled
    assert back.secret == tenant.secret or not tenant.enabled


def moved(old: Old, store: Store, tmp_path: Path, seen: list[int], accept: bool = False, **engine: Any) -> Any:
    """Carry over while so many meetings are seen at the first look at each node, the second, and so on."""
    looks = iter(seen)
    return carry(
        old, InMemory(store, **engine), lambda node: Live(total=Count(next(looks), 3)), lambda node: None, accept, str(tmp_path / "holds")
    )  # type: ignore[arg-type]


def test_carrying_over_takes_all_and_stops_the_old(tmp_path: Path) -> None:
    tenants = [Tenant("rosa", SECRET, duration_max=60, participants_max=25), Tenant("cafe", SECRET + "2", enabled=False, record=True)]
    old, store = (
        Old(tenants, [Node("b1.example.org", SECRET), Node("b2.example.org", SECRET, enabled=False)]),
        filled([Tenant("left", SECRET + "3")]),
    )
    predicted = moved(old, store, tmp_path, [0] * 2, check=True)
    assert set(store.index) == {"left"} and all(entry["enabled"] for entry in [old.state["servers"]["b1.example.org"]])
    carried = moved(old, store, tmp_path, [0] * 4)
    assert predicted.changes == carried.changes and (carried.tenants, carried.nodes) == (2, 2)
    assert set(store.index) == {"rosa", "cafe"}, "who is not in the pool any more does not come back with the engine"
    assert {domain: one["state"] for domain, one in store.servers.items()} == {"b1.example.org": "enabled", "b2.example.org": "disabled"}
    assert not any(entry["enabled"] for entry in old.state["servers"].values())
    # Ended before Caddy led to the new engine, it is gone through again, and what it has stopped itself stays in service.
    assert moved(old, store, tmp_path, [0] * 4).changes == [] and store.servers["b1.example.org"]["state"] == "enabled"


def test_nobody_is_cut_off(tmp_path: Path) -> None:
    old, store = Old([Tenant("rosa", SECRET)], [Node("b1.example.org", SECRET)]), Store()
    with pytest.raises(CoopError, match="2 meetings with 3 people are live in the pool that BBBLB runs"):
        moved(old, store, tmp_path, [2])
    assert not store.tenants and old.state["servers"]["b1.example.org"]["enabled"]
    with pytest.raises(CoopError, match="1 meetings with"):
        moved(old, store, tmp_path, [0, 1])
    assert old.state["servers"]["b1.example.org"]["enabled"], "one that began at the last moment puts everything back"
    assert moved(old, store, tmp_path, [2, 2], accept=True).meetings == 2 and not old.state["servers"]["b1.example.org"]["enabled"]


def test_a_silent_node_may_be_one_where_people_meet(tmp_path: Path) -> None:
    old = Old([], [Node("b1.example.org", SECRET)])
    with pytest.raises(CoopError, match=r"what is live on b1\.example\.org \(no route\) is not known"):
        carry(old, InMemory(Store()), lambda node: Live(fault="no route"), lambda node: None, False, str(tmp_path / "holds"))  # type: ignore[arg-type]


# -- the command -------------------------------------------------------------------------------------------------------------------


STAND_IN = """#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in
  container) [ -e "$0.running" ] && cat "$0.running" ;;
  exec) cat > "$0.given"; cat "$0.said"; cat "$0.errors" >&2; exit "$(cat "$0.code")" ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A docker that says what it is told to."""
    program = tmp_path / "docker"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    for name, text in (
        ("running", "true\n"),
        ("errors", ""),
        ("code", "0"),
        ("said", f"log line\n{scalelite_program.MARK}{json.dumps(Store().look())}\n"),
    ):
        (tmp_path / f"docker.{name}").write_text(text)
    return program


def real(docker: Path, check: bool = False) -> Scalelite:
    return Scalelite("scalelite-api", docker=[str(docker)], lock=str(docker.parent / "lock"), check_mode=check)


def test_secrets_go_over_stdin_and_log_lines_are_not_taken_for_the_answer(docker: Path) -> None:
    with pytest.raises(CoopError, match="did not bring tenant rosa into the asked state"):
        converge_tenants(real(docker), [Tenant("rosa", SECRET, duration_max=60)])
    given = (docker.parent / "docker.given").read_text()
    calls = (docker.parent / "docker.calls").read_text()
    assert SECRET not in calls and "--env RAILS_LOG_TO_STDOUT= scalelite-api ./bin/rails runner -" in calls
    assert SECRET not in given, "no secret can end the text it stands in"
    packed = re.search(r"^COOP_GIVEN = '([A-Za-z0-9+/=]+)'$", given, re.MULTILINE)
    assert packed is not None
    (operation,) = json.loads(base64.b64decode(packed[1]))["operations"]
    assert operation["secrets"] == SECRET and {one["param"]: one["value"] for one in operation["settings"]}["duration"] == "60"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"code": "1", "errors": "trace\nRedis::CannotConnectError: Connection refused\n"},
            "Scalelite ended with 1: Redis::CannotConnectError",
        ),
        ({"said": "nothing of ours\n"}, "did not say what it has"),
        (
            {"said": f"{scalelite_program.MARK}{json.dumps({**Store().look(), 'multitenancy': False})}\n"},
            "start it with MULTITENANCY_ENABLED=true",
        ),
        ({"running": "false\n"}, "container scalelite-api does not run: see journalctl -u scalelite-api"),
        ({"running": ""}, "run role pool on this host first"),
    ],
)
def test_a_scalelite_that_cannot_be_used_is_one_line(docker: Path, change: dict[str, str], says: str) -> None:
    for name, text in change.items():
        (docker.parent / f"docker.{name}").write_text(text)
    with pytest.raises(CoopError) as raised:
        converge_tenants(real(docker), [Tenant("rosa", SECRET)])
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_no_scalelite_is_in_check_mode_an_empty_pool(tmp_path: Path) -> None:
    engine = Scalelite("scalelite-api", docker=[str(tmp_path / "nowhere")], check_mode=True)
    assert [change.action for change in converge_tenants(engine, [Tenant("rosa", SECRET)]).changes] == ["created"] and engine.clamps is None


# -- one truth ---------------------------------------------------------------------------------------------------------------------


def test_the_role_blocks_and_forces_what_the_model_says() -> None:
    variables = yaml.safe_load((ROOT / "roles/pool/vars/main.yml").read_text())
    assert variables["__pool_scalelite_excluded"] == list(BLOCKED_CREATE) and variables["__pool_scalelite_forced"] == EXPIRY
    correction = (ROOT / "roles/pool/files/coop_scalelite.rb").read_text()
    limits = re.search(r"LIMITS = %i\[([^]]+)\]", correction)
    assert limits is not None and set(limits[1].split()) == {"duration", "maxParticipants", *EXPIRY}
    release = yaml.safe_load((ROOT / "roles/pool/defaults/main.yml").read_text())["pool_scalelite_tag"]
    assert f"Scalelite {release[1:]}" in (ROOT / "plugins/doc_fragments/pool_engine.py").read_text()
