# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: doing what a plan for an instance in a Docker Swarm says, and waiting until Swarm has made it true."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import dumps, ports, readiness, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import others_ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, explained, variables
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import LABEL, LABEL_MANAGER, LOOPBACK, MANAGER, Spec
from ansible_collections.meet.coop.plugins.module_utils._greenlight.operations import Result
from ansible_collections.meet.coop.plugins.module_utils._greenlight.swarm import (
    Inspected,
    Observed,
    Plan,
    Swarm,
    address,
    diff,
    greenlight_service,
    hold,
    image_of,
    network_name,
    observe,
    port_of,
    redis_service,
    refuse_containers,
    replicas,
    secret_ids,
    services,
    upstreams,
    view,
    wanted_secrets,
)

PATIENCE = 60.0
"""Seconds that Swarm gets on top of what starting and watching a task take, for its own decisions."""
NO_NODE = 30.0
"""Seconds after which a task that no node can take counts as one that none will take."""
FAILURES = 3
"""So many tasks that ended by themselves say that the next one will too."""
ENDED = ("failed", "rejected")


@dataclass
class SwarmResult(Result):
    """What was done, and where the instance may serve."""

    upstreams: list[str] = field(default_factory=list)


def converge(
    engine: Engine | None, spec: Spec, swarm: Swarm, write: bool, patient: bool = True
) -> tuple[SwarmResult, Mapping[str, Any], Mapping[str, Any]]:
    """Bring the instance to its spec, or with `write` false say what that would take. Not `patient`: one look must do.

    Returns what was done, and both sides of the diff. Raises ContainerError.
    """
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write else nullcontext():
        return within(engine, spec, swarm, write, patient)


def within(
    engine: Engine | None, spec: Spec, swarm: Swarm, write: bool, patient: bool = True, containers: bool = True
) -> tuple[SwarmResult, Mapping[str, Any], Mapping[str, Any]]:
    """The same for a caller who holds the lock of the instance's directory. Not `containers`: those of engine docker are its matter."""
    observed = observe(engine, spec, swarm, foretell=not write)
    if not containers:
        observed = replace(observed, containers=())
    held = observed.state
    settled = observed.service is not None or held.uploads is not None
    if held.swarm and held.served and settled and held.uploads != swarm.uploads:
        raise ContainerError(
            f"the uploads of {spec.name} are in {_place(held.uploads, spec)}, not in {_place(swarm.uploads, spec)}; give swarm.storage and"
            " swarm.path as they were, or take the instance to engine docker (switch_engine) and from there to its new place"
        )
    waiting = None
    if spec.image_change == "keep":
        image, waiting = hold(spec, observed)
        spec = replace(spec, image=image)
    # One run at a time chooses a port on this host, and writes it down before the next one chooses.
    with ports.locked(spec.state_root, "the ports of this host", 60) if write else nullcontext():
        plan = diff(spec, swarm, observed, taken(engine, spec))
        state = observed.state.with_(port=plan.port, swarm=True, uploads=None if plan.carry else swarm.uploads, left=None)
        if write and state != observed.state:
            ports.write_state(spec.directory, state)
    # A volume that a container of the engine docker still has is removed with that.
    gone = [f"remove volume {spec.volume}"] if observed.volume and swarm.storage == "shared" and containers else []
    if plan.new_image and spec.rehearse:
        raise ContainerError(
            f"engine swarm cannot try {spec.image} on a copy of the database before {spec.container} gets it; with rehearse: false it"
            " goes on without, with Swarm's own way back should the new image not become well"
        )
    result = SwarmResult(actions=[*plan.steps, *gone], port=plan.port, image_waiting=waiting, upstreams=upstreams(observed, plan.port))
    if engine is None or ((plan.changed or gone) and not write):
        result = predicted(engine, spec, observed, plan)
        result.actions, result.image_waiting = [*result.actions, *gone], waiting
        return result, plan.before, plan.after
    if plan.dump and spec.dump and observed.service:
        running = _running(engine, observed.service)
        result.dump = dumps.dump(spec.dump, _container_id(running) or "0" * 12, spec.dumps)
    if plan.carry and write:
        if not os.path.isdir(str(swarm.path)):
            raise ContainerError(f"swarm.path {swarm.path} is no directory on this host; mount there what all nodes share")
        uploads.carry(spec.name, plan.carry, str(swarm.path))
        ports.write_state(spec.directory, state.with_(uploads=swarm.path))
    with explained(f"Swarm cannot change {spec.container}"):
        apply(engine, spec, swarm, observed, plan)
    try:
        settle(engine, spec, swarm, observed, plan, result, write, patient)
    except ContainerError as error:
        where = f"; the database as it was before is in {result.dump}" if result.dump else ""
        raise ContainerError(f"{error}{where}", error.log) from error
    state = ports.read_state(spec.directory)
    if write and not state.served:
        ports.write_state(spec.directory, state.with_(served=True))
    if gone and write:
        with explained(f"volume {spec.volume}"):
            engine.sdk.remove_volume(spec.volume)
    return result, plan.before, plan.after


