# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pool_tenant and pool_node against BBBLB on PostgreSQL, and what tenants can and cannot do through Caddy."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.lab import RunningLab
from tests.support.pool import ASKED, DOMAIN, NODES, Pool, fair_use_binds_softly, provide, wait_for

Module = Callable[..., dict[str, Any]]
MASKED = "********"


@pytest.fixture(scope="module")
def pool(lab: RunningLab) -> Pool:
    return provide(lab)


class Tenants:
    """Two tenants of this test run, kept through the module under test."""

    def __init__(self, pool: Pool, run_module: Module) -> None:
        self.pool = pool
        self.module = run_module
        self.one = {"name": "ta" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 60, "participants_max": 25}
        self.two = {"name": "tb" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 30, "participants_max": 2}

    def apply(self, *tenants: dict[str, Any], check: bool = False) -> dict[str, Any]:
        return self.module("pool", "meet.coop.pool_tenant", {"tenants": list(tenants)}, check=check)

    def call(self, which: dict[str, Any], call: str, parameters: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.pool.call(which["name"], which["secret"], call, parameters, **headers)

    def create(self, which: dict[str, Any], **parameters: Any) -> str:
        meeting_id = "m-" + secrets.token_hex(6)
        answer = self.call(which, "create", {"name": "Assembly", "meetingID": meeting_id, **parameters})
        assert answer.ok, answer.body
        return meeting_id


@pytest.fixture(scope="module")
def tenants(pool: Pool, run_module: Module) -> Iterator[Tenants]:
    ours = Tenants(pool, run_module)
    result = ours.apply(ours.one, ours.two)
    assert not result.get("failed"), result
    time.sleep(1.2)  # pool_tenant_cache
    yield ours
    ours.apply({"name": ours.one["name"], "state": "absent"}, {"name": ours.two["name"], "state": "absent"})


def untouched(before: dict[str, Any], after: dict[str, Any], but: str = "") -> bool:
    """Whether everything there was before, except one name, is as it was."""
    return all(
        after[kind].get(name) == entry for kind in ("servers", "tenants") for name, entry in before[kind].items() if name != but)


def settle() -> None:
    """A running BBBLB sees changes of tenants after its cache time, one second in the lab."""
    time.sleep(1.3)


# -- pool_tenant -----------------------------------------------------------------------------------------------------------------


def test_tenant_from_nothing_to_gone(pool: Pool, tenants: Tenants) -> None:
    by_hand = {"enabled": True, "secret": secrets.token_hex(20), "realm": "hand" + secrets.token_hex(4),
               "overrides": {"create": {"welcome": "?Hello", "duration": "<7"}, "join": {"role": "=VIEWER"}}}
    state = pool.state()
    state["tenants"]["byhand"] = by_hand
    pool.bbblb("state", "import", "--include", "tenants", "-", given=json.dumps({"v": 1, "tenants": state["tenants"]}))
    before = pool.state()
    mine = {"name": "tc" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 45, "participants_max": 10,
            "disabled_features": ["polls"]}

    # Check mode predicts and changes nothing.
    predicted = tenants.apply(mine, check=True)
    assert predicted["changed"] and mine["name"] not in pool.state()["tenants"]
    done = tenants.apply(mine)
    assert (done["changed"], done["diff"], done["tenants"]) == (predicted["changed"], predicted["diff"], predicted["tenants"])
    assert done["tenants"] == [{"name": mine["name"], "action": "created"}]
    assert mine["secret"] not in json.dumps(done)
    after = pool.state()
    kept = after["tenants"][mine["name"]]
    assert untouched(before, after), "every other tenant and node is as it was, hand-made overrides included"
    assert kept["enabled"] and kept["secret"] == mine["secret"] and kept["realm"] == mine["name"]
    expected = {
        "duration": "<45", "maxParticipants": "<10", "record": "=false", "disabledFeatures": "+polls", "disabledFeaturesExclude": "="}
    assert kept["overrides"]["create"].items() >= expected.items()

    # A second run has nothing to do.
    again = tenants.apply(mine)
    assert not again["changed"] and again["diff"] == {"before": {}, "after": {}}

    # A changed cap and a new secret show, the secret masked.
    changed = {**mine, "duration_max": 90, "secret": secrets.token_hex(20)}
    predicted, done = tenants.apply(changed, check=True), tenants.apply(changed)
    assert predicted["diff"] == done["diff"] and done["tenants"][0]["action"] == "changed"
    shown = done["diff"]["before"][mine["name"]], done["diff"]["after"][mine["name"]]
    assert [side["overrides"]["create"]["duration"] for side in shown] == ["<45", "<90"]
    assert [side["secret"] for side in shown] == [MASKED, MASKED + " (new)"]
    assert mine["secret"] not in json.dumps(done) and changed["secret"] not in json.dumps(done)
    settle()
    assert pool.call(mine["name"], mine["secret"], "getMeetings").key == "checksumError"
    assert pool.call(mine["name"], changed["secret"], "getMeetings").ok

    # Disabled: nobody gets in, and it stays that way.
    off = {**changed, "enabled": False}
    assert tenants.apply(off)["changed"] and not tenants.apply(off)["changed"]
    settle()
    assert pool.call(mine["name"], changed["secret"], "getMeetings").key == "checksumError"

    # Gone: locked out, once, and its secret with it.
    gone = {"name": mine["name"], "state": "absent"}
    predicted, done = tenants.apply(gone, check=True), tenants.apply(gone)
    assert predicted["diff"] == done["diff"] and done["tenants"][0]["action"] == "removed"
    entry = pool.state()["tenants"][mine["name"]]
    assert not entry["enabled"] and entry["secret"] not in (mine["secret"], changed["secret"]) and entry["overrides"]["create"] == {}
    assert not tenants.apply(gone)["changed"]
    pool.psql("delete from tenants where name = 'byhand';")


def test_hand_made_drift_is_found_and_repaired(pool: Pool, tenants: Tenants) -> None:
    name = tenants.one["name"]
    right = pool.state()["tenants"][name]
    pool.bbblb("tenant", "override", name, "--unset", "maxParticipants", "--set", "duration<6000", "--set", "welcome=Hi")
    pool.bbblb("tenant", "override", name, "--type", "join", "--set", "role=MODERATOR")
    assert pool.state()["tenants"][name] != right
    result = tenants.apply(tenants.one, tenants.two)
    assert result["tenants"] == [{"name": name, "action": "changed"}, {"name": tenants.two["name"], "action": "unchanged"}]
    assert result["diff"]["before"][name]["overrides"]["create"]["duration"] == "<6000"
    assert pool.state()["tenants"][name] == right
    pool.bbblb("tenant", "disable", name)
    assert tenants.apply(tenants.one)["changed"] and pool.state()["tenants"][name] == right


def test_a_killed_run_leaves_the_old_state_and_the_next_heals(pool: Pool, tenants: Tenants, lab: RunningLab) -> None:
    before = pool.state()
    wanted = {**tenants.one, "duration_max": 50}
    lock = "begin; lock table tenant_override in share row exclusive mode; select pg_sleep(60);"
    holder = threading.Thread(target=lab.exec, args=("pool", ["runuser", "--user=bbblb", "--", "psql", "-XtA", "-d", "bbblb", "-c", lock]))
    holder.start()
    results: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: results.append(tenants.apply(wanted)))
    running.start()
    try:
        # The import now waits for the lock: end module and import as a power cut would, without a chance to clean up.
        wait_for(lambda: lab.exec("pool", ["pgrep", "-f", "bbblb.* state import"]).stdout, 60)
        lab.exec("pool", ["pkill", "-KILL", "-f", "bbblb.* state import"])
        lab.exec("pool", ["pkill", "-KILL", "-f", "pool_tenant"])
        running.join(60)
    finally:
        pool.psql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' and pid <> pg_backend_pid();")
        holder.join(60)
        running.join(60)
    assert results and results[0].get("failed"), results
    assert untouched(before, pool.state())
    assert tenants.apply(wanted)["changed"]
    assert pool.state()["tenants"][tenants.one["name"]]["overrides"]["create"]["duration"] == "<50"
    assert tenants.apply(tenants.one)["changed"] and untouched(before, pool.state())


