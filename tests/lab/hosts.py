# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts: systemd containers on one network, created, started and given files by the same few functions for all."""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .config import CACHE, Host, Lab
from .engine import LabError, docker, inspect, run

LABEL = "coop.meet.lab"
BOOT_WAIT = 90  # seconds until systemd of a host says it has started
STAMPS = "/var/lib/meet-coop-lab"
IMAGES_MOUNT = "/var/cache/lab-images"


@dataclass(frozen=True)
class File:
    """One file on a host."""

    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


def ensure_network(lab: Lab) -> bool:
    """The lab's bridge network, with room for addresses given by hand; returns whether it was made."""
    found = inspect("network", lab.network)
    if found:
        subnets = [entry["Subnet"] for entry in found["IPAM"]["Config"]]
        if str(lab.subnet) not in subnets:
            raise LabError(f"network {lab.network} has {', '.join(subnets)}, not {lab.subnet}: ./dev lab down first, or set LAB_SUBNET")
        return False
    dynamic = list(lab.subnet.subnets(prefixlen_diff=1))[1]
    made = run(["docker", "network", "create", "--driver", "bridge", "--subnet", str(lab.subnet), "--ip-range", str(dynamic),
                "--label", f"{LABEL}={lab.name}", lab.network], check=False)
    if b"overlaps" in made.stderr:
        raise LabError(f"another Docker network of this machine lies in {lab.subnet}: give the lab a free one with LAB_SUBNET")
    if made.returncode:
        raise LabError(f"network {lab.network} cannot be made: {made.stderr.decode(errors='replace').strip()}")
    return True


def volume(lab: Lab, host: Host, path: str) -> str:
    return f"{lab.container(host.name)}{path.replace('/', '-')}"


def shared_volume(lab: Lab, path: str) -> str:
    return f"{lab.name}-shared{path.replace('/', '-')}"


def create_arguments(lab: Lab, host: Host, address: str | None = None) -> list[str]:
    """Options of ``docker create`` for one host. Not --privileged: a capability the lab lacks must show."""
    arguments = [
        "--name", lab.container(host.name), "--hostname", f"{host.name}.lab.test", "--label", f"{LABEL}={lab.name}",
        "--network", lab.network, "--ip", address or str(lab.subnet.network_address + host.offset),
        "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN",
        "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
        "--cgroupns", "private", "--tmpfs", "/run:rw,nosuid,nodev,exec,mode=755", "--tmpfs", "/run/lock:rw,nosuid,nodev,mode=1777",
        "--stop-signal", "SIGRTMIN+3", "--stop-timeout", "20",
    ]
    if host.containers:
        # A host's own docker may enter containers that do not run as root (docker exec, health checks): so must the nested one.
        arguments += ["--cap-add", "SYS_PTRACE"]
    for path in host.volumes:
        arguments += ["--volume", f"{volume(lab, host, path)}:{path}"]
    for path in host.shared:
        arguments += ["--volume", f"{shared_volume(lab, path)}:{path}"]
    if host.containers:
        (CACHE / "images").mkdir(parents=True, exist_ok=True)
        arguments += ["--volume", f"{CACHE / 'images'}:{IMAGES_MOUNT}:ro"]
    if host.name != "services":
        arguments += ["--volume", f"{lab.state}/resolv.conf:/etc/resolv.conf:ro"]
    return [*arguments, host.image]


def ensure_host(lab: Lab, host: Host) -> bool:
    """Create and start one host; returns whether anything was done. Waits until its systemd has booted."""
    name = lab.container(host.name)
    found = inspect("container", name)
    if found and found["State"]["Running"]:
        return False
    if found and any(mount["Type"] == "bind" and not Path(mount["Source"]).exists() for mount in found["Mounts"]):
        # Left by a checkout that is gone: Docker would make folders where its files were.
        remove_host(lab, host)
        found = None
    if not found:
        docker("create", *create_arguments(lab, host))
    docker("start", name)
    wait_booted(name)
    return True


