# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what there is of a Greenlight instance in Docker, and what is to be done about it.

`observe` reads, `diff` makes a Plan, `apply` (operations.py) does it. The plan is made from observations
alone, so that a prediction and a run are the same thing. A replacement keeps the old container until the new one is proven;
every name it uses on the way tells the next run how far a killed one came:

    greenlight-ID            the instance
    greenlight-ID.next       the new one: made and not started, or, on a port of its own, running beside the instance until it is proven
    greenlight-ID.rehearsal  a new image being tried beside the running instance, without a port
    greenlight-ID.previous   the old one: stopped, until the new one is proven; or running on its old port for some time after
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight import ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, variables
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import PORT, masked, masked_change
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import (
    LABEL,
    LABEL_PORT,
    LOOPBACK,
    Spec,
    greenlight_body,
    greenlight_limits,
    redis_body,
    redis_limits,
)

#: What the daemon answers when asked about a container, network or image.
Inspected = Mapping[str, Any]
#: Differences that Docker mends on the living container; every other one means a new container.
UPDATABLE = {"memory", "memory_swap", "cpus", "pids", "restart_policy"}


class PortTaken(ContainerError):
    """The instance's port is held by somebody else."""


# --- Observe --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """What there is. Containers, network and images are as Docker's API inspects them."""

    docker: bool = True
    main: Inspected | None = None
    redis: Inspected | None = None
    next: Inspected | None = None
    rehearsal: Inspected | None = None
    previous: Inspected | None = None
    network: Inspected | None = None
    volume: bool = False
    image: Inspected | None = None
    redis_image: Inspected | None = None
    #: Images of the containers there are, by id: what of their environment and labels comes from the image.
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stale_images: frozenset[str] = frozenset()
    state: ports.State = ports.State()
    ca_digest: str | None = None
    port_taken_by: str | None = None
    limits: Mapping[str, bool] = field(default_factory=dict)
    #: Unix time.
    now: float = 0.0


def observe(engine: Engine | None, spec: Spec, images: bool = True) -> Observed:
    """Everything there is of the instance. No engine: a host without Docker yet. Raises ContainerError."""
    state = ports.read_state(spec.directory)
    ca_digest = digest_of(spec.ca_file)
    if engine is None:
        return Observed(docker=False, state=state, ca_digest=ca_digest)
    found: dict[str, Mapping[str, Any]] = {}
    for container_id in engine.ids_of(spec.container):
        inspected = engine.container(container_id)
        if inspected:
            found[inspected["Name"].lstrip("/")] = inspected
    observed = Observed(
        main=found.get(spec.container),
        redis=found.get(spec.redis),
        next=found.get(spec.next),
        rehearsal=found.get(spec.rehearsal),
        previous=found.get(spec.previous),
        network=engine.network(spec.network),
        volume=engine.volume(spec.volume) is not None,
        state=state,
        ca_digest=ca_digest,
        now=time.time(),
    )
    if not images:
        return observed
    made_from = {one["Image"] for one in (observed.main, observed.redis, observed.previous, observed.next) if one}
    used = {image: engine.image(image) or {} for image in made_from}
    observed = replace(
        observed,
        images=used,
        image=_image(engine, spec.image, observed.main or observed.previous, used),
        redis_image=_image(engine, spec.redis_image, observed.redis, used),
    )
    if spec.pull == "always":
        observed = replace(observed, stale_images=_stale(engine, spec, observed))
    drifted = any(
        container and wrong_limits(container, wanted)
        for container, wanted in ((observed.main, greenlight_limits(spec)), (observed.redis, redis_limits(spec)))
    )
    if drifted:
        info = engine.info()
        names = {"memory": "MemoryLimit", "memory_swap": "SwapLimit", "cpus": "CpuCfsQuota", "pids": "PidsLimit"}
        observed = replace(observed, limits={limit: bool(info.get(key, True)) for limit, key in names.items()})
    port = port_of(observed.main) or port_of(observed.previous) or state.port
    ours = any(occupies(one) and port_of(one) == port for one in (observed.main, observed.next, observed.previous))
    if port and not ours and port in ports.listening():
        observed = replace(observed, port_taken_by=ports.listener(port) or "a program that cannot be named")
    return observed


def hold(spec: Spec, observed: Observed) -> tuple[Spec, Observed, str | None]:
    """The spec with the image that the instance runs, and the one that waits for an upgrade; None when it runs what it should."""
    found = next((one for one in (observed.next, observed.previous) if one and one["Id"] == observed.state.proven and occupies(one)), None)
    found = found or observed.main or observed.previous
    if not observed.state.served or found is None:
        return spec, observed, None
    name, image = found["Config"]["Image"], observed.images.get(found["Image"]) or None
    same = name == spec.image and (observed.image is None or observed.image.get("Id") == found["Image"])
    if same and spec.image not in observed.stale_images:
        return spec, observed, None
    held = replace(observed, image=image, stale_images=observed.stale_images - {spec.image})
    return replace(spec, image=name), held, spec.image


