# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(meet.coop.schedule)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: schedule
short_description: When a job runs, in the words of systemd, cron or iCalendar
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Writes one description of a time in the form that a scheduler takes.
positional: form, time_zone, name
options:
  _input:
    description:
      - C(every) is V(hour), V(day), V(week) or V(month); C(at) the time, such as V(02:00), or V(:10) with V(hour); C(weekday) an English
        name; C(day) 1 to 28.
    type: dict
    required: true
  form:
    description: V(calendar) is systemd's C(OnCalendar), V(cron) five fields without a time zone, V(rrule) what AWX takes.
    type: str
    choices: [calendar, cron, rrule]
    required: true
  time_zone:
    description: The time zone that the time is meant in.
    type: str
    default: UTC
  name:
    description: Whose time it is, for the message when it cannot be understood.
    type: str
    default: when
"""

EXAMPLES = r"""
- name: "*-*-* 02:00:00 Europe/Madrid"
  ansible.builtin.debug:
    msg: "{{ {'every': 'day', 'at': '02:00'} | meet.coop.schedule('calendar', 'Europe/Madrid') }}"
"""

RETURN = r"""
_value:
  description: The same time, in that form.
  type: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils import _schedule


class FilterModule:
    """The filter for Ansible."""

    def filters(self) -> dict[str, Any]:
        """Name and function."""
        return {"schedule": schedule}


def schedule(when: Mapping[str, Any], form: str, time_zone: str = "UTC", name: str = "when") -> str:
    """See the documentation of the filter."""
    try:
        found = _schedule.parse(when, name)
        if form == "calendar":
            return _schedule.calendar(found, time_zone)
        if form == "rrule":
            return _schedule.rrule(found, time_zone)
        if form == "cron":
            return _schedule.cron(found)
        raise CoopError(f"form is {form!r}; write calendar, cron or rrule")
    except CoopError as error:
        raise AnsibleFilterError(str(error)) from None
