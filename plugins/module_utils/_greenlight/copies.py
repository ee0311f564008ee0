# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: copies of an instance's database to try an image on, what a migration took away, and the way back.

A copy has a role and a password of its own, so that a container that works on it cannot reach the real database, not even by mistake.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, dumps, instance_database
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.facts import duplicates

if TYPE_CHECKING:
    import psycopg

APPLICATION = "meet.coop upgrade"
SPARE = 256 * 1024**2
"""Octets that stay free on the database's disk beside a copy."""
LOCK_WAIT = "3s"
"""How long a migration on the real database may wait for a lock, and hold up everybody behind it, before it gives up."""
CONNECTIONS = 20
NAMED = ("settings", "permissions", "meeting_options", "roles")
"""Tables whose rows the application looks up by name."""


def _connect(login: Login) -> psycopg.Connection[Any]:
    if PSYCOPG_IMPORT_ERROR:
        raise database.DatabaseError(
            "a new image is tried on a copy of the database, for which this host needs python3-psycopg (3.1 or newer)"
        )
    return database.connect(login, APPLICATION)


# --- What is there, and what a migration took away --------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Of a database, what an older release relies on."""

    #: Migrations done.
    migrations: frozenset[str] = frozenset()
    #: (table, column) to its type.
    columns: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Columns that every INSERT has to fill.
    required: frozenset[tuple[str, str]] = frozenset()
    #: Constraints and unique indexes, as "table: definition".
    rules: frozenset[str] = frozenset()
    #: Rows looked up by name, as "table name".
    names: frozenset[str] = frozenset()
    #: Rows that stand more than once, in words.
    duplicates: frozenset[str] = frozenset()


def shape(login: Login) -> Shape:
    """The shape of a database at this moment. Raises DatabaseError."""
    with _connect(login) as conn:
        return database.snapshot(conn, _shape)


def _shape(conn: psycopg.Connection[Any]) -> Shape:
    columns: dict[tuple[str, str], str] = {}
    required: set[tuple[str, str]] = set()
    for table, column, kind, needed in conn.execute(
        """
        SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
               a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
        """
    ):
        columns[table, column] = kind
        if needed:
            required.add((table, column))
    rules = {
        f"{table}: {definition}"
        for table, definition in conn.execute(
            """
            SELECT c.relname, pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k
              JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND k.contype IN ('c', 'f', 'u', 'x')
            UNION ALL
            SELECT c.relname, 'UNIQUE ' || pg_catalog.regexp_replace(pg_catalog.pg_get_indexdef(i.indexrelid), '^.* USING ', '')
              FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND i.indisunique AND NOT i.indisprimary
            """
        )
    }
    tables = {table for table, _column in columns}
    migrations: set[str] = set()
    for table in ("schema_migrations", "data_migrations"):
        if table in tables:
            migrations |= {f"{table} {version}" for (version,) in conn.execute(f"SELECT version FROM public.{table}")}
    names: set[str] = set()
    for table in NAMED:
        if (table, "name") in columns:
            names |= {f"{table} {name}" for (name,) in conn.execute(f"SELECT name FROM public.{table}")}
    doubled: frozenset[str] = frozenset()
    if {"settings", "site_settings", "permissions", "role_permissions", "room_meeting_options", "rooms", "users", *NAMED} <= tables:
        doubled = frozenset(f"{row['table']}: {row['key']} ({row['rows']} rows)" for row in duplicates(conn))
    return Shape(frozenset(migrations), columns, frozenset(required), frozenset(rules), frozenset(names), doubled)


def lost(before: Shape, after: Shape) -> list[str]:
    """What of a database an older release would miss or stumble over after a migration, one line each; nothing: it can live with it."""
    tables = {table for table, _column in before.columns}
    kept_tables = {table for table, _column in after.columns}
    told = [f"table {table} is gone" for table in sorted(tables - kept_tables)]
    for (table, column), kind in sorted(before.columns.items()):
        now = after.columns.get((table, column))
        if table in kept_tables and now is None:
            told.append(f"column {table}.{column} is gone")
        elif now is not None and now != kind:
            told.append(f"column {table}.{column} is of type {now}, not {kind}")
    for table, column in sorted(after.required - before.required):
        if table in tables:
            told.append(f"column {table}.{column} has to be filled now")
    told += [f"a new rule on {rule}" for rule in sorted(after.rules - before.rules) if rule.partition(":")[0] in tables]
    told += [f"the row {name} is gone" for name in sorted(before.names - after.names)]
    return told


# --- A copy -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """A database made from a dump, and the role that owns it."""

    name: str
    password: str = field(repr=False)


@contextlib.contextmanager
def copied(login: Login, dump: str) -> Iterator[Copy]:
    """A database with the content of a dump, gone again at the end. Raises ContainerError, for example when the disk has no room.

    Where we are superuser the database must be `harmless`.
    """
    copy = Copy(instance_database.copy_name(login.db, "rehearsal"), secrets.token_hex(20))
    desired = instance_database.Desired(copy.name, copy.password, CONNECTIONS)
    remove_copy(login)
    harmless(login)
    with _server(login) as conn:
        _need_room(conn, login)
        instance_database.apply(conn, desired, instance_database.observe(conn, copy.name))
    try:
        _fill(login, copy.name, copy.name, dump)
        yield copy
    finally:
        remove_copy(login)


def remove_copy(login: Login) -> None:
    """Remove a copy that is left, whoever is connected to it."""
    with _server(login) as conn:
        name = instance_database.copy_name(login.db, "rehearsal")
        instance_database.drop(conn, name, instance_database.observe(conn, name))


