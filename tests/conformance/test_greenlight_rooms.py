# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms, the room limit, meeting options and what a meeting start sends.

Sources: greenlight rooms_controller.rb, meeting_starter.rb, room_settings_getter.rb.
"""

from __future__ import annotations

import re
import typing as t
import uuid
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.conformance import greenlight_kit as kit


class Owner(t.NamedTuple):
    """A signed-in user with a role of their own."""

    client: kit.Client
    id: str
    role: str

    def room(self, name: str = "Kitchen") -> kit.Answer:
        """Create a room for oneself."""
        return self.client.post("rooms.json", {"room": {"name": name, "user_id": self.id}})

    def friendly_id(self, name: str = "Kitchen") -> str:
        """Create a room; its friendly id."""
        answer = self.room(name)
        assert answer.status == 201, answer.text
        return str(answer.data).rsplit("/", 1)[-1]


@pytest.fixture
def owner(greenlight: kit.Instance, rows: kit.Rows) -> Owner:
    """Role and user for one test."""
    name = f"Class-{uuid.uuid4().hex[:8]}"
    rows.role(name)
    email = f"{name.lower()}@sunflower.test"
    user_id = rows.user(email, name)
    client = greenlight.client()
    assert client.sign_in(email).status == 200
    return Owner(client, user_id, name)


# -- room limit


def test_rooms_stop_at_the_limit(owner: Owner, rows: kit.Rows) -> None:
    """400 RoomLimitError when the owner's number of rooms has reached the role's RoomLimit; lowering deletes nothing."""
    rows.permit(owner.role, "RoomLimit", "2")
    assert [owner.room().status for _other in range(2)] == [201, 201]
    answer = owner.room()
    assert (answer.status, answer.errors) == (400, "RoomLimitError")
    rows.permit(owner.role, "RoomLimit", "1")
    assert len(owner.client.get("rooms.json").data) == 2
    rows.permit(owner.role, "RoomLimit", "3")
    assert owner.room().status == 201


def test_limit_binds_an_administrator_creating_for_others(owner: Owner, administrator: kit.Client, rows: kit.Rows) -> None:
    """The limit asked is the target's."""
    rows.permit(owner.role, "RoomLimit", "0")
    answer = administrator.post("rooms.json", {"room": {"name": "For you", "user_id": owner.id}})
    assert (answer.status, answer.errors) == (400, "RoomLimitError")


def test_limit_true_is_no_limit(owner: Owner, rows: kit.Rows) -> None:
    """The trap: a RoomLimit of 'true' passes as a permission."""
    rows.permit(owner.role, "RoomLimit", "true")
    assert [owner.room().status for _other in range(3)] == [201, 201, 201]


def test_limit_that_is_no_number_is_zero(owner: Owner, rows: kit.Rows) -> None:
    """Leading digits count, else 0."""
    rows.permit(owner.role, "RoomLimit", "many")
    assert owner.room().status == 400
    rows.permit(owner.role, "RoomLimit", "1 room")
    assert owner.room().status == 201
    assert owner.room().status == 400


def test_missing_limit_row_is_a_500(owner: Owner, rows: kit.Rows) -> None:
    """The value of nil is read."""
    rows.run(
        """DELETE FROM role_permissions x USING permissions p, roles r
        WHERE p.id = x.permission_id AND r.id = x.role_id AND r.name = %s AND p.name = 'RoomLimit'""",
        owner.role,
    )
    answer = owner.room()
    assert (answer.status, answer.errors) == (500, ["SomethingWentWrong"])


def test_room_without_owner_is_a_misleading_limit_error(owner: Owner, administrator: kit.Client) -> None:
    """No user_id: 403 for plain users, RoomLimitError for user managers."""
    assert owner.client.post("rooms.json", {"room": {"name": "Nobody's"}}).status == 403
    answer = administrator.post("rooms.json", {"room": {"name": "Nobody's"}})
    assert (answer.status, answer.errors) == (400, "RoomLimitError")


def test_rooms_for_others_need_manage_users(owner: Owner, rows: kit.Rows) -> None:
    """403."""
    other = rows.user(f"{uuid.uuid4().hex[:8]}@sunflower.test")
    assert owner.client.post("rooms.json", {"room": {"name": "Mine?", "user_id": other}}).status == 403


def test_create_room_permission(owner: Owner, rows: kit.Rows) -> None:
    """CreateRoom false: 403."""
    rows.permit(owner.role, "CreateRoom", "false")
    assert owner.room().status == 403


