# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the PostgreSQL role and database of one instance, closed to every other instance.

Greenlight's start script runs C(rails db:create) and C(CREATE EXTENSION pgcrypto) itself; the role it connects as owns the
database, which is enough for a trusted extension on PostgreSQL 13 and later, and has no right beyond it.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
COPIES = ("aside", "rehearsal", "restored")
"""What copies of an instance's database are for; see copies.py."""
ITERATIONS = 4096  # PostgreSQL's own default, src/include/common/scram-common.h


ARGUMENTS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "second_login": {"type": "str", "choices": ["present", "absent"]},
    "second_password": {"type": "str", "no_log": True},
    "connection_limit": {"type": "int", "default": 20},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "login_host": {"type": "str"},
    "login_unix_socket": {"type": "path", "default": "/var/run/postgresql"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
}
"""Argument spec of greenlight_database."""


@dataclasses.dataclass(frozen=True)
class Desired:
    """One database whose owner has the same name, and the owner's password."""

    name: str
    password: str
    connection_limit: int

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise CoopError(f"database name {self.name!r} is not lower-case letters, digits and _ (63 at most, a letter first)")
        if len(self.password) < 16:
            raise CoopError(f"the password of database {self.name} is shorter than 16 characters")


@dataclasses.dataclass(frozen=True)
class Second:
    """A second login to the same database, which acts as its owner: for the moments in which the owner's password is changed.

    PostgreSQL keeps one password for each role. What one login does the other can go on with, for everything belongs to the owner.
    """

    name: str
    #: None: it shall not be there.
    password: str | None

    @property
    def login(self) -> str:
        return f"{self.name}_next"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.login):
            raise CoopError(f"database name {self.name!r} is too long for a second login; 58 characters at most")
        if self.password is not None and len(self.password) < 16:
            raise CoopError(f"the next password of database {self.name} is shorter than 16 characters")


@dataclasses.dataclass(frozen=True)
class Observed:
    """What the server has; None where there is nothing."""

    verifier: str | None = None
    role: dict[str, Any] | None = None
    database: dict[str, Any] | None = None


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for SCRAM-SHA-256 (RFC 5803), so that no statement and no server log ever holds the password.

    The password must be ASCII: then SASLprep leaves it as it is.
    """
    if not password.isascii():
        raise CoopError("database passwords must be ASCII")
    salt = salt if salt is not None else secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def password_matches(password: str, verifier: str | None) -> bool:
    """Whether a stored verifier was made from this password."""
    found = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", verifier or "")
    if not found:
        return False
    return hmac.compare_digest(scram_verifier(password, base64.b64decode(found.group(2)), int(found.group(1))), str(verifier))


def connect(params: Mapping[str, Any], check_mode: bool) -> Any:
    """An autocommit connection to the server of the options, or None in check mode on a host that has no server yet.

    Raises CoopError, and ImportError where psycopg is missing.
    """
    import psycopg

    try:
        return psycopg.connect(
            dbname="postgres",
            user=params["login_user"],
            password=params["login_password"],
            host=params["login_host"] or params["login_unix_socket"],
            port=params["login_port"],
            connect_timeout=10,
            autocommit=True,
            application_name="meet.coop greenlight_database",
        )
    except psycopg.OperationalError as error:
        socket = f"{params['login_unix_socket']}/.s.PGSQL.{params['login_port']}"
        if check_mode and not params["login_host"] and not os.path.exists(socket):
            return None
        raise CoopError(f"PostgreSQL does not let {params['login_user']} in: {str(error).strip().splitlines()[-1]}") from error


def copy_name(name: str, purpose: str) -> str:
    """The name of an instance's copy of its database: the same for each run, so that what a killed one left is found.

    The purpose comes first, because the databases of instances begin with greenlight_: no copy can be another instance's database.
    """
    copy = f"{purpose}_of_{name}"
    return copy if len(copy) <= 63 else f"{copy[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def copies(connection: Any, name: str) -> list[str]:
    """The copies of an instance's database that are left, by upgrades that were killed or set its content aside."""
    names = [copy_name(name, purpose) for purpose in COPIES]
    rows = connection.execute(
        "SELECT datname FROM pg_database WHERE datname = ANY(%s) UNION SELECT rolname FROM pg_authid WHERE rolname = ANY(%s) ORDER BY 1",
        (names, names),
    )
    return [found for (found,) in rows]


