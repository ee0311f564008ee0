# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes on which people meet in simulated time, and what really happened there; the meter's program run over that time."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import api, meetings
from ansible_collections.meet.coop.plugins.module_utils._meter import command
from ansible_collections.meet.coop.plugins.module_utils._meter.config import Node

PERSON = "Ana Costa"
MEETING = "Assembly of members"


def epoch(text: str) -> int:
    """Seconds since 1970 of a time in UTC, such as 2026-03-01T10:00."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp())


@dataclass(frozen=True)
class Stay:
    """People of a tenant that are in one meeting from ``begin`` to ``end`` (seconds since 1970)."""

    node: str
    tenant: str
    begin: float
    end: float
    people: int = 1
    meeting: str = "m"

    def within(self, spans: Iterable[tuple[float, float]]) -> float:
        """Seconds of it that lie in spans."""
        return sum(max(0.0, min(self.end, last) - max(self.begin, first)) for first, last in spans)


@dataclass
class World:
    """What happens, by the true time. ``offset`` is what the meter's clock is ahead of it."""

    stays: Sequence[Stay]
    now: float
    offset: float = 0.0
    mark: str = "bbblb-tenant"
    faults: Callable[[str, float], str | None] = lambda _node, _now: None
    asked: list[tuple[float, str, bool]] = field(default_factory=list)
    """When which node was asked, and whether it answered."""

    def answer(self, node: str) -> bytes:
        """What getMeetings says, names and all."""
        root = ET.Element("response")
        ET.SubElement(root, "returncode").text = "SUCCESS"
        listed = ET.SubElement(root, "meetings")
        rooms: dict[tuple[str, str], list[Stay]] = {}
        for stay in self.stays:
            if stay.node == node and stay.begin <= self.now < stay.end:
                rooms.setdefault((stay.meeting, stay.tenant), []).append(stay)
        for (name, tenant), stays in rooms.items():
            people = sum(stay.people for stay in stays)
            meeting = ET.SubElement(listed, "meeting")
            internal = hashlib.sha1(name.encode()).hexdigest() + f"-{node}"
            for key, value in (
                ("meetingName", MEETING), ("meetingID", name), ("internalMeetingID", internal), ("createTime", "1"), ("endTime", "0"),
                ("participantCount", people), ("voiceParticipantCount", people), ("videoCount", 0), ("listenerCount", 0),
            ):  # fmt: skip
                ET.SubElement(meeting, key).text = str(value)
            attendees = ET.SubElement(meeting, "attendees")
            ET.SubElement(ET.SubElement(attendees, "attendee"), "fullName").text = PERSON
            ET.SubElement(ET.SubElement(meeting, "metadata"), self.mark).text = tenant
        return ET.tostring(root)

    def ask(self, node: Node) -> meetings.Live:
        """Stands in for HTTPS; what comes over it is read by the collection's own parser."""
        fault = self.faults(node.domain, self.now)
        self.asked.append((self.now, node.domain, fault is None))
        return meetings.Live(fault=fault) if fault else meetings.read(api.parse(self.answer(node.domain)))


class SimulatedClock(command.Clock):
    """The world's clock. It ends the program at ``until``; ``events`` are done when their true time comes."""

    def __init__(self, world: World, until: float, events: Sequence[tuple[float, Callable[[World], None]]] = ()) -> None:
        super().__init__()
        self.world = world
        self.until = until
        self.events = sorted(events, key=lambda event: event[0])

    def now(self) -> float:
        return self.world.now + self.world.offset

    def sleep(self, seconds: float) -> bool:
        assert 0 < seconds <= 700
        self.world.now += seconds
        while self.events and self.events[0][0] <= self.world.now:
            self.events.pop(0)[1](self.world)
        return self.world.now < self.until


@dataclass
class Meter:
    """The program with its files in one folder."""

    folder: Path
    nodes: Sequence[Mapping[str, Any]]
    interval: int = 60
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> Path:
        return self.folder / "record.sqlite"

    @property
    def config(self) -> Path:
        path = self.folder / "meter.json"
        given = {"nodes": list(self.nodes), "interval": self.interval, "timeout": 2, "record": str(self.record), **self.more}
        path.write_text(json.dumps(given))
        return path

    def run(self, world: World, until: float, events: Sequence[tuple[float, Callable[[World], None]]] = ()) -> int:
        """Meter from the world's now on."""
        return command.main(["run", "--config", str(self.config)], SimulatedClock(world, until, events), world.ask)

    def month(self, name: str, as_of: str) -> dict[str, Any]:
        """What the module usage_info returns."""
        return command.month(str(self.record), name, datetime.date.fromisoformat(as_of))
