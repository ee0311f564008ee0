# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: many instances of one container host brought to their state at the same time.

Each instance comes as the tasks that its full run would have, as for the plan; each is carried out by its own module's domain code, in the
role's order. Instances wait for their containers and certificates side by side. Trouble with one ends that one alone, with its reason:
it stays due, and the full run is the one that judges.
"""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils import _openid, _secrets, _smtp
from ansible_collections.meet.coop.plugins.module_utils._edge import certificate
from ansible_collections.meet.coop.plugins.module_utils._edge.keep import keep
from ansible_collections.meet.coop.plugins.module_utils._edge.store import Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, operations, remembrance, swarm_operations
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases
from ansible_collections.meet.coop.plugins.module_utils._greenlight import settings as site_settings
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container_options import specification, swarm_options
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import hide
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import settings_wish, user_wish
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import JUDGES, _attributes, _validated
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import fill

THREADS = 24
"""Instances worked on at the same time; what they do is wait for containers and certificates."""
STARTS_PER_PROCESSOR = 2
"""Containers that may be starting at the same time: a start is a minute of Ruby."""
SHARE_OF_MEMORY = 0.8
"""Of the host's available memory, that containers which are starting may come to take."""
RESTS = 2
"""How many times as long as a change of Caddy's configuration took, it is left alone before the next."""
BEFORE = frozenset({"oidc_check", "instance_secrets", "greenlight_database"})
"""Modules of the first part, before the pool is told its tenants."""
_AFTER = """
    instance_secrets greenlight_container file copy greenlight_settings greenlight_user caddy_route caddy_routes greenlight_reset_mail
    """
AFTER = frozenset(_AFTER.split())
"""Modules of the second part. The secrets are there by then, and are read again."""
PARTS = {"before": BEFORE, "after": AFTER}


@dataclass
class Done:
    """What was done for one instance. `tenants` are secret."""

    name: str
    actions: list[str] = field(default_factory=list)
    """In words, without secrets."""
    failed: str | None = None
    tenants: list[dict[str, Any]] = field(default_factory=list, repr=False)
    mails: list[dict[str, Any]] = field(default_factory=list)
    """Options of greenlight_reset_mail, for people who wait for the link; their mail account takes mail."""


def memory_available(path: str = "/proc/meminfo") -> int:
    """Bytes that can be had without swapping."""
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


class Room:
    """Admits containers to their start: as many as the processors carry, while memory has room for them and those that are starting.

    One alone is always admitted: whether it fits is the engine's to say.
    """

    def __init__(self, most: int, available: Callable[[], int] = memory_available) -> None:
        self._most, self._available = most, available
        self._starting: list[int] = []
        self._changed = threading.Condition()

    @contextmanager
    def place(self, need: int) -> Iterator[None]:
        """Waits for room for a container that may take so many bytes."""
        with self._changed:
            while not self._fits(need):
                self._changed.wait(1)  # memory comes free without telling
            self._starting.append(need)
        try:
            yield
        finally:
            with self._changed:
                self._starting.remove(need)
                self._changed.notify_all()

    def _fits(self, need: int) -> bool:
        if not self._starting:
            return True
        return len(self._starting) < self._most and need + sum(self._starting) <= SHARE_OF_MEMORY * self._available()


