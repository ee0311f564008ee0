# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an instance out of a snapshot, in place of nothing, of itself, or under another name.

Until everything is there and proven, nothing that serves is touched: files in a directory of their own, rows in a database of its own.
Then comes the switch, which is short, and from whose beginning there is only forward: a note on the disk says that it has begun.

    no note    a run that was killed has left scraps, which the next one removes
    note       a run was killed during the switch, and the next one finishes it
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets as randomness
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._backup import manifest, restic, runs, stage, trees
from ansible_collections.meet.coop.plugins.module_utils._backup.restic import Repository, Snapshot
from ansible_collections.meet.coop.plugins.module_utils._backup.stage import Instance
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, dumps, ports, swarm, swarm_operations, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import occupies
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, explained
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import STOP_SECONDS

if TYPE_CHECKING:
    import psycopg

WORK = "/var/lib/meet-coop/restore"
TREE, NOTE, BEGUN = "tree", "switch.json", "begun.json"
CONNECTIONS = 20
#: Of the instance's directory these are not written as they come: the dump and the manifest are no state, the port may be taken by now.
_NOT_STATE = {manifest.NAME, manifest.DUMP, ports.STATE_FILE}


@dataclass(frozen=True)
class Request:
    """What is to be restored, and over what. The instance's login reaches its database as a superuser."""

    repository: Repository
    instance: Instance
    source: str
    """Whose snapshot: the instance's own id, or that of another one, of which it becomes a copy."""
    snapshot: str = "latest"
    replace: bool = False
    force: bool = False
    docker_host: str = "unix:///var/run/docker.sock"
    work: str = WORK
    lock_wait: float = restic.LOCK_WAIT

    @property
    def directory(self) -> str:
        return os.path.join(self.work, self.instance.name)

    @property
    def tree(self) -> str:
        return os.path.join(self.directory, TREE)

    @property
    def receipt(self) -> str:
        return os.path.join(self.work, f"{self.instance.name}.json")

    @property
    def clone(self) -> bool:
        return self.source != self.instance.name

    @property
    def beside(self) -> str:
        """Database, and role that owns it, in which a dump is laid out until the switch."""
        return f"restore_{self._digest}"

    @property
    def replaced(self) -> str:
        """What the former database is called from the switch until it is dropped."""
        return f"replaced_{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.instance.login.db.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Observed:
    """What there is of the instance, and what a former run left."""

    chosen: Snapshot
    living: tuple[str, ...] = ()
    """What would be lost, in words; nothing where there is no such instance."""
    containers: tuple[str, ...] = ()
    """Those that run."""
    note: Mapping[str, Any] | None = None
    receipt: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    """Database and secrets are there."""


@dataclass
class Result:
    """What was restored."""

    actions: list[str] = field(default_factory=list)
    snapshot: str = ""
    made_at: str = ""
    interruption: float = 0.0
    """Seconds from stopping the containers to having them started again, or to the end where they stay stopped."""
    seconds: float = 0.0
    container: str = "none"
    """started, stopped (its secrets are others now, or it did not run: greenlight_container brings it up) or none."""


def run(request: Request, write: bool = True) -> Result:
    """Restore; with ``write`` false say what that would take. Raises CoopError."""
    if not write:
        return _run(request, write)
    with ports.locked(request.directory, f"the restore of {request.instance.name}", request.lock_wait):
        return _run(request, write)


def _run(request: Request, write: bool) -> Result:
    begun = time.monotonic()
    # One connection for each: what is idle for a minute is closed by either side.
    engine = _engine(request.docker_host)
    observed = observe(request, engine)
    result = Result(actions=diff(request, observed), snapshot=observed.chosen.id, made_at=restic.stamp(observed.chosen.time))
    if write and result.actions:
        apply(request, engine, observed, result)
    result.seconds = round(time.monotonic() - begun, 3)
    return result


def _engine(address: str) -> Engine | None:
    engine = Engine(address)
    return None if engine.socket and not os.path.exists(engine.socket) else engine


# --- Observe and compare --------------------------------------------------------------------------------------------


