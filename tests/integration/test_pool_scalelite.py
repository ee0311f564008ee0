# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool goes over to Scalelite and back, and in between does for tenants and operators what it did with BBBLB."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from ansible_collections.meet.coop.plugins.module_utils._pool.model import BLOCKED_CREATE, EXPIRY
from tests.support.lab import RunningLab
from tests.support.pool import ASKED, DOMAIN, NODES, Pool, ScalelitePool, fair_use_binds_softly, play, provide, wait_for

Module = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.thorough

CA = "/etc/meet-coop/ca-bundle.pem"
MASKED = "********"
HOLDS = "/var/lib/meet-coop/held-nodes.json"
BARE = {"name": "Assembly"}
KILL = """
export REDISCLI_AUTH="$(cat /etc/scalelite/redis_password)"
turns=0
until redis-cli -p 6390 client list | grep -q 'flags=[A-Za-z]*b'; do
    turns=$((turns + 1))
    [ "$turns" -lt 2000 ] || exit 1
    sleep 0.02
done
pkill -KILL -f 'docker exec [-]-interactive'
pkill -KILL -f '[r]ails runner'
pkill -KILL -f '[p]ool_tenant'
true
"""


class Tenants:
    """Two tenants that the pool has had since BBBLB ran it."""

    def __init__(self, pool: ScalelitePool, run_module: Module) -> None:
        self.pool = pool
        self.module = run_module
        self.one = {
            "name": "sa" + secrets.token_hex(4),
            "secret": secrets.token_hex(20),
            "duration_max": 60,
            "participants_max": 25,
            "disabled_features": ["polls"],
        }
        self.two = {"name": "sb" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 30, "participants_max": 2}

    def apply(self, *tenants: dict[str, Any], check: bool = False, engine: str = "scalelite") -> dict[str, Any]:
        return self.module("pool", "meet.coop.pool_tenant", {"engine": engine, "tenants": list(tenants)}, check=check)

    def call(self, which: dict[str, Any], call: str, parameters: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.pool.call(which["name"], which["secret"], call, parameters, **headers)

    def create(self, which: dict[str, Any], **parameters: Any) -> str:
        meeting_id = "m-" + secrets.token_hex(6)
        answer = self.call(which, "create", {**BARE, "meetingID": meeting_id, **parameters})
        assert answer.ok, answer.body
        return meeting_id

    def kept(self, name: str) -> list[Any]:
        """Everything Scalelite has under a name."""
        return [one for one in self.pool.state()["tenants"] if one[0] == name]


def empty(pool: Pool) -> None:
    for node in NODES:
        pool.control(node, "POST", "/drop")


@pytest.fixture(scope="module")
def scalelite(lab: RunningLab, run_module: Module) -> Iterator[Tenants]:
    """The pool after the change of one variable and a run, with tenants it had before."""
    before = provide(lab)
    ours = Tenants(ScalelitePool(lab), run_module)
    assert not ours.apply(ours.one, ours.two, engine="bbblb").get("failed")
    time.sleep(1.3)  # pool_tenant_cache
    try:
        # While somebody meets, the engine stays.
        empty(before)
        assert before.call(ours.one["name"], ours.one["secret"], "create", {**BARE, "meetingID": "switch-" + secrets.token_hex(4)}).ok
        options = {"source": "bbblb", "engine": "scalelite", "ca_file": CA}
        refused = run_module("pool", "meet.coop.pool_switch", options, check=True)
        assert refused["failed"] and "1 meetings with 0 people are live" in refused["msg"] and "\n" not in refused["msg"]
        empty(before)
        wait_for(lambda: before.psql("select count(*) from meetings;") == "0\n")
        done = play("scalelite")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        for secret in (ours.one["secret"], ours.two["secret"], *lab.secrets["bbb"].values()):
            assert secret not in done.stdout + done.stderr
        yield ours
    finally:
        empty(before)
        if lab.exec("pool", ["cat", "/var/lib/meet-coop/pool-engine"]).stdout.strip() == "scalelite":
            done = play("bbblb")
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        ours.apply({"name": ours.one["name"], "state": "absent"}, {"name": ours.two["name"], "state": "absent"}, engine="bbblb")


# -- after the switch --------------------------------------------------------------------------------------------------------------


def test_credentials_and_addresses_are_the_same_and_nothing_is_left_to_do(scalelite: Tenants, lab: RunningLab) -> None:
    for which in (scalelite.one, scalelite.two):
        assert scalelite.call(which, "getMeetings").key == "noMeetings"
    assert lab.exec("pool", ["systemctl", "is-active", "bbblb"]).stdout.strip() == "inactive"
    assert lab.exec("pool", ["systemctl", "is-enabled", "bbblb"]).stdout.strip() == "disabled"
    result = scalelite.apply(scalelite.one, scalelite.two)
    assert not result.get("failed") and not result["changed"] and not result.get("warnings"), result
    assert result["smaller_wishes"] == "passed"
    assert {server[0]: server[4:6] for server in scalelite.pool.state()["servers"]} == {f"{node}.lab.test": [True, True] for node in NODES}


def test_secrets_are_for_root(scalelite: Tenants, lab: RunningLab) -> None:
    found = lab.exec("pool", ["find", "/etc/scalelite", "-type", "f", "-perm", "/077", "-printf", "%f\n"]).stdout.split()
    assert found == ["coop_scalelite.rb"]
    listed = lab.exec("pool", ["stat", "--format", "%U %a", "/etc/redis/redis-scalelite.conf", "/etc/scalelite/scalelite.env"]).stdout
    assert listed.splitlines() == ["root 640", "root 600"]
    arguments = lab.exec("pool", ["ps", "-eo", "args"]).stdout
    for name in ("database_password", "redis_password", "secret_key_base", "loadbalancer_secret"):
        assert lab.exec("pool", ["cat", f"/etc/scalelite/{name}"]).stdout.strip() not in arguments


# -- what a holder of the secret gets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        *ASKED,
        # No plain numbers for BigBlueButton, which would take its own default.
        ({"duration": "1_0", "maxParticipants": " 7"}, ("60", "25")),
        ({"duration": "+10", "maxParticipants": "٧"}, ("60", "25")),
    ],
)
def test_caps_bind_whoever_holds_the_secret(scalelite: Tenants, asked: dict[str, Any], seen: tuple[str, str]) -> None:
    meeting_id = scalelite.create(scalelite.one, **asked)
    ((_node, parameters),) = scalelite.pool.seen(meeting_id)
    assert (parameters["duration"], parameters["maxParticipants"]) == seen


