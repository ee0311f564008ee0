# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Docker's daemon, and what containers may do on the host that runs them."""

from __future__ import annotations

import ipaddress
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding
from ansible_collections.meet.coop.plugins.module_utils._review.sockets import Socket

USUAL = frozenset(
    ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
     "SETPCAP", "SETUID", "SYS_CHROOT")
)  # fmt: skip
"""Capabilities that Docker gives to every container (moby, daemon/pkg/oci/caps/defaults.go)."""
SWARM = frozenset((2377, 7946, 4789))
"""Ports of the daemon that speak Swarm's own protocols, with certificates, and no commands of Docker's API."""
SYSTEM = ("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/usr", "/var", "/var/lib", "/var/lib/docker",
          "/var/run", "/etc/meet-coop", "/var/lib/meet-coop")  # fmt: skip
"""Folders that hold what a container has no business with."""
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock")


def judge_daemon(config: str, info: Mapping[str, Any], sockets: Iterable[Socket]) -> list[Finding]:
    """The daemon by its daemon.json ("" without one), by what it tells of itself (empty when it does not run), and by what listens."""
    findings = []
    try:
        stated = json.loads(config or "{}")
    except ValueError as error:
        stated = {}
        findings.append(Finding("unreadable", "/etc/docker/daemon.json", f"no JSON: {error}", "Mend it; Docker will not start with it"))
    hosts = [str(host) for host in stated.get("hosts") or [] if str(host).startswith("tcp:")]
    told = "Leave the TCP address out: who reaches it is root. From elsewhere use ssh (DOCKER_HOST=ssh://...)"
    if not stated.get("tlsverify"):
        seen = "daemon.json names it without tlsverify"
        findings += [Finding("docker-tcp", host.removeprefix("tcp://"), seen, told) for host in hosts]
        for one in sockets:
            address = f"{one.address}:{one.port}"
            if one.process == "dockerd" and one.transport == "tcp" and one.port not in SWARM and f"tcp://{address}" not in hosts:
                findings.append(Finding("docker-tcp", address, f"dockerd listens on {address}", told))
    registries = {str(name) for name in stated.get("insecure-registries") or []}
    known = info.get("RegistryConfig") or {}
    registries |= set(known.get("InsecureRegistryCIDRs") or [])
    registries |= {name for name, entry in (known.get("IndexConfigs") or {}).items() if not entry.get("Secure", True)}
    for name in registries:
        if not _loopback(name):
            seen = f"images of {name} are taken without TLS, or with any certificate"
            todo = "Take it out of insecure-registries; give the registry a certificate, or its authority to /etc/docker/certs.d"
            findings.append(Finding("docker-insecure-registry", name, seen, todo))
    return findings


def _loopback(name: str) -> bool:
    """Whether a registry is on this host itself."""
    host = name.rsplit(":", 1)[0] if name.count(":") == 1 else name
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_network(host.strip("[]"), strict=False).is_loopback
    except ValueError:
        return False


def judge_socket(mode: int, owner: str, group: str, members: Sequence[str]) -> list[Finding]:
    """Who may command the daemon: the socket's permission bits, its owner and group, and who is in that group."""
    findings = []
    if mode & 0o007 or owner != "root":
        seen = f"/run/docker.sock is {stat.filemode(stat.S_IFSOCK | mode)} {owner}:{group}"
        findings.append(Finding("docker-socket-mode", "/run/docker.sock", seen, "Give it back: chown root:docker, chmod 0660"))
    if group != "root":
        seen = f"whoever is in the group {group} is root whenever they like"
        findings += [Finding("docker-group", name, seen, f"gpasswd --delete {name} {group}") for name in members]
    return findings


def published(container: Mapping[str, Any]) -> list[Socket]:
    """Ports of the host that lead to a running container."""
    ports = (container.get("NetworkSettings") or {}).get("Ports") or {}
    return [
        Socket(inside.rpartition("/")[2], one.get("HostIp") or "*", int(one["HostPort"]), f"container {_name(container)}")
        for inside, bound in ports.items()
        for one in bound or []
        if one.get("HostPort") and inside.endswith(("/tcp", "/udp"))
    ]


def judge_container(container: Mapping[str, Any]) -> list[Finding]:
    """A container as Docker tells it (GET /containers/ID/json)."""
    name, host = _name(container), container.get("HostConfig") or {}
    findings = []

    def found(rule: str, seen: str, todo: str) -> None:
        findings.append(Finding(rule, name, f"container {name}: {seen}", todo))

    if host.get("Privileged"):
        found("container-privileged", "privileged", "Run it without --privileged, with the single capabilities that it needs")
    if host.get("NetworkMode") == "host":
        found("container-host-network", "the network of the host", "Give it a network of its own, and publish ports on 127.0.0.1")
    for key, what in (("PidMode", "processes"), ("IpcMode", "shared memory")):
        if host.get(key) == "host":
            found("container-host-processes", f"the {what} of the host ({key})", "Leave that out")
    added = {str(one).upper().removeprefix("CAP_") for one in host.get("CapAdd") or []} - USUAL
    if added:
        found("container-capability", f"capabilities {', '.join(sorted(added))}", "Leave them out")
    given = [str(one).replace(":", "=", 1) for one in host.get("SecurityOpt") or []]
    loose = [one for one in given if one in ("seccomp=unconfined", "apparmor=unconfined")]
    if loose and not host.get("Privileged"):
        found("container-unconfined", ", ".join(loose), "Leave that out")
    for mount in container.get("Mounts") or []:
        source = str(mount.get("Source") or "").rstrip("/") or "/"
        if mount.get("Type") != "bind":
            continue
        if source in SOCKETS:
            found("container-docker-socket", f"{source} is mounted: it can do all that root can", "Leave the mount out")
        elif source in SYSTEM:
            found("container-host-files", f"{source} of the host is mounted", "Mount the single files that it needs, read-only")
        elif source.startswith(("/run/caddy", "/var/run/caddy")):
            found("caddy-admin", f"{source} is mounted, where Caddy's admin socket lies", "Leave the mount out")
    return findings


def _name(container: Mapping[str, Any]) -> str:
    return str(container.get("Name") or container.get("Id") or "?").lstrip("/")