def test_what_cannot_be_is_one_clear_line(pool: Pool, tenants: Tenants) -> None:
    before = pool.state()
    result = tenants.apply({"name": "nocaps", "secret": "x" * 20})
    assert result["failed"] and "duration_max, participants_max" in result["msg"] and "\n" not in result["msg"]
    # The database would refuse this one, with a traceback.
    result = tenants.apply({**tenants.one, "name": "twin"})
    assert result["failed"] and "have the same secret" in result["msg"] and tenants.one["secret"] not in json.dumps(result)
    assert "Traceback" not in json.dumps(result) and untouched(before, pool.state()) and "twin" not in pool.state()["tenants"]


def test_a_pool_without_its_database_is_one_clear_line(pool: Pool, run_module: Module, lab: RunningLab) -> None:
    script = "sed s,postgresql:///bbblb,postgresql:///nosuch, /etc/bbblb/bbblb.conf > /run/nosuch.conf && chmod 644 /run/nosuch.conf"
    assert lab.exec("pool", ["sh", "-c", script]).returncode == 0
    given = {"name": "nobody", "secret": "x" * 20, "duration_max": 1, "participants_max": 1}
    result = run_module("pool", "meet.coop.pool_tenant", {"tenants": [given], "bbblb_config": "/run/nosuch.conf"})
    lab.exec("pool", ["rm", "/run/nosuch.conf"])
    assert result["failed"] and 'database "nosuch" does not exist' in result["msg"] and "\n" not in result["msg"]