def test_ways_around_the_caps_are_closed(scalelite: Tenants) -> None:
    blocked = dict.fromkeys(BLOCKED_CREATE, "true")
    meeting_id = scalelite.create(
        scalelite.one,
        record="true",
        autoStartRecording="true",
        meetingKeepEvents="true",
        disabledFeatures="chat",
        **dict.fromkeys(EXPIRY, 0),
        **{"meta_tenant-name": "other", "meta_tenant-id": "other"},
        **blocked,
    )
    ((_node, parameters),) = scalelite.pool.seen(meeting_id)
    assert {parameters[name] for name in ("record", "autoStartRecording", "allowStartStopRecording", "meetingKeepEvents")} == {"false"}
    assert not set(BLOCKED_CREATE) & set(parameters)
    assert {name: int(parameters[name]) for name in EXPIRY} == EXPIRY
    assert set(parameters["disabledFeatures"].split(",")) == {"polls", "chat"}
    assert parameters["meta_tenant-name"] == scalelite.one["name"]


def test_people_stop_at_the_cap(scalelite: Tenants) -> None:
    meeting_id = scalelite.create(scalelite.two, maxParticipants=200)
    results = []
    for person in range(3):
        asked = {"fullName": "Ada", "meetingID": meeting_id, "role": "VIEWER", "userID": f"u{person}", "redirect": "false"}
        answer = scalelite.call(scalelite.two, "join", asked)
        assert answer.status == 302
        link = urlsplit(answer.headers["Location"])
        node = (link.hostname or "").partition(".")[0]
        results.append(scalelite.pool.request("GET", f"{link.path}?{link.query}", host=link.hostname or "", where=node))
    assert [answer.ok for answer in results] == [True, True, False] and results[2].key == "maxParticipantsReached"


def test_what_is_fair_at_once_is_looked_at_when_a_meeting_begins(scalelite: Tenants) -> None:
    fair_use_binds_softly(scalelite, lambda: None)