def predicted(engine: Engine | None, spec: Spec, observed: Observed, plan: Plan) -> SwarmResult:
    """The result of a plan that is not carried out."""
    result = SwarmResult(actions=list(plan.steps), port=plan.port, upstreams=upstreams(observed, plan.port))
    result.image_id, result.version = _image(engine, spec.image)
    return result


def _place(where: str | None, spec: Spec) -> str:
    return where or f"volume {spec.volume}"


def taken(engine: Engine | None, spec: Spec) -> set[int]:
    """Ports that nobody may be given: this host's, and those that services publish on any node."""
    found = others_ports(engine, spec)
    for service in (engine.get("/services") if engine else None) or []:
        published = (service.get("Spec", {}).get("EndpointSpec") or {}).get("Ports") or []
        found |= {int(one["PublishedPort"]) for one in published if one.get("PublishedPort")}
    return found


def apply(engine: Engine, spec: Spec, swarm: Swarm, observed: Observed, plan: Plan) -> None:
    """Tell Swarm what to run. What it makes of that is for `settle` to see."""
    if not plan.changed:
        return
    if spec.ca_file and observed.ca_digest is None:
        raise ContainerError(f"ca_file {spec.ca_file} cannot be read on this host")
    sdk = engine.sdk
    labels = {LABEL: spec.name, LABEL_MANAGER: MANAGER}
    if plan.network:
        sdk.create_network(network_name(spec), driver="overlay", check_duplicate=True, labels=labels)
    ids = dict(observed.secrets)
    for name, content in wanted_secrets(spec).items():
        if name in plan.secrets:
            ids[name] = sdk.create_secret(name, content, labels=dict(labels))["ID"]
    for action, service, body in (
        (plan.redis, observed.redis, redis_service(spec, swarm)),
        (plan.service, observed.service, greenlight_service(spec, swarm, plan.port, observed.ca_digest)),
    ):
        for one in body["TaskTemplate"]["ContainerSpec"]["Secrets"]:
            one["SecretID"] = ids[one["SecretName"]]
        if action == "create":
            _post(sdk, "/services/create", body)
        elif action == "update" and service:
            _update(engine, service, body)
    for name in plan.stale:
        sdk.remove_secret(ids[name])


def _post(sdk: Any, path: str, body: Mapping[str, Any], *names: str, **query: Any) -> None:
    """The SDK's own calls know neither capabilities nor limits of processes."""
    response = sdk._post_json(sdk._url(path, *names), data=body, params=query)
    sdk._raise_for_status(response)


def _update(engine: Engine, service: Inspected, body: Mapping[str, Any]) -> None:
    # What Docker was told to count up by hand stays, or every run would start the task anew.
    body["TaskTemplate"]["ForceUpdate"] = service["Spec"]["TaskTemplate"].get("ForceUpdate") or 0
    _post(engine.sdk, "/services/{0}/update", body, service["ID"], version=service["Version"]["Index"])


# --- Prove ----------------------------------------------------------------------------------------------------------


def settle(
    engine: Engine, spec: Spec, swarm: Swarm, observed: Observed, plan: Plan, result: SwarmResult, write: bool, patient: bool
) -> None:
    """Wait until Swarm runs what the service says and the instance is well, as seen from here. Fills the result in.

    A new instance that does not become well is stopped; one that served has been taken back by Swarm. Raises ContainerError.
    """
    try:
        task = _wait(engine, spec, plan, spec.ready_timeout + swarm.monitor + PATIENCE if patient else 0.0)
        node = next((one for one in engine.get("/nodes") if one["ID"] == task.get("NodeID")), None)
        at = (LOOPBACK if node is None or node["ID"] == observed.own_id else address(node, observed), plan.port or 0)
        result.version = _well(engine, spec, at, readiness.GRACE if patient else 0.0)
    except ContainerError as error:
        if write and not observed.state.served:
            # It would start over and over, compiling its assets each time, and nobody is served by it.
            with explained(f"Swarm cannot stop {spec.container}"):
                scale(engine, spec.container, 0)
        raise error
    result.container_id = _container_id(task)
    result.image_id = _image(engine, spec.image)[0]


