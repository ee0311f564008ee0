# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_settings against a real PostgreSQL with Greenlight's tables: what it writes, refuses, repairs, and leaves alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.greenlight_database import NOW, GreenlightDatabase, ensure_server
from tests.support.lab import RunningLab

MODULE = "greenlight_settings"
WISH: dict[str, Any] = {
    "settings": {
        "registration": "invite",
        "allowed_domains": ["Sunflower.example", ".sub.example"],
        "primary_color": "#2e7d32",
        "primary_color_light": "#e8f5e9",
        "branding_image": "https://sunflower.example/logo.svg",
        "terms": "https://sunflower.example/terms",
        "session_timeout": 7,
        "sign_in_on_room_join": False,
        "default_role": "Guest",
    },
    "limits": {"rooms_per_account": 3, "meeting_minutes": 90, "participants": 25},
    "meeting_options": {"welcome": "Hallo 'Welt' %s", "lockSettingsDisableCam": True},
    "record": False,
}
LIMITS = {"limits": {"rooms_per_account": 3, "meeting_minutes": 90, "participants": 25}}


@pytest.fixture
def make(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., GreenlightDatabase]]:
    ensure_server(lab)
    made: list[GreenlightDatabase] = []

    def one(tag: str | None = "v3.8.2.4") -> GreenlightDatabase:
        db = GreenlightDatabase(lab, run_module)
        made.append(db)
        db.create(tag)
        return db

    yield one
    for db in made:
        db.drop()


@pytest.fixture
def db(make: Callable[..., GreenlightDatabase]) -> GreenlightDatabase:
    return make()


def limits_of(db: GreenlightDatabase, room: str) -> tuple[str | None, str | None]:
    sent = db.sent(room)
    return sent.get("duration"), sent.get("maxParticipants")


def test_everything_at_once(db: GreenlightDatabase) -> None:
    old = db.room(db.user("ada@x.test"))
    result = db.truthful(MODULE, WISH)
    new = db.room(db.user("bob@x.test"))
    for name, value in {
        "RegistrationMethod": "invite",
        "AllowedDomains": "@sunflower.example,.sub.example",
        "PrimaryColor": "#2e7d32",
        "PrimaryColorLight": "#e8f5e9",
        "BrandingImage": "https://sunflower.example/logo.svg",
        "Terms": "https://sunflower.example/terms",
        "SessionTimeout": "7",
        "SignInOnRoomJoin": "false",
        "DefaultRole": "Guest",
        "PrivacyPolicy": "",
    }.items():
        assert db.setting(name) == [value], name
    for role in ("Administrator", "User", "Guest"):
        assert db.permission(role, "RoomLimit") == ["3"]
        assert db.permission(role, "ManageRoles") == ["false"]
    assert db.permission("SuperAdmin", "RoomLimit") == ["100"]
    assert db.permission("SuperAdmin", "ManageRoles") == ["true"]
    for room in (old, new):
        sent = db.sent(room)
        assert sent["duration"] == "90" and sent["maxParticipants"] == "25"
        assert sent["welcome"] == "Hallo 'Welt' %s" and sent["lockSettingsDisableCam"] == "true"
        assert sent["record"] == "false"
    assert result["release"] == "3.8.1" and result["rooms"] == 1 and result["roles"] == ["Administrator", "Guest", "User"]
    assert result["diff"]["before"]["rooms.duration.missing"] == 1 and result["diff"]["after"]["rooms.duration.missing"] == 0
    assert result["diff"]["before"]["settings.RegistrationMethod"] == "open"


def test_through_ansible(db: GreenlightDatabase) -> None:
    room = db.room(db.user("ada@x.test"))
    before = db.dump()
    foretold = db.play(MODULE, WISH, check=True)
    assert foretold["changed"] is True and db.dump() == before
    real = db.play(MODULE, WISH)
    assert real["changed"] is True and real["diff"] == foretold["diff"]
    assert limits_of(db, room) == ("90", "25")
    assert db.play(MODULE, WISH)["changed"] is False
    assert db.password not in json.dumps(real)


