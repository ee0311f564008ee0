# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an export (export.py) into an empty instance.

The archive comes from somebody else, so it is not trusted: nothing of it is written outside its own directory and the storage, and the
dump is restored as the instance's own role, which can do nothing beyond its own database.

Uploads come first, each whole or not at all; then the dump in one transaction. So a database that is not empty was restored completely,
and a note beside the instance (C(import.json), written before anything else) tells of which archive.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import contents, database, dumps, export, ports, storage
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login

NOTE = "import.json"
_WORK = ".import"


class ImportRefused(CoopError):
    """The archive cannot become this instance."""


@dataclass(frozen=True)
class Target:
    """Where an export goes: the instance's id, its state directory, and its database as its own role."""

    instance: str
    directory: str
    login: Login


@dataclass(frozen=True)
class Found:
    """What there is: whether the database holds any table, and the archive (by its manifest's SHA-256) the note tells of."""

    empty: bool
    noted: str | None
    server_major: int


def observe(target: Target) -> Found:
    """Look at database and note. Raises CoopError."""
    with database.connect(target.login, "meet.coop greenlight_import") as conn:

        def work(conn: Any) -> tuple[int, int]:
            row = conn.execute(
                """
                SELECT (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                         WHERE n.nspname = 'public'), pg_catalog.current_setting('server_version_num')::int / 10000
                """
            ).fetchone()
            return int(row[0]), int(row[1])

        tables, major = database.snapshot(conn, work)
    return Found(empty=tables == 0, noted=_noted(target.directory), server_major=major)


def needed(target: Target, found: Found, manifest: dict[str, Any], manifest_sha256: str) -> bool:
    """Whether the archive is still to be restored. Raises ImportRefused when the instance holds something else."""
    if manifest["postgresql_major"] > found.server_major:
        raise ImportRefused(
            f"the archive's dump is of PostgreSQL {manifest['postgresql_major']}, the server here is {found.server_major}: "
            "a dump goes to the same or a newer one only; upgrade the server first"
        )
    if found.empty:
        return True
    if found.noted == manifest_sha256:
        return False
    raise ImportRefused(
        f"database {target.login.db} already holds something; an export goes into an empty instance only: "
        f"take {target.instance} away with its data first, or give the import another service's id"
    )


def read(archive: str) -> tuple[dict[str, Any], str]:
    """An archive's manifest and the manifest's SHA-256, after every file in it was compared with it. Raises CoopError."""
    with _opened(archive) as stream:
        manifest, text = export.walk(stream, None)
    return manifest, hashlib.sha256(text).hexdigest()


def apply(target: Target, archive: str, uploads: Callable[[], str]) -> dict[str, int]:
    """Bring the archive's uploads and database into the instance; ``uploads`` makes the storage and tells where it is.

    Returns the number of rows of each table. Raises CoopError; the database is then still empty.
    """
    work = os.path.join(target.directory, _WORK)
    with ports.locked(target.directory, f"the import of {target.instance}", 60):
        try:
            shutil.rmtree(work, ignore_errors=True)
            os.makedirs(work, mode=0o700)
            with _opened(archive) as stream:
                manifest, text = export.walk(stream, work)
            digest = hashlib.sha256(text).hexdigest()
            if needed(target, observe(target), manifest, digest):
                _note(target.directory, digest)
                root = uploads()
                for key, path in manifest["uploads"].items():
                    storage.put(root, key, os.path.join(work, path))
                dumps.load(target.login, os.path.join(work, export.DUMP))
            return _proven(target, manifest)
        except OSError as error:
            full = "the disk is full; free space, then run again" if error.errno == 28 else error.strerror
            raise ImportRefused(f"{archive} cannot be imported into {target.instance}: {full}") from None
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _proven(target: Target, manifest: dict[str, Any]) -> dict[str, int]:
    """The rows of each table, which are those of the manifest. Raises ImportRefused."""
    with database.connect(target.login, "meet.coop greenlight_import") as conn:
        held = database.snapshot(conn, contents.read)
    differing = sorted(
        name for name in held.tables.keys() | manifest["tables"].keys() if held.tables.get(name) != manifest["tables"].get(name)
    )
    if differing:
        raise ImportRefused(
            f"database {target.login.db} was restored but does not hold what the manifest says (tables {', '.join(differing[:5])}); "
            "do not open it: drop the database and run again"
        )
    return held.tables


def _opened(archive: str) -> Any:
    """The archive as a stream. Raises ImportRefused, with advice for one that is still encrypted."""
    try:
        stream = open(archive, "rb")  # noqa: SIM115
        head = stream.read(32)
        stream.seek(0)
    except OSError as error:
        raise ImportRefused(f"the archive {archive} cannot be read: {error.strerror}") from None
    if head.startswith((b"age-encryption.org/", b"-----BEGIN AGE")):
        stream.close()
        raise ImportRefused(
            f"the archive {archive} is still encrypted; decrypt it with its owner's key: age -d -i KEY -o FILE.tar FILE.tar.age"
        )
    return stream


def _noted(directory: str) -> str | None:
    try:
        with open(os.path.join(directory, NOTE), encoding="utf-8") as stream:
            return str(json.load(stream)["manifest_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a forgotten note only means that a database that is not empty is refused


def _note(directory: str, digest: str) -> None:
    path = os.path.join(directory, NOTE)
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump({"manifest_sha256": digest}, stream)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(f"{path}.new", path)
