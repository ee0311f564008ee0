# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what an instance's database was before a new image could migrate it.

A dump is named by the container that is about to be replaced and by the time (UTC): `3f2a9c4b7e60-20260402T031500.dump`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence

from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError

KEPT_CONTAINERS = 2
"""Dumps are kept of the last so many containers: of each the first, which nothing of the new image has touched, and the last."""
LOCK_WAIT = "60s"
_NAME = re.compile(r"([0-9a-f]{12})-(\d{8}T\d{6})\.dump")
_TABLE = re.compile(r" TABLE DATA public schema_migrations ")


def dump(login: Login, container_id: str, directory: str) -> str:
    """Dump a database (pg_dump's custom format) and return the file's path; older dumps are thinned out afterwards.

    The file has its name only once it is whole and readable. Raises ContainerError saying what is in the way.
    """
    path = os.path.join(directory, f"{container_id[:12]}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.dump")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(directory):
            if name.endswith(".partial"):
                os.unlink(os.path.join(directory, name))  # of a run that was killed; the caller holds the instance's lock
        write(login, path)
        _thin_out(directory)
    except OSError as error:
        raise ContainerError(f"database {login.db} cannot be dumped to {directory}: {error.strerror}") from error
    return path


def write(login: Login, path: str, snapshot: str | None = None, compress: bool = True) -> None:
    """Dump a database into one file, as it is now or in a ``snapshot`` that another session exported, and prove the file readable.

    The file has its name only once that is proven. Raises ContainerError, and OSError where the file cannot be given its name.
    """
    partial = f"{path}.partial"
    options = ["--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_WAIT}"]
    options += [f"--snapshot={snapshot}"] if snapshot else []
    options += [] if compress else ["--compress=0"]
    try:
        run(login, ["pg_dump", *options, "--file", partial, "--dbname", login.db])
        if not _TABLE.search(run(login, ["pg_restore", "--list", partial])):
            raise ContainerError(f"database {login.db} cannot be dumped: it has no table schema_migrations, so it is not Greenlight's")
        # The list stands at the file's beginning; what a full disk or a bad one cuts off is at its end.
        run(login, ["pg_restore", "--file", os.devnull, partial])
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def load(login: Login, path: str) -> None:
    """Fill an empty database from a dump, whole or not at all, as the one who owns it; what the dump says of owners and rights is left out.

    Not as a superuser: a dump holds what the instance's own role could write, functions included. Raises ContainerError.
    """
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-acl", "--no-password"]
    run(login, ["pg_restore", *options, "--dbname", login.db, path], "filled from its dump")


def run(login: Login, argv: Sequence[str], purpose: str = "dumped") -> str:
    """What one of PostgreSQL's programs prints. Raises ContainerError saying why the database cannot be `purpose`."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LC_ALL": "C.UTF-8",
        "PGCONNECT_TIMEOUT": "10",
        "PGPORT": str(login.port),
        **({"PGHOST": login.unix_socket or login.host or ""} if login.unix_socket or login.host else {}),
        **({"PGUSER": login.user} if login.user else {}),
        **({"PGPASSWORD": login.password} if login.password else {}),
    }
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            list(argv), env=environment, stdin=subprocess.DEVNULL, capture_output=True, umask=0o077, check=False
        )
    except FileNotFoundError:
        raise ContainerError(f"{argv[0]} is not on this host; install PostgreSQL's client (Debian package postgresql-client)") from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"it ended with {done.returncode}"
        if "No space left on device" in said:
            raise ContainerError(f"database {login.db} cannot be {purpose}: the disk is full; free space, then run again")
        if "unsupported version" in said:
            said += " (the dump is of a newer PostgreSQL than this host has; install that)"
        raise ContainerError(f"database {login.db} cannot be {purpose}: {said[:400]}")
    return done.stdout.decode("utf-8", "replace")


def _thin_out(directory: str) -> None:
    """Remove dumps of containers long gone, and those between the first and the last of each container."""
    by_container: dict[str, list[str]] = {}
    for name in sorted((name for name in os.listdir(directory) if _NAME.fullmatch(name)), key=_moment):
        by_container.setdefault(name[:12], []).append(name)
    newest = sorted(by_container, key=lambda container: _moment(by_container[container][-1]))[-KEPT_CONTAINERS:]
    for container, names in by_container.items():
        kept = {names[0], names[-1]} if container in newest else set()
        for name in names:
            if name not in kept:
                os.unlink(os.path.join(directory, name))


def _moment(name: str) -> str:
    return name.partition("-")[2]
