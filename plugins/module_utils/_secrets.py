# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an instance's generated secrets, kept in one root-only JSON file on its container host.

A secret that two sides hold is changed in steps. Its new value is staged beside the old one, as C(NAME.next) in the same file, until both
sides have it; then it is promoted. A run that is killed between finds the same new value staged and goes on with it.

Beside the file lies a manifest without values: since when each secret is what it is, until when, and who could have read it.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import secrets as randomness
import stat
import string
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ALPHABETS = {"hex": "0123456789abcdef", "alphanumeric": string.ascii_letters + string.digits}
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
NEXT = ".next"
MANIFEST = "manifest.json"
"""Beside the file of secrets, behind the same door."""


ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    # Rules for generating, not secrets: no_log is for the task, which returns them.
    "secrets": {"type": "dict", "required": True, "no_log": False},
    "rotate": {"type": "list", "elements": "str", "default": []},
    "stage": {"type": "list", "elements": "str", "default": []},
    "promote": {"type": "list", "elements": "str", "default": []},
    "remove": {"type": "list", "elements": "str", "default": []},
    "manifest": {
        "type": "dict",
        "options": {
            "instance": {"type": "str", "required": True},
            "readers": {"type": "list", "elements": "str", "default": []},
            "rotate_days": {"type": "int", "default": 365},
            "given": {"type": "list", "elements": "str", "default": []},
            "changed": {"type": "list", "elements": "str", "default": []},
        },
    },
}
"""Argument spec of instance_secrets."""


@dataclass(frozen=True)
class Observed:
    """What lies on the disk. Values are None where there is no file."""

    exists: bool = False
    values: dict[str, str] = field(default_factory=dict)
    mode: str | None = None
    owner: str | None = None
    directory_mode: str | None = None
    leftovers: tuple[str, ...] = ()

    @property
    def staged(self) -> dict[str, str]:
        """New values that not both sides have yet, by the name of their secret."""
        return {name.removesuffix(NEXT): value for name, value in self.values.items() if name.endswith(NEXT)}


@dataclass(frozen=True)
class Plan:
    """What is to be done. Holds names, never values."""

    create: tuple[str, ...] = ()
    rotate: tuple[str, ...] = ()
    #: New values to make beside the old ones, and those that take the place of the old ones.
    stage: tuple[str, ...] = ()
    promote: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    fix_file: bool = False
    fix_directory: bool = False
    leftovers: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.writes or self.fix_file or self.fix_directory or self.leftovers)

    @property
    def writes(self) -> bool:
        return bool(self.create or self.rotate or self.stage or self.promote or self.remove)


def observe(path: str) -> Observed:
    """Read the file. Raises CoopError, and never guesses, when it is there but cannot be understood."""
    directory = os.path.dirname(path)
    try:
        found = os.stat(directory)
    except FileNotFoundError:
        return Observed()
    except OSError as error:
        raise CoopError(f"{directory} cannot be read: {error.strerror}") from error
    directory_mode = _mode(found)
    ours = (f".{os.path.basename(path)}.", f".{MANIFEST}.")
    leftovers = tuple(sorted(entry for entry in _list(directory) if entry.startswith(ours)))
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return Observed(directory_mode=directory_mode, leftovers=leftovers)
    if not stat.S_ISREG(status.st_mode):
        raise CoopError(f"{path} is not a regular file; remove whatever stands there, this module does not follow it")
    return Observed(
        exists=True,
        values=_read(path),
        mode=_mode(status),
        owner=f"{status.st_uid}:{status.st_gid}",
        directory_mode=directory_mode,
        leftovers=leftovers,
    )


