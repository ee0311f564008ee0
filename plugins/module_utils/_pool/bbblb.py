# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: BBBLB as the engine of a pool, driven by its command on the pool host.

Everything goes through ``state export`` and ``state import``: one file says what all tenants and nodes are, and one import is one
transaction (bbblb/cli/state.py), so a killed run leaves the old state or the new one. An import disables what its file leaves out, so a
file always holds every tenant, or every node, that there is.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import json
import os
import pwd
import re
import secrets
import subprocess
import typing as t
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Change, Node, Tenant, check_all, shown

VERSION = "0.0.18"
"""The release that is driven here; any other is refused.

0.0.17 answers a tenant's getMeetings, but cannot take a node into service at once (``server enable --now``), ends a drain with a
traceback instead of exit code 3 (cli/server.py), nukes under the wrong meeting ID (``_end_meeting`` scopes with the server) and keeps
meeting_stats for ever. What 0.0.18 does worse, getMeetings, is one statement, and role pool mends it (files/coop_bbblb.py) together with
the lost meetings and the lax clamp that both releases have.
"""

LOCK = "/run/meet-coop-pool.lock"
TIMEOUT = 120.0
RETIRED = "retired-"
"""How the secret of a removed tenant begins: BBBLB never deletes a tenant (cli/state.py, sync_tenants), so it is locked out instead."""

RETIRED_SECRET = re.compile(r"retired-[0-9a-f]{64}\Z")

BLOCKED_CREATE = (
    "disabledFeaturesExclude",  # undoes disabledFeatures
    "allowRequestsWithoutSession",  # lets a stolen link in without the cookie it came with
    "isBreakout",
    "isBreakoutRoom",
    "parentMeetingID",  # BBBLB does not scope the parent: breakouts of other tenants' meetings
    "meetingEndedURL",  # BBBLB would fetch any URL from the pool host, three times (services/bbb.py, _trigger_callback)
)
"""Parameters of ``create`` that nobody with a tenant's secret may send. Greenlight sends none of them."""

EXPIRY = {"meetingExpireIfNoUserJoinedInMinutes": 5, "meetingExpireWhenLastUserLeftInMinutes": 1}
"""BigBlueButton's defaults in minutes, here the most there is: 0 would keep empty meetings, and their seats on a node, for ever."""

NO_RECORDING = {
    "record": "=false",
    "autoStartRecording": "=false",
    "allowStartStopRecording": "=false",
    "recordFullDurationMedia": "=false",
    "meetingKeepEvents": "=false",
}
"""Without the last two a node keeps media or events of meetings that nobody records."""

HOLDING = """
import asyncio, json, sys
from bbblb import model
from bbblb.services.db import DBContext
from bbblb.settings import BBBLBConfig

async def main(domains):
    config = BBBLBConfig()
    config.populate()
    db = DBContext(config)
    await db.on_start()
    found = {}
    async with db.session() as session:
        for kind in (model.Meeting, model.Callback):
            asked = model.select(model.Server.domain).join(kind, kind.server_fk == model.Server.id).where(model.Server.domain.in_(domains))
            for domain in (await session.execute(asked.distinct())).scalars():
                found.setdefault(domain, []).append(kind.__tablename__)
    await db.on_shutdown()
    print(json.dumps(found))

asyncio.run(main(sys.argv[1:]))
"""
"""Asks BBBLB's database, with BBBLB's own code, what keeps nodes from being deleted."""

State = dict[str, dict[str, t.Any]]
Probe = t.Callable[[Node], "str | None"]
"""Asks a node itself; None when it answers with its secret, else why not, in one line."""


@dataclass
class Outcome:
    """What a run did or, in check mode, would do."""

    changes: list[Change]
    after: State
    health: dict[str, str] = field(default_factory=dict)
    draining: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def overrides(tenant: Tenant) -> dict[str, dict[str, str]]:
    """A tenant's caps in BBBLB's language: ``<`` clamps, ``=`` forces and alone removes, ``+`` adds to a list (bbblb/model.py)."""
    create = {name: "=" for name in BLOCKED_CREATE}
    create.update({name: f"<{minutes}" for name, minutes in EXPIRY.items()})
    if tenant.duration_max:
        create["duration"] = f"<{tenant.duration_max}"
    if tenant.participants_max:
        create["maxParticipants"] = f"<{tenant.participants_max}"
    if not tenant.record:
        create.update(NO_RECORDING)
    if tenant.disabled_features:
        create["disabledFeatures"] = "+" + ",".join(sorted(tenant.disabled_features))
    return {"create": dict(sorted(create.items())), "join": {}}


