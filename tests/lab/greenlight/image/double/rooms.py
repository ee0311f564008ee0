# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rooms and meetings: greenlight app/models/room.rb, app/services/room_settings_getter.rb and app/services/meeting_starter.rb."""

from __future__ import annotations

import datetime as dt
import typing as t
from html import escape
from urllib.parse import urlsplit

from . import bbb, config
from .accounts import PROVIDER, STATUS, RecordInvalid, ServerError, allowed, attached, blob_path, permission, random_text, ruby_int
from .db import Connection, Row, now

ACCESS_CODES = ("glViewerAccessCode", "glModeratorAccessCode")
GUEST_POLICY = {"true": "ASK_MODERATOR", "false": "ALWAYS_ACCEPT"}
ROOM_NAME = "{}'s Room"  # greenlight config/locales/en.yml room.new_room_name


def access_code() -> str:
    """Six characters (greenlight app/models/meeting_option.rb)."""
    return random_text(6).lower()


def create_room(db: Connection, name: t.Any, user_id: t.Any) -> Row | list[str]:
    """A room with one row for every meeting option; returns the row or validation errors (greenlight app/models/room.rb)."""
    owner = db.one("SELECT id, provider FROM users WHERE id = %s", user_id)
    name = "" if name is None else str(name)
    errors = ["User must exist"] * (owner is None)
    errors += ["Name can't be blank"] * (not name.strip()) + ["Name is too short (minimum is 1 character)"] * (not name)
    errors += ["Name is too long (maximum is 255 characters)"] * (len(name) > 255)
    if errors or owner is None:
        return errors
    with db.transaction():
        letters = random_text(12).lower()
        room = db.insert(
            "rooms",
            name=name,
            user_id=owner["id"],
            meeting_id=random_text(40).lower(),
            friendly_id="-".join(letters[i : i + 3] for i in range(0, 12, 3)),
        )
        configured = _configurations(db, owner["provider"])
        for option in db.all("SELECT * FROM meeting_options"):
            value = option["default_value"]
            if configured.get(option["name"]) in ("true", "default_enabled"):
                value = _true_value(option["name"])
            db.insert("room_meeting_options", room_id=room["id"], meeting_option_id=option["id"], value=value)
    return room


def _true_value(option: str) -> str:
    if option.endswith("AccessCode"):
        return access_code()
    return "ASK_MODERATOR" if option == "guestPolicy" else "true"


def create_default_room(db: Connection, user: Row, provider: str) -> None:
    """greenlight app/controllers/application_controller.rb: no room limit is asked here."""
    if db.value("SELECT count(*) FROM rooms WHERE user_id = %s", user["id"]) > 0:
        return
    if allowed(db, user, ["CreateRoom"], provider, user_id=user["id"]):
        create_room(db, ROOM_NAME.format(user["name"]), user["id"])


def destroy_room(db: Connection, room: Row) -> None:
    """room.destroy with its children; each recording is deleted on BigBlueButton too (greenlight app/models/recording.rb)."""
    with db.transaction():
        for recording in db.all("SELECT * FROM recordings WHERE room_id = %s", room["id"]):
            db.execute("DELETE FROM formats WHERE recording_id = %s", [recording["id"]])
            db.execute("DELETE FROM recordings WHERE id = %s", [recording["id"]])
            bbb.call("deleteRecordings", {"recordID": recording["record_id"]})
        for table in ("shared_accesses", "room_meeting_options"):
            db.execute(f"DELETE FROM {table} WHERE room_id = %s", [room["id"]])
        db.execute("DELETE FROM active_storage_attachments WHERE record_type = 'Room' AND record_id = %s", [room["id"]])
        db.execute("DELETE FROM rooms WHERE id = %s", [room["id"]])


def _configurations(db: Connection, provider: str) -> dict[str, str]:
    rows = db.all(
        """SELECT o.name, c.value FROM rooms_configurations c JOIN meeting_options o ON o.id = c.meeting_option_id
        WHERE c.provider = %s""",
        provider,
    )
    return {row["name"]: row["value"] for row in rows}