def test_what_is_not_asked_is_left_alone(db: GreenlightDatabase) -> None:
    before = db.dump()
    result = db.truthful(MODULE, {"lock_roles": False})
    assert result["changed"] is False and db.dump() == before
    result = db.truthful(MODULE, {})
    assert set(result["diff"]["after"]) == {"role_permissions.Administrator.ManageRoles"}


PERMISSION = "SELECT rp.id FROM role_permissions rp JOIN roles r ON r.id = role_id JOIN permissions p ON p.id = permission_id"
SETTING = "setting_id = (SELECT id FROM settings WHERE name = '{}')"
OPTION = "meeting_option_id = (SELECT id FROM meeting_options WHERE name = '{}')"
TAMPERING = {
    "role_permissions.User.RoomLimit": "UPDATE role_permissions SET value = 'true'"
    f" WHERE id = ({PERMISSION} WHERE r.name = 'User' AND p.name = 'RoomLimit')",
    "role_permissions.Administrator.ManageRoles": "UPDATE role_permissions SET value = 'true'"
    f" WHERE id = ({PERMISSION} WHERE r.name = 'Administrator' AND p.name = 'ManageRoles')",
    "role_permissions.Guest.RoomLimit": "DELETE FROM role_permissions"
    f" WHERE id = ({PERMISSION} WHERE r.name = 'Guest' AND p.name = 'RoomLimit')",
    "settings.PrimaryColor": f"UPDATE site_settings SET value = '#000000' WHERE {SETTING.format('PrimaryColor')}",
    "settings.Terms": f"DELETE FROM site_settings WHERE {SETTING.format('Terms')}",
    "meeting_options.duration": "UPDATE meeting_options SET default_value = '600' WHERE name = 'duration'",
    "rooms.duration.stale": f"UPDATE room_meeting_options SET value = '600' WHERE {OPTION.format('duration')}",
    "rooms.maxParticipants.missing": f"DELETE FROM room_meeting_options WHERE {OPTION.format('maxParticipants')}",
    "rooms_configurations.duration": "INSERT INTO rooms_configurations (meeting_option_id, provider, value, created_at, updated_at)"
    f" SELECT id, 'greenlight', 'optional', {NOW}, {NOW} FROM meeting_options WHERE name = 'duration'",
    "rooms_configurations.record": f"UPDATE rooms_configurations SET value = 'optional' WHERE {OPTION.format('record')}",
    "settings.BrandingImage.upload": "WITH b AS (INSERT INTO active_storage_blobs (key, filename, service_name, byte_size, created_at)"
    f" VALUES ('k', 'f', 'local', 1, {NOW}) RETURNING id)"
    " INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)"
    f" SELECT 'image', 'SiteSetting', v.id, b.id, {NOW} FROM b, site_settings v WHERE {SETTING.format('BrandingImage')}",
}


def test_drift_made_by_hand_is_repaired(db: GreenlightDatabase) -> None:
    room = db.room(db.user("ada@x.test"))
    assert db.module(MODULE, WISH)["changed"] is True
    good = db.sent(room)
    db.psql(";\n".join(TAMPERING.values()))
    result = db.truthful(MODULE, WISH)
    assert set(result["diff"]["before"]) == set(TAMPERING)
    assert db.sent(room) == good
    assert db.setting("Terms") == ["https://sunflower.example/terms"]
    assert db.permission("Guest", "RoomLimit") == ["3"]
    assert db.one(f"SELECT count(*) FROM rooms_configurations WHERE {OPTION.format('duration')}") == "0"


def test_rows_already_right_are_not_touched(db: GreenlightDatabase) -> None:
    db.module(MODULE, WISH)
    db.psql(TAMPERING["settings.PrimaryColor"] + ";\n" + "UPDATE site_settings SET updated_at = '2001-01-01';")
    db.module(MODULE, WISH)
    assert db.one("SELECT count(*) FROM site_settings WHERE updated_at <> '2001-01-01'") == "1"


