# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: which run of Ansible this is, and whether another one is alive as far as can be seen from here."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import pathlib
import socket
from collections.abc import Mapping
from typing import Any

from ansible import context

UNKNOWN = "unknown"


def main_process() -> int:
    """The process of ansible-playbook; action plugins run in children of it."""
    parent = multiprocessing.parent_process()
    return parent.pid if parent and parent.pid else os.getpid()


def run_id(pid: int) -> str:
    """A name that no other run has: the boot and the process namespace it lives in, its process, and when that began.

    Job containers of AWX have namespaces of their own, so runs in two of them never look like one.
    """
    return f"{_here()} {pid} {_begun(pid)}"


def known_dead(run: str) -> bool:
    """Whether the run lived where we live and lives no more. Of runs elsewhere nothing is known."""
    rest, _space, begun = run.rpartition(" ")
    here, _space, pid = rest.rpartition(" ")
    if UNKNOWN in run or here != _here() or not pid.isdigit():
        return False
    try:
        # Asks the kernel, because /proc may hide the processes of others (hidepid).
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return _begun(int(pid)) not in (begun, UNKNOWN)


def described(pid: int, variables: Mapping[str, Any]) -> str:
    """For people: playbook, job or process, and where."""
    arguments = (context.CLIARGS or {}).get("args") or ()
    books = ", ".join(pathlib.PurePath(str(name)).name for name in arguments) or "a run"
    job = variables.get("awx_job_id") or variables.get("tower_job_id")
    task = variables.get("semaphore_vars")
    details = task.get("task_details") if isinstance(task, Mapping) else None
    if job:
        return f"{books} (AWX job {job})"
    if isinstance(details, Mapping) and details.get("id"):
        return f"{books} (Semaphore task {details['id']})"
    return f"{books} ({_user()} on {socket.gethostname()}, process {pid})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _here() -> str:
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {UNKNOWN}"


def _begun(pid: int) -> str:
    """When a process began, in ticks since the boot. A zombie, which has ended and only waits to be asked how, is C(over)."""
    try:
        # The command's name is in brackets and may hold anything; after it come the state (3rd field) and, as 22nd, the start.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return UNKNOWN
    return "over" if fields[0] in "ZX" else fields[19]