def _image(engine: Engine, name: str, container: Inspected | None, used: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The image by name; if its name is gone from this host, the one that a container made from that name still has."""
    found = engine.image(name)
    if found is None and container and container["Config"].get("Image") == name:
        found = used.get(container["Image"]) or None
    return found


def _stale(engine: Engine, spec: Spec, observed: Observed) -> frozenset[str]:
    """Images whose registry holds another content under the same name."""
    stale = set()
    for name, image in ((spec.image, observed.image), (spec.redis_image, observed.redis_image)):
        if image is not None:
            digest = engine.registry_digest(name)
            if not any(known.endswith(f"@{digest}") for known in image.get("RepoDigests") or []):
                stale.add(name)
    return frozenset(stale)


def digest_of(path: str | None) -> str | None:
    """Digest of the authority bundle: a file replaced on the host does not change in a container that has it mounted."""
    if path is None:
        return None
    try:
        with open(path, "rb") as handle:
            return hashlib.sha256(handle.read()).hexdigest()[:16]
    except OSError:
        return None


def occupies(container: Inspected | None) -> bool:
    return bool(container) and any(container["State"].get(key) for key in ("Running", "Restarting"))


def port_of(container: Inspected | None) -> int | None:
    """The host port a container publishes, running or not."""
    if not container:
        return None
    for binding in (container["HostConfig"].get("PortBindings") or {}).get(f"{PORT}/tcp") or []:
        if str(binding.get("HostPort") or "").isdigit():
            return int(binding["HostPort"])
    return None


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


def parameters(body: Mapping[str, Any], image: Inspected | None, known_image: bool) -> dict[str, Any]:
    """A wanted or an inspected container as flat names and plain values, with what its image brings left out."""
    config = body.get("Config") or body
    host = body["HostConfig"]
    brought = (image or {}).get("Config") or {}
    environment, from_image = variables({"Config": config}), variables(image)
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
    dump: bool = False
    rehearse: bool = False
    remove: tuple[str, ...] = ()
    restore: bool = False
    pull: tuple[str, ...] = ()
    finish: bool = False
    #: Start the new container beside the one that serves, and put it in its place when it is proven.
    beside: bool = False
    #: Put the proven `.next` in its place, which a killed run left to do.
    promote: bool = False
    #: Change places with the container before this one, which still runs.
    swap: bool = False
    #: Remove the other one after that, because its name is needed.
    clear: bool = False
    #: Put back the database of a migration that was cut short while nobody was served.
    put_back: str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.steps)


def compare(
    wanted: Mapping[str, Any],
    container: Inspected | None,
    image: Inspected | None,
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
    state, main, previous, restore = observed.state, observed.main, observed.previous, False
    promote = observed.next is not None and observed.next["Id"] == state.proven
    swap = main is not None and previous is not None and previous["Id"] == state.proven and occupies(previous)
    if promote:
        if main and previous:
            remove.append(spec.previous)
        main, previous = observed.next, main or previous
    elif observed.next:
        remove.append(spec.next)
    if observed.rehearsal:
        remove.append(spec.rehearsal)
    if swap:
        main, previous = previous, main
    observed = replace(observed, main=main, previous=previous)
    port, moved = _port(spec, observed, taken, refused)
    missing = tuple(
        dict.fromkeys(
            name
            for name, image in ((spec.image, observed.image), (spec.redis_image, observed.redis_image))
            if image is None or name in observed.stale_images
        )
    )
    if missing and spec.pull == "never" and observed.docker:
        raise ContainerError(f"image {missing[0]} is not on this host and pull is 'never'; load it (docker load) or set pull to 'missing'")

    def lacks(container: Inspected | None, port: int) -> Change:
        body = greenlight_body(spec, port, observed.ca_digest)
        return compare(body, container, observed.image, observed, spec, spec.image in missing)

    change = lacks(main, port)
    kept = previous is not None and main is not None and main["Id"] == state.proven and state.previous_until is not None
    if kept and _new_image(change) and spec.image_change == "beside" and occupies(previous) and not promote and not swap:
        back = lacks(previous, port_of(previous) or port)
        if not back.any:
            main, previous, swap, change = previous, main, True, back
            port = port_of(main) or port
    if previous and spec.previous not in remove:
        if main is None or (main["Id"] != state.proven and change.replaces and not swap):
            # A run was killed before the new container was proven, and the new one is not what is wanted.
            if main is not None:
                remove.append(spec.container)
            restore, main = True, previous
            port = port_of(main) or port
            change = lacks(main, port)
        elif (
            main["Id"] == state.proven
            and not (promote or swap)
            and (not kept or change.replaces or observed.now >= (state.previous_until or 0) or not occupies(previous))
        ):
            remove.append(spec.previous)  # its place is needed, or its time is over
    finish = bool(previous) and not (restore or kept or swap or change.replaces) and spec.previous not in remove
    redis_change = compare(redis_body(spec), observed.redis, observed.redis_image, observed, spec, spec.redis_image in missing)
    running = main is not None and (bool(main["State"].get("Running")) or bool(state.put_back))
    proven = main is not None and state.proven == main["Id"]
    new_image = change.action == "recreate" and _new_image(change)
    rehearse = spec.rehearse and running and new_image and proven and not moved
    dump = spec.dump is not None and new_image and state.served
    beside = spec.image_change == "beside" and running and new_image and proven and not moved
    if beside:
        port = ports.allocate(spec.port_range, taken() | refused | {port, port_of(previous) or port})
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in remove:
        steps.append(f"remove container {name}")
    if restore:
        steps.append(f"rename container {spec.previous} to {spec.container}")
    if promote:
        steps.append(f"put container {spec.next} in place of {spec.container}")
    if swap:
        steps.append(f"put container {spec.previous} in place of {spec.container}")
        before["serving"], after["serving"] = _serving(previous), _serving(main)
    clear = (promote or swap) and previous is not None and change.replaces
    if clear:
        steps.append(f"remove container {spec.previous}")
    if state.put_back and spec.dump and not promote:
        steps.append(f"put back database {spec.dump.db} from {state.put_back}")
        before["database"], after["database"] = "half migrated", state.put_back
    if remove or restore or finish or promote:
        leftovers = sorted([*remove, *([spec.previous] if restore or finish else []), *([spec.next] if promote else [])])
        before["leftovers"], after["leftovers"] = leftovers, []
    for name in missing:
        steps.append(f"pull image {name}")
    if observed.network is None:
        steps.append(f"create network {spec.network}")
        before["network"], after["network"] = None, spec.network
    if not observed.volume:
        steps.append(f"create volume {spec.volume}")
        before["volume"], after["volume"] = None, spec.volume
    if dump and spec.dump:
        steps.append(f"dump database {spec.dump.db}")
    if rehearse:
        steps.append(f"rehearse image {spec.image}{f' on a copy of database {spec.dump.db}' if dump and spec.dump else ''}")
    if beside:
        steps.append(f"start container {spec.next} beside {spec.container}")
        before["serving"], after["serving"] = _serving(main), f"{LOOPBACK}:{port}"
    for kind, name, one in (("redis", spec.redis, redis_change), ("container", spec.container, change)):
        steps.extend(
            [f"put container {spec.next} in place of {spec.container}"] if beside and kind == "container" else _words(name, one, spec)
        )
        if one.any:
            before[kind], after[kind] = one.before, one.after
    if finish:
        steps.append(f"remove container {spec.previous}")
    return Plan(
        steps=tuple(steps),
        port=port,
        main=change,
        redis=redis_change,
        dump=dump,
        rehearse=rehearse,
        remove=tuple(remove),
        restore=restore,
        pull=missing,
        finish=finish,
        beside=beside,
        promote=promote,
        swap=swap,
        clear=clear,
        put_back=state.put_back if spec.dump and not promote else None,
        before=before,
        after=after,
    )


def _new_image(change: Change) -> bool:
    return bool(change.after and {"image", "image_id"} & change.after.keys())


def _serving(container: Inspected | None) -> str:
    return f"{LOOPBACK}:{port_of(container)}"


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
    raise PortTaken(taken_message(spec, port, observed.port_taken_by))


def taken_message(spec: Spec, port: int | None, who: str | None) -> str:
    return f"port {port} of {spec.container} is taken by {who or 'another program'}; free it (the edge routes to this port), then run again"


def others_ports(engine: Engine | None, spec: Spec) -> set[int]:
    """Ports this instance may not have: listened on, reserved by other instances, or published by other containers."""
    taken = set(ports.listening()) | ports.reserved(spec.state_root, spec.name)
    for row in engine.containers() if engine else []:
        labels = row.get("Labels") or {}
        if labels.get(LABEL) != spec.name:
            taken |= {int(labels[LABEL_PORT])} if str(labels.get(LABEL_PORT, "")).isdigit() else set()
            taken |= {entry["PublicPort"] for entry in row.get("Ports") or [] if entry.get("PublicPort")}
    return taken
