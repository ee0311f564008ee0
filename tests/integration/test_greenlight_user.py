# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_user against a real PostgreSQL with Greenlight's tables: rows written, rows refused, secrets that stay secret."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.greenlight_database import NOW, GreenlightDatabase, ensure_server
from tests.support.lab import RunningLab

MODULE = "greenlight_user"
GOOD = "Correct-Horse 7"
OTHER = "Battery-Staple 8"
BASE = "https://meet.sunflower.test"
ADA = {"email": "Ada@Sunflower.test", "name": "Ada Lovelace", "role": "Administrator", "language": "de", "password": GOOD}


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


def row(db: GreenlightDatabase, email: str) -> dict[str, Any]:
    found = db.psql(
        "SELECT row_to_json(x) FROM (SELECT u.*, r.name AS role, r.provider AS role_provider, "
        f"u.session_expiry <= {NOW} AS ended FROM users u JOIN roles r ON r.id = role_id WHERE email = '{email}') x"
    )
    assert len(found) == 1, found
    return json.loads(found[0])


def password_is(db: GreenlightDatabase, email: str, password: str) -> bool:
    """pgcrypto, as a second opinion."""
    return db.one(f"SELECT crypt('{password}', password_digest) = password_digest FROM users WHERE email = '{email}'") == "t"


def test_a_new_account_is_a_whole_row(db: GreenlightDatabase) -> None:
    result = db.truthful(MODULE, {"users": [ADA, {"email": "bob@sunflower.test", "name": "Bob"}]})
    ada = row(db, "ada@sunflower.test")
    assert ada["name"] == "Ada Lovelace" and ada["role"] == "Administrator" and ada["provider"] == "greenlight"
    assert ada["verified"] is True and ada["status"] == 0 and ada["language"] == "de" and ada["external_id"] is None
    assert re.fullmatch("[0-9a-f]{64}", ada["session_token"]) and ada["session_expiry"]
    assert ada["password_digest"].startswith("$2a$12$") and password_is(db, "ada@sunflower.test", GOOD)
    bob = row(db, "bob@sunflower.test")
    assert bob["password_digest"] is None and bob["role"] == "User" and bob["session_token"] != ada["session_token"]
    assert [(user["email"], user["action"]) for user in result["users"]] == [
        ("ada@sunflower.test", "created"), ("bob@sunflower.test", "created")
    ]  # fmt: skip
    assert result["users"][0]["id"] == ada["id"]
    assert result["counts"] == {"none": 0, "created": 2, "changed": 0, "disabled": 0, "removed": 0, "total": 0}


def test_through_ansible_no_secret_is_shown(db: GreenlightDatabase) -> None:
    args = {"users": [ADA], "reset_link": "on_create", "base_url": BASE}
    foretold = db.play(MODULE, args, check=True)
    assert foretold["changed"] is True and db.one("SELECT count(*) FROM users") == "0" and "reset_link" not in foretold["users"][0]
    real = db.play(MODULE, args)
    assert real["diff"] == foretold["diff"]
    token = re.fullmatch(re.escape(BASE) + "/reset_password/([A-Za-z0-9]{40})", real["users"][0]["reset_link"])
    assert token and row(db, "ada@sunflower.test")["reset_digest"] == hashlib.sha256(token[1].encode()).hexdigest()
    for result in (foretold, real):
        text = json.dumps(result)
        assert GOOD not in text and db.password not in text and "$2a$" not in text
    assert db.play(MODULE, args)["changed"] is False


def test_the_server_never_sees_a_password(db: GreenlightDatabase) -> None:
    db.psql(f"ALTER ROLE {db.name} SET log_statement = 'all'; ALTER ROLE {db.name} SET log_min_duration_statement = 0;")
    db.module(MODULE, {"users": [ADA]})
    db.module(MODULE, {"users": [{**ADA, "password": OTHER}], "update_password": "always"})
    log = db.lab.exec(db.host, ["sh", "-c", "cat /var/log/postgresql/*.log"]).stdout
    assert "INSERT INTO public.users" in log, "the log holds no statements: this test proves nothing"
    assert GOOD not in log and OTHER not in log


def test_drift_made_by_hand_is_repaired(db: GreenlightDatabase) -> None:
    db.module(MODULE, {"users": [ADA]})
    db.psql(
        "UPDATE users SET name = 'x', email = 'ADA@sunflower.test', verified = false, status = 2, language = 'fr',"
        " role_id = (SELECT id FROM roles WHERE name = 'User')"
    )
    result = db.truthful(MODULE, {"users": [ADA]})
    assert {key.rsplit(".", 1)[1] for key in result["diff"]["before"]} == {"name", "email", "verified", "status", "role"}
    ada = row(db, "ada@sunflower.test")
    assert (ada["name"], ada["verified"], ada["status"], ada["role"]) == ("Ada Lovelace", True, 0, "Administrator")
    assert ada["language"] == "fr", "the language is the person's own choice"


