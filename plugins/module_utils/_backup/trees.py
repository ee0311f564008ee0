# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the files of an instance into a backup's directory, and back into its volume.

The volume belongs to a container whose root may do there what it likes, at any moment. So nothing is followed: a link that is put in
the place of a directory or file leads nowhere, and only regular files and directories are taken over.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator

_COPY = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}
_PARTIAL = ".meet-coop-partial"


def take(source: str, target: str) -> int:
    """Add the regular files below ``source`` that ``target`` lacks, as hard links where that is possible; returns how many.

    Files that vanish meanwhile are left out. Raises OSError.
    """
    count = 0
    os.makedirs(target, mode=0o700, exist_ok=True)
    for relative, names, folder in _walk(source):
        there = os.path.join(target, relative)
        os.makedirs(there, mode=0o700, exist_ok=True)
        for name in names:
            path = os.path.join(there, name)
            if os.path.lexists(path):
                continue
            with contextlib.suppress(FileNotFoundError):
                count += _take_one(folder, name, path)
    return count


def _take_one(folder: int, name: str, path: str) -> bool:
    try:
        os.link(name, path, src_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _COPY:
            raise
        return _copy_one(folder, name, path)
    if stat.S_ISREG(os.lstat(path).st_mode):
        return True
    os.unlink(path)
    return False


def _copy_one(folder: int, name: str, path: str) -> bool:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link or a socket
            return False
        raise
    with os.fdopen(handle, "rb") as reader:
        status = os.fstat(reader.fileno())
        if not stat.S_ISREG(status.st_mode):
            return False
        with open(path, "xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            _dress(writer.fileno(), status)
    return True


def _dress(handle: int, status: os.stat_result) -> None:
    """Owner, mode and times of another file."""
    os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, stat.S_IMODE(status.st_mode))
    os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))


def give(source: str, target: str) -> int:
    """Put every file below ``source`` into ``target``, in place of one that differs; returns how many were written.

    What else is there stays. Each file appears in one step; one that is the same already (size and time) is not touched. Raises OSError.
    """
    count = 0
    for relative, names, folder in _walk(source):
        there = _folder(target, relative, os.fstat(folder))
        try:
            for name in names:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and not _same(there, name, status):
                    _give_one(folder, there, name, status)
                    count += 1
        finally:
            os.close(there)
    return count


def _same(there: int, name: str, status: os.stat_result) -> bool:
    try:
        have = os.stat(name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return False
    wanted = (status.st_size, status.st_mtime_ns, status.st_uid, status.st_gid, status.st_mode)
    return (have.st_size, have.st_mtime_ns, have.st_uid, have.st_gid, have.st_mode) == wanted


def _give_one(folder: int, there: int, name: str, status: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_PARTIAL, dir_fd=there)
    with contextlib.suppress(IsADirectoryError, PermissionError, FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=there, follow_symlinks=False).st_mode):
            shutil.rmtree(f"/proc/self/fd/{there}/{name}")
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    writer = os.open(_PARTIAL, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=there)
    try:
        with os.fdopen(reader, "rb") as incoming, os.fdopen(writer, "wb") as outgoing:
            shutil.copyfileobj(incoming, outgoing, 1 << 20)
            outgoing.flush()
            _dress(outgoing.fileno(), status)
            os.fsync(outgoing.fileno())
        os.replace(_PARTIAL, name, src_dir_fd=there, dst_dir_fd=there)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(_PARTIAL, dir_fd=there)
        raise


def _folder(target: str, relative: str, status: os.stat_result) -> int:
    """A handle on a directory below ``target``, made where it is missing, no part of its way being a link."""
    os.makedirs(target, mode=0o755, exist_ok=True)
    handle = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    for part in [part for part in relative.split("/") if part not in ("", ".")]:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                os.close(handle)
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=handle)
            os.mkdir(part, 0o755, dir_fd=handle)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.fchown(inner, status.st_uid, status.st_gid)
        os.close(handle)
        handle = inner
    return handle


def clear(source: str, target: str) -> int:
    """Remove from ``target`` what ``source`` does not have; returns how many files and links. Raises OSError."""
    count = 0
    for parent, folders, names, handle in os.fwalk(target, topdown=False, follow_symlinks=False):
        wanted = os.path.join(source, os.path.relpath(parent, target))
        for name in names:
            if not os.path.isfile(os.path.join(wanted, name)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=handle)
                    count += 1
        for name in folders:
            if not os.path.isdir(os.path.join(wanted, name)):
                try:
                    os.rmdir(name, dir_fd=handle)
                except NotADirectoryError:
                    os.unlink(name, dir_fd=handle)
                    count += 1
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                        raise
    return count


def _walk(source: str) -> Iterator[tuple[str, list[str], int]]:
    """Each directory below a directory: its path from there, the names in it that are no directories, and a handle on it."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for parent, _folders, names, handle in os.fwalk(source, onerror=refuse, follow_symlinks=False):
        yield os.path.relpath(parent, source), sorted(names), handle