def observe(request: Request, engine: Engine | None) -> Observed:
    """The snapshot that is meant, and what there is of the instance. Raises CoopError."""
    instance = request.instance
    found = restic.snapshots(request.repository, *runs.tags_of(request.source))
    chosen = restic.choose(found, request.snapshot, request.source, f"repository {request.repository.shown}")
    note = _read(os.path.join(request.directory, NOTE))
    begun = _read(os.path.join(request.directory, BEGUN))
    there = _containers(engine, instance)
    held = uploads.directory(engine, instance.name, instance.state_root)
    tables = _tables(instance.login)
    secrets = os.path.exists(os.path.join(instance.directory, manifest.SECRETS))
    living = [f"container {name}" for name in there if not name.endswith("-redis")]
    if tables is not None and tables > 0:
        living.append(f"database {instance.login.db} with {tables} tables")
    if secrets:
        living.append("its secrets")
    # What a killed run put into the volume of an instance that was not there is nothing to be lost.
    ours = begun is not None and not begun.get("living")
    if held and not ours and _files(held):
        living.append(f"uploads in {_place(instance)}")
    return Observed(
        chosen=chosen,
        living=tuple(living),
        containers=tuple(name for name, runs_ in there.items() if runs_),
        note=note,
        receipt=_read(request.receipt) or {},
        whole=bool(tables) and (secrets or request.clone),
    )


def _containers(engine: Engine | None, instance: Instance) -> dict[str, bool]:
    """The instance's containers, whatever a replacement calls them meanwhile, or its services in a Swarm, and whether they run."""
    if engine is None:
        return {}
    if ports.read_state(instance.directory).swarm:
        return {name: bool(swarm.replicas(one)) for name, one in sorted(swarm.services(engine, instance.name).items())}
    pattern = rf"^/?{re.escape(instance.container)}(\.next|\.rehearsal|\.previous|-redis)?$"
    found = (engine.container(row["Id"]) for row in engine.containers(name=pattern))
    return dict(sorted((one["Name"].lstrip("/"), occupies(one)) for one in found if one is not None))


def _place(instance: Instance) -> str:
    """Where its uploads are, in words."""
    return ports.read_state(instance.directory).uploads or f"volume {instance.volume}"


def _tables(login: Login) -> int | None:
    """How many tables the database has; None where there is none. Raises DatabaseError."""
    try:
        with database.connect(login, "meet.coop restore") as conn, database.translated(login.db):
            row = conn.execute(
                "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind = 'r'"
            ).fetchone()
            return int(row[0]) if row else 0
    except database.DatabaseMissing:
        return None


def _files(directory: str) -> bool:
    return bool(directory) and any(names for _parent, _folders, names in os.walk(directory))


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def diff(request: Request, observed: Observed) -> list[str]:
    """What is to be done, in words. Raises CoopError where something living would be lost unasked."""
    instance, chosen = request.instance, observed.chosen
    steps = []
    done = observed.receipt.get("snapshot")
    if observed.note is not None:
        steps.append(f"finish the restore of snapshot {str(observed.note.get('snapshot'))[:8]} that was interrupted")
        done = observed.note.get("snapshot")
    if done == chosen.id and not request.force and (observed.whole or observed.note is not None):
        return steps
    # What a note's switch leaves behind is what it was told to restore, so it lives as well.
    living = observed.living or ((f"what snapshot {str(done)[:8]} holds",) if observed.note is not None else ())
    if living and not request.replace:
        raise CoopError(
            f"instance {instance.name} is there ({', '.join(living)}) and would be lost; give replace: true (the playbook restore:"
            f" restore_replace) to put snapshot {chosen.short} of {request.source} from {restic.stamp(chosen.time)} in its place"
        )
    steps.append(f"fetch snapshot {chosen.short} of {request.source} from {restic.stamp(chosen.time)}")
    kind = "service" if ports.read_state(instance.directory).swarm else "container"
    steps += [f"stop {kind} {name}" for name in observed.containers]
    for what in (f"database {instance.login.db}", _place(instance), f"files of {instance.name}"):
        steps.append(f"restore {what}")
    return steps


# --- Apply ----------------------------------------------------------------------------------------------------------


def apply(request: Request, engine: Engine | None, observed: Observed, result: Result) -> None:
    """Finish what was interrupted, then restore. Raises CoopError; before the switch everything is as it was then."""
    try:
        if observed.note is not None:
            _switch(request, engine, observed.note, result)
            if len(result.actions) == 1:
                return
            observed = observe(request, engine)
        _clean(request)
        runs.write_file(os.path.join(request.directory, BEGUN), json.dumps({"living": bool(observed.living)}) + "\n")
        try:
            wanted = _fetch(request, observed.chosen)
            _lay_out(request, wanted)
            _uploads(request, engine)
        except BaseException:
            with contextlib.suppress(CoopError, OSError):
                _clean(request)
            raise
        note = {
            "snapshot": observed.chosen.id,
            "source": request.source,
            "made_at": restic.stamp(observed.chosen.time),
            "start": [name for name in observed.containers if name in (request.instance.container, f"{request.instance.container}-redis")],
        }
        if _secrets_differ(request):
            note["start"] = []
        runs.write_file(os.path.join(request.directory, NOTE), json.dumps(note) + "\n")
        _switch(request, engine, note, result)
    except OSError as error:
        what = "the disk is full; free space" if error.errno == 28 else f"{error.filename or request.directory}: {error.strerror}"
        raise CoopError(f"instance {request.instance.name} cannot be restored: {what}, then run again") from error


