# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a Greenlight instance as two services of a Docker Swarm, and what is to be done about them.

`observe` reads, `diff` makes a Plan from that alone, `apply` (swarm_operations.py) does it. Swarm itself starts the new task before it
ends the old one, waits for its health, goes back when that does not come, and starts the task on another node when one is lost.

What is secret never stands in a service: it is a Docker secret, a file in the container's memory, which a shell reads before it
becomes upstream's start script. The secret's name ends in a keyed digest of what it holds, so that a changed value is a changed service.
"""

from __future__ import annotations

import hashlib
import hmac
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import digest_of
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import CA_FILE, MASK, PORT, masked
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import (
    CAPABILITIES,
    LABEL,
    LABEL_CA,
    LABEL_MANAGER,
    LABEL_PORT,
    LABEL_ROLE,
    LOG_OPTIONS,
    MANAGER,
    REDIS_COMMAND,
    REDIS_UID,
    STOP_SECONDS,
    STORAGE,
    Spec,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.uploads import BUCKET

#: What the daemon answers when asked about a service, node, network, secret or task.
Inspected = Mapping[str, Any]
SECOND = 1_000_000_000
LONGEST = 63
ENVIRONMENT_FILE = "greenlight.env"
PASSWORD_FILE = "redis.password"
STORAGES = ("node", "shared", "s3")
S3_VARIABLES = ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_REGION", "S3_BUCKET")
#: Upstream's start script (greenlight Dockerfile, ENTRYPOINT ["./bin/start"]), with the secret part of its environment.
START = f"set -a; . /run/secrets/{ENVIRONMENT_FILE}; set +a; exec ./bin/start"
#: Well means migrated and connected once, and answering from then on: a database that is away for a while must not make Swarm
#: start every instance anew. Bash speaks HTTP itself, since the image has neither curl nor wget for certain.
HEALTH = f"""ask() (
  exec 3<>/dev/tcp/127.0.0.1/{PORT} || exit 1
  printf 'GET %s HTTP/1.0\\r\\nHost: %s\\r\\nAccept: application/json\\r\\nX-Forwarded-Proto: https\\r\\n\\r\\n' "$1" "$URL_HOST" >&3
  read -r _ status _ <&3
  [ "$status" = 200 ]
)
ask /api/v1/env.json || exit 1
[ ! -e /tmp/meet-coop-proven ] || exit 0
set -a; . /run/secrets/{ENVIRONMENT_FILE}; set +a
bundle exec rails db:abort_if_pending_migrations:with_data >/dev/null 2>&1 || exit 1
ask '/api/v1/site_settings.json?names[]=AllowNameUpdate' || exit 1
ask /health_check || exit 1
: >/tmp/meet-coop-proven"""
REDIS_START = f"REDISCLI_AUTH=$(cat /run/secrets/{PASSWORD_FILE})\n{REDIS_COMMAND}"
REDIS_HEALTH = f"REDISCLI_AUTH=$(cat /run/secrets/{PASSWORD_FILE}) redis-cli ping | grep -q PONG"


@dataclass(frozen=True)
class Swarm:
    """How an instance lies in its Swarm."""

    #: Label, with the value true, of the nodes that run instances.
    label: str = "coop.meet.instances"
    #: Where uploads lie: "node" (a volume of one node, which the instance is pinned to), "shared" (a directory that all nodes have),
    #: "s3" (not here at all).
    storage: str = "node"
    #: Host name of the node that the instance is pinned to.
    node: str | None = None
    #: The directory for "shared", the same on every node.
    path: str | None = None
    #: Seconds during which a new task that fails makes Swarm go back.
    monitor: int = 30

    @property
    def moves(self) -> bool:
        return self.node is None

    @property
    def uploads(self) -> str | None:
        """As the state file says where uploads are."""
        return self.path if self.storage == "shared" else BUCKET if self.storage == "s3" else None


@dataclass(frozen=True)
class Observed:
    """What there is. `docker` false: a host without Docker yet."""

    docker: bool = True
    service: Inspected | None = None
    redis: Inspected | None = None
    network: Inspected | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Names and ids of the secrets of this instance."""
    nodes: tuple[Inspected, ...] = ()
    """Nodes that may run it now."""
    places: tuple[Inspected, ...] = ()
    """Nodes that may run it at any time, those that are away at the moment too."""
    labelled: int = 0
    state: ports.State = ports.State()
    ca_digest: str | None = None
    volume: str | None = None
    """Directory of the instance's volume on this host."""
    containers: tuple[str, ...] = ()
    """Containers of the instance that the engine docker runs on this host."""
    own_id: str = ""
    """This node."""
    own_address: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be done, in words, and what the diff shows."""

    steps: tuple[str, ...] = ()
    port: int | None = None
    carry: str | None = None
    """Directory of a volume whose uploads go to where all nodes have them."""
    network: bool = False
    secrets: tuple[str, ...] = ()
    redis: str | None = None
    service: str | None = None
    new_image: bool = False
    dump: bool = False
    stale: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.steps)


def options(params: Mapping[str, Any] | None, spec: Spec) -> Swarm:
    """The module's option `swarm`, checked against the instance. Raises CoopError."""
    if len(spec.redis) > LONGEST:
        raise CoopError(f"name '{spec.name}' is too long for engine swarm, whose services have at most {LONGEST} characters; shorten it")
    given = {key: value for key, value in (params or {}).items() if value is not None}
    swarm = Swarm(**given)
    if not swarm.label or any(not (one.isalnum() or one in "._-") for one in swarm.label):
        raise CoopError(f"swarm.label '{swarm.label}' is not a label's name such as coop.meet.instances")
    if not 1 <= swarm.monitor <= 3600:
        raise CoopError(f"swarm.monitor {swarm.monitor} is not between 1 and 3600 seconds")
    if swarm.storage == "node" and not swarm.node:
        raise CoopError("swarm.storage 'node' keeps uploads on one node: name it in swarm.node, or choose storage 'shared' or 's3'")
    if swarm.storage != "node" and swarm.node:
        raise CoopError(f"swarm.node pins the instance to {swarm.node}, which swarm.storage '{swarm.storage}' does not need; leave one out")
    if swarm.storage == "shared" and not (swarm.path or "").startswith("/"):
        raise CoopError("swarm.storage 'shared' needs swarm.path, the absolute name of a directory that every node has")
    if swarm.storage == "shared" and (swarm.path or "").rstrip("/").rpartition("/")[2] != spec.name:
        raise CoopError(f"swarm.path {swarm.path} does not end in /{spec.name}; each instance needs a directory of its own, erased with it")
    if swarm.storage != "shared" and swarm.path:
        raise CoopError(f"swarm.path belongs to swarm.storage 'shared', not '{swarm.storage}'")
    if swarm.storage == "s3":
        missing = [name for name in S3_VARIABLES if name not in spec.environment]
        if missing:
            raise CoopError(f"swarm.storage 's3' needs {', '.join(missing)} in environment or secret_environment")
    return swarm


