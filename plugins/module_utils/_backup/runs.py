# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one run of the backups of a container host, whoever starts it: a module's task or the host's own timer.

Every instance has snapshots of its own, told by the tags ``kind=instance`` and ``instance=NAME``, so that one can be restored, kept for
longer or erased without the others. What belongs to the host and not to an instance (certificates, membership records) has ``kind=host``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._backup import restic, stage
from ansible_collections.meet.coop.plugins.module_utils._backup.restic import Keep, Repository, Snapshot
from ansible_collections.meet.coop.plugins.module_utils._backup.stage import Instance
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

INSTANCE, HOST = "kind=instance", "kind=host"
WORK = "/var/lib/meet-coop/backup"
HOST_NAME = "host"
"""How the host's own snapshots are called among those of the instances; no instance's."""
KNOWN = "repositories.json"
STATUS = "status.json"


def tags_of(name: str) -> list[str]:
    """The tags of an instance's snapshots."""
    return [INSTANCE, f"instance={name}"]


@dataclass(frozen=True)
class Job:
    """What is to be backed up, and where to."""

    repository: Repository
    instances: Sequence[Instance] = ()
    host: str = ""
    """Name of this host in its snapshots."""
    host_paths: Sequence[str] = ()
    """Absolute paths that belong to the host; those that do not exist are left out. Empty: no snapshot of the host."""
    keep: Mapping[str, Keep] = field(default_factory=dict)
    """Retention by instance; the default for all others."""
    keep_default: Keep = Keep()
    copies: Sequence[Repository] = ()
    prune: bool = False
    check: str | None = None
    """How much of the repository is read back after the run, such as ``5%``; None: nothing."""
    younger: int = 0
    """What has a snapshot younger than so many seconds is left alone; 0: everything gets a new one."""
    docker_host: str = "unix:///var/run/docker.sock"
    work: str = WORK
    jobs: int = 2
    lock_wait: float = restic.LOCK_WAIT

    @property
    def stages(self) -> str:
        return os.path.join(self.work, "stage")

    def keep_of(self, name: str) -> Keep:
        return self.keep.get(name, self.keep_default)


@dataclass
class Outcome:
    """What became of one instance, or of the host."""

    name: str
    action: str = "backup"
    """backup, skip (young enough) or fail."""
    snapshot: str | None = None
    time: str | None = None
    """When its newest snapshot was made (UTC)."""
    size: int = 0
    added: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass
class Report:
    """What a run did, or in a prediction would do."""

    outcomes: list[Outcome] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    upkeep: list[str] = field(default_factory=list)
    """What was done to the repository afterwards, in words."""
    removed: list[str] = field(default_factory=list)
    """Ids of snapshots that the retention took away."""
    errors: list[str] = field(default_factory=list)
    """What failed apart from the items: thinning out, copying."""

    @property
    def failed(self) -> list[str]:
        return [outcome.error for outcome in self.outcomes if outcome.error] + self.errors

    @property
    def changed(self) -> bool:
        return bool(self.actions)


def job_of(options: Mapping[str, Any], host: str) -> Job:
    """A job from the options of module greenlight_backup, or from the configuration of the host's timer. Raises CoopError."""
    wanted = options.get("instances")
    if wanted is None:
        wanted = [{"name": name} for name in stage.discover(options["state_root"])]
    names = [one["name"] for one in wanted]
    for name in names:
        check_name(name)
        if names.count(name) > 1:
            raise CoopError(f"instances names {name} twice")
        if name == HOST_NAME:
            raise CoopError(f"an instance cannot be called {HOST_NAME} here: that is the name of the host's own snapshots")
    given: Mapping[str, Any] = options.get("keep_instances") or {one["name"]: one["keep"] for one in wanted if one.get("keep")}
    return Job(
        repository=restic.repository_of(options),
        instances=[
            Instance(
                name=one["name"],
                login=database.login(one.get("database") or stage.database_name(one["name"]), options),
                state_root=options["state_root"],
                branding_root=options["branding_root"],
            )
            for one in wanted
        ],
        host=host,
        host_paths=options.get("host_paths") or [],
        keep={name: restic.keep(values, f"keep of {name}") for name, values in given.items()},
        keep_default=restic.keep(options.get("keep"), "keep"),
        copies=[restic.repository_of(one) for one in options.get("copies") or []],
        prune=bool(options.get("prune")),
        younger=int(options.get("unless_younger") or 0),
        docker_host=options["docker_host"],
        work=options["work"],
        jobs=int(options.get("jobs") or 1),
        lock_wait=float(options.get("lock_wait", restic.LOCK_WAIT)),
    )