def test_a_password_is_given_once_or_always(db: GreenlightDatabase) -> None:
    db.module(MODULE, {"users": [ADA]})
    token = row(db, "ada@sunflower.test")["session_token"]
    assert db.module(MODULE, {"users": [{**ADA, "password": OTHER}]})["changed"] is False
    assert password_is(db, "ada@sunflower.test", GOOD)
    assert db.module(MODULE, {"users": [ADA], "update_password": "always"})["changed"] is False
    result = db.truthful(MODULE, {"users": [{**ADA, "password": OTHER}], "update_password": "always"})
    assert result["diff"]["after"] == {"ada@sunflower.test.password": "given"}
    ada = row(db, "ada@sunflower.test")
    assert password_is(db, "ada@sunflower.test", OTHER) and ada["session_token"] != token and ada["ended"] is True


def test_disabling_ends_everything(db: GreenlightDatabase) -> None:
    user = db.user("eve@sunflower.test", reset_digest="r", verification_digest="v")
    token = row(db, "eve@sunflower.test")["session_token"]
    wish = {"users": [{"email": "eve@sunflower.test", "state": "disabled"}, {"email": "nobody@sunflower.test", "state": "disabled"}]}
    result = db.truthful(MODULE, wish)
    assert [entry["action"] for entry in result["users"]] == ["disabled", "none"]
    eve = row(db, "eve@sunflower.test")
    assert eve["id"] == user and eve["status"] == 2 and eve["ended"] is True and eve["session_token"] not in (None, token)
    assert eve["reset_digest"] is None and eve["verification_digest"] is None
    # banned by hand, session and all: it must not stay open
    db.psql(f"UPDATE users SET session_expiry = {NOW} + interval '1 day', reset_digest = 'again'")
    result = db.truthful(MODULE, wish)
    assert result["diff"]["after"] == {"eve@sunflower.test.session": "ended", "eve@sunflower.test.links": "withdrawn"}
    db.psql("UPDATE users SET session_expiry = NULL")
    assert db.truthful(MODULE, wish)["changed"] is True


def furnish(db: GreenlightDatabase, email: str) -> str:
    """An account with all that can hang on one."""
    user, friend = db.user(email), db.user(f"friend-of-{email}")
    mine, theirs = db.room(user, "Mine"), db.room(friend, "Theirs")
    db.psql(
        f"""
        INSERT INTO shared_accesses (user_id, room_id, created_at, updated_at) VALUES ('{friend}', '{mine}', {NOW}, {NOW}),
            ('{user}', '{theirs}', {NOW}, {NOW});
        WITH r AS (INSERT INTO recordings (room_id, name, record_id, visibility, length, participants, created_at, updated_at)
            VALUES ('{mine}', 'n', 'rec-1', 'Published', 1, 1, {NOW}, {NOW}) RETURNING id)
        INSERT INTO formats (recording_id, recording_type, url, created_at, updated_at) SELECT id, 'video', 'u', {NOW}, {NOW} FROM r;
        WITH b AS (INSERT INTO active_storage_blobs (key, filename, service_name, byte_size, created_at)
            VALUES ('avatar-key', 'a', 'local', 1, {NOW}), ('slides-key', 's', 'local', 1, {NOW}) RETURNING id, key)
        INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)
            SELECT CASE key WHEN 'avatar-key' THEN 'avatar' ELSE 'presentation' END, CASE key WHEN 'avatar-key' THEN 'User' ELSE 'Room' END,
                   CASE key WHEN 'avatar-key' THEN '{user}'::uuid ELSE '{mine}'::uuid END, id, {NOW} FROM b;
        INSERT INTO invitations (email, provider, token, created_at, updated_at) VALUES ('{email}', 'greenlight', 't', {NOW}, {NOW});
        """
    )
    return user