def test_a_join_carries_no_body(scalelite: Tenants, lab: RunningLab) -> None:
    one, pool = scalelite.one, scalelite.pool
    query = pool.sign("join", urlencode({"fullName": "Ada", "meetingID": scalelite.create(one), "password": "x"}), one["secret"])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    behind = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{redirect_url}",
        "-X",
        "GET",
        "-H",
        f"Host: {one['name']}.{DOMAIN}",
        "-d",
        "role=MODERATOR",
        f"http://127.0.0.1:3000/bigbluebutton/api/join?{query}",
    ]
    assert "role=MODERATOR" in lab.exec("pool", behind).stdout, "Scalelite alone takes what nobody signed"
    path = f"/t/{one['name']}/bigbluebutton/api/join?{query}"
    assert pool.request("GET", path).status == 302
    assert pool.request("GET", path, b"role=MODERATOR", form).status == 413
    assert pool.request("POST", path, b"role=MODERATOR", form).status == 405
    chunked = pool.request("GET", path, b"e\r\nrole=MODERATOR\r\n0\r\n\r\n", {**form, "Transfer-Encoding": "chunked"})
    assert "MODERATOR" not in chunked.headers.get("Location", "")


def test_the_path_names_the_tenant_and_nothing_else_does(scalelite: Tenants, lab: RunningLab) -> None:
    one, two, pool = scalelite.one, scalelite.two, scalelite.pool
    assert pool.call(one["name"], two["secret"], "getMeetings").key == "checksumError"
    assert pool.call("nobody", one["secret"], "getMeetings").key == "checksumError"
    for header in ("X_Forwarded_Host", "Forwarded"):
        forged = {header: f"{two['name']}.{DOMAIN}" if header[0] == "X" else f"host={two['name']}.{DOMAIN}"}
        assert pool.call(one["name"], two["secret"], "getMeetings", **forged).key == "checksumError"
        assert pool.call(one["name"], one["secret"], "getMeetings", **forged).ok
    # The administration answers behind Caddy, on every host, and from outside it does not.
    secret = lab.exec("pool", ["cat", "/etc/scalelite/loadbalancer_secret"]).stdout.strip()
    query = pool.sign("getTenants", "", secret)
    url = f"http://127.0.0.1:3000/scalelite/api/getTenants?{query}"
    assert one["secret"] in lab.exec("pool", ["curl", "-s", "-H", f"Host: {one['name']}.{DOMAIN}", url]).stdout
    for path in ("/scalelite/api/getTenants", f"/t/{one['name']}/scalelite/api/getTenants", "/bigbluebutton/api/getMeetings",
                 "/health_check", f"/t/{one['name']}/bigbluebutton/api/../../scalelite/api/getTenants",
                 "//scalelite/api/getTenants", f"/t/{one['name']}/bigbluebutton/api/%2e%2e/%2e%2e/scalelite/api/getTenants"):  # fmt: skip
        answer = pool.request("GET", f"{path}?{query}")
        assert answer.status == 404 and one["secret"].encode() not in answer.body, path


def test_a_meeting_belongs_to_its_tenant(scalelite: Tenants) -> None:
    meeting_id = scalelite.create(scalelite.one)
    assert scalelite.call(scalelite.two, "create", {**BARE, "meetingID": meeting_id}).key == "internalError"
    assert scalelite.call(scalelite.two, "getMeetingInfo", {"meetingID": meeting_id}).key == "notFound"
    listed = scalelite.call(scalelite.one, "getMeetings").xml.findall("meetings/meeting")
    assert {one.findtext("metadata/tenant-name") for one in listed} == {scalelite.one["name"]}


def test_a_meeting_that_its_node_does_not_know_yet_is_not_forgotten(scalelite: Tenants) -> None:
    """Who polls while a node still makes a meeting is told that there is none. What is older is forgotten as ever."""
    pool = scalelite.pool
    meeting_id = scalelite.create(scalelite.one)
    key = f"scalelite:meeting:{meeting_id}"
    ((node, _parameters),) = pool.seen(meeting_id)
    pool.control(node, "POST", "/drop")

    def polled() -> int:
        # As new as it was, however slow the machine is.
        assert pool.redis("expire", key, "86400") == "1", "it was forgotten"
        return len(pool.seen(meeting_id, "getMeetingInfo"))

    before = polled()
    wait_for(lambda: polled() >= before + 2, 60)
    pool.redis("expire", key, "86300")
    wait_for(lambda: pool.redis("exists", key) == "0", 60)