def settings(
    db: Connection,
    room_id: str,
    user: Row | None,
    provider: str = PROVIDER,
    *,
    only: list[str] | None = None,
    show_codes: bool = False,
    only_enabled: bool = False,
    only_bbb: bool = False,
) -> dict[str, t.Any]:
    """greenlight app/services/room_settings_getter.rb, in its order."""
    forced = {name: value for name, value in _configurations(db, provider).items() if value not in ("optional", "default_enabled")}
    rows = db.all(
        """SELECT o.name, x.value FROM room_meeting_options x JOIN meeting_options o ON o.id = x.meeting_option_id
        WHERE x.room_id = %s AND (%s::text[] IS NULL OR o.name = ANY(%s)) AND NOT (%s AND o.name ILIKE 'gl%%')""",
        room_id,
        only,
        only,
        only_bbb,
    )
    result: dict[str, t.Any] = {row["name"]: row["value"] for row in rows}
    codes = {name: result[name] for name in ACCESS_CODES if name in result}
    forced = {name: value for name, value in forced.items() if name in result}
    result.update(forced)
    if only_enabled:
        result = {name: value for name, value in result.items() if forced.get(name) != "false"}
    if result.get("guestPolicy") in GUEST_POLICY:
        result["guestPolicy"] = GUEST_POLICY[result["guestPolicy"]]
    for name, code in codes.items():
        if name in result:
            value = "" if result[name] == "false" else code
            result[name] = value if show_codes else bool((value or "").strip())
    # record is taken away from starters whose role lacks CanRecord, only while nothing forces it
    if (
        result.get("record") is not None
        and "record" not in forced
        and user is not None
        and permission(db, user["role_id"], "CanRecord") != "true"
    ):
        result["record"] = "false"
    return result


def start_meeting(db: Connection, room: Row, user: Row | None, base_url: str, provider: str) -> None:
    """greenlight app/services/meeting_starter.rb: the options of section "create", three attempts, then the room is online."""
    owner = db.one("SELECT provider, role_id FROM users WHERE id = %s", room["user_id"])
    if owner is None:
        raise ServerError("undefined method 'provider' for nil")
    options = settings(db, room["id"], user, owner["provider"], only_bbb=True)
    code = settings(db, room["id"], user, owner["provider"], only=["glViewerAccessCode"], show_codes=True).get("glViewerAccessCode")
    _server_tag(options, owner["role_id"])
    root = f"{base_url}{config.relative_root()}/"
    room_url = f"{root}rooms/{room['friendly_id']}/join"
    message = f"To invite someone to the meeting, send them this link:<br>{room_url}"
    if (code or "").strip():
        message += f"<br>Access Code: {code}"
    options.update(
        {
            "moderatorOnlyMessage": message,
            "loginURL": room_url,
            "logoutURL": room_url,
            "meta_endCallbackUrl": f"{root}meeting_ended",
            "meta_bbb-recording-ready-url": f"{root}recording_ready",
            "meta_bbb-origin": "greenlight",
            "meta_bbb-origin-server-name": urlsplit(base_url).hostname,
            "meta_bbb-origin-version": config.env("VERSION_TAG", "v3"),
            "meta_bbb-context-name": room["name"],
            "meta_bbb-context-id": room["friendly_id"],
        }
    )
    if options.get("muteOnStart") != "true":
        options.pop("muteOnStart", None)
    blob = attached(db, "Room", room["id"], "presentation")
    modules = None
    if blob:  # only then a POST
        modules = f'<modules><module name="presentation"><document url="{base_url}{escape(blob_path(blob))}"/></module></modules>'
    answer = _create({"name": room["name"], "meetingID": room["meeting_id"], **options}, modules)
    if "createTime" not in answer:  # strptime of an empty string raises
        raise ServerError("invalid date")
    started = dt.datetime.fromtimestamp(ruby_int(answer["createTime"]) / 1000, dt.timezone.utc).replace(tzinfo=None)
    db.update("rooms", room["id"], online=True, last_session=started)
    room.update(online=True, last_session=started)
    from .redis import publish

    publish(f"greenlight_production:{room['friendly_id']}_rooms_channel", '"started"')


