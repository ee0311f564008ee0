#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: support_rota
short_description: Whose turn it is among the producers, from files
version_added: 0.1.0
description:
  - Gives every turn of the rota to a producer, by weight, around holidays and with swaps, and tells who is on at a time.
  - The rules stand in C(rota.yml) in O(directory), the producers in the membership file. docs/support.md explains both.
  - Turns that have begun are kept in C(turns.csv) beside C(rota.yml) and stay as they were, whoever joins or leaves. Commit that file.
  - Proposes a producer for each consumer that C(supported_by) gives none. Nothing is assigned before somebody writes it.
  - Depends on the files and on O(at), on nothing else. The same files give the same bytes on every machine.
  - Works on the controller, as an action plugin. The host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.members_at
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - the tz database on the controller (Debian package tzdata, or tzdata of PyPI)
options:
  directory:
    description: Folder of C(rota.yml) and C(turns.csv). Left out, C(support) beside the membership file.
    type: path
  decisions:
    description: Folder of the decisions, needed when rules name one. Left out, the one that the membership file names.
    type: path
  ahead_days:
    description: How many days the rota goes on after the turn of O(at) began, from 1 to 1100. A swap further ahead makes it longer.
    type: int
    default: 180
  record:
    description: Whether turns that have begun are kept in C(turns.csv).
    type: bool
    default: true
  calendar:
    description: File on the controller to write the turns to as iCalendar (RFC 5545). Left out, none is written.
    type: path
  page:
    description: File on the controller to write the rota to as an HTML page. Left out, none is written.
    type: path
seealso:
  - module: meet.coop.member_register
  - module: meet.coop.status_page
"""

EXAMPLES = r"""
- name: Work out the rota
  meet.coop.support_rota:
    membership: [inventories/ourcoop/members.yml]
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    calendar: public/rota.ics
    page: public/rota.html
  register: rota

- name: Say who is on
  ansible.builtin.debug:
    msg: "{{ rota.on_duty.name }}: {{ rota.on_duty.alerts | join(', ') }}"
"""

RETURN = r"""
at:
  description: The time, in UTC.
  returned: success
  type: str
  sample: "2026-03-04T12:00:00Z"
on_duty:
  description: Who has the turn of that time. When nobody can, or before the first turn, the co-operative's own contact.
  returned: success
  type: dict
  contains:
    producer:
      description: Id of the member, or null.
      type: str
    name:
      description: Its name.
      type: str
    from:
      description: When its turn began, in UTC, or null.
      type: str
    until:
      description: When its turn ends, in UTC, or null.
      type: str
    page:
      description: Where it gives help, or null.
      type: str
    email:
      description: The address that members write to, or null.
      type: str
    hours:
      description: When somebody answers, or null.
      type: str
    alerts:
      description: Mail addresses that alerts go to.
      type: list
      elements: str
turns:
  description: All turns, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    day:
      description: The day it begins on, in the time zone of the rules.
      type: str
    from:
      description: When it begins, in UTC.
      type: str
    until:
      description: When it ends, in UTC.
      type: str
    producer:
      description: Id of the producer that has it, or null when nobody can.
      type: str
    name:
      description: Its name.
      type: str
    planned:
      description: Id of the producer whose turn it is by the rules, before swaps.
      type: str
supported:
  description: The consumers that are no producers, and who looks after each (C(member), C(producer)).
  returned: success
  type: list
  elements: dict
proposals:
  description: A producer for each of those that have none (C(member), C(producer)).
  returned: success
  type: list
  elements: dict
  sample: [{"member": "hypha", "producer": "agaric"}]
files:
  description: Files that were written, or would be.
  returned: success
  type: list
  elements: str
summary:
  description: One line for who is on, and one for each thing to do.
  returned: success
  type: list
  elements: str
  sample: ["On duty until 2026-03-09T08:00:00Z: agaric"]
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "decisions": {"type": "path"},
    "at": {"type": "str", "required": True},
    "ahead_days": {"type": "int", "default": 180},
    "record": {"type": "bool", "default": True},
    "calendar": {"type": "path"},
    "page": {"type": "path"},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.support_rota runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
