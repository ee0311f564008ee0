# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles with their own limits, and accounts kept to those who are named, against a real PostgreSQL with Greenlight's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.greenlight_database import NOW, GreenlightDatabase, ensure_server
from tests.support.lab import RunningLab

SETTINGS, USER = "greenlight_settings", "greenlight_user"
BOARD = {"name": "Board", "color": "#7a5c00", "rooms_per_account": 2, "permissions": {"CanRecord": False}, "mail_domains": ["board.test"]}
KIM = {"email": "kim@cafe.test", "name": "Kim Lee", "role": "cafe-team"}


@pytest.fixture(scope="module")
def shared(lab: RunningLab, run_module: Callable[..., dict[str, Any]]) -> Iterator[GreenlightDatabase]:
    ensure_server(lab)
    made = GreenlightDatabase(lab, run_module)
    made.create()
    yield made
    made.drop()


@pytest.fixture
def db(shared: GreenlightDatabase) -> Iterator[GreenlightDatabase]:
    """One database for all tests here; each leaves its users and roles behind for none."""
    yield shared
    shared.psql(
        """
        DELETE FROM users;
        DELETE FROM role_permissions p USING roles r WHERE r.id = p.role_id AND r.name IN ('Board', 'cafe-team');
        DELETE FROM roles WHERE name IN ('Board', 'cafe-team');
        UPDATE site_settings v SET value = CASE s.name WHEN 'DefaultRole' THEN 'User' ELSE '' END
          FROM settings s WHERE s.id = v.setting_id AND s.name IN ('DefaultRole', 'RoleMapping');
        """
    )


def test_a_role_is_whole_and_keeps_its_limit(db: GreenlightDatabase) -> None:
    wish = {"limits": {"rooms_per_account": 5}, "roles": [BOARD], "settings": {"default_role": "Board"}}
    result = db.truthful(SETTINGS, wish)
    assert result["roles"] == ["Administrator", "Board", "Guest", "User"]
    assert db.one("SELECT count(*) FROM role_permissions p JOIN roles r ON r.id = p.role_id WHERE r.name = 'Board'") == "11"
    assert db.permission("Board", "RoomLimit") == ["2"] and db.permission("User", "RoomLimit") == ["5"]
    assert db.permission("Board", "CanRecord") == ["false"] and db.permission("Board", "ManageRoles") == ["false"]
    assert db.setting("DefaultRole") == ["Board"] and db.setting("RoleMapping") == ["Board=@board.test"]
    # what an administrator, or somebody with SQL, made of it
    db.psql(
        """
        UPDATE roles SET color = '#ffffff' WHERE name = 'Board';
        UPDATE role_permissions SET value = 'true' WHERE role_id = (SELECT id FROM roles WHERE name = 'Board');
        DELETE FROM role_permissions p USING permissions x WHERE x.id = p.permission_id AND x.name = 'AccessToVisibilities'
           AND role_id = (SELECT id FROM roles WHERE name = 'Board');
        """
    )
    drift = db.truthful(SETTINGS, wish)
    assert set(drift["diff"]["after"]) == {
        "roles.Board", "role_permissions.Board.RoomLimit", "role_permissions.Board.CanRecord", "role_permissions.Board.ManageRoles",
        "role_permissions.Board.AccessToVisibilities",
    }  # fmt: skip


def test_a_role_that_somebody_has_stays(db: GreenlightDatabase) -> None:
    db.module(SETTINGS, {"roles": [BOARD]})
    for name in ("ada", "bob"):
        db.user(f"{name}@sunflower.test", role="Board")
    before = db.dump()
    gone = {"settings": {"registration": "approval"}, "roles": [{"name": "Board", "state": "absent", "mail_domains": []}]}
    for check in (True, False):
        result = db.module(SETTINGS, gone, check=check)
        assert result["failed"] is True and "role Board: 2 account(s) have it; give them another role" in result["msg"]
    assert db.dump() == before, "something else of the wish was written"
    db.psql("UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'User')")
    assert db.truthful(SETTINGS, gone)["roles"] == ["Administrator", "Guest", "User"]
    assert db.one("SELECT count(*) FROM role_permissions") == "44"