def network_name(spec: Spec) -> str:
    """The overlay network. Not the name of the bridge that the engine docker makes on one host, nor of any other instance's."""
    return f"{spec.network}_overlay"


# --- As it should be ------------------------------------------------------------------------------------------------


def secret_part(spec: Spec) -> dict[str, str]:
    """Variables that may not stand in a service's visible specification."""
    return {name: value for name, value in spec.environment.items() if masked(name, value, spec.secret_names) != value}


def environment_file(spec: Spec) -> bytes:
    """The secret part of the environment as a file that a shell reads."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(secret_part(spec).items())).encode()


def secret_name(spec: Spec, kind: str, content: bytes) -> str:
    """Keyed by the instance's own key, so that nobody who reads the name can try out what it holds. At most 64 characters."""
    key = spec.environment.get("SECRET_KEY_BASE", "").encode()
    whole = b"\0".join((spec.name.encode(), kind.encode(), content))
    return f"meet-coop-{kind}-{hmac.new(key, whole, hashlib.sha256).hexdigest()[:32]}"


def wanted_secrets(spec: Spec) -> dict[str, bytes]:
    """Names and contents of the secrets, that of Greenlight first."""
    contents = (("greenlight", environment_file(spec)), ("redis", spec.redis_password.encode()))
    return {secret_name(spec, kind, content): content for kind, content in contents}


