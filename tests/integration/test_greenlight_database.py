# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""greenlight_database against PostgreSQL on the container host."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.roles import apply_role

HOST, MODULE, NAME = "host1", "meet.coop.greenlight_database", "greenlight_dbtest"
PASSWORD = secrets.token_hex(20)


def sql(lab: Any, statement: str, database: str = "postgres") -> str:
    done = lab.exec(HOST, ["psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-Atc", statement])
    assert done.returncode == 0, done
    return str(done.stdout).strip()


def state(lab: Any) -> str:
    return sql(
        lab,
        "SELECT r.rolname, r.rolcanlogin, r.rolsuper, r.rolconnlimit, r.rolpassword, d.datname, d.datacl::text FROM pg_authid r"
        f" FULL JOIN pg_database d ON d.datname = r.rolname WHERE r.rolname = '{NAME}' OR d.datname = '{NAME}'",
    )


@pytest.fixture(scope="module")
def prepared(lab: Any) -> Any:
    """A container host with PostgreSQL as role container_host leaves it."""
    if lab.exec(HOST, ["psql", "-U", "postgres", "-c", "select 1"]).returncode:
        done = apply_role("container_host", HOST, {"ansible_become": True})
        assert done.returncode == 0, done.stdout[-3000:]
    return lab


@pytest.fixture
def database(prepared: Any, run_module: Callable[..., dict[str, Any]]) -> Iterator[Callable[..., dict[str, Any]]]:
    def run(check: bool = False, **changes: Any) -> dict[str, Any]:
        return run_module(HOST, MODULE, {"name": NAME, "password": PASSWORD, **changes}, check=check)

    run(state="absent")
    yield run
    run(state="absent")


def test_check_mode_foretells_and_changes_nothing(lab: Any, database: Callable[..., dict[str, Any]]) -> None:
    foretold = database(check=True)
    assert state(lab) == ""
    done = database()
    assert (foretold["changed"], foretold["diff"], foretold["actions"]) == (done["changed"], done["diff"], done["actions"])
    assert done["changed"] and PASSWORD not in str(done)
    again = database()
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"]


def test_the_role_signs_in_to_its_own_database_and_to_no_other(lab: Any, database: Callable[..., dict[str, Any]]) -> None:
    database()
    gateway = "10.213.0.1"
    own, other = (
        lab.exec(HOST, ["sh", "-c", f"PGPASSWORD=$(cat) psql -h {gateway} -U {NAME} -d {name} -Atc 'select 1'"], PASSWORD)
        for name in (NAME, "postgres")
    )
    assert other.returncode != 0
    # pg_hba lets instances in from their networks only, so from the host itself even the right password is refused there.
    assert own.returncode == 0 or "no pg_hba.conf entry" in own.stderr
    assert sql(lab, f"SELECT has_database_privilege('{NAME}', 'postgres', 'CONNECT')") == "f"
    assert sql(lab, f"SELECT has_database_privilege('pg_monitor', '{NAME}', 'CONNECT')") == "f"
    assert sql(lab, f"SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = '{NAME}'") == "t"


@pytest.mark.parametrize(
    "by_hand",
    [
        f"ALTER ROLE {NAME} PASSWORD 'another-password-by-hand'",
        f"ALTER ROLE {NAME} SUPERUSER",
        f"ALTER ROLE {NAME} NOLOGIN CONNECTION LIMIT 1",
        f"GRANT CONNECT ON DATABASE {NAME} TO PUBLIC",
        f"ALTER DATABASE {NAME} OWNER TO postgres",
        f"ALTER DATABASE {NAME} ALLOW_CONNECTIONS false",
    ],
)
def test_what_was_changed_by_hand_is_found_and_repaired(lab: Any, database: Callable[..., dict[str, Any]], by_hand: str) -> None:
    database()
    before = sql(lab, f"SELECT rolcanlogin, rolsuper, rolconnlimit FROM pg_authid WHERE rolname = '{NAME}'")
    sql(lab, by_hand)
    assert database(check=True)["changed"]
    assert database()["changed"]
    assert not database()["changed"]
    assert sql(lab, f"SELECT rolcanlogin, rolsuper, rolconnlimit FROM pg_authid WHERE rolname = '{NAME}'") == before


def test_a_second_login_acts_as_the_owner_until_it_is_closed(lab: Any, database: Callable[..., dict[str, Any]]) -> None:
    database()
    second = {"second_login": "present", "second_password": secrets.token_hex(20)}
    foretold = database(check=True, **second)
    assert foretold["actions"] == [f"create role {NAME}_next"] and sql(lab, f"SELECT 1 FROM pg_roles WHERE rolname = '{NAME}_next'") == ""
    # As a run leaves it that was killed after its first statement.
    sql(lab, f"CREATE ROLE {NAME}_next LOGIN SUPERUSER")
    made = database(**second)
    assert made["actions"] == [f"change role {NAME}_next"] and second["second_password"] not in str(made)
    assert not database(**second)["changed"] and not database()["changed"]
    held = f"pg_has_role('{NAME}_next', '{NAME}', 'USAGE')"
    seen = f"SELECT rolcanlogin, rolsuper, rolconfig, {held} FROM pg_roles WHERE rolname = '{NAME}_next'"
    assert sql(lab, seen) == f"t|f|{{role={NAME}}}|t"
    closed = database(check=True, second_login="absent"), database(second_login="absent")
    assert closed[0]["actions"] == closed[1]["actions"] == [f"drop role {NAME}_next"] and closed[0]["diff"] == closed[1]["diff"]
    assert not database(second_login="absent")["changed"]
    database(**second)
    assert database(state="absent")["actions"] == [f"drop role {NAME}", f"drop database {NAME}", f"drop role {NAME}_next"]
    assert sql(lab, f"SELECT count(*) FROM pg_roles WHERE rolname LIKE '{NAME}%'") == "0"


def test_half_done_work_of_a_killed_run_is_finished(lab: Any, database: Callable[..., dict[str, Any]]) -> None:
    """The statements of apply, cut after each: role only; role and a database still open to all."""
    sql(lab, f"CREATE ROLE {NAME} LOGIN")
    assert database()["changed"] and not database()["changed"]
    database(state="absent")
    sql(lab, f"CREATE ROLE {NAME} LOGIN")
    sql(lab, f"CREATE DATABASE {NAME} OWNER {NAME} TEMPLATE template0 ENCODING 'UTF8'")
    assert database()["changed"] and not database()["changed"]
    assert sql(lab, f"SELECT has_database_privilege('pg_monitor', '{NAME}', 'CONNECT')") == "f"


def test_a_server_that_is_down_is_one_clear_line(lab: Any, database: Callable[..., dict[str, Any]]) -> None:
    done = database(login_unix_socket="/nowhere")
    assert done["failed"] and "PostgreSQL does not let postgres in" in done["msg"] and "\n" not in done["msg"]
    assert "Traceback" not in str(done)
