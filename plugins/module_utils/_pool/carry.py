# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: taking tenants and nodes of a pool from one engine to another.

Engines know nothing of each other's meetings, so the change is for a moment when nobody meets: the new engine gets everything first, then
the old one gives out no more meetings, then it is looked at once more. A run that ends in between is gone through again from the start.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.model import NAME, Change, Node, Tenant
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import Engine, Probe, State, converge_nodes, converge_tenants

Look = t.Callable[[Node], Live]


@dataclass
class Carried:
    """What was brought to the new engine, and what was live on the nodes at the last look."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tenants: int = 0
    nodes: int = 0
    meetings: int = 0
    participants: int = 0


def carry(
    source: Engine,
    target: Engine,
    look: Look,
    probe: Probe,
    accept_live: bool,
    holds_path: str = holds.PATH,
    settle: t.Callable[[], None] = lambda: None,
) -> Carried:
    """Bring the target to what the source has, and let the source begin no more meetings.

    ``settle`` waits for a meeting that was begun at the last moment to be there. Raises CoopError while somebody meets, unless that is
    accepted; then the source gives out meetings as before.
    """
    found = Carried()
    if source.missing:
        return found
    tenants, nodes = source.observe("tenants"), source.observe("servers")
    known = [source.node_of(domain, entry) for domain, entry in nodes.items()]
    _count(found, known, look, accept_live, source.title)
    _same_tenants(found, source, target, tenants)
    _same_nodes(found, target, known, probe, holds_path)
    if not target.check_mode:
        _stop(found, source, nodes, known, look, accept_live, settle)
    return found


def _same_tenants(found: Carried, source: Engine, target: Engine, there: State) -> None:
    """All tenants of the source, and none that is not there any more."""
    fit = []
    for name, entry in there.items():
        tenant = source.tenant_of(name, entry)
        try:
            tenant.check()
        except CoopError as error:
            # Made by hand; it would be refused, and with it everything else.
            found.warnings.append(f"not carried over: {error}")
            continue
        if tenant.state == "present":
            fit.append(tenant)
    names = {tenant.name for tenant in fit}
    gone = [
        Tenant(name, state="absent") for name, entry in target.observe("tenants").items()
        if name not in names and NAME.match(name) and target.tenant_of(name, entry).state == "present"
    ]  # fmt: skip
    outcome = converge_tenants(target, [*fit, *gone])
    found.changes += outcome.changes
    found.warnings += outcome.warnings
    found.tenants = len(fit)


def _same_nodes(found: Carried, target: Engine, known: t.Sequence[Node], probe: Probe, holds_path: str) -> None:
    """All nodes of the source. One that a run before has stopped in the source is as it was brought to the target then."""
    there = target.observe("servers")
    wanted = [replace(node, enabled=node.enabled or bool(there.get(node.domain, {}).get("enabled"))) for node in known]
    outcome = converge_nodes(target, wanted, probe, holds_path)
    found.changes += outcome.changes
    found.warnings += outcome.warnings
    found.nodes = len(wanted)


def _stop(
    found: Carried,
    source: Engine,
    nodes: State,
    known: t.Sequence[Node],
    look: Look,
    accept_live: bool,
    settle: t.Callable[[], None],
) -> None:
    with source.exclusive():
        stopped = {domain: {**entry, "enabled": False} for domain, entry in nodes.items()}
        if stopped != nodes:
            source.apply("servers", stopped)
            settle()
    try:
        _count(found, known, look, accept_live, source.title)
    except CoopError:
        with source.exclusive():
            source.observe("servers")
            source.apply("servers", nodes)
        raise


def _count(found: Carried, known: t.Sequence[Node], look: Look, accept_live: bool, title: str) -> None:
    seen = {node.domain: look(node) for node in known}
    found.meetings = sum(one.total.meetings for one in seen.values())
    found.participants = sum(one.total.participants for one in seen.values())
    if accept_live:
        return
    if found.meetings:
        raise CoopError(
            f"{found.meetings} meetings with {found.participants} people are live in the pool that {title} runs, and another engine would "
            "not know them; run again when nobody meets, or set live=accept"
        )
    silent = [f"{domain} ({one.fault})" for domain, one in seen.items() if one.fault]
    if silent:
        raise CoopError(
            f"what is live on {', '.join(silent)} is not known; bring it back or take it out of the pool first, or set live=accept"
        )