def test_custom_role_gets_all_its_permissions(db: GreenlightDatabase) -> None:
    db.psql(f"INSERT INTO roles (name, color, provider, created_at, updated_at) VALUES ('Board', '#123456', 'greenlight', {NOW}, {NOW})")
    db.truthful(MODULE, {"limits": {"rooms_per_account": 3, "rooms_by_role": {"Board": 20}}})
    rows = dict(
        row.split("|", 1)
        for row in db.psql(
            "SELECT p.name, v.value FROM role_permissions v JOIN roles r ON r.id = role_id JOIN permissions p ON p.id = permission_id"
            " WHERE r.name = 'Board'"
        )
    )
    assert rows["RoomLimit"] == "20" and rows["ManageRoles"] == "false" and rows["CreateRoom"] == "true" and rows["ManageUsers"] == "false"
    assert json.loads(rows["AccessToVisibilities"])[0] == "Published"
    assert len(rows) == int(db.one("SELECT count(*) FROM permissions")) == 11
    assert db.permission("User", "RoomLimit") == ["3"]


def test_a_limit_can_be_taken_away(db: GreenlightDatabase) -> None:
    room = db.room(db.user("ada@x.test"))
    db.module(MODULE, WISH)
    result = db.truthful(MODULE, {"limits": {"meeting_minutes": 0}, "meeting_options": {"welcome": None, "neverSet": None}})
    assert result["diff"]["after"] == {
        "rooms.duration.set": 0,
        "meeting_options.duration": None,
        "rooms.welcome.set": 0,
        "meeting_options.welcome": None,
    }
    sent = db.sent(room)
    assert "duration" not in sent and "welcome" not in sent and sent["maxParticipants"] == "25"


def test_recording_can_be_allowed_again(db: GreenlightDatabase) -> None:
    room = db.room(db.user("ada@x.test"))
    db.module(MODULE, {"record": False})
    assert db.sent(room)["record"] == "false"
    result = db.truthful(MODULE, {"record": True})
    assert result["diff"]["after"] == {"rooms_configurations.record": "default_enabled"}
    db.truthful(MODULE, {"rooms_configurations": {"record": "optional", "muteOnStart": True}})
    assert db.module(MODULE, {"record": True})["changed"] is False


DUPLICATES = {
    "site_settings": (
        "INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)"
        f" SELECT id, '#111111', 'greenlight', {NOW}, {NOW} FROM settings WHERE name = 'PrimaryColor'",
        "setting PrimaryColor, provider greenlight",
    ),
    "role_permissions": (
        "INSERT INTO role_permissions (role_id, permission_id, value, created_at, updated_at) SELECT role_id, permission_id, '999',"
        f" {NOW}, {NOW} FROM role_permissions rp JOIN roles r ON r.id = role_id JOIN permissions p ON p.id = permission_id"
        " WHERE r.name = 'User' AND p.name = 'RoomLimit'",
        "role User, permission RoomLimit",
    ),
    "permissions": (f"INSERT INTO permissions (name, created_at, updated_at) VALUES ('RoomLimit', {NOW}, {NOW})", "permission RoomLimit"),
    "room_meeting_options": (
        "INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)"
        f" SELECT room_id, meeting_option_id, '600', {NOW}, {NOW} FROM room_meeting_options WHERE {OPTION.format('duration')}",
        "option duration for 1 room(s)",
    ),
}


@pytest.mark.parametrize("table", DUPLICATES)
def test_duplicate_rows_are_an_error_that_says_how_to_repair(db: GreenlightDatabase, table: str) -> None:
    db.room(db.user("ada@x.test"))
    db.module(MODULE, WISH)
    sql, key = DUPLICATES[table]
    db.psql(sql + ";\n" + TAMPERING["settings.Terms"])
    before = db.dump()
    for check in (True, False):
        result = db.module(MODULE, WISH, check=check)
        assert result["failed"] is True and "\n" not in result["msg"]
        assert f"table {table} has" in result["msg"] and key in result["msg"] and f"DELETE FROM {table}" in result["msg"]
    assert db.dump() == before, "something was written beside the duplicate"


