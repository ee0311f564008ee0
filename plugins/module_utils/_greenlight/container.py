# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one Greenlight instance in Docker: its container, its own Redis, network and volume.

`observe` reads what there is, `diff` says what is to be done (a Plan), `apply` does it. The plan is made from observations
alone, so that a prediction and a run are the same thing. A replacement keeps the old container until the new one is proven;
every name it uses on the way tells the next run how far a killed one came:

    greenlight-ID            the instance
    greenlight-ID.next       made, never started
    greenlight-ID.rehearsal  a new image being tried beside the running instance, without a port
    greenlight-ID.previous   the old one, stopped, until the new one is proven
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import ports, readiness
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import CA_FILE, PORT, masked, masked_change, secret_values

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
#: Redis takes its configuration from standard input, which a here-document fills from the environment: the password stands
#: in no argument list and no file. It keeps nothing: Greenlight has its cache and its WebSocket channels there.
REDIS_COMMAND = """exec redis-server - <<END
requirepass $REDISCLI_AUTH
save ""
appendonly no
maxmemory {maxmemory}
maxmemory-policy allkeys-lru
END"""
REDIS_HEALTH = {
    "Test": ["CMD-SHELL", "redis-cli ping | grep -q PONG"],
    "Interval": 60_000_000_000,
    "Timeout": 5_000_000_000,
    "StartPeriod": 10_000_000_000,
    "Retries": 3,
}
#: Differences that Docker mends on the living container; every other one means a new container.
UPDATABLE = {"memory", "memory_swap", "cpus", "pids", "restart_policy"}
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class ContainerError(CoopError):
    """A failure with the container's last log lines, secrets masked."""

    def __init__(self, message: str, log: list[str] | None = None) -> None:
        super().__init__(message)
        self.log = log or []


class PortTaken(ContainerError):
    """The instance's port is held by somebody else."""


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
        return f"greenlight-{self.name}-storage"

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
    def secrets(self) -> list[str]:
        return secret_values(self.environment, self.secret_names)


def redis_name(name: str) -> str:
    """The host name of an instance's Redis on the instance's network."""
    return f"greenlight-{name}-redis"


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


# --- Observe --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """What there is. Containers, network and images are as Docker's API inspects them."""

    docker: bool = True
    main: Mapping[str, Any] | None = None
    redis: Mapping[str, Any] | None = None
    next: Mapping[str, Any] | None = None
    rehearsal: Mapping[str, Any] | None = None
    previous: Mapping[str, Any] | None = None
    network: Mapping[str, Any] | None = None
    volume: bool = False
    image: Mapping[str, Any] | None = None
    redis_image: Mapping[str, Any] | None = None
    #: Images of the containers there are, by id: what of their environment and labels comes from the image.
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stale_images: frozenset[str] = frozenset()
    state: ports.State = ports.State()
    ca_digest: str | None = None
    port_taken_by: str | None = None
    limits: Mapping[str, bool] = field(default_factory=dict)


def observe(api: Any, spec: Spec, images: bool = True) -> Observed:
    """Everything there is of the instance. `api` is a docker.APIClient, or None on a host without Docker yet."""
    state = ports.read_state(spec.directory)
    ca_digest = _digest(spec.ca_file)
    if api is None:
        return Observed(docker=False, state=state, ca_digest=ca_digest)
    with explained(spec, "look at"):
        pattern = rf"^/?{re.escape(spec.container)}(\.next|\.rehearsal|\.previous|-redis)?$"
        found: dict[str, Mapping[str, Any]] = {}
        for row in api.containers(all=True, filters={"name": pattern}):
            inspected = _inspect(api.inspect_container, row["Id"])
            if inspected:
                found[inspected["Name"].lstrip("/")] = inspected
        observed = Observed(
            main=found.get(spec.container),
            redis=found.get(spec.redis),
            next=found.get(spec.next),
            rehearsal=found.get(spec.rehearsal),
            previous=found.get(spec.previous),
            network=_inspect(api.inspect_network, spec.network),
            volume=_inspect(api.inspect_volume, spec.volume) is not None,
            state=state,
            ca_digest=ca_digest,
        )
        if not images:
            return observed
        used = {
            container["Image"]: _inspect(api.inspect_image, container["Image"]) or {}
            for container in (observed.main, observed.redis, observed.previous)
            if container
        }
        observed = replace(
            observed,
            images=used,
            image=_image(api, spec.image, observed.main or observed.previous, used),
            redis_image=_image(api, spec.redis_image, observed.redis, used),
        )
        if spec.pull == "always":
            observed = replace(observed, stale_images=_stale(api, spec, observed))
        drifted = any(
            container and wrong_limits(container, wanted)
            for container, wanted in ((observed.main, greenlight_limits(spec)), (observed.redis, redis_limits(spec)))
        )
        if drifted:
            info = api.info()
            names = {"memory": "MemoryLimit", "memory_swap": "SwapLimit", "cpus": "CpuCfsQuota", "pids": "PidsLimit"}
            observed = replace(observed, limits={limit: bool(info.get(key, True)) for limit, key in names.items()})
    port = port_of(observed.main) or port_of(observed.previous) or state.port
    if port and not _occupies(observed.main) and port in ports.listening():
        observed = replace(observed, port_taken_by=ports.listener(port) or "a program that cannot be named")
    return observed