def harmless(login: Login) -> None:
    """Refuse, for a superuser, a database whose restored dump would run its owner's code with our rights. Raises DatabaseError."""
    with _connect(login) as conn:
        database.snapshot(conn, _harmless)


def _harmless(conn: psycopg.Connection[Any]) -> None:
    if conn.execute("SELECT pg_catalog.current_setting('is_superuser')").fetchone() != ("on",):
        return
    tables = conn.execute(
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')"
    )
    database.refuse_foreign_code(conn, [table for (table,) in tables])
    foreign = conn.execute(
        """
        WITH own AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
        SELECT 'schema ' || nspname FROM own WHERE nspname <> 'public'
        UNION ALL
        SELECT 'function ' || proname FROM pg_catalog.pg_proc f JOIN own ON own.oid = f.pronamespace
         WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e')
        UNION ALL
        SELECT 'domain ' || typname FROM pg_catalog.pg_type t JOIN own ON own.oid = t.typnamespace WHERE t.typtype = 'd'
         ORDER BY 1
        """
    ).fetchall()
    if foreign:
        raise database.DatabaseError(
            f"database {database.database_name(conn)}: restoring it would run foreign code with a superuser's rights"
            f" ({', '.join(what for (what,) in foreign[:5])}); Greenlight has no such thing: remove it, then run again"
        )


def make_account(login: Login, copy: Copy, email: str, password: str) -> None:
    """An administrator in a copy, to try signing in. Raises DatabaseError when the tables are not what this collection works on."""
    wish = accounts.desired(
        [{"email": email, "name": "Rehearsal", "role": "Administrator", "state": "present", "password": password}],
        repair_session_tokens=False,
    )
    with _connect(replace(login, db=copy.name)) as conn:
        accounts.apply(conn, wish, accounts.Hashes())


def _need_room(conn: Any, login: Login) -> None:
    """Refuse when a copy would fill the disk that all databases of the host share. Only where that disk can be looked at."""
    size = conn.execute("SELECT pg_catalog.pg_database_size(%s)", (login.db,)).fetchone()[0]
    row = conn.execute("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'").fetchone()
    if login.host or not row or not os.path.isdir(row[0]):
        return
    found = os.statvfs(row[0])
    free = found.f_bavail * found.f_frsize
    if free < size + SPARE:
        raise ContainerError(
            f"database {login.db} cannot be copied: {(size + SPARE) // 1024**2} MiB are needed on the disk of {row[0]}"
            f" and {free // 1024**2} MiB are free; free space, then run again"
        )


def _fill(login: Login, db: str, owner: str, dump: str) -> None:
    options = ["--no-password", "--no-owner", "--no-acl", f"--role={owner}", "--exit-on-error", f"--dbname={db}", dump]
    dumps.run(login, ["pg_restore", *options], "restored")


@contextlib.contextmanager
def _server(login: Login) -> Iterator[Any]:
    """A connection to the server's own database, from which others are made and removed."""
    with _connect(replace(login, db="postgres")) as conn, database.translated(login.db):
        conn.execute("SET statement_timeout = 0")
        conn.execute("SET lock_timeout = '30s'")
        yield conn


# --- The real database ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def patient(login: Login) -> Iterator[None]:
    """While a new version migrates beside the old one: its sessions do not wait long for locks, since everybody would wait behind them.

    The setting belongs to the instance's role in its database. What a killed run leaves of it is harmless, and removed by the next.
    """
    from psycopg import sql

    def setting(verb: sql.Composable) -> sql.Composed:
        return sql.SQL("ALTER ROLE {} IN DATABASE {} {}").format(sql.Identifier(_owner(conn, login.db)), sql.Identifier(login.db), verb)

    with _server(login) as conn:
        conn.execute(setting(sql.SQL("SET lock_timeout = {}").format(sql.Literal(LOCK_WAIT))))
    try:
        yield
    finally:
        with _server(login) as conn:
            conn.execute(setting(sql.SQL("RESET lock_timeout")))


def end_sessions(login: Login, address: str | None) -> None:
    """End what a container that is gone still has running: a migration's statement outlives its program."""
    if address:
        with _server(login) as conn:
            conn.execute(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
                " WHERE datname = %s AND client_addr = %s::pg_catalog.inet",
                (login.db, address),
            )


def put_back(login: Login, dump: str, keep: bool) -> str | None:
    """Make the database what the dump holds. Killed anywhere, a second call with the same dump goes on.

    The dump is restored beside it and takes its place by name, so there is no moment with half of it. With `keep` what was there until now
    stays under the name returned. Nobody may use the database meanwhile. Raises ContainerError.
    """
    from psycopg import sql

    fresh, aside = instance_database.copy_name(login.db, "restored"), instance_database.copy_name(login.db, "aside")
    real, new, old = (sql.Identifier(name) for name in (login.db, fresh, aside))
    with _server(login) as conn:

        def there(name: str) -> bool:
            return conn.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,)).fetchone() is not None

        if there(login.db):
            owner = sql.Identifier(_owner(conn, login.db))
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(new))
            _need_room(conn, login)
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(new, owner))
            conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(new))
            _fill(login, fresh, _owner(conn, login.db), dump)
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(old))
            conn.execute("SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = %s", (login.db,))
            conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(real, old))
        elif not there(fresh):
            raise ContainerError(f"there is no database {login.db}, and none restored in its place; restore {dump} by hand")
        conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, real))
        if not keep:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(old))
    return aside if keep else None


def _owner(conn: Any, db: str) -> str:
    row = conn.execute("SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = %s", (db,)).fetchone()
    if row is None:
        raise ContainerError(f"there is no database {db}")
    return str(row[0])