def _clean(request: Request) -> None:
    """Remove what a run left that never came to its switch."""
    shutil.rmtree(request.tree, ignore_errors=True)
    with _server(request.instance.login) as conn:
        _drop_beside(conn, request)


def _drop_beside(conn: psycopg.Connection[Any], request: Request) -> None:
    databases.drop(conn, request.beside, databases.observe(conn, request.beside))


@contextlib.contextmanager
def _server(login: Login) -> Any:
    with database.connect(replace(login, db="postgres"), "meet.coop restore") as conn, database.translated(login.db):
        conn.execute("SET statement_timeout = 0")
        yield conn


def _fetch(request: Request, chosen: Snapshot) -> dict[str, Any]:
    """The snapshot's files, proven to be what its manifest says; returns the manifest."""
    os.makedirs(request.tree, mode=0o700)
    restic.restore(request.repository, chosen.id, request.tree)
    wanted = manifest.read(request.tree)
    seen = manifest.Observed(instance=request.source, files=manifest.observe_files({"": request.tree}))
    _agree(chosen, manifest.compare(wanted, seen))
    return wanted


def _agree(chosen: Snapshot, findings: list[str]) -> None:
    if findings:
        raise CoopError(f"snapshot {chosen.short} is damaged: {'; '.join(findings)}; nothing was changed, restore an older one")


def _lay_out(request: Request, wanted: Mapping[str, Any]) -> None:
    """The dump in a database of its own, whose rows are proven to be as many as the manifest says."""
    login = request.instance.login
    password = randomness.token_hex(24)
    with _server(login) as conn:
        have = conn.info.server_version // 10_000
        if have < wanted["postgresql_major"]:
            raise CoopError(
                f"the snapshot is of PostgreSQL {wanted['postgresql_major']}, this host has {have}; restore it where PostgreSQL is as new"
            )
        desired = databases.Desired(request.beside, password, CONNECTIONS)
        databases.apply(conn, desired, databases.observe(conn, desired.name))
    owner = Login(db=request.beside, host=login.host or "127.0.0.1", port=login.port, user=request.beside, password=password)
    dumps.load(owner, os.path.join(request.tree, manifest.DUMP))
    with database.connect(owner, "meet.coop restore") as conn, database.translated(request.beside):
        found = manifest.observe_database(conn)
        conn.execute("ANALYZE")
    findings = manifest.compare(wanted, manifest.Observed(database=found))
    if findings:
        raise CoopError(f"the dump is not what the manifest says: {'; '.join(findings)}; nothing was changed, restore an older snapshot")


def _uploads(request: Request, engine: Engine | None) -> None:
    """Put uploads into the volume beside those that are there: their names are random, and none is ever written twice."""
    source = os.path.join(request.tree, manifest.STORAGE)
    if not os.path.isdir(source):
        return
    target = _mountpoint(request, engine, make=True)
    if not target:
        raise CoopError(f"the backup of {request.source} holds uploads, which are not restored into the bucket of {request.instance.name}")
    trees.give(source, target)


def _mountpoint(request: Request, engine: Engine | None, make: bool) -> str:
    instance = request.instance
    if engine is None:
        raise CoopError(f"Docker is not on this host, and volume {instance.volume} needs it; run meet.coop.platform first")
    return uploads.directory(engine, instance.name, instance.state_root, make) or ""


def _secrets_differ(request: Request) -> bool:
    """Whether the containers know other secrets than the instance has afterwards."""
    if request.clone:
        return False
    have, wanted = (_read(os.path.join(directory, manifest.SECRETS)) for directory in (request.instance.directory, request.tree))
    return have != wanted


# --- The switch -----------------------------------------------------------------------------------------------------