def _inspect(call: Any, name: str) -> Mapping[str, Any] | None:
    import docker.errors

    try:
        return call(name)
    except docker.errors.NotFound:
        return None


def _image(api: Any, name: str, container: Mapping[str, Any] | None, used: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The image by name; if its name is gone from this host, the one that a container made from that name still has."""
    found = _inspect(api.inspect_image, name)
    if found is None and container and container["Config"].get("Image") == name:
        found = used.get(container["Image"]) or None
    return found


def _stale(api: Any, spec: Spec, observed: Observed) -> frozenset[str]:
    """Images whose registry holds another content under the same name. Asks the registry, downloads nothing."""
    import docker.errors

    stale = set()
    for name, image in ((spec.image, observed.image), (spec.redis_image, observed.redis_image)):
        if image is None:
            continue
        try:
            digest = api.inspect_distribution(name)["Descriptor"]["digest"]
        except docker.errors.APIError as error:
            raise ContainerError(_why(f"image {name}", str(error.explanation or error))) from error
        if not any(known.endswith(f"@{digest}") for known in image.get("RepoDigests") or []):
            stale.add(name)
    return frozenset(stale)


def _digest(path: str | None) -> str | None:
    """Digest of the authority bundle: a file replaced on the host does not change in a container that has it mounted."""
    if path is None:
        return None
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()[:16]
    except OSError:
        return None


def _occupies(container: Mapping[str, Any] | None) -> bool:
    return bool(container) and any(container["State"].get(key) for key in ("Running", "Restarting"))


def port_of(container: Mapping[str, Any] | None) -> int | None:
    """The host port a container publishes, running or not."""
    if not container:
        return None
    for binding in (container["HostConfig"].get("PortBindings") or {}).get(f"{PORT}/tcp") or []:
        if str(binding.get("HostPort") or "").isdigit():
            return int(binding["HostPort"])
    return None


# --- What should be -------------------------------------------------------------------------------------------------


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
    """The instance's own Redis: no root, no capability, no writable file, no port outside its network."""
    maxmemory = f"{spec.redis_memory * 2 // 3 // 1024}kb"
    return {
        "Image": spec.redis_image,
        "User": "999:999",
        "Env": [f"REDISCLI_AUTH={password or spec.redis_password}"],
        "Entrypoint": ["sh", "-c"],
        "Cmd": [REDIS_COMMAND.format(maxmemory=maxmemory)],
        "Labels": {LABEL: spec.name, LABEL_ROLE: "redis", LABEL_MANAGER: MANAGER},
        "Healthcheck": REDIS_HEALTH,
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


# --- Compare --------------------------------------------------------------------------------------------------------


def limits_of(container: Mapping[str, Any]) -> dict[str, Any]:
    host = container["HostConfig"]
    return {
        "memory": host.get("Memory") or 0,
        "memory_swap": host.get("MemorySwap") or 0,
        "cpus": (host.get("NanoCpus") or 0) / 1_000_000_000,
        "pids": host.get("PidsLimit") or 0,
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
    }


def wrong_limits(container: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    found = limits_of(container)
    return {name: found[name] for name, value in wanted.items() if found[name] != value}


def parameters(body: Mapping[str, Any], image: Mapping[str, Any] | None, known_image: bool) -> dict[str, Any]:
    """A wanted or an inspected container as flat names and plain values, with what its image brings left out."""
    config = body.get("Config") or body
    host = body["HostConfig"]
    brought = (image or {}).get("Config") or {}
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    from_image = dict(entry.partition("=")[::2] for entry in brought.get("Env") or [])
    labels, image_labels = config.get("Labels") or {}, brought.get("Labels") or {}
    inspected = "Config" in body
    result: dict[str, Any] = {"image": config["Image"]}
    if known_image:
        result["image_id"] = (body["Image"] if inspected else (image or {}).get("Id", ""))[7:19]
    for name, value in environment.items():
        # Docker lists the image's variables with the container's own: only what differs from the image is ours to compare.
        if name not in from_image or from_image[name] != value:
            result[f"environment.{name}"] = value
    for name, value in labels.items():
        if name not in image_labels or image_labels[name] != value:
            result[f"labels.{name}"] = value
    for key, parameter in (("Entrypoint", "entrypoint"), ("Cmd", "command"), ("User", "user")):
        value = config.get(key) or None
        if value != (brought.get(key) or None) and not (value is None and not inspected):
            result[parameter] = value
    health, image_health = ((one.get("Healthcheck") or {}).get("Test") for one in (config, brought))
    if health != image_health and not (health is None and not inspected):
        result["health_check"] = health
    bindings = host.get("PortBindings") or {}
    result["ports"] = sorted(
        f"{entry.get('HostIp') or '0.0.0.0'}:{entry.get('HostPort')}->{inner}" for inner, rows in bindings.items() for entry in rows or []
    )
    mounts = [
        f"{mount.get('Type')} {mount.get('Source')} -> {mount.get('Target')}{' (read only)' if mount.get('ReadOnly') else ''}"
        for mount in host.get("Mounts") or []
    ]
    mounts += [f"bind {entry}" for entry in host.get("Binds") or []]
    mounts += [f"tmpfs {path} ({options})" for path, options in (host.get("Tmpfs") or {}).items()]
    result["mounts"] = sorted(mounts)
    result["capabilities_added"] = _capabilities(host.get("CapAdd"))
    result["capabilities_dropped"] = _capabilities(host.get("CapDrop"))
    result["security"] = sorted(_security(entry) for entry in host.get("SecurityOpt") or [])
    result["privileged"] = bool(host.get("Privileged"))
    result["read_only"] = bool(host.get("ReadonlyRootfs"))
    for key in ("PidMode", "UTSMode", "UsernsMode"):
        result[key.lower()] = host.get(key) or ""
    result["devices"] = [entry.get("PathOnHost") for entry in host.get("Devices") or []]
    result["network_mode"] = host.get("NetworkMode")
    log = host.get("LogConfig") or {}
    result["log"] = " ".join([log.get("Type") or "", *(f"{key}={value}" for key, value in sorted((log.get("Config") or {}).items()))])
    result.update(limits_of(body))
    return result


def _capabilities(names: list[str] | None) -> list[str]:
    return sorted(name.upper().removeprefix("CAP_") for name in names or [])


def _security(option: str) -> str:
    return "no-new-privileges" if option in ("no-new-privileges:true", "no-new-privileges=true") else option


@dataclass(frozen=True)
class Change:
    """What is to happen to one container: nothing, or one of create, recreate, update, start, unpause."""

    action: str | None = None
    update: Mapping[str, Any] = field(default_factory=dict)
    connect: bool = False
    disconnect: tuple[str, ...] = ()
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None

    @property
    def replaces(self) -> bool:
        return self.action in ("create", "recreate")

    @property
    def any(self) -> bool:
        return bool(self.action or self.update or self.connect or self.disconnect)


@dataclass(frozen=True)
class Plan:
    """What is to be done, in words, and what the diff shows."""

    steps: tuple[str, ...] = ()
    port: int | None = None
    main: Change = Change()
    redis: Change = Change()
    rehearse: bool = False
    remove: tuple[str, ...] = ()
    restore: bool = False
    pull: tuple[str, ...] = ()
    finish: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.steps)


def compare(
    wanted: Mapping[str, Any],
    container: Mapping[str, Any] | None,
    image: Mapping[str, Any] | None,
    observed: Observed,
    spec: Spec,
    pulled: bool,
) -> Change:
    """What one container lacks."""
    want = parameters(wanted, image, image is not None and not pulled)
    want["running"] = True
    secret_names = {f"environment.{name}" for name in spec.secret_names}
    if container is None:
        return Change(
            "create",
            before=None,
            after={name: _shown(name, value, secret_names) for name, value in sorted(want.items()) if value not in (None, "", False, [])},
        )
    have = parameters(container, observed.images.get(container["Image"]), image is not None and not pulled)
    have["running"] = bool(container["State"].get("Running")) and not container["State"].get("Paused")
    for limit, enforced in observed.limits.items():
        if not enforced and limit in want:
            have[limit] = want[limit]
    networks = container["NetworkSettings"].get("Networks") or {}
    have["networks"], want["networks"] = sorted(networks), [spec.network]
    if want.get("ports") != have.get("ports") and wanted["HostConfig"].get("PublishAllPorts"):
        have["ports"] = want["ports"]
    differing = sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))
    if pulled and "image" not in differing:
        differing.append("image")
        want["image"] = f"{want['image']} (newer)"
    before, after = {}, {}
    for name in differing:
        before[name], after[name] = _shown_change(name, have.get(name), want.get(name), secret_names)
    endpoint = networks.get(spec.network) or {}
    lost_network = bool(endpoint.get("NetworkID")) and (observed.network or {}).get("Id") != endpoint["NetworkID"]
    if lost_network or (spec.network in networks and observed.network is None):
        before["network"], after["network"] = "lost", spec.network
        return Change("recreate", before=before, after=after)
    kept = set(differing) - UPDATABLE - {"running", "networks"}
    if kept:
        return Change("recreate", before=before, after=after)
    update = {name: want[name] for name in differing if name in UPDATABLE}
    action = None
    if container["State"].get("Paused"):
        action = "unpause"
    elif not (container["State"].get("Running") or container["State"].get("Restarting")):
        action = "start"
    elif update or "networks" in differing:
        action = "update"
    if container["State"].get("Restarting") and "running" in before:
        del before["running"], after["running"]
    return Change(
        action,
        update=update,
        connect=spec.network not in networks,
        disconnect=tuple(sorted(set(networks) - {spec.network})),
        before=before,
        after=after,
    )


