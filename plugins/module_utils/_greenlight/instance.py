# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a Greenlight instance as it should be, and what Docker is told to make of it. Pure functions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import CA_FILE, PORT, secret_values

LABEL = "coop.meet.instance"
LABEL_ROLE = "coop.meet.role"
LABEL_MANAGER = "coop.meet.managed-by"
LABEL_PORT = "coop.meet.port"
LABEL_CA = "coop.meet.ca-file-sha256"
MANAGER = "meet.coop"
STORAGE = "/usr/src/app/storage"
LOOPBACK = "127.0.0.1"
#: Greenlight runs as root and compiles its assets at each start: it owns and writes files of several users, and no more.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
LOG_OPTIONS = {"max-file": "3", "max-size": "10m"}
STOP_SECONDS = 20
#: Nobody's on any host: neither Debian (policy 9.2.2) nor systemd (UIDS-GIDS.md) gives out 65536 to 99999 by itself. The image's own, 999,
#: is often Caddy's, whose 512 threads a hundred of these would use up: the kernel counts by user, and Caddy could not be started again.
REDIS_UID = 76379
#: Redis takes its configuration from standard input, which a here-document fills from the environment: the password stands
#: in no argument list and no file. It keeps nothing: Greenlight has its cache and its WebSocket channels there. One that has
#: nothing to do wakes once a second (hz) and not ten times, which for hundreds is a whole processor.
REDIS_COMMAND = """exec redis-server - <<END
requirepass $REDISCLI_AUTH
save ""
appendonly no
hz 1
maxmemory {maxmemory}
maxmemory-policy allkeys-lru
END"""
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True)
class Spec:
    """The instance as it should be."""

    name: str
    image: str
    redis_image: str
    hostname: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    redis_password: str = field(default="", repr=False)
    secret_names: frozenset[str] = frozenset()
    ca_file: str | None = None
    memory: int = 1024**3
    cpus: float = 1.0
    pids: int = 512
    redis_memory: int = 96 * 1024**2
    port_range: tuple[int, int] = (5100, 5999)
    pull: str = "missing"
    rehearse: bool = True
    #: What a new image means: "replace" the container on its port, "keep" the one that runs, or start the new one "beside" it.
    image_change: str = "replace"
    #: How long (seconds) the old container runs on after a new one was started beside it.
    keep_previous: int = 900
    #: Whether nobody may be served while a migration runs that the old version cannot live with.
    interruption: bool = False
    #: How this host reaches the database to dump it before a new image may migrate it; None: no dump.
    dump: Login | None = None
    ready_timeout: int = 300
    state_root: str = "/var/lib/meet-coop/instances"

    @property
    def container(self) -> str:
        return f"greenlight-{self.name}"

    @property
    def redis(self) -> str:
        return redis_name(self.name)

    @property
    def network(self) -> str:
        return f"greenlight-{self.name}"

    @property
    def volume(self) -> str:
        return volume_name(self.name)

    @property
    def next(self) -> str:
        return f"{self.container}.next"

    @property
    def rehearsal(self) -> str:
        return f"{self.container}.rehearsal"

    @property
    def previous(self) -> str:
        return f"{self.container}.previous"

    @property
    def directory(self) -> str:
        return os.path.join(self.state_root, self.name)

    @property
    def dumps(self) -> str:
        return os.path.join(self.directory, "dumps")

    @property
    def secrets(self) -> list[str]:
        return secret_values(self.environment, self.secret_names)


def redis_name(name: str) -> str:
    """The host name of an instance's Redis on the instance's network."""
    return f"greenlight-{name}-redis"


def volume_name(name: str) -> str:
    """The Docker volume of an instance's uploads."""
    return f"greenlight-{name}-storage"


def check_name(name: str) -> str:
    """An instance id that can be part of container, network and host names."""
    if not _ID.fullmatch(name):
        raise CoopError(f"name '{name}' is not an instance id: lower-case letters, digits and inner hyphens, at most 63 characters")
    if name.endswith("-redis"):
        raise CoopError(f"name '{name}' ends in -redis, which is how the Redis of another instance would be called; choose another id")
    return name


