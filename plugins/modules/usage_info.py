#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: usage_info
short_description: Tells what each tenant of the pool used in a month, and how much of the month was measured
version_added: 0.1.0
description:
  - Reads the record that C(coop-meter) keeps on the monitoring host, whether or not that is running. Prometheus is not asked.
  - A month is one of UTC. Of a month that is not over, the days that are over count.
  - What was not measured is told and never filled in.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Only looks.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  month:
    description: The month, as year and month.
    type: str
    required: true
  as_of:
    description:
      - The day on which this is asked, year-month-day, in UTC.
      - The module never looks at a clock.
    type: str
    required: true
  record:
    description: The record on the host.
    type: path
    default: /var/lib/coop-meter/record.sqlite
seealso:
  - module: meet.coop.usage_export
  - module: meet.coop.meter_program
"""

EXAMPLES = r"""
- name: See what March came to
  meet.coop.usage_info:
    month: 2026-03
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
  register: usage
"""

RETURN = r"""
month:
  description: The month.
  returned: success
  type: str
  sample: 2026-03
sampled_from:
  description: The first day that counts.
  returned: success
  type: str
sampled_to:
  description: The last day that counts.
  returned: success
  type: str
complete:
  description: Whether the month is over.
  returned: success
  type: bool
interval:
  description: Seconds between two polls, as it is at the end of these days.
  returned: success
  type: int
samples_expected:
  description: Questions that should have been put to nodes on these days.
  returned: success
  type: int
samples_got:
  description: How many of them were answered.
  returned: success
  type: int
coverage:
  description: The share of them, in percent.
  returned: success
  type: str
  sample: "99.18"
tenants:
  description:
    - What each tenant used, by the name that the pool knows it under; the empty name stands for meetings that belong to nobody known.
    - Minutes are of people, meetings, microphones and cameras; C(peak_participants) and C(peak_meetings) are the most at once.
  returned: success
  type: dict
  sample: {"sunflower": {"participant_minutes": 9853, "meeting_minutes": 1410, "voice_minutes": 6020, "video_minutes": 3300,
                         "peak_participants": 31, "peak_meetings": 4}}
gaps:
  description: Spans of time in which no node was asked, the first fifty, with C(from), C(to) and C(minutes).
  returned: success
  type: list
  elements: dict
gaps_left_out:
  description: How many more there are.
  returned: success
  type: int
silent:
  description: Questions without an answer, by node.
  returned: success
  type: dict
  sample: {"bbb2.example.org": 61}
"""

import datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._meter.command import month


def run(module: AnsibleModule) -> dict[str, Any]:
    """Look."""
    try:
        today = datetime.date.fromisoformat(module.params["as_of"])
    except ValueError:
        raise CoopError("as_of: not a day of the calendar; write year-month-day, such as 2026-04-02") from None
    return {"changed": False, **month(module.params["record"], module.params["month"], today)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "month": {"type": "str", "required": True},
            "as_of": {"type": "str", "required": True},
            "record": {"type": "path", "default": "/var/lib/coop-meter/record.sqlite"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