def _shown(name: str, value: Any, secret_names: set[str]) -> Any:
    return masked(name, value, secret_names) if name.startswith("environment.") else value


def _shown_change(name: str, before: Any, after: Any, secret_names: set[str]) -> tuple[Any, Any]:
    return masked_change(name, before, after, secret_names) if name.startswith("environment.") else (before, after)


def diff(spec: Spec, observed: Observed, taken: Callable[[], set[int]] = set, refused: frozenset[int] = frozenset()) -> Plan:
    """What is to be done so that the instance is as the spec says.

    `taken` tells the ports that others hold, and is asked only when a port is to be chosen; `refused` are ports that
    turned out to be taken when Docker tried them.
    """
    steps: list[str] = []
    remove: list[str] = []
    for leftover in ("next", "rehearsal"):
        if getattr(observed, leftover):
            remove.append(getattr(spec, leftover))
    main, previous, restore = observed.main, observed.previous, False
    port, moved = _port(spec, observed, taken, refused)
    body = greenlight_body(spec, port, observed.ca_digest)
    missing = tuple(
        dict.fromkeys(
            name
            for name, image in ((spec.image, observed.image), (spec.redis_image, observed.redis_image))
            if image is None or name in observed.stale_images
        )
    )
    if missing and spec.pull == "never" and observed.docker:
        raise ContainerError(f"image {missing[0]} is not on this host and pull is 'never'; load it (docker load) or set pull to 'missing'")
    change = compare(body, main, observed.image, observed, spec, spec.image in missing)
    if previous:
        if main is None or (main["Id"] != observed.state.proven and change.replaces):
            # A run was killed between stopping the old container and proving the new one, and the new one is not what is wanted.
            if main is not None:
                remove.append(spec.container)
            restore, main = True, previous
            change = compare(body, main, observed.image, observed, spec, spec.image in missing)
        elif main["Id"] == observed.state.proven:
            remove.append(spec.previous)
    finish = bool(previous) and not restore and spec.previous not in remove
    redis_change = compare(redis_body(spec), observed.redis, observed.redis_image, observed, spec, spec.redis_image in missing)
    running = bool(main) and bool(main["State"].get("Running")) and not restore
    new_image = change.action == "recreate" and bool(change.after and {"image", "image_id"} & change.after.keys())
    rehearse = spec.rehearse and running and new_image and observed.state.proven == (main or {}).get("Id") and not moved
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in remove:
        steps.append(f"remove container {name}")
    if restore:
        steps.append(f"rename container {spec.previous} to {spec.container}")
    if remove or restore or finish:
        leftovers = sorted([*remove, *([spec.previous] if restore or finish else [])])
        before["leftovers"], after["leftovers"] = leftovers, []
    for name in missing:
        steps.append(f"pull image {name}")
    if observed.network is None:
        steps.append(f"create network {spec.network}")
        before["network"], after["network"] = None, spec.network
    if not observed.volume:
        steps.append(f"create volume {spec.volume}")
        before["volume"], after["volume"] = None, spec.volume
    if rehearse:
        steps.append(f"rehearse image {spec.image}")
    for kind, name, one in (("redis", spec.redis, redis_change), ("container", spec.container, change)):
        steps.extend(_words(name, one, spec))
        if one.any:
            before[kind], after[kind] = one.before, one.after
    if finish:
        steps.append(f"remove container {spec.previous}")
    return Plan(
        steps=tuple(steps),
        port=port,
        main=change,
        redis=redis_change,
        rehearse=rehearse,
        remove=tuple(remove),
        restore=restore,
        pull=missing,
        finish=finish,
        before=before,
        after=after,
    )


