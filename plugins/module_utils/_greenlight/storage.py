# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: uploads as Active Storage keeps them on disk: the file of key C(abcd...) is C(ab/cd/abcd...).

The directory belongs to the container, whose root may put anything there. So no link is ever followed, and nothing but plain files is
read: else a link to another instance's secrets would be handed to whoever placed it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import shutil
import stat

KEY = re.compile(r"[A-Za-z0-9]{6,64}")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def size(root: str | None, key: str) -> int | None:
    """Octets of an upload; None when there is no plain file."""
    handle = _open(root, key)
    if handle is None:
        return None
    try:
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def copy_out(root: str | None, key: str, target: str) -> str | None:
    """Copy an upload to a new file. Returns why there is none, in words, or None for done. Raises OSError for the target."""
    handle = _open(root, key)
    if handle is None:
        return "not in the storage"
    with os.fdopen(handle, "rb") as source, open(target, "xb") as out:
        shutil.copyfileobj(source, out, 1024 * 1024)
    return None


def put(root: str, key: str, source: str) -> bool:
    """Bring a file back under its key; whether that was needed. A kill leaves the whole file or none. Raises OSError."""
    if not KEY.fullmatch(key):
        raise ValueError(key)
    if size(root, key) == os.path.getsize(source) and _same(root, key, source):
        return False
    folder = os.open(root, _DIRECTORY)
    try:
        for part in (key[:2], key[2:4]):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        temporary = f".{key}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
        with os.fdopen(handle, "wb") as out, open(source, "rb") as data:
            shutil.copyfileobj(data, out, 1024 * 1024)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, key, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    return True


def md5(path: str) -> str:
    """What Active Storage calls a checksum: MD5 in base64."""
    total = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(1024 * 1024):
            total.update(chunk)
    return base64.b64encode(total.digest()).decode("ascii")


def _same(root: str, key: str, source: str) -> bool:
    handle = _open(root, key)
    if handle is None:
        return False
    with os.fdopen(handle, "rb") as one, open(source, "rb") as other:
        while True:
            left, right = one.read(1024 * 1024), other.read(1024 * 1024)
            if left != right:
                return False
            if not left:
                return True


def _open(root: str | None, key: str) -> int | None:
    """A handle on a plain file, reached without following any link."""
    if root is None or not KEY.fullmatch(key):
        return None
    folder = handle = -1
    try:
        folder = os.open(root, _DIRECTORY)
        for part in (key[:2], key[2:4]):
            inner = os.open(part, _DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        # O_NONBLOCK: a pipe that somebody put there is not waited for.
        handle = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            found, handle = handle, -1
            return found
    except OSError:
        return None
    finally:
        for one in (folder, handle):
            if one >= 0:
                os.close(one)
    return None
