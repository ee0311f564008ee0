# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a safe connection to one Greenlight database, and proof that it is Greenlight's.

Greenlight's tables kept their columns through all of 3.x, only rows changed (greenlight db/schema.rb and db/data). Before
anything is written this module proves tables, columns, column types and migration versions.

A database belongs to the instance that uses it, so what lies in it is not trusted: names are looked up in ``pg_catalog`` only,
every table is written as ``public.x``, and a superuser's session refuses tables that would run somebody else's code on a write.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

PROVIDER = "greenlight"
"""The tenant column's value in a single-tenant installation (greenlight app/controllers/application_controller.rb)."""
SUPER_PROVIDER = "bn"
"""Provider of the SuperAdmin role and of its users (greenlight db/data/20221116010619_populate_super_admin_role_permissions.rb)."""

BASE_SCHEMA = "20221025184305"
"""Newest schema migration of Greenlight 3.0.0. Without it the tables are not complete."""
BASE_DATA = "20230123174546"
"""Newest data migration of Greenlight 3.0.0. Without it the seeds are not complete."""

_SCHEMA = """
    20220229174948 20220314184634 20220315151617 20220317142349 20220411192122 20220412180711 20220418171035 20220418171152
    20220421185735 20220505192018 20220531180853 20220531182239 20220609103801 20220614120002 20220615145721 20220616175700
    20220711200055 20220712202439 20220713143235 20220721131241 20220721143652 20220721144137 20220914190934 20220928193827
    20221012200427 20221019201841 20221025184305 20230227213252 20230301203522 20230307184209 20230705183745 20230705183746
    20230705183747 20231218154727 20260109153256 20260402000000
    """
KNOWN_SCHEMA = frozenset(_SCHEMA.split())
"""Schema migrations of Greenlight 3.0.0 to 3.8.2.4 (db/migrate; 20231218154727 was removed again in 3.2.1.2)."""

_DATA = """
    20220421162907 20220531182437 20220712202649 20220713143528 20220721131636 20220721145016 20220721145933 20220929144051
    20220930022007 20221003201116 20221115190918 20221116010619 20230123174546 20230228193705 20231030185844 20231117151542
    20231210154647 20231213203353 20240123184213 20240125154727 20240205160221 20240209155229 20240423162700 20240812210436
    20250130160334 20250501185954 20260119170745 20260402000001
    """
KNOWN_DATA = frozenset(_DATA.split())
"""Data migrations of Greenlight 3.0.0 to 3.8.2.4 (db/data)."""

RELEASES: tuple[tuple[str, str], ...] = (
    ("20260402000001", "3.8.1"),
    ("20260119170745", "3.8.0"),
    ("20260109153256", "3.7.0"),
    ("20250501185954", "3.6.0"),
    ("20250130160334", "3.4.5"),
    ("20240812210436", "3.4.0"),
    ("20240209155229", "3.3.0"),
    ("20240125154727", "3.2.1.2"),
    ("20231213203353", "3.2.0"),
    ("20231117151542", "3.1.0"),
    ("20231030185844", "3.0.9"),
    ("20230705183747", "3.0.5.3"),
    ("20230307184209", "3.0.2"),
    ("20230228193705", "3.0.1"),
    (BASE_DATA, "3.0.0"),
)
"""Newest migration (schema or data) and the first release that has it."""

UNFINISHED: tuple[tuple[str, str], ...] = (
    ("20260402000000", "20260402000001"),
    ("20260109153256", "20250501185954"),
    ("20230705183747", "20230228193705"),
)
"""Schema migrations run before data migrations: with the first present, the second must be, or migrations are under way."""

UUID, TEXT, INTEGER, BOOLEAN, TIME = "uuid", "character varying", "integer", "boolean", "timestamp without time zone"
_STAMPS = {"created_at": TIME, "updated_at": TIME}