def _words(name: str, change: Change, spec: Spec) -> list[str]:
    result = []
    if change.replaces:
        return [f"{change.action} container {name}"]
    for network in change.disconnect:
        result.append(f"disconnect container {name} from network {network}")
    if change.connect:
        result.append(f"connect container {name} to network {spec.network}")
    if change.update:
        result.append(f"update container {name}")
    if change.action in ("start", "unpause"):
        result.append(f"{change.action} container {name}")
    return result


def _port(spec: Spec, observed: Observed, taken: Callable[[], set[int]], refused: frozenset[int]) -> tuple[int, bool]:
    """The port to publish, and whether it had to move. It stays where it is once others may rely on it."""
    port = port_of(observed.main) or port_of(observed.previous) or observed.state.port
    if port is None:
        return ports.allocate(spec.port_range, taken() | refused), False
    if observed.port_taken_by is None and port not in refused:
        return port, False
    if not observed.state.served:
        return ports.allocate(spec.port_range, taken() | refused | {port}), True
    raise PortTaken(_taken(spec, port, observed.port_taken_by))


def _taken(spec: Spec, port: int | None, who: str | None) -> str:
    return f"port {port} of {spec.container} is taken by {who or 'another program'}; free it (the edge routes to this port), then run again"


def others_ports(api: Any, spec: Spec) -> set[int]:
    """Ports this instance may not have: listened on, reserved by other instances, or published by other containers."""
    taken = set(ports.listening()) | ports.reserved(spec.state_root, spec.name)
    if api is not None:
        with explained(spec, "look at"):
            for row in api.containers(all=True):
                labels = row.get("Labels") or {}
                if labels.get(LABEL) != spec.name:
                    taken |= {int(labels[LABEL_PORT])} if str(labels.get(LABEL_PORT, "")).isdigit() else set()
                    taken |= {entry["PublicPort"] for entry in row.get("Ports") or [] if entry.get("PublicPort")}
    return taken


