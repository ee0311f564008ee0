# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BigBlueButton node answers and refuses, black box.

Runs against the double on loopback; with BBB_API_URL (ending in /bigbluebutton/api/) and BBB_API_SECRET set it runs against that
node instead, and what needs the double's control side is skipped.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import json
import os
import re
import secrets
import ssl
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.lab.bbb import bbb_double


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    xml: ET.Element | None = field(default=None)

    @property
    def key(self) -> str | None:
        return self.xml.findtext("messageKey") if self.xml is not None else None

    @property
    def ok(self) -> bool:
        return self.xml is not None and self.xml.findtext("returncode") == "SUCCESS"

    def text(self, path: str) -> str | None:
        return self.xml.findtext(path) if self.xml is not None else None


@dataclass
class Api:
    """The node under test: its address, its secret, and the double's control port where there is one."""

    url: str
    secret: str
    context: ssl.SSLContext
    control_port: int | None = None

    def raw(self, method: str, call: str, query: str = "", body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        parts = urlsplit(self.url)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=self.context, timeout=15)
        connection.request(method, f"{parts.path}{call}" + (f"?{query}" if query else ""), body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        try:
            root = ET.fromstring(data)
        except ET.ParseError:
            root = None
        return Reply(answer.status, dict(answer.getheaders()), data, root)

    def sign(self, call: str, query: str, algorithm: str = "sha256", secret: str | None = None) -> str:
        value = hashlib.new(algorithm, (call + query + (secret or self.secret)).encode()).hexdigest()
        return f"{query}{'&' if query else ''}checksum={value}"

    def call(self, call: str, algorithm: str = "sha256", **parameters: Any) -> Reply:
        return self.raw("GET", call, self.sign(call, urlencode(parameters), algorithm))

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if self.control_port is None:
            pytest.skip("needs the double's control side")
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=15)
        connection.request(method, path, json.dumps(body or {}).encode())
        answer = connection.getresponse()
        data = json.loads(answer.read())
        assert answer.status == 200, data
        return data

    def create(self, meeting_id: str | None = None, **parameters: Any) -> str:
        meeting_id = meeting_id or "conf-" + secrets.token_hex(6)
        reply = self.call("create", name="Conformance", meetingID=meeting_id, **parameters)
        assert reply.ok, reply.body
        return meeting_id

    def join(self, meeting_id: str, name: str = "Ada", **parameters: Any) -> Reply:
        return self.call("join", **{"fullName": name, "meetingID": meeting_id, "role": "VIEWER", "redirect": "false", **parameters})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    if os.environ.get("BBB_API_URL"):
        yield Api(os.environ["BBB_API_URL"].rstrip("/") + "/", os.environ["BBB_API_SECRET"], ssl.create_default_context())
        return
    here = tmp_path_factory.mktemp("bbb")
    config = {"secret": secrets.token_hex(20), "host": "127.0.0.1", "listen": "127.0.0.1", "port": 0, "control_port": 0, "end_delay": 0.2}
    config |= certificate(here)
    public, control, _node = bbb_double.serve(config)
    for server in (public, control):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    context = ssl.create_default_context(cafile=config["certificate"])
    yield Api(f"https://127.0.0.1:{public.server_address[1]}/bigbluebutton/api/", config["secret"], context, control.server_address[1])
    for server in (public, control):
        server.shutdown()
        server.server_close()