def test_killed_while_a_role_is_made_nothing_is_half_done(db: GreenlightDatabase) -> None:
    before = db.dump()
    holder = db.script(
        "with psycopg.connect(conninfo) as c:\n"
        "    c.execute('SELECT 1 FROM role_permissions FOR UPDATE'); print('held', flush=True); c.execute('SELECT pg_sleep(60)')"
    )
    assert holder.stdout is not None and holder.stdout.readline().strip() == "held"
    try:
        db.kill_while_writing(SETTINGS, {"limits": {"rooms_per_account": 7}, "roles": [BOARD], "lock_wait": 60})
    finally:
        db.end(holder)
    assert db.dump() == before
    assert db.truthful(SETTINGS, {"roles": [BOARD]})["changed"] is True


def test_accounts_of_a_role_are_those_named(db: GreenlightDatabase) -> None:
    role = {"roles": [{"name": "cafe-team", "rooms_per_account": 1}]}
    wish = {"users": [KIM, {"email": "lou@cafe.test", "name": "Lou", "role": "cafe-team"}], "close_others_of_role": "cafe-team",
            "take_from_roles": ["User"]}  # fmt: skip
    # a dry run of both, before the role is there
    foretold = db.module(USER, {**wish, "expected_roles": ["cafe-team"]}, check=True)
    assert foretold["changed"] is True and foretold["counts"]["created"] == 2
    missing = db.module(USER, {**wish, "expected_roles": ["cafe-team"]})
    assert missing["failed"] is True and "there is no role 'cafe-team'" in missing["msg"], "the real run does not believe it"
    db.module(SETTINGS, role)
    made = db.truthful(USER, wish)
    assert made["diff"] == foretold["diff"] and made["closed"] == []
    # Lou is not paid for any more; Max was given the role by hand; Ann signed up herself and buys now; Eve runs the site.
    db.user("max@cafe.test", role="cafe-team")
    db.user("ann@cafe.test")
    db.user("eve@cafe.test", role="Administrator")
    wish["users"] = [KIM, {"email": "ann@cafe.test", "name": "ann", "role": "cafe-team"}]
    result = db.truthful(USER, wish)
    assert result["closed"] == ["lou@cafe.test", "max@cafe.test"] and result["counts"]["disabled"] == 2
    found = db.psql(f"SELECT email, status, session_expiry <= {NOW} FROM users WHERE email LIKE '%@cafe.test' ORDER BY email")
    assert found == ["ann@cafe.test|0|f", "eve@cafe.test|0|f", "kim@cafe.test|0|t", "lou@cafe.test|2|t", "max@cafe.test|2|t"]
    refused = db.module(USER, {**wish, "users": [KIM, {"email": "eve@cafe.test", "name": "Eve", "role": "cafe-team"}]})
    assert refused["failed"] is True and "has an account of role 'Administrator' already" in refused["msg"]
    # The term ends: nobody is deleted. It is renewed: they are back.
    assert db.truthful(USER, {"users": [], "close_others_of_role": "cafe-team"})["closed"] == ["ann@cafe.test", "kim@cafe.test"]
    assert db.one("SELECT count(*) FROM users WHERE status = 2") == "4"
    assert db.truthful(USER, wish)["counts"]["changed"] == 2 and db.one("SELECT count(*) FROM users WHERE status = 0") == "3"


def test_an_account_of_a_provider_keeps_its_name_and_can_be_taken_back(db: GreenlightDatabase) -> None:
    db.user("Ada@Sunflower.test", external_id="sub-1", name="Lovelace, A.")
    wish = {"users": [{"email": "ada@sunflower.test", "name": "Ada"}]}
    assert db.truthful(USER, wish)["changed"] is False
    taken = db.truthful(USER, {**wish, "external_accounts": "release"})
    assert taken["users"][0]["waiting"] is True and taken["users"][0]["external"] is False
    assert db.psql(f"SELECT email, name, external_id IS NULL, session_expiry <= {NOW} FROM users") == ["ada@sunflower.test|Ada|t|t"]
