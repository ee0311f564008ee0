# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: from the options of C(instance_placement) to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import parse_memory

from .proposal import Host, Instance, Rules, propose
from .record import lines, read, with_more, write

MIB = 1024**2


def run(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Propose, and record where that is asked for. Raises CoopError; nothing is written then."""
    for key in ("reserved_memory", "reserved_disk", "instance_disk", "instances_max"):
        if params[key] < 0:
            raise CoopError(f"{key} {params[key]} is less than 0")
    hosts = [Host(**one) for one in params["hosts"]]
    redis = parse_memory(params["redis_memory"], "redis_memory")
    instances = [
        # Rounded up: promised memory is never more than there is.
        Instance(one["name"], -(-(parse_memory(one["memory"], f"memory of {one['name']}") + redis) // MIB), one["host"] or None)
        for one in params["instances"]
    ]
    for kind, names in (("hosts", [one.name for one in hosts]), ("instances", [one.name for one in instances])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CoopError(f"{kind} names {', '.join(twice)} twice")
    rules = Rules(params["reserved_memory"], params["reserved_disk"], params["instance_disk"], params["instances_max"])
    proposal = propose(hosts, instances, rules)
    result: dict[str, Any] = {
        "changed": False,
        "placed": dict(proposal.places),
        "lines": lines(proposal.places),
        "room": [{"host": one.name, "memory": one.memory, "disk": one.disk, "instances": one.instances} for one in proposal.room],
    }
    if params["record"]:
        result |= _record(params["record"], proposal.places, check_mode)
    return result


def _record(path: str, places: Mapping[str, str], check_mode: bool) -> dict[str, Any]:
    """Add the new places to the file. A line that is there already stays, as does what its writer said of it."""
    before, recorded = read(path)
    fresh = {name: host for name, host in places.items() if name not in recorded}
    unread = sorted(set(places) - set(fresh))
    if unread:
        raise CoopError(
            f"{path} has places for {', '.join(unread)}, but the inventory does not know them;"
            " name the file among the paths of the inventory plugin meet.coop.members"
        )
    after = with_more(before, recorded, fresh) if fresh else before
    changed = after != before
    if changed and not check_mode:
        write(path, after)
    return {"changed": changed, "diff": {"before": before, "after": after, "before_header": path, "after_header": path}}
