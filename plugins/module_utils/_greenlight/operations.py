# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: doing what a plan for a Greenlight instance says, proving it, and going back when it cannot be proven."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.meet.coop.plugins.module_utils._greenlight import copies, dumps, ports, readiness
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import (
    Change,
    Observed,
    Plan,
    PortTaken,
    diff,
    hold,
    observe,
    occupies,
    others_ports,
    port_of,
    taken_message,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import DatabaseError, Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, explained, variables, why
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import (
    PORT,
    database_url,
    secret_values,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import (
    LABEL,
    LABEL_MANAGER,
    LOOPBACK,
    MANAGER,
    STOP_SECONDS,
    Spec,
    greenlight_body,
    redis_body,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.visit import Visitor

#: Variables that a rehearsal goes without: it sends no mail, signs nobody in elsewhere, and writes no file to others.
OUTWARD = ("SMTP_", "OPENID_", "S3_", "GCS_", "AS_MIRROR_", "HCAPTCHA_", "RAILS_LOG_REMOTE_", "CLAMAV_")
REHEARSAL_EMAIL = "rehearsal@upgrade.invalid"
LOOKS = 3
"""How often a page that is not right is looked at again before it counts."""


@dataclass
class Result:
    """What was done and what came of it."""

    actions: list[str] = field(default_factory=list)
    container_id: str | None = None
    image_id: str | None = None
    version: str | None = None
    port: int | None = None
    dump: str | None = None
    #: The image that is wanted and waits for an upgrade.
    image_waiting: str | None = None
    #: The container before this one, while it still runs: image, port, until (Unix time).
    previous: dict[str, Any] | None = None


class Running:
    """A container as the waiting sees it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def inspect(self) -> dict[str, Any]:
        found = self.engine.container(self.name)
        if found is None:
            raise ContainerError(f"container {self.name} was removed by somebody while it was being waited for")
        return found

    def run(self, argv: list[str]) -> tuple[int | None, str]:
        sdk = self.engine.sdk
        try:
            with explained(f"Docker cannot run {argv[0]} in {self.name}"):
                job = sdk.exec_create(self.name, argv)
                output = sdk.exec_start(job["Id"]).decode("utf-8", "replace")
                code = int(sdk.exec_inspect(job["Id"])["ExitCode"] or 0)
                # Docker reports a program that it could not start (the container is full, or just ending) like one that failed.
                return (None if output.startswith("OCI runtime exec failed") else code), output
        except ContainerError as error:
            return None, str(error)

    def log(self) -> str:
        try:
            with explained("log"):
                return self.engine.sdk.logs(self.name, tail=400).decode("utf-8", "replace")
        except ContainerError:
            return ""


# --- Run and replace ------------------------------------------------------------------------------------------------


def converge(engine: Engine | None, spec: Spec, write: bool) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    """Bring the instance to its spec, or with `write` false say what that would take.

    Returns what was done, and both sides of the diff. Raises ContainerError.
    """
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write else nullcontext():
        return within(engine, spec, write)


def within(engine: Engine | None, spec: Spec, write: bool) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    """The same for a caller who holds the lock of the instance's directory."""
    actions: list[str] = []
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    refused: frozenset[int] = frozenset()
    dump: str | None = None
    wished = spec
    while True:
        spec, waiting = wished, None
        observed = observe(engine, spec)
        if spec.image_change == "keep":
            spec, observed, waiting = hold(spec, observed)
        # One run at a time chooses a port on this host, and writes it down before the next one chooses.
        with ports.locked(spec.state_root, "the ports of this host", 60) if write else nullcontext():
            plan = diff(spec, observed, partial(others_ports, engine, spec), refused)
            reserved = _reserved(observed.state, plan)
            if write and reserved != observed.state:
                ports.write_state(spec.directory, reserved)
        actions += plan.steps
        before, after = {**plan.before, **before}, {**after, **plan.after}
        if engine is None or (plan.changed and not write):
            return predicted(spec, observed, plan, waiting), before, after
        if not plan.changed:
            break
        try:
            prepare(engine, spec, plan)
            replaced = observed.next if plan.promote else observed.previous if plan.restore or plan.swap else observed.main
            if plan.dump and spec.dump and replaced:
                dump = dumps.dump(spec.dump, replaced["Id"], spec.dumps)
            dump = apply(engine, spec, observed, plan, dump)
            break
        except PortTaken:
            if observed.state.served or len(refused) >= 5:
                bring_back(engine, spec)
                raise
            refused |= {plan.port or 0}
        except (ContainerError, DatabaseError) as error:
            bring_back(engine, spec)
            raise _with_dump(error, dump) from error
    try:
        result = settle(engine, spec, plan, write)
    except ContainerError as error:
        raise _with_dump(error, dump) from error
    result.actions, result.dump, result.image_waiting = actions + result.actions, dump, waiting
    result.previous = _previous(engine, spec)
    return result, before, after


def _reserved(state: ports.State, plan: Plan) -> ports.State:
    """The state file before the plan is carried out: what other instances of this host must not choose."""
    if plan.promote or plan.swap:
        return state
    return state.with_(next_port=plan.port) if plan.beside else state.with_(port=plan.port, next_port=None)


def _previous(engine: Engine, spec: Spec) -> dict[str, Any] | None:
    """The container before this one while it is kept."""
    state, found = ports.read_state(spec.directory), engine.container(spec.previous)
    if state.previous_until is None or not occupies(found):
        return None
    return {
        "image": found["Config"]["Image"],
        "version": variables(found).get("VERSION_TAG"),
        "port": port_of(found),
        "until": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(state.previous_until)),
    }


def _with_dump(error: ContainerError | DatabaseError, dump: str | None) -> ContainerError:
    """The error, telling where the database as it was before lies: the new image may have migrated it."""
    where = f"; the database as it was before is in {dump}" if dump else ""
    return ContainerError(f"{error}{where}", getattr(error, "log", None))


def predicted(spec: Spec, observed: Observed, plan: Plan, waiting: str | None) -> Result:
    main = observed.next if plan.promote else observed.previous if plan.swap else observed.main or observed.previous
    image = observed.image if observed.image and not plan.pull else None
    return Result(
        actions=list(plan.steps),
        container_id=main["Id"] if main and not plan.main.replaces else None,
        image_id=image["Id"] if image else None,
        version=variables(image).get("VERSION_TAG"),
        port=plan.port,
        image_waiting=waiting,
    )


def prepare(engine: Engine, spec: Spec, plan: Plan) -> None:
    """Clear away what a killed run left, and fetch images: what serves is not touched yet."""
    with explained(f"Docker cannot change {spec.container}"):
        for name in plan.remove:
            remove(engine, name, served=name not in (spec.next, spec.rehearsal))
        state = ports.read_state(spec.directory)
        if spec.previous in plan.remove and state.previous_until is not None:
            ports.write_state(spec.directory, state.with_(previous_until=None))
        if plan.restore:
            engine.sdk.rename(spec.previous, spec.container)
        if plan.promote:
            _promote(engine, spec)
        if plan.swap:
            _swap(engine, spec)
        if plan.clear:
            remove(engine, spec.previous)
        if plan.put_back and spec.dump:
            if engine.container(spec.container):
                stop(engine, spec.container)
            copies.put_back(spec.dump, plan.put_back, keep=False)
            ports.write_state(spec.directory, ports.read_state(spec.directory).with_(put_back=None))
            if engine.container(spec.container):
                engine.sdk.start(spec.container)
        for name in plan.pull:
            pull(engine, name)


def apply(engine: Engine, spec: Spec, observed: Observed, plan: Plan, dump: str | None = None) -> str | None:
    """Do what the plan says after `prepare`, up to and including starting the container; `settle` then proves it.

    Returns the newest dump made: `dump`, unless nobody is served during the migration, then one made after that began.
    """
    with explained(f"Docker cannot change {spec.container}"):
        sdk = engine.sdk
        if spec.ca_file and observed.ca_digest is None:
            raise ContainerError(f"ca_file {spec.ca_file} cannot be read on this host")
        labels = {LABEL: spec.name, LABEL_MANAGER: MANAGER}
        if observed.network is None:
            sdk.create_network(spec.network, driver="bridge", check_duplicate=True, labels=labels)
        if not observed.volume:
            sdk.create_volume(spec.volume, labels=labels)
        lost = _rehearse(engine, spec, observed, dump) if plan.rehearse else []
        if plan.redis.replaces:
            remove(engine, spec.redis)
            sdk.create_container_from_config(redis_body(spec), spec.redis)
            sdk.start(spec.redis)
        else:
            _adjust(engine, spec.redis, plan.redis, spec)
        if plan.beside:
            return _beside(engine, spec, observed, plan, dump, lost)
        if plan.main.action == "create":
            sdk.create_container_from_config(greenlight_body(spec, plan.port, observed.ca_digest), spec.container)
            _start(engine, spec, plan.port)
        elif plan.main.action == "recreate":
            _replace(engine, spec, observed, plan)
        else:
            _adjust(engine, spec.container, plan.main, spec, plan.port)
    return dump


def _replace(engine: Engine, spec: Spec, observed: Observed, plan: Plan) -> None:
    """Old container out of the way, new one on the same port. The old one is removed only when the new one is proven."""
    sdk = engine.sdk
    sdk.create_container_from_config(greenlight_body(spec, plan.port, observed.ca_digest), spec.next)
    stop(engine, spec.container)
    if observed.state.port is not None and not observed.state.served:
        remove(engine, spec.container)  # it is known, and has never been ready: nothing to go back to
    else:
        sdk.rename(spec.container, spec.previous)
    sdk.rename(spec.next, spec.container)
    _start(engine, spec, plan.port)


def _adjust(engine: Engine, name: str, change: Change, spec: Spec, port: int | None = None) -> None:
    """Change a container that stays."""
    sdk = engine.sdk
    for network in change.disconnect:
        sdk.disconnect_container_from_network(name, network, force=True)
    if change.connect:
        sdk.connect_container_to_network(name, spec.network)
    if change.update:
        _update(sdk, name, change.update)
    if change.action == "unpause":
        sdk.unpause(name)
    elif change.action == "start":
        if port:
            _start(engine, spec, port)
        else:
            sdk.start(name)


def _update(sdk: Any, name: str, limits: Mapping[str, Any]) -> None:
    """Change limits on the living container. The SDK's own call knows neither NanoCpus nor PidsLimit."""
    keys = {"memory": "Memory", "memory_swap": "MemorySwap", "pids": "PidsLimit"}
    body: dict[str, Any] = {keys[limit]: value for limit, value in limits.items() if limit in keys}
    if "memory" in limits and "memory_swap" not in limits:
        body["MemorySwap"] = limits["memory"]
    if "cpus" in limits:
        body["NanoCpus"] = round(limits["cpus"] * 1_000_000_000)
    if "restart_policy" in limits:
        body["RestartPolicy"] = {"Name": limits["restart_policy"], "MaximumRetryCount": 0}
    response = sdk._post_json(sdk._url("/containers/{0}/update", name), data=body)
    sdk._raise_for_status(response)


def _start(engine: Engine, spec: Spec, port: int | None, name: str | None = None) -> None:
    import docker.errors

    try:
        engine.sdk.start(name or spec.container)
    except docker.errors.APIError as error:
        if re.search(r"port is already allocated|address already in use|ports are not available", str(error)):
            raise PortTaken(taken_message(spec, port, ports.listener(port or 0))) from error
        raise


def remove(engine: Engine, name: str, served: bool = True) -> None:
    """Stop and remove a container if it is there. One that never served anybody is not given time to end."""
    import docker.errors

    found = engine.container(name)
    if found is None:
        return
    try:
        if served and occupies(found):
            stop(engine, name)
        # Anonymous volumes go only with containers that we made: they hold nothing. Named ones always stay.
        engine.sdk.remove_container(name, force=True, v=(found["Config"].get("Labels") or {}).get(LABEL_MANAGER) == MANAGER)
    except docker.errors.NotFound:
        pass


def pull(engine: Engine, name: str) -> None:
    """Fetch an image. Raises ContainerError saying what the registry or the disk has against it."""
    with explained(f"image {name}"):
        from docker.utils import parse_repository_tag

        repository, tag = parse_repository_tag(name)
        for row in engine.sdk.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if row.get("error"):
                raise ContainerError(why(f"image {name}", row["error"]))


def _rehearse(engine: Engine, spec: Spec, observed: Observed, dump: str | None) -> list[str]:
    """Try a new image beside the running instance before touching what serves: on a copy of its database, or, without a dump, on its own.

    Returns what the version that runs would miss in the database afterwards. Raises ContainerError.
    """
    environment = dict(spec.environment)
    current = variables(observed.main)
    if observed.redis and current.get("REDIS_URL"):
        environment["REDIS_URL"] = current["REDIS_URL"]
    refusal = f"image {spec.image} is refused, {spec.container} serves on as it was"
    try:
        if dump and spec.dump:
            return _on_a_copy(engine, replace(spec, environment=environment), observed, spec.dump, dump)
        _try(engine, replace(spec, environment=environment), greenlight_body(spec, None, observed.ca_digest, role="rehearsal"))
    except (readiness.NotReady, DatabaseError) as error:
        raise ContainerError(f"{refusal}: {error}", getattr(error, "log", None)) from error
    except ContainerError as error:
        raise ContainerError(f"{refusal}: {error}", error.log) from error
    finally:
        remove(engine, spec.rehearsal, served=False)
    return []


def _try(engine: Engine, trial: Spec, body: dict[str, Any]) -> None:
    engine.sdk.create_container_from_config(body | {"Env": [f"{key}={value}" for key, value in trial.environment.items()]}, trial.rehearsal)
    engine.sdk.start(trial.rehearsal)
    wait(engine, trial, trial.rehearsal, proven=False)


def _on_a_copy(engine: Engine, spec: Spec, observed: Observed, login: Login, dump: str) -> list[str]:
    """Let the new image migrate a copy, look at what became of it, and sign in there."""
    before = copies.shape(login)
    password = f"{secrets.token_urlsafe(24)}aA1!"
    with copies.copied(login, dump) as copy:
        real = urlsplit(spec.environment["DATABASE_URL"])
        place = {"host": real.hostname, "port": real.port, "name": copy.name, "user": copy.name, "password": copy.password}
        environment = {name: value for name, value in spec.environment.items() if not name.startswith(OUTWARD)}
        environment |= {
            "DATABASE_URL": database_url(place),
            # Another database of the same Redis: what the new version caches is not for the old one.
            "REDIS_URL": urlsplit(environment["REDIS_URL"])._replace(path="/1").geturl(),
            "BIGBLUEBUTTON_ENDPOINT": "http://127.0.0.1:9/bigbluebutton/api/",
            "BBB_HEALTH_CHECK_DISABLED": "true",
            "SMTP_HEALTH_CHECK_DISABLED": "true",
        }
        trial = replace(spec, environment=environment, secret_names=spec.secret_names | {"DATABASE_URL"})
        body = greenlight_body(trial, None, observed.ca_digest, role="rehearsal")
        body["HostConfig"]["Mounts"] = [mount for mount in body["HostConfig"]["Mounts"] if mount["Type"] != "volume"]
        try:
            _try(engine, trial, body)
            copies.make_account(login, copy, REHEARSAL_EMAIL, password)
            visitor = _visitor(engine, trial, trial.rehearsal)
            wrong = visitor.look() or visitor.sign_in(REHEARSAL_EMAIL, password)
            after = copies.shape(replace(login, db=copy.name))
        finally:
            remove(engine, spec.rehearsal, served=False)
    doubled = sorted(after.duplicates - before.duplicates)
    if doubled:
        raise ContainerError(f"its migrations leave rows that stand more than once: {'; '.join(doubled[:5])}")
    if wrong:
        raise ContainerError(f"it was tried on a copy of the database, and {wrong}")
    lost = copies.lost(before, after)
    if lost and not spec.interruption:
        raise ContainerError(
            f"the version that runs cannot live with the database it makes ({'; '.join(lost[:5])}), so they cannot run side by side;"
            " allow an interruption (allow_interruption; in role upgrade, upgrade_interruption) at an hour that suits the member"
        )
    return lost


def _visitor(engine: Engine, spec: Spec, name: str) -> Visitor:
    found = Running(engine, name).inspect()
    return Visitor(_address(spec, found) or (LOOPBACK, 0), variables(found).get("URL_HOST") or spec.hostname)


# --- One beside the other -------------------------------------------------------------------------------------------


def _beside(engine: Engine, spec: Spec, observed: Observed, plan: Plan, dump: str | None, lost: list[str]) -> str | None:
    """Start the new container on a port of its own while the old one serves, prove it, and give it the instance's name.

    The old one serves on until somebody routes to the new port, and is kept for some time after. With `lost`, which the old version cannot
    do without, it is stopped first, and the database goes back to a dump made after that when anything fails. Raises ContainerError; then
    the old container serves on.
    """
    interrupt = bool(lost)
    if interrupt and spec.dump:
        stop(engine, spec.container)
        dump = dumps.dump(spec.dump, Running(engine, spec.container).inspect()["Id"], spec.dumps)
        ports.write_state(spec.directory, ports.read_state(spec.directory).with_(put_back=dump))
    before = copies.shape(spec.dump) if spec.dump else copies.Shape()
    # Only what looks well now can be judged by its looks after a retreat.
    looks = not interrupt and not _visitor(engine, spec, spec.container).look()
    address = None
    try:
        with explained(f"Docker cannot make {spec.next}"), copies.patient(spec.dump) if spec.dump and not interrupt else nullcontext():
            engine.sdk.create_container_from_config(greenlight_body(spec, plan.port, observed.ca_digest), spec.next)
            _start(engine, spec, plan.port, spec.next)
            found = Running(engine, spec.next).inspect()
            address = ((found["NetworkSettings"].get("Networks") or {}).get(spec.network) or {}).get("IPAddress")
            wait(engine, spec, spec.next, proven=False)
        wrong = _visitor(engine, spec, spec.next).look()
        doubled = sorted(copies.shape(spec.dump).duplicates - before.duplicates) if spec.dump else []
        if wrong or doubled:
            raise ContainerError(wrong or f"its migrations left rows that stand more than once: {'; '.join(doubled[:5])}")
    except (readiness.NotReady, ContainerError, DatabaseError) as error:
        raise _retreat(engine, spec, error, dump, before, address, interrupt, looks) from error
    until = None if interrupt else time.time() + spec.keep_previous
    # Written before the names change, so that a run killed in between is taken up where it was.
    state = ports.read_state(spec.directory)
    ports.write_state(
        spec.directory,
        state.with_(port=plan.port, next_port=None, served=True, proven=found["Id"], previous_until=until, put_back=None),
    )
    _promote(engine, spec)
    if interrupt:
        remove(engine, spec.previous)
    return dump


def _promote(engine: Engine, spec: Spec) -> None:
    """The proven `.next` gets the instance's name; the old container, whose port may still be routed to, runs on as `.previous`."""
    if engine.container(spec.container):
        engine.sdk.rename(spec.container, spec.previous)
    engine.sdk.rename(spec.next, spec.container)


def _swap(engine: Engine, spec: Spec) -> None:
    """The container before this one gets the instance's name back; both run on, since nobody is routed to it yet."""
    old = Running(engine, spec.previous).inspect()
    state = ports.read_state(spec.directory)
    until = time.time() + spec.keep_previous
    ports.write_state(spec.directory, state.with_(port=port_of(old) or state.port, proven=old["Id"], previous_until=until))
    engine.sdk.rename(spec.container, spec.next)
    engine.sdk.rename(spec.previous, spec.container)
    engine.sdk.rename(spec.next, spec.previous)


def _retreat(
    engine: Engine,
    spec: Spec,
    error: ContainerError | readiness.NotReady | DatabaseError,
    dump: str | None,
    before: copies.Shape,
    address: str | None,
    interrupt: bool,
    looks: bool,
) -> ContainerError:
    """The new container did not prove itself: have the old one serve, with a database it can live with. Returns what to raise.

    With `looks`, the old one was seen to show its page before, and must show it now.
    """
    log = getattr(error, "log", None)
    remove(engine, spec.next, served=False)
    state = ports.read_state(spec.directory).with_(next_port=None)
    ports.write_state(spec.directory, state)
    done = "serves on as it was"
    if spec.dump:
        copies.end_sessions(spec.dump, address)
        moved = sorted(copies.shape(spec.dump).migrations - before.migrations)
        if interrupt and dump:
            copies.put_back(spec.dump, dump, keep=False)
            ports.write_state(spec.directory, state.with_(put_back=None))
            engine.sdk.start(spec.container)
            done = "serves again, its database put back; nobody was served meanwhile, so nothing is lost"
        elif moved:
            done = (
                f"serves on; {', '.join(moved)} had been done by then, with which it can live, so nothing that people wrote is taken back"
            )
    well = _is_well(engine, spec, looks)
    if well and spec.dump and dump and not interrupt and done != "serves on as it was":
        # Nobody is served any more: now what was written since the dump is the smaller evil, and it is kept aside.
        stop(engine, spec.container)
        aside = copies.put_back(spec.dump, dump, keep=True)
        engine.sdk.start(spec.container)
        done = f"could not live with what had been migrated, so its database was put back; what was written since is in database {aside}"
        well = _is_well(engine, spec, looks)
    trouble = f"; but it does not serve well: {well}" if well else ""
    return ContainerError(f"image {spec.image} is refused: {error}; {spec.container} {done}{trouble}", log)


def _is_well(engine: Engine, spec: Spec, looks: bool) -> str:
    """What is wrong with the container that serves, empty when nothing is; with `looks`, what people see as well."""
    try:
        wait(engine, spec, spec.container, proven=True)
    except (readiness.NotReady, ContainerError) as error:
        return str(error)
    wrong = _visitor(engine, spec, spec.container).look() if looks else ""
    for _again in range(LOOKS):  # on a busy host one slow answer must not cost anybody what was written
        if not wrong:
            break
        time.sleep(2)
        wrong = _visitor(engine, spec, spec.container).look()
    return wrong


# --- Prove ----------------------------------------------------------------------------------------------------------


def _address(spec: Spec, inspected: dict[str, Any]) -> tuple[str, int] | None:
    """Where a container of the instance answers this host."""
    port = port_of(inspected)
    if port:
        return LOOPBACK, port
    ip = ((inspected["NetworkSettings"].get("Networks") or {}).get(spec.network) or {}).get("IPAddress")
    return (ip, PORT) if ip else None


def wait(engine: Engine, spec: Spec, name: str, proven: bool) -> str:
    """Wait for a container of the instance, whatever configuration it has. Returns its version, raises NotReady."""
    container = Running(engine, name)
    environment = variables(container.inspect())
    target = readiness.Target(
        name=name,
        address=partial(_address, spec),
        hostname=environment.get("URL_HOST") or spec.hostname,
        version=environment.get("VERSION_TAG") or None,
        secrets=secret_values(environment, spec.secret_names) + spec.secrets,
        proven=proven,
    )
    return readiness.wait(container, target, spec.ready_timeout)


def settle(engine: Engine, spec: Spec, plan: Plan, write: bool) -> Result:
    """Wait until the instance is proven ready, and clean up behind a replacement; or bring back what served before.

    With `write` false (a prediction) nothing is changed.
    """
    result = Result(port=plan.port)
    state = ports.read_state(spec.directory)
    found = Running(engine, spec.container).inspect()
    known = state.proven == found["Id"]
    try:
        result.version = wait(engine, spec, spec.container, known)
    except readiness.NotReady as error:
        if error.pending and not plan.main.any and not plan.finish:
            # It started while its database was away, and its start script does not mind: one more start migrates.
            result.actions.append(f"restart container {spec.container}")
            result.version = variables(found).get("VERSION_TAG")
            if write:
                with explained(f"Docker cannot restart {spec.container}"):
                    engine.sdk.restart(spec.container, timeout=STOP_SECONDS)
                result.version = _again(engine, spec)
        elif write and bring_back(engine, spec):
            raise ContainerError(f"{error}; {_after_return(engine, spec)}", error.log) from error
        else:
            if write and error.hopeless and not state.served:
                # It would start over and over, compiling its assets each time, and nobody is served by it.
                with explained(f"Docker cannot stop {spec.container}"):
                    stop(engine, spec.container)
            raise ContainerError(f"{error}{_redis_trouble(engine, spec)}", error.log) from error
    if write and (not known or not state.served or state.port != plan.port):
        ports.write_state(spec.directory, state.with_(port=plan.port, served=True, proven=found["Id"]))
    if write and (plan.finish or (plan.main.action == "recreate" and not plan.beside)):
        with explained(f"Docker cannot remove {spec.previous}"):
            remove(engine, spec.previous)
    result.container_id, result.image_id = found["Id"], found["Image"]
    return result


def _again(engine: Engine, spec: Spec) -> str:
    try:
        return wait(engine, spec, spec.container, proven=False)
    except readiness.NotReady as error:
        raise ContainerError(f"{error}{_redis_trouble(engine, spec)}", error.log) from error


def _redis_trouble(engine: Engine, spec: Spec) -> str:
    """Greenlight waits for its Redis without end: say so when that is what is wrong."""
    found = engine.container(spec.redis)
    if found and found["State"].get("Running") and not found["State"].get("Restarting"):
        return ""
    lines = readiness.tail(Running(engine, spec.redis).log(), [spec.redis_password], 1)
    return f"; its Redis does not run{': ' + lines[0] if lines else ''}"


def bring_back(engine: Engine, spec: Spec) -> bool:
    """After a failure: put back what was moved out of the way for a replacement. True when there was something."""
    with explained(f"Docker cannot bring {spec.container} back"):
        remove(engine, spec.next)
        state, old, main = ports.read_state(spec.directory), engine.container(spec.previous), engine.container(spec.container)
        kept = state.previous_until is not None and occupies(old)
        if state.put_back:
            return False  # half a migration is in the database: the next run puts that back before anybody is served
        if old is None or (kept and main is not None and main["Id"] == state.proven):
            if main and main["Id"] == state.proven and not occupies(main):
                engine.sdk.start(spec.container)
            return False
        remove(engine, spec.container)
        engine.sdk.rename(spec.previous, spec.container)
        _old_redis(engine, spec, old)
        engine.sdk.start(spec.container)
    return True


def _old_redis(engine: Engine, spec: Spec, old: Mapping[str, Any]) -> None:
    """Give Redis back the password that the old container knows."""
    match = re.search(r"://:([^@]+)@", variables(old).get("REDIS_URL", ""))
    if match and match.group(1) != spec.redis_password:
        remove(engine, spec.redis)
        engine.sdk.create_container_from_config(redis_body(spec, match.group(1)), spec.redis)
        engine.sdk.start(spec.redis)


def _after_return(engine: Engine, spec: Spec) -> str:
    try:
        wait(engine, spec, spec.container, proven=True)
    except readiness.NotReady as error:
        return f"the container before it was brought back but does not serve either: {error}"
    return "the container before it serves again"


# --- Stop and remove ------------------------------------------------------------------------------------------------


def withdraw(engine: Engine | None, spec: Spec, state: str, purge: bool, write: bool) -> tuple[Result, dict[str, Any], dict[str, Any]]:
    """Stop the instance, or remove it, its data only when `purge` says so; with `write` false say what that would take."""
    with ports.locked(spec.directory, spec.container, spec.ready_timeout) if write and os.path.isdir(spec.directory) else nullcontext():
        return _withdraw(engine, spec, observe(engine, spec, images=False), state, purge, write)


def _withdraw(
    engine: Engine | None, spec: Spec, observed: Observed, state: str, purge: bool, write: bool
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
            jobs.append(partial(remove, engine, name))
            before[name], after[name] = "present", None
        elif occupies(container):
            steps.append(f"stop container {name}")
            jobs.append(partial(stop, engine, name))
            before[name], after[name] = "running", "stopped"
    if spec.previous in keep:
        steps.append(f"rename container {spec.previous} to {spec.container}")
        jobs.append(partial(_rename, engine, spec.previous, spec.container))
        before[spec.previous], after[spec.previous] = "present", spec.container
    if state == "absent":
        if observed.network:
            steps.append(f"remove network {spec.network}")
            jobs.append(partial(remove_network, engine, spec.network))
            before["network"], after["network"] = spec.network, None
        if purge and observed.volume:
            steps.append(f"remove volume {spec.volume}")
            jobs.append(partial(_remove_volume, engine, spec.volume))
            before["volume"], after["volume"] = spec.volume, None
        if purge and os.path.isdir(spec.dumps):
            steps.append(f"remove {spec.dumps}")
            jobs.append(partial(shutil.rmtree, spec.dumps))
            before["dumps"], after["dumps"] = spec.dumps, None
        if observed.state != ports.State():
            steps.append("release port")
            jobs.append(partial(ports.remove_state, spec.directory))
            before["port"], after["port"] = observed.state.port, None
    if write:
        with explained(f"Docker cannot {'stop' if state == 'stopped' else 'remove'} {spec.container}"):
            for job in jobs:
                job()
    result = Result(actions=steps)
    if state == "stopped" and kept:
        result.port, result.container_id, result.image_id = port_of(kept) or observed.state.port, kept["Id"], kept["Image"]
    return result, before, after


def stop(engine: Engine, name: str) -> None:
    """Stop a container; one that ends by itself at that moment is stopped too."""
    import docker.errors

    try:
        engine.sdk.stop(name, timeout=STOP_SECONDS)
    except docker.errors.APIError as error:
        if "is not running" not in str(error):
            raise


def _rename(engine: Engine, old: str, new: str) -> None:
    engine.sdk.rename(old, new)


def remove_network(engine: Engine, name: str) -> None:
    """Remove a network; whatever else was hung on it by hand is unhooked, not removed."""
    for one in (engine.network(name) or {}).get("Containers") or {}:
        engine.sdk.disconnect_container_from_network(one, name, force=True)
    engine.sdk.remove_network(name)


def _remove_volume(engine: Engine, name: str) -> None:
    engine.sdk.remove_volume(name)