# --- Apply ----------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What was done and what came of it."""

    actions: list[str] = field(default_factory=list)
    container_id: str | None = None
    image_id: str | None = None
    version: str | None = None
    port: int | None = None


class Running:
    """A container as the waiting sees it."""

    def __init__(self, api: Any, name: str) -> None:
        self.api, self.name = api, name

    def inspect(self) -> dict[str, Any]:
        return self.api.inspect_container(self.name)

    def run(self, argv: list[str]) -> tuple[int, str]:
        job = self.api.exec_create(self.name, argv)
        output = self.api.exec_start(job["Id"])
        return int(self.api.exec_inspect(job["Id"])["ExitCode"] or 0), output.decode("utf-8", "replace")

    def log(self) -> str:
        import docker.errors

        try:
            return self.api.logs(self.name, tail=400).decode("utf-8", "replace")
        except docker.errors.APIError:
            return ""


def apply(api: Any, spec: Spec, observed: Observed, plan: Plan) -> None:
    """Do what the plan says, up to and including starting the container; `settle` then proves it."""
    with explained(spec, "change"):
        for name in plan.remove:
            _remove(api, name)
        if plan.restore:
            api.rename(spec.previous, spec.container)
        for name in plan.pull:
            pull(api, name)
        if spec.ca_file and observed.ca_digest is None:
            raise ContainerError(f"ca_file {spec.ca_file} cannot be read on this host")
        if observed.network is None:
            labels = {LABEL: spec.name, LABEL_MANAGER: MANAGER}
            # Whatever still hangs on a network of that name that is gone is replaced below.
            api.create_network(spec.network, driver="bridge", check_duplicate=True, labels=labels)
        if not observed.volume:
            api.create_volume(spec.volume, labels={LABEL: spec.name, LABEL_MANAGER: MANAGER})
        if plan.rehearse:
            _rehearse(api, spec, observed)
        if plan.redis.replaces:
            _remove(api, spec.redis)
            api.create_container_from_config(redis_body(spec), spec.redis)
            api.start(spec.redis)
        else:
            _adjust(api, spec.redis, plan.redis, spec)
        if plan.main.action == "create":
            api.create_container_from_config(greenlight_body(spec, plan.port, observed.ca_digest), spec.container)
            _start(api, spec, plan.port)
        elif plan.main.action == "recreate":
            _replace(api, spec, observed, plan)
        else:
            _adjust(api, spec.container, plan.main, spec, plan.port)


def _replace(api: Any, spec: Spec, observed: Observed, plan: Plan) -> None:
    """Old container out of the way, new one on the same port. The old one is removed only when the new one is proven."""
    api.create_container_from_config(greenlight_body(spec, plan.port, observed.ca_digest), spec.next)
    api.stop(spec.container, timeout=STOP_SECONDS)
    if plan.finish or observed.state.proven is None:
        # What is there was never proven (or its predecessor still waits): nothing worth going back to.
        _remove(api, spec.container)
    else:
        api.rename(spec.container, spec.previous)
    api.rename(spec.next, spec.container)
    _start(api, spec, plan.port)