def _create(parameters: dict[str, t.Any], modules: str | None) -> dict[str, str]:
    for attempt in (1, 2, 3):
        try:
            return bbb.call("create", parameters, modules)
        except bbb.BBBError as error:
            if attempt == 3 or error.key == "idNotUnique":
                raise
    raise AssertionError("unreachable")


def _server_tag(options: dict[str, t.Any], owner_role: str) -> None:
    """greenlight app/services/meeting_starter.rb handle_server_tag; environment of config/application.rb."""
    tag, required = options.pop("serverTag", None), options.pop("serverTagRequired", None)
    if not (tag or "").strip():
        return
    names = dict(pair.split(":", 1) for pair in (config.env("SERVER_TAG_NAMES") or "").split(",") if ":" in pair)
    roles = {k: v.split("/") for k, v in (pair.split(":", 1) for pair in (config.env("SERVER_TAG_ROLES") or "").split(",") if ":" in pair)}
    mode = config.env("SERVER_TAG_FALLBACK_MODE", "config")
    required = {"required": "true", "desired": "false"}.get(mode or "", required)
    if tag in names and not (tag in roles and owner_role not in roles[tag]):
        options["meta_server-tag"] = f"{tag}!" if required == "true" else tag


def join_url(room: Row, name: str | None, user_id: str, role: str) -> str:
    """greenlight app/services/big_blue_button_api.rb join_meeting."""
    created = None
    if room["last_session"] is not None:
        created = str(round(room["last_session"].replace(tzinfo=dt.timezone.utc).timestamp() * 1000))
    return bbb.url(
        "join", {"meetingID": room["meeting_id"], "password": "", "fullName": name, "userID": user_id, "role": role, "createTime": created}
    )


def running(room: Row) -> bool:
    """isMeetingRunning."""
    return bbb.call("isMeetingRunning", {"meetingID": room["meeting_id"]}).get("running", "").lower() == "true"


def check_running(db: Connection, rooms: list[Row]) -> None:
    """greenlight app/services/running_meeting_checker.rb: participants of rooms online; a meeting gone turns its room offline."""
    for room in rooms:
        if not room["online"]:
            continue
        try:
            count = bbb.call("getMeetingInfo", {"meetingID": room["meeting_id"]}).get("participantCount")
            room["participants"] = None if count is None else ruby_int(count)
        except bbb.BBBError:
            db.update("rooms", room["id"], online=False)
            room["online"] = False


def destroy_user(db: Connection, user: Row) -> None:
    """user.destroy: rooms with their recordings, shares, avatar."""
    for room in db.all("SELECT * FROM rooms WHERE user_id = %s", user["id"]):
        destroy_room(db, room)
    with db.transaction():
        db.execute("DELETE FROM shared_accesses WHERE user_id = %s", [user["id"]])
        db.execute("DELETE FROM active_storage_attachments WHERE record_type = 'User' AND record_id = %s", [user["id"]])
        db.execute("DELETE FROM users WHERE id = %s", [user["id"]])


def set_status(db: Connection, user: Row, status: t.Any) -> int:
    """The enum's number; what is no status is an ArgumentError upstream (500)."""
    if status in STATUS:
        return STATUS[status]
    if status in STATUS.values():
        return int(status)
    raise ServerError(f"'{status}' is not a valid status")


def rename_room(db: Connection, room: Row, name: t.Any) -> None:
    """room.update(name:)."""
    if not isinstance(name, str) or not name.strip() or len(name) > 255:
        raise RecordInvalid("Name can't be blank")
    db.update("rooms", room["id"], name=name, updated_at=now())
