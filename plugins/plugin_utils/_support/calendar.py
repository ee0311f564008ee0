# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: events as iCalendar (RFC 5545), in UTC, so that no time zone has to be told."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Event:
    """One event. C(stamp) is a time at which it was as it is, C(status) one of RFC 5545's, such as CANCELLED."""

    uid: str
    begin: datetime.datetime
    end: datetime.datetime
    summary: str
    stamp: datetime.datetime
    description: str = ""
    status: str = "CONFIRMED"
    busy: bool = False


def render(name: str, product: str, events: Sequence[Event]) -> str:
    """The calendar as text with the line ends of the RFC; C(product) says what made it."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//{_text(product)}//EN", "CALSCALE:GREGORIAN", f"NAME:{_text(name)}"]
    lines.append(f"X-WR-CALNAME:{_text(name)}")
    for event in events:
        lines += ["BEGIN:VEVENT", f"UID:{_text(event.uid)}", f"DTSTAMP:{_utc(event.stamp)}", f"DTSTART:{_utc(event.begin)}"]
        lines += [f"DTEND:{_utc(event.end)}", f"SUMMARY:{_text(event.summary)}"]
        if event.description:
            lines.append(f"DESCRIPTION:{_text(event.description)}")
        lines += [f"STATUS:{event.status}", f"TRANSP:{'OPAQUE' if event.busy else 'TRANSPARENT'}", "END:VEVENT"]
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in _folded(line))


def _utc(value: datetime.datetime) -> str:
    return value.astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    """A value of type TEXT (3.3.11)."""
    value = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return value.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _folded(line: str) -> Iterator[str]:
    """A line in parts of at most 75 octets (3.1), none of which ends within a character."""
    part, size = "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > 75:
            yield part
            part, size = " ", 1
        part += character
        size += octets
    yield part