def certificate(here: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1 that vouches for itself."""
    paths = {"certificate": str(here / "node.crt"), "key": str(here / "node.key")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", paths["key"], "-out", paths["certificate"]],
        check=True, capture_output=True)
    return paths


def wait_for(condition: Any, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


# -- transport and checksum ------------------------------------------------------------------------------------------------------


def test_root_needs_no_checksum_and_hides_the_version(api: Api) -> None:
    reply = api.raw("GET", "")
    assert (reply.status, reply.ok, reply.text("version")) == (200, True, "2.0")
    assert not reply.text("bbbVersion")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_every_checksum_algorithm_is_told_by_its_length(api: Api, algorithm: str) -> None:
    assert api.call("getMeetings", algorithm).ok


@pytest.mark.parametrize(
    "query",
    [
        "",
        "checksum=",
        "checksum=0123",
        "checksum=" + "0" * 40,
        "checksum=" + "g" * 64,
        "name=x&checksum=" + hashlib.sha256(b"getMeetings").hexdigest(),
    ],
)
def test_missing_or_wrong_checksums_are_refused_with_status_200(api: Api, query: str) -> None:
    reply = api.raw("GET", "getMeetings", query)
    assert (reply.status, reply.ok, reply.key) == (200, False, "checksumError")
    assert reply.text("message")


def test_the_checksum_covers_call_and_raw_query(api: Api) -> None:
    signed = api.sign("isMeetingRunning", "meetingID=a%20b")
    assert api.raw("GET", "isMeetingRunning", signed).ok
    assert api.raw("GET", "getMeetingInfo", signed).key == "checksumError"
    assert api.raw("GET", "isMeetingRunning", signed.replace("%20", "+")).key == "checksumError"
    assert api.raw("GET", "isMeetingRunning", signed + "&meetingID=other").key == "checksumError"


def test_the_checksum_may_stand_anywhere(api: Api) -> None:
    name, _other, value = api.sign("isMeetingRunning", "meetingID=abc").rpartition("&")
    assert api.raw("GET", "isMeetingRunning", f"{value}&{name}").ok


def test_a_form_is_signed_over_its_body(api: Api) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = api.sign("getMeetings", "a=b").encode()
    assert api.raw("POST", "getMeetings", "", body, form).ok
    assert api.raw("POST", "getMeetings", "a=b", body, form).key == "checksumError"
    assert api.raw("POST", "getMeetings", "", body.replace(b"a=b", b"a=c"), form).key == "checksumError"


def test_an_xml_body_is_not_signed_the_query_is(api: Api) -> None:
    query = api.sign("create", urlencode({"name": "Slides", "meetingID": "xml-" + secrets.token_hex(4)}))
    assert api.raw("POST", "create", query, b"<modules/>", {"Content-Type": "application/xml"}).ok


@pytest.mark.parametrize(("call", "kind"), [
    ("create", "application/json"), ("create", ""), ("end", "application/xml"), ("insertDocument", "application/x-www-form-urlencoded")])
def test_other_content_types_are_refused(api: Api, call: str, kind: str) -> None:
    reply = api.raw("POST", call, api.sign(call, "meetingID=abc"), b"x", {"Content-Type": kind})
    assert reply.key == "unsupportedContentType"


def test_unknown_calls_and_posted_joins_are_refused(api: Api) -> None:
    assert api.call("nosuchcall").key == "unsupportedRequest"
    body = api.sign("join", "meetingID=abc&fullName=Ada").encode()
    assert api.raw("POST", "join", "", body, {"Content-Type": "application/x-www-form-urlencoded"}).key == "unsupportedRequest"


# -- create ----------------------------------------------------------------------------------------------------------------------


def test_create_answers_with_ids_times_and_passwords(api: Api) -> None:
    meeting_id = "conf-" + secrets.token_hex(6)
    before = int(time.time() * 1000)
    reply = api.call("create", name="First", meetingID=meeting_id, duration=30, **{"meta_BBBLB-Tenant": "cafe"})
    assert reply.ok and reply.text("meetingID") == meeting_id
    digest = hashlib.sha1(meeting_id.encode()).hexdigest()
    assert re.fullmatch(rf"{digest}-[0-9]{{13}}", reply.text("internalMeetingID") or "")
    assert before - 1000 <= int(reply.text("createTime") or 0) <= int(time.time() * 1000) + 1000
    assert reply.text("duration") == "30" and reply.text("hasBeenForciblyEnded") == "false"
    assert reply.text("attendeePW") and reply.text("moderatorPW") and reply.text("voiceBridge")
    info = api.call("getMeetingInfo", meetingID=meeting_id)
    assert info.text("metadata/bbblb-tenant") == "cafe"
    assert (info.text("running"), info.text("endTime"), info.text("participantCount")) == ("false", "0", "0")


def test_create_again_is_a_warning_with_the_same_meeting(api: Api) -> None:
    meeting_id = "conf-" + secrets.token_hex(6)
    first = api.call("create", name="Twice", meetingID=meeting_id, moderatorPW="mp")
    second = api.call("create", name="Twice", meetingID=meeting_id, moderatorPW="mp", duration=600)
    assert second.ok and second.key == "duplicateWarning"
    assert second.text("internalMeetingID") == first.text("internalMeetingID")
    assert second.text("duration") == first.text("duration"), "the duration of a running meeting cannot be changed"
    assert api.call("create", name="Twice", meetingID=meeting_id, moderatorPW="other").key == "idNotUnique"


@pytest.mark.parametrize(("parameters", "key"), [
    ({"name": "No ID"}, "missingParamMeetingID"),
    ({"name": "x" * 10, "meetingID": "a"}, "sizeError"),
    ({"name": "x" * 10, "meetingID": "a" * 257}, "sizeError"),
    ({"name": "x" * 10, "meetingID": "a,b"}, "validationError"),
    ({"name": "", "meetingID": "abc"}, "validationError"),
    ({"name": "x", "meetingID": "abc"}, "sizeError"),
    ({"name": "x" * 65, "meetingID": "abc"}, "sizeError"),
    ({"name": "A, B", "meetingID": "abc"}, "validationError"),
    ({"name": "Fine", "meetingID": "abc", "voiceBridge": "12x45"}, "validationError"),
    ({"name": "Fine", "meetingID": "abc", "record": "maybe"}, "validationError"),
    ({"name": "Fine", "meetingID": "abc", "moderatorPW": "x"}, "sizeError"),
])
def test_create_refuses(api: Api, parameters: dict[str, str], key: str) -> None:
    reply = api.call("create", **parameters)
    assert (reply.ok, reply.key) == (False, key)


def test_longest_id_and_name_pass(api: Api) -> None:
    api.create("i" * 240 + secrets.token_hex(8))
    assert api.call("create", name="n" * 64, meetingID="conf-" + secrets.token_hex(6)).ok


@pytest.mark.parametrize(("given", "seen"), [
    ("60", "60"), ("+60", "60"), ("1_0", "0"), (" 60", "0"), ("60 ", "0"), ("6.5", "0"), ("", "0"), ("99999999999", "0")])
def test_numbers_are_read_strictly_and_fall_back_to_no_limit(api: Api, given: str, seen: str) -> None:
    """Integer.parseInt, and the server's default (0, no limit) for what it refuses: whoever clamps before must read as strictly."""
    meeting_id = api.create(duration=given, maxParticipants=given)
    info = api.call("getMeetingInfo", meetingID=meeting_id)
    assert (info.text("duration"), info.text("maxUsers")) == (seen, seen)


# -- meetings --------------------------------------------------------------------------------------------------------------------


def test_meetings_are_listed_with_their_fields(api: Api) -> None:
    meeting_id = api.create(**{"meta_bbblb-tenant": "rosa"})
    reply = api.call("getMeetings")
    found = [entry for entry in reply.xml.iterfind("meetings/meeting") if entry.findtext("meetingID") == meeting_id]  # type: ignore[union-attr]
    assert len(found) == 1
    names = {child.tag for child in found[0]}
    assert names >= {
        "meetingName", "meetingID", "internalMeetingID", "createTime", "createDate", "voiceBridge", "attendeePW", "moderatorPW", "running",
        "duration", "hasUserJoined", "recording", "hasBeenForciblyEnded", "startTime", "endTime", "participantCount", "listenerCount",
        "voiceParticipantCount", "videoCount", "maxUsers", "moderatorCount", "attendees", "metadata", "isBreakout"}
    assert found[0].findtext("metadata/bbblb-tenant") == "rosa"


def test_running_means_somebody_is_in(api: Api) -> None:
    meeting_id = api.create()
    assert api.call("isMeetingRunning", meetingID=meeting_id).text("running") == "false"
    assert api.join(meeting_id).ok
    if api.control_port is None:
        pytest.skip("a real node counts people when their browser arrives")
    assert api.call("isMeetingRunning", meetingID=meeting_id).text("running") == "true"
    assert api.call("isMeetingRunning", meetingID="nobody-knows").text("running") == "false"


def test_unknown_meetings(api: Api) -> None:
    for call in ("getMeetingInfo", "end", "sendChatMessage"):
        assert api.call(call, meetingID="nobody-knows", message="x").key == "notFound"
    assert api.join("nobody-knows").key == "notFound"
    assert api.call("getMeetingInfo").key == "missingParamMeetingID"


def test_end_is_a_request_and_the_meeting_goes(api: Api) -> None:
    meeting_id = api.create()
    reply = api.call("end", meetingID=meeting_id)
    assert reply.ok and reply.key == "sentEndMeetingRequest"
    assert wait_for(lambda: api.call("getMeetingInfo", meetingID=meeting_id).key == "notFound", 30)


def test_no_recordings_is_success(api: Api) -> None:
    reply = api.call("getRecordings", meetingID="nobody-knows")
    assert reply.ok and reply.key == "noRecordings"


# -- join ------------------------------------------------------------------------------------------------------------------------


def test_join_by_role_or_password(api: Api) -> None:
    meeting_id = api.create(attendeePW="att", moderatorPW="mod")
    assert api.join(meeting_id, role="MODERATOR", userID="m").ok
    assert api.call("join", fullName="Bea", meetingID=meeting_id, password="att", redirect="false").ok
    assert api.call("join", fullName="Bea", meetingID=meeting_id, password="wrong", redirect="false").key == "invalidPassword"
    assert api.call("join", fullName="Bea", meetingID=meeting_id, redirect="false").key == "invalidPassword"
    assert api.join(meeting_id, name="").key == "missingParamFullName"
    assert api.join(meeting_id, createTime="1").key == "mismatchCreateTimeParam"


def test_join_redirects_a_browser(api: Api) -> None:
    meeting_id = api.create()
    reply = api.call("join", fullName="Ada", meetingID=meeting_id, role="VIEWER")
    assert reply.status == 302 and "sessionToken=" in reply.headers["Location"]


def test_participants_stop_at_the_maximum(api: Api) -> None:
    if api.control_port is None:
        pytest.skip("a real node counts people when their browser arrives")
    meeting_id = api.create(maxParticipants=2)
    assert api.join(meeting_id, userID="a").ok and api.join(meeting_id, userID="b").ok
    assert api.join(meeting_id, userID="c").key == "maxParticipantsReached"
    assert api.join(meeting_id, userID="c", role="MODERATOR").key == "maxParticipantsReached", "moderators are not exempt"
    assert api.join(meeting_id, userID="a").ok, "who was in may come back"


# -- what only the double can show -----------------------------------------------------------------------------------------------


def test_a_meeting_ends_with_its_duration_and_says_so(api: Api) -> None:
    api.control("POST", "/clock", {"minute_seconds": 0.2})
    try:
        meeting_id = api.create(duration=2, meetingEndedURL="http://127.0.0.1:9/ended?x=1")
        api.join(meeting_id)
        assert api.call("getMeetingInfo", meetingID=meeting_id).ok
        assert wait_for(lambda: api.call("getMeetingInfo", meetingID=meeting_id).key == "notFound")
        assert wait_for(lambda: any(f"meetingID={meeting_id}" in entry["url"] for entry in api.control("GET", "/callbacks")))
    finally:
        api.control("POST", "/clock", {"minute_seconds": 60})


def test_a_clock_that_is_off_moves_the_times_it_tells_and_nothing_else(api: Api) -> None:
    ahead = 5400
    before, meeting_id = time.time(), api.create(duration=30)
    api.control("POST", "/clock", {"ahead": ahead})
    try:
        late = api.create(duration=30)
        # No checksum holds a time; and a meeting of half an hour does not end when the clock jumps by more.
        told = {one: api.call("getMeetingInfo", algorithm, meetingID=one) for one, algorithm in ((meeting_id, "sha1"), (late, "sha256"))}
        assert all(reply.ok for reply in told.values())
        made = {one: str(reply.text("createTime")) for one, reply in told.items()}
        assert -1 < int(made[meeting_id]) / 1000 - before < 30 and -1 < int(made[late]) / 1000 - before - ahead < 30
        assert str(told[late].text("internalMeetingID")).endswith("-" + made[late])
        date = email.utils.parsedate_to_datetime(told[late].headers["Date"]).timestamp()
        assert abs(date - time.time() - ahead) < 30
        assert api.join(late, createTime=made[late]).ok
    finally:
        api.control("POST", "/clock", {"ahead": 0})


def test_empty_meetings_expire(api: Api) -> None:
    api.control("POST", "/clock", {"minute_seconds": 0.1})
    try:
        unvisited, left, kept = api.create(), api.create(), api.create(meetingExpireIfNoUserJoinedInMinutes=0)
        api.join(left)
        api.control("POST", "/users", {"meetingID": left, "users": 0})
        for meeting_id in (unvisited, left):
            assert wait_for(lambda meeting_id=meeting_id: api.call("getMeetingInfo", meetingID=meeting_id).key == "notFound")
        assert api.call("getMeetingInfo", meetingID=kept).ok, "0 means never"
    finally:
        api.control("POST", "/clock", {"minute_seconds": 60})


def test_log_keeps_every_parameter_as_it_came(api: Api) -> None:
    api.control("DELETE", "/log")
    meeting_id = api.create(duration=7, disabledFeatures="polls")
    entry = api.control("GET", "/log?call=create")[-1]
    assert entry["parameters"]["meetingID"] == meeting_id and entry["parameters"]["duration"] == "7"
    assert entry["algorithm"] == "sha256" and entry["returncode"] == "SUCCESS"


def test_people_can_be_set_and_meetings_dropped(api: Api) -> None:
    meeting_id = api.create()
    api.control("POST", "/users", {"meetingID": meeting_id, "users": 5, "voice": 3, "video": 1})
    info = api.call("getMeetingInfo", meetingID=meeting_id)
    assert [info.text(name) for name in ("participantCount", "voiceParticipantCount", "videoCount")] == ["5", "3", "1"]
    assert meeting_id in api.control("POST", "/drop")["dropped"]
    reply = api.call("getMeetings")
    assert reply.ok and reply.key == "noMeetings" and reply.xml.find("meetings") is not None  # type: ignore[union-attr]


def test_a_node_can_fail_refuse_and_hang(api: Api) -> None:
    try:
        api.control("POST", "/mode", {"mode": "fail"})
        assert api.call("getMeetings").status == 500
        api.control("POST", "/mode", {"mode": "refuse"})
        assert api.call("getMeetings").key == "internalError"
        api.control("POST", "/mode", {"mode": "hang"})
        answered: list[object] = []

        def ask() -> None:
            try:
                answered.append(api.call("getMeetings"))
            except (OSError, http.client.HTTPException) as error:
                answered.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(0.5)
        assert asking.is_alive() and not answered
    finally:
        api.control("POST", "/mode", {"mode": "ok"})
    asking.join(5)
    assert isinstance(answered[0], Exception), "a hanging node gives no answer even afterwards"
    assert api.call("getMeetings").ok


def test_algorithms_can_be_switched_off(api: Api, tmp_path: Path) -> None:
    if api.control_port is None:
        pytest.skip("needs the double")
    config: dict[str, Any] = {"secret": "s3cret", "listen": "127.0.0.1", "port": 0, "control_port": 0, "checksums": ["sha256"]}
    public, control, _node = bbb_double.serve(config | certificate(tmp_path))
    threading.Thread(target=public.serve_forever, daemon=True).start()
    try:
        url = f"https://127.0.0.1:{public.server_address[1]}/bigbluebutton/api/"
        strict = Api(url, "s3cret", ssl.create_default_context(cafile=str(tmp_path / "node.crt")))
        assert strict.call("getMeetings", "sha256").ok
        assert strict.call("getMeetings", "sha1").key == "checksumError"
    finally:
        public.shutdown()
        public.server_close()
        control.server_close()


def test_a_recording_is_published_withdrawn_and_deleted(api: Api) -> None:
    meeting_id = api.create(record="true", autoStartRecording="false", meta_course="Algebra")
    api.control("POST", "/record", {"meetingID": meeting_id})
    silent = api.create(record="true")
    for one in (meeting_id, silent):
        api.control("POST", "/end", {"meetingID": one})
    # Nobody pressed record in the second one: it leaves nothing.
    assert api.call("getRecordings", meetingID=silent).key == "noRecordings"
    found = api.call("getRecordings", meetingID=meeting_id)
    record = found.text("recordings/recording/recordID")
    assert found.ok and record and found.text("recordings/recording/state") == "published"
    assert found.text("recordings/recording/metadata/course") == "Algebra"
    assert (found.text("recordings/recording/playback/format/url") or "").endswith(f"/playback/presentation/2.3/{record}")
    assert api.call("publishRecordings", recordID=record).key == "missingParamPublish"
    assert api.call("publishRecordings", recordID=record, publish="false").text("published") == "false"
    assert api.call("getRecordings", recordID=record[:20], state="published").key == "noRecordings"
    assert api.call("getRecordings", recordID=record[:20]).text("recordings/recording/published") == "false"
    assert api.call("updateRecordings", recordID=record, meta_course="Geometry").ok
    assert api.call("getRecordings", meta_course="Geometry").text("recordings/recording/recordID") == record
    assert api.call("deleteRecordings").key == "missingParamRecordID"
    assert api.call("deleteRecordings", recordID=record).text("deleted") == "true"
    assert api.call("getRecordings", recordID=record).key == "noRecordings"
    assert api.call("getRecordings", recordID=record, state="deleted").ok
    assert api.call("deleteRecordings", recordID="nothing").key == "notFound"


def test_a_role_counts_where_the_password_is_empty(api: Api) -> None:
    """As Greenlight's join links are (bigbluebutton-api-ruby, join_meeting_url)."""
    meeting_id = api.create()
    assert api.join(meeting_id, password="", role="MODERATOR").ok
    assert api.call("getMeetingInfo", meetingID=meeting_id).text("moderatorCount") == "1"