TABLES: Mapping[str, Mapping[str, str]] = {
    "active_storage_attachments": {"id": UUID, "name": TEXT, "record_type": TEXT, "record_id": UUID, "blob_id": UUID, "created_at": TIME},
    "active_storage_blobs": {"id": UUID, "key": TEXT},
    "formats": {"id": UUID, "recording_id": UUID},
    "invitations": {"email": TEXT, "provider": TEXT},
    "meeting_options": {"id": UUID, "name": TEXT, "default_value": TEXT, **_STAMPS},
    "permissions": {"id": UUID, "name": TEXT, **_STAMPS},
    "recordings": {"id": UUID, "room_id": UUID, "record_id": TEXT, "visibility": TEXT, "length": INTEGER},
    "role_permissions": {"id": UUID, "role_id": UUID, "permission_id": UUID, "value": TEXT, **_STAMPS},
    "roles": {"id": UUID, "name": TEXT, "color": TEXT, "provider": TEXT, **_STAMPS},
    "room_meeting_options": {"id": UUID, "room_id": UUID, "meeting_option_id": UUID, "value": TEXT, **_STAMPS},
    "rooms": {"id": UUID, "user_id": UUID, "name": TEXT, "friendly_id": TEXT, "last_session": TIME, "online": BOOLEAN},
    "rooms_configurations": {"id": UUID, "meeting_option_id": UUID, "provider": TEXT, "value": TEXT, **_STAMPS},
    "settings": {"id": UUID, "name": TEXT, **_STAMPS},
    "shared_accesses": {"id": UUID, "user_id": UUID, "room_id": UUID},
    "site_settings": {"id": UUID, "setting_id": UUID, "value": TEXT, "provider": TEXT, **_STAMPS},
    "users": {
        "id": UUID,
        "name": TEXT,
        "email": TEXT,
        "external_id": TEXT,
        "provider": TEXT,
        "password_digest": TEXT,
        "last_login": TIME,
        "role_id": UUID,
        "language": TEXT,
        "reset_digest": TEXT,
        "reset_sent_at": TIME,
        "verified": BOOLEAN,
        "verification_digest": TEXT,
        "verification_sent_at": TIME,
        "session_token": TEXT,
        "session_expiry": TIME,
        "status": INTEGER,
        **_STAMPS,
    },
}
"""Tables, columns and types this collection reads or writes (greenlight db/schema.rb)."""

NOW = "(pg_catalog.now() AT TIME ZONE 'UTC')"
"""Rails keeps UTC in columns without time zone, and no column has a default."""

LOCK_TIMEOUT_MS = 400
"""Shorter than PostgreSQL's deadlock_timeout (1 s): in a deadlock with the running site it is always us who step back."""
STATEMENT_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT = 10
ADVISORY_KEY = 0x6D656574636F6F70
"""'meetcoop': one run of this collection at a time in one database."""


class DatabaseError(CoopError):
    """The database refused or is not what it should be."""


class ServerUnreachable(DatabaseError):
    """No PostgreSQL server answers."""


class LoginRefused(DatabaseError):
    """The server answers but does not let us in."""


class DatabaseMissing(DatabaseError):
    """The server answers; it has no such database or no such role yet."""


class SchemaMissing(DatabaseError):
    """The database has no (complete) Greenlight schema yet: its migrations have not run or are running."""


class DuplicateRows(DatabaseError):
    """More than one row holds a natural key."""


class _Raced(Exception):
    """Somebody changed a row between reading and writing it; the transaction is tried again."""


@dataclass(frozen=True)
class Login:
    """Where the database is and who asks. ``unix_socket`` wins over ``host``; with neither, libpq's own default is used."""

    db: str
    host: str | None = None
    unix_socket: str | None = None
    port: int = 5432
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """The server in words, for messages."""
        if self.unix_socket:
            return f"socket {self.unix_socket} (port {self.port})"
        if self.host:
            return f"{self.host}:{self.port}"
        return f"the local socket (port {self.port})"