def test_removing_needs_leave_when_rooms_are_owned(db: GreenlightDatabase) -> None:
    user = furnish(db, "fay@sunflower.test")
    before = db.dump()
    wish = {"users": [{"email": "fay@sunflower.test", "state": "absent"}, ADA]}
    for check in (True, False):
        result = db.module(MODULE, wish, check=check)
        assert result["failed"] is True and "\n" not in result["msg"]
        assert "owns 1 room(s) with 1 recording(s) ('Mine')" in result["msg"] and "remove_rooms" in result["msg"]
    assert db.dump() == before, "the other account of the list was written"
    result = db.truthful(MODULE, {**wish, "remove_rooms": True})
    assert result["users"][0]["recordings"] == ["rec-1"] and result["users"][0]["files"] == ["avatar-key", "slides-key"]
    assert "recording(s) stay on BigBlueButton" in json.dumps(result["warnings"])
    dump = db.dump()
    assert user not in dump and "fay@sunflower.test'" not in dump.replace("friend-of-fay@sunflower.test'", "")
    for table in ("recordings", "formats", "shared_accesses", "invitations", "active_storage_attachments"):
        assert db.one(f"SELECT count(*) FROM {table}") == "0", table
    assert db.one("SELECT count(*) FROM rooms") == "1" and db.one("SELECT string_agg(name, ',') FROM rooms") == "Theirs"
    assert int(db.one("SELECT count(*) FROM room_meeting_options")) == 10


def test_an_account_of_an_identity_provider_gets_no_password(db: GreenlightDatabase) -> None:
    db.user("oidc@sunflower.test", external_id="sub-1")
    wish = {
        "users": [{"email": "OIDC@sunflower.test", "name": "oidc", "password": GOOD}],
        "update_password": "always",
        "reset_link": "always",
        "base_url": BASE,
    }
    result = db.truthful(MODULE, wish)
    assert result["changed"] is False and result["users"][0]["external"] is True and "reset_link" not in result["users"][0]
    assert "identity provider" in json.dumps(result["warnings"])
    found = row(db, "oidc@sunflower.test")
    assert found["password_digest"] is None and found["reset_digest"] is None


def test_accounts_without_session_token_are_found_and_repaired(db: GreenlightDatabase) -> None:
    for name in ("a", "b"):
        db.user(f"{name}@sunflower.test", session_token=None)
    left = db.module(MODULE, {"users": [], "repair_session_tokens": False})
    assert left["changed"] is False and left["null_session_tokens"] == 2 and "every visitor" in json.dumps(left["warnings"])
    result = db.truthful(MODULE, {})
    assert result["null_session_tokens"] == 2 and result["null_session_users"] == ["a@sunflower.test", "b@sunflower.test"]
    assert result["diff"] == {"before": {"users_without_session_token": 2}, "after": {"users_without_session_token": 0}}
    first, second = row(db, "a@sunflower.test"), row(db, "b@sunflower.test")
    assert first["ended"] and second["ended"] and first["session_token"] != second["session_token"]
    assert re.fullmatch("[0-9a-f]{64}", first["session_token"])


def test_reset_links(db: GreenlightDatabase) -> None:
    args = {"users": [{"email": "ada@sunflower.test", "name": "Ada"}], "base_url": BASE + "/"}
    first = db.module(MODULE, {**args, "reset_link": "on_create"})["users"][0]["reset_link"]
    assert "reset_link" not in db.module(MODULE, {**args, "reset_link": "on_create"})["users"][0]
    assert "reset_link" not in db.module(MODULE, {**args, "reset_link": "always"}, check=True)["users"][0]
    second = db.module(MODULE, {**args, "reset_link": "always"})["users"][0]["reset_link"]
    assert first != second and second.startswith(f"{BASE}/reset_password/")
    ada = row(db, "ada@sunflower.test")
    assert ada["reset_digest"] == hashlib.sha256(second.rsplit("/", 1)[1].encode()).hexdigest()
    assert db.one(f"SELECT reset_sent_at BETWEEN {NOW} - interval '1 minute' AND {NOW} FROM users") == "t"
    result = db.module(MODULE, {**args, "base_url": None, "reset_link": "always"})
    assert result["failed"] is True and result["msg"].startswith("base_url:")


def test_every_wrong_wish_is_named_at_once_without_the_password(db: GreenlightDatabase) -> None:
    weak = "weakpassword-of-gus"
    result = db.module(
        MODULE,
        {
            "users": [
                {"email": "no mail", "name": "x"},
                {"email": "gus@sunflower.test", "name": "Gus", "password": weak},
                {"email": "ada@sunflower.test", "name": "Ada"},
                {"email": "ADA@sunflower.test", "name": "Ada"},
                {"email": "boss@sunflower.test", "name": "Boss", "role": "SuperAdmin"},
                {"email": "nameless@sunflower.test"},
            ]
        },
    )
    assert result["failed"] is True and "\n" not in result["msg"] and weak not in json.dumps(result)
    for words in ("users[0] (no mail): email", "users[1] (gus@sunflower.test): password needs an upper-case letter A-Z, a digit",
                  "users[3] (ada@sunflower.test): is named twice", "users[4] (boss@sunflower.test): role", "users[5]"):  # fmt: skip
        assert words in result["msg"], words
    result = db.module(MODULE, {"users": [{"email": "ada@sunflower.test", "name": "Ada", "role": "Chair"}]})
    assert result["failed"] is True and "there is no role 'Chair'; there are Administrator, Guest, User" in result["msg"]
    assert db.one("SELECT count(*) FROM users") == "0"