def diff(
    observed: Observed,
    wanted: Mapping[str, Mapping[str, Any]],
    rotate: Iterable[str],
    stage: Iterable[str] = (),
    promote: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> Plan:
    """What is missing, what is to be replaced, and whether the doors are shut. Raises CoopError for names that cannot be."""
    rotate, stage, promote, remove = (tuple(dict.fromkeys(names)) for names in (rotate, stage, promote, remove))
    kept = [name for name in remove if name in wanted]
    if kept:
        raise CoopError(f"remove names {', '.join(kept)}, which secrets describes; name it in one of the two")
    for name, rule in wanted.items():
        if name.endswith(NEXT):
            raise CoopError(f"secrets.{name} ends in {NEXT}, which is how new values are called; choose another name")
        if rule.get("alphabet", "alphanumeric") not in ALPHABETS:
            raise CoopError(f"secrets.{name}.alphabet is one of {', '.join(ALPHABETS)}")
        if not 8 <= int(rule.get("length", 40)) <= 4096:
            raise CoopError(f"secrets.{name}.length is between 8 and 4096")
    for option, names in (("rotate", rotate), ("stage", stage), ("promote", promote)):
        unknown = [name for name in names if name not in wanted]
        if unknown:
            raise CoopError(f"{option} names {', '.join(unknown)}, which secrets does not describe")
    twice = sorted((set(rotate) & {*stage, *promote}) | (set(stage) & set(promote)))
    if twice:
        raise CoopError(f"{', '.join(twice)} stands in two of rotate, stage and promote; name a secret in one of them")
    create = tuple(name for name in wanted if name not in observed.values)
    fresh = not observed.exists and bool(create)
    return Plan(
        create=create,
        rotate=tuple(name for name in rotate if name not in create),
        # A secret that is made just now has nobody who knows an older one.
        stage=tuple(name for name in stage if name not in create and name not in observed.staged),
        promote=tuple(name for name in promote if name in observed.staged),
        remove=tuple(name for name in remove if name in observed.values or name in observed.staged),
        fix_file=not fresh and observed.exists and (observed.mode, observed.owner) != (f"{FILE_MODE:04o}", _own()),
        fix_directory=observed.directory_mode != f"{DIRECTORY_MODE:04o}" and (observed.directory_mode is not None or fresh),
        leftovers=observed.leftovers,
    )


def generate(plan: Plan, observed: Observed, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """All secrets as they are after the plan: those kept, and new ones from the system's randomness."""
    values = dict(observed.values)
    for name in (*plan.create, *plan.rotate, *plan.stage):
        alphabet = ALPHABETS[wanted[name].get("alphabet", "alphanumeric")]
        key = name + NEXT if name in plan.stage else name
        values[key] = "".join(randomness.choice(alphabet) for _other in range(int(wanted[name].get("length", 40))))
    for name in plan.promote:
        values[name] = values.pop(name + NEXT)
    for name in plan.rotate:
        values.pop(name + NEXT, None)
    for name in plan.remove:
        values.pop(name, None)
        values.pop(name + NEXT, None)
    return values


def apply(path: str, plan: Plan, values: Mapping[str, str]) -> None:
    """Carry the plan out. The file is replaced in one step, so that a kill at any moment leaves the old one or the new one."""
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=DIRECTORY_MODE, exist_ok=True)
        if plan.fix_directory:
            os.chmod(directory, DIRECTORY_MODE)
        for name in plan.leftovers:
            os.unlink(os.path.join(directory, name))
        if plan.writes:
            _write(path, values)
        elif plan.fix_file:
            os.chown(path, os.geteuid(), os.getegid())
            os.chmod(path, FILE_MODE)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}; what stood there before is untouched") from error


# --- The manifest ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """What the manifest is to say of all secrets of one instance."""

    instance: str
    #: Who can read them from now on.
    readers: tuple[str, ...] = ()
    #: Days after which a secret is to be changed.
    rotate_days: int = 365
    #: Secrets that people gave, which are in no file of ours.
    given: tuple[str, ...] = ()
    #: Of these, the ones that have just been changed.
    changed: tuple[str, ...] = ()


def rules(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """How each secret is generated, from the option C(secrets). Raises CoopError."""
    wanted: dict[str, dict[str, Any]] = {}
    for name, rule in given.items():
        if rule is not None and not isinstance(rule, dict):
            raise CoopError(f"secrets.{name} must be a dictionary with length and alphabet, not a value")
        unknown = set(rule or {}) - {"length", "alphabet"}
        if unknown:
            raise CoopError(f"secrets.{name} knows length and alphabet, not {', '.join(sorted(unknown))}")
        wanted[name] = rule or {}
    return wanted


def account(told: Mapping[str, Any] | None) -> Account | None:
    """What the manifest is to say, from the option C(manifest). Raises CoopError."""
    if not told:
        return None
    found = Account(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})
    if not 1 <= found.rotate_days <= 36500:
        raise CoopError("manifest.rotate_days is between 1 and 36500")
    return found


