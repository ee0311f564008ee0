# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: when a job runs, in the words of systemd, cron and iCalendar (RFC 5545), from one description."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

EVERY = ("hour", "day", "week", "month")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FIELDS = {"hour": {"every", "at"}, "day": {"every", "at"}, "week": {"every", "at", "weekday"}, "month": {"every", "at", "day"}}
# Schedules of iCalendar begin somewhere; a fixed day, so that the same words come out every time.
_BEGIN = "20260101"


@dataclass(frozen=True)
class Schedule:
    """Every hour, day, week or month at a time of the wall clock; ``weekday`` counts from Monday, 0."""

    every: str
    hour: int
    minute: int
    weekday: int = 0
    day: int = 1


def parse(when: Mapping[str, Any], where: str) -> Schedule:
    """Read a description such as C({every: week, weekday: sunday, at: '04:00'}). Raises CoopError that begins with ``where``."""
    every = when.get("every")
    if every not in EVERY:
        raise CoopError(f"{where}: every is {every!r}; write one of {', '.join(EVERY)}")
    odd, missing = set(when) - _FIELDS[every], _FIELDS[every] - set(when)
    if odd or missing:
        words = [f"{', '.join(sorted(names))} {what}" for names, what in ((odd, "does not belong"), (missing, "is missing")) if names]
        raise CoopError(f"{where}: {' and '.join(words)} with every: {every}; it takes {', '.join(sorted(_FIELDS[every]))}")
    at = str(when["at"])
    match = re.fullmatch(r":([0-5][0-9])" if every == "hour" else r"([01][0-9]|2[0-3]):([0-5][0-9])", at)
    if not match:
        raise CoopError(
            f"{where}: at is {at!r}; write {':10, minutes past every hour' if every == 'hour' else 'a time such as 02:00'}, in quotes"
        )
    minute = int(match.group(match.lastindex or 1))
    hour = 0 if every == "hour" else int(match.group(1))
    weekday, day = 0, 1
    if every == "week":
        if when["weekday"] not in WEEKDAYS:
            raise CoopError(f"{where}: weekday is {when['weekday']!r}; write one of {', '.join(WEEKDAYS)}")
        weekday = WEEKDAYS.index(when["weekday"])
    if every == "month":
        try:
            day = int(when["day"])
        except (TypeError, ValueError):
            day = 0
        if not 1 <= day <= 28:
            raise CoopError(f"{where}: day is {when['day']!r}; write 1 to 28, which every month has")
    return Schedule(every, hour, minute, weekday, day)


def calendar(schedule: Schedule, time_zone: str) -> str:
    """systemd's OnCalendar."""
    days = f"{WEEKDAYS[schedule.weekday][:3].title()} " if schedule.every == "week" else ""
    day = f"{schedule.day:02}" if schedule.every == "month" else "*"
    hour = "*" if schedule.every == "hour" else f"{schedule.hour:02}"
    return f"{days}*-*-{day} {hour}:{schedule.minute:02}:00 {zone(time_zone)}"


def cron(schedule: Schedule) -> str:
    """Five fields. Cron knows no time zone: whoever runs it has one."""
    hour = "*" if schedule.every == "hour" else str(schedule.hour)
    day = str(schedule.day) if schedule.every == "month" else "*"
    weekday = str((schedule.weekday + 1) % 7) if schedule.every == "week" else "*"
    return f"{schedule.minute} {hour} {day} * {weekday}"


def rrule(schedule: Schedule, time_zone: str) -> str:
    """A beginning and a rule, as AWX takes them."""
    rules = {
        "hour": "FREQ=HOURLY;INTERVAL=1",
        "day": "FREQ=DAILY;INTERVAL=1",
        "week": f"FREQ=WEEKLY;INTERVAL=1;BYDAY={WEEKDAYS[schedule.weekday][:2].upper()}",
        "month": f"FREQ=MONTHLY;INTERVAL=1;BYMONTHDAY={schedule.day}",
    }
    return f"DTSTART;TZID={zone(time_zone)}:{_BEGIN}T{schedule.hour:02}{schedule.minute:02}00 RRULE:{rules[schedule.every]}"


def zone(name: str) -> str:
    """The name, if there is such a time zone. Raises CoopError."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise CoopError(f"time zone {name!r} is not known; write one such as Europe/Madrid or UTC") from None
    return name
