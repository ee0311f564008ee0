# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: places for instances that have none, by free capacity. Pure functions; amounts in MiB.

An instance that has a place keeps it: it is counted there, and never looked at again. The largest are placed first, each on the host
that has the most memory left, so that the answer depends on what there is and not on the order it was told in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class NoRoom(CoopError):
    """No host has room for an instance."""


@dataclass(frozen=True)
class Host:
    """A container host as it was found. `available`: memory that programs could still get; `disk`: free where instances lie."""

    name: str
    memory: int
    available: int
    disk: int


@dataclass(frozen=True)
class Instance:
    """An instance, with the memory it may use, and its host once it has one."""

    name: str
    memory: int
    host: str | None = None


@dataclass(frozen=True)
class Rules:
    """What stays free, and what an instance is taken to need beside its memory."""

    #: Memory of a host that no instance may be promised: system, PostgreSQL, edge.
    reserved_memory: int = 1024
    #: Free disk that no instance may be promised.
    reserved_disk: int = 5120
    #: Disk that a new instance is taken to need: database, uploads, dumps.
    instance_disk: int = 2048
    #: Instances that a host may have; 0: as many as there is room for.
    instances: int = 0


@dataclass
class Room:
    """What a host has left."""

    name: str
    memory: int
    disk: int
    instances: int


@dataclass(frozen=True)
class Proposal:
    """Places for those who had none, and what would be left on each host afterwards."""

    places: Mapping[str, str] = field(default_factory=dict)
    room: tuple[Room, ...] = ()


def rooms(hosts: Iterable[Host], instances: Iterable[Instance], rules: Rules) -> list[Room]:
    """What each host has left once all its instances use what they may.

    Less than that where other programs have taken the memory: what nobody could get is not promised.
    """
    known = sorted(instances, key=lambda one: one.name)
    result = []
    for host in sorted(hosts, key=lambda one: one.name):
        own = [one.memory for one in known if one.host == host.name]
        memory = min(host.memory - rules.reserved_memory - sum(own), host.available)
        result.append(Room(host.name, memory, host.disk - rules.reserved_disk, len(own)))
    return result


def propose(hosts: Iterable[Host], instances: Iterable[Instance], rules: Rules) -> Proposal:
    """Places for the instances without one. Raises NoRoom naming every instance that no host has room for."""
    everybody = list(instances)
    left = rooms(hosts, everybody, rules)
    places: dict[str, str] = {}
    homeless: list[Instance] = []
    for one in sorted((one for one in everybody if one.host is None), key=lambda one: (-one.memory, one.name)):
        fit = [room for room in left if _fits(one, room, rules)]
        if not fit:
            homeless.append(one)
            continue
        best = min(fit, key=lambda room: (-room.memory, room.instances, room.name))
        best.memory -= one.memory
        best.disk -= rules.instance_disk
        best.instances += 1
        places[one.name] = best.name
    if homeless:
        needs = ", ".join(f"{one.name} ({one.memory} MiB)" for one in homeless)
        state = "; ".join(_told(room, rules) for room in left) or "there is no container host that answers"
        raise NoRoom(
            f"no container host has room for {needs}, each with {rules.instance_disk} MiB of disk: {state};"
            " add a container host, or give an instance less memory (resources.memory)"
        )
    return Proposal(dict(sorted(places.items())), tuple(left))


def _fits(one: Instance, room: Room, rules: Rules) -> bool:
    return room.memory >= one.memory and room.disk >= rules.instance_disk and not (rules.instances and room.instances >= rules.instances)


def _told(room: Room, rules: Rules) -> str:
    number = f"{room.instances} of {rules.instances}" if rules.instances else str(room.instances)
    return f"{room.name} has {max(0, room.memory)} MiB of memory and {max(0, room.disk)} MiB of disk left, and {number} instances"