def wait_booted(name: str) -> None:
    """Wait until systemd inside has finished booting (or say what it is stuck on)."""
    deadline = time.monotonic() + BOOT_WAIT
    state = ""
    while time.monotonic() < deadline:
        state = boot_state(name)
        if state in ("running", "degraded"):
            # As systemd has it on a machine of its own; else what a unit is given with LoadCredential does not reach it.
            docker("exec", name, "mount", "--make-rshared", "/")
            return
        found = inspect("container", name)
        if not found or not found["State"]["Running"]:
            said = docker("logs", "--tail", "5", name, check=False)
            instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
            hint = f"when that is nothing: fs.inotify.max_user_instances={instances} is enough for about {instances // 4} hosts (sysctl)"
            raise LabError(f"host {name} ended while booting: {said}; {hint}")
        time.sleep(0.3)
    jobs = docker("exec", name, "systemctl", "list-jobs", "--no-legend", "--no-pager", check=False)
    raise LabError(f"host {name} did not finish booting within {BOOT_WAIT} s (state {state or 'unknown'}); still to do: {jobs}")


def boot_state(name: str) -> str:
    """What systemd of a host says of itself: running, starting, degraded ..."""
    return run(["docker", "exec", name, "systemctl", "is-system-running"], check=False).stdout.decode().strip()


def units(lab: Lab, name: str) -> dict[str, bool]:
    """Which of the services that a host may have are there, and whether they run; services that are off are left out."""
    script = """for unit in docker postgresql caddy redis-server bbb-double bbblb scalelite-api scalelite-poller; do
        systemctl is-enabled --quiet "$unit.service" 2>/dev/null || systemctl is-active --quiet "$unit.service" || continue
        systemctl is-active --quiet "$unit.service" && echo "$unit ok" || echo "$unit down"
    done"""
    said = run(["docker", "exec", lab.container(name), "sh", "-c", script], check=False).stdout.decode()
    return {unit: state == "ok" for unit, state in (line.split() for line in said.splitlines())}


def stamps(lab: Lab, name: str) -> dict[str, str]:
    """What was done to a host before: topic -> hash."""
    loop = 'for topic in *.done; do [ -e "$topic" ] && echo "${topic%.done} $(cat "$topic")"; done; true'
    script = f"cd {STAMPS} 2>/dev/null || exit 0; {loop}"
    said = run(["docker", "exec", lab.container(name), "sh", "-c", script]).stdout.decode()
    return dict(line.split() for line in said.splitlines())


def fingerprint(files: Mapping[str, File], script: str = "") -> str:
    """Hash of files and of the script run after them."""
    total = hashlib.sha256(script.encode())
    for path in sorted(files):
        total.update(repr((path, files[path])).encode())
    return total.hexdigest()


def provision(lab: Lab, host: str, topic: str, known: Mapping[str, str], files: Mapping[str, File], script: str = "") -> bool:
    """Put files on a host and run a shell script there, unless ``known`` tells that exactly this was done before.

    Returns whether it was done.
    """
    wanted = fingerprint(files, script)
    if known.get(topic) == wanted:
        return False
    apply(lab, host, files, script, {topic: wanted})
    return True


def apply(lab: Lab, host: str, files: Mapping[str, File], script: str, done: Mapping[str, str]) -> None:
    """Put files on a host, run a shell script there, then note what was done (topic -> fingerprint)."""
    name = lab.container(host)
    if files:
        put(name, files)
    notes = "".join(f"echo {value} > {shlex.quote(f'{STAMPS}/{topic}.done')}\n" for topic, value in done.items())
    run(["docker", "exec", "-i", name, "sh", "-e"], data=f"{script}\nmkdir -p {STAMPS}\n{notes}".encode(), timeout=300)


def put(name: str, files: Mapping[str, File]) -> None:
    """Write files into a running container, through its own mounts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, file in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uname, entry.gname = len(file.content), file.mode, file.owner, file.group
            entry.mtime = int(time.time())
            archive.addfile(entry, io.BytesIO(file.content))
    run(["docker", "exec", "-i", name, "tar", "-x", "-p", "-C", "/", "-f", "-"], data=buffer.getvalue())


def remove_host(lab: Lab, host: Host) -> bool:
    """Remove one host and its volumes; returns whether there was one."""
    name = lab.container(host.name)
    found = inspect("container", name)
    if found:
        docker("rm", "--force", "--volumes", name)
    for path in host.volumes:
        run(["docker", "volume", "rm", "--force", volume(lab, host, path)], check=False)
    for path in host.shared:
        # Refused while another host has it.
        run(["docker", "volume", "rm", "--force", shared_volume(lab, path)], check=False)
    return found is not None