# -- pool_tenant -------------------------------------------------------------------------------------------------------------------


def test_tenant_from_nothing_to_gone(scalelite: Tenants) -> None:
    pool, before = scalelite.pool, scalelite.pool.state()
    mine = {"name": "sc" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 45, "participants_max": 10}
    predicted = scalelite.apply(mine, check=True)
    assert predicted["changed"] and pool.state() == before
    done = scalelite.apply(mine)
    assert (done["changed"], done["diff"], done["tenants"]) == (predicted["changed"], predicted["diff"], predicted["tenants"])
    assert mine["secret"] not in json.dumps(done)
    assert [one for one in pool.state()["tenants"] if one[0] != mine["name"]] == before["tenants"], "the others are as they were"
    assert not scalelite.apply(mine)["changed"]

    # A secret is changed with both of them open in between.
    new = {**mine, "secret": secrets.token_hex(20), "duration_max": 90}
    both = {**new, "previous_secret": mine["secret"]}
    predicted, done = scalelite.apply(both, check=True), scalelite.apply(both)
    assert predicted["diff"] == done["diff"] and done["diff"]["after"][mine["name"]]["secret"] == MASKED + " (new)"
    assert mine["secret"] not in json.dumps(done) and new["secret"] not in json.dumps(done)
    assert pool.call(mine["name"], mine["secret"], "getMeetings").ok and pool.call(mine["name"], new["secret"], "getMeetings").ok
    assert scalelite.apply(new)["changed"]
    assert pool.call(mine["name"], mine["secret"], "getMeetings").key == "checksumError"

    # Disabled: nobody gets in, once.
    off = {**new, "enabled": False}
    assert scalelite.apply(off)["changed"] and not scalelite.apply(off)["changed"]
    assert pool.call(mine["name"], new["secret"], "getMeetings").key == "checksumError"
    assert scalelite.apply(new)["changed"] and pool.call(mine["name"], new["secret"], "getMeetings").ok

    gone = {"name": mine["name"], "state": "absent"}
    predicted, done = scalelite.apply(gone, check=True), scalelite.apply(gone)
    assert predicted["diff"] == done["diff"] and done["tenants"] == [{"name": mine["name"], "action": "removed"}]
    assert pool.state() == before and not scalelite.apply(gone)["changed"]


def test_what_hands_have_left_is_found_and_cleared_away(scalelite: Tenants) -> None:
    name, pool = scalelite.one["name"], scalelite.pool
    right = scalelite.kept(name)
    # A second tenant of the name takes the address over; a cap twice, one wider; one gone; and settings of nobody.
    pool.ruby(f"""
        there = Tenant.find_by_name('{name}')
        Tenant.new(name: '{name}', secrets: 'by-hand-by-hand-by-hand').save!
        TenantSetting.new(tenant_id: there.id, param: 'duration', value: '6000', override: 'true').save!
        TenantSetting.new(tenant_id: there.id, param: 'welcome', value: 'Hi', override: 'false').save!
        TenantSetting.all(there.id).find {{ |s| s.param == 'maxParticipants' }}.destroy!
        TenantSetting.new(tenant_id: 'nobody', param: 'duration', value: '1', override: 'true').save!
    """)
    assert scalelite.call(scalelite.one, "getMeetings").key == "checksumError"
    predicted, done = scalelite.apply(scalelite.one, check=True), scalelite.apply(scalelite.one)
    assert predicted["diff"] == done["diff"] and done["tenants"] == [{"name": name, "action": "changed"}]
    assert done["diff"]["before"]["settings of nobody"] == {"settings": 1}
    assert scalelite.call(scalelite.one, "getMeetings").ok
    again = scalelite.apply(scalelite.one)
    assert not again["changed"] and again["diff"] == {"before": {}, "after": {}}
    (kept,), ((_name, _secret, settings),) = scalelite.kept(name), right
    assert kept[2] == settings and pool.redis("exists", "scalelite:tenant_settings:nobody") == "0"
    # A name that differs in capitals is another tenant for Scalelite, and is told.
    pool.ruby(f"Tenant.new(id: 'capitals', name: '{name.upper()}', secrets: 'by-hand-by-hand-by-hand').save!")
    told = scalelite.apply(scalelite.one)
    pool.ruby("Tenant.find('capitals').destroy!")
    assert not told["changed"] and any(name.upper() in warning for warning in told["warnings"])