# -- what a holder of the secret gets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "seen"), [
    *ASKED,
    # Python reads these as numbers, BigBlueButton does not and would set no limit at all.
    ({"duration": "1_0", "maxParticipants": " 7"}, ("10", "7")),
    ({"duration": "+10", "maxParticipants": "٧"}, ("10", "7")),
])
def test_caps_bind_whoever_holds_the_secret(pool: Pool, tenants: Tenants, asked: dict[str, Any], seen: tuple[str, str]) -> None:
    meeting_id = tenants.create(tenants.one, **asked)
    ((node, parameters),) = pool.seen(meeting_id)
    assert (parameters["duration"], parameters["maxParticipants"]) == seen
    (kept,) = [one for one in pool.control(node, "GET", "/meetings") if one["meetingID"].startswith(meeting_id)]
    assert (str(kept["duration"]), str(kept["maxUsers"])) == seen, "the node keeps what was sent"


def test_ways_around_the_caps_are_closed(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(
        tenants.one, record="true", autoStartRecording="true", meetingKeepEvents="true", disabledFeaturesExclude="polls",
        meetingExpireIfNoUserJoinedInMinutes=0, meetingExpireWhenLastUserLeftInMinutes=0, allowRequestsWithoutSession="true",
        isBreakout="true", parentMeetingID="other-bbblb-other", meetingEndedURL="http://127.0.0.1:8000/", **{"meta_bbblb-tenant": "other"})
    ((_node, parameters),) = pool.seen(meeting_id)
    assert {parameters[name] for name in ("record", "autoStartRecording", "allowStartStopRecording", "meetingKeepEvents")} == {"false"}
    assert not {"disabledFeaturesExclude", "allowRequestsWithoutSession", "isBreakout", "parentMeetingID"} & set(parameters)
    assert (parameters["meetingExpireIfNoUserJoinedInMinutes"], parameters["meetingExpireWhenLastUserLeftInMinutes"]) == ("5", "1")
    assert parameters["meetingEndedURL"].startswith(f"https://{DOMAIN}/bbblb/api/v1/callback/")
    assert parameters["meta_bbblb-tenant"] == tenants.one["name"]


def test_caps_bind_in_forms_bodies_and_twice_given(pool: Pool, tenants: Tenants) -> None:
    name, secret = tenants.one["name"], tenants.one["secret"]
    path = f"/t/{name}/bigbluebutton/api/create"
    asked = {"name": "Assembly", "duration": "600", "maxParticipants": "250"}

    form = "f-" + secrets.token_hex(6)
    body = pool.sign("create", urlencode({**asked, "meetingID": form}), secret).encode()
    assert pool.request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"}).ok

    slides = "x-" + secrets.token_hex(6)
    query = pool.sign("create", urlencode({**asked, "meetingID": slides}), secret)
    assert pool.request("POST", f"{path}?{query}", b"<modules/>", {"Content-Type": "application/xml"}).ok

    twice = "d-" + secrets.token_hex(6)
    query = pool.sign("create", urlencode({**asked, "meetingID": twice}) + "&duration=9999&dur%61tion=8888", secret)
    assert pool.request("GET", f"{path}?{query}").ok

    for meeting_id in (form, slides, twice):
        ((_node, parameters),) = pool.seen(meeting_id)
        assert (parameters["duration"], parameters["maxParticipants"]) == ("60", "25")


def test_people_stop_at_the_cap(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.two, maxParticipants=200)
    results = []
    for person in range(4):
        asked = {"fullName": "Ada", "meetingID": meeting_id, "role": "VIEWER", "userID": f"u{person}", "redirect": "false"}
        answer = tenants.call(tenants.two, "join", asked)
        assert answer.status == 307
        link = urlsplit(answer.headers["Location"])
        node = (link.hostname or "").partition(".")[0]
        assert node in NODES and link.path == "/bigbluebutton/api/join"
        results.append(pool.request("GET", f"{link.path}?{link.query}", host=link.hostname or "", where=node))
    assert [answer.ok for answer in results] == [True, True, False, False]
    assert results[2].key == "maxParticipantsReached"


def test_what_is_fair_at_once_is_looked_at_when_a_meeting_begins(tenants: Tenants) -> None:
    fair_use_binds_softly(tenants, settle)


# -- between tenants, and from outside ---------------------------------------------------------------------------------------------


def test_the_path_names_the_tenant_and_nothing_else_does(pool: Pool, tenants: Tenants) -> None:
    one, two = tenants.one, tenants.two
    assert pool.call(one["name"], two["secret"], "getMeetings").key == "checksumError"
    assert pool.call("nobody", one["secret"], "getMeetings").key == "checksumError"
    # A forged header is replaced: two's secret does not open two's realm on one's path, and one stays one.
    assert pool.call(one["name"], two["secret"], "getMeetings", X_Coop_Realm=two["name"]).key == "checksumError"
    assert pool.call(one["name"], one["secret"], "getMeetings", X_Coop_Realm=two["name"]).ok
    query = pool.sign("getMeetings", "", two["secret"])
    for path in (
        "/bigbluebutton/api/getMeetings", "/t//bigbluebutton/api/getMeetings", f"/t/{two['name'].upper()}/bigbluebutton/api/getMeetings",
        f"/x/t/{two['name']}/bigbluebutton/api/getMeetings",
    ):
        answer = pool.request("GET", f"{path}?{query}", headers={"X-Coop-Realm": two["name"]})
        assert answer.status == 404, path
    for path in (f"/t/{one['name']}/../{two['name']}/bigbluebutton/api/getMeetings", f"/t/{one['name']}/bigbluebutton/api//getMeetings"):
        answer = pool.request("GET", f"{path}?{pool.sign('getMeetings', '', one['secret'])}", headers={"X-Coop-Realm": two["name"]})
        assert answer.status == 404 or not answer.ok or path.endswith("//getMeetings"), path


def test_administration_is_closed_from_outside(pool: Pool, tenants: Tenants) -> None:
    token = pool.bbblb("maketoken", "-t", tenants.one["name"], "somebody").split()[-1]
    admin = pool.bbblb("maketoken", "somebody", "admin").split()[-1]
    for path in (
        "/", "/bbblb/api/v1/tenant", "/bbblb/api/v1/server", f"/bbblb/api/v1/tenant/{tenants.one['name']}",
        "/bbblb/api/v1/recording/upload", "/playback/presentation/2.3/x",
        f"/t/{tenants.one['name']}/bbblb/api/v1/tenant", "/bbblb/api/v1/callback/../tenant",
        "/bbblb/api/v1/callback/%2e%2e/tenant", "/bbblb/api/v1/tenant/../callback/00000000-0000-0000-0000-000000000000/x",
        "//bbblb/api/v1/tenant", "/bigbluebutton/api/../../bbblb/api/v1/tenant",
    ):
        for key in (token, admin):
            assert pool.request("GET", path, headers={"Authorization": f"Bearer {key}"}).status in (400, 404), path
    assert pool.request("GET", "/bbblb/api/v1/callback/00000000-0000-0000-0000-000000000000/end/" + "0" * 64).status == 401


def test_a_join_carries_no_body(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.one)
    query = pool.sign("join", urlencode({"fullName": "Ada", "meetingID": meeting_id, "password": "x"}), tenants.one["secret"])
    path = f"/t/{tenants.one['name']}/bigbluebutton/api/join?{query}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert pool.request("GET", path).status == 307
    assert pool.request("GET", path, b"role=MODERATOR", form).status == 413
    assert pool.request("POST", path, b"role=MODERATOR", form).status == 405
    chunked = pool.request("GET", path, b"e\r\nrole=MODERATOR\r\n0\r\n\r\n", {**form, "Transfer-Encoding": "chunked"})
    assert "MODERATOR" not in chunked.headers.get("Location", "")


def test_a_tenant_lists_its_own_meetings_under_its_own_ids(pool: Pool, tenants: Tenants) -> None:
    same = "same-" + secrets.token_hex(4)
    for which in (tenants.one, tenants.two):
        assert tenants.call(which, "create", {"name": which["name"], "meetingID": same}).ok
    for which in (tenants.one, tenants.two):
        answer = tenants.call(which, "getMeetings")
        assert answer.ok, "BBBLB 0.0.18 alone answers 500 here"
        listed = {one.findtext("meetingID"): one.findtext("meetingName") for one in answer.xml.iterfind("meetings/meeting")}
        assert listed[same] == which["name"]
        owners = {one.findtext("metadata/bbblb-tenant") for one in answer.xml.iterfind("meetings/meeting")}
        assert owners == {which["name"]}


# -- nodes -------------------------------------------------------------------------------------------------------------------------


def test_one_failed_poll_loses_no_meeting(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.one)
    ((node, _parameters),) = pool.seen(meeting_id)
    domain = f"{node}.lab.test"
    try:
        pool.control(node, "POST", "/mode", {"mode": "fail"})
        wait_for(lambda: pool.health()[domain] == "unstable", 20)
    finally:
        pool.control(node, "POST", "/mode", {"mode": "ok"})
    wait_for(lambda: pool.health()[domain] == "available", 30)
    assert tenants.call(tenants.one, "getMeetingInfo", {"meetingID": meeting_id}).ok, "BBBLB 0.0.18 alone has forgotten it by now"
    assert tenants.call(tenants.one, "create", {"name": "Assembly", "meetingID": meeting_id}).key == "duplicateWarning"
    assert {found for found, _parameters in pool.seen(meeting_id)} == {node}


@pytest.mark.thorough
def test_a_node_dies_with_a_meeting_on_it_and_comes_back(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.one)
    ((node, _parameters),) = pool.seen(meeting_id)
    domain = f"{node}.lab.test"
    pool.lab.exec(node, ["systemctl", "stop", "bbb-double"])
    try:
        wait_for(lambda: pool.health()[domain] == "offline", 60, 1)
        # Its people meet again under the same ID, elsewhere, and so does everybody else.
        assert tenants.call(tenants.one, "create", {"name": "Assembly", "meetingID": meeting_id}).ok
        others = [name for name in NODES if name != node]
        made = [one for other in others for one in pool.control(other, "GET", "/log?call=create")]
        assert [one for one in made if pool.own_id(one["parameters"]["meetingID"]) == meeting_id]
        listed = tenants.call(tenants.one, "getMeetings")
        assert listed.ok and meeting_id in [one.findtext("meetingID") for one in listed.xml.findall("meetings/meeting")]
        assert tenants.call(tenants.one, "create", {"name": "Another", "meetingID": f"{meeting_id}-2"}).ok
    finally:
        pool.lab.exec(node, ["systemctl", "start", "bbb-double"])
    wait_for(lambda: pool.health()[domain] == "available", 60, 1)
    assert tenants.call(tenants.one, "getMeetingInfo", {"meetingID": meeting_id}).ok, "the meeting elsewhere goes on"


def test_a_meeting_made_during_a_poll_is_not_lost(pool: Pool, tenants: Tenants) -> None:
    """The node's list is a second old when it arrives (busy), so each of these meetings but few is missing in one."""
    try:
        for node in NODES:
            pool.control(node, "POST", "/mode", {"mode": "busy"})
        made = []
        for _number in range(10):
            made.append(tenants.create(tenants.one))
            time.sleep(0.3)
        time.sleep(4)  # two polls
    finally:
        for node in NODES:
            pool.control(node, "POST", "/mode", {"mode": "ok"})
    assert [one for one in made if not tenants.call(tenants.one, "getMeetingInfo", {"meetingID": one}).ok] == []


def test_an_ended_meeting_is_reported_by_its_node(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.one)
    ((node, parameters),) = pool.seen(meeting_id)
    pool.control(node, "POST", "/end", {"meetingID": parameters["meetingID"]})
    called = wait_for(lambda: [one for one in pool.control(node, "GET", "/callbacks") if parameters["meetingEndedURL"] in one["url"]])
    assert called[0]["status"] == 200
    assert tenants.call(tenants.one, "getMeetingInfo", {"meetingID": meeting_id}).key == "notFound"


def test_meetings_are_counted_for_the_meter(pool: Pool, tenants: Tenants) -> None:
    meeting_id = tenants.create(tenants.one)
    ((node, parameters),) = pool.seen(meeting_id)
    pool.control(node, "POST", "/users", {"meetingID": parameters["meetingID"], "users": 4, "voice": 3, "video": 2})
    query = f"select max(users), max(voice), max(video) from meeting_stats where meeting_id = '{meeting_id}';"
    wait_for(lambda: pool.psql(query).strip() == "4|3|2")


def test_node_from_nothing_to_gone(pool: Pool, run_module: Module) -> None:
    before = pool.state()
    domain = f"node{secrets.token_hex(3)}.lab.test"
    wanted = {"domain": domain, "secret": secrets.token_hex(20)}

    def apply(node: dict[str, Any], check: bool = False) -> dict[str, Any]:
        return run_module("pool", "meet.coop.pool_node", {"nodes": [node], "probe_timeout": 2}, check=check)

    predicted = apply(wanted, check=True)
    assert domain not in pool.state()["servers"]
    done = apply(wanted)
    assert (predicted["diff"], predicted["nodes"]) == (done["diff"], done["nodes"])
    assert done["changed"] and done["nodes"][0]["action"] == "created" and done["nodes"][0]["health"] is None
    assert wanted["secret"] not in json.dumps(done)
    assert pool.state()["servers"] == {**before["servers"], domain: {"enabled": True, "secret": wanted["secret"]}}
    assert not apply(wanted)["changed"]
    assert apply({**wanted, "enabled": False})["nodes"][0]["action"] == "changed"
    gone = {"domain": domain, "state": "absent"}
    predicted, done = apply(gone, check=True), apply(gone)
    assert predicted["diff"] == done["diff"] and done["nodes"] == [
        {"domain": domain, "action": "removed", "health": None, "draining": False}]
    assert domain not in pool.state()["servers"] and untouched(before, pool.state())
    assert not apply(gone)["changed"]


def test_a_node_goes_when_its_meetings_are_over_and_comes_back_at_once(pool: Pool, tenants: Tenants, run_module: Module) -> None:
    meeting_id = tenants.create(tenants.one)
    ((node, parameters),) = pool.seen(meeting_id)
    domain = f"{node}.lab.test"
    back = {"domain": domain, "secret": pool.state()["servers"][domain]["secret"]}

    def apply(one: dict[str, Any], check: bool = False) -> dict[str, Any]:
        return run_module("pool", "meet.coop.pool_node", {"nodes": [one], "ca_file": "/etc/meet-coop/ca-bundle.pem"}, check=check)

    gone = {"domain": domain, "state": "absent"}
    try:
        predicted, done = apply(gone, check=True), apply(gone)
        assert predicted["diff"] == done["diff"] and done["nodes"][0] | {"health": None} == {
            "domain": domain, "action": "draining", "health": None, "draining": True}
        assert not pool.state()["servers"][domain]["enabled"]
        assert tenants.call(tenants.one, "getMeetingInfo", {"meetingID": meeting_id}).ok, "what runs goes on"
        waiting = apply(gone)
        assert not waiting["changed"] and waiting["nodes"][0]["draining"]
        pool.control(node, "POST", "/drop")
        left = f"select count(*) from meetings m join servers s on s.id = m.server_fk where s.domain = '{domain}';"
        wait_for(lambda: pool.psql(left) == "0\n")
        # A recording may still come from there: deleting the node now would break a foreign key.
        pool.psql(
            "insert into callbacks (uuid, type, tenant_fk, server_fk, created) select gen_random_uuid(), 'REC', t.id, s.id, now() "
            f"from tenants t, servers s where t.name = '{tenants.one['name']}' and s.domain = '{domain}';")
        waiting = apply(gone)
        assert not waiting.get("failed") and not waiting["changed"] and waiting["nodes"][0]["draining"]
        pool.psql(f"delete from callbacks using servers s where s.id = server_fk and s.domain = '{domain}';")
        assert apply(gone)["nodes"][0]["action"] == "removed" and domain not in pool.state()["servers"]
    finally:
        predicted, done = apply(back, check=True), apply(back)
    assert predicted["diff"] == done["diff"]
    assert done["nodes"] == [{"domain": domain, "action": "created", "health": "available", "draining": False}]
    assert pool.health()[domain] == "available"
    assert not apply(back)["changed"]
    # Registered but out of service, as after a run that was killed between the two steps.
    pool.psql(f"update servers set health = 2 where domain = '{domain}';")
    assert apply(back)["nodes"][0]["action"] in ("available", "unchanged") and pool.health()[domain] == "available"


def test_a_wrong_node_secret_is_told(pool: Pool, run_module: Module) -> None:
    before = pool.state()
    given = {"nodes": [{"domain": "node1.lab.test", "secret": "not-the-secret-of-node1"}], "ca_file": "/etc/meet-coop/ca-bundle.pem"}
    pool.psql("update servers set health = 1, recover = -100 where domain = 'node1.lab.test';")
    try:
        result = run_module("pool", "meet.coop.pool_node", given, check=True)
    finally:
        pool.bbblb("server", "enable", "--now", "node1.lab.test")
        pool.psql("update servers set health = 0, recover = 0 where domain = 'node1.lab.test';")
    assert result["changed"] and any("checksumError" in warning for warning in result["warnings"])
    assert untouched(before, pool.state())


def test_meetings_that_begin_at_the_same_time_all_begin(tenants: Tenants) -> None:
    """BBBLB by itself answers some of them with internalError (coop_bbblb.py, tenant_of_its_own)."""
    with ThreadPoolExecutor(8) as crowd:
        names = [f"at-once-{secrets.token_hex(6)}" for _each in range(24)]
        answers = list(crowd.map(lambda name: tenants.call(tenants.one, "create", {"name": "At once", "meetingID": name}), names))
    assert [answer.body for answer in answers if not answer.ok] == []