def _wait(engine: Engine, spec: Spec, plan: Plan, timeout: float, sleep: Callable[[float], None] = time.sleep) -> Mapping[str, Any]:
    """The task that runs, once Swarm has done what it was told; that may take `timeout` seconds."""
    start = time.monotonic()
    homeless: float | None = None
    known: set[str] | None = None
    under_way = plan.service is not None
    while True:
        service = engine.get(f"/services/{spec.container}")
        if service is None:
            raise ContainerError(f"service {spec.container} was removed by somebody while it was being waited for")
        how = service.get("UpdateStatus") or {}
        state = str(how.get("State") or "")
        tasks = _tasks(engine, service)
        known = {one["ID"] for one in tasks if _state(one) in ENDED} if known is None and plan.service != "create" else known or set()
        under_way = under_way or state == "updating"
        if under_way and state in ("rollback_completed", "rollback_paused", "paused"):
            log = _log(engine, spec, tasks)
            back = "Swarm went back to" if state == "rollback_completed" else "Swarm has stopped halfway; see docker service ps of"
            raise ContainerError(f"{spec.container} did not become well ({_why(tasks, spec)}), and {back} {image_of(service)}", log)
        current = [one for one in tasks if _same(one, service)]
        running = next((one for one in current if _state(one) == "running" and one.get("DesiredState") == "running"), None)
        if running and state in ("", "completed", "rollback_completed"):
            return running
        now = time.monotonic()
        lost = next((one for one in current if _state(one) == "pending" and one["Status"].get("Err")), None)
        homeless = (homeless or now) if lost else None
        if lost and homeless and now - homeless > NO_NODE:
            back = _go_back(engine, service) if state == "updating" else ""
            raise ContainerError(f"no node can take {spec.container}: {lost['Status']['Err']}{back}")
        failed = [one for one in current if _state(one) in ENDED and one["ID"] not in known]
        if plan.service == "create" and len(failed) >= FAILURES or now - start > timeout:
            after = "" if len(failed) >= FAILURES else f" after {timeout:.0f} s"
            log = _log(engine, spec, tasks)
            back = _go_back(engine, service) if state == "updating" else ""
            raise ContainerError(f"{spec.container} is not well{after}: {_why(tasks, spec)}{back}", log)
        sleep(1.0)


def _go_back(engine: Engine, service: Inspected) -> str:
    with explained("Swarm cannot go back"):
        _post(engine.sdk, "/services/{0}/update", service["Spec"], service["ID"], version=service["Version"]["Index"], rollback="previous")
    return "; it was told to go back to what ran before"


def _well(engine: Engine, spec: Spec, at: tuple[str, int], timeout: float, sleep: Callable[[float], None] = time.sleep) -> str:
    """The version that answers there, within `timeout` seconds. Raises ContainerError."""
    image = engine.image(spec.image)
    target = readiness.Target(
        name=spec.container,
        address=lambda _inspected: at,
        hostname=spec.hostname,
        version=variables(image).get("VERSION_TAG"),
        secrets=spec.secrets,
        proven=True,
    )
    end = time.monotonic() + timeout
    while True:
        status, body = readiness.get(at, readiness.LIVENESS, spec.hostname)
        version, reason = readiness.healthy(target, at, status, body)
        if version is not None:
            return version
        if time.monotonic() > end:
            raise ContainerError(f"{spec.container} runs on {at[0]}:{at[1]} but is not well from here: {reason}")
        sleep(1.0)


def _tasks(engine: Engine, service: Inspected) -> list[dict[str, Any]]:
    """The service's tasks, newest first."""
    found = engine.get("/tasks", filters={"service": [service["ID"]]})
    return sorted(found, key=lambda one: one["CreatedAt"], reverse=True)