def test_a_killed_run_is_healed_by_the_next(scalelite: Tenants, lab: RunningLab) -> None:
    before, wanted = scalelite.kept(scalelite.one["name"]), {**scalelite.one, "duration_max": 50, "participants_max": 20}
    fresh = {"name": "sd" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 5, "participants_max": 5}
    results: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: results.append(scalelite.apply(wanted, fresh)))
    # So that nobody else writes.
    assert lab.exec("pool", ["docker", "pause", "scalelite-poller"]).returncode == 0
    scalelite.pool.redis("client", "pause", "60000", "write")
    try:
        running.start()
        # Its first change waits: end module, client and program as a power cut would, without a chance to clean up.
        assert lab.exec("pool", ["sh", "-c", KILL]).returncode == 0, "it never came to its first change"
        running.join(60)
    finally:
        scalelite.pool.redis("client", "unpause")
        lab.exec("pool", ["docker", "unpause", "scalelite-poller"])
        running.join(60)
    assert results and results[0].get("failed"), results
    assert scalelite.apply(wanted, fresh)["changed"] and not scalelite.apply(wanted, fresh)["changed"]
    assert scalelite.apply(scalelite.one, {"name": fresh["name"], "state": "absent"})["changed"]
    assert scalelite.kept(scalelite.one["name"]) == before and not scalelite.kept(fresh["name"])


def test_what_cannot_be_is_one_clear_line(scalelite: Tenants) -> None:
    before = scalelite.pool.state()
    for given, says in (
        ({**scalelite.one, "name": "twin"}, "have the same secret"),
        ({**scalelite.one, "secret": "sixteen-letters:and-more"}, "takes a colon in a secret for the end of it"),
    ):
        result = scalelite.apply(given)
        assert result["failed"] and says in result["msg"] and "\n" not in result["msg"]
        assert given["secret"] not in json.dumps(result)
    result = scalelite.module("pool", "meet.coop.pool_tenant", {"engine": "scalelite", "scalelite_container": "other", "tenants": []})
    assert result["failed"] and "there is no Scalelite in a container other" in result["msg"]
    assert scalelite.pool.state() == before


# -- nodes -------------------------------------------------------------------------------------------------------------------------


def apply_node(scalelite: Tenants, node: dict[str, Any], check: bool = False) -> dict[str, Any]:
    options = {"engine": "scalelite", "nodes": [node], "ca_file": CA, "probe_timeout": 2}
    return scalelite.module("pool", "meet.coop.pool_node", options, check=check)


def test_a_node_goes_when_its_meetings_are_over_and_comes_back_at_once(scalelite: Tenants) -> None:
    pool = scalelite.pool
    meeting_id = scalelite.create(scalelite.one)
    ((node, _parameters),) = pool.seen(meeting_id)
    domain = f"{node}.lab.test"
    back = {"domain": domain, "secret": next(one[2] for one in pool.state()["servers"] if one[0] == domain)}
    gone = {"domain": domain, "state": "absent"}
    try:
        predicted, done = apply_node(scalelite, gone, check=True), apply_node(scalelite, gone)
        assert predicted["diff"] == done["diff"] and done["nodes"][0]["action"] == "draining" and done["nodes"][0]["draining"]
        join = {"fullName": "Ada", "meetingID": meeting_id, "role": "VIEWER"}
        assert scalelite.call(scalelite.one, "join", join).status == 302, "what runs goes on"
        assert {found for _number in range(3) for found, _asked in pool.seen(scalelite.create(scalelite.one))} == set(NODES) - {node}
        waiting = apply_node(scalelite, gone)
        assert not waiting["changed"] and waiting["nodes"][0]["draining"]
        pool.control(node, "POST", "/drop")
        pool.redis("expire", f"scalelite:meeting:{meeting_id}", "86300")  # no longer new
        wait_for(lambda: pool.redis("exists", f"scalelite:meeting:{meeting_id}") == "0")
        assert apply_node(scalelite, gone)["nodes"][0]["action"] == "removed"
    finally:
        predicted, done = apply_node(scalelite, back, check=True), apply_node(scalelite, back)
    assert predicted["diff"] == done["diff"]
    assert done["nodes"] == [{"domain": domain, "action": "created", "health": "available", "draining": False}]
    assert not apply_node(scalelite, back)["changed"]