def test_default_room_ignores_the_limit(owner: Owner, administrator: kit.Client, rows: kit.Rows) -> None:
    """A role change gives a roomless user a room, limit 0 or not."""
    rows.permit(owner.role, "RoomLimit", "0")
    target = rows.user(f"{uuid.uuid4().hex[:8]}@sunflower.test", "Guest")
    role_id = str(rows.value("SELECT id FROM roles WHERE name = %s", owner.role))
    assert administrator.patch(f"users/{target}.json", {"user": {"role_id": role_id}}).status == 200
    assert rows.value("SELECT count(*) FROM rooms WHERE user_id = %s", target) == 1


def test_switching_create_room_on_makes_rooms_past_the_limit(owner: Owner, administrator: kit.Client, rows: kit.Rows) -> None:
    """admin/role_permissions with CreateRoom true: one room for everyone of the role without."""
    rows.permit(owner.role, "RoomLimit", "0")
    role_id = str(rows.value("SELECT id FROM roles WHERE name = %s", owner.role))
    body = {"role": {"role_id": role_id, "name": "CreateRoom", "value": True}}
    assert administrator.post("admin/role_permissions.json", body).status == 200
    assert rows.value("SELECT count(*) FROM rooms WHERE user_id = %s", owner.id) == 1


# -- rooms


def test_room_shape(owner: Owner, rows: kit.Rows) -> None:
    """friendly_id xxx-xxx-xxx-xxx, meeting_id 40 characters, one option row for every meeting option."""
    answer = owner.room("Kitchen")
    assert re.fullmatch(r"/rooms/([a-z0-9]{3}-){3}[a-z0-9]{3}", answer.data)
    friendly_id = answer.data.rsplit("/", 1)[-1]
    assert re.fullmatch(r"[a-z0-9]{40}", rows.value("SELECT meeting_id FROM rooms WHERE friendly_id = %s", friendly_id))
    values = dict(
        rows.all(
            """SELECT o.name, x.value FROM room_meeting_options x JOIN meeting_options o ON o.id = x.meeting_option_id
        JOIN rooms r ON r.id = x.room_id WHERE r.friendly_id = %s""",
            friendly_id,
        )
    )
    assert len(values) == rows.value("SELECT count(*) FROM meeting_options")
    # default_enabled gives the option's "true value", optional its default
    assert {name: values[name] for name in ("record", "muteOnStart", "guestPolicy", "glAnyoneCanStart")} == {
        "record": "true",
        "muteOnStart": "true",
        "guestPolicy": "ALWAYS_ACCEPT",
        "glAnyoneCanStart": "false",
    }


def test_room_name_is_checked(owner: Owner) -> None:
    """Empty names are refused."""
    answer = owner.room("")
    assert answer.status == 400
    assert "Name can't be blank" in answer.errors


def test_list_show_rename_delete(owner: Owner, greenlight: kit.Instance, rows: kit.Rows) -> None:
    """Owner may everything, others 403, unknown 404."""
    friendly_id = owner.friendly_id("Kitchen")
    assert [room["friendly_id"] for room in owner.client.get("rooms.json").data] == [friendly_id]
    assert owner.client.get(f"rooms/{friendly_id}.json").data["name"] == "Kitchen"
    assert owner.client.patch(f"rooms/{friendly_id}.json", {"room": {"name": "Garden"}}).status == 200
    assert owner.client.get(f"rooms/{friendly_id}.json").data["name"] == "Garden"
    email = f"{uuid.uuid4().hex[:8]}@sunflower.test"
    rows.user(email)
    other = greenlight.client()
    other.sign_in(email)
    assert other.get(f"rooms/{friendly_id}.json").status == 403
    assert other.delete(f"rooms/{friendly_id}.json").status == 403
    assert owner.client.get("rooms/aaa-aaa-aaa-aaa.json").status == 404
    assert owner.client.delete(f"rooms/{friendly_id}.json").status == 200
    assert owner.client.get("rooms.json").data == []


def test_settings_as_the_page_sends_them(owner: Owner) -> None:
    """The front end sends settingName and settingValue without the outer key."""
    friendly_id = owner.friendly_id()
    assert owner.client.patch(f"room_settings/{friendly_id}.json", {"settingName": "glAnyoneCanStart", "settingValue": True}).status == 200
    assert owner.client.get(f"room_settings/{friendly_id}.json").data["glAnyoneCanStart"] == "true"