@dataclass(frozen=True)
class Schema:
    """What the migration tables say."""

    release: str
    """The oldest release that has the newest migration found."""
    newest_schema: str
    newest_data: str
    data: frozenset[str]
    unknown: tuple[str, ...]
    """Migration versions that no known release has."""

    def warning(self) -> str | None:
        """One line about unknown migrations, or None."""
        if not self.unknown:
            return None
        shown = ", ".join(self.unknown[:5])
        more = f" and {len(self.unknown) - 5} more" if len(self.unknown) > 5 else ""
        return f"this database has migrations that no Greenlight up to 3.8.2.4 has ({shown}{more}); its rows may mean something else now"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _parameters(login: Login, db: str, application: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "dbname": db,
        "port": login.port,
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": application[:63],
        # search_path: nothing of the instance's own may shadow a built-in function or operator.
        "options": f"-c search_path=pg_catalog,pg_temp -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
        " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC -c client_min_messages=error",
    }
    host = login.unix_socket or login.host
    for key, value in (("host", host), ("user", login.user), ("password", login.password)):
        if value:
            parameters[key] = value
    return parameters


def connect(login: Login, application: str = "meet.coop") -> psycopg.Connection[Any]:
    """Open a connection (autocommit; every function here opens its own transactions).

    Raises ServerUnreachable, LoginRefused, DatabaseMissing or DatabaseError.
    """
    import psycopg
    from psycopg.types.string import StrDumper

    try:
        conn = psycopg.connect(**_parameters(login, login.db, application), autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as exc:
        first = _one_line(exc)
    except psycopg.Error as exc:
        raise DatabaseError(f"database {login.db} on {login.where}: {_one_line(exc)}") from None
    else:
        conn.adapters.register_dumper(str, StrDumper)  # as text: an unknown type cannot be used twice in one statement
        return conn
    # libpq gives no SQLSTATE for a failed connection and its text may be translated: ask the server what it has.
    try:
        with psycopg.connect(**_parameters(login, "postgres", application), autocommit=True, prepare_threshold=None) as conn:
            if conn.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (login.db,)).fetchone() is None:
                raise DatabaseMissing(f"PostgreSQL on {login.where} has no database {login.db!r}: create it first")
    except psycopg.Error as exc:
        if "FATAL" not in str(exc) and "FATAL" not in first:
            raise ServerUnreachable(f"PostgreSQL does not answer on {login.where}: {first}") from None
    if re.search(r'role "[^"]*" does not exist', first):
        raise DatabaseMissing(f"PostgreSQL on {login.where} has no role {login.user!r}: {first}") from None
    if re.search(r'database "[^"]*" does not exist', first):
        raise DatabaseMissing(f"PostgreSQL on {login.where} has no database {login.db!r}: create it first") from None
    raise LoginRefused(f"PostgreSQL on {login.where} refuses user {login.user or 'of this process'} for database {login.db}: {first}")


@contextlib.contextmanager
def translated(db: str) -> Iterator[None]:
    """Turn any psycopg error inside into a DatabaseError of one line (SQL and parameters are not shown)."""
    import psycopg

    try:
        yield
    except psycopg.errors.InsufficientPrivilege as exc:
        raise DatabaseError(f"database {db}: {_one_line(exc)}; connect as the database's owner or as a superuser") from None
    except psycopg.errors.ReadOnlySqlTransaction:
        raise DatabaseError(f"database {db} is read only (a standby?): connect to the primary server") from None
    except psycopg.Error as exc:
        diag = getattr(exc, "diag", None)
        text = (diag.message_primary if diag is not None else None) or _one_line(exc)
        state = f" (SQLSTATE {exc.sqlstate})" if exc.sqlstate else ""
        raise DatabaseError(f"database {db}: {' '.join(text.split())}{state}") from None


def database_name(conn: psycopg.Connection[Any]) -> str:
    return conn.info.dbname


def snapshot(conn: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], T]) -> T:
    """Run ``work`` on one consistent, read-only view of the database; takes no lock the site could feel."""
    with translated(database_name(conn)), conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return work(conn)