def test_tags_give_a_tenant_nodes_of_its_own(scalelite: Tenants) -> None:
    pool = scalelite.pool
    (first, secret), *others = ((one[0], one[2]) for one in pool.state()["servers"])
    tagged = {**scalelite.two, "tag": "rosa"}
    try:
        assert apply_node(scalelite, {"domain": first, "secret": secret, "tag": "rosa"})["changed"]
        assert scalelite.apply(tagged)["changed"] and not scalelite.apply(tagged)["changed"]
        for which, where in ((tagged, {first}), (scalelite.one, {domain for domain, _secret in others})):
            ((node, _asked),) = pool.seen(scalelite.create(which))
            assert f"{node}.lab.test" in where
    finally:
        apply_node(scalelite, {"domain": first, "secret": secret})
        scalelite.apply(scalelite.two)


def test_a_node_is_drained_held_and_put_back(scalelite: Tenants, lab: RunningLab) -> None:
    pool, meeting_id = scalelite.pool, scalelite.create(scalelite.one)
    ((node, _parameters),) = pool.seen(meeting_id)
    options = {"engine": "scalelite", "domain": f"{node}.lab.test", "holder": "test", "poll": 1, "timeout": 2, "ca_file": CA}
    counted = scalelite.module("pool", "meet.coop.bbb_meeting_info", {"engine": "scalelite", "ca_file": CA})
    assert next(one for one in counted["nodes"] if one["domain"] == options["domain"])["tenants"][scalelite.one["name"]]["meetings"] >= 1
    try:
        held = scalelite.module("pool", "meet.coop.bbb_node_drain", {**options, "on_timeout": "hold"})
        assert held["failed"] and "stays out of the pool" in held["msg"]
        pool.control(node, "POST", "/drop")
        drained = scalelite.module("pool", "meet.coop.bbb_node_drain", options)
        assert drained["drained"] and not drained.get("failed"), drained
        secret = next(one[2] for one in pool.state()["servers"] if one[0] == options["domain"])
        kept = apply_node(scalelite, {"domain": options["domain"], "secret": secret})
        assert not kept["changed"] and any("has it in maintenance" in warning for warning in kept["warnings"])
    finally:
        back = scalelite.module("pool", "meet.coop.bbb_node_drain", {**options, "state": "returned"})
    assert not back.get("failed") and json.loads(lab.exec("pool", ["cat", HOLDS]).stdout) == {}
    assert next(one[4:6] for one in pool.state()["servers"] if one[0] == options["domain"]) == [True, True]


def test_redis_keeps_what_is_nowhere_else(scalelite: Tenants, lab: RunningLab) -> None:
    before = scalelite.pool.state()["tenants"]
    assert lab.exec("pool", ["systemctl", "kill", "--signal=KILL", "redis-server@scalelite"]).returncode == 0
    wait_for(lambda: lab.exec("pool", ["systemctl", "is-active", "redis-server@scalelite"]).stdout.strip() == "active", 30)
    wait_for(lambda: scalelite.call(scalelite.one, "getMeetings").status == 200, 30)
    assert scalelite.pool.state()["tenants"] == before


# -- and back ----------------------------------------------------------------------------------------------------------------------


def test_the_way_back_is_the_same_variable(scalelite: Tenants, lab: RunningLab) -> None:
    empty(scalelite.pool)
    late = {"name": "se" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 15, "participants_max": 5}
    assert scalelite.apply(late, {"name": scalelite.two["name"], "state": "absent"})["changed"]
    done = play("bbblb")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    bbblb = Pool(lab)
    for which in (scalelite.one, late):
        assert bbblb.call(
            which["name"], which["secret"], "create", {**BARE, "meetingID": "back-" + secrets.token_hex(4), "duration": 600}
        ).ok
    assert bbblb.call(scalelite.two["name"], scalelite.two["secret"], "getMeetings").key == "checksumError", "removed meanwhile"
    there = bbblb.state()["tenants"]
    assert [there[which["name"]]["overrides"]["create"]["duration"] for which in (scalelite.one, late)] == ["<60", "<15"]
    assert not scalelite.apply(scalelite.one, late, engine="bbblb")["changed"], "as pool_tenant would have made them"
    assert lab.exec("pool", ["systemctl", "is-active", "scalelite-api"]).stdout.strip() == "inactive"
    scalelite.apply({"name": late["name"], "state": "absent"}, engine="bbblb")