def test_shared_room(owner: Owner, greenlight: kit.Instance, rows: kit.Rows) -> None:
    """A room shared is seen and started, not deleted, and not counted against the limit."""
    friendly_id = owner.friendly_id()
    email = f"{uuid.uuid4().hex[:8]}@sunflower.test"
    guest_id = rows.user(email, owner.role)
    guest = greenlight.client()
    guest.sign_in(email)
    assert guest.get(f"rooms/{friendly_id}.json").status == 403
    assert owner.client.post("shared_accesses.json", {"friendly_id": friendly_id, "shared_users": [guest_id]}).status == 200
    assert [user["id"] for user in owner.client.get(f"shared_accesses/{friendly_id}.json").data] == [guest_id]
    assert [room["friendly_id"] for room in guest.get("rooms.json").data] == [friendly_id]
    assert guest.post(f"meetings/{friendly_id}/start.json").status == 201
    assert guest.delete(f"rooms/{friendly_id}.json").status == 403
    rows.permit(owner.role, "RoomLimit", "1")
    assert guest.post("rooms.json", {"room": {"name": "Own", "user_id": guest_id}}).status == 201
    assert guest.post(f"shared_accesses/{friendly_id}/unshare_room.json").status == 200
    assert guest.get(f"rooms/{friendly_id}.json").status == 403


def test_public_room(owner: Owner, visitor: kit.Client) -> None:
    """rooms/:id/public.json needs no session and shows access codes as present or not."""
    friendly_id = owner.friendly_id("Open house")
    body = {"room_setting": {"settingName": "glViewerAccessCode", "settingValue": True}}
    assert owner.client.patch(f"room_settings/{friendly_id}.json", body).status == 200
    data = visitor.get(f"rooms/{friendly_id}/public.json").data
    assert (data["name"], data["viewer_access_code"], data["moderator_access_code"]) == ("Open house", True, False)


# -- meeting options


@pytest.fixture
def limited(rows: kit.Rows, owner: Owner) -> t.Iterator[tuple[str, str]]:
    """duration=90 and maxParticipants=25 as rows; (a back-filled room made before, a room made after)."""
    old = owner.friendly_id("Old")
    for name, value in (("duration", "90"), ("maxParticipants", "25")):
        rows.run("INSERT INTO meeting_options (name, default_value, created_at, updated_at) VALUES (%s, %s, now(), now())", name, value)
        rows.run(
            """INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)
            SELECT r.id, o.id, o.default_value, now(), now() FROM rooms r, meeting_options o WHERE o.name = %s""",
            name,
        )
    yield old, owner.friendly_id("New")
    for table in ("room_meeting_options", "rooms_configurations"):
        rows.run(
            f"DELETE FROM {table} WHERE meeting_option_id IN (SELECT id FROM meeting_options WHERE name IN ('duration', 'maxParticipants'))"
        )
    rows.run("DELETE FROM meeting_options WHERE name IN ('duration', 'maxParticipants')")


def start(owner: Owner, stage: kit.Stage, friendly_id: str) -> kit.Call:
    """Start the meeting; the create call it made."""
    answer = owner.client.post(f"meetings/{friendly_id}/start.json")
    assert answer.status == 201, answer.text
    return stage.bbb.last("create")


def test_create_carries_duration_and_participants(owner: Owner, stage: kit.Stage, limited: tuple[str, str]) -> None:
    """For an old, back-filled room and for a new one; GET, SHA-1, sorted."""
    for friendly_id in limited:
        call = start(owner, stage, friendly_id)
        assert (call.parameters["duration"], call.parameters["maxParticipants"]) == ("90", "25")
        assert (call.method, call.signed_with_sha1) == ("GET", True)
        names = [name for name, _value in parse_qsl(call.query, keep_blank_values=True)][:-1]
        assert names == sorted(names)


def test_option_without_configuration_row_cannot_be_changed(owner: Owner, administrator: kit.Client, limited: tuple[str, str]) -> None:
    """Owner 400, administrator 404; the owner sees both values."""
    body = {"room_setting": {"settingName": "duration", "settingValue": "600"}}
    assert owner.client.patch(f"room_settings/{limited[1]}.json", body).status == 400
    assert administrator.patch("admin/rooms_configurations/duration.json", {"RoomsConfig": {"value": "optional"}}).status == 404
    values = owner.client.get(f"room_settings/{limited[1]}.json").data
    assert (values["duration"], values["maxParticipants"]) == ("90", "25")