def greenlight_service(spec: Spec, swarm: Swarm, port: int | None, ca_digest: str | None, replicas: int = 1) -> dict[str, Any]:
    """What Swarm is told to run."""
    visible = {name: value for name, value in spec.environment.items() if name not in secret_part(spec)}
    mounts: list[dict[str, Any]] = []
    if swarm.storage == "node":
        mounts.append({"Type": "volume", "Source": spec.volume, "Target": STORAGE})
    elif swarm.storage == "shared":
        mounts.append({"Type": "bind", "Source": swarm.path, "Target": STORAGE})
    if spec.ca_file:
        mounts.append({"Type": "bind", "Source": spec.ca_file, "Target": CA_FILE, "ReadOnly": True})
    name, _redis = wanted_secrets(spec)
    body = _service(spec, swarm, spec.container, "greenlight", replicas)
    body["Labels"][LABEL_PORT] = str(port)
    if spec.ca_file:
        body["Labels"][LABEL_CA] = ca_digest or ""
    body["EndpointSpec"]["Ports"] = [{"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": port, "PublishMode": "host"}]
    # A port of the node itself can be had once: where only one node will do, the old task has to end first.
    body["UpdateConfig"]["Order"] = body["RollbackConfig"]["Order"] = "start-first" if swarm.moves else "stop-first"
    body["TaskTemplate"]["ContainerSpec"] |= {
        "Image": spec.image,
        "Command": ["sh", "-c", START],
        "Env": [f"{key}={value}" for key, value in sorted(visible.items())],
        "Mounts": mounts,
        "Secrets": [_secret(name, ENVIRONMENT_FILE, "0")],
        "CapabilityAdd": list(CAPABILITIES),
        "Healthcheck": _health(["CMD", "bash", "-c", HEALTH], 10, 60, spec.ready_timeout),
    }
    body["TaskTemplate"]["Resources"] = _resources(spec.memory, spec.cpus, spec.pids)
    if swarm.node:
        body["TaskTemplate"]["Placement"]["Constraints"].append(f"node.hostname=={swarm.node}")
    return body


def redis_service(spec: Spec, swarm: Swarm, replicas: int = 1) -> dict[str, Any]:
    """The instance's own Redis; it keeps nothing, so it may run anywhere."""
    _greenlight, name = wanted_secrets(spec)
    body = _service(spec, swarm, spec.redis, "redis", replicas)
    # Two at once would share the name that Greenlight asks for.
    body["UpdateConfig"]["Order"] = body["RollbackConfig"]["Order"] = "stop-first"
    body["TaskTemplate"]["ContainerSpec"] |= {
        "Image": spec.redis_image,
        "Command": ["sh", "-c", REDIS_START.format(maxmemory=f"{spec.redis_memory * 2 // 3 // 1024}kb")],
        "User": f"{REDIS_UID}:{REDIS_UID}",
        "ReadOnly": True,
        "Mounts": [{"Type": "tmpfs", "Target": "/data", "TmpfsOptions": {"SizeBytes": 1024**2}}],
        "Secrets": [_secret(name, PASSWORD_FILE, str(REDIS_UID))],
        # Swarm tells nobody of it before the first good answer, and Greenlight waits for that.
        "Healthcheck": _health(["CMD-SHELL", REDIS_HEALTH], 10, 5, 10),
    }
    body["TaskTemplate"]["Resources"] = _resources(spec.redis_memory, 0.5, 64)
    return body


def _service(spec: Spec, swarm: Swarm, name: str, role: str, replicas: int) -> dict[str, Any]:
    labels = {LABEL: spec.name, LABEL_ROLE: role, LABEL_MANAGER: MANAGER}
    change = {"Parallelism": 1, "FailureAction": "rollback", "Monitor": swarm.monitor * SECOND, "MaxFailureRatio": 0}
    return {
        "Name": name,
        "Labels": dict(labels),
        "Mode": {"Replicated": {"Replicas": replicas}},
        "UpdateConfig": dict(change),
        "RollbackConfig": {**change, "FailureAction": "pause"},
        "EndpointSpec": {"Mode": "dnsrr"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Labels": dict(labels),
                "CapabilityDrop": ["ALL"],
                "StopGracePeriod": STOP_SECONDS * SECOND,
            },
            "RestartPolicy": {"Condition": "any", "Delay": 5 * SECOND},
            "Placement": {"Constraints": [f"node.labels.{swarm.label}==true"]},
            "Networks": [{"Target": network_name(spec)}],
            "LogDriver": {"Name": "json-file", "Options": dict(LOG_OPTIONS)},
        },
    }


def _health(test: list[str], interval: int, timeout: int, start: int) -> dict[str, Any]:
    return {"Test": test, "Interval": interval * SECOND, "Timeout": timeout * SECOND, "StartPeriod": start * SECOND, "Retries": 3}


def _secret(name: str, file: str, user: str) -> dict[str, Any]:
    return {"SecretName": name, "File": {"Name": file, "UID": user, "GID": user, "Mode": 0o400}}


