# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: which run works on an instance, in one file for each on its container host.

A run of Ansible leaves no process on a host between two tasks, so nothing there can hold a lock of the kernel for it. It is a lease: it
names its run, ends by itself, and may be taken over by whoever knows that run to be dead. Times are of this host's clock, so that
controllers need not agree on theirs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

DIRECTORY = "/var/lib/meet-coop/locks"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Lock:
    """A lease: the run that has it (``run`` is unique to it, ``by`` is for people), since when and until when (Unix times, seconds)."""

    run: str
    by: str
    since: int
    until: int

    def binds(self, run: str, now: float) -> bool:
        """Whether another run has to respect it."""
        return self.run != run and now < self.until


def read(directory: str, name: str) -> Lock | None:
    """The lock as it stands, also one that is over. Raises CoopError when the file cannot be understood."""
    path = _path(directory, name)
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        return Lock(str(found["run"]), str(found["by"]), int(found["since"]), int(found["until"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise CoopError(f"{path} is damaged: see that no run works on {name}, remove the file and run again") from None


def take(directory: str, name: str, run: str, by: str, lease: int, over: str = "") -> Lock:
    """Take the lock, or lengthen it when it is this run's, for ``lease`` seconds from now.

    Returns the lock that counts after that; it is another run's when that binds. ``over`` is the run whose lock counts no more: its word
    is only taken for the lock that was looked at, not for one that somebody took since. Raises CoopError.
    """
    with _alone(directory):
        now = int(time.time())
        found = read(directory, name)
        if found and found.binds(run, now) and found.run != over:
            return found
        mine = replace(found, until=now + lease) if found and found.run == run else Lock(run, by, now, now + lease)
        _write(_path(directory, name), asdict(mine))
        return mine


def release(directory: str, name: str, run: str) -> bool:
    """Give the lock back; says whether it was this run's. Another run's is left alone. Raises CoopError."""
    if not os.path.exists(_path(directory, name)):
        return False
    with _alone(directory):
        found = read(directory, name)
        if not found or found.run != run:
            return False
        try:
            os.unlink(_path(directory, name))
        except OSError as error:
            raise CoopError(f"{_path(directory, name)} cannot be removed: {error.strerror}") from None
        return True


def _path(directory: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise CoopError(f"name {name!r} is no name of a service: write lower-case letters, digits and hyphens")
    return os.path.join(directory, f"{name}.json")


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """One look and change at a time on this host, by a lock of the kernel that ends with the process."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(os.path.join(directory, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CoopError(f"{directory} cannot be used for locks: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: str, content: Mapping[str, object]) -> None:
    temporary = f"{path}.new"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from None