def _running(engine: Engine, service: Inspected) -> Mapping[str, Any] | None:
    return next((one for one in _tasks(engine, service) if _state(one) == "running"), None)


def _state(task: Inspected) -> str:
    return str((task.get("Status") or {}).get("State") or "")


def _same(task: Inspected, service: Inspected) -> bool:
    """Whether a task was made from what the service says now."""
    return view({"TaskTemplate": task["Spec"]}, {}) == view({"TaskTemplate": service["Spec"]["TaskTemplate"]}, {})


def _container_id(task: Inspected | None) -> str | None:
    return ((task or {}).get("Status", {}).get("ContainerStatus") or {}).get("ContainerID") or None


def _why(tasks: list[dict[str, Any]], spec: Spec) -> str:
    """What Swarm says of the newest task that ended by itself."""
    for task in tasks:
        if _state(task) in ENDED:
            code = (task["Status"].get("ContainerStatus") or {}).get("ExitCode")
            said = str(task["Status"].get("Err") or task["Status"].get("Message") or "it ended")
            return readiness.hide(f"{said}{f' (exit code {code})' if code else ''}", spec.secrets)
    newest = tasks[0]["Status"] if tasks else {}
    return str(newest.get("Err") or newest.get("Message") or newest.get("State") or "it has no task yet")


def _log(engine: Engine, spec: Spec, tasks: list[dict[str, Any]]) -> list[str]:
    """The last lines of the newest task that has a container, secrets masked; nothing where its node is away."""
    task = next((one for one in tasks if _container_id(one)), None)
    if task is None:
        return []
    try:
        with explained("log"):
            sdk = engine.sdk
            response = sdk._get(sdk._url("/tasks/{0}/logs", task["ID"]), params={"stdout": 1, "stderr": 1, "tail": 400}, timeout=20)
            sdk._raise_for_status(response)
            return readiness.tail(_demultiplexed(response.content), spec.secrets)
    except CoopError:
        return []


def _demultiplexed(data: bytes) -> str:
    """Docker's stream of frames: kind, three zero bytes, length (four bytes), text."""
    found: list[bytes] = []
    while len(data) >= 8:
        length = int.from_bytes(data[4:8], "big")
        found.append(data[8 : 8 + length])
        data = data[8 + length :]
    return b"".join(found).decode("utf-8", "replace")


def _image(engine: Engine | None, name: str) -> tuple[str | None, str | None]:
    """Id and version of an image, where this host has it."""
    image = engine.image(name) if engine else None
    return ((image or {}).get("Id"), variables(image).get("VERSION_TAG"))


# --- Stop and remove ------------------------------------------------------------------------------------------------


def withdraw(
    engine: Engine | None, spec: Spec, swarm: Swarm, state: str, purge: bool, write: bool
) -> tuple[SwarmResult, dict[str, Any], dict[str, Any]]:
    """Stop the instance, or remove it, its data on this host only when `purge` says so; with `write` false say what that would take."""
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write and os.path.isdir(spec.directory) else nullcontext():
        observed = observe(engine, spec, swarm, foretell=not write)
        refuse_containers(spec, observed)
        return _withdraw(engine, spec, swarm, observed, state, purge, write)


