#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: usage_export
short_description: Writes what the tenants used in a month into the money files
version_added: 0.1.0
description:
  - Writes C(usage/<month>.csv) in the folder of the money files, from what M(meet.coop.usage_info) tells. M(meet.coop.month_settlement)
    reads it.
  - The use of a client counts for the member that serves it. Each service of a member that was active in the month has a line, with 0 where
    it used nothing.
  - Lines whose C(source) is not V(meter) are somebody else's and stay as they are.
  - The same measurement gives the same bytes. A month that is closed is never written again.
  - The file is read as the settlement reads it before it takes its place; what that would refuse is not written.
  - Works on the controller, as an action plugin. The host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - jsonschema on the controller
options:
  measured:
    description: The result of M(meet.coop.usage_info) on the monitoring host.
    type: dict
    required: true
  membership:
    description: The membership file, or several, or folders of them, on the controller.
    type: list
    elements: path
    required: true
  directory:
    description: Folder of the money files. Left out, it is C(money) beside the membership file.
    type: path
  metrics:
    description: What to write of each tenant.
    type: list
    elements: str
    choices: [participant_minutes, meeting_minutes, voice_minutes, video_minutes, peak_participants, peak_meetings]
    default: [participant_minutes]
seealso:
  - module: meet.coop.usage_info
  - module: meet.coop.month_settlement
"""

EXAMPLES = r"""
- name: Read the meter
  meet.coop.usage_info:
    month: 2026-03
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
  delegate_to: pool1
  register: usage

- name: Write what March came to
  meet.coop.usage_export:
    measured: "{{ usage }}"
    membership: [inventories/ourcoop/members.yml]
"""

RETURN = r"""
month:
  description: The month.
  returned: success
  type: str
file:
  description: The file.
  returned: success
  type: str
closed:
  description: Whether the month is closed. Then nothing is written.
  returned: success
  type: bool
differs:
  description: Whether a closed month's file is not what the meter tells now.
  returned: success
  type: bool
coverage:
  description: How much of the time was measured, in percent.
  returned: success
  type: str
lines:
  description: The lines of the meter.
  returned: success
  type: list
  elements: dict
unattributed:
  description: Tenants that used something and stand in no line, with C(tenant), the metrics and C(why).
  returned: success
  type: list
  elements: dict
summary:
  description: What came out, and what was not measured, for people to read.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "measured": {"type": "dict", "required": True},
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "metrics": {
        "type": "list",
        "elements": "str",
        "choices": ["participant_minutes", "meeting_minutes", "voice_minutes", "video_minutes", "peak_participants", "peak_meetings"],
        "default": ["participant_minutes"],
    },
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.usage_export runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