def _adjust(api: Any, name: str, change: Change, spec: Spec, port: int | None = None) -> None:
    for network in change.disconnect:
        api.disconnect_container_from_network(name, network, force=True)
    if change.connect:
        api.connect_container_to_network(name, spec.network)
    if change.update:
        update(api, name, change.update)
    if change.action == "unpause":
        api.unpause(name)
    elif change.action == "start":
        if port:
            _start(api, spec, port)
        else:
            api.start(name)


def update(api: Any, name: str, limits: Mapping[str, Any]) -> None:
    """Change limits on the living container. The SDK's own call knows neither NanoCpus nor PidsLimit."""
    keys = {"memory": "Memory", "memory_swap": "MemorySwap", "pids": "PidsLimit"}
    body: dict[str, Any] = {keys[limit]: value for limit, value in limits.items() if limit in keys}
    if "memory" in limits and "memory_swap" not in limits:
        body["MemorySwap"] = limits["memory"]
    if "cpus" in limits:
        body["NanoCpus"] = round(limits["cpus"] * 1_000_000_000)
    if "restart_policy" in limits:
        body["RestartPolicy"] = {"Name": limits["restart_policy"], "MaximumRetryCount": 0}
    response = api._post_json(api._url("/containers/{0}/update", name), data=body)
    api._raise_for_status(response)


def _start(api: Any, spec: Spec, port: int | None) -> None:
    import docker.errors

    try:
        api.start(spec.container)
    except docker.errors.APIError as error:
        if re.search(r"port is already allocated|address already in use|ports are not available", str(error)):
            raise PortTaken(_taken(spec, port, ports.listener(port or 0))) from error
        raise


def _remove(api: Any, name: str) -> None:
    import docker.errors

    try:
        found = api.inspect_container(name)
        if _occupies(found):
            api.stop(name, timeout=STOP_SECONDS)
        # Anonymous volumes go only with containers that we made: they hold nothing. Named ones always stay.
        api.remove_container(name, force=True, v=(found["Config"].get("Labels") or {}).get(LABEL_MANAGER) == MANAGER)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if "is already in progress" not in str(error):
            raise