def change(conn: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], T], wait: float = 30.0) -> T:
    """Run ``work`` in one transaction that no other run of this collection can interleave with.

    READ COMMITTED on purpose: after a lock is granted the next statement must see what its former holder committed.
    A lock that is not granted at once makes us roll back and try again, for ``wait`` seconds; the site's own work goes first.
    """
    import psycopg

    errors = psycopg.errors
    transient = (errors.LockNotAvailable, errors.DeadlockDetected, errors.UniqueViolation, errors.ForeignKeyViolation, _Raced)
    deadline = time.monotonic() + wait
    db = database_name(conn)
    with translated(db):
        while True:
            try:
                with conn.transaction():
                    conn.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
                    conn.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (ADVISORY_KEY,))
                    return work(conn)
            except transient as exc:
                if time.monotonic() > deadline:
                    reason = "rows change faster than we can write" if isinstance(exc, _Raced) else _one_line(exc)
                    raise DatabaseError(f"database {db} stayed locked or busy for {wait:g} s ({reason}); run again later") from None
            time.sleep(0.05 + random.random() * 0.2)


@dataclass(frozen=True)
class Step:
    """One writing statement. With ``rows`` given, any other number of rows written means we were raced."""

    sql: str
    parameters: Mapping[str, Any]
    rows: int | None = None