def parse_memory(value: Any, option: str) -> int:
    """`512m`, `1g`, `1.5g` or a number of bytes, in bytes."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([bkmg]?)(?:i?b)?", str(value).strip().lower())
    size = int(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0
    if size < 6 * 1024**2:
        raise CoopError(f"{option} '{value}' is not an amount of memory such as 512m or 1g")
    return size


def greenlight_limits(spec: Spec) -> dict[str, Any]:
    return {"memory": spec.memory, "memory_swap": spec.memory, "cpus": spec.cpus, "pids": spec.pids, "restart_policy": "unless-stopped"}


def redis_limits(spec: Spec) -> dict[str, Any]:
    return {
        "memory": spec.redis_memory,
        "memory_swap": spec.redis_memory,
        "cpus": 0.5,
        "pids": 64,
        "restart_policy": "unless-stopped",
    }


def greenlight_body(spec: Spec, port: int | None, ca_digest: str | None, role: str = "greenlight") -> dict[str, Any]:
    """What Docker is told to create. Without a port (a rehearsal) nothing is published and nothing restarts by itself."""
    labels = {LABEL: spec.name, LABEL_ROLE: role, LABEL_MANAGER: MANAGER}
    mounts: list[dict[str, Any]] = [{"Type": "volume", "Source": spec.volume, "Target": STORAGE}]
    if port:
        labels[LABEL_PORT] = str(port)
    if spec.ca_file:
        labels[LABEL_CA] = ca_digest or ""
        mounts.append({"Type": "bind", "Source": spec.ca_file, "Target": CA_FILE, "ReadOnly": True})
    limits = greenlight_limits(spec) if port else {**greenlight_limits(spec), "restart_policy": "no"}
    return {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
        "Labels": labels,
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "StopTimeout": STOP_SECONDS,
        "HostConfig": {
            **_host_config(spec, limits),
            "CapAdd": list(CAPABILITIES),
            "PortBindings": {f"{PORT}/tcp": [{"HostIp": LOOPBACK, "HostPort": str(port)}]} if port else {},
            "Mounts": mounts,
        },
        "NetworkingConfig": {"EndpointsConfig": {spec.network: {}}},
    }


def redis_body(spec: Spec, password: str | None = None) -> dict[str, Any]:
    """The instance's own Redis: no root, no capability, no writable file, no port outside its network.

    Docker does not ask for its health: a process for each of hundreds, every minute, takes a processor, the engine acts on none of
    the answers, and Greenlight's health check asks Redis itself.
    """
    maxmemory = f"{spec.redis_memory * 2 // 3 // 1024}kb"
    return {
        "Image": spec.redis_image,
        "User": f"{REDIS_UID}:{REDIS_UID}",
        "Env": [f"REDISCLI_AUTH={password or spec.redis_password}"],
        "Entrypoint": ["sh", "-c"],
        "Cmd": [REDIS_COMMAND.format(maxmemory=maxmemory)],
        "Labels": {LABEL: spec.name, LABEL_ROLE: "redis", LABEL_MANAGER: MANAGER},
        "HostConfig": {**_host_config(spec, redis_limits(spec)), "ReadonlyRootfs": True, "Tmpfs": {"/data": "size=1m"}},
        "NetworkingConfig": {"EndpointsConfig": {spec.network: {}}},
    }


def _host_config(spec: Spec, limits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "NetworkMode": spec.network,
        "RestartPolicy": {"Name": limits["restart_policy"], "MaximumRetryCount": 0},
        "Memory": limits["memory"],
        "MemorySwap": limits["memory_swap"],
        "NanoCpus": round(limits["cpus"] * 1_000_000_000),
        "PidsLimit": limits["pids"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "LogConfig": {"Type": "json-file", "Config": dict(LOG_OPTIONS)},
    }