def _switch(request: Request, engine: Engine | None, note: Mapping[str, Any], result: Result) -> None:
    """From what was there to what was restored. Every step looks first whether a killed run has done it."""
    instance = request.instance
    if note.get("source") != request.source:
        request = replace(request, source=str(note.get("source")))
    with ports.locked(instance.directory, instance.container, request.lock_wait):
        stopped = time.monotonic()
        there = _containers(engine, instance)
        _stop(request, engine, there)
        password = _put_files(request)
        _switch_database(request, password)
        source = os.path.join(request.tree, manifest.STORAGE)
        mountpoint = _mountpoint(request, engine, make=False) if engine is not None else ""
        if mountpoint and os.path.isdir(request.tree):
            os.makedirs(source, exist_ok=True)
            trees.clear(source, mountpoint)
        services = there if ports.read_state(instance.directory).swarm else ()
        started = _start(engine, [str(name) for name in note.get("start") or []], services)
        result.container = "started" if started else "stopped" if there else "none"
        result.interruption = round(time.monotonic() - stopped, 3)
    receipt = {**note, "finished": restic.stamp(datetime.now(timezone.utc)), "interruption": result.interruption}
    runs.write_file(request.receipt, json.dumps(receipt, indent=1) + "\n")
    with _server(instance.login) as conn:
        _drop_former(conn, request)
    for name in (NOTE, BEGUN):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(request.directory, name))
    shutil.rmtree(request.tree, ignore_errors=True)


def _stop(request: Request, engine: Engine | None, there: Mapping[str, bool]) -> None:
    """Stop whatever of the instance runs."""
    if engine is not None and ports.read_state(request.instance.directory).swarm:
        with explained(f"Swarm cannot stop {request.instance.container}"):
            for name, running in there.items():
                if running:
                    swarm_operations.scale(engine, name, 0)
        swarm_operations.ended(engine, request.instance.name)
        return
    for name, running in there.items():
        if running and engine is not None:
            with explained(f"Docker cannot stop {name}"):
                engine.sdk.stop(name, timeout=STOP_SECONDS)


def _start(engine: Engine | None, names: list[str], services: Collection[str] = ()) -> bool:
    """Start again what was stopped, Redis first."""
    if engine is None or not names:
        return False
    for name in sorted(names, key=lambda name: not name.endswith("-redis")):
        if services and name in services:
            with explained(f"Swarm cannot start {name}"):
                swarm_operations.scale(engine, name, 1)
            continue
        if engine.container(name) is None:
            return False
        with explained(f"Docker cannot start {name}"):
            engine.sdk.start(name)
    return any(not name.endswith("-redis") for name in names)


def _put_files(request: Request) -> str:
    """Secrets and the other small files into place; returns the password that the database's role has to have."""
    instance, tree = request.instance, request.tree
    target = os.path.join(instance.directory, manifest.SECRETS)
    for name in sorted(os.listdir(tree)) if os.path.isdir(tree) else ():
        path = os.path.join(tree, name)
        # A copy under another name is another instance: it has secrets of its own.
        if not os.path.isfile(path) or name in _NOT_STATE or (name == manifest.SECRETS and request.clone):
            continue
        with open(path, encoding="utf-8") as stream:
            runs.write_file(os.path.join(instance.directory, name), stream.read())
    branding = os.path.join(tree, stage.BRANDING)
    if os.path.isdir(branding):
        os.makedirs(instance.branding, mode=0o755, exist_ok=True)
        trees.give(branding, instance.branding)
    port = stage.port_of(tree)
    free = port and port not in ports.reserved(instance.state_root, instance.name)
    if free and not request.clone and ports.read_state(instance.directory).port is None:
        ports.write_state(instance.directory, ports.State(port=port))
    held = _read(target) or {}
    return str(held.get("database_password") or randomness.token_hex(20))


def _switch_database(request: Request, password: str) -> None:
    """The database laid out beside takes the place of the former one, in one transaction."""
    from psycopg import sql

    name, beside, former = request.instance.login.db, request.beside, request.replaced
    with _server(request.instance.login) as conn:
        if databases.observe(conn, beside).database is not None:
            # Left by a run that was killed between its switch and the end of its cleaning up.
            _drop_former(conn, request)
            if databases.observe(conn, name).database is not None:
                conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
            conn.execute(
                "SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity"
                " WHERE datname = ANY(%s) AND pid <> pg_catalog.pg_backend_pid()",
                ([name, beside],),
            ).fetchall()
            with conn.transaction():
                if databases.observe(conn, name).database is not None:
                    conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(former)))
                conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(beside), sql.Identifier(name)))
        seen = databases.observe(conn, name)
        limit = seen.role["connection_limit"] if seen.role else CONNECTIONS
        databases.apply(conn, databases.Desired(name, password, limit), seen)
        if databases.observe(conn, beside).role is not None:
            with database.connect(replace(request.instance.login, db=name), "meet.coop restore") as inside:
                inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(beside), sql.Identifier(name)))
                inside.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(beside)))
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(beside)))


def _drop_former(conn: psycopg.Connection[Any], request: Request) -> None:
    """The database that was replaced; never its role, which owns the one in its place."""
    from psycopg import sql

    if databases.observe(conn, request.replaced).database is not None:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(request.replaced)))