def configure(rows: kit.Rows, option: str, value: str) -> None:
    """A rooms_configurations row for an option that has none."""
    rows.run(
        """INSERT INTO rooms_configurations (meeting_option_id, provider, value, created_at, updated_at)
        SELECT id, 'greenlight', %s, now(), now() FROM meeting_options WHERE name = %s""",
        value,
        option,
    )


def test_optional_option_is_the_owners(owner: Owner, stage: kit.Stage, rows: kit.Rows, limited: tuple[str, str]) -> None:
    """With a configuration row "optional" the owner stores any value."""
    configure(rows, "duration", "optional")
    body = {"room_setting": {"settingName": "duration", "settingValue": "600"}}
    assert owner.client.patch(f"room_settings/{limited[1]}.json", body).status == 200
    assert start(owner, stage, limited[1]).parameters["duration"] == "600"


def test_forced_value_is_sent_but_an_administrator_can_free_it(
    owner: Owner, administrator: kit.Client, stage: kit.Stage, rows: kit.Rows, limited: tuple[str, str]
) -> None:
    """A number forced by SQL: PATCH 403, the number is sent; the admin API sets it back to optional, but takes no numbers itself."""
    configure(rows, "duration", "120")
    body = {"room_setting": {"settingName": "duration", "settingValue": "600"}}
    assert owner.client.patch(f"room_settings/{limited[1]}.json", body).status == 403
    assert start(owner, stage, limited[1]).parameters["duration"] == "120"
    assert administrator.patch("admin/rooms_configurations/duration.json", {"RoomsConfig": {"value": "240"}}).status == 400
    assert administrator.patch("admin/rooms_configurations/duration.json", {"RoomsConfig": {"value": "optional"}}).status == 200
    assert owner.client.patch(f"room_settings/{limited[1]}.json", body).status == 200


def test_options_beginning_with_gl_are_never_sent(owner: Owner, stage: kit.Stage, rows: kit.Rows) -> None:
    """In any case, "GLOBAL" too; other names are, unfiltered."""
    for name in ("GLobal", "welcome"):
        rows.run(
            "INSERT INTO meeting_options (name, default_value, created_at, updated_at) VALUES (%s, 'Hi & welcome ~*', now(), now())", name
        )
    try:
        call = start(owner, stage, owner.friendly_id())
        assert call.parameters["welcome"] == "Hi & welcome ~*"
        assert not [name for name in call.parameters if name.lower().startswith("gl")]
    finally:
        rows.run("""DELETE FROM room_meeting_options WHERE meeting_option_id IN
            (SELECT id FROM meeting_options WHERE name IN ('GLobal', 'welcome'))""")
        rows.run("DELETE FROM meeting_options WHERE name IN ('GLobal', 'welcome')")


def test_create_parameters(owner: Owner, stage: kit.Stage, rows: kit.Rows) -> None:
    """Exactly these on a fresh instance; nothing says duration or maxParticipants."""
    friendly_id = owner.friendly_id("Kitchen")
    call = start(owner, stage, friendly_id)
    join = f"https://{kit.SITE}/rooms/{friendly_id}/join"
    version = owner.client.get("env.json").data["VERSION_TAG"]
    expected = {
        "name": "Kitchen",
        "meetingID": rows.value("SELECT meeting_id FROM rooms WHERE friendly_id = %s", friendly_id),
        "record": "true",
        "muteOnStart": "true",
        "guestPolicy": "ALWAYS_ACCEPT",
        "loginURL": join,
        "logoutURL": join,
        "moderatorOnlyMessage": f"To invite someone to the meeting, send them this link:<br>{join}",
        "meta_endCallbackUrl": f"https://{kit.SITE}/meeting_ended",
        "meta_bbb-recording-ready-url": f"https://{kit.SITE}/recording_ready",
        "meta_bbb-origin": "greenlight",
        "meta_bbb-origin-server-name": kit.SITE,
        "meta_bbb-origin-version": version,
        "meta_bbb-context-name": "Kitchen",
        "meta_bbb-context-id": friendly_id,
    }
    assert {name: value for name, value in call.parameters.items() if name != "checksum"} == expected
    assert call.path == "/bigbluebutton/api/create"
    assert rows.value("SELECT online AND last_session IS NOT NULL FROM rooms WHERE friendly_id = %s", friendly_id) is True