def tenant_entry(tenant: Tenant, existing: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
    """The entry of a tenant in the state; None when it shall not be there and is not.

    A removed tenant is disabled, without caps, and its secret is replaced by one that nobody has.
    """
    if tenant.state == "absent":
        if existing is None:
            return None
        kept = existing["secret"] if RETIRED_SECRET.match(existing["secret"]) else RETIRED + secrets.token_hex(32)
        return {"enabled": False, "secret": kept, "realm": tenant.name, "overrides": {"create": {}, "join": {}}}
    return {"enabled": tenant.enabled, "secret": tenant.secret, "realm": tenant.name, "overrides": overrides(tenant)}


def node_entry(node: Node) -> dict[str, t.Any] | None:
    """The entry of a node in the state; None when it shall not be there."""
    if node.state == "absent":
        return None
    return {"enabled": node.enabled, "secret": node.secret}


def diff_tenants(current: State, wanted: t.Sequence[Tenant]) -> tuple[State, list[Change]]:
    """The state after the change, every other tenant as it is, and what changes."""
    check_all(wanted, "tenant", "name")
    target = dict(current)
    changes = []
    for tenant in wanted:
        before = current.get(tenant.name)
        after = tenant_entry(tenant, before)
        if after is None or _same(before, after):
            continue
        target[tenant.name] = after
        old, new = shown(before, after)
        action = "created" if before is None else "removed" if tenant.state == "absent" else "changed"
        changes.append(Change(tenant.name, action, old, new))
    if changes:
        _check_unique(target)
    return target, changes


def diff_nodes(current: State, wanted: t.Sequence[Node]) -> tuple[State, list[Change]]:
    """The state after the change, every other node as it is, and what changes."""
    check_all(wanted, "node", "domain")
    target = dict(current)
    changes = []
    for node in wanted:
        before = current.get(node.domain)
        after = node_entry(node)
        if before == after:
            continue
        if after is None:
            target.pop(node.domain)
        else:
            target[node.domain] = after
        old, new = shown(before, after)
        changes.append(Change(node.domain, "created" if before is None else "removed" if after is None else "changed", old, new))
    return target, changes


def converge_tenants(engine: Bbblb, wanted: t.Sequence[Tenant]) -> Outcome:
    """Bring all given tenants to what is wanted in one import; the others stay as they are."""
    check_all(wanted, "tenant", "name")
    with engine.exclusive():
        current = engine.observe("tenants")
        target, changes = diff_tenants(current, wanted)
        after = engine.apply("tenants", target) if changes and not engine.check_mode else target
    return Outcome(changes, after)


def converge_nodes(
    engine: Bbblb, wanted: t.Sequence[Node], probe: Probe | None, holds_path: str = holds.PATH, returning: str = "",
) -> Outcome:
    """Bring all given nodes to what is wanted; the others stay as they are.

    A node that maintenance holds stays out of service, with a warning, whatever is wanted, unless it is the one just ``returning``.

    With ``probe``, enabled nodes that answer it are taken into service at once; the rest is left to BBBLB's poller, with a warning. A
    node that shall go and is still needed is disabled and goes in a later run.
    """
    check_all(wanted, "node", "domain")
    with engine.exclusive():
        current = engine.observe("servers")
        held = {domain: hold for domain, hold in holds.read(holds_path).items() if domain != returning}
        warnings = [
            f"node {node.domain} stays out of service: {held[node.domain].holder} has it in maintenance; bbb_node_drain with "
            "state=returned puts it back"
            for node in wanted if node.enabled and node.state == "present" and node.domain in held
        ]
        wanted = [replace(node, enabled=node.enabled and node.domain not in held) for node in wanted]
        target, changes = diff_nodes(current, wanted)
        outcome = Outcome([], target, warnings=warnings)
        going = [change.name for change in changes if change.action == "removed"]
        held = engine.holding(going) if going else {}
        for change in changes:
            if change.name in held:
                outcome.draining.append(change.name)
                before = current[change.name]
                target[change.name] = {**before, "enabled": False}
                if not before["enabled"]:
                    continue
                change = Change(change.name, "draining", *shown(before, target[change.name]))
            outcome.changes.append(change)
        ready: list[str] = []
        if probe is not None:
            ready = _into_service(engine, current, wanted, probe, outcome)
        if not engine.check_mode:
            if any(change.action != "available" for change in outcome.changes):
                outcome.after = engine.apply("servers", target)
            if ready:
                engine.enable_now(ready)
    return outcome


def _into_service(engine: Bbblb, current: State, wanted: t.Sequence[Node], probe: Probe, outcome: Outcome) -> list[str]:
    """Domains of enabled nodes that are not available and answer; adds what that changes to the outcome."""
    outcome.health = engine.health()
    ready = []
    for node in wanted:
        # BBBLB gives no new meeting to a node that is new or failed until POLL_RECOVER + 1 good polls (bbblb/model.py, mark_success).
        if node.state == "absent" or not node.enabled or outcome.health.get(node.domain) == "available":
            continue
        reason = probe(node)
        if reason is not None:
            outcome.warnings.append(f"node {node.domain} is registered but gets no meetings until it answers: {reason}")
            continue
        ready.append(node.domain)
        health = outcome.health.get(node.domain)
        outcome.health[node.domain] = "available"
        for position, change in enumerate(outcome.changes):
            if change.name == node.domain:
                before = None if change.before is None else {**change.before, "health": health}
                outcome.changes[position] = Change(change.name, change.action, before, {**(change.after or {}), "health": "available"})
                break
        else:
            outcome.changes.append(Change(node.domain, "available", {"health": health}, {"health": "available"}))
    return ready


ENGINE_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "engine": {"type": "str", "choices": ["bbblb"], "default": "bbblb"},
    "bbblb_command": {"type": "path", "default": "/opt/bbblb/venv/bin/bbblb"},
    "bbblb_config": {"type": "path", "default": "/etc/bbblb/bbblb.conf"},
    "bbblb_user": {"type": "str", "default": "bbblb"},
}
"""Argument spec of the engine's options (doc fragment ``meet.coop.pool_engine``)."""


