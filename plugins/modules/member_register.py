#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_register
short_description: The register of members on a day, from files
version_added: 0.1.0
description:
  - Tells who is a member on a day and since when, with classes, solidarity weight, evidence, contacts, services and history, and what is
    due. The fields are those of the membership file; docs/register.md explains them.
  - Fails, with file and line, when a service is present whose owner is no active member and no client of one on that day, when a number is
    none of the scheme it is said to be of, and when something rests on a decision that does not carry it.
  - C(admitted_by) has to name a decision of kind V(membership) that passed before the member joined, and that admits it. C(decided_by) and
    C(left_by) have to name decisions that passed before what they decided began.
  - Depends on the files and on O(as_of), on nothing else. The same files give the same bytes on every machine.
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
  - python-stdnum on the controller, when the file names a scheme or a VAT number
  - ssh-keygen of OpenSSH 9.0 or later on the controller, when positions are signed
options:
  membership:
    description: The membership file, or several, or folders of them, on the controller.
    type: list
    elements: path
    required: true
  directory:
    description:
      - Folder of the decisions.
      - Left out, it is the folder that C(cooperative.decisions) in the membership file names, relative to that file; C(decisions) beside it
        when it names none. It need not exist while nothing in the register names a decision.
    type: path
  as_of:
    description:
      - The day of the register, year-month-day.
      - The module never looks at a clock.
    type: str
    required: true
  csv:
    description:
      - File on the controller to write the register to as a table, readable by its owner only.
      - Left out, nothing is written.
    type: path
  check_services:
    description:
      - Whether a service is refused whose owner is not active on the day.
      - Services stand in the file as they are wanted now; for a day long past, turn this off.
    type: bool
    default: true
  review_months:
    description: Evidence is to be looked at again so many months after it was checked, unless it says itself by when.
    type: int
    default: 24
  remind_days:
    description: What has a date is named as due so many days before it.
    type: int
    default: 30
seealso:
  - module: meet.coop.decision_tally
"""

EXAMPLES = r"""
- name: Who is a member today
  meet.coop.member_register:
    membership: [inventories/ourcoop/members.yml]
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
  register: members

- name: The register at the end of last year, as a table
  meet.coop.member_register:
    membership: [inventories/ourcoop/members.yml]
    as_of: "2025-12-31"
    check_services: false
    csv: register-2025.csv
"""

RETURN = r"""
as_of:
  description: The day of the register.
  returned: success
  type: str
  sample: "2026-03-01"
cooperative:
  description: C(id), C(name) and C(domain) of the co-operative itself.
  returned: success
  type: dict
members:
  description: Every member there is or was, by id.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    name:
      description: Its name.
      type: str
    status:
      description:
        - V(none) (not yet), V(applied), V(admitted) (its admission has passed and it has not joined), V(active), V(suspended), V(leaving)
          (it gave notice, and is a member until it has left) or V(left).
      type: str
    since:
      description: The day from which on it has this status, or null.
      type: str
    classes:
      description: Its classes on the day.
      type: list
      elements: str
    weight:
      description: Its solidarity weight on the day, an exact fraction.
      type: str
      sample: "1/2"
    applied:
      description: The day it applied, or null.
      type: str
    admitted_by:
      description: The decision that admitted it, or null.
      type: str
    admitted:
      description: The day that decision passed, or null.
      type: str
    joined:
      description: First day of its last membership, or null.
      type: str
    suspended_from:
      description: First day of the suspension of the day, or null.
      type: str
    suspended_until:
      description: First day after it, or null.
      type: str
    leaving:
      description: The day it gave notice, or null.
      type: str
    left:
      description: First day after its last membership, or null.
      type: str
    left_by:
      description: The decision that ended it, or null.
      type: str
    renew_by:
      description: The day by which the membership is to be confirmed, or null.
      type: str
    supported_by:
      description: Id of the member that looks after it, or null.
      type: str
    vat_id:
      description: Its VAT number, or null.
      type: str
    website:
      description: Its site, or null.
      type: str
    contacts:
      description: People to turn to, with C(name), C(email) and C(role).
      type: list
      elements: dict
    evidence:
      description:
        - Where to look up that it is a co-operative, with C(country), C(form), C(register), C(number), C(scheme) (the check that the number
          passed, or null), C(document), C(checked), C(checked_by) and C(review_by).
      type: dict
    services:
      description: What it has, with C(id), C(tier) and C(state).
      type: list
      elements: dict
    clients:
      description: Ids of the clients it sells to.
      type: list
      elements: str
    history:
      description: What happened and is to come, oldest first, with C(on), C(what), C(decided_by), C(reason) and C(ahead).
      type: list
      elements: dict
counts:
  description: How many have each status.
  returned: success
  type: dict
  sample: {"active": 12, "left": 1}
due:
  description: What is to be done, earliest first.
  returned: success
  type: list
  elements: dict
  contains:
    member:
      description: Id of the member it is about.
      type: str
    name:
      description: Its name.
      type: str
    what:
      description: What is to be done.
      type: str
      sample: look up the evidence again that it is a co-operative
    by:
      description: The last day for it, or null.
      type: str
    late:
      description: Whether that day is past.
      type: bool
summary:
  description: One line for how many there are, and one for each thing that is due.
  returned: success
  type: list
  elements: str
  sample: ["Members: 12 active, 1 left", "rosa: renew the membership, by 2026-03-15"]
csv:
  description: The register as a table, one line for each member, with the first of its contacts.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "as_of": {"type": "str", "required": True},
    "csv": {"type": "path"},
    "check_services": {"type": "bool", "default": True},
    "review_months": {"type": "int", "default": 24},
    "remind_days": {"type": "int", "default": 30},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.member_register runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