GUARDS = {
    "missing table": ("DROP TABLE formats, recordings, shared_accesses, room_meeting_options", "table room_meeting_options is missing"),
    "missing column": ("ALTER TABLE site_settings DROP COLUMN provider", "column site_settings.provider is missing"),
    "other type": ("ALTER TABLE role_permissions ALTER COLUMN value TYPE text", "is of type text, not character varying"),
    "a view": (
        "ALTER TABLE site_settings RENAME TO site_settings_real; CREATE VIEW site_settings AS SELECT * FROM site_settings_real",
        "is not a plain table",
    ),
    "schema too old": ("DELETE FROM schema_migrations WHERE version = '20221025184305'", "migrations are not finished"),
    "data under way": ("DELETE FROM data_migrations WHERE version = '20260402000001'", "migrations are not finished"),
    "seeds missing": (
        "DELETE FROM role_permissions; DELETE FROM permissions WHERE name = 'RoomLimit'",
        "table permissions has no row RoomLimit",
    ),
}


@pytest.mark.parametrize("case", GUARDS)
def test_a_database_that_is_not_greenlights_is_refused(db: GreenlightDatabase, case: str) -> None:
    sql, words = GUARDS[case]
    db.psql(sql, user=db.name)
    before = db.dump()
    result = db.module(MODULE, WISH)
    assert result["failed"] is True and words in result["msg"] and "\n" not in result["msg"]
    assert db.dump() == before


def test_newer_migrations_warn_or_fail(db: GreenlightDatabase) -> None:
    db.psql("INSERT INTO data_migrations VALUES ('20270101000000')")
    result = db.module(MODULE, {**LIMITS, "unknown_version": "fail"})
    assert result["failed"] is True and "20270101000000" in result["msg"]
    assert db.permission("User", "RoomLimit") == ["100"]
    result = db.module(MODULE, LIMITS)
    assert result["changed"] is True and "20270101000000" in json.dumps(result["warnings"])


def test_an_older_release_lacks_settings(make: Callable[..., GreenlightDatabase]) -> None:
    db = make("v3.7.1")
    settings = {"accessibility_statement": "", "allow_name_update": True, "terms": "https://x.test/t"}
    result = db.truthful(MODULE, {"settings": settings, **LIMITS})
    assert result["release"] == "3.7.0" and result["skipped_settings"] == ["AccessibilityStatement", "AllowNameUpdate"]
    assert db.setting("AccessibilityStatement") == [] and db.setting("Terms") == ["https://x.test/t"]
    result = db.module(MODULE, {"settings": {"accessibility_statement": "https://x.test/a"}})
    assert result["failed"] is True and "came with Greenlight 3.8.0, this database is of 3.7.0" in result["msg"]


def test_every_wrong_wish_is_named_at_once(db: GreenlightDatabase) -> None:
    before = db.dump()
    result = db.module(
        MODULE,
        {
            "settings": {"primary_color": "red", "terms": "javascript:alert(1)", "allowed_domains": ["not a domain"]},
            "limits": {"rooms_per_account": -1, "rooms_by_role": {"User": "true"}, "participants": 5},
            "meeting_options": {"maxParticipants": 6, "glAnyoneCanStart": "true", "record": "true", "logoutURL": "x", "bad name": 1},
            "rooms_configurations": {"duration": "optional", "muteOnStart": "maybe"},
        },
    )
    assert result["failed"] is True and "\n" not in result["msg"]
    for where in (
        "settings.primary_color", "settings.terms", "settings.allowed_domains", "limits.rooms_per_account", "limits.rooms_by_role.User",
        "meeting_options.maxParticipants", "meeting_options.glAnyoneCanStart", "meeting_options.record", "meeting_options.logoutURL",
        "meeting_options.bad name", "rooms_configurations.duration", "rooms_configurations.muteOnStart",
    ):  # fmt: skip
        assert where in result["msg"], where
    result = db.module(MODULE, {"settings": {"default_role": "Nobody"}, "limits": {"rooms_by_role": {"Nowhere": 1}}})
    assert "'Nobody'" in result["msg"] and "'Nowhere'" in result["msg"]
    assert db.dump() == before


