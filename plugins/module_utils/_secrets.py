# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an instance's generated secrets, kept in one root-only JSON file on its container host."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Observed:
    """What lies on the disk. Values are None where there is no file."""

    exists: bool = False
    values: dict[str, str] = field(default_factory=dict)
    mode: str | None = None
    owner: str | None = None
    directory_mode: str | None = None
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What is to be done. Holds names, never values."""

    create: tuple[str, ...] = ()
    rotate: tuple[str, ...] = ()
    fix_file: bool = False
    fix_directory: bool = False
    leftovers: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.create or self.rotate or self.fix_file or self.fix_directory or self.leftovers)


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
    leftovers = tuple(sorted(entry for entry in _list(directory) if entry.startswith(f".{os.path.basename(path)}.")))
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


def diff(observed: Observed, wanted: Mapping[str, Mapping[str, Any]], rotate: Iterable[str]) -> Plan:
    """What is missing, what is to be replaced, and whether the doors are shut."""
    rotate = tuple(dict.fromkeys(rotate))
    for name, rule in wanted.items():
        if rule.get("alphabet", "alphanumeric") not in ALPHABETS:
            raise CoopError(f"secrets.{name}.alphabet is one of {', '.join(ALPHABETS)}")
        if not 8 <= int(rule.get("length", 40)) <= 4096:
            raise CoopError(f"secrets.{name}.length is between 8 and 4096")
    unknown = [name for name in rotate if name not in wanted]
    if unknown:
        raise CoopError(f"rotate names {', '.join(unknown)}, which secrets does not describe")
    create = tuple(name for name in wanted if name not in observed.values)
    fresh = not observed.exists and bool(create)
    return Plan(
        create=create,
        rotate=tuple(name for name in rotate if name not in create),
        fix_file=not fresh and observed.exists and (observed.mode, observed.owner) != (f"{FILE_MODE:04o}", _own()),
        fix_directory=observed.directory_mode != f"{DIRECTORY_MODE:04o}" and (observed.directory_mode is not None or fresh),
        leftovers=observed.leftovers,
    )


def generate(plan: Plan, observed: Observed, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """All secrets as they are after the plan: those kept, and new ones from the system's randomness."""
    values = dict(observed.values)
    for name in (*plan.create, *plan.rotate):
        alphabet = ALPHABETS[wanted[name].get("alphabet", "alphanumeric")]
        values[name] = "".join(randomness.choice(alphabet) for _other in range(int(wanted[name].get("length", 40))))
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
        if plan.create or plan.rotate:
            _write(path, values)
        elif plan.fix_file:
            os.chown(path, os.geteuid(), os.getegid())
            os.chmod(path, FILE_MODE)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}; what stood there before is untouched") from error


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


def _write(path: str, values: Mapping[str, str]) -> None:
    directory = os.path.dirname(path)
    temporary = os.path.join(directory, f".{os.path.basename(path)}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(dict(sorted(values.items())), stream, indent=2)
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