def test_presentation_turns_create_into_a_post(owner: Owner, stage: kit.Stage) -> None:
    """An uploaded presentation goes along as an address in the body; the checksum stays over the query."""
    friendly_id = owner.friendly_id()
    answer = owner.client.upload(f"rooms/{friendly_id}.json", "room[presentation]", "talk.txt", "text/plain", b"Good morning")
    assert answer.status == 200, answer.text
    call = start(owner, stage, friendly_id)
    assert (call.method, call.signed_with_sha1) == ("POST", True)
    found = re.search(r"url=[\"'](https://[^\"']+)[\"']", call.body)
    assert found, call.body
    assert owner.client.follow(found[1]).body == b"Good morning"


def test_mute_on_start_false_is_dropped(owner: Owner, stage: kit.Stage) -> None:
    """Sent only when true."""
    friendly_id = owner.friendly_id()
    body = {"room_setting": {"settingName": "muteOnStart", "settingValue": False}}
    assert owner.client.patch(f"room_settings/{friendly_id}.json", body).status == 200
    assert "muteOnStart" not in start(owner, stage, friendly_id).parameters


def test_forced_configuration_wins_over_the_room(owner: Owner, administrator: kit.Client, stage: kit.Stage) -> None:
    """record forced off; guestPolicy true means ASK_MODERATOR."""
    friendly_id = owner.friendly_id()
    try:
        for name, value in (("record", "false"), ("guestPolicy", "true")):
            assert administrator.patch(f"admin/rooms_configurations/{name}.json", {"RoomsConfig": {"value": value}}).status == 200
        call = start(owner, stage, friendly_id)
        assert (call.parameters["record"], call.parameters["guestPolicy"]) == ("false", "ASK_MODERATOR")
        assert (
            owner.client.patch(
                f"room_settings/{friendly_id}.json", {"room_setting": {"settingName": "record", "settingValue": "true"}}
            ).status
            == 403
        )
        assert "record" not in owner.client.get(f"room_settings/{friendly_id}.json").data
    finally:
        for name, value in (("record", "default_enabled"), ("guestPolicy", "optional")):
            administrator.patch(f"admin/rooms_configurations/{name}.json", {"RoomsConfig": {"value": value}})


def test_record_falls_with_can_record(owner: Owner, stage: kit.Stage, rows: kit.Rows) -> None:
    """The starter's role lacks CanRecord: record=false, while nothing forces it."""
    rows.permit(owner.role, "CanRecord", "false")
    assert start(owner, stage, owner.friendly_id()).parameters["record"] == "false"


def test_access_code_is_in_the_moderators_message(owner: Owner, stage: kit.Stage) -> None:
    """Six characters, generated; a value given is not taken; 'false' removes it."""
    friendly_id = owner.friendly_id()

    def change(value: t.Any) -> str:
        body = {"room_setting": {"settingName": "glViewerAccessCode", "settingValue": value}}
        assert owner.client.patch(f"room_settings/{friendly_id}.json", body).status == 200
        return str(owner.client.get(f"room_settings/{friendly_id}.json").data["glViewerAccessCode"])

    code = change("mycode")
    assert re.fullmatch(r"[a-z0-9]{6}", code) and code != "mycode"
    assert start(owner, stage, friendly_id).parameters["moderatorOnlyMessage"].endswith(f"<br>Access Code: {code}")
    assert change("false") == ""


def test_start_answers_with_a_join_url(owner: Owner, stage: kit.Stage, rows: kit.Rows) -> None:
    """Signed, role Moderator, the user's id, createTime of the meeting."""
    friendly_id = owner.friendly_id()
    answer = owner.client.post(f"meetings/{friendly_id}/start.json")
    parts = urlsplit(answer.data)
    values = dict(parse_qsl(parts.query, keep_blank_values=True))
    call = kit.Call("GET", parts.path, "join", parts.query, values)
    assert call.signed_with_sha1
    assert parts.path == "/bigbluebutton/api/join"
    assert (values["role"], values["userID"], values["password"]) == ("Moderator", f"gl-{owner.id}", "")
    milliseconds = rows.value("SELECT round(extract(epoch FROM last_session) * 1000) FROM rooms WHERE friendly_id = %s", friendly_id)
    assert abs(int(values["createTime"]) - int(milliseconds)) <= 1