@dataclass
class Plan:
    """What differs, as flat keys, and the statements that end it."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def add(self, key: str, before: Any, after: Any, sql: str, parameters: Mapping[str, Any], rows: int | None = 1) -> None:
        """Note one difference and the statement that ends it."""
        self.before[key] = before
        self.after[key] = after
        self.steps.append(Step(sql, parameters, rows))

    def run(self, conn: psycopg.Connection[Any]) -> None:
        """Execute all statements, in order."""
        for step in self.steps:
            count = conn.execute(step.sql, step.parameters).rowcount
            if step.rows is not None and count != step.rows:
                raise _Raced


def inspect(conn: psycopg.Connection[Any], tables: Iterable[str]) -> Schema:
    """Prove that ``tables`` are Greenlight's and say which release the database is of.

    Raises SchemaMissing before the migrations are through, DatabaseError when tables or columns are not Greenlight's.
    """
    wanted = sorted(tables)
    db = database_name(conn)
    found: dict[str, dict[str, str]] = {}
    for table, kind, inherited, column, type_, generated in conn.execute(
        """
        SELECT c.relname, c.relkind::text, c.relhassubclass OR c.relispartition, a.attname,
               pg_catalog.format_type(a.atttypid, NULL), a.attgenerated::text
          FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         WHERE n.nspname = 'public' AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
        """,
        ([*wanted, "schema_migrations", "data_migrations"],),
    ):
        if kind != "r" or inherited:
            raise DatabaseError(f"database {db}: public.{table} is not a plain table; this is not Greenlight's schema")
        found.setdefault(table, {})[column] = type_ + (" generated" if generated else "")
    for table in ("schema_migrations", "data_migrations"):
        if found.get(table) != {"version": TEXT}:
            raise SchemaMissing(f"database {db} holds no Greenlight yet (no table {table}): start the instance and wait for its migrations")
    schema = {row[0] for row in conn.execute("SELECT version FROM public.schema_migrations")}
    data = frozenset(row[0] for row in conn.execute("SELECT version FROM public.data_migrations"))
    if BASE_SCHEMA not in schema or BASE_DATA not in data:
        raise _unfinished(db, f"schema {BASE_SCHEMA}" if BASE_SCHEMA not in schema else f"data {BASE_DATA}")
    for first, then in UNFINISHED:
        if first in schema and then not in data:
            raise _unfinished(db, f"data {then}")
    for table in wanted:
        if table not in found:
            raise DatabaseError(f"database {db}: table {table} is missing; this is not Greenlight's schema")
        for column, type_ in TABLES[table].items():
            have = found[table].get(column)
            if have != type_:
                what = f"is of type {have}, not {type_}" if have else "is missing"
                raise DatabaseError(f"database {db}: column {table}.{column} {what}; this is not Greenlight's schema")
    refuse_foreign_code(conn, wanted)
    known = {version for version, _release in RELEASES}
    newest = max((schema | data) & known)
    return Schema(
        release=next(release for version, release in RELEASES if version == newest),
        newest_schema=max(schema),
        newest_data=max(data),
        data=data,
        unknown=tuple(sorted((schema - KNOWN_SCHEMA) | (data - KNOWN_DATA))),
    )


def _unfinished(db: str, missing: str) -> SchemaMissing:
    return SchemaMissing(f"database {db}: Greenlight's migrations are not finished ({missing} is missing): wait for them or read its log")


def freeze(conn: psycopg.Connection[Any], tables: Iterable[str]) -> None:
    """Take the locks our writes need anyway, so that no definition can change between the proof and the write."""
    for table in sorted(tables):
        if table not in TABLES:
            raise ValueError(table)
        conn.execute(f"LOCK TABLE public.{table} IN ROW EXCLUSIVE MODE")


_HARMLESS_DEFAULT = "^(gen_random_uuid[(][)]|-?[0-9]+|true|false|'[^']*'::character varying|nextval[(]'[^']*'::regclass[)])$"


def refuse_foreign_code(conn: psycopg.Connection[Any], tables: list[str]) -> None:
    """Refuse, for a superuser in somebody else's database, anything that would run the owner's code with our rights on a write."""
    row = conn.execute(
        """
        SELECT pg_catalog.current_setting('is_superuser'), datdba = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER)
          FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
        """
    ).fetchone()
    if row is None or row[0] != "on" or row[1]:
        return
    offenders = conn.execute(
        """
        WITH t AS (
            SELECT c.oid, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relname = ANY(%s))
        SELECT t.relname, 'trigger ' || g.tgname FROM t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
        UNION ALL
        SELECT t.relname, 'rule ' || r.rulename FROM t JOIN pg_catalog.pg_rewrite r ON r.ev_class = t.oid
        UNION ALL
        SELECT t.relname, 'constraint ' || k.conname FROM t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid
         WHERE k.contype IN ('c', 'x')
        UNION ALL
        SELECT t.relname, 'index on an expression' FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
         WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
        UNION ALL
        SELECT t.relname, 'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM t JOIN pg_catalog.pg_attrdef d ON d.adrelid = t.oid
         WHERE pg_catalog.pg_get_expr(d.adbin, d.adrelid) !~ %s
        ORDER BY 1, 2
        """,
        (tables, _HARMLESS_DEFAULT),
    ).fetchall()
    if offenders:
        shown = ", ".join(f"{table}: {what}" for table, what in offenders[:5])
        raise DatabaseError(
            f"database {database_name(conn)}: not Greenlight's schema, it would run foreign code with a superuser's rights ({shown});"
            " remove it, or connect as the database's owner"
        )


def exactly_one(problems: list[str], table: str, key: str, rows: list[tuple[Any, Any]], what: str = "value") -> None:
    """Add one clear sentence to ``problems`` when a natural key has several rows (id, text)."""
    if len(rows) < 2:
        return
    listed = "; ".join(f"id {row_id} ({what} {value!r})" for row_id, value in rows[:4])
    more = f"; and {len(rows) - 4} more" if len(rows) > 4 else ""
    problems.append(
        f"table {table} has {len(rows)} rows for {key} where one may be: {listed}{more}."
        f" Keep one and remove the others: DELETE FROM {table} WHERE id = '<id>';"
    )


SERVER_ARGUMENTS: dict[str, dict[str, Any]] = {
    "login_unix_socket": {"type": "str"},
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "no_log": True},
}
"""Argument spec of the connection options (doc fragment ``meet.coop.greenlight_database.server``)."""

GUARD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "unknown_version": {"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    "lock_wait": {"type": "int", "default": 30},
}
"""Argument spec of how a change meets the unexpected (doc fragment ``meet.coop.greenlight_database.guards``)."""


def login(db: str, options: Mapping[str, Any]) -> Login:
    """A database and the connection options of a module as a Login."""
    return Login(
        db=db,
        host=options.get("login_host") or None,
        unix_socket=options.get("login_unix_socket") or None,
        port=int(options.get("login_port") or 5432),
        user=options.get("login_user") or None,
        password=options.get("login_password") or None,
    )
