# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an instance from the engine docker into a Swarm, and back.

What one engine ran is stopped, its uploads are carried to where the other one looks for them, the other one starts the same image, and only
once that is proven does what was before go. Where it does not become well, what was before serves again. A run that was killed is
finished by the next one with the same order: whatever is left of the former engine says that there is something to finish.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import container, operations, ports, swarm, swarm_operations, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, explained
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import Spec
from ansible_collections.meet.coop.plugins.module_utils._greenlight.swarm import Swarm

Told = tuple[operations.Result, Mapping[str, Any], Mapping[str, Any]]


def due(engine: Engine | None, spec: Spec, goal: str) -> bool:
    """Whether the engine that is not the goal ("docker" or "swarm") has anything of the instance."""
    if engine is None:
        return False
    if goal == "swarm":
        return bool(engine.ids_of(spec.container) or engine.network(spec.network))
    return ports.read_state(spec.directory).swarm


def whose(engine: Engine | None, spec: Spec, goal: str) -> str:
    """The engine that has the instance, for who only wants it stopped or gone; the goal where none has it."""
    if ports.read_state(spec.directory).swarm:
        return "swarm"
    return "docker" if engine is not None and engine.ids_of(spec.container) else goal


# --- Into the Swarm -------------------------------------------------------------------------------------------------


def to_swarm(
    engine: Engine, spec: Spec, how: Swarm, write: bool
) -> tuple[swarm_operations.SwarmResult, Mapping[str, Any], Mapping[str, Any]]:
    """Containers of this host become services; with `write` false say what that would take. Raises ContainerError."""
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write else nullcontext():
        found = container.observe(engine, spec, images=False)
        if found.next or found.rehearsal or found.state.put_back or (found.previous and not found.main):
            raise ContainerError(f"an upgrade of {spec.name} was cut short; run it once more with engine docker, then change the engine")
        main = found.main
        observed = replace(swarm.observe(engine, spec, how), containers=())
        spec, waiting = _with_its_image(spec, main, observed.service)
        volume = engine.volume(spec.volume)
        _refuse_other_places(engine, how, volume, write)
        target = how.path if how.storage == "shared" else None
        plan = swarm.diff(spec, how, observed, swarm_operations.taken(engine, spec))
        running = [name for name, one in ((spec.container, main), (spec.redis, found.redis)) if container.occupies(one)]
        there = [str((engine.container(one) or {}).get("Name") or one).lstrip("/") for one in engine.ids_of(spec.container)]
        steps = [f"stop container {name}" for name in running]
        steps += plan.steps
        steps += [f"remove container {name}" for name in sorted(there)]
        if volume and target:
            steps.append(f"remove volume {spec.volume}")
        if found.network:
            steps.append(f"remove network {spec.network}")
        before, after = {**plan.before, "engine": "docker"}, {**plan.after, "engine": "swarm"}
        if not write:
            result = swarm_operations.predicted(engine, spec, observed, plan)
        else:
            try:
                for name in running:
                    with explained(f"Docker cannot stop {name}"):
                        operations.stop(engine, name)
                result, _before, _after = swarm_operations.within(engine, spec, how, write, containers=False)
            except CoopError as error:
                if found.state.uploads is not None:
                    raise  # an earlier run got as far as Swarm, and what people have written since is there
                raise _back_to_docker(engine, spec, found, error) from error
            with explained(f"Docker cannot remove {spec.container}"):
                for name in there:
                    operations.remove(engine, name)
                if volume and target:
                    engine.sdk.remove_volume(spec.volume)
                if found.network:
                    operations.remove_network(engine, spec.network)
        result.actions, result.image_waiting = steps, waiting
        return result, before, after


def _refuse_other_places(engine: Engine, how: Swarm, volume: Mapping[str, Any] | None, write: bool) -> None:
    """Uploads are carried into a directory that this host has, or stay in its volume.

    In check mode what it is in will do: role instance makes the directory itself just before.
    """
    if how.storage == "s3" and volume is not None:
        raise ContainerError("uploads are not carried into a bucket; choose swarm.storage 'shared' or 'node'")
    own = str(engine.info().get("Name") or "")
    if how.storage == "node" and how.node != own and volume is not None:
        raise ContainerError(f"its uploads are on this host, {own}, not on swarm.node {how.node}; name this host there")
    path = str(how.path).rstrip("/")
    if how.storage == "shared" and not os.path.isdir(path) and (write or not os.path.isdir(os.path.dirname(path))):
        raise ContainerError(f"swarm.path {how.path} is no directory on this host; mount there what all nodes share")