def engine_of(options: t.Mapping[str, t.Any], *, check_mode: bool) -> Bbblb:
    """The engine that a module's options name."""
    return Bbblb(options["bbblb_command"], options["bbblb_config"], options["bbblb_user"], check_mode=check_mode)


class Bbblb:
    """The command of one BBBLB, run as its system user, and the lock that makes one change at a time."""

    def __init__(self, command: str, config: str, user: str | None = None, *, lock: str = LOCK, check_mode: bool = False) -> None:
        self.command = command
        self.config = config
        self.user = user
        self.lock = lock
        self.check_mode = check_mode

    @property
    def missing(self) -> bool:
        """Whether BBBLB is not installed (in check mode that means an empty pool; otherwise it is an error)."""
        return not os.access(self.command, os.X_OK)

    @contextlib.contextmanager
    def exclusive(self) -> t.Iterator[None]:
        """Hold the host-wide lock: export, plan and import belong together. It is gone with the process, however that ends."""
        if self.check_mode:
            yield
            return
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def observe(self, kind: str) -> State:
        """All ``tenants`` or all ``servers`` there are."""
        if self.missing:
            if self.check_mode:
                return {}
            raise CoopError(f"there is no BBBLB at {self.command}: run role pool on this host first")
        self._check_version()
        text = self._run(["state", "export", "--include", kind, "-"])
        try:
            found = json.loads(text)[kind]
        except (ValueError, KeyError) as error:
            raise CoopError(f"bbblb state export did not print a state with {kind}; look at {self.command}") from error
        return t.cast(State, found)

    def apply(self, kind: str, target: State) -> State:
        """Import the whole state of one kind and return what is there afterwards; CoopError when it is not what was asked for.

        The exit code and "Changes applied successfully" say nothing (cli/state.py prints it for dry runs and whenever an obsolete row
        remains), so the export afterwards decides. Nodes that are left out are deleted; ``server delete`` would print "removed" and
        delete nothing (cli/server.py lacks the commit).
        """
        self._import(kind, target)
        after = self.observe(kind)
        for name, entry in target.items():
            if not _same(after.get(name), entry):
                raise CoopError(f"bbblb state import did not bring {kind[:-1]} {name} into the asked state; look at bbblb state export")
        for name, entry in after.items():
            if name not in target and entry.get("enabled"):
                raise CoopError(f"bbblb state import left {kind[:-1]} {name} enabled; look at bbblb state export")
        return after

    def holding(self, domains: t.Sequence[str]) -> dict[str, list[str]]:
        """Which of these nodes cannot be deleted yet, and why: ``meetings`` run there, or ``callbacks`` may come from it.

        BBBLB keeps callbacks, such as those for recordings that are still processed, for 30 days (services/bbb.py); deleting their node
        breaks a foreign key and with it the whole import (bbblb/model.py, Callback.server_fk), which no dry run notices.
        """
        if self.missing:
            return {}
        python = str(Path(self.command).parent / "python")
        return t.cast("dict[str, list[str]]", json.loads(self._execute([python, "-c", HOLDING, *domains], None, "asking for held nodes")))

    def health(self) -> dict[str, str]:
        """Each node's health: available, unstable or offline."""
        if self.missing:
            return {}
        found = {}
        for line in self._run(["server", "stats", "--table-format", "json"]).splitlines():
            if line.strip():
                row = json.loads(line)
                found[row["server"]] = row["state"]
        return found

    def enable_now(self, domains: t.Sequence[str]) -> None:
        """Take nodes into service without waiting for good polls."""
        self._run(["server", "enable", "--now", *domains])

    def _import(self, kind: str, target: State) -> str:
        options = ["--include", kind, *(["--delete"] if kind == "servers" else [])]
        # Over stdin: neither a file nor the process list ever holds the secrets.
        return self._run(["state", "import", *options, "-"], json.dumps({"v": 1, kind: target}))

    def _run(self, arguments: list[str], given: str | None = None) -> str:
        return self._execute([self.command, "-C", self.config, *arguments], given, f"bbblb {' '.join(arguments[:2])}")

    def _execute(self, command: list[str], given: str | None, what: str) -> str:
        try:
            # Domain code knows no AnsibleModule; the arguments are a list, and secrets go over stdin.
            done = subprocess.run(  # pylint: disable=ansible-bad-function
                command,
                input=given or "",
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PGHOST": "/var/run/postgresql", "BBBLB_CONFIG": self.config},
                **self._identity(),
            )
        except subprocess.TimeoutExpired as error:
            raise CoopError(f"{what} did not end within {TIMEOUT:.0f} s; is PostgreSQL overloaded?") from error
        except OSError as error:
            raise CoopError(f"{command[0]} cannot be run: {error.strerror}") from error
        if done.returncode:
            raise CoopError(f"{what} ended with {done.returncode}: {_reason(done.stderr)}")
        return done.stdout

    def _identity(self) -> dict[str, t.Any]:
        """Run as BBBLB's user, whom PostgreSQL knows by peer authentication; as oneself when not root."""
        if not self.user or os.geteuid() != 0:
            return {}
        try:
            account = pwd.getpwnam(self.user)
        except KeyError as error:
            raise CoopError(f"there is no system user {self.user}: run role pool on this host first") from error
        groups = [entry.gr_gid for entry in grp.getgrall() if self.user in entry.gr_mem]
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}

    def _check_version(self) -> None:
        # The virtual environment says which release it holds; asking the command would cost another start.
        for found in Path(self.command).resolve().parent.parent.glob("lib/python*/site-packages/bbblb-*.dist-info"):
            version = found.name[len("bbblb-") : -len(".dist-info")]
            if version != VERSION:
                raise CoopError(f"BBBLB {version} is installed and {VERSION} is what this collection drives: run role pool again")