def test_nothing_there_yet(db: GreenlightDatabase, make: Callable[..., GreenlightDatabase]) -> None:
    empty = make(None)
    for login, words in (
        ({"login_db": "greenlight_nowhere"}, "has no database 'greenlight_nowhere'"),
        ({"login_port": 1}, "does not answer on 127.0.0.1:1"),
        ({"login_unix_socket": "/nowhere"}, "does not answer on socket /nowhere"),
        ({"login_db": empty.name, "login_user": empty.name, "login_password": empty.password}, "holds no Greenlight yet"),
    ):
        result = db.module(MODULE, {**LIMITS, **login})
        assert result["failed"] is True and words in result["msg"] and "\n" not in result["msg"], result["msg"]
        result = db.module(MODULE, {**LIMITS, **login}, check=True)
        assert result["changed"] is True and result["db_missing"] is True
        assert result["diff"]["after"] == {
            "role_permissions.*.RoomLimit": "3",
            "role_permissions.*.ManageRoles": "false",
            "meeting_options.duration": "90",
            "meeting_options.maxParticipants": "25",
        }
    for check in (True, False):
        result = db.module(MODULE, {**LIMITS, "login_password": "Wr0ng-passw0rd"}, check=check)
        assert result["failed"] is True and "refuses user" in result["msg"] and "Wr0ng-passw0rd" not in json.dumps(result)


ROOM_MAKER = f"""
# What Greenlight does in one transaction (app/models/room.rb): the room, then a row for each meeting option it sees.
owner, seconds, pause = args
end = time.monotonic() + seconds
made = 0
with psycopg.connect(conninfo) as conn:
    while time.monotonic() < end:
        made += 1
        tag = f"r{{made}}-{{time.monotonic_ns()}}"
        room = conn.execute("INSERT INTO rooms (user_id, name, friendly_id, meeting_id, created_at, updated_at)"
                            " VALUES (%s, 'x', %s, %s, {NOW}, {NOW}) RETURNING id", (owner, tag, tag)).fetchone()[0]
        options = conn.execute("SELECT id, default_value FROM meeting_options").fetchall()
        time.sleep(pause)
        for option, value in options:
            conn.execute("INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)"
                         " VALUES (%s, %s, %s, {NOW}, {NOW})", (room, option, value))
        conn.commit()
print(made)
"""


def test_no_room_slips_through_while_the_site_is_live(db: GreenlightDatabase) -> None:
    owner = db.user("ada@x.test")
    makers = [db.script(ROOM_MAKER, owner, 6, pause) for pause in (0.0, 0.05, 0.3)]
    minutes = 30
    results = []
    while any(maker.poll() is None for maker in makers):
        minutes += 1
        results.append(db.module(MODULE, {"limits": {"meeting_minutes": minutes, "participants": minutes}}))
        results.append(db.module(MODULE, {"limits": {"meeting_minutes": 0, "participants": 0}}))
    results.append(db.module(MODULE, {"limits": {"meeting_minutes": 77, "participants": 77}}))
    for maker in makers:
        out, err = maker.communicate()
        assert maker.returncode == 0 and int(out) > 0, err
    for result in results:
        assert not result.get("failed"), result
    rooms = int(db.one("SELECT count(*) FROM rooms"))
    right = (
        "SELECT count(*) FROM (SELECT r.id FROM rooms r JOIN room_meeting_options m ON m.room_id = r.id JOIN meeting_options o"
        " ON o.id = m.meeting_option_id WHERE o.name IN ('duration', 'maxParticipants') GROUP BY r.id"
        " HAVING count(*) = 2 AND count(DISTINCT o.name) = 2 AND min(m.value) = '77' AND max(m.value) = '77') x"
    )
    assert rooms > 10 and int(db.one(right)) == rooms


ROOM_KILLER = """
# What Greenlight does when a room is deleted: its children first, then the room.
room, pause = args
with psycopg.connect(conninfo) as conn:
    conn.execute("DELETE FROM room_meeting_options WHERE room_id = %s", (room,))
    print("ready", flush=True)
    time.sleep(pause)
    conn.execute("DELETE FROM rooms WHERE id = %s", (room,))
print("done")
"""