def _back_to_docker(engine: Engine, spec: Spec, found: container.Observed, error: CoopError) -> ContainerError:
    """What ran before serves again; the error then says so."""
    log = getattr(error, "log", None)
    try:
        swarm_operations.remove(engine, spec)
        ports.write_state(spec.directory, found.state)
        for one in (found.redis, found.main):
            if one is not None:
                with explained(f"Docker cannot start {one['Name'].lstrip('/')}"):
                    engine.sdk.start(one["Id"])
        if found.main is not None:
            operations.wait(engine, spec, spec.container, proven=True)
    except CoopError as trouble:
        return ContainerError(f"{error}; and engine docker does not serve it again: {trouble}", log)
    return ContainerError(f"{error}; engine docker serves it again", log)


# --- Back to containers of this host --------------------------------------------------------------------------------


def to_docker(engine: Engine, spec: Spec, write: bool) -> Told:
    """Services become containers of this host; with `write` false say what that would take. Raises ContainerError."""
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write else nullcontext():
        state = ports.read_state(spec.directory)
        services = swarm.services(engine, spec.name)
        service = services.get(spec.container)
        if state.uploads == uploads.BUCKET:
            raise ContainerError(f"the uploads of {spec.name} are in a bucket, from which they are not carried back to a volume")
        source = uploads.directory(engine, spec.name, spec.state_root) if state.uploads else None
        leave = source or state.left
        pinned, own = "" if leave else swarm.pinned_to(service), str(engine.info().get("Name") or "")
        if pinned not in ("", own):
            raise ContainerError(f"the uploads of {spec.name} are in a volume of {pinned}, not of this host, {own}; carry them over first")
        running = [name for name, one in sorted(services.items()) if swarm.replicas(one)]
        steps = [f"stop service {name}" for name in running]
        if source:
            steps.append(f"carry uploads from {source} to volume {spec.volume}")
        # While the services run, their port is taken by them; the volume is made before the uploads are carried.
        observed = container.observe(engine, spec)
        spec, waiting = _with_its_image(spec, observed.main, service)
        observed = replace(container.observe(engine, spec), port_taken_by=None)
        if source:
            observed = replace(observed, volume=True)
        plan = container.diff(spec, observed, partial(container.others_ports, engine, spec))
        steps += plan.steps
        steps += swarm_operations.leavings(engine, spec)
        if leave:
            steps.append(f"remove {leave}")
        before, after = {**plan.before, "engine": "swarm"}, {**plan.after, "engine": "docker"}
        if not write:
            result = operations.predicted(spec, observed, plan, None)
        else:
            try:
                with explained(f"Swarm cannot stop {spec.container}"):
                    for name in running:
                        swarm_operations.scale(engine, name, 0)
                swarm_operations.ended(engine, spec.name)
                if source:
                    uploads.carry(spec.name, source, str(uploads.volume(engine, spec.name, make=True)))
                    ports.write_state(spec.directory, state.with_(uploads=None, left=source))
                result, _before, _after = operations.within(engine, spec, write)
            except CoopError as error:
                raise _back_to_swarm(engine, spec, running, state, error) from error
            swarm_operations.remove(engine, spec)
            if leave and os.path.isdir(leave):
                uploads.erase(spec.name, leave)
            ports.write_state(spec.directory, ports.read_state(spec.directory).with_(swarm=False, left=None))
        result.actions, result.image_waiting = steps, waiting
        return result, before, after


def _back_to_swarm(engine: Engine, spec: Spec, running: list[str], state: ports.State, error: CoopError) -> ContainerError:
    log = getattr(error, "log", None)
    try:
        with explained(f"Docker cannot remove {spec.container}"):
            for one in engine.ids_of(spec.container):
                operations.remove(engine, one)
            if engine.network(spec.network):
                operations.remove_network(engine, spec.network)
        ports.write_state(spec.directory, state)
        with explained("Swarm cannot start it again"):
            for name in sorted(running, reverse=True):
                swarm_operations.scale(engine, name, 1)
        if running:
            swarm_operations.started(engine, spec)
    except CoopError as trouble:
        return ContainerError(f"{error}; and engine swarm does not serve it again: {trouble}", log)
    return ContainerError(f"{error}; engine swarm serves it again" if running else str(error), log)


def _with_its_image(spec: Spec, main: Mapping[str, Any] | None, service: Mapping[str, Any] | None) -> tuple[Spec, str | None]:
    """The spec with the image that runs, and the one that waits for an upgrade: two changes at once are one too many."""
    image = main["Config"]["Image"] if main is not None else swarm.image_of(service) if service is not None else spec.image
    return replace(spec, image=image, image_change="replace"), None if image == spec.image else spec.image
