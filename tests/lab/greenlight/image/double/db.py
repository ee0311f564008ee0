# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database access as Rails 7.2 behaves: connections are made by the first query, never by looking at them.

Hence greenlight app/controllers/health_checks_controller.rb sees an inactive connection after boot, after a restart of PostgreSQL and after
idle time, until another request has queried.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
import typing as t

import psycopg2

from . import config

IDLE_SECONDS = 300.0  # activerecord connection pool idle_timeout
Row = dict[str, t.Any]


def now() -> dt.datetime:
    """UTC without zone, as the columns hold it."""
    return dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)


class Connection:
    """One adapter of the pool: connects and reconnects on the first query of a lease."""

    def __init__(self) -> None:
        self.raw: t.Any = None
        self.verified = False
        self.used = time.monotonic()

    def active(self) -> bool:
        """Rails' active?: false without a connection, never makes one."""
        if self.raw is None:
            return False
        try:
            self.raw.cursor().execute(";")
        except psycopg2.ProgrammingError:  # "can't execute an empty query": the server answered
            return True
        except psycopg2.Error:
            return False
        return True

    def disconnect(self) -> None:
        """Close quietly."""
        if self.raw is not None:
            with contextlib.suppress(psycopg2.Error):
                self.raw.close()
        self.raw = None
        self.verified = False

    def _verify(self) -> None:
        if self.verified:
            return
        if not self.active():
            self.disconnect()
            self.raw = psycopg2.connect(**config.database_arguments())  # type: ignore[arg-type]
            self.raw.autocommit = True
        self.verified = True

    def execute(self, sql: str, parameters: t.Sequence[t.Any] = ()) -> t.Any:
        """Run one statement; returns the cursor."""
        self._verify()
        cursor = self.raw.cursor()
        cursor.execute(sql, parameters)
        return cursor

    def all(self, sql: str, *parameters: t.Any) -> list[Row]:
        """All rows as dictionaries."""
        cursor = self.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def one(self, sql: str, *parameters: t.Any) -> Row | None:
        """The first row or None."""
        rows = self.all(sql, *parameters)
        return rows[0] if rows else None

    def value(self, sql: str, *parameters: t.Any) -> t.Any:
        """The first column of the first row or None."""
        row = self.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def insert(self, table: str, **values: t.Any) -> Row:
        """Insert one row with both time stamps; returns it."""
        stamp = now()
        values = {**values, "created_at": stamp, "updated_at": stamp}
        names = ", ".join(values)
        row = self.one(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(values))}) RETURNING *", *values.values())
        assert row is not None
        return row

    def update(self, table: str, row_id: t.Any, **values: t.Any) -> None:
        """Update one row by id; sets updated_at as Rails does."""
        values.setdefault("updated_at", now())
        self.execute(f"UPDATE {table} SET {', '.join(f'{name} = %s' for name in values)} WHERE id = %s", [*values.values(), row_id])

    @contextlib.contextmanager
    def transaction(self) -> t.Iterator[None]:
        """BEGIN ... COMMIT, ROLLBACK on any exception."""
        self.execute("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(psycopg2.Error):
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


class Pool:
    """Last in, first out, as Rails' pool: one quiet client always gets the same connection."""

    def __init__(self, size: int) -> None:
        self._free: list[Connection] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(size)

    @contextlib.contextmanager
    def lease(self) -> t.Iterator[Connection]:
        """A connection for one request."""
        with self._slots:
            with self._lock:
                connection = self._free.pop() if self._free else Connection()
            connection.verified = False
            try:
                yield connection
            finally:
                connection.used = time.monotonic()
                with self._lock:
                    self._free.append(connection)

    def reap(self) -> None:
        """Close what has been idle too long."""
        with self._lock:
            for connection in self._free:
                if connection.raw is not None and time.monotonic() - connection.used > IDLE_SECONDS:
                    connection.disconnect()