def test_in_a_deadlock_the_site_wins(db: GreenlightDatabase) -> None:
    owner = db.user("ada@x.test")
    rooms = [db.room(owner) for _other in range(3)]
    db.module(MODULE, LIMITS)
    killer = db.script(ROOM_KILLER, rooms[1], 2.5)
    assert killer.stdout is not None and killer.stdout.readline() == "ready\n"
    result = db.module(MODULE, {"limits": {"meeting_minutes": 45}})
    out, err = killer.communicate()
    assert killer.returncode == 0 and "done" in out, err
    assert not result.get("failed") and result["changed"] is True, result
    assert {limits_of(db, room)[0] for room in (rooms[0], rooms[2])} == {"45"}
    assert db.one("SELECT count(*) FROM rooms") == "2"


HOLDER = """
table, column, value, seconds = args
with psycopg.connect(conninfo) as conn:
    conn.execute(f"SELECT 1 FROM {table} WHERE {column} = %s FOR UPDATE", (value,))
    print("ready", flush=True)
    conn.execute("SELECT pg_sleep(%s)", (seconds,))
"""


def test_killed_in_mid_transaction_nothing_is_half_done(db: GreenlightDatabase) -> None:
    db.room(db.user("ada@x.test"))
    before = db.dump()
    option = db.one("SELECT id FROM meeting_options WHERE name = 'record'")
    holder = db.script(HOLDER, "rooms_configurations", "meeting_option_id", option, 60)  # the last row that the module writes
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    db.kill_while_writing(MODULE, WISH)
    db.end(holder)
    assert db.dump() == before
    db.truthful(MODULE, WISH)


def test_a_lock_that_never_comes_is_one_clear_error(db: GreenlightDatabase) -> None:
    role = db.one("SELECT id FROM roles WHERE name = 'User'")
    holder = db.script(HOLDER, "role_permissions", "role_id", role, 5)
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    before = db.dump()
    result = db.module(MODULE, {**LIMITS, "lock_wait": 1})
    assert result["failed"] is True and "stayed locked or busy for 1 s" in result["msg"] and "\n" not in result["msg"]
    assert db.dump() == before
    holder.communicate()
    assert db.module(MODULE, LIMITS)["changed"] is True


def test_two_runs_do_not_mix(db: GreenlightDatabase) -> None:
    owner = db.user("ada@x.test")
    room = db.room(owner)
    results: list[dict[str, Any]] = []

    def run(number: int) -> None:
        wish = {"limits": {"rooms_per_account": number, "meeting_minutes": number, "participants": number}}
        results.append(db.module(MODULE, wish))

    for _other in range(2):
        threads = [threading.Thread(target=run, args=(number,)) for number in (11, 22, 33)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held = {*limits_of(db, room), *db.permission("User", "RoomLimit"), *db.permission("Guest", "RoomLimit")}
        assert len(held) == 1, held
    assert not [result for result in results if result.get("failed")], results
    assert db.one("SELECT count(*) FROM role_permissions") == "44"


def test_a_superuser_does_not_run_the_instances_code(db: GreenlightDatabase) -> None:
    """Who owns the database may put a trigger on a table; a superuser's write would run it with a superuser's rights."""
    password = "Superuser1"
    db.psql(f"CREATE ROLE {db.name}_super SUPERUSER LOGIN PASSWORD '{password}'", db="postgres")
    try:
        login = {"login_user": f"{db.name}_super", "login_password": password}
        assert db.module(MODULE, {**WISH, **login})["changed"] is True
        db.psql(
            "CREATE FUNCTION public.evil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN CREATE TABLE public.owned (); END IF;"
            " RETURN NEW; END $$;\n"
            "CREATE TRIGGER evil BEFORE UPDATE ON site_settings FOR EACH ROW EXECUTE FUNCTION public.evil();\n"
            "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;",
            user=db.name,
        )
        db.psql(TAMPERING["settings.PrimaryColor"].replace("#000000", "#010101"), user=db.name)
        result = db.module(MODULE, {**WISH, **login})
        assert result["failed"] is True and "site_settings: trigger evil" in result["msg"]
        assert "connect as the database's owner" in result["msg"] and "\n" not in result["msg"]
        assert db.one("SELECT pg_catalog.to_regclass('public.owned') IS NULL") == "t"
        assert db.module(MODULE, WISH)["changed"] is True  # as the owner it is harmless
        assert db.setting("PrimaryColor") == ["#2e7d32"]
    finally:
        db.psql(f"DROP ROLE {db.name}_super", db="postgres")