def observe(connection: Any, name: str) -> Observed:
    """Reads the role and the database of that name."""
    row = connection.execute(
        "SELECT rolpassword, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit"
        " FROM pg_authid WHERE rolname = %s",
        (name,),
    ).fetchone()
    role = None
    if row:
        role = {
            "login": row[1],
            "privileges": sorted(
                label
                for label, held in zip(("superuser", "createdb", "createrole", "replication", "bypassrls"), row[2:7], strict=True)
                if held
            ),
            "connection_limit": row[7],
        }
    found = connection.execute(
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding),"
        " has_database_privilege('pg_monitor', oid, 'CONNECT'), datallowconn FROM pg_database WHERE datname = %s",
        (name,),
    ).fetchone()
    # pg_monitor is an ordinary role: it may connect exactly when PUBLIC may.
    database = {"owner": found[0], "encoding": found[1], "open_to_others": found[2], "connections": found[3]} if found else None
    return Observed(verifier=row[0] if row else None, role=role, database=database)


def wanted(desired: Desired) -> dict[str, Any]:
    """The state after apply, in the shape of a diff."""
    return {
        "role": {"login": True, "privileges": [], "connection_limit": desired.connection_limit, "password": "********"},
        "database": {"owner": desired.name, "encoding": "UTF8", "open_to_others": False, "connections": True},
    }


def diff(desired: Desired, observed: Observed) -> tuple[dict[str, Any], dict[str, Any]]:
    """Before and after; equal when nothing is to be done. Passwords show only whether they differ."""
    after = wanted(desired)
    before: dict[str, Any] = {"role": None, "database": observed.database}
    if observed.role is not None:
        matches = password_matches(desired.password, observed.verifier)
        before["role"] = {**observed.role, "password": "********" if matches else "******** (another)"}
    return before, after


def apply(connection: Any, desired: Desired, observed: Observed) -> None:
    """Makes role and database what they should be. Each statement leaves a state that the next run can go on from."""
    from psycopg import sql

    name = sql.Identifier(desired.name)
    before, after = diff(desired, observed)
    if before["role"] != after["role"]:
        verb = sql.SQL("CREATE") if observed.role is None else sql.SQL("ALTER")
        keeps = password_matches(desired.password, observed.verifier)
        verifier = observed.verifier if keeps and observed.verifier else scram_verifier(desired.password)
        connection.execute(
            sql.SQL(
                "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {} PASSWORD {}"
            ).format(verb, name, sql.Literal(desired.connection_limit), sql.Literal(verifier))
        )
    if observed.database is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(name, name))
    elif observed.database["encoding"] != "UTF8":
        raise CoopError(f"database {desired.name} has encoding {observed.database['encoding']}; dump it, drop it and restore it as UTF8")
    else:
        if observed.database["owner"] != desired.name:
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, name))
        if not observed.database["connections"]:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    if observed.database is None or observed.database["open_to_others"]:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


def observe_second(connection: Any, second: Second) -> dict[str, Any] | None:
    """Reads the second login; None when there is none."""
    row = connection.execute(
        "SELECT r.rolpassword, r.rolcanlogin"
        " AND NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls),"
        " coalesce((SELECT array_agg(o.rolname::text ORDER BY 1) FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid"
        " WHERE m.member = r.oid), '{}'), coalesce((SELECT s.setconfig::text[] FROM pg_db_role_setting s WHERE s.setrole = r.oid"
        " AND s.setdatabase = 0), '{}') FROM pg_authid r WHERE r.rolname = %s",
        (second.login,),
    ).fetchone()
    if row is None:
        return None
    matches = second.password is not None and password_matches(second.password, row[0])
    return {
        "login": row[1],
        "member_of": list(row[2]),
        "settings": list(row[3]),
        "password": "********" if matches else "******** (another)",
    }


def wanted_second(second: Second) -> dict[str, Any] | None:
    """The second login after apply, in the shape of a diff."""
    if second.password is None:
        return None
    return {"login": True, "member_of": [second.name], "settings": [f"role={second.name}"], "password": "********"}


def apply_second(connection: Any, second: Second, before: dict[str, Any] | None) -> None:
    """Makes the second login, or ends its sessions and removes it. Each statement leaves a state that the next run can go on from."""
    from psycopg import sql

    login, owner = sql.Identifier(second.login), sql.Identifier(second.name)
    if second.password is None:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(login))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (second.login,))
        connection.execute(sql.SQL("DROP ROLE {}").format(login))
        return
    verb = sql.SQL("CREATE") if before is None else sql.SQL("ALTER")
    verifier = sql.Literal(scram_verifier(second.password))
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD {}").format(verb, login, verifier)
    )
    connection.execute(sql.SQL("GRANT {} TO {}").format(owner, login))
    connection.execute(sql.SQL("ALTER ROLE {} SET role = {}").format(login, sql.Literal(second.name)))


def drop(connection: Any, name: str, observed: Observed) -> None:
    """Removes database and role, with whatever is in them."""
    from psycopg import sql

    if observed.database is not None:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    if observed.role is not None:
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
