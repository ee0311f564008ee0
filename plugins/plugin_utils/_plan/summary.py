# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what was seen on a container host and at the pool as one plan, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 20
"""Services of one reason that the summary names; the plan itself has all."""


def merge(seen: Mapping[str, Any], pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plan of instance_plan with the results of pool_tenant, one for each of its `tenants`. Holds no secret.

    Whoever is not proven in sync is due.
    """
    planned = {one["name"]: {**one, "drift": [dict(entry) for entry in one["drift"]]} for one in seen["planned"]}
    calls = seen.get("tenants") or []
    for number, call in enumerate(calls):
        result = pools[number] if number < len(pools) else {"failed": True, "msg": "the pool was not asked"}
        actions = result.get("tenants") or []
        answered = not (result.get("failed") or result.get("unreachable")) and len(actions) == len(call["services"])
        why = " ".join(str(result.get("msg") or "the pool gave no answer").split())
        for index, service in enumerate(call["services"]):
            if not answered:
                planned[service]["drift"].append({"kind": "tenant", "reason": why})
            elif actions[index]["action"] != "unchanged":
                reason = {"created": "is missing", "removed": "is still there"}.get(actions[index]["action"], "differs")
                planned[service]["drift"].append({"kind": "tenant", "reason": f"tenant {actions[index]['name']} {reason}"})
    for one in planned.values():
        one["in_sync"] = not one["drift"] and one["broken"] is None
    found = list(planned.values())
    in_sync = [one["name"] for one in found if one["in_sync"]]
    due = [one["name"] for one in found if not one["in_sync"]]
    return {"planned": found, "in_sync": in_sync, "due": due, "lines": lines(found)}


def lines(planned: Sequence[Mapping[str, Any]]) -> list[str]:
    """The plan as a human reads it: a line for all, then one for each service that has something to do."""
    due = [one for one in planned if not one["in_sync"]]
    broken = [one for one in due if one["broken"] is not None]
    head = f"{len(planned)} services: {len(planned) - len(due)} in sync, {len(due) - len(broken)} with something to do"
    told = [head + (f", {len(broken)} that cannot be planned" if broken else "")]
    for one in due:
        if one["broken"] is not None:
            told.append(f"{one['name']}: cannot be planned: {one['broken']}")
        else:
            told.append(f"{one['name']}: " + "; ".join(f"{entry['kind']}: {entry['reason']}" for entry in one["drift"]))
    waiting = [f"{one['name']}: {note}" for one in planned for note in one["notes"]]
    more = [f"and {len(waiting) - NAMED} more of this kind"] if len(waiting) > NAMED else []
    return [*told, *waiting[:NAMED], *more]


def applied(results: Sequence[Mapping[str, Any]], services: Sequence[str]) -> list[str]:
    """What was done for these services by the parts of instance_apply: one line for all, then one for each. Holds no secret."""
    done: dict[str, list[str]] = {name: [] for name in services}
    why: dict[str, str] = {}
    last: set[str] = set()
    for result in results:
        trouble = str(result.get("msg") or "") if result.get("applied") is None else ""
        for one in result.get("applied") or []:
            done[one["name"]] += one["actions"]
            if one["failed"] or one["left"]:
                why.setdefault(one["name"], one["failed"] or one["left"])
        if trouble and not result.get("skipped"):
            for name in services:
                why.setdefault(name, " ".join(trouble.split()))
        last = set(result.get("done") or [])
    brought = [name for name in services if name in last]
    told = [f"{len(services)} services: {len(brought)} brought to their state together, {len(services) - len(brought)} left to their roles"]
    for name in services:
        words = [f"left to its role: {why.get(name, 'the pool did not take its tenant')}"] if name not in last else []
        words += [_actions(done[name])] if done[name] else []
        told += [f"{name}: " + "; ".join(words)] if words else []
    return told


def _actions(actions: Sequence[str]) -> str:
    """What was done by kind: the first of each, and how many more."""
    kinds: dict[str, list[str]] = {}
    for action in actions:
        kind, _colon, rest = action.partition(": ")
        kinds.setdefault(kind, []).append(rest)
    return "; ".join(f"{kind}: {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else "") for kind, found in kinds.items())