def _resources(memory: int, cpus: float, pids: int) -> dict[str, Any]:
    """What a task may use, and the memory that a node must have left for it."""
    return {
        "Limits": {"NanoCPUs": round(cpus * SECOND), "MemoryBytes": memory, "Pids": pids},
        "Reservations": {"MemoryBytes": memory},
    }


# --- Observe --------------------------------------------------------------------------------------------------------


def observe(engine: Engine | None, spec: Spec, swarm: Swarm, foretell: bool = False) -> Observed:
    """Everything there is of the instance in this host's Swarm. Raises ContainerError where this host manages none.

    With `foretell`, a host that is no node of any is a bare one: role container_host makes the Swarm earlier in the same play.
    """
    state, ca_digest = ports.read_state(spec.directory), digest_of(spec.ca_file)
    if engine is None:
        return Observed(docker=False, state=state, ca_digest=ca_digest)
    own = engine.info().get("Swarm") or {}
    containers = tuple(sorted(_name(engine, one) for one in engine.ids_of(spec.container)))
    if foretell and own.get("LocalNodeState") == "inactive":
        return Observed(docker=False, state=state, ca_digest=ca_digest, containers=containers)
    if not own.get("ControlAvailable"):
        raise ContainerError(
            "this host manages no Docker Swarm; make one (docker swarm init), run this on one of its managers, or use engine docker"
        )
    nodes = engine.get("/nodes")
    labelled = [one for one in nodes if (one["Spec"].get("Labels") or {}).get(swarm.label) == "true"]
    fit = [one for one in labelled if one["Status"]["State"] == "ready" and one["Spec"]["Availability"] == "active"]
    found = services(engine, spec.name)
    return Observed(
        service=found.get(spec.container),
        redis=found.get(spec.redis),
        network=engine.network(network_name(spec)),
        secrets=secret_ids(engine, spec.name),
        nodes=tuple(one for one in fit if swarm.node in (None, one["Description"]["Hostname"])),
        places=tuple(one for one in labelled if swarm.node in (None, one["Description"]["Hostname"])),
        labelled=len(labelled),
        state=state,
        ca_digest=ca_digest,
        volume=str((engine.volume(spec.volume) or {}).get("Mountpoint") or "") or None,
        containers=containers,
        own_id=own.get("NodeID") or "",
        own_address=own.get("NodeAddr") or "",
    )


def services(engine: Engine, instance: str) -> dict[str, Inspected]:
    """An instance's services by name. Raises ContainerError where this host manages no Swarm."""
    return {one["Spec"]["Name"]: one for one in engine.get("/services", filters={"label": [f"{LABEL}={instance}"]})}


def secret_ids(engine: Engine, instance: str) -> dict[str, str]:
    """Names and ids of an instance's secrets."""
    return {one["Spec"]["Name"]: one["ID"] for one in engine.get("/secrets", filters={"label": [f"{LABEL}={instance}"]})}