def today() -> datetime.date:
    """The day in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).date()


def entries(
    path: str, plan: Plan, values: Mapping[str, str], account: Account | None
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The manifest as it is and as it is to be."""
    if account is None:
        return {}, []
    before = read_manifest(path)
    since = today()
    if os.path.exists(path):
        since = datetime.datetime.fromtimestamp(os.stat(path).st_mtime, datetime.timezone.utc).date()
    names = [name for name in values if not name.endswith(NEXT)]
    return before, manifest(before, plan, names, account, today(), since)


def differ(before: Mapping[str, Mapping[str, Any]], after: list[dict[str, Any]]) -> bool:
    """Whether the manifest is to be written anew."""
    return after != sorted(before.values(), key=lambda entry: str(entry["name"]))


def manifest_path(path: str) -> str:
    """Where the manifest of a file of secrets lies."""
    return os.path.join(os.path.dirname(path), MANIFEST)


def read_manifest(path: str) -> dict[str, dict[str, Any]]:
    """The manifest's entries by name; none when there is no file. Raises CoopError when it cannot be understood."""
    place = manifest_path(path)
    try:
        with open(place, encoding="utf-8") as handle:
            found = json.load(handle)
        entries = {str(entry["name"]): dict(entry) for entry in found}
        for entry in entries.values():
            datetime.date.fromisoformat(entry["made"])
            if not isinstance(entry["readers"], list):
                raise ValueError
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CoopError(f"{place} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise CoopError(f"{place} is damaged; restore it from the backup, or remove it and rotate all secrets of the instance") from error
    return entries


def manifest(
    entries: Mapping[str, Mapping[str, Any]], plan: Plan, names: Iterable[str], account: Account, today: datetime.date, since: datetime.date
) -> list[dict[str, Any]]:
    """What the manifest says after the plan, by name.

    Who could read a secret stays in its entry until the secret is another one, also when they are no reader any more. ``since`` is the day
    that is written for a secret which was there before its manifest.
    """
    fresh = {*plan.create, *plan.rotate, *plan.promote, *account.changed}
    result = []
    for name in sorted({*names, *account.given}):
        before = entries.get(name)
        made = today if name in fresh or (before is None and name in account.given) else since
        readers = set(account.readers)
        if before is not None and name not in fresh:
            made = datetime.date.fromisoformat(before["made"])
            readers |= set(before["readers"])
        result.append(
            {
                "name": name,
                "instance": account.instance,
                "made": made.isoformat(),
                "rotate_by": (made + datetime.timedelta(days=account.rotate_days)).isoformat(),
                "readers": sorted(readers),
            }
        )
    return result


def due(entries: Iterable[Mapping[str, Any]], account: Account, today: datetime.date, staged: Iterable[str] = ()) -> list[dict[str, str]]:
    """Which secrets are to be changed, and why."""
    found = []
    begun = set(staged)
    for entry in entries:
        former = sorted(set(entry["readers"]) - set(account.readers))
        if entry["name"] in begun:
            found.append({"name": entry["name"], "why": "its rotation was begun and not finished"})
        elif former:
            found.append({"name": entry["name"], "why": f"{', '.join(former)} could read it and may not any more"})
        elif entry["rotate_by"] < today.isoformat():
            found.append({"name": entry["name"], "why": f"it was to be changed by {entry['rotate_by']}"})
    return found


def write_manifest(path: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Replace the manifest in one step. Raises CoopError."""
    place = manifest_path(path)
    try:
        _write(place, list(entries))
    except OSError as error:
        raise CoopError(f"{place} cannot be written: {error.strerror}") from error


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Only one writer at a time: two runs that both find no file would else generate two different sets."""
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=DIRECTORY_MODE, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise CoopError(f"{directory} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: str) -> dict[str, str]:
    advice = "it is left as it is; restore it from the backup, or move it away to have new secrets generated"
    try:
        with open(path, encoding="utf-8") as handle:
            values = json.load(handle)
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CoopError(f"{path} is damaged (not JSON); {advice}") from error
    if not isinstance(values, dict) or not all(isinstance(value, str) and value for value in values.values()):
        raise CoopError(f"{path} is damaged (not an object of non-empty strings); {advice}")
    return values


def _write(path: str, values: Mapping[str, str] | list[Mapping[str, Any]]) -> None:
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=2, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fchmod(stream.fileno(), FILE_MODE)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError as error:
        raise CoopError(f"{directory} cannot be read: {error.strerror}") from error


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"


def _own() -> str:
    return f"{os.geteuid()}:{os.getegid()}"
