# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the restore drill: prove, instance by instance, that the newest backup gives a working Greenlight back.

The checks run cheapest first, and a stage that finds something ends the drill: what is known to be broken is not started.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from ansible_collections.meet.coop.plugins.module_utils import _secrets
from ansible_collections.meet.coop.plugins.module_utils._backup import manifest, restic, rota, runs, scratch
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, variables

SECRETS = ("secret_key_base", "database_password", "redis_password")
"""Without these an instance cannot be brought back."""
LOCK_WAIT = 5.0
"""Seconds to wait for another drill on the host; one that does not end soon is at its work for minutes."""


@dataclass(frozen=True)
class Snapshot:
    """One backup of one instance in a repository."""

    id: str
    instance: str
    made_at: datetime
    """In UTC."""


class Source(Protocol):
    """Where backups come from."""

    def snapshots(self) -> Sequence[Snapshot]:
        """All backups of instances. Raises CoopError."""

    def restore(self, snapshot: Snapshot, directory: str) -> None:
        """Restore one into a directory that does not exist yet. Raises CoopError."""


class Repository:
    """The backups of instances in a restic repository."""

    def __init__(self, repository: restic.Repository) -> None:
        self.repository = repository

    def snapshots(self) -> list[Snapshot]:
        marked = ((one, one.mark("instance")) for one in restic.snapshots(self.repository, runs.INSTANCE))
        return [Snapshot(one.id, name, one.time) for one, name in marked if name]

    def restore(self, snapshot: Snapshot, directory: str) -> None:
        try:
            os.makedirs(directory, mode=0o700)
        except OSError as error:
            raise CoopError(f"{directory} cannot be made: {error.strerror}") from error
        try:
            restic.restore(self.repository, snapshot.id, directory)
        except restic.ResticError as error:
            if error.kind != restic.FULL:
                raise
            raise CoopError(
                f"{directory}: the disk is full; a drill needs the space of the instance's uploads and dump: free it, or name a directory"
                " on another disk"
            ) from error


@dataclass(frozen=True)
class Options:
    """When a drill is due and what fails one."""

    receipts: str
    metrics: str | None = None
    every: timedelta = timedelta(days=28)
    longest: timedelta = timedelta(days=35)
    """After so long without a proved restore the run is red."""
    number: int = 0
    backup_age: timedelta | None = timedelta(hours=36)
    """Older than this the newest backup may not be."""


@dataclass
class Outcome:
    """What a run did, or with check mode would do."""

    chosen: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    """What a killed run had left."""
    drills: list[dict[str, Any]] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What went wrong apart from the drills: the repository where none was due, receipts or metrics that could not be written."""
    last: dict[str, str | None] = field(default_factory=dict)
    """When each instance was drilled last before this run, in UTC."""
    proved: dict[str, str | None] = field(default_factory=dict)
    """When each instance's restore was last proved, this run included, in UTC."""

    @property
    def failures(self) -> list[str]:
        """A line for everything that makes a run red."""
        failed = [one for one in self.drills if one["result"] != rota.GOOD]
        return [f"{one['instance']}: {'; '.join(one['findings'])}" for one in failed] + self.overdue + self.problems