def test_refused_create_is_tried_three_times(owner: Owner, stage: kit.Stage) -> None:
    """A FAILED answer: 400 with its messageKey after three attempts; idNotUnique is no failure and is not repeated."""
    friendly_id = owner.friendly_id()
    try:
        stage.bbb.answers["create"] = (
            "<response><returncode>FAILED</returncode><messageKey>maxMeetings</messageKey><message>full</message></response>"
        )
        before = len(stage.bbb.calls)
        answer = owner.client.post(f"meetings/{friendly_id}/start.json")
        assert (answer.status, answer.errors) == (400, "maxMeetings")
        assert [call.name for call in stage.bbb.calls[before:]] == ["create"] * 3
        stage.bbb.answers["create"] = (
            "<response><returncode>FAILED</returncode><messageKey>idNotUnique</messageKey><message>x</message></response>"
        )
        before = len(stage.bbb.calls)
        assert owner.client.post(f"meetings/{friendly_id}/start.json").status == 201
        assert len(stage.bbb.calls) == before + 1
    finally:
        del stage.bbb.answers["create"]


def test_unreachable_bigbluebutton(stage: kit.Stage, owner: Owner, rows: kit.Rows) -> None:
    """No one listens: 400 IncorrectUrlError; the room stays offline."""
    instance = stage.start(
        stage.database_url("common"), BIGBLUEBUTTON_ENDPOINT=f"http://{kit.BBB_HOST}:9/bigbluebutton/api/"
    ).wait_listening()
    friendly_id = owner.friendly_id()
    client = instance.client()
    client.cookies = dict(owner.client.cookies)
    answer = client.post(f"meetings/{friendly_id}/start.json")
    stage.stop(instance)
    assert (answer.status, answer.errors) == (400, "IncorrectUrlError")
    assert rows.value("SELECT online FROM rooms WHERE friendly_id = %s", friendly_id) is False


def test_start_needs_the_room(owner: Owner, visitor: kit.Client, rows: kit.Rows) -> None:
    """401 without a session, 403 for others."""
    friendly_id = owner.friendly_id()
    assert visitor.post(f"meetings/{friendly_id}/start.json").status == 401
    email = f"{uuid.uuid4().hex[:8]}@sunflower.test"
    rows.user(email)
    visitor.sign_in(email)
    assert visitor.post(f"meetings/{friendly_id}/start.json").status == 403


def test_status_for_guests(owner: Owner, visitor: kit.Client, stage: kit.Stage) -> None:
    """Not running: false; glAnyoneCanStart: starts; an access code is asked; glRequireAuthentication: 401."""
    friendly_id = owner.friendly_id()

    def change(name: str, value: t.Any) -> None:
        assert (
            owner.client.patch(f"room_settings/{friendly_id}.json", {"room_setting": {"settingName": name, "settingValue": value}}).status
            == 200
        )

    assert visitor.post(f"meetings/{friendly_id}/status.json", {"name": "Guest"}).data == {"status": False}
    change("glAnyoneCanStart", True)
    data = visitor.post(f"meetings/{friendly_id}/status.json", {"name": "Guest"}).data
    values = dict(parse_qsl(urlsplit(data["joinUrl"]).query))
    assert (data["status"], values["role"], values["fullName"]) == (True, "Viewer", "Guest")
    change("glViewerAccessCode", True)
    assert visitor.post(f"meetings/{friendly_id}/status.json", {"name": "Guest", "access_code": "wrong1"}).status == 403
    code = owner.client.get(f"room_settings/{friendly_id}.json").data["glViewerAccessCode"]
    assert visitor.post(f"meetings/{friendly_id}/status.json", {"name": "Guest", "access_code": code}).status == 200
    change("glRequireAuthentication", True)
    assert visitor.post(f"meetings/{friendly_id}/status.json", {"name": "Guest", "access_code": code}).status == 401


def test_status_starts_for_the_owner(owner: Owner, stage: kit.Stage) -> None:
    """isMeetingRunning, then create, then a moderator's join URL."""
    friendly_id = owner.friendly_id()
    before = len(stage.bbb.calls)
    data = owner.client.post(f"meetings/{friendly_id}/status.json", {"name": "x"}).data
    assert [call.name for call in stage.bbb.calls[before:]] == ["isMeetingRunning", "create"]
    assert dict(parse_qsl(urlsplit(data["joinUrl"]).query))["role"] == "Moderator"


def test_public_configuration(visitor: kit.Client) -> None:
    """rooms_configurations/:name needs no session; unknown 404."""
    assert visitor.get("rooms_configurations/record.json").data == "default_enabled"
    assert visitor.get("rooms_configurations/duration.json").status == 404
