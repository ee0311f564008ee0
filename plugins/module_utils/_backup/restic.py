# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a restic repository, through Debian's restic (0.14 on Debian 12, 0.18 on Debian 13).

Address, password and credentials reach restic through its environment or through files, never through its arguments, which every
user of the host can read. What restic has to say against something becomes one line that begins with the repository's address.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ANSWER_TIMEOUT = 60
"""Seconds in which a repository has to answer the first question. restic itself goes on asking for a quarter of an hour."""
LOCK_WAIT = 120
"""Seconds to wait for another run that has the repository locked."""
UNFINISHED = 3
"""restic's exit status for a snapshot without the files it could not read."""
_MARK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,99}")
_FRACTION = re.compile(r"\.(\d{1,6})\d*")

KEY, LOCKED, FULL, AWAY, DAMAGED, ABSENT, MISSING, OTHER = "key", "locked", "full", "away", "damaged", "absent", "missing", "other"
_KINDS: tuple[tuple[str, str], ...] = (
    (KEY, r"wrong password or no key found|empty password|Resolving password failed|RESTIC_PASSWORD"),
    (LOCKED, r"already locked"),
    (FULL, r"no space left on device|disk quota exceeded"),
    (MISSING, r"no matching ID|no snapshot found|snapshot not found"),
    (
        AWAY,
        r"connection refused|no route to host|i/o timeout|no such host|network is unreachable|connection timed out|connection reset"
        r"|could not resolve|unable to start the sftp session|permission denied \(|host key verification failed|TLS handshake"
        r"|unexpected HTTP response|certificate|context deadline exceeded|AccessDenied|InvalidAccessKey|SignatureDoesNotMatch",
    ),
    (
        DAMAGED,
        r"ciphertext verification failed|hash does not match|ID does not match|unexpected pack id|repository contains errors"
        r"|pack \S+: does not exist|invalid data returned|not found in index|unable to load index"
        r"|Load\(<(index|data|snapshot|key)|repository is damaged|truncated"
        r"|unexpected EOF|load.*failed|blob.*not found|ignoring error for",
    ),
    (ABSENT, r"unable to open config file|repository does not exist|Is there a repository"),
)


class ResticError(CoopError):
    """What restic has against it; ``kind`` is one of the constants above."""

    def __init__(self, message: str, kind: str = OTHER) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Repository:
    """A repository and what opens it. ``password_file`` or ``password``; ``environment`` holds a target's credentials."""

    url: str
    password_file: str | None = None
    password: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ssh_key: str | None = None
    """File with the key for an sftp target; None: as root's own ssh configuration says."""
    known_hosts: str | None = None
    """File with the keys of that host; None: as root's own ssh configuration says."""
    cache: str = "/var/cache/meet-coop/restic"
    program: str = "restic"
    lock_wait: float = LOCK_WAIT
    answer_timeout: float = ANSWER_TIMEOUT

    @property
    def shown(self) -> str:
        """The address without a password that stands in it."""
        return shown(self.url)

    @property
    def local(self) -> str | None:
        """The repository's directory, where it is one of this host."""
        path = self.url.removeprefix("local:")
        return path if path.startswith("/") else None


@dataclass(frozen=True)
class Snapshot:
    """One snapshot of a repository. ``time`` is in UTC."""

    id: str
    time: datetime
    tags: tuple[str, ...] = ()
    host: str = ""
    paths: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        return self.id[:8]

    def mark(self, name: str) -> str | None:
        """The value of a tag NAME=VALUE."""
        return next((tag.partition("=")[2] for tag in self.tags if tag.startswith(f"{name}=")), None)


@dataclass(frozen=True)
class Keep:
    """Which snapshots of one thing stay: the newest of each of the last so many hours, days and so on (restic forget)."""

    last: int = 3
    hourly: int = 0
    daily: int = 14
    weekly: int = 8
    monthly: int = 12
    yearly: int = 0

    @property
    def options(self) -> list[str]:
        return [f"--keep-{name}={value}" for name, value in vars(self).items() if value]


KEEP_FIELDS = tuple(vars(Keep()))


