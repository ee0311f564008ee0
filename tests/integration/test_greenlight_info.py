# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_info against real PostgreSQL databases of two releases: right figures, nobody's name, and one bad instance among good ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.greenlight_database import NOW, GreenlightDatabase, ensure_server, run_directly
from tests.support.lab import RunningLab

MODULE = "greenlight_info"
TAGS = ("v3.7.1", "v3.8.2.4")


def furnish(db: GreenlightDatabase) -> None:
    """Four accounts, two rooms, three recordings, and secrets wherever Greenlight keeps some."""
    ada = db.user(
        "ada@sunflower.test", "Administrator", name="Ada Lovelace", password_digest="$2a$12$secretdigest", last_login="2026-03-04 05:06:07",
        session_token="secret-session", reset_digest="secret-reset",
    )  # fmt: skip
    bob = db.user("bob@sunflower.test", name="Bob Example", external_id="secret-subject")
    db.user("eve@sunflower.test", status=2, verified=False)
    db.user("new@sunflower.test", status=1)
    room, other = db.room(ada, "Secret plans"), db.room(bob)
    db.psql(
        f"""
        UPDATE rooms SET last_session = '2026-05-06 07:08:09', online = true WHERE id = '{room}';
        INSERT INTO shared_accesses (user_id, room_id, created_at, updated_at) VALUES ('{bob}', '{room}', {NOW}, {NOW});
        INSERT INTO recordings (room_id, name, record_id, visibility, length, participants, created_at, updated_at) VALUES
            ('{room}', 'Secret talk', 'r1', 'Published', 40, 1, {NOW}, {NOW}), ('{room}', 'n', 'r2', 'Published', 5, 1, {NOW}, {NOW}),
            ('{other}', 'n', 'r3', 'Unpublished', 7, 1, {NOW}, {NOW});
        UPDATE room_meeting_options SET value = 'secret-code' WHERE meeting_option_id IN
            (SELECT id FROM meeting_options WHERE name = 'glViewerAccessCode');
        UPDATE site_settings SET value = 'Administrator=ada@sunflower.test' WHERE setting_id IN
            (SELECT id FROM settings WHERE name = 'RoleMapping');
        """
    )


