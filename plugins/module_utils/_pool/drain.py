# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: taking a node out of its pool without ending a meeting, and putting it back."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace
from fractions import Fraction

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import ENGINE_ARGUMENTS
from ansible_collections.meet.coop.plugins.module_utils._pool.holds import Hold
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Change, Node
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import Engine, Probe, converge_nodes

DRAIN_ARGUMENTS: dict[str, t.Any] = {
    "domain": {"type": "str", "required": True},
    "secret": {"type": "str", "no_log": True},
    "state": {"type": "str", "choices": ["drained", "returned"], "default": "drained"},
    "holder": {"type": "str", "required": True},
    "hold_for": {"type": "int", "default": 7200},
    "min_share": {"type": "float", "default": 0.5},
    "timeout": {"type": "int", "default": 14400},
    "on_timeout": {"type": "str", "choices": ["postpone", "hold"], "default": "postpone"},
    "unreachable": {"type": "str", "choices": ["wait", "empty"], "default": "wait"},
    "poll": {"type": "int", "default": 15},
    "probe_timeout": {"type": "int", "default": 10},
    "ca_file": {"type": "path"},
    **ENGINE_ARGUMENTS,
}
"""Options of module bbb_node_drain, whose waiting is done on the controller."""


@dataclass
class Drained:
    """One look at a node that is being taken out, or the end of it."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    live: Live | None = None
    held: Hold | None = None


def take_out(
    engine: Engine, domain: str, secret: str, holder: str, now: int, hold_seconds: int, min_share: Fraction, look: t.Callable[[Node], Live],
    path: str = holds.PATH,
) -> Drained:
    """Give the node no new meetings, and look what is still live on it. Called again and again until it is empty.

    An empty ``secret`` stands for the one the pool has. Raises CoopError when the pool does not know the node, somebody else holds it, or
    fewer than ``min_share`` of the pool's nodes would be left to take meetings.
    """
    with engine.exclusive():
        current = engine.observe("servers")
        held = holds.read(path)
        if domain not in current:
            if engine.missing:
                return Drained([_change(domain, "drained", True, False)])
            raise _unknown(domain, current)
        mine = held.get(domain)
        if mine is not None and mine.binds(holder, now):
            raise CoopError(
                f"node {domain} is being maintained by {mine.holder} for another {(mine.until - now + 59) // 60} minutes at most; wait "
                f"for it, or name holder={mine.holder} to go on with it"
            )
        if mine is None:
            _check_share(engine, current, held, domain, min_share)
        hold = Hold(
            holder, mine.since if mine else now, now + hold_seconds, mine.enabled if mine else bool(current[domain]["enabled"]))
        changes = []
        if mine is None or current[domain]["enabled"]:
            changes.append(_change(domain, "drained", current[domain]["enabled"], False))
        if not engine.check_mode:
            # First the hold: a run that ends here leaves a node that nobody puts back by accident.
            holds.write({**held, domain: hold}, path)
            if current[domain]["enabled"]:
                engine.apply("servers", {**current, domain: {**current[domain], "enabled": False}})
        node = Node(domain, secret or current[domain]["secret"])
    return Drained(changes, live=look(node), held=hold)


def put_back(engine: Engine, domain: str, secret: str, holder: str, now: int, probe: Probe, path: str = holds.PATH) -> Drained:
    """Let the node have meetings again, at once; one that was disabled before stays so.

    Raises CoopError when the node does not answer ``probe``, or when somebody else holds it; then it stays out.
    """
    with engine.exclusive():
        mine, current = holds.read(path).get(domain), engine.observe("servers")
    if domain not in current:
        if engine.missing:
            return Drained()
        raise _unknown(domain, current)
    if mine is not None and mine.binds(holder, now):
        raise CoopError(f"node {domain} is being maintained by {mine.holder}; name holder={mine.holder} to put it back")
    known = engine.node_of(domain, current[domain])
    wanted = replace(known, secret=secret or known.secret, enabled=mine.enabled if mine else True)
    if engine.check_mode:
        outcome = converge_nodes(engine, [wanted], lambda _node: None, path, returning=domain)
        return Drained(outcome.changes, outcome.warnings)
    if fault := probe(wanted):
        raise CoopError(f"node {domain} stays out of the pool, since it does not work as it should: {fault}")
    # In this order a run that ends between the two leaves a node that every later run of role pool puts back.
    with engine.exclusive():
        holds.write({name: hold for name, hold in holds.read(path).items() if name != domain}, path)
    outcome = converge_nodes(engine, [wanted], probe, path, returning=domain)
    return Drained(outcome.changes, outcome.warnings)


def _check_share(
    engine: Engine, current: t.Mapping[str, t.Any], held: t.Mapping[str, Hold], domain: str, min_share: Fraction
) -> None:
    health = engine.health()
    counted = [name for name, entry in current.items() if entry["enabled"] or name in held or name == domain]
    left = [name for name in counted if name != domain and current[name]["enabled"] and health.get(name) == "available"]
    if Fraction(len(left), len(counted)) < min_share:
        out = sorted(set(counted) - set(left) - {domain})
        raise CoopError(
            f"without node {domain} the pool would have {len(left)} of {len(counted)} nodes in service, and a share of "
            f"{float(min_share):g} is the least{' (out already: ' + ', '.join(out) + ')' if out else ''}; bring others back first, or give "
            "a smaller min_share"
        )


def _unknown(domain: str, current: t.Mapping[str, t.Any]) -> CoopError:
    return CoopError(f"node {domain} is not in this pool, which has {', '.join(sorted(current)) or 'none'}")


def _change(domain: str, action: str, before: bool, after: bool) -> Change:
    return Change(domain, action, {"enabled": before}, {"enabled": after})