def keep(values: Mapping[str, Any] | None, what: str) -> Keep:
    """A retention from `{daily: 14, weekly: 8}`; what is not named is not kept, nothing named means the default. Raises CoopError."""
    if not values:
        return Keep()
    unknown = sorted(set(values) - set(KEEP_FIELDS))
    if unknown:
        raise CoopError(f"{what} knows {', '.join(KEEP_FIELDS)}, not {', '.join(unknown)}")
    numbers = {}
    for name in KEEP_FIELDS:
        value = values.get(name) or 0
        if isinstance(value, bool) or not str(value).isdigit():
            raise CoopError(f"{what}.{name} is a whole number of snapshots, not {value!r}")
        numbers[name] = int(value)
    if not any(numbers.values()):
        raise CoopError(f"{what} keeps nothing at all; name at least one of {', '.join(KEEP_FIELDS)}, such as daily: 14")
    return Keep(**numbers)


def shown(url: str) -> str:
    """An address without user and password in it."""
    return re.sub(r"://[^/@]+@", "://", url)


# --- Running restic -------------------------------------------------------------------------------------------------


def environment(repository: Repository, source: Repository | None = None) -> dict[str, str]:
    """What restic is told by its environment. ``source`` is the repository to copy from."""
    told = {
        "PATH": os.environ.get("PATH") or "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME") or "/root",
        "LC_ALL": "C.UTF-8",
        "RESTIC_CACHE_DIR": repository.cache,
        "RESTIC_PROGRESS_FPS": "0",
        **(source.environment if source else {}),
        **repository.environment,
    }
    for prefix, one in (("RESTIC_", repository), ("RESTIC_FROM_", source)):
        if one is not None:
            told[f"{prefix}REPOSITORY"] = one.url
            if one.password is not None:
                told[f"{prefix}PASSWORD"] = one.password
            elif one.password_file is not None:
                told[f"{prefix}PASSWORD_FILE"] = one.password_file
    return told