class Routes:
    """Caddy's configuration, changed for all who come while it is being changed, in one change: each costs Caddy a reload of everything.

    With hundreds of routes that is seconds of a processor: Caddy is then left alone for a multiple of it (RESTS), and more come together.
    """

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []
        self._told: dict[str, bool | CoopError] = {}
        self._guard, self._one = threading.Lock(), threading.Lock()
        self._rested = 0.0

    def open(self, route: dict[str, Any]) -> bool:
        """Whether the route was changed. Raises CoopError, for this route alone."""
        with self._guard:
            self._waiting.append(route)
        with self._one:
            if route["id"] not in self._told:
                self._change()
            told = self._told.pop(route["id"])
        if isinstance(told, CoopError):
            raise told
        return told

    def _change(self) -> None:
        time.sleep(max(0.0, self._rested - time.monotonic()))
        with self._guard:
            together, self._waiting = self._waiting, []
        begun = time.monotonic()
        for part in _by_store(together):
            self._keep(part)
        end = time.monotonic()
        self._rested = end + RESTS * (end - begun)

    def _keep(self, routes: list[dict[str, Any]]) -> None:
        store = Store(routes[0]["admin"], routes[0]["config_file"])
        try:
            changed = set(keep(store, routes, write=True).changed)
        except CoopError as error:
            if len(routes) == 1:
                self._told[routes[0]["id"]] = error
                return
            for route in routes:
                self._keep([route])
            return
        for route in routes:
            self._told[route["id"]] = route["id"] in changed


def _by_store(routes: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for route in routes:
        found.setdefault((route["admin"], route["config_file"]), []).append(route)
    return list(found.values())


def carry_out(instances: Sequence[Mapping[str, Any]], part: str, starts: int | None = None) -> list[Done]:
    """Bring instances to their state: `name`, `steps` (module, arguments, register), `tenants`, `checks`. In the order given.

    `part` is `before` (secrets, database; the tenants come back) or `after` (all else). `starts` bounds the containers that start at the
    same time.
    """
    room, routes = Room(starts or STARTS_PER_PROCESSOR * (os.cpu_count() or 1)), Routes()
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda one: _Work(one, PARTS[part], room, routes).run(part == "before"), instances))


