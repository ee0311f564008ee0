# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_settings and greenlight_user as a running Greenlight shows their effect, over HTTP.

Like the conformance checks these run against any image: GREENLIGHT_IMAGE chooses it (default: the lab's double).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance import greenlight_kit as kit

NAME = "live"
GOOD = "Correct-Horse 7"
Module = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def stage() -> Iterator[kit.Stage]:
    made = kit.Stage()
    yield made
    made.close()


@pytest.fixture(scope="module")
def greenlight(stage: kit.Stage) -> kit.Instance:
    instance = stage.start(stage.database(NAME)).wait_listening()
    kit.wait_for(lambda: instance.client().warm().status == 200, kit.ANSWER_SECONDS, "the first answer from the database")
    return instance


@pytest.fixture
def module(stage: kit.Stage, greenlight: kit.Instance) -> Module:
    """Runs one of our modules on the instance's database as the server's superuser, who trusts least (see foreign code)."""
    stage.postgres.reload()
    login = {
        "login_host": stage.postgres.attrs["NetworkSettings"]["Networks"][stage.name]["IPAddress"],
        "login_db": NAME,
        "login_user": "postgres",
        "login_password": stage.postgres_password,
    }

    def run(name: str, **args: Any) -> dict[str, Any]:
        wanted = json.dumps({"ANSIBLE_MODULE_ARGS": {**login, **args, "_ansible_diff": True}})
        program = f"ansible_collections.meet.coop.plugins.modules.{name}"
        done = subprocess.run([sys.executable, "-m", program], input=wanted, text=True, capture_output=True, check=False)
        assert done.stdout, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        assert not result.get("failed"), result["msg"]
        return result

    return run


def account(module: Module, email: str, **more: Any) -> dict[str, Any]:
    """One account through our module; its entry of the result."""
    options = {key: more.pop(key) for key in ("reset_link", "base_url", "update_password", "remove_rooms") if key in more}
    user = {"email": email, "name": email.split("@")[0].title(), "password": GOOD, **more}
    entry: dict[str, Any] = module("greenlight_user", users=[user], **options)["users"][0]
    return entry


def signed_in(greenlight: kit.Instance, email: str, password: str = GOOD) -> kit.Client:
    client = greenlight.client()
    answer = client.sign_in(email, password)
    assert answer.status == 200, answer.text
    return client


def make_room(client: kit.Client, user_id: str, name: str = "Room") -> kit.Answer:
    return client.post("rooms.json", {"room": {"name": name, "user_id": user_id}})


def rooms_of(client: kit.Client) -> list[str]:
    return [room["friendly_id"] for room in client.get("rooms.json").data]


def create_call(stage: kit.Stage, client: kit.Client, friendly_id: str) -> dict[str, str]:
    """What BigBlueButton is asked when this room's meeting starts."""
    stage.bbb.calls.clear()
    answer = client.post(f"meetings/{friendly_id}/start.json", {})
    assert answer.status == 201, answer.text
    return stage.bbb.last("create").parameters


def test_limits_bind(stage: kit.Stage, greenlight: kit.Instance, module: Module) -> None:
    module("greenlight_settings", limits={"rooms_per_account": 100, "meeting_minutes": 0, "participants": 0})
    ada = account(module, "Ada@limits.test", role="Administrator")
    client = signed_in(greenlight, "ada@limits.test")
    assert make_room(client, ada["id"], "Old").status == 201
    (old,) = rooms_of(client)
    before = create_call(stage, client, old)
    assert "duration" not in before and "maxParticipants" not in before

    module(
        "greenlight_settings",
        limits={"rooms_per_account": 2, "meeting_minutes": 90, "participants": 25},
        meeting_options={"welcome": "Hello & welcome"},
        record=False,
    )
    assert make_room(client, ada["id"], "New").status == 201
    refused = make_room(client, ada["id"], "One too many")
    assert refused.status == 400 and refused.errors == "RoomLimitError"
    both = rooms_of(client)
    assert len(both) == 2
    for room in both:
        sent = create_call(stage, client, room)
        assert (sent["duration"], sent["maxParticipants"], sent["record"]) == ("90", "25", "false")
        assert sent["welcome"] == "Hello & welcome"

    # neither the room's owner nor the member's administrator (Ada is both) can change them
    for name in ("duration", "maxParticipants", "welcome"):
        body = {"room_setting": {"settingName": name, "settingValue": "600"}}
        assert client.patch(f"room_settings/{old}.json", body).status == 400
        assert client.patch(f"admin/rooms_configurations/{name}.json", {"RoomsConfig": {"value": "optional"}}).status == 404
    body = {"room_setting": {"settingName": "record", "settingValue": "true"}}
    assert client.patch(f"room_settings/{old}.json", body).status == 403
    with stage.sql(NAME) as connection:
        role = kit.Rows(connection).value("SELECT id::text FROM roles WHERE name = 'Administrator'")
    raised = client.post("admin/role_permissions.json", {"role": {"role_id": role, "name": "RoomLimit", "value": "999"}})
    assert raised.status == 403
    assert create_call(stage, client, old)["duration"] == "90"
    assert module("greenlight_settings", limits={"rooms_per_account": 2, "meeting_minutes": 90, "participants": 25})["changed"] is False


def test_settings_show_at_once(greenlight: kit.Instance, module: Module) -> None:
    visitor = greenlight.client()
    names = ["PrimaryColor", "PrimaryColorLight", "BrandingImage", "Terms", "HelpCenter", "RegistrationMethod"]
    module(
        "greenlight_settings",
        settings={
            "primary_color": "#2e7d32",
            "primary_color_light": "#e8f5e9",
            "branding_image": "https://sunflower.test/logo.svg",
            "terms": "https://sunflower.test/terms",
            "help_center": "https://sunflower.test/help",
            "registration": "invite",
        },
    )
    assert visitor.get("site_settings.json", names).data == {
        "PrimaryColor": "#2e7d32",
        "PrimaryColorLight": "#e8f5e9",
        "BrandingImage": "https://sunflower.test/logo.svg",
        "Terms": "https://sunflower.test/terms",
        "HelpCenter": "https://sunflower.test/help",
        "RegistrationMethod": "invite",
    }
    person = {"name": "Eve", "email": "eve@evil-allowed.test", "password": GOOD, "language": "en"}
    refused = visitor.post("users.json", {"user": person, "token": ""})
    assert refused.status == 400 and refused.errors == "InviteInvalid"
    module("greenlight_settings", settings={"registration": "open", "allowed_domains": ["allowed.test"]})
    assert visitor.post("users.json", {"user": person, "token": ""}).status == 403
    person["email"] = "eve@allowed.test"
    assert greenlight.client().post("users.json", {"user": person, "token": ""}).status == 201
    module("greenlight_settings", settings={"registration": "invite", "allowed_domains": []})


def test_an_account_signs_in_and_a_disabled_one_does_not(greenlight: kit.Instance, module: Module) -> None:
    first = account(module, "Bob@Accounts.TEST")
    assert first["action"] == "created" and first["email"] == "bob@accounts.test"
    client = signed_in(greenlight, "Bob@accounts.test")
    assert client.get("sessions.json").data["signed_in"] is True
    assert greenlight.client().sign_in("bob@accounts.test", "Wrong-Horse 7").status == 400

    assert account(module, "bob@accounts.test", state="disabled")["action"] == "disabled"
    assert client.get("sessions.json").data["signed_in"] is False
    banned = greenlight.client().sign_in("bob@accounts.test", GOOD)
    assert banned.status == 400 and banned.errors == "BannedUser"
    assert account(module, "bob@accounts.test", state="disabled")["action"] == "none"

    assert account(module, "bob@accounts.test")["action"] == "changed"
    signed_in(greenlight, "bob@accounts.test")
    assert account(module, "bob@accounts.test")["action"] == "none"

    other = "Battery-Staple 8"
    client = signed_in(greenlight, "bob@accounts.test")
    assert account(module, "bob@accounts.test", password=other)["action"] == "none"
    assert account(module, "bob@accounts.test", password=other, update_password="always")["action"] == "changed"
    assert client.get("sessions.json").data["signed_in"] is False
    assert greenlight.client().sign_in("bob@accounts.test", GOOD).status == 400
    signed_in(greenlight, "bob@accounts.test", other)
    assert account(module, "bob@accounts.test", password=other, update_password="always")["action"] == "none"


def test_a_password_the_application_set_is_recognised(greenlight: kit.Instance, module: Module) -> None:
    account(module, "cleo@accounts.test")
    client = signed_in(greenlight, "cleo@accounts.test")
    chosen = "Chosen-By-Herself 9"
    assert client.post("users/change_password.json", {"user": {"old_password": GOOD, "new_password": chosen}}).status == 200
    assert account(module, "cleo@accounts.test", password=chosen, update_password="always")["action"] == "none"


def test_a_reset_link_works_once(greenlight: kit.Instance, module: Module) -> None:
    entry = account(module, "dan@accounts.test", password=None, reset_link="on_create", base_url=f"https://{kit.SITE}/")
    assert entry["reset_link"].startswith(f"https://{kit.SITE}/reset_password/")
    token = entry["reset_link"].rsplit("/", 1)[1]
    visitor = greenlight.client()
    assert visitor.sign_in("dan@accounts.test", "").status == 400
    assert visitor.post("reset_password/verify.json", {"user": {"token": token}}).status == 200
    assert visitor.post("reset_password/reset.json", {"user": {"token": token, "new_password": GOOD}}).status == 200
    assert visitor.post("reset_password/verify.json", {"user": {"token": token}}).status == 403
    signed_in(greenlight, "dan@accounts.test")
    assert "reset_link" not in account(module, "dan@accounts.test", reset_link="on_create", base_url=f"https://{kit.SITE}")


def test_no_visitor_becomes_somebody(stage: kit.Stage, greenlight: kit.Instance, module: Module) -> None:
    entry = account(module, "root@accounts.test", role="Administrator")
    with stage.sql(NAME) as connection:
        connection.execute("UPDATE users SET session_token = NULL, session_expiry = NULL WHERE id = %s", (entry["id"],))
    assert greenlight.client().get("sessions.json").data["signed_in"] is True, "the defect this guards against is gone"
    result = module("greenlight_user", users=[])
    assert result["null_session_tokens"] == 1 and result["null_session_users"] == ["root@accounts.test"]
    assert greenlight.client().get("sessions.json").data["signed_in"] is False
    assert module("greenlight_user", users=[])["changed"] is False
    signed_in(greenlight, "root@accounts.test")


def test_a_removed_account_is_gone_with_its_rooms(greenlight: kit.Instance, module: Module) -> None:
    module("greenlight_settings", limits={"rooms_per_account": 2})
    entry = account(module, "fay@accounts.test")
    client = signed_in(greenlight, "fay@accounts.test")
    assert make_room(client, entry["id"]).status == 201
    (room,) = rooms_of(client)
    assert account(module, "fay@accounts.test", state="absent", remove_rooms=True)["action"] == "removed"
    assert client.get("sessions.json").data["signed_in"] is False
    assert greenlight.client().sign_in("fay@accounts.test", GOOD).status == 400
    assert greenlight.client().get(f"rooms/{room}/public.json").status == 404
    assert account(module, "fay@accounts.test")["action"] == "created"


def test_rooms_made_during_the_change_are_limited_too(stage: kit.Stage, greenlight: kit.Instance, module: Module) -> None:
    module("greenlight_settings", limits={"rooms_per_account": 500, "meeting_minutes": 0, "participants": 0})
    entry = account(module, "gus@accounts.test")
    client = signed_in(greenlight, "gus@accounts.test")
    done = threading.Event()
    refused: list[str] = []

    def make() -> None:
        while not done.is_set():
            answer = make_room(client, entry["id"])
            if answer.status != 201:
                refused.append(answer.text)

    maker = threading.Thread(target=make)
    maker.start()
    try:
        for minutes in (30, 0, 31, 0, 32):
            module("greenlight_settings", limits={"rooms_per_account": 500, "meeting_minutes": minutes, "participants": minutes})
    finally:
        done.set()
        maker.join()
    assert not refused
    with stage.sql(NAME) as connection:
        rows = kit.Rows(connection)
        rooms = rows.value("SELECT count(*) FROM rooms WHERE user_id = %s", entry["id"])
        limited = rows.all(
            "SELECT r.id FROM rooms r JOIN room_meeting_options m ON m.room_id = r.id JOIN meeting_options o ON o.id = m.meeting_option_id"
            " WHERE r.user_id = %s AND o.name IN ('duration', 'maxParticipants') AND m.value = '32' GROUP BY r.id HAVING count(*) = 2",
            entry["id"],
        )
    assert rooms > 3 and len(limited) == rooms
    assert create_call(stage, client, rooms_of(client)[0])["duration"] == "32"