class Found(CoopError):
    """A stage of a drill found something."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


def run(source: Source, place: scratch.Place, names: Iterable[str], only: Sequence[str], options: Options, write: bool = True) -> Outcome:
    """Clean up behind a killed run, drill whose turn it is, keep receipts and metrics.

    ``names`` are the instances of this host; with ``only`` those of them are drilled at once, due or not.
    Raises CoopError where no drill is possible at all; what a drill finds is in the outcome.
    """
    instances = list(dict.fromkeys(names))
    unknown = [name for name in only if name not in instances]
    if unknown:
        raise CoopError(f"{', '.join(unknown)}: not among the instances of this host ({', '.join(instances) or 'none'})")
    if not write:
        return _run(source, place, instances, only, options, write)
    with ports.locked(place.directory, "a restore drill on this host", LOCK_WAIT):
        return _run(source, place, instances, only, options, write)


def _run(source: Source, place: scratch.Place, names: list[str], only: Sequence[str], options: Options, write: bool) -> Outcome:
    outcome = Outcome()
    records = {name: rota.read(options.receipts, name) for name in names}
    outcome.last = {name: rota.text(record.last) if record.last else None for name, record in records.items()}
    outcome.chosen = list(only) or rota.choose(records, _now(), options.every, options.number)
    if not names:
        return outcome
    outcome.removed = scratch.leftovers(place)
    snapshots: Mapping[str, list[Snapshot]] = {}
    trouble: CoopError | None = None
    try:
        snapshots = _by_instance(source.snapshots())
    except CoopError as error:
        trouble = error
        if not (write and outcome.chosen):
            outcome.problems.append(str(error))  # else every drill says so
    if write and outcome.removed:
        problems = scratch.tear_down(place)
        if problems:
            raise CoopError(f"what an earlier drill left cannot be removed, so none was begun: {'; '.join(problems)}")
    if write:
        for name in outcome.chosen:
            receipt = _drill(source, place, name, snapshots.get(name, []), options, trouble)
            outcome.drills.append(receipt)
            with _noted(outcome.problems):
                rota.write(options.receipts, name, receipt)
        records = {name: rota.read(options.receipts, name) for name in names}
        if options.metrics:
            with _noted(outcome.problems):
                rota.write_metrics(options.metrics, records)
    outcome.proved = {name: rota.text(record.proved) if record.proved else None for name, record in records.items()}
    judged = records if write else {name: record for name, record in records.items() if name not in outcome.chosen}
    outcome.overdue = rota.overdue(judged, {name: found[0].made_at for name, found in snapshots.items()}, _now(), options.longest)
    return outcome


def _now() -> datetime:
    return datetime.now(timezone.utc)


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """What fails inside is noted, and takes nothing of what was found with it."""
    try:
        yield
    except CoopError as error:
        problems.append(str(error))


def _by_instance(snapshots: Iterable[Snapshot]) -> dict[str, list[Snapshot]]:
    """Oldest first."""
    found: dict[str, list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda one: one.made_at):
        found.setdefault(snapshot.instance, []).append(snapshot)
    return found


def _drill(
    source: Source, place: scratch.Place, name: str, snapshots: Sequence[Snapshot], options: Options, trouble: CoopError | None
) -> dict[str, Any]:
    """One drill and its receipt. Nothing of it is left, whatever it found."""
    began, clock = _now(), time.monotonic()
    receipt: dict[str, Any] = {"format": 1, "instance": name, "began_at": rota.text(began), "result": rota.FAILED, "findings": []}
    steps: dict[str, float] = {}
    try:
        if trouble is not None:
            raise trouble
        if not snapshots:
            raise Found(["there is no backup of it in the repository"])
        _prove(source, place, snapshots[-1], options, receipt, steps)
    except Found as found:
        receipt["findings"] = list(found.findings)
    except CoopError as error:
        receipt["findings"] = [" ".join(str(error).split())]
    finally:
        with _timed(steps, "tear_down"):
            left = scratch.tear_down(place)
    receipt["findings"] += left
    receipt["result"] = rota.FAILED if receipt["findings"] else rota.GOOD
    receipt["seconds"] = round(time.monotonic() - clock, 1)
    receipt["steps"] = {step: round(seconds, 1) for step, seconds in steps.items()}
    return receipt


@contextmanager
def _timed(steps: dict[str, float], step: str) -> Iterator[None]:
    begin = time.monotonic()
    try:
        yield
    finally:
        steps[step] = time.monotonic() - begin


def _stop_at(findings: list[str]) -> None:
    if findings:
        raise Found(findings)


def _prove(
    source: Source, place: scratch.Place, snapshot: Snapshot, options: Options, receipt: dict[str, Any], steps: dict[str, float]
) -> None:
    """All stages in order, each step's seconds noted. Raises Found, or another CoopError, at the first that does not hold."""
    receipt["snapshot"] = snapshot.id
    receipt["snapshot_made_at"] = rota.text(snapshot.made_at)
    receipt["snapshot_age_seconds"] = max(0, round((_now() - snapshot.made_at).total_seconds()))
    _stop_at(manifest.age({"made_at": rota.text(snapshot.made_at)}, _now(), options.backup_age))
    with _timed(steps, "restore"):
        source.restore(snapshot, place.restored)
    base = place.restored
    found = manifest.read(base)
    receipt["image"], receipt["greenlight_version"] = found["image"], found["greenlight_version"]
    _stop_at(manifest.compare(found, manifest.Observed(snapshot.instance)) + manifest.age(found, _now(), options.backup_age))
    with _timed(steps, "files"):
        files = manifest.observe_files({"": base})
    receipt["files"], receipt["bytes"] = len(found["files"]), sum(entry["size"] for entry in found["files"].values())
    _stop_at([f"{part} is not in the backup" for part in (manifest.DUMP, manifest.SECRETS) if part not in found["files"]])
    _stop_at(manifest.compare(found, manifest.Observed(files=files)))
    kept = _secrets.observe(f"{base}/{manifest.SECRETS}").values
    _stop_at([f"{manifest.SECRETS} holds no {name}" for name in SECRETS if not kept.get(name)])
    engine = Engine(place.docker)
    image = scratch.running_image(engine, found)
    _stop_at(_too_new(found, variables(engine.image(image)).get("VERSION_TAG")))
    with _timed(steps, "database"):
        receipt["tables"] = _database(place, base, found)
        receipt["rows"] = sum(receipt["tables"].values())
    with _timed(steps, "instance"):
        wanted = scratch.spec(place, image, kept["secret_key_base"])
        storage = os.path.join(base, manifest.STORAGE)
        there = os.path.isdir(storage) and not os.path.islink(storage)
        running = scratch.start(engine, place, wanted, storage if there else None)
        receipt["image_id"], receipt["greenlight_version"] = running.image_id, running.version
    with _timed(steps, "sign_in"):
        scratch.sign_in(place, running.port)


def _database(place: scratch.Place, base: str, found: Mapping[str, Any]) -> dict[str, int]:
    """Load the dump and compare; the rows by table."""
    with database.connect(place.server, "meet.coop restore drill") as conn:
        major = conn.info.server_version // 10_000
    if major < found["postgresql_major"]:
        raise Found([f"the dump is of PostgreSQL {found['postgresql_major']}, and this host has {major}, which may not read it"])
    scratch.make_database(place)
    scratch.load(place, f"{base}/{manifest.DUMP}")
    with database.connect(place.admin, "meet.coop restore drill") as conn:
        observed = database.snapshot(conn, manifest.observe_database)
    _stop_at(manifest.compare(found, manifest.Observed(database=observed)))
    return dict(observed.tables)


def _too_new(found: Mapping[str, Any], version: str | None) -> list[str]:
    """A schema that the image cannot have made: the backup's image and its database do not belong together."""
    versions = {found["schema_version"], *found["data_migrations"]}
    released = [release for migration, release in database.RELEASES if migration in versions]
    said = re.fullmatch(r"v?([0-9]+(?:\.[0-9]+)*)(?:[-+].*)?", version or "")
    if not said or not released:
        return []
    image = _numbers(said.group(1))
    if _numbers(released[0])[: len(image)] <= image:
        return []
    return [f"the database has migrations of Greenlight {released[0]}, and the image of the backup is {version}, which is older"]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
