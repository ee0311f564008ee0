# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the manifest inside the backup of an instance: made with it, and compared with what a restore gives back.

A backup that can be read is not yet one that is whole: an empty table, a dump of yesterday or of a neighbour is a perfect file.
So the manifest says what was in the database in the very snapshot that was dumped, and what every file was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

if TYPE_CHECKING:
    import psycopg

FORMAT = 1
"""What this code writes and the only one it reads. Raised when a field changes its meaning; further fields do not need it."""
NAME = "manifest.json"
DUMP = "database.dump"
SECRETS = "secrets.json"
ACCOUNTS = "accounts.json"
STORAGE = "storage"
"""Names inside a backup: the database as pg_dump's custom format has it, the instance's secrets, whom greenlight_user remembers,
and the directory of what people uploaded."""

SHOWN = 5
"""So many findings of one kind are told one by one, the others as their number."""
CLOCK_SKEW = timedelta(minutes=10)
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_VERSION = re.compile(r"[0-9]{14}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOCK = 1 << 20


class ManifestError(CoopError):
    """The manifest is missing, or nothing can be compared with it."""


@dataclass(frozen=True)
class Database:
    """What one database holds. ``schema_version`` is the newest schema migration, ``data_migrations`` are all that have run."""

    schema_version: str
    data_migrations: tuple[str, ...]
    postgresql_major: int
    tables: Mapping[str, int]
    """Number of rows by table of the schema ``public``."""


@dataclass(frozen=True)
class Observed:
    """What a restore gave back. What is None was not looked at."""

    instance: str | None = None
    """Whose backup it was taken for."""
    files: Mapping[str, Mapping[str, Any]] | None = None
    database: Database | None = None


# --- Making ---------------------------------------------------------------------------------------------------------


def make(
    *,
    instance: str,
    directories: Mapping[str, str],
    conn: psycopg.Connection[Any],
    image: str | None,
    image_id: str | None,
    greenlight_version: str | None,
    made_at: datetime | None = None,
) -> dict[str, Any]:
    """The manifest of a backup.

    ``directories`` are as ``observe_files`` takes them. ``conn`` is inside the transaction whose snapshot was dumped
    (``pg_export_snapshot``, ``pg_dump --snapshot``). Image, its id and version are None where no container is there.

    Raises ManifestError and psycopg's errors.
    """
    database = observe_database(conn)
    return {
        "format": FORMAT,
        "instance": instance,
        "made_at": (made_at or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime(_TIME),
        "image": image,
        "image_id": image_id,
        "greenlight_version": greenlight_version,
        "schema_version": database.schema_version,
        "data_migrations": list(database.data_migrations),
        "postgresql_major": database.postgresql_major,
        "tables": dict(database.tables),
        "files": observe_files(directories),
    }


def write(directory: str, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` into a directory in one step, readable by its owner alone. Raises ManifestError."""
    path = os.path.join(directory, NAME)
    temporary = f"{path}.new"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            json.dump(manifest, stream, indent=1, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise ManifestError(f"{path} cannot be written: {error.strerror}") from error


def observe_database(conn: psycopg.Connection[Any]) -> Database:
    """Migrations and rows of a Greenlight database, as the connection's transaction sees it.

    Raises ManifestError where it is not Greenlight's, and psycopg's errors.
    """
    from psycopg import sql

    name = conn.info.dbname
    # Plain tables only: views hold nothing, and a partition is a table of its own.
    found = conn.execute(
        "SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1"
    ).fetchall()
    tables: dict[str, int] = {}
    for (table,) in found:
        row = conn.execute(sql.SQL("SELECT pg_catalog.count(*) FROM ONLY {}").format(sql.Identifier("public", table))).fetchone()
        tables[table] = row[0] if row else 0
    for table in ("schema_migrations", "data_migrations"):
        if table not in tables:
            raise ManifestError(f"database {name} has no table {table}, so it is not Greenlight's")
    schema = conn.execute("SELECT pg_catalog.max(version) FROM public.schema_migrations").fetchone()
    data = conn.execute("SELECT version FROM public.data_migrations ORDER BY 1").fetchall()
    major = conn.info.server_version // 10_000
    return Database((schema[0] if schema else None) or "", tuple(row[0] for row in data), major, tables)


def observe_files(directories: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of all files below some directories, the manifest itself excepted.

    ``directories`` maps what stands before a path in the manifest to a directory: ``{"": "/staging", "storage": "/volume"}``.
    Nothing is followed: of a symbolic link the target's name counts as its content. Pipes, sockets and devices hold no data.
    Raises ManifestError.
    """
    files: dict[str, dict[str, Any]] = {}
    for prefix, directory in directories.items():
        for path in _walk(directory):
            name = os.path.join(prefix, os.path.relpath(path, directory))
            if name != NAME:
                digest = _digest(path)
                if digest is not None:
                    files[name] = digest
    return dict(sorted(files.items()))


def _walk(directory: str) -> Iterable[str]:
    def refuse(error: OSError) -> None:
        raise ManifestError(f"{error.filename or directory} cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(directory, onerror=refuse, followlinks=False):
        for name in [*names, *(folder for folder in folders if os.path.islink(os.path.join(parent, folder)))]:
            yield os.path.join(parent, name)


def _digest(path: str) -> dict[str, Any] | None:
    """Size and SHA-256 of a file or link; None for anything else."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(path))
            return {"size": len(target), "sha256": hashlib.sha256(target).hexdigest()}
        if not stat.S_ISREG(status.st_mode):
            return None
        digest, size = hashlib.sha256(), 0
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    return {"size": size, "sha256": digest.hexdigest()}


# --- Reading --------------------------------------------------------------------------------------------------------


def read(directory: str) -> dict[str, Any]:
    """The manifest of a restored backup. Raises ManifestError saying what is wrong with it."""
    path = os.path.join(directory, NAME)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise ManifestError(f"{NAME} is missing in the backup: it was not made by this collection, or not to its end") from None
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    return parse(content)


def parse(content: bytes | str) -> dict[str, Any]:
    """A manifest as text, checked. Raises ManifestError naming the field at fault."""
    try:
        found = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        problem = " ".join(str(error).split())[:160]
        raise ManifestError(f"{NAME} is damaged, it is not JSON ({problem}); use an older snapshot") from None
    if not isinstance(found, dict):
        raise ManifestError(f"{NAME} is damaged, it holds no fields; use an older snapshot")
    version = found.get("format")
    if "format" not in found:
        raise ManifestError(f"{NAME} has no field format; use a newer snapshot, or the version of meet.coop that made this one")
    if not _whole(version) or version != FORMAT:
        raise ManifestError(
            f"{NAME} has format {str(version)[:20]!a}, and only {FORMAT} is known here; use the version of meet.coop that made the snapshot"
        )
    for field, problem in _FIELDS.items():
        if field not in found:
            raise ManifestError(f"{NAME} has no field {field}; it is damaged, use an older snapshot")
        said = problem(found[field])
        if said:
            raise ManifestError(f"{NAME}: {field} {said}; it is damaged, use an older snapshot")
    return found


def made_at(manifest: Mapping[str, Any]) -> datetime:
    """When the backup was made, in UTC."""
    return datetime.strptime(manifest["made_at"], _TIME).replace(tzinfo=timezone.utc)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "is not a text"


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _time(value: Any) -> str | None:
    try:
        datetime.strptime(value, _TIME)
    except (TypeError, ValueError):
        return "is not a time in UTC such as 2026-04-02T03:15:00Z"
    return None


def _version(value: Any) -> str | None:
    return None if isinstance(value, str) and _VERSION.fullmatch(value) else "is not the version of a migration (14 digits)"


def _versions(value: Any) -> str | None:
    return None if isinstance(value, list) and all(_version(one) is None for one in value) else "is not a list of versions of migrations"


def _major(value: Any) -> str | None:
    return None if _whole(value) and value > 0 else "is not a major version of PostgreSQL"


def _tables(value: Any) -> str | None:
    if not isinstance(value, dict) or not value:
        return "holds no tables"
    for table, rows in value.items():
        if not _whole(rows):
            return f"says no number of rows for {_shown(table)}"
    return None


def _files(value: Any) -> str | None:
    if not isinstance(value, dict) or not value:
        return "holds no files"
    for path, entry in value.items():
        if not path or path.startswith("/") or "\0" in path or os.path.normpath(path) != path or path.split("/")[0] == "..":
            return f"holds {path!a}, which is no path inside a backup"
        if not isinstance(entry, dict) or not _whole(entry.get("size")):
            return f"says no size of {_shown(path)}"
        if not isinstance(entry.get("sha256"), str) or not _SHA256.fullmatch(entry["sha256"]):
            return f"says no sha256 of {_shown(path)}"
    return None


_FIELDS = {
    "instance": _text,
    "made_at": _time,
    "image": _text_or_none,
    "image_id": _text_or_none,
    "greenlight_version": _text_or_none,
    "schema_version": _version,
    "data_migrations": _versions,
    "postgresql_major": _major,
    "tables": _tables,
    "files": _files,
}


# --- Comparing ------------------------------------------------------------------------------------------------------


def compare(manifest: Mapping[str, Any], observed: Observed) -> list[str]:
    """What differs between a backup's manifest and what came back, a line each in plain words; none when all is there.

    A file that the manifest does not name is no finding: something uploaded while the backup was made may be in it too.
    """
    findings: list[str] = []
    if observed.instance is not None and observed.instance != manifest["instance"]:
        findings.append(f"the backup is of instance {_shown(manifest['instance'])}, not of {observed.instance}")
    if observed.files is not None:
        findings += _compare_files(manifest["files"], observed.files)
    if observed.database is not None:
        findings += _compare_database(manifest, observed.database)
    return findings


def age(manifest: Mapping[str, Any], now: datetime, longest: timedelta | None) -> list[str]:
    """Whether the backup is older than it may be, or from the future."""
    moment = made_at(manifest)
    if moment > now + CLOCK_SKEW:
        return [f"the backup was made at {manifest['made_at']}, which is still to come: a clock is wrong"]
    if longest is not None and now - moment > longest:
        return [f"the backup is {_hours(now - moment)} old (made at {manifest['made_at']}), {_hours(longest)} is the most"]
    return []


def _shown(name: str) -> str:
    """A name out of a backup on one line, whatever somebody put into it."""
    return name if name.isprintable() else ascii(name)


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"


def _some(lines: list[str], more: str) -> list[str]:
    return lines if len(lines) <= SHOWN + 1 else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more {more}"]


def _compare_files(named: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    missing, changed = [], []
    for path, entry in named.items():
        have = found.get(path)
        if have is None:
            missing.append(f"file {_shown(path)} ({entry['size']} bytes) is missing")
        elif have["size"] != entry["size"]:
            changed.append(f"file {_shown(path)} has {have['size']} bytes, the manifest says {entry['size']}")
        elif have["sha256"] != entry["sha256"]:
            changed.append(f"file {_shown(path)} is not what was backed up: its sha256 is another")
    return [*_some(missing, "files that are missing"), *_some(changed, "files that are not what was backed up")]


def _compare_database(manifest: Mapping[str, Any], found: Database) -> list[str]:
    findings = []
    if found.schema_version != manifest["schema_version"]:
        findings.append(f"the newest schema migration is {found.schema_version or 'none'}, the manifest says {manifest['schema_version']}")
    wanted, have = set(manifest["data_migrations"]), set(found.data_migrations)
    findings += _some([f"data migration {version} is missing" for version in sorted(wanted - have)], "data migrations that are missing")
    findings += _some([f"data migration {version} is not in the manifest" for version in sorted(have - wanted)], "data migrations too many")
    rows = []
    for table in sorted({*manifest["tables"], *found.tables}):
        said, counted = manifest["tables"].get(table), found.tables.get(table)
        if counted is None:
            rows.append(f"table {_shown(table)} is missing, the manifest says {_rows(said)}")
        elif said is None:
            rows.append(f"table {_shown(table)} ({_rows(counted)}) is not in the manifest")
        elif said != counted:
            rows.append(f"table {_shown(table)} has {_rows(counted)}, the manifest says {_rows(said)}")
    return findings + _some(rows, "tables that differ")


def _rows(number: int | None) -> str:
    return "1 row" if number == 1 else f"{number} rows"