def test_two_rows_of_one_address_are_an_error(db: GreenlightDatabase) -> None:
    db.user("ada@sunflower.test")
    db.user("Ada@sunflower.test")
    result = db.module(MODULE, {"users": [ADA]})
    assert result["failed"] is True and "table users has 2 rows for ada@sunflower.test" in result["msg"]


def test_a_super_admin_only_when_meant(db: GreenlightDatabase) -> None:
    boss = {"email": "superadmin-boss@coop.test", "name": "Boss", "role": "SuperAdmin", "password": GOOD}
    result = db.truthful(MODULE, {"users": [boss], "allow_super_admin": True})
    found = row(db, "superadmin-boss@coop.test")
    assert found["provider"] == "bn" and found["role_provider"] == "bn" and result["users"][0]["action"] == "created"


def test_nothing_there_yet(db: GreenlightDatabase, make: Callable[..., GreenlightDatabase]) -> None:
    empty = make(None)
    for login in ({"login_db": "greenlight_nowhere"}, {"login_port": 1}, empty.login):
        assert db.module(MODULE, {"users": [ADA], **login})["failed"] is True
        result = db.module(MODULE, {"users": [ADA], **login}, check=True)
        assert result["changed"] is True and result["db_missing"] is True and result["users"][0]["action"] == "created"
        assert result["diff"]["after"]["ada@sunflower.test.role"] == "Administrator"


HOLDER = """
with psycopg.connect(conninfo) as conn:
    conn.execute("SELECT 1 FROM shared_accesses WHERE user_id = %s FOR UPDATE", (args[0],))
    print("ready", flush=True)
    conn.execute("SELECT pg_sleep(%s)", (args[1],))
"""


def test_killed_in_mid_run_nothing_is_half_done(db: GreenlightDatabase) -> None:
    zoe = furnish(db, "zoe@sunflower.test")
    wish = {"users": [ADA, {"email": "zoe@sunflower.test", "state": "absent"}], "remove_rooms": True}
    before = db.dump()
    holder = db.script(HOLDER, zoe, 60)
    assert holder.stdout is not None and holder.stdout.readline() == "ready\n"
    db.kill_while_writing(MODULE, wish)
    db.end(holder)
    assert db.dump() == before
    assert [user["action"] for user in db.truthful(MODULE, wish)["users"]] == ["created", "removed"]


def test_two_runs_make_one_account(db: GreenlightDatabase) -> None:
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(db.module(MODULE, {"users": [ADA]}))) for _other in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result["users"][0]["action"] for result in results) == ["created", "none", "none"]
    assert db.one("SELECT count(*) FROM users") == "1"


def test_a_deleted_person_is_not_made_again(db: GreenlightDatabase) -> None:
    path = f"/tmp/{db.name}.json"
    bob = {"email": "bob@sunflower.test", "name": "Bob"}
    wish = {"users": [{"email": "ada@sunflower.test", "name": "Ada"}, bob], "remember": path, "reset_link": "on_create", "base_url": BASE}
    try:
        first = db.truthful(MODULE, wish)
        assert first["counts"]["created"] == 2 and first["diff"]["after"]["remembered"] == 2
        told = db.lab.exec(db.host, ["sh", "-c", f"stat -c %a {path}; cat {path}"]).stdout
        assert told.startswith("600\n") and "sunflower" not in told
        db.psql("DELETE FROM users WHERE email = 'bob@sunflower.test'")
        again = db.truthful(MODULE, wish)
        assert again["changed"] is False and again["users"][1]["deleted"] is True and again["users"][1]["action"] == "none"
        assert "bob@sunflower.test: was deleted in Greenlight" in json.dumps(again["warnings"]) and "reset_link" not in again["users"][1]
        assert db.one("SELECT count(*) FROM users") == "1"
        # given back on purpose
        db.truthful(MODULE, {**wish, "users": [{**bob, "state": "absent"}]})
        assert db.truthful(MODULE, wish)["users"][1]["action"] == "created"
        # a database made anew: nobody was deleted there
        db.psql("DELETE FROM users")
        assert db.truthful(MODULE, wish)["counts"]["created"] == 2
        db.lab.exec(db.host, ["sh", "-c", f"echo '[1' > {path}"])
        broken = db.module(MODULE, wish)
        assert broken["failed"] is True and f"remember: {path} is damaged" in broken["msg"]
    finally:
        db.lab.exec(db.host, ["rm", "-f", path])