def _withdraw(
    engine: Engine | None, spec: Spec, swarm: Swarm, observed: Observed, state: str, purge: bool, write: bool
) -> tuple[SwarmResult, dict[str, Any], dict[str, Any]]:
    steps: list[str] = []
    jobs: list[Callable[[], Any]] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}

    def step(words: str, key: str, was: Any, becomes: Any, job: Callable[[], Any]) -> None:
        steps.append(words)
        before[key], after[key] = was, becomes
        jobs.append(job)

    for name, service in ((spec.container, observed.service), (spec.redis, observed.redis)):
        if service is None:
            continue
        if state == "absent":
            step(f"remove service {name}", name, "present", None, lambda name=name: _sdk(engine).remove_service(name))
        elif replicas(service):
            step(f"stop service {name}", name, "running", "stopped", partial(scale, engine, name, 0))
    if steps:
        jobs.append(lambda: ended(engine, spec.name))
    if state == "absent":
        if observed.network:
            network = observed.network["Id"]
            words = f"remove network {network_name(spec)}"
            step(words, "network", network_name(spec), None, lambda: _let_go(lambda: _sdk(engine).remove_network(network)))
        if observed.secrets:
            found = observed.secrets
            words = f"remove {len(found)} secret{'s' if len(found) > 1 else ''}"
            step(words, "secrets", len(found), 0, lambda: [_sdk(engine).remove_secret(one) for one in found.values()])
        if purge and engine and engine.volume(spec.volume):
            words = f"remove volume {spec.volume}"
            step(words, "volume", spec.volume, None, lambda: _let_go(lambda: _sdk(engine).remove_volume(spec.volume)))
        shared = observed.state.uploads or swarm.path
        if purge and shared and shared != uploads.BUCKET and os.path.isdir(shared):
            step(f"remove {shared}", "uploads", shared, None, partial(uploads.erase, spec.name, shared))
        if purge and os.path.isdir(spec.dumps):
            step(f"remove {spec.dumps}", "dumps", spec.dumps, None, lambda: shutil.rmtree(spec.dumps))
        if observed.state != ports.State():
            step("release port", "port", observed.state.port, None, lambda: ports.remove_state(spec.directory))
    if write:
        with explained(f"Swarm cannot {'stop' if state == 'stopped' else 'remove'} {spec.container}"):
            for job in jobs:
                job()
    result = SwarmResult(actions=steps)
    if state == "stopped" and observed.service:
        result.port = port_of(observed.service) or observed.state.port
        result.image_id = _image(engine, image_of(observed.service))[0]
    return result, before, after


def refuse_services(spec: Spec) -> None:
    """For the engine docker. Raises ContainerError where the instance runs in a Swarm."""
    if ports.read_state(spec.directory).swarm:
        raise ContainerError(
            f"{spec.name} runs as services of a Docker Swarm; use engine swarm, or take it over (switch_engine, playbook meet.coop.engine)"
        )


def leavings(engine: Engine, spec: Spec) -> list[str]:
    """What `remove` removes, in words."""
    secrets = len(secret_ids(engine, spec.name))
    return [
        *(f"remove service {name}" for name in sorted(services(engine, spec.name))),
        *([f"remove network {network_name(spec)}"] if engine.network(network_name(spec)) else []),
        *([f"remove {secrets} secret{'s' if secrets > 1 else ''}"] if secrets else []),
    ]


def remove(engine: Engine, spec: Spec) -> None:
    """Take services, network and secrets away, and leave the state file alone. Raises ContainerError."""
    with explained(f"Swarm cannot remove {spec.container}"):
        for name in sorted(services(engine, spec.name)):
            engine.sdk.remove_service(name)
        ended(engine, spec.name)
        network = engine.network(network_name(spec))
        if network:
            _let_go(lambda: engine.sdk.remove_network(network["Id"]))
        for one in secret_ids(engine, spec.name).values():
            _let_go(partial(engine.sdk.remove_secret, one))


def started(engine: Engine, spec: Spec) -> None:
    """Wait until the instance runs again as its service says. Raises ContainerError."""
    _wait(engine, spec, Plan(), spec.ready_timeout + PATIENCE)


def _sdk(engine: Engine | None) -> Any:
    """The SDK, which is loaded only where something is changed."""
    return engine.sdk if engine else None


def scale(engine: Engine | None, name: str, tasks: int) -> None:
    """How many tasks a service is to have. What Docker says against it is for the caller to explain."""
    service = engine.get(f"/services/{name}") if engine else None
    if engine and service:
        body = copy.deepcopy(service["Spec"])
        body["Mode"]["Replicated"]["Replicas"] = tasks
        _update(engine, service, body)


def ended(engine: Engine | None, instance: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until no task of the instance runs on a node that answers."""
    end = time.monotonic() + PATIENCE
    while engine and time.monotonic() < end:
        away = {one["ID"] for one in engine.get("/nodes") if one["Status"]["State"] != "ready"}
        tasks = engine.get("/tasks", filters={"label": [f"{LABEL}={instance}"]})
        if not [one for one in tasks if _state(one) in ("running", "starting", "preparing") and one.get("NodeID") not in away]:
            return
        sleep(0.5)


def _let_go(remove: Callable[[], Any], sleep: Callable[[float], None] = time.sleep) -> None:
    """Remove what Swarm lets go of only a moment after its last task. Raises ContainerError."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with explained("Docker"):
                remove()
            return
        except ContainerError:
            if time.monotonic() > end:
                raise
            sleep(0.5)