class _Work:
    """One instance, task by task."""

    def __init__(self, instance: Mapping[str, Any], modules: frozenset[str], room: Room, routes: Routes) -> None:
        self.instance, self.modules, self.room, self.routes = instance, modules, room, routes
        self.done = Done(instance["name"])
        self.known: dict[str, Any] = {}
        self.secrets: set[str] = set()

    def run(self, tenants: bool) -> Done:
        for step in self.instance["steps"]:
            if step["module"] not in self.modules:
                continue
            kind = JUDGES[step["module"]][0]
            try:
                actions = self._step(step)
            except Exception as error:  # one instance that cannot be brought up must not keep the others from it
                reason = str(error) if isinstance(error, CoopError) else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                self.done.failed = hide(f"{kind}: {reason}", sorted(self.secrets))
                return self.done
            self.done.actions += [hide(f"{kind}: {action}", sorted(self.secrets)) for action in actions]
        if tenants:
            try:
                self.done.tenants = fill(self.instance.get("tenants") or [], self.known)
            except CoopError as error:
                self.done.failed = str(error)
        return self.done

    def _step(self, step: Mapping[str, Any]) -> list[str]:
        module = step["module"]
        _kind, _judge, options, required_if = JUDGES[module]
        arguments = fill(step["arguments"], self.known)
        if options is not None:
            arguments = _validated(options, arguments, required_if)
        return _DOERS[module](self, arguments, step.get("register") or "")

    # -- one method for each module; each returns what it did, in words

    def secrets_kept(self, params: Mapping[str, Any], register: str) -> list[str]:
        path, wanted, account = params["path"], _secrets.rules(params["secrets"]), _secrets.account(params["manifest"])
        options = (wanted, params["rotate"], params["stage"], params["promote"], params["remove"])
        observed = _secrets.observe(path)
        plan = _secrets.diff(observed, *options)
        values = _secrets.generate(plan, observed, wanted)
        rewrite = account is not None and _secrets.differ(*_secrets.entries(path, plan, values, account))
        if plan.changed or rewrite:
            with _secrets.locked(path):
                again = _secrets.observe(path)
                plan = _secrets.diff(again, *options)
                values = _secrets.generate(plan, again, wanted)
                entries = _secrets.entries(path, plan, values, account)[1]
                _secrets.apply(path, plan, values)
                if account is not None:
                    _secrets.write_manifest(path, entries)
        self.secrets |= {value for value in values.values() if len(value) >= 8}
        self.known[register] = {"secrets": values}
        return ["kept"] if plan.changed or rewrite else []

    def database(self, params: Mapping[str, Any], register: str) -> list[str]:
        wish = databases.Desired(params["name"], params["password"], params["connection_limit"])
        if params["state"] != "present" or params["second_login"]:
            raise CoopError("only the full run does this")
        with databases.connect(params, check_mode=False) as connection:
            observed = databases.observe(connection, wish.name)
            before, after = databases.diff(wish, observed)
            differs = [part for part in ("role", "database") if before[part] != after[part]]
            if differs:
                databases.apply(connection, wish, observed)
        return [f"{'change' if before[part] else 'create'} {part} {wish.name}" for part in differs]

    def container(self, params: Mapping[str, Any], register: str) -> list[str]:
        if params["state"] != "present" or params["switch_engine"]:
            raise CoopError("only the full run does this")
        spec = specification(params)  # type: ignore[arg-type]
        self.secrets |= {value for value in spec.secrets if len(value) >= 8}
        engine = Engine(params["docker_host"])
        try:
            with self.room.place(spec.memory + spec.redis_memory):
                if params["engine"] == "swarm":
                    served, _before, _after = swarm_operations.converge(engine, spec, swarm_options(params, spec), write=True)
                    self.known[register] = {"port": served.port, "upstreams": served.upstreams}
                    return list(served.actions)
                swarm_operations.refuse_services(spec)
                result, _before, _after = operations.converge(engine, spec, write=True)
        finally:
            engine.close()
        self.known[register] = {"port": result.port, "upstreams": [f"127.0.0.1:{result.port}"]}
        return list(result.actions)

    def settings(self, params: Mapping[str, Any], register: str) -> list[str]:
        wish = settings_wish(params)
        with database.connect(database.login(params["login_db"], params), "meet.coop instance_apply") as connection:
            seen = database.snapshot(connection, lambda conn: site_settings.observe(conn, wish))
            _known_version(seen.schema, params)
            plan = site_settings.diff(seen, wish)
            if plan.changed:
                plan, _seen = site_settings.apply(connection, wish, wait=params["lock_wait"])
        return [f"{len(plan.before)} set"] if plan.changed else []

    def users(self, params: Mapping[str, Any], register: str) -> list[str]:
        kept = remembrance.load(params["remember"]) if params["remember"] else frozenset()
        wish, hashes = user_wish(params, kept, predict=False), accounts.Hashes()
        with database.connect(database.login(params["login_db"], params), "meet.coop instance_apply") as connection:
            seen = database.snapshot(connection, lambda conn: accounts.observe(conn, wish))
            _known_version(seen.schema, params)
            plan = accounts.diff(seen, wish, hashes, predict=False)
            if plan.changed:
                plan, _seen = accounts.apply(connection, wish, hashes, wait=params["lock_wait"])
        actions = [f"{len(plan.before) or 1} set"] if plan.changed else []
        if params["remember"]:
            existing = {outcome.email for outcome in plan.outcomes if outcome.user_id or outcome.action == "created"}
            remembered = remembrance.wanted(kept, {account.email: account.state for account in wish.accounts}, existing)
            if remembered != kept:
                remembrance.save(params["remember"], remembered)
                actions.append("remembered")
        self.known[register] = {"waiting": [outcome.email for outcome in plan.outcomes if outcome.waiting]}
        return actions

    def invitation(self, params: Mapping[str, Any], register: str) -> list[str]:
        emails = sorted({email for entry in params["emails"] for email in (entry if isinstance(entry, list) else [entry])})
        if not emails:
            return []
        # Greenlight says yes before it sends: with a mail account that is down the link would be lost.
        for given in fill(self.instance.get("checks") or [], self.known):
            account = _validated(_CHECK, given, None)
            _smtp.check(account["smtp"], account["ca_file"], account["timeout"])
        self.done.mails.append({**params, "emails": emails})
        return []

    def route(self, params: Mapping[str, Any], register: str) -> list[str]:
        changed = self.routes.open(dict(params))
        if params["state"] != "absent" and params["wait_certificate"]:
            missing = certificate.wait(
                params["hosts"] or [], certificate.address(params["connect"]), params["ca_file"], params["wait_certificate"],
                nudge=Store(params["admin"], params["config_file"]).restart_attempts, log=params["acme_log"], fresh=changed,
            )  # fmt: skip
            if missing:
                raise CoopError("not served well: " + "; ".join(f"{name}: {why}" for name, why in missing.items()))
        return [f"route {params['id']}"] if changed else []

    def more_routes(self, params: Mapping[str, Any], register: str) -> list[str]:
        shared = {"admin": params["admin"], "config_file": params["config_file"]}
        return [f"route {route['id']}" for route in params["routes"] if self.routes.open({**route, **shared})]

    def oidc(self, params: Mapping[str, Any], register: str) -> list[str]:
        self.known[register] = _openid.check(params["oidc"], params["redirect"], params["ca_file"], params["timeout"])
        return []

    def directory(self, params: Mapping[str, Any], register: str) -> list[str]:
        _only(params, {"path", "state", "owner", "group", "mode"})
        path = params["path"]
        if params.get("state") != "directory":
            raise CoopError(f"{path}: only the full run does this")
        made = not os.path.isdir(path)
        os.makedirs(path, mode=0o755, exist_ok=True)
        if not made and not _attributes(path, params, _is_anything):
            return []
        _own(path, params)
        return [f"{path} made" if made else f"{path} changed"]

    def file(self, params: Mapping[str, Any], register: str) -> list[str]:
        _only(params, {"content", "dest", "owner", "group", "mode"})
        path, content = params["dest"], str(params["content"]).encode()
        if not _attributes(path, params, _is_anything):
            with open(path, "rb") as file:
                if file.read() == content:
                    return []
        handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            _own(beside, params)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
        return [f"{path} written"]


