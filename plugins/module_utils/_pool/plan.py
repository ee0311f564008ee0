# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what changes in a pool, whichever engine runs it. An engine file holds only what differs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Change, Node, Tenant, check_all, shown

LOCK = "/run/meet-coop-pool.lock"
Entry = dict[str, t.Any]
"""One tenant or node as an engine knows it. Each has ``enabled`` and ``secret``; the rest is the engine's own."""
State = dict[str, Entry]
Probe = t.Callable[[Node], "str | None"]
"""Asks a node itself; None when it answers with its secret, else why not, in one line."""


class Engine(t.Protocol):
    """What runs a pool."""

    check_mode: bool

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def missing(self) -> bool:
        """Whether it is not installed (in check mode that means an empty pool; otherwise it is an error)."""

    @property
    def clamps(self) -> bool | None:
        """Whether wishes smaller than a cap pass, as far as is known."""

    def exclusive(self) -> t.ContextManager[None]:
        """Hold the host-wide lock: observing, planning and applying belong together."""

    def observe(self, kind: str) -> State:
        """All ``tenants`` or all ``servers`` there are. Raises CoopError."""

    def apply(self, kind: str, target: State) -> State:
        """Make the state of one kind what is given and return what is there afterwards. Raises CoopError when it is not that."""

    def holding(self, domains: t.Sequence[str]) -> dict[str, list[str]]:
        """Which of these nodes cannot go yet, and why."""

    def health(self) -> dict[str, str]:
        """Each node's health: available, unstable or offline."""

    def enable_now(self, domains: t.Sequence[str]) -> None:
        """Take nodes into service without waiting for good polls."""

    def tenant_entry(self, tenant: Tenant, existing: Entry | None) -> Entry | None:
        """The entry of a tenant; None when it shall not be there. Raises CoopError for what the engine cannot do."""

    def node_entry(self, node: Node, existing: Entry | None) -> Entry | None:
        """The entry of a node; None when it shall not be there. Raises CoopError for what the engine cannot do."""

    def tenant_of(self, name: str, entry: Entry) -> Tenant:
        """The tenant that an entry stands for, the other way round."""

    def node_of(self, domain: str, entry: Entry) -> Node:
        """The node that an entry stands for, the other way round."""

    def same(self, before: Entry | None, after: Entry | None) -> bool:
        """Whether two entries mean the same."""

    def check_tenants(self, target: State) -> None:
        """Raise CoopError when the tenants cannot be there side by side."""

    def leftovers(self) -> list[Change]:
        """What an apply of tenants will clear away beside them, of those observed last."""

    def warnings(self, wanted: t.Sequence[Tenant]) -> list[str]:
        """What the operator has to know of tenants observed last, a line each."""


@contextlib.contextmanager
def host_lock(path: str, check_mode: bool) -> t.Iterator[None]:
    """One change of the pool at a time on this host. The lock is gone with the process, however that ends."""
    if check_mode:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_unique(target: State, key: str) -> None:
    """Raise CoopError when two tenants have the same of something."""
    seen: dict[str, str] = {}
    for name, entry in sorted(target.items()):
        value = entry[key]
        if value in seen:
            raise CoopError(f"tenants {seen[value]} and {name} have the same {key}; give one of them another")
        seen[value] = name


def one_line(errors: str) -> str:
    """The last line that says something, short enough for a message."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[-1] if lines else "no message")[:300]


@dataclass
class Outcome:
    """What a run did or, in check mode, would do."""

    changes: list[Change]
    after: State
    health: dict[str, str] = field(default_factory=dict)
    draining: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def diff_tenants(engine: Engine, current: State, wanted: t.Sequence[Tenant]) -> tuple[State, list[Change]]:
    """The state after the change, every other tenant as it is, and what changes."""
    check_all(wanted, "tenant", "name")
    target = dict(current)
    changes = []
    for tenant in wanted:
        before = current.get(tenant.name)
        after = engine.tenant_entry(tenant, before)
        if engine.same(before, after):
            continue
        if after is None:
            target.pop(tenant.name)
        else:
            target[tenant.name] = after
        old, new = shown(before, after)
        action = "created" if before is None else "removed" if tenant.state == "absent" else "changed"
        changes.append(Change(tenant.name, action, old, new))
    if changes:
        engine.check_tenants(target)
    return target, changes


def diff_nodes(engine: Engine, current: State, wanted: t.Sequence[Node]) -> tuple[State, list[Change]]:
    """The state after the change, every other node as it is, and what changes."""
    check_all(wanted, "node", "domain")
    target = dict(current)
    changes = []
    for node in wanted:
        before = current.get(node.domain)
        after = engine.node_entry(node, before)
        if before == after:
            continue
        if after is None:
            target.pop(node.domain)
        else:
            target[node.domain] = after
        old, new = shown(before, after)
        changes.append(Change(node.domain, "created" if before is None else "removed" if after is None else "changed", old, new))
    return target, changes


def converge_tenants(engine: Engine, wanted: t.Sequence[Tenant]) -> Outcome:
    """Bring all given tenants to what is wanted in one import; the others stay as they are."""
    check_all(wanted, "tenant", "name")
    with engine.exclusive():
        current = engine.observe("tenants")
        target, changes = diff_tenants(engine, current, wanted)
        changes += engine.leftovers()
        warnings = engine.warnings(wanted)
        after = engine.apply("tenants", target) if changes and not engine.check_mode else target
    return Outcome(changes, after, warnings=warnings)


def converge_nodes(
    engine: Engine,
    wanted: t.Sequence[Node],
    probe: Probe | None,
    holds_path: str = holds.PATH,
    returning: str = "",
) -> Outcome:
    """Bring all given nodes to what is wanted; the others stay as they are.

    A node that maintenance holds stays out of service, with a warning, whatever is wanted, unless it is the one just ``returning``.

    With ``probe``, enabled nodes that answer it are taken into service at once; the rest is left to the engine's poller, with a warning. A
    node that shall go and is still needed is disabled and goes in a later run.
    """
    check_all(wanted, "node", "domain")
    with engine.exclusive():
        current = engine.observe("servers")
        held = {domain: hold for domain, hold in holds.read(holds_path).items() if domain != returning}
        warnings = [
            f"node {node.domain} stays out of service: {held[node.domain].holder} has it in maintenance; bbb_node_drain with "
            "state=returned puts it back"
            for node in wanted
            if node.enabled and node.state == "present" and node.domain in held
        ]
        wanted = [replace(node, enabled=node.enabled and node.domain not in held) for node in wanted]
        target, changes = diff_nodes(engine, current, wanted)
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


def _into_service(engine: Engine, current: State, wanted: t.Sequence[Node], probe: Probe, outcome: Outcome) -> list[str]:
    """Domains of enabled nodes that are not available and answer; adds what that changes to the outcome."""
    outcome.health = engine.health()
    ready = []
    for node in wanted:
        # An engine gives no new meeting to a node that is new or failed until it has polled it often enough.
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