def replicas(service: Inspected) -> int:
    """How many tasks a service is to have."""
    return int(((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas") or 0)


def pinned_to(service: Inspected | None) -> str:
    """Host name of the only node that may run a service; empty where several may."""
    placement = (((service or {}).get("Spec") or {}).get("TaskTemplate") or {}).get("Placement") or {}
    found = [one.partition("==")[2] for one in placement.get("Constraints") or [] if one.startswith("node.hostname==")]
    return found[0] if found else ""


def _name(engine: Engine, container_id: str) -> str:
    return str((engine.container(container_id) or {}).get("Name") or container_id).lstrip("/")


def hold(spec: Spec, observed: Observed) -> tuple[str, str | None]:
    """The image to keep, and the one that waits for an upgrade; None when there is nothing to wait for."""
    if observed.service is None or not observed.state.served:
        return spec.image, None
    found = image_of(observed.service)
    return (spec.image, None) if found == spec.image else (found, spec.image)


def image_of(service: Inspected) -> str:
    """The image's name; a digest that Docker's command put behind it is left out."""
    return str(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]).partition("@")[0]


def port_of(service: Inspected | None) -> int | None:
    """The port that each node of the service publishes."""
    for one in ((service or {}).get("Spec", {}).get("EndpointSpec") or {}).get("Ports") or []:
        if one.get("TargetPort") == PORT and one.get("PublishedPort"):
            return int(one["PublishedPort"])
    return None


def upstreams(observed: Observed, port: int | None) -> list[str]:
    """Where the instance may serve: each node that may run it, with the port. One that is away at the moment comes back.

    A host that was made anew joins as another node, and the one that it was stays in Swarm's list until somebody removes it.
    """
    addresses = sorted({address(one, observed) for one in observed.places})
    return [f"{one}:{port}" for one in addresses if one and port]


def address(node: Inspected, observed: Observed) -> str:
    """Where others reach a node."""
    return observed.own_address if node["ID"] == observed.own_id else str(node["Status"].get("Addr") or "")


# --- Compare --------------------------------------------------------------------------------------------------------


def view(body: Mapping[str, Any], networks: Mapping[str, str]) -> dict[str, Any]:
    """A wanted or a running service as flat names and plain values. `networks`: names by id."""
    task = body.get("TaskTemplate") or {}
    container = task.get("ContainerSpec") or {}
    endpoint = body.get("EndpointSpec") or {}
    health = container.get("Healthcheck") or {}
    resources = task.get("Resources") or {}
    limits, reserved = resources.get("Limits") or {}, resources.get("Reservations") or {}
    restart, log = task.get("RestartPolicy") or {}, task.get("LogDriver") or {}
    result: dict[str, Any] = {
        "image": str(container.get("Image") or "").partition("@")[0],
        "command": " ".join(container.get("Command") or []),
        "arguments": list(container.get("Args") or []),
        "user": container.get("User") or "",
        "read_only": bool(container.get("ReadOnly")),
        "capabilities_added": sorted(str(one).removeprefix("CAP_") for one in container.get("CapabilityAdd") or []),
        "capabilities_dropped": sorted(str(one).removeprefix("CAP_") for one in container.get("CapabilityDrop") or []),
        "stop_seconds": (container.get("StopGracePeriod") or 0) / SECOND,
        "mounts": sorted(
            f"{one.get('Type')} {one.get('Source') or ''} -> {one.get('Target')}{' (read only)' if one.get('ReadOnly') else ''}"
            for one in container.get("Mounts") or []
        ),
        "secrets": sorted(
            f"{one.get('SecretName')} -> {(one.get('File') or {}).get('Name')} (user {(one.get('File') or {}).get('UID')},"
            f" mode {(one.get('File') or {}).get('Mode') or 0:o})"
            for one in container.get("Secrets") or []
        ),
        "configs": sorted(str(one.get("ConfigName")) for one in container.get("Configs") or []),
        "health_check": [*(health.get("Test") or []), *(health.get(key) or 0 for key in ("Interval", "Timeout", "StartPeriod", "Retries"))],
        "cpus": (limits.get("NanoCPUs") or 0) / SECOND,
        "memory": limits.get("MemoryBytes") or 0,
        "pids": limits.get("Pids") or 0,
        "memory_reserved": reserved.get("MemoryBytes") or 0,
        "restart": f"{restart.get('Condition')} after {(restart.get('Delay') or 0) / SECOND:g} s, {restart.get('MaxAttempts') or 0} times",
        "constraints": sorted((task.get("Placement") or {}).get("Constraints") or []),
        "networks": sorted(networks.get(one["Target"], one["Target"]) for one in task.get("Networks") or []),
        "log": " ".join([log.get("Name") or "", *(f"{key}={value}" for key, value in sorted((log.get("Options") or {}).items()))]),
        "replicas": ((body.get("Mode") or {}).get("Replicated") or {}).get("Replicas"),
        "endpoint_mode": endpoint.get("Mode") or "vip",
        "ports": sorted(
            f"{one.get('PublishMode')}:{one.get('PublishedPort')}->{one.get('TargetPort')}/{one.get('Protocol')}"
            for one in endpoint.get("Ports") or []
        ),
    }
    for key, name in (("UpdateConfig", "update"), ("RollbackConfig", "rollback")):
        how = body.get(key) or {}
        result[name] = (
            f"{how.get('Order') or 'stop-first'}, {how.get('Parallelism')} at a time, then {how.get('FailureAction')},"
            f" watched for {(how.get('Monitor') or 0) / SECOND:g} s, at most {how.get('MaxFailureRatio') or 0:g} fail"
        )
    for entry in container.get("Env") or []:
        name, _equals, value = entry.partition("=")
        result[f"environment.{name}"] = value
    for place, labels in (("labels", body.get("Labels")), ("container_labels", container.get("Labels"))):
        result.update({f"{place}.{name}": value for name, value in (labels or {}).items()})
    return result


def difference(wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Both sides of what differs, as they may be shown. None: there is nothing yet."""
    if found is None:
        return None, {name: _shown(name, value) for name, value in wanted.items()}
    names = [name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)]
    return tuple({name: _shown(name, side.get(name)) for name in names} for side in (found, wanted))  # type: ignore[return-value]


def _shown(name: str, value: Any) -> Any:
    """Somebody may have written a secret into a service by hand."""
    if name.startswith("environment.") and isinstance(value, str):
        return masked(name.removeprefix("environment."), value)
    return value


def refuse_containers(spec: Spec, observed: Observed) -> None:
    """Raises ContainerError where the other engine runs the instance."""
    if observed.containers:
        raise ContainerError(
            f"{spec.name} runs as {', '.join(observed.containers)} of engine docker on this host; use engine docker, or take it over"
            " (switch_engine, playbook meet.coop.engine)"
        )


def diff(spec: Spec, swarm: Swarm, observed: Observed, taken: Iterable[int] = ()) -> Plan:
    """What is to be done. Raises CoopError for what this host cannot be asked for."""
    refuse_containers(spec, observed)
    if observed.docker and not observed.labelled:
        raise ContainerError(
            f"no node of this Swarm has the label {swarm.label}=true, so {spec.name} could run nowhere;"
            f" docker node update --label-add {swarm.label}=true NODE"
        )
    if observed.docker and not observed.nodes:
        where = f"node {swarm.node}" if swarm.node else f"none of the {observed.labelled} nodes with label {swarm.label}=true"
        raise ContainerError(f"{where} is ready and active, so {spec.name} can run nowhere; see docker node ls")
    port = port_of(observed.service) or observed.state.port or ports.allocate(spec.port_range, taken)
    names = {observed.network["Id"]: network_name(spec)} if observed.network else {}
    contents = wanted_secrets(spec)
    new = tuple(name for name in contents if name not in observed.secrets)
    steps: list[str] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    # From the engine docker, or laid there by a restore or an import. Once Swarm was told to run it, people write at the new place.
    carry = observed.volume if swarm.storage == "shared" and observed.state.uploads is None and observed.service is None else None
    if carry:
        steps.append(f"carry uploads from volume {spec.volume} to {swarm.path}")
        before["uploads"], after["uploads"] = f"volume {spec.volume}", swarm.path
    if observed.network is None:
        steps.append(f"create network {network_name(spec)}")
        before["network"], after["network"] = None, network_name(spec)
    if new:
        steps.append(f"create {len(new)} secret{'s' if len(new) > 1 else ''}")
        before["secrets"], after["secrets"] = sorted(set(contents) - set(new)), [*sorted(set(contents) - set(new)), *[MASK] * len(new)]
    todo: dict[str, str | None] = {}
    new_image = False
    for kind, name, service, wanted in (
        ("redis", spec.redis, observed.redis, redis_service(spec, swarm)),
        ("service", spec.container, observed.service, greenlight_service(spec, swarm, port, observed.ca_digest)),
    ):
        found = view(service["Spec"], names) if service else None
        was, becomes = difference(view(wanted, names), found)
        todo[kind] = "create" if was is None else "update" if becomes or was else None
        if kind == "service" and was is not None and "image" in becomes and observed.state.served:
            new_image = True
            if spec.dump:
                steps.append(f"dump database {spec.dump.db}")
        if todo[kind]:
            steps.append(f"{todo[kind]} service {name}")
            before[kind], after[kind] = was, becomes
    needed = set(contents)
    for kind, service in (("redis", observed.redis), ("service", observed.service)):
        # Swarm goes back to the specification before this one by itself: what that one needs has to stay until the next change.
        for kept in ("Spec",) if todo[kind] else ("Spec", "PreviousSpec"):
            needed |= _secrets_of(service, kept)
    stale = tuple(sorted(name for name in observed.secrets if name not in needed))
    if stale:
        steps.append(f"remove {len(stale)} old secret{'s' if len(stale) > 1 else ''}")
        before["old_secrets"], after["old_secrets"] = len(stale), 0
    return Plan(
        steps=tuple(steps),
        port=port,
        carry=carry,
        network=observed.network is None,
        secrets=new,
        redis=todo["redis"],
        service=todo["service"],
        new_image=new_image,
        dump=new_image and spec.dump is not None,
        stale=stale,
        before=before,
        after=after,
    )


def _secrets_of(service: Inspected | None, kept: str) -> set[str]:
    """Names of the secrets in a service's specification, or in the one before it (`kept` PreviousSpec)."""
    task = ((service or {}).get(kept) or {}).get("TaskTemplate") or {}
    return {str(one.get("SecretName")) for one in (task.get("ContainerSpec") or {}).get("Secrets") or []}
