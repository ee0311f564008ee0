# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One description of a time, and three schedulers that run it at the same minutes: systemd's own reading, dateutil's, and cron's rules."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ansible.errors import AnsibleFilterError
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.filter.schedule import schedule
from ansible_collections.meet.coop.plugins.plugin_utils._schedule import WEEKDAYS
from tests.support.examples import examples

ZONE = "Europe/Madrid"
START = datetime.datetime(2026, 2, 10, 12, 34, 56)
times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
whens: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(lambda minute: {"every": "hour", "at": f":{minute:02}"}, st.integers(0, 59)),
    st.builds(lambda at: {"every": "day", "at": at}, times),
    st.builds(lambda at, weekday: {"every": "week", "at": at, "weekday": weekday}, times, st.sampled_from(WEEKDAYS)),
    st.builds(lambda at, day: {"every": "month", "at": at, "day": day}, times, st.integers(1, 28)),
)


def by_rrule(when: dict[str, Any], count: int) -> list[datetime.datetime]:
    text = schedule(when, "rrule", ZONE)
    # dateutil wants the two on lines of their own; AWX splits them itself.
    rule = rrulestr(text.replace(" RRULE", "\nRRULE"), tzinfos={ZONE: ZoneInfo(ZONE)})
    return [moment.replace(tzinfo=None) for moment in rule.xafter(START.replace(tzinfo=ZoneInfo(ZONE)), count)]


def by_cron(when: dict[str, Any], count: int) -> list[datetime.datetime]:
    fields = schedule(when, "cron").split()
    found: list[datetime.datetime] = []
    moment = START.replace(second=0) + datetime.timedelta(minutes=1)
    while len(found) < count:
        seen = (moment.minute, moment.hour, moment.day, moment.month, moment.isoweekday() % 7)
        if all(field in ("*", str(value)) for field, value in zip(fields, seen, strict=True)):
            found.append(moment)
        moment += datetime.timedelta(minutes=1)
    return found


@examples(30)
@given(whens)
def test_cron_and_icalendar_mean_the_same_minutes(when: dict[str, Any]) -> None:
    assert by_rrule(when, 2) == by_cron(when, 2)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
@examples(15)
@given(whens)
def test_systemd_means_the_same_minutes(when: dict[str, Any]) -> None:
    text = schedule(when, "calendar", ZONE)
    base = START.replace(tzinfo=ZoneInfo(ZONE)).astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=2", f"--base-time={base}", text],
        text=True, capture_output=True, check=False, timeout=60, env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    moments = re.findall(r"(?:Next elapse|Iter\. #2|Iteration #2): \w+ (\S+ \S+) UTC", done.stdout)
    seen = [datetime.datetime.fromisoformat(f"{moment}+00:00").astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) for moment in moments]
    assert seen == by_rrule(when, 2), done.stdout


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"every": "night", "at": "02:00"}, "jobs.site: every is 'night'; write one of hour, day, week, month"),
        ({"every": "day"}, "jobs.site: at is missing with every: day"),
        ({"every": "day", "at": "02:00", "weekday": "sunday"}, "weekday does not belong with every: day"),
        ({"every": "day", "at": 120}, "at is '120'; write a time such as 02:00, in quotes"),
        ({"every": "day", "at": "24:00"}, "at is '24:00'"),
        ({"every": "hour", "at": "02:10"}, "write :10, minutes past every hour"),
        ({"every": "week", "at": "02:00", "weekday": "Sun"}, "weekday is 'Sun'; write one of monday"),
        ({"every": "month", "at": "02:00", "day": 31}, "day is 31; write 1 to 28"),
        ({"every": "month", "at": "02:00", "day": "last"}, "day is 'last'"),
    ],
)
def test_bad_times_are_refused_in_one_line(when: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=re.escape(said)):
        schedule(when, "calendar", ZONE, "jobs.site")


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="time zone 'Mars/Base' is not known"):
        schedule({"every": "day", "at": "02:00"}, "rrule", "Mars/Base")
