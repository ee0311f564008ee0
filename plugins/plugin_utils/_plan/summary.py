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
