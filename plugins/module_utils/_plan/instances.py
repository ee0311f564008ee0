# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what drifts of many instances of one container host, in one go.

Each instance comes as the tasks that its full run would have: module and options. Every task is judged by the observe and diff of that
module's own domain code, so there is one opinion about what "in sync" means. Containers, networks, volumes and Caddy's configuration are
read once for all; each database is connected to once. Trouble with one instance is told of that instance, and the others go on.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.meet.coop.plugins.module_utils import _openid, _secrets
from ansible_collections.meet.coop.plugins.module_utils._edge import certificate, info
from ansible_collections.meet.coop.plugins.module_utils._edge.keep import keep
from ansible_collections.meet.coop.plugins.module_utils._edge.routes import ROUTE_ARGUMENTS
from ansible_collections.meet.coop.plugins.module_utils._edge.store import STORE_ARGUMENTS, Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import (
    accounts,
    container,
    database,
    operations,
    ports,
    remembrance,
    swarm_operations,
    switching,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases
from ansible_collections.meet.coop.plugins.module_utils._greenlight import settings as site_settings
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container_options import (
    REQUIRED_IF,
    argument_spec,
    specification,
    swarm_options,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import hide
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import (
    settings_arguments,
    settings_wish,
    user_arguments,
    user_wish,
)
from ansible_collections.meet.coop.plugins.module_utils._plan.listing import Listing
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import NotKnown, fill

THREADS = 8
"""Instances that one process looks at at the same time: it waits for PostgreSQL and for the instances' own answers."""
SHARE = 12
"""Instances for which a further process is worth its start."""
SHOWN = 6


@dataclass
class Found:
    """What was seen of one instance. Holds no secret."""

    name: str
    drift: list[dict[str, str]] = field(default_factory=list)
    """Each with `kind` and `reason`."""
    notes: list[str] = field(default_factory=list)
    registers: dict[str, Any] = field(default_factory=dict, repr=False)
    """What caddy_info said, for the plan's first look."""
    routes: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """Validated options of routes, judged for all instances together."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with certificates."""
    tenants: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def drifts(self, kind: str, reason: str) -> None:
        self.drift.append({"kind": kind, "reason": reason})


@dataclass
class Host:
    """What is the same for all instances of the host."""

    docker: Listing
    trouble: str | None = None
    """Why Docker could not be read."""
    stores: dict[tuple[str, str], Any] = field(default_factory=dict)
    trusts: dict[str | None, Any] = field(default_factory=dict)
    servers: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """A connection to the database server for each thread."""


class _Kept(Store):
    """Caddy's configuration as it was read once."""

    def __init__(self, admin: str, path: str) -> None:
        super().__init__(admin, path)
        self._seen: Any = None

    def observe(self) -> Any:
        if self._seen is None:
            self._seen = super().observe()
        return self._seen


def look(instances: Sequence[Mapping[str, Any]], docker_host: str, processes: int | None = None) -> list[Found]:
    """What drifts of each instance: `name`, `steps` (module, arguments, register) and `tenants`. In the order given."""
    host = Host(Listing(docker_host))
    if any(step["module"] == "greenlight_container" for one in instances for step in one["steps"]):
        try:
            if host.docker.socket and not os.path.exists(host.docker.socket):
                raise CoopError(f"there is no Docker at {docker_host} yet")
            host.docker.load(one["name"] for one in instances)
        except CoopError as error:
            host.trouble = str(error)
    workers = processes or max(1, min(os.cpu_count() or 1, len(instances) // SHARE))
    if workers == 1:
        found = _look_at(host, instances)
    else:
        _SHARED[:] = [(host, instances)]  # inherited by fork: what was read of a thousand containers is not copied through a pipe
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            seen = {one.name: one for part in pool.map(_part, range(workers), [workers] * workers) for one in part}
        found = [seen[one["name"]] for one in instances]
        _SHARED.clear()
    _judge_routes(host, found)
    return found


_SHARED: list[tuple[Host, Sequence[Mapping[str, Any]]]] = []


def _part(number: int, workers: int) -> list[Found]:
    ((host, instances),) = _SHARED
    return _look_at(host, instances[number::workers])


def _look_at(host: Host, instances: Sequence[Mapping[str, Any]]) -> list[Found]:
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda one: _Look(host, one).run(), instances))
    finally:
        for connection in host.servers.values():
            connection.close()
        host.servers.clear()


class _Look:
    """One instance, task by task."""

    def __init__(self, host: Host, instance: Mapping[str, Any]) -> None:
        self.host, self.instance = host, instance
        self.found = Found(instance["name"])
        self.known: dict[str, Any] = {}
        self.connections: dict[str, Any] = {}
        self.secrets: set[str] = set()

    def run(self) -> Found:
        try:
            for step in self.instance["steps"]:
                kind, reasons = self._step(step)
                for reason in reasons:
                    self.found.drifts(kind, hide(reason, sorted(self.secrets)))
            try:
                self.found.tenants = fill(self.instance.get("tenants") or [], self.known)
            except NotKnown as unknown:
                if not self.found.drift:
                    self.found.drifts("tenant", str(unknown))
        finally:
            for connection in self.connections.values():
                connection.close()
        return self.found

    def _step(self, step: Mapping[str, Any]) -> tuple[str, list[str]]:
        kind, judge, specification, required_if = JUDGES[step["module"]]
        try:
            arguments = fill(step["arguments"], self.known)
        except NotKnown as unknown:
            # What it depends on was told already.
            return kind, [] if self.found.drift else [str(unknown)]
        try:
            if specification is not None:
                arguments = _validated(specification, arguments, required_if)
            return kind, judge(self, arguments, step.get("register") or "")
        except CoopError as error:
            return kind, [str(error)]
        except Exception as error:  # one instance that cannot be observed must not keep the others from being planned
            return kind, [f"cannot be observed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"]

    # -- one method for each kind; each returns what drifts, in words

    def secrets_kept(self, params: Mapping[str, Any], register: str) -> list[str]:
        wanted, account = _secrets.rules(params["secrets"]), _secrets.account(params["manifest"])
        observed = _secrets.observe(params["path"])
        plan = _secrets.diff(observed, wanted, params["rotate"], params["stage"], params["promote"], params["remove"])
        values = _secrets.generate(plan, observed, wanted)
        self.secrets |= {value for value in values.values() if len(value) >= 8}
        self.known[register] = {"secrets": values}
        reasons = []
        if plan.create:
            reasons.append(f"{', '.join(plan.create)} not made yet")
        if plan.fix_file:
            reasons.append(f"the file has mode {observed.mode} and owner {observed.owner}")
        if plan.fix_directory and observed.directory_mode is not None:
            reasons.append(f"its directory has mode {observed.directory_mode}")
        reasons += self._systems(observed)
        if plan.leftovers:
            reasons.append("leftovers of a run that was killed")
        if plan.rotate or plan.stage or plan.promote or plan.remove:
            reasons.append("secrets to be changed")
        if account is not None and _secrets.differ(*_secrets.entries(params["path"], plan, values, account)):
            reasons.append("its manifest differs")
        return reasons

    def systems_left(self, params: Mapping[str, Any], register: str) -> list[str]:
        """Of a service without content management systems: whether one had access before."""
        return self._systems(_secrets.observe(params["path"]))

    @staticmethod
    def _systems(observed: _secrets.Observed) -> list[str]:
        has = any(name.startswith("cms_") for name in observed.values)
        return ["content management systems have secrets, which only the run looks at"] if has else []

    def database(self, params: Mapping[str, Any], register: str) -> list[str]:
        key = (threading.get_ident(), *(params[name] for name in ("login_host", "login_unix_socket", "login_port", "login_user")))
        if key not in self.host.servers:
            connection = databases.connect(params, check_mode=True)
            if connection is None:
                return ["there is no PostgreSQL yet"]
            self.host.servers[key] = connection
        wished = databases.Desired(params["name"], params["password"] or "-" * 16, params["connection_limit"])
        if params["state"] != "present" or params["second_login"]:
            return ["only looked at in the run"]
        before, after = databases.diff(wished, databases.observe(self.host.servers[key], wished.name))
        reasons = []
        for part in ("role", "database"):
            have, want = before[part], after[part]
            if have is None:
                reasons.append(f"no {part} {wished.name}")
            elif have != want:
                reasons.append(f"{part}: {', '.join(name for name in want if have.get(name) != want[name])} differs")
        return reasons

    def container(self, params: Mapping[str, Any], register: str) -> list[str]:
        spec = replace(specification(params), ready_timeout=0)  # type: ignore[arg-type]
        if self.host.trouble:
            return [self.host.trouble]
        engine = self.host.docker
        if params["state"] != "present":
            if switching.whose(engine, spec, params["engine"]) == "swarm":
                lying = swarm_options(params, spec)
                return list(swarm_operations.withdraw(engine, spec, lying, params["state"], params["purge"], write=False)[0].actions)
            result, _before, _after = operations.withdraw(engine, spec, params["state"], params["purge"], write=False)
            return list(result.actions)
        self.secrets |= {value for value in spec.secrets if len(value) >= 8}
        if params["engine"] == "swarm":
            wished = specification(params)
            done, _before, _after = swarm_operations.converge(engine, wished, swarm_options(params, wished), write=False, patient=False)
            self.known[register] = {"port": done.port, "upstreams": done.upstreams or ["127.0.0.1:0"]}  # none: no node of a Swarm yet
            return list(done.actions)
        swarm_operations.refuse_services(spec)
        state = ports.read_state(spec.directory)
        if state.port is None and not engine.ids_of(spec.container):
            self.known[register] = {"port": 0, "upstreams": ["127.0.0.1:0"]}
            return ["not there yet"]
        observed, waiting = container.observe(engine, spec), None
        if spec.image_change == "keep":
            spec, observed, waiting = container.hold(spec, observed)
        plan = container.diff(spec, observed, lambda: container.others_ports(engine, spec))
        self.known[register] = {"port": plan.port, "upstreams": [f"127.0.0.1:{plan.port}"]}
        if waiting:
            self.found.notes.append(f"runs on with its image; {waiting} waits for an upgrade")
        if plan.changed:
            names = [
                name
                for part in ("container", "redis")
                for name in (plan.after.get(part) or {})
                if part in plan.before and plan.before[part]
            ]
            return [", ".join(plan.steps[:SHOWN]) + (f" ({_few(names)})" if names else "")]
        if observed.main is not None and state.proven != observed.main["Id"]:
            return ["has not been proven ready yet"]
        return list(operations.settle(engine, spec, plan, write=False).actions)

    def settings(self, params: Mapping[str, Any], register: str) -> list[str]:
        wish = settings_wish(params)
        connection = self._connect(params)
        seen = database.snapshot(connection, lambda conn: site_settings.observe(conn, wish))
        self._versions(seen.schema, params)
        plan = site_settings.diff(seen, wish)
        return [f"{_few(list(plan.before))} differs"] if plan.changed else []

    def users(self, params: Mapping[str, Any], register: str) -> list[str]:
        kept = remembrance.load(params["remember"]) if params["remember"] else frozenset()
        wish = user_wish(params, kept, predict=True)
        connection = self._connect(params)
        seen = database.snapshot(connection, lambda conn: accounts.observe(conn, wish))
        self._versions(seen.schema, params)
        plan = accounts.diff(seen, wish, accounts.Hashes(), predict=True)
        self.known[register] = {"waiting": [outcome.email for outcome in plan.outcomes if outcome.waiting]}
        reasons = [f"{_few(list(plan.before) or ['accounts'])} differs"] if plan.changed else []
        if params["remember"]:
            existing = {outcome.email for outcome in plan.outcomes if outcome.user_id or outcome.action == "created"}
            named = {account.email: account.state for account in wish.accounts}
            if remembrance.wanted(kept, named, existing) != kept:
                reasons.append("who had an account is not remembered")
        return reasons

    def invitation(self, params: Mapping[str, Any], register: str) -> list[str]:
        waiting = [email for entry in params["emails"] for email in (entry if isinstance(entry, list) else [entry])]
        return [f"{len(waiting)} wait for the link to set a password"] if waiting else []

    def route(self, params: Mapping[str, Any], register: str) -> list[str]:
        self.found.routes.append(dict(params))
        if params["state"] != "absent" and params["wait_certificate"]:
            address = certificate.address(params["connect"])
            trust = self.host.trusts.get(params["ca_file"])
            if trust is None:
                trust = self.host.trusts[params["ca_file"]] = certificate.context(params["ca_file"])
            for name in params["hosts"] or []:
                fault = certificate.fault(name, address, trust)
                if fault:
                    self.found.faults.append(f"{name}: {fault}")
        return []

    def routes(self, params: Mapping[str, Any], register: str) -> list[str]:
        shared = {"admin": params["admin"], "config_file": params["config_file"], "wait_certificate": 0}
        self.found.routes += [{**route, **shared} for route in params["routes"]]
        return []

    def edge(self, params: Mapping[str, Any], register: str) -> list[str]:
        self.found.registers[register] = info.run(params, _store(self.host, params))
        return []

    def oidc(self, params: Mapping[str, Any], register: str) -> list[str]:
        self.known[register] = _openid.check(params["oidc"], params["redirect"], params["ca_file"], params["timeout"])
        return []

    def directory(self, params: Mapping[str, Any], register: str) -> list[str]:
        if set(params) - {"path", "state", "owner", "group", "mode"} or params.get("state") != "directory":
            return [f"{params.get('path')} is only looked at in the run"]
        return _attributes(params["path"], params, stat.S_ISDIR)

    def file(self, params: Mapping[str, Any], register: str) -> list[str]:
        if set(params) - {"content", "dest", "owner", "group", "mode"} or "content" not in params:
            return [f"{params.get('dest')} is only looked at in the run"]
        reasons = _attributes(params["dest"], params, stat.S_ISREG)
        if not reasons:
            with open(params["dest"], "rb") as handle:
                if handle.read() != str(params["content"]).encode():
                    reasons.append(f"{params['dest']} has another content")
        return reasons

    def _connect(self, params: Mapping[str, Any]) -> Any:
        """One connection for each database, whatever reads from it."""
        login = database.login(params["login_db"], params)
        if repr(login) not in self.connections:
            self.connections[repr(login)] = database.connect(login, "meet.coop instance_plan")
        return self.connections[repr(login)]

    def _versions(self, schema: database.Schema, params: Mapping[str, Any]) -> None:
        if schema.unknown and params["unknown_version"] == "fail":
            raise CoopError(f"database {params['login_db']}: {schema.warning()}; set unknown_version=warn to go on")


Judge = Callable[[_Look, Mapping[str, Any], str], list[str]]
_ROUTES: dict[str, dict[str, Any]] = {
    "routes": {"type": "list", "elements": "dict", "required": True, "options": ROUTE_ARGUMENTS},
    **STORE_ARGUMENTS,
}
JUDGES: dict[str, tuple[str, Judge, dict[str, Any] | None, Any]] = {
    "instance_secrets": ("secrets", _Look.secrets_kept, _secrets.ARGUMENTS, None),
    "cms_access": ("secrets", _Look.systems_left, None, None),
    "greenlight_database": ("database", _Look.database, databases.ARGUMENTS, [("state", "present", ["password"])]),
    "greenlight_container": ("container", _Look.container, argument_spec(), REQUIRED_IF),
    "greenlight_settings": ("settings", _Look.settings, settings_arguments(), None),
    "greenlight_user": ("accounts", _Look.users, user_arguments(), None),
    "greenlight_reset_mail": ("invitation", _Look.invitation, None, None),
    "caddy_route": ("route", _Look.route, certificate.ROUTE_AND_WAIT_ARGUMENTS, None),
    "caddy_routes": ("route", _Look.routes, _ROUTES, None),
    "caddy_info": ("route", _Look.edge, info.ARGUMENT_SPEC, None),
    "oidc_check": ("oidc", _Look.oidc, _openid.ARGUMENTS, None),
    "file": ("files", _Look.directory, None, None),
    "copy": ("files", _Look.file, None, None),
}
"""For each module of a role's tasks: the kind of its drift, its judge, its options."""


def _validated(specification: Mapping[str, Any], arguments: Mapping[str, Any], required_if: Any) -> Mapping[str, Any]:
    checked = ArgumentSpecValidator(specification, required_if=required_if).validate(dict(arguments))
    if checked.error_messages:
        raise CoopError("; ".join(checked.error_messages))
    return checked.validated_parameters


def _store(host: Host, params: Mapping[str, Any]) -> Any:
    key = (params["admin"], params["config_file"])
    if key not in host.stores:
        host.stores[key] = _Kept(*key)
    return host.stores[key]


def _judge_routes(host: Host, found: Sequence[Found]) -> None:
    """All routes against one reading of Caddy's configuration. One that cannot be is told of its own instance."""
    by_store: dict[tuple[str, str], list[tuple[Found, dict[str, Any]]]] = {}
    for one in found:
        for route in one.routes:
            by_store.setdefault((route["admin"], route["config_file"]), []).append((one, route))
    for pairs in by_store.values():
        store = _store(host, pairs[0][1])
        try:
            changed = set(keep(store, [route for _one, route in pairs], write=False).changed)
        except CoopError:
            changed = set()
            for one, route in pairs:
                try:
                    changed |= set(keep(store, [route], write=False).changed)
                except CoopError as error:
                    one.drifts("route", str(error))
        for one, route in pairs:
            if route["id"] in changed:
                one.drifts("route", f"route {route['id']} differs")
    for one in found:
        if one.faults and not any(entry["kind"] == "route" for entry in one.drift):
            one.drifts("certificate", "; ".join(one.faults))


def _attributes(path: str, params: Mapping[str, Any], kind: Callable[[int], bool]) -> list[str]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return [f"{path} is missing"]
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror}"]
    if not kind(status.st_mode):
        return [f"{path} is something else"]
    reasons = []
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        owner, group = str(status.st_uid), str(status.st_gid)
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    for name, have in (("owner", owner), ("group", group), ("mode", mode)):
        if params.get(name) is not None and str(params[name]) != have:
            reasons.append(f"{path} has {name} {have}")
    return reasons


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