def run(job: Job, write: bool = True, metrics: str | None = None) -> Report:
    """Back everything up; a part that fails holds up none of the others. With ``write`` false say what would be done.

    ``metrics`` is a file for Prometheus. Raises CoopError where nothing can be done at all: the repository cannot be opened, another run
    does not end.
    """
    if not write:
        return _run(job, write)
    with ports.locked(job.work, "the backups of this host", job.lock_wait):
        stage.clean(job.stages)
        try:
            report = _run(job, write)
        except CoopError as error:
            names = [instance.name for instance in job.instances] + ([HOST_NAME] if job.host_paths else [])
            note(job, Report(outcomes=[Outcome(name, "fail", error=str(error)) for name in names]), metrics)
            raise
        note(job, report, metrics)
        return report


def _run(job: Job, write: bool) -> Report:
    report = Report()
    found = _open(job, job.repository, report, write)
    now = datetime.now(timezone.utc)
    engine = _engine(job.docker_host)
    due: list[Callable[[], Outcome]] = []
    for instance in job.instances:
        mine = [one for one in found if set(tags_of(instance.name)) <= set(one.tags)]
        outcome = _planned(job, instance.name, mine, now)
        report.outcomes.append(outcome)
        if outcome.action == "backup":
            report.actions.append(f"back up instance {instance.name}")
            due.append(partial(_instance, job, engine, instance, outcome))
    if job.host_paths:
        outcome = _planned(job, HOST_NAME, [one for one in found if HOST in one.tags and one.host == job.host], now)
        report.outcomes.append(outcome)
        if outcome.action == "backup":
            report.actions.append("back up the host's own files")
            due.append(partial(_host, job, outcome))
    if not write:
        return report
    with ThreadPoolExecutor(max_workers=max(1, job.jobs)) as pool:
        list(pool.map(lambda work: work(), due))
    if due:
        _thin(job, job.repository, report)
        _check(job, report)
        for target in job.copies:
            _copy(job, target, report)
    return report


def _engine(address: str) -> Engine | None:
    """Docker, where there is one: a database can be backed up on a host without it."""
    engine = Engine(address)
    return None if engine.socket and not os.path.exists(engine.socket) else engine


def _planned(job: Job, name: str, found: Sequence[Snapshot], now: datetime) -> Outcome:
    young = restic.since(found, now, timedelta(seconds=job.younger)) if job.younger else None
    if young is None:
        return Outcome(name)
    return Outcome(name, "skip", young.id, restic.stamp(young.time))


def _instance(job: Job, engine: Engine | None, instance: Instance, outcome: Outcome) -> Outcome:
    def work() -> dict[str, Any]:
        # Engine keeps one connection, and this runs beside others.
        own = Engine(engine.address) if engine else None
        try:
            with stage.staged(own, instance, job.stages) as (directory, _manifest):
                return restic.backup(job.repository, directory, tags_of(instance.name), job.host)
        finally:
            if own:
                own.close()

    return _timed(outcome, work)


def _host(job: Job, outcome: Outcome) -> Outcome:
    def work() -> dict[str, Any]:
        there = [path for path in job.host_paths if os.path.exists(path)]
        if not there:
            raise CoopError(f"of the host's own files there is none: {', '.join(job.host_paths)}")
        return restic.backup(job.repository, "/", [HOST], job.host, there)

    return _timed(outcome, work)


def _timed(outcome: Outcome, work: Callable[[], dict[str, Any]]) -> Outcome:
    begun = time.monotonic()
    try:
        done = work()
    except CoopError as error:
        outcome.action, outcome.error = "fail", str(error)
    else:
        outcome.snapshot, outcome.size, outcome.added = done["snapshot"], done["size"], done["added"]
        outcome.time = restic.stamp(datetime.now(timezone.utc))
    outcome.seconds = round(time.monotonic() - begun, 3)
    return outcome


# --- Repositories ---------------------------------------------------------------------------------------------------


def _open(job: Job, repository: Repository, report: Report, write: bool, source: Repository | None = None) -> list[Snapshot]:
    """The snapshots of a repository, which is made when it is new. One that was there before is never made anew."""
    try:
        found = restic.snapshots(repository)
    except restic.ResticError as error:
        if error.kind != restic.ABSENT:
            raise
        if repository.shown in _known(job.work):
            raise restic.ResticError(
                f"{error} It was there before, so no new one is made in its place."
                f" If it is lost for good, remove its line from {os.path.join(job.work, KNOWN)}",
                error.kind,
            ) from error
        report.actions.append(f"make repository {repository.shown}")
        found = []
        if write:
            restic.init(repository, source)
    if write:
        _remember(job.work, repository.shown)
    return found


