#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: handover_page
short_description: Who holds what a co-operative lives on, and what is due, as a page for operators
version_added: 0.1.0
description:
  - Reads C(support/handover.yml) beside the membership file; docs/pages.md explains every field. For each thing that somebody has to be
    able to do or open (a domain, a provider, a key, a passphrase, a contract) it says who holds it, where it lies, until when it is paid,
    and how to do it.
  - Writes an HTML page that tells how many people hold each thing, so that what hangs on one person is seen before that person is away,
    what has to be renewed soon, what of the register is due, who holds what, and which machines there are.
  - What looks like a secret is refused with file and line. So is a holder that is no contact of a member.
  - Depends on the files and on O(at), on nothing else. The page changes with the day only when something becomes due.
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
options:
  handover:
    description: The file of who holds what. Left out, C(support/handover.yml) beside the membership file.
    type: path
  decisions:
    description: Folder of the decisions that the register rests on. Left out, the one that the membership file names.
    type: path
  receipts:
    description: Folder on the controller in which role C(verify) keeps its receipts. Given, certificates that end soon are named.
    type: path
  page:
    description: File on the controller to write, readable by its owner alone since it names people. Left out, nothing is written.
    type: path
  remind_days:
    description: How many days before its day something is named as due.
    type: int
    default: 60
  certificate_days:
    description: With how many days left a certificate is named. Those that renew by themselves do so long before.
    type: int
    default: 20
seealso:
  - module: meet.coop.member_register
  - module: meet.coop.support_rota
"""

EXAMPLES = r"""
- name: Write who holds what
  meet.coop.handover_page:
    membership: [inventories/ourcoop/members.yml]
    page: handover.html
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
  register: handover

- name: Insist that nothing hangs on one person
  ansible.builtin.assert:
    that: handover.alone | length == 0
    fail_msg: "{{ handover.summary }}"
"""

RETURN = r"""
at:
  description: The time, in UTC.
  returned: success
  type: str
  sample: "2026-03-04T12:00:00Z"
held:
  description: Everything that somebody holds, as in the file.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the thing.
      type: str
    name:
      description: What it is.
      type: str
    kind:
      description: V(domain), V(provider), V(key), V(passphrase), V(contract), V(certificate), V(account) or V(other).
      type: str
    people:
      description: How many people hold it who are with a member today.
      type: int
    cooperatives:
      description: How many co-operatives those are of.
      type: int
    state:
      description: V(down) with fewer people than two (or than the file asks for), V(degraded) when all are of one co-operative, else V(ok).
      type: str
    renew_by:
      description: The day by which to renew it, or null.
      type: str
alone:
  description: Ids of what fewer people hold than should.
  returned: success
  type: list
  elements: str
due:
  description: What is to be done soon or is late, the earliest first, with C(by), C(late), C(what) and C(where).
  returned: success
  type: list
  elements: dict
files:
  description: The file, if it was written or would be.
  returned: success
  type: list
  elements: str
summary:
  description: The same in lines.
  returned: success
  type: list
  elements: str
  sample: ["1 of 9 things are held by too few people: vault", "domain-meet: renew: Domain meet.example, by 2026-04-01"]
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "handover": {"type": "path"},
    "decisions": {"type": "path"},
    "receipts": {"type": "path"},
    "page": {"type": "path"},
    "at": {"type": "str", "required": True},
    "remind_days": {"type": "int", "default": 60},
    "certificate_days": {"type": "int", "default": 20},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.handover_page runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