def pull(api: Any, name: str) -> None:
    """Fetch an image. Raises ContainerError saying what the registry or the disk has against it."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    for row in api.pull(repository, tag=tag or "latest", stream=True, decode=True):
        if row.get("error"):
            raise ContainerError(_why(f"image {name}", row["error"]))


def _rehearse(api: Any, spec: Spec, observed: Observed) -> None:
    """Try a new image beside the running instance, on its database, before touching what serves."""
    environment = dict(spec.environment)
    current = dict(entry.partition("=")[::2] for entry in observed.main["Config"].get("Env") or []) if observed.main else {}
    if observed.redis and current.get("REDIS_URL"):
        environment["REDIS_URL"] = current["REDIS_URL"]
    trial = replace(spec, environment=environment)
    api.create_container_from_config(greenlight_body(trial, None, observed.ca_digest, role="rehearsal"), spec.rehearsal)
    try:
        api.start(spec.rehearsal)
        _wait(api, trial, spec.rehearsal, proven=False)
    except readiness.NotReady as error:
        raise ContainerError(f"image {spec.image} is refused, {spec.container} serves on as it was: {error}", error.log) from error
    finally:
        _remove(api, spec.rehearsal)


def _wait(api: Any, spec: Spec, name: str, proven: bool) -> str:
    container = Running(api, name)
    found = container.inspect()
    environment = dict(entry.partition("=")[::2] for entry in found["Config"].get("Env") or [])

    def address(inspected: dict[str, Any]) -> tuple[str, int] | None:
        port = port_of(inspected)
        if port:
            return LOOPBACK, port
        ip = ((inspected["NetworkSettings"].get("Networks") or {}).get(spec.network) or {}).get("IPAddress")
        return (ip, PORT) if ip else None

    target = readiness.Target(
        name=name,
        address=address,
        hostname=environment.get("URL_HOST") or spec.hostname,
        version=environment.get("VERSION_TAG") or None,
        secrets=secret_values(environment, spec.secret_names) + spec.secrets,
        proven=proven,
    )
    return readiness.wait(container, target, spec.ready_timeout)


def converge(api: Any, spec: Spec, write: bool) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    """Bring the instance to its spec, or with `write` false say what that would take.

    Returns what was done, and both sides of the diff. Raises ContainerError.
    """
    actions: list[str] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    refused: frozenset[int] = frozenset()
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write else nullcontext():
        while True:
            observed = observe(api, spec)
            # One run at a time chooses a port on this host, and writes it down before the next one chooses.
            with ports.locked(spec.state_root, "the ports of this host", 60) if write else nullcontext():
                plan = diff(spec, observed, lambda: others_ports(api, spec), refused)
                if write and observed.state.port != plan.port:
                    ports.write_state(spec.directory, observed.state.with_(port=plan.port))
            actions += plan.steps
            before, after = {**plan.before, **before}, {**after, **plan.after}
            if not write and plan.changed:
                return _predicted(observed, plan), before, after
            try:
                apply(api, spec, observed, plan)
                break
            except PortTaken:
                if observed.state.served or len(refused) >= 5:
                    _bring_back(api, spec)
                    raise
                refused |= {plan.port or 0}
            except ContainerError:
                _bring_back(api, spec)
                raise
        result = settle(api, spec, plan, write)
        result.actions = actions + result.actions
    return result, before, after


def _predicted(observed: Observed, plan: Plan) -> Result:
    main = observed.main or observed.previous
    kept = main is not None and not plan.main.replaces
    image = observed.image if observed.image and not plan.pull else None
    variables = dict(entry.partition("=")[::2] for entry in ((image or {}).get("Config") or {}).get("Env") or [])
    return Result(
        actions=list(plan.steps),
        container_id=main["Id"] if main and kept else None,
        image_id=image["Id"] if image else None,
        version=variables.get("VERSION_TAG"),
        port=plan.port,
    )


def settle(api: Any, spec: Spec, plan: Plan, write: bool) -> Result:
    """Wait until the instance is proven ready, and clean up behind a replacement; or bring back what served before.

    With `write` false (a prediction) nothing is changed.
    """
    result = Result(port=plan.port)
    state = ports.read_state(spec.directory)
    with explained(spec, "wait for"):
        found = api.inspect_container(spec.container)
        known = state.proven == found["Id"]
        try:
            result.version = _wait(api, spec, spec.container, known)
        except readiness.NotReady as error:
            if error.pending and not plan.main.any and not plan.finish:
                # It started while its database was away, and its start script does not mind: one more start migrates.
                result.actions.append(f"restart container {spec.container}")
                if write:
                    api.restart(spec.container, timeout=STOP_SECONDS)
                    result.version = _again(api, spec)
            elif write and _bring_back(api, spec):
                raise ContainerError(f"{error}; {_after_return(api, spec)}", error.log) from error
            else:
                if write and error.hopeless and not state.served:
                    # It would start over and over, compiling its assets each time, and nobody is served by it.
                    api.stop(spec.container, timeout=STOP_SECONDS)
                raise ContainerError(f"{error}{_redis_trouble(api, spec)}", error.log) from error
        if write and (not known or not state.served or state.port != plan.port):
            ports.write_state(spec.directory, state.with_(port=plan.port, served=True, proven=found["Id"]))
        if write and (plan.finish or plan.main.action == "recreate"):
            _remove(api, spec.previous)
        result.container_id, result.image_id = found["Id"], found["Image"]
    return result


def _again(api: Any, spec: Spec) -> str:
    try:
        return _wait(api, spec, spec.container, proven=False)
    except readiness.NotReady as error:
        raise ContainerError(f"{error}{_redis_trouble(api, spec)}", error.log) from error


def _redis_trouble(api: Any, spec: Spec) -> str:
    """Greenlight waits for its Redis without end: say so when that is what is wrong."""
    found = _inspect(api.inspect_container, spec.redis)
    if found and found["State"].get("Running") and not found["State"].get("Restarting"):
        return ""
    lines = readiness.tail(Running(api, spec.redis).log(), [spec.redis_password], 1)
    return f"; its Redis does not run{': ' + lines[0] if lines else ''}"


def _bring_back(api: Any, spec: Spec) -> bool:
    """After a failure: put back what was moved out of the way for a replacement. True when there was something."""
    with explained(spec, "bring back"):
        _remove(api, spec.next)
        old = _inspect(api.inspect_container, spec.previous)
        if old is None:
            main = _inspect(api.inspect_container, spec.container)
            state = ports.read_state(spec.directory)
            if main and main["Id"] == state.proven and not _occupies(main):
                api.start(spec.container)
            return False
        _remove(api, spec.container)
        api.rename(spec.previous, spec.container)
        _old_redis(api, spec, old)
        api.start(spec.container)
    return True


def _after_return(api: Any, spec: Spec) -> str:
    try:
        _wait(api, spec, spec.container, proven=True)
    except readiness.NotReady as error:
        return f"the container before it was brought back but does not serve either: {error}"
    return "the container before it serves again"


def _old_redis(api: Any, spec: Spec, old: Mapping[str, Any]) -> None:
    """Give Redis back the password that the old container knows."""
    environment = dict(entry.partition("=")[::2] for entry in old["Config"].get("Env") or [])
    match = re.search(r"://:([^@]+)@", environment.get("REDIS_URL", ""))
    if match and match.group(1) != spec.redis_password:
        _remove(api, spec.redis)
        api.create_container_from_config(redis_body(spec, match.group(1)), spec.redis)
        api.start(spec.redis)


# --- Stop and remove ------------------------------------------------------------------------------------------------


def withdraw(api: Any, spec: Spec, state: str, purge: bool, write: bool) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    """Stop the instance, or remove it, its data only when `purge` says so; with `write` false say what that would take."""
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write and os.path.isdir(spec.directory) else nullcontext():
        return _withdraw(api, spec, observe(api, spec, images=False), state, purge, write)


def _withdraw(
    api: Any, spec: Spec, observed: Observed, state: str, purge: bool, write: bool
) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    steps: list[str] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    jobs: list[Callable[[], Any]] = []
    containers = {
        spec.next: observed.next,
        spec.rehearsal: observed.rehearsal,
        spec.container: observed.main,
        spec.previous: observed.previous,
        spec.redis: observed.redis,
    }
    kept = observed.main
    keep: set[str] = set()
    if state == "stopped":
        keep = {spec.container, spec.redis}
        if observed.previous and (observed.main is None or observed.main["Id"] != observed.state.proven):
            # A replacement was cut short: what served before is what stays.
            kept, keep = observed.previous, {spec.previous, spec.redis}
    for name, container in containers.items():
        if container is None:
            continue
        if name not in keep:
            steps.append(f"remove container {name}")
            jobs.append(partial(_remove, api, name))
            before[name], after[name] = "present", None
        elif _occupies(container):
            steps.append(f"stop container {name}")
            jobs.append(partial(_stop, api, name))
            before[name], after[name] = "running", "stopped"
    if spec.previous in keep:
        steps.append(f"rename container {spec.previous} to {spec.container}")
        jobs.append(partial(_rename, api, spec.previous, spec.container))
        before[spec.previous], after[spec.previous] = "present", spec.container
    if state == "absent":
        if observed.network:
            steps.append(f"remove network {spec.network}")
            jobs.append(partial(_remove_network, api, spec.network))
            before["network"], after["network"] = spec.network, None
        if purge and observed.volume:
            steps.append(f"remove volume {spec.volume}")
            jobs.append(partial(_remove_volume, api, spec.volume))
            before["volume"], after["volume"] = spec.volume, None
        if observed.state != ports.State():
            steps.append("release port")
            jobs.append(partial(ports.remove_state, spec.directory))
            before["port"], after["port"] = observed.state.port, None
    if write:
        with explained(spec, "stop" if state == "stopped" else "remove"):
            for job in jobs:
                job()
    result = Result(actions=steps)
    if state == "stopped" and kept:
        result.port, result.container_id, result.image_id = port_of(kept) or observed.state.port, kept["Id"], kept["Image"]
    return result, before, after


def _stop(api: Any, name: str) -> None:
    api.stop(name, timeout=STOP_SECONDS)


def _rename(api: Any, old: str, new: str) -> None:
    api.rename(old, new)


def _remove_network(api: Any, name: str) -> None:
    """Remove a network; whatever else was hung on it by hand is unhooked, not removed."""
    for one in list((api.inspect_network(name).get("Containers") or {}).keys()):
        api.disconnect_container_from_network(one, name, force=True)
    api.remove_network(name)


def _remove_volume(api: Any, name: str) -> None:
    api.remove_volume(name)


# --- Errors ---------------------------------------------------------------------------------------------------------


@contextmanager
def explained(spec: Spec, doing: str) -> Iterator[None]:
    """Docker's errors as one clear line."""
    import docker.errors
    import requests.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        raise ContainerError(_why(f"Docker cannot {doing} {spec.container}", str(error.explanation or error))) from error
    except (requests.exceptions.RequestException, docker.errors.DockerException) as error:
        raise ContainerError(
            f"Docker stopped answering while asked to {doing} {spec.container} ({type(error).__name__}); see systemctl status docker"
        ) from error


def _why(subject: str, text: str) -> str:
    line = " ".join(str(text).split())
    if re.search(r"no space left on device", line, re.IGNORECASE):
        return f"{subject}: the disk of Docker is full; free space (docker system df shows what takes it), then run again"
    if re.search(r"no such image|manifest unknown|repository does not exist|pull access denied|not found: manifest", line, re.IGNORECASE):
        return f"{subject}: no such image, on this host or in its registry ({line[:200]})"
    if re.search(r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake|Client.Timeout", line) and subject.startswith(
        "image"
    ):
        return f"{subject}: its registry cannot be reached ({line[:200]})"
    return f"{subject}: {line[:400]}"