def _known(work: str) -> list[str]:
    try:
        with open(os.path.join(work, KNOWN), encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CoopError(f"{os.path.join(work, KNOWN)} cannot be read ({error}); remove it when all repositories are there") from error
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _remember(work: str, url: str) -> None:
    known = _known(work)
    if url not in known:
        write_file(os.path.join(work, KNOWN), json.dumps(sorted([*known, url]), indent=1) + "\n")


def _thin(job: Job, repository: Repository, report: Report) -> None:
    """Take away what the retention does not keep: one call of restic for all that are kept alike."""
    groups: dict[Keep, list[str]] = {}
    for outcome in report.outcomes:
        # Of one that could not be backed up nothing is taken away: its old snapshots may be all there is.
        if outcome.action == "backup" and outcome.name != HOST_NAME:
            groups.setdefault(job.keep_of(outcome.name), []).append(f"instance={outcome.name}")
        elif outcome.action == "backup":
            groups.setdefault(job.keep_default, []).append(HOST)
    try:
        for keep, tags in groups.items():
            report.removed += restic.thin(repository, tags, keep)
        if job.prune:
            restic.prune(repository)
            report.upkeep.append(f"pruned repository {repository.shown}")
    except CoopError as error:
        report.errors.append(str(error))


def _check(job: Job, report: Report) -> None:
    if job.check is None:
        return
    try:
        restic.verify(job.repository, job.check)
        report.upkeep.append(f"checked repository {job.repository.shown}")
    except CoopError as error:
        report.errors.append(str(error))


def _copy(job: Job, target: Repository, report: Report) -> None:
    try:
        _open(job, target, report, True, job.repository)
        restic.copy(job.repository, target)
        report.upkeep.append(f"copied to repository {target.shown}")
        _thin(job, target, report)
    except CoopError as error:
        report.errors.append(f"copy: {error}")


# --- What others read about it --------------------------------------------------------------------------------------


def write_file(path: str, text: str, mode: int = 0o600) -> None:
    """Replace a file in one step. Raises CoopError."""
    temporary = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error


def note(job: Job, report: Report, metrics: str | None) -> None:
    """Write down when what was backed up last, and for Prometheus' node exporter too where ``metrics`` names a file. Raises CoopError.

    Instances that were not part of this run keep what is known of them.
    """
    path = os.path.join(job.work, STATUS)
    status = read_status(job.work)
    for outcome in report.outcomes:
        before = status.get(outcome.name, {})
        entry = {**asdict(outcome), "ok": outcome.error is None, "tried": restic.stamp(datetime.now(timezone.utc))}
        if outcome.error is not None:
            entry.update({key: before.get(key) for key in ("snapshot", "time", "size", "added")})
        if outcome.action == "skip":
            entry.update({key: before.get(key, entry[key]) for key in ("size", "added", "seconds")})
        status[outcome.name] = entry
    write_file(path, json.dumps(status, indent=1, sort_keys=True) + "\n")
    if metrics:
        write_file(metrics, exposition(status, not report.errors), 0o644)


def read_status(work: str) -> dict[str, dict[str, Any]]:
    """What is known of the last backups; nothing where the file is missing or damaged, it is made anew by each run."""
    try:
        with open(os.path.join(work, STATUS), encoding="utf-8") as stream:
            found = json.load(stream)
    except (OSError, ValueError):
        return {}
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)} if isinstance(found, dict) else {}


def exposition(status: Mapping[str, Mapping[str, Any]], rest_ok: bool) -> str:
    """The status in the text format of Prometheus. The label is ``service``, since ``instance`` is the scraped host there."""
    lines: list[str] = []

    def family(name: str, help_: str, rows: Mapping[str, float]) -> None:
        lines.extend([f"# HELP {name} {help_}", f"# TYPE {name} gauge"])
        lines.extend(f'{name}{{service="{service}"}} {value:g}' if value < 1e6 else f'{name}{{service="{service}"}} {value:.0f}'
                     for service, value in rows.items())  # fmt: skip

    times = {name: entry["time"] for name, entry in sorted(status.items()) if entry.get("time")}
    family(
        "meet_coop_backup_last_success_timestamp_seconds",
        "When the newest snapshot of a service was made.",
        {name: restic.moment(time_).timestamp() for name, time_ in times.items()},
    )
    family("meet_coop_backup_ok", "Whether the last backup of a service succeeded.", _numbers(status, "ok"))
    family("meet_coop_backup_size_bytes", "Size of what the newest snapshot holds.", _numbers(status, "size"))
    family("meet_coop_backup_duration_seconds", "How long the last backup took.", _numbers(status, "seconds"))
    lines += [
        "# HELP meet_coop_backup_upkeep_ok Whether thinning out, pruning and copying elsewhere succeeded.",
        "# TYPE meet_coop_backup_upkeep_ok gauge",
        f"meet_coop_backup_upkeep_ok {int(rest_ok)}",
    ]
    return "\n".join(lines) + "\n"


def _numbers(status: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, float]:
    return {name: float(entry[key]) for name, entry in sorted(status.items()) if isinstance(entry.get(key), (bool, int, float))}