_CHECK: dict[str, Any] = {
    "smtp": {**_smtp.SMTP_ACCOUNT, "required": True},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 10},
}
"""Options of smtp_check."""
_DOERS: dict[str, Callable[[_Work, Mapping[str, Any], str], list[str]]] = {
    "instance_secrets": _Work.secrets_kept,
    "greenlight_database": _Work.database,
    "greenlight_container": _Work.container,
    "greenlight_settings": _Work.settings,
    "greenlight_user": _Work.users,
    "greenlight_reset_mail": _Work.invitation,
    "caddy_route": _Work.route,
    "caddy_routes": _Work.more_routes,
    "oidc_check": _Work.oidc,
    "file": _Work.directory,
    "copy": _Work.file,
}


def _only(params: Mapping[str, Any], known: set[str]) -> None:
    more = sorted(set(params) - known)
    if more:
        raise CoopError(f"{', '.join(more)}: only the full run does this")


def _is_anything(_mode: int) -> bool:
    return True


def _own(path: str, params: Mapping[str, Any]) -> None:
    """Owner, group and mode as a task states them. Raises KeyError for a name that is not there."""
    owner = pwd.getpwnam(params["owner"]).pw_uid if params.get("owner") else -1
    group = grp.getgrnam(params["group"]).gr_gid if params.get("group") else -1
    os.chown(path, owner, group)
    if params.get("mode"):
        os.chmod(path, int(str(params["mode"]), 8))


def _known_version(schema: database.Schema, params: Mapping[str, Any]) -> None:
    if schema.unknown and params["unknown_version"] == "fail":
        raise CoopError(f"database {params['login_db']}: {schema.warning()}; set unknown_version=warn to go on")
