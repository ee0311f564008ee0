# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what is live on a BigBlueButton node, as numbers. Names of people are in the answer and are never kept."""

from __future__ import annotations

import secrets
import time
import typing as t
from dataclasses import asdict, dataclass, field
from xml.etree import ElementTree

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import BigBlueButtonError, Client

TENANT_KEYS = ("bbblb-tenant", "tenant-name")
"""Metadata by which a balancer says whose meeting it is: BBBLB (bbblb/web/bbbapi.py), Scalelite (bigbluebutton_api_controller.rb)."""
CLOCK_TOLERANCE = 30
"""Seconds that a server's clock may be off before it is said: above what a slow answer looks like."""
OTHERS = ""
"""Stands for meetings that no balancer has marked: made with the node's own secret."""


@dataclass
class Count:
    """How much goes on: meetings and the people in them; voice, video and listeners are of those people."""

    meetings: int = 0
    participants: int = 0
    voice: int = 0
    video: int = 0
    listeners: int = 0

    def add(self, meeting: Meeting) -> None:
        self.meetings += 1
        self.participants += meeting.participants
        self.voice += meeting.voice
        self.video += meeting.video
        self.listeners += meeting.listeners


@dataclass(frozen=True)
class Meeting:
    """One live meeting. ``created`` is in milliseconds since 1970, as in the API; ``internal_id`` is unique over time, ``id`` is not."""

    id: str
    internal_id: str
    tenant: str
    created: int
    breakout: bool
    participants: int
    voice: int
    video: int
    listeners: int


@dataclass
class Live:
    """What a node answered. ``fault`` is why it could not be asked; then nothing is known, which is not the same as nothing going on."""

    fault: str | None = None
    total: Count = field(default_factory=Count)
    tenants: dict[str, Count] = field(default_factory=dict)
    meetings: list[Meeting] = field(default_factory=list)
    clock_offset: float | None = None
    """Seconds by which the node's clock is ahead of this host's, to a second or so; None for unknown."""

    @property
    def empty(self) -> bool:
        """Whether it is known that no meeting is there. A meeting that was made and that nobody has entered yet counts as one."""
        return self.fault is None and not self.total.meetings

    def as_dict(self, details: bool) -> dict[str, t.Any]:
        """For a module's result: numbers, and each meeting only when asked for."""
        found: dict[str, t.Any] = {
            "fault": self.fault,
            "empty": self.empty,
            **asdict(self.total),
            "clock_offset": None if self.clock_offset is None else round(self.clock_offset),
            "tenants": {name: asdict(count) for name, count in sorted(self.tenants.items())},
        }
        if details:
            found["list"] = [asdict(meeting) for meeting in self.meetings]
        return found


def live(client: Client) -> Live:
    """Ask a node what is live on it; a node that cannot be asked is an answer too."""
    try:
        found = read(client.call("getMeetings"))
    except BigBlueButtonError as error:
        return Live(fault=str(error))
    found.clock_offset = client.clock_offset
    return found


def clock_fault(domain: str, offset: float | None) -> str | None:
    """What is wrong with a node's clock, by how many seconds it is ahead of this host's; None when nothing is, or nothing is known."""
    if offset is None or abs(offset) <= CLOCK_TOLERANCE:
        return None
    way = "ahead of" if offset > 0 else "behind"
    return (
        f"the clock of {domain} is {abs(offset):.0f} s {way} this host's. Meetings go on, and their times, certificates, TURN and the "
        "retention of recordings go wrong: set the wrong one of the two while nobody meets there (docs/runbooks.md, NodeClockOff)"
    )


def read(answer: ElementTree.Element) -> Live:
    """The answer to getMeetings as numbers (BigBlueButton documentation, development/api.md). Meetings that have ended are left out."""
    found = Live()
    for element in answer.iterfind("meetings/meeting"):
        if _number(element, "endTime"):
            continue
        meeting = Meeting(
            id=element.findtext("meetingID") or "",
            internal_id=element.findtext("internalMeetingID") or "",
            tenant=_tenant(element),
            created=_number(element, "createTime"),
            breakout=element.findtext("isBreakout") == "true",
            participants=_number(element, "participantCount"),
            voice=_number(element, "voiceParticipantCount"),
            video=_number(element, "videoCount"),
            listeners=_number(element, "listenerCount"),
        )
        found.meetings.append(meeting)
        found.total.add(meeting)
        found.tenants.setdefault(meeting.tenant, Count()).add(meeting)
    return found


def _tenant(element: ElementTree.Element) -> str:
    for key in TENANT_KEYS:
        name = element.findtext(f"metadata/{key}")
        if name:
            return name
    return OTHERS


def _number(element: ElementTree.Element, name: str) -> int:
    text = (element.findtext(name) or "").strip()
    return int(text) if text.isdecimal() else 0


def prove(client: Client, seconds: float = 30.0) -> str | None:
    """Make a meeting, see it and end it, as users would need it; why that does not work, or None.

    ``end`` only asks for the end (BigBlueButton documentation, development/api.md), so the meeting is waited for to be gone.
    """
    meeting = {"meetingID": f"check-{secrets.token_hex(8)}"}
    try:
        wish = {"name": "Check after maintenance", "record": False, "meetingExpireIfNoUserJoinedInMinutes": 1}
        made = client.call("create", {**meeting, **wish})
        client.call("getMeetingInfo", meeting)
        client.call("end", {**meeting, "password": made.findtext("moderatorPW") or ""})
        deadline = time.monotonic() + seconds
        while any(one.id == meeting["meetingID"] for one in read(client.call("getMeetings")).meetings):
            if time.monotonic() > deadline:
                return f"a meeting made for the check is still there {seconds:.0f} s after its end was asked for"
            time.sleep(0.5)
    except BigBlueButtonError as error:
        return str(error)
    return None
