# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker command line, and the daemon behind it where no init system starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .config import REPOSITORY

DAEMON_LOG = REPOSITORY / ".lab" / "dockerd.log"
DAEMON_PID = REPOSITORY / ".lab" / "dockerd.pid"
DAEMON_WAIT = 60  # seconds


class LabError(Exception):
    """The lab cannot go on; the message says why in one line."""


def run(
    argv: Sequence[str], *, data: bytes | None = None, check: bool = True, timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command, capture its output; on failure raise LabError with the last lines it wrote."""
    try:
        done = subprocess.run(list(argv), input=data, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed (run ./dev, or apt install docker.io docker-cli debootstrap)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv[:4])} ... did not end within {timeout} s") from error
    if check and done.returncode:
        tail = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-15:]
        raise LabError(f"{' '.join(argv[:6])} ... ended with {done.returncode}: " + "\n  ".join(tail))
    return done


def docker(*argv: str, data: bytes | None = None, check: bool = True, timeout: float | None = None) -> str:
    """Run ``docker ARGV`` and return what it printed."""
    return run(["docker", *argv], data=data, check=check, timeout=timeout).stdout.decode(errors="replace").strip()


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """What the daemon knows of one container, image, volume or network; None when there is none."""
    done = run(["docker", kind, "inspect", name], check=False)
    if done.returncode:
        return None
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0] if found else None


def answering() -> bool:
    """Whether a Docker daemon answers."""
    return run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=30).returncode == 0


def ensure_daemon() -> bool:
    """Start dockerd in the background when none answers; returns whether this call started it."""
    if answering():
        return False
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "docker.service"])
    else:
        binary = shutil.which("dockerd") or "/usr/sbin/dockerd"
        if not Path(binary).exists():
            raise LabError("no Docker daemon answers and dockerd is not installed (apt install docker.io)")
        _ensure_cgroups()
        DAEMON_LOG.parent.mkdir(parents=True, exist_ok=True)
        with DAEMON_LOG.open("ab") as log:
            process = subprocess.Popen([binary], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        DAEMON_PID.write_text(f"{process.pid}\n")
    deadline = time.monotonic() + DAEMON_WAIT
    while time.monotonic() < deadline:
        if answering():
            return True
        time.sleep(0.5)
    raise LabError(f"the Docker daemon did not answer within {DAEMON_WAIT} s; see {DAEMON_LOG}")


def _ensure_cgroups() -> None:
    """Mount the control groups where nothing (no init system, no package) has done so."""
    kinds = {line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    if not kinds & {"cgroup", "cgroup2"}:
        run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"])


def stop_daemon() -> bool:
    """End the dockerd that the lab itself started; returns whether there was one. Another daemon is left alone."""
    if not DAEMON_PID.exists():
        return False
    pid = int(DAEMON_PID.read_text())
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
    except OSError:
        command = ""
    if Path(command).name == "dockerd":
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + DAEMON_WAIT
        while time.monotonic() < deadline and Path(f"/proc/{pid}/cmdline").exists() and _alive(pid):
            time.sleep(0.2)
    DAEMON_PID.unlink(missing_ok=True)
    return Path(command).name == "dockerd"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