def _same(before: dict[str, t.Any] | None, after: dict[str, t.Any] | None) -> bool:
    """Whether two entries mean the same; an export always names both kinds of overrides."""

    def full(entry: dict[str, t.Any]) -> dict[str, t.Any]:
        found = dict(entry)
        if "overrides" in entry or "realm" in entry:
            found["overrides"] = {kind: dict(entry.get("overrides", {}).get(kind, {})) for kind in ("create", "join")}
        return found

    if before is None or after is None:
        return before is after
    return full(before) == full(after)


def _check_unique(target: State) -> None:
    """The database refuses two tenants with one secret or realm, with a traceback; say it before."""
    for key in ("secret", "realm"):
        seen: dict[str, str] = {}
        for name, entry in sorted(target.items()):
            value = entry[key]
            if value in seen:
                raise CoopError(f"tenants {seen[value]} and {name} have the same {key}; give one of them another")
            seen[value] = name


def _reason(errors: str) -> str:
    """The last line of a traceback, without what SQLAlchemy adds about parameters, which may hold secrets."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    useful = [line for line in lines if not line.startswith(("[SQL:", "[parameters:", "DETAIL:", "(Background"))]
    last = useful[-1] if useful else "no message"
    return re.sub(r"\s+", " ", last)[:300]