@pytest.fixture(scope="module")
def dbs(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[list[GreenlightDatabase]]:
    """One furnished database for each release, and an empty one."""
    ensure_server(lab)
    made = [GreenlightDatabase(lab, run_module) for _other in range(3)]
    try:
        for db, tag in zip(made, (*TAGS, None), strict=True):
            db.create(tag)
            if tag:
                furnish(db)
        yield made
    finally:
        for db in made:
            db.drop()


def ask(db: GreenlightDatabase, *names: str, **options: Any) -> dict[str, Any]:
    """Run the module as the instance's own role."""
    return run(db, {key: value for key, value in db.login.items() if key != "login_db"}, *names, **options)


def run(db: GreenlightDatabase, login: dict[str, Any], *names: str, **options: Any) -> dict[str, Any]:
    return run_directly(db.lab, db.host, MODULE, {**login, "databases": list(names) or [db.name], **options})


@pytest.mark.parametrize("number", [0, 1], ids=TAGS)
def test_figures(dbs: list[GreenlightDatabase], number: int) -> None:
    db = dbs[number]
    db.module("greenlight_settings", {"limits": {"rooms_per_account": 3, "meeting_minutes": 90}})
    before = db.dump()
    result = ask(db)
    assert result["changed"] is False and result["unread"] == [] and db.dump() == before
    told = result["instances"][0]
    assert told["error"] is None and told["database"] == db.name
    expected = {"release": "3.7.0", "schema": "20260109153256", "data": "20250501185954"} if number == 0 else {
        "release": "3.8.1", "schema": "20260402000000", "data": "20260402000001"
    }  # fmt: skip
    assert told["versions"] == {**expected, "unknown_migrations": []}
    assert told["duplicates"] == []
    assert told["settings"]["registration"] == "open" and ("allow_name_update" in told["settings"]) is (number == 1)
    assert told["limits"] == {
        "rooms_by_role": {"Administrator": 3, "Guest": 3, "User": 3},
        "meeting_minutes": 90, "rooms_without_meeting_minutes": 0, "participants": None, "rooms_without_participants": 0,
    }  # fmt: skip
    assert told["users"] == {
        "total": 4, "by_role": {"Administrator": 1, "User": 3}, "by_status": {"active": 2, "pending": 1, "banned": 1},
        "verified": 3, "external": 1, "signed_in": 4, "without_session_token": 0,
    }  # fmt: skip
    assert told["rooms"] == {"total": 2, "online": 1, "owners": 2} and told["shared_accesses"] == 1
    assert told["recordings"] == {
        "total": 3, "minutes": 52, "by_visibility": {"Published": {"total": 2, "minutes": 45}, "Unpublished": {"total": 1, "minutes": 7}}
    }  # fmt: skip
    assert told["last_use"] == {"sign_in": "2026-03-04T05:06:07Z", "meeting": "2026-05-06T07:08:09Z"}
    assert told["size_bytes"] > 1_000_000


def test_people_only_when_asked_and_secrets_never(dbs: list[GreenlightDatabase]) -> None:
    db = dbs[1]
    plain, personal = ask(db), ask(db, personal=True)
    for word in ("Ada", "ada@", "Bob", "eve@", "sunflower.test"):
        assert word not in json.dumps(plain["instances"]), word
    for word in ("secret", "Secret", "$2a$", db.password):
        assert word not in json.dumps(personal["instances"]), word
    people = {person["email"]: person for person in personal["instances"][0]["people"]}
    assert list(people) == [f"{name}@sunflower.test" for name in ("ada", "bob", "eve", "new")]
    assert people["ada@sunflower.test"] == {
        "name": "Ada Lovelace", "email": "ada@sunflower.test", "role": "Administrator", "status": "active", "verified": True,
        "external": False, "last_use": {"sign_in": "2026-03-04T05:06:07Z", "meeting": "2026-05-06T07:08:09Z"},
    }  # fmt: skip
    assert people["eve@sunflower.test"]["status"] == "banned" and people["new@sunflower.test"]["status"] == "pending"
    assert personal["instances"][0]["settings"]["role_mapping"] == "Administrator=ada@sunflower.test"


def test_many_instances_in_one_call_and_a_bad_one_holds_up_no_other(dbs: list[GreenlightDatabase]) -> None:
    old, new, empty = dbs
    new.psql(
        "INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at) SELECT setting_id, 'x', provider, created_at,"
        " updated_at FROM site_settings WHERE setting_id = (SELECT id FROM settings WHERE name = 'HelpCenter')"
    )
    new.psql("UPDATE users SET session_token = NULL WHERE email = 'eve@sunflower.test'")
    admin = {"login_host": "127.0.0.1", "login_user": f"{new.name}_all", "login_password": new.password}
    new.psql(f"CREATE ROLE {new.name}_all LOGIN SUPERUSER PASSWORD '{new.password}';", db="postgres")
    try:
        result = run(new, admin, "greenlight_nowhere", empty.name, new.name, old.name)
    finally:
        new.psql(f"DROP ROLE {new.name}_all;", db="postgres")
    assert not result.get("failed") and result["unread"] == ["greenlight_nowhere", empty.name]
    nowhere, bare, told, last = result["instances"]
    assert "has no database 'greenlight_nowhere'" in nowhere["error"] and "holds no Greenlight yet" in bare["error"]
    assert len(result["warnings"]) == 2
    assert told["duplicates"] == [{"table": "site_settings", "key": "HelpCenter, provider greenlight", "rows": 2}]
    assert told["settings"]["help_center"] is None and told["users"]["without_session_token"] == 1
    assert last["error"] is None and last["users"]["total"] == 4


def test_through_ansible(dbs: list[GreenlightDatabase], run_module: Callable[..., dict[str, Any]]) -> None:
    db = dbs[0]
    login = {key: value for key, value in db.login.items() if key != "login_db"}
    for check in (True, False):
        result = run_module(db.host, "meet.coop.greenlight_info", {**login, "databases": [db.name]}, check=check)
        assert result["changed"] is False and result["instances"][0]["rooms"]["total"] == 2 and db.password not in json.dumps(result)