def sftp_options(repository: Repository) -> list[str]:
    """How restic calls ssh: with the key and the known host it is given, and without ever asking anybody."""
    match = re.fullmatch(r"sftp:(?://(?P<login>[^/:]+)(?::(?P<port>\d+))?/.*|(?P<short>[^:/]+):.*)", repository.url, re.DOTALL)
    if match is None or not (repository.ssh_key or repository.known_hosts):
        return []
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=30"]
    if repository.ssh_key:
        command += ["-i", repository.ssh_key, "-o", "IdentitiesOnly=yes"]
    if repository.known_hosts:
        command += ["-o", f"UserKnownHostsFile={repository.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    if match["port"]:
        command += ["-p", match["port"]]
    return ["-o", f"sftp.command={shlex.join([*command, match['login'] or match['short'], '-s', 'sftp'])}"]


def run(
    repository: Repository,
    arguments: Sequence[str],
    *,
    cwd: str | None = None,
    timeout: float | None = None,
    source: Repository | None = None,
    accept: Iterable[int] = (0,),
) -> str:
    """What restic prints. A stale lock is removed, one of a living run waited for. Raises ResticError.

    ``timeout`` (seconds) is how long the repository may leave this unanswered; without one restic may take as long as it wants.
    """
    check(repository)
    end = time.monotonic() + repository.lock_wait
    unlocked = False
    while True:
        try:
            return _once(repository, arguments, cwd, timeout, source, tuple(accept))
        except ResticError as error:
            if error.kind != LOCKED:
                raise
            if not unlocked:
                # Only locks of dead processes of this host and those not renewed for half an hour: what a killed run leaves.
                _once(repository, ["unlock"], None, timeout, None, (0,))
                if source is not None:
                    _once(source, ["unlock"], None, timeout, None, (0,))
                unlocked = True
                continue
            if time.monotonic() > end:
                raise
            time.sleep(min(2.0, max(0.1, end - time.monotonic())))
            unlocked = False


def check(repository: Repository) -> None:
    """Refuse what restic would ask about or misread. Raises ResticError."""
    if not repository.url.strip():
        raise ResticError("repository is empty; write a restic address such as /srv/restic or sftp:backup@host.example:/srv/restic")
    if repository.password is None and repository.password_file is None:
        raise ResticError(f"repository {repository.shown} has no key: give password_file or password", KEY)
    if repository.password is None and repository.password_file is not None:
        try:
            with open(repository.password_file, encoding="utf-8") as stream:
                if not stream.read().strip():
                    raise ResticError(f"password_file {repository.password_file} is empty; put the key of {repository.shown} back", KEY)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise ResticError(f"password_file {repository.password_file} cannot be read: {why}; put the key back", KEY) from None


def _once(
    repository: Repository,
    arguments: Sequence[str],
    cwd: str | None,
    timeout: float | None,
    source: Repository | None,
    accept: tuple[int, ...],
) -> str:
    # One command of ssh serves both ends of a copy; mostly only one of them is reached by it.
    options = sftp_options(repository) or (sftp_options(source) if source else [])
    argv = [repository.program, *options, *arguments]
    try:
        os.makedirs(repository.cache, mode=0o700, exist_ok=True)
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            argv, env=environment(repository, source), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, umask=0o077,
        )  # fmt: skip
    except FileNotFoundError as error:
        if error.filename == repository.program or cwd is None or os.path.isdir(cwd):
            raise ResticError("restic is not on this host; role backup installs it (Debian package restic)") from None
        raise ResticError(f"{cwd} is gone while it was being backed up; run again") from None
    except OSError as error:
        raise ResticError(f"{repository.cache} cannot be made: {error.strerror}") from error
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        out, err = process.communicate()
        said = last_line(err.decode("utf-8", "replace"))
        text = f"repository {repository.shown} has not answered for {timeout:.0f} s{f' ({said})' if said else ''}"
        raise ResticError(f"{text}; see whether its host is up", AWAY) from None
    except BaseException:
        _end(process)
        raise
    if process.returncode in accept:
        return out.decode("utf-8", "replace")
    raise explained(repository, process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End restic and the ssh it may have started; politely, so that it takes its lock away."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def messages(text: str) -> list[str]:
    """The lines that restic wrote about an error: newer ones give them as JSON."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            nested = row.get("error")
            said = row.get("message") or (nested.get("message") if isinstance(nested, dict) else None)
            if row.get("message_type") in ("exit_error", "error") and isinstance(said, str):
                found += said.splitlines()
        elif line.strip():
            found.append(line.strip())
    return found


def last_line(text: str) -> str:
    lines = messages(text)
    return shown(" ".join(lines[-1].split())[:300]) if lines else ""


def explained(repository: Repository, code: int, out: str, err: str) -> ResticError:
    """restic's exit status and words as one line that says what to do."""
    lines = messages(err) or messages(out)
    text = "\n".join(lines)
    kind = next((kind for kind, pattern in _KINDS if re.search(pattern, text, re.IGNORECASE)), OTHER)
    kind = {10: ABSENT, 11: LOCKED, 12: KEY}.get(code, kind)
    fatal = [line for line in lines if line.startswith("Fatal:")] or [line for line in lines if "retrying after" not in line] or lines
    said = shown(" ".join(fatal[0].removeprefix("Fatal:").split())[:300]) if fatal else f"restic ended with {code}"
    where = f"repository {repository.shown}"
    if kind == KEY:
        return ResticError(f"{where}: the key is wrong; put back the one the repository was made with", kind)
    if kind == LOCKED:
        holder = re.search(r"locked (exclusively )?by (PID \d+ on \S+ by \S+)", text)
        since = re.search(r"created at (\S+ \S+)", text)
        who = f" by {holder[2]}" if holder else ""
        when = f" since {since[1]}" if since else ""
        return ResticError(
            f"{where} is locked{who}{when}: another run is at work on it; wait for it, or, if that process is gone, restic unlock", kind
        )
    if kind == FULL:
        return ResticError(f"{where}: the disk is full ({said}); free space there or keep fewer snapshots, then run again", kind)
    if kind == AWAY:
        reason = next((line for line in lines if re.search(_KINDS[4][1], line, re.IGNORECASE)), said)
        return ResticError(f"{where} cannot be reached ({shown(' '.join(reason.split())[:300])})", kind)
    if kind == DAMAGED:
        return ResticError(f"{where} is damaged ({said}); restic check --read-data tells what is lost, another copy has it", kind)
    if kind == ABSENT:
        return ResticError(f"{where} is not there; is its disk mounted, and is that its address?", kind)
    return ResticError(f"{where}: {said}", kind)


# --- What a repository can do ---------------------------------------------------------------------------------------


def init(repository: Repository, source: Repository | None = None) -> None:
    """Make a repository; with a ``source``, one that shares its pieces with copies of it. Raises ResticError."""
    run(repository, ["init", *(["--copy-chunker-params"] if source else [])], timeout=repository.answer_timeout, source=source)


def snapshots(repository: Repository, *tags: str) -> list[Snapshot]:
    """Snapshots that have all the tags, the oldest first. Raises ResticError; its kind is ABSENT where there is no repository."""
    wanted = ["--tag", ",".join(map(mark, tags))] if tags else []
    out = run(repository, ["snapshots", "--json", *wanted], timeout=repository.answer_timeout)
    try:
        rows = json.loads(out or "[]") or []
        return sorted((_snapshot(row) for row in rows), key=lambda one: (one.time, one.id))
    except (ValueError, KeyError, TypeError) as error:
        raise ResticError(f"repository {repository.shown}: restic's list of snapshots cannot be read ({error})") from error


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    return Snapshot(row["id"], moment(row["time"]), tuple(row.get("tags") or ()), row.get("hostname", ""), tuple(row.get("paths") or ()))


def moment(text: str) -> datetime:
    """A time as restic writes it (RFC 3339, nanoseconds), in UTC. Raises ValueError."""
    return datetime.fromisoformat(_FRACTION.sub(lambda found: "." + found[1].ljust(6, "0"), text).replace("Z", "+00:00")).astimezone(
        timezone.utc
    )


def mark(tag: str) -> str:
    """A tag that restic takes as one. Raises CoopError."""
    if not _MARK.fullmatch(tag):
        raise CoopError(f"{tag!r} cannot be a tag of a snapshot: letters, digits and . _ = - only")
    return tag


def choose(found: Sequence[Snapshot], wanted: str, of: str, where: str) -> Snapshot:
    """One of the snapshots of ``of``: `latest`, the newest not later than a time (UTC), or one by the beginning of its id.

    Raises ResticError naming what there is.
    """
    if not found:
        raise ResticError(f"{where} has no snapshot of {of}", MISSING)
    ordered = sorted(found, key=lambda one: (one.time, one.id))
    span = f"there are {len(ordered)}, from {stamp(ordered[0].time)} to {stamp(ordered[-1].time)}"
    if wanted == "latest":
        return ordered[-1]
    if re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        matching = [one for one in ordered if one.id.startswith(wanted)]
        if len(matching) == 1:
            return matching[0]
        raise ResticError(f"{where} has {'several snapshots' if matching else 'no snapshot'} {wanted} of {of}; {span}", MISSING)
    try:
        until = _until(wanted)
    except ValueError:
        raise CoopError(
            f"snapshot '{wanted}' is neither latest, nor a time (UTC) such as 2026-04-02T03:15:00Z or 2026-04-02, nor 8 digits of an id"
        ) from None
    earlier = [one for one in ordered if one.time <= until]
    if not earlier:
        raise ResticError(f"{where} has no snapshot of {of} that is as old as {stamp(until)}; {span}", MISSING)
    return earlier[-1]


def _until(wanted: str) -> datetime:
    """A time that somebody wrote, UTC where it says nothing else; a date means its last moment. Raises ValueError."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", wanted):
        wanted += "T23:59:59.999999"
    found = datetime.fromisoformat(wanted.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def stamp(time_: datetime) -> str:
    return time_.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def backup(repository: Repository, directory: str, tags: Sequence[str], host: str, paths: Sequence[str] = (".",)) -> dict[str, Any]:
    """Store ``paths`` as seen from a directory (the directory itself, with what is in it at the snapshot's top).

    Returns ``snapshot`` (id), ``added`` (bytes new to the repository) and ``size`` (bytes looked at). Raises ResticError; a snapshot
    that lacks a file that could not be read is taken away again.
    """
    arguments = [
        "backup",
        "--json",
        "--quiet",
        "--host",
        host,
        "--tag",
        ",".join(map(mark, tags)),
        "--ignore-inode",
        "--ignore-ctime",
        "--",
    ]
    out = run(repository, [*arguments, *paths], cwd=directory, accept=(0, UNFINISHED))
    summary: dict[str, Any] = {}
    trouble = []
    for line in out.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("message_type") == "summary":
            summary = row
        elif row.get("message_type") == "error":
            trouble.append(str((row.get("error") or {}).get("message") or row.get("item") or "a file could not be read"))
    made = summary.get("snapshot_id")
    if not made:
        raise ResticError(f"repository {repository.shown}: restic made no snapshot and gave no reason; run again")
    if trouble:
        forget(repository, [made])
        raise ResticError(f"repository {repository.shown}: not everything could be read ({trouble[0][:200]}); run again")
    return {"snapshot": made, "added": int(summary.get("data_added") or 0), "size": int(summary.get("total_bytes_processed") or 0)}


def restore(repository: Repository, snapshot: str, target: str) -> None:
    """Bring a snapshot back into an empty directory. Raises ResticError."""
    run(repository, ["restore", snapshot, "--target", target])


def forget(repository: Repository, ids: Sequence[str]) -> None:
    """Remove snapshots; what only they had stays in the repository until it is pruned. Raises ResticError."""
    if ids:
        run(repository, ["forget", "--quiet", *ids])


def thin(repository: Repository, tags: Sequence[str], keep_: Keep, dry_run: bool = False) -> list[str]:
    """Remove the snapshots that a retention does not keep, apart for each set of tags; ``tags``: those that have one of them.

    Returns their ids. Raises ResticError.
    """
    if not tags:
        return []
    wanted = [word for tag in tags for word in ("--tag", mark(tag))]
    out = run(
        repository, ["forget", "--json", "--quiet", "--group-by", "tags", *wanted, *keep_.options, *(["--dry-run"] if dry_run else [])]
    )
    removed: list[str] = []
    for line in out.splitlines():
        if line.startswith("["):
            for group in json.loads(line):
                removed += [row["id"] for row in group.get("remove") or []]
    return removed


def prune(repository: Repository) -> None:
    """Free the space of removed snapshots. Locks the repository for everybody else. Raises ResticError."""
    run(repository, ["prune", "--quiet"])


def verify(repository: Repository, share: str | None = None) -> None:
    """Check the repository's structure, and read a share of it (`5%`, `1/7`, `100%`). Raises ResticError where it is damaged."""
    run(repository, ["check", "--quiet", *([f"--read-data-subset={share}"] if share else [])])


def copy(source: Repository, target: Repository) -> None:
    """Copy what the target does not have yet. Raises ResticError."""
    run(target, ["copy", "--quiet"], source=source)


def since(found: Iterable[Snapshot], now: datetime, span: timedelta) -> Snapshot | None:
    """The newest snapshot, where it is younger than a span."""
    newest = max(found, key=lambda one: one.time, default=None)
    return newest if newest is not None and now - newest.time < span else None


ARGUMENTS: dict[str, dict[str, Any]] = {
    "repository": {"type": "str"},
    "password_file": {"type": "path", "no_log": False},
    "password": {"type": "str", "no_log": True},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "ssh_key": {"type": "path", "no_log": False},
    "known_hosts": {"type": "path"},
    "cache": {"type": "path", "default": "/var/cache/meet-coop/restic"},
    "lock_wait": {"type": "int", "default": LOCK_WAIT},
}
"""Argument spec of a repository (doc fragment ``meet.coop.restic_repository``)."""


def repository_of(options: Mapping[str, Any]) -> Repository:
    """A repository from a module's options, or from the configuration of the host's timer."""
    return Repository(
        url=options["repository"],
        password_file=options.get("password_file") or None,
        password=options.get("password") or None,
        environment={name: str(value) for name, value in (options.get("environment") or {}).items()},
        ssh_key=options.get("ssh_key") or None,
        known_hosts=options.get("known_hosts") or None,
        cache=options.get("cache") or "/var/cache/meet-coop/restic",
        lock_wait=float(options.get("lock_wait", LOCK_WAIT)),
    )
