# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: everything of one instance, side by side in one directory, as it goes into a snapshot.

database.dump    pg_dump's custom format, proven readable
secrets.json     what we generated; with the database all that is needed to bring the instance up elsewhere
accounts.json    whom greenlight_user remembers; and the other small files of the instance's directory
storage/         what people uploaded (the Docker volume, or the directory that the nodes of a Swarm share)
branding/        the logo that the edge serves
manifest.json    what all of this has to be (manifest.py)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils import _moves
from ansible_collections.meet.coop.plugins.module_utils._backup import manifest, trees
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, dumps, ports, swarm, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, variables
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

if TYPE_CHECKING:
    import psycopg

BRANDING = "branding"
_STATE_FILE = re.compile(r"[a-z0-9][a-z0-9_-]*\.json")
_STATE_LIMIT = 16 * 1024**2


@dataclass(frozen=True)
class Instance:
    """An instance as the host keeps it. ``login`` reaches its database as a superuser or as its owner."""

    name: str
    login: Login
    state_root: str = "/var/lib/meet-coop/instances"
    branding_root: str = "/var/lib/meet-coop/branding"

    @property
    def directory(self) -> str:
        return os.path.join(self.state_root, self.name)

    @property
    def branding(self) -> str:
        return os.path.join(self.branding_root, self.name)

    @property
    def container(self) -> str:
        return f"greenlight-{self.name}"

    @property
    def volume(self) -> str:
        return f"greenlight-{self.name}-storage"


def database_name(name: str) -> str:
    """The database of an instance, as role instance calls it."""
    return f"greenlight_{check_name(name).replace('-', '_')}"


def discover(state_root: str) -> list[str]:
    """The instances that this host keeps: those with secrets, and not what lies here of one that has moved. Raises CoopError."""
    return _moves.kept(state_root)


def clean(root: str) -> None:
    """Remove what killed runs left of stages. The caller holds the lock of ``root``."""
    for name in os.listdir(root) if os.path.isdir(root) else ():
        shutil.rmtree(os.path.join(root, name))


@contextmanager
def staged(engine: Engine | None, instance: Instance, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The directory below ``root`` that is to be stored, and its manifest; it is gone afterwards.

    Raises CoopError saying what of the instance cannot be backed up.
    """
    directory = os.path.join(root, instance.name)
    try:
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory, mode=0o700)
        yield directory, _fill(engine, instance, directory)
    except OSError as error:
        what = "the disk is full; free space" if error.errno == 28 else f"{error.filename or directory}: {error.strerror}"
        raise CoopError(f"instance {instance.name} cannot be laid out for its backup in {root}: {what}, then run again") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fill(engine: Engine | None, instance: Instance, directory: str) -> dict[str, Any]:
    _take_state(instance, directory)
    container = engine.container(instance.container) if engine else None
    source = uploads.directory(engine, instance.name, instance.state_root) or ""
    if container is not None and not source:
        raise CoopError(f"instance {instance.name} has a container and no volume {instance.volume}: its uploads are lost, restore them")
    if os.path.isdir(instance.branding):
        trees.take(instance.branding, os.path.join(directory, BRANDING))
    dump = os.path.join(directory, manifest.DUMP)
    storage = os.path.join(directory, manifest.STORAGE)
    with _snapshot(instance.login) as (conn, snapshot):
        # Twice: an upload that the database knows may be deleted on the disk before we come to it, or written after we have been there.
        if source:
            trees.take(source, storage)
        # restic compresses by itself, and finds again what was the same yesterday.
        dumps.write(instance.login, dump, snapshot, compress=False)
        if source:
            trees.take(source, storage)
        with database.translated(instance.login.db):
            made = manifest.make(
                instance=instance.name,
                directories={"": directory},
                conn=conn,
                **_runs(engine, instance, container),
            )
    manifest.write(directory, made)
    return made


def _runs(engine: Engine | None, instance: Instance, container: Mapping[str, Any] | None) -> dict[str, str | None]:
    """The image of the instance and its version, whichever engine runs it."""
    name = container["Config"].get("Image") if container else None
    image: Mapping[str, Any] | None = None
    if engine and ports.read_state(instance.directory).swarm:
        service = swarm.services(engine, instance.name).get(instance.container)
        name = swarm.image_of(service) if service else None
        image = engine.image(name) if name else None
    return {
        "image": name,
        "image_id": container["Image"] if container else image["Id"] if image else None,
        "greenlight_version": variables(container or image).get("VERSION_TAG") or None,
    }


@contextmanager
def _snapshot(login: Login) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A connection inside a transaction, and the name by which pg_dump sees the very same rows."""
    with database.connect(login, "meet.coop backup") as conn, database.translated(login.db):
        # It waits for pg_dump, however long that takes.
        conn.execute("SET idle_in_transaction_session_timeout = 0")
        conn.execute("SET statement_timeout = '30min'")
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            rows = conn.execute("SELECT pg_catalog.pg_export_snapshot()").fetchall()
            yield conn, rows[0][0]


def _take_state(instance: Instance, directory: str) -> None:
    """Copy the small files of the instance's own directory; without its secrets a backup would be worth nothing."""
    secrets = os.path.join(instance.directory, manifest.SECRETS)
    if not os.path.isfile(secrets):
        raise CoopError(
            f"instance {instance.name} has no {secrets}; without its secrets it cannot be restored: run meet.coop.site -l {instance.name}"
        )
    for name in sorted(os.listdir(instance.directory)):
        path = os.path.join(instance.directory, name)
        status = os.lstat(path)
        if _STATE_FILE.fullmatch(name) and stat.S_ISREG(status.st_mode) and status.st_size <= _STATE_LIMIT and name != manifest.NAME:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(path, os.path.join(directory, name), follow_symlinks=False)
                os.chmod(os.path.join(directory, name), 0o600)


def port_of(directory: str) -> int | None:
    """The port that an instance had when it was backed up."""
    return ports.read_state(directory).port
