#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_page
short_description: A page for each member and client alone, from files
version_added: 0.1.0
description:
  - Writes one HTML page for each member and client that has a service. It holds how each of its services is, until when the certificate is
    valid, what verification tried (mail among it), when it was last backed up and a restore was last proved, the limits and who decided
    them, the use of the last months, what maintenance is planned, and who looks after it and how to reach them.
  - Depends on the files and on O(at), on nothing else. The pages hold no time of their making, and no secret.
  - Files and a folder that is made can be read by their owner alone. They are handed over by people or by mail (M(meet.coop.page_mail)),
    and served by nobody; docs/pages.md says why.
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
    description:
      - Folder on the controller to write to; made when it is not there. The page of C(sunflower) is C(sunflower.html).
      - Other pages in it that are called as an id are removed, so that nobody's page stays when it has left. Give it a folder of its own.
    type: path
    required: true
  receipts:
    description: Folder on the controller in which role C(verify) keeps its receipts.
    type: path
    required: true
  maintenance:
    description: Folder of planned maintenance. Left out, C(maintenance) beside the membership file. It need not exist.
    type: path
  money:
    description: Folder of the money files, in which C(usage) is. Left out, C(money) beside the membership file. It need not exist.
    type: path
  decisions:
    description: Folder of the decisions that limits rest on. Left out, the one that the membership file names.
    type: path
  decisions_url:
    description: Address of the page of decisions that role C(decision_log) writes, for links. Left out, decisions are named without.
    type: str
  time_zone:
    description: Time zone of the times on the pages, by its name in the tz database.
    type: str
    default: UTC
  stale_hours:
    description: How many hours a receipt is believed.
    type: int
    default: 48
  months:
    description: How many months of use are shown.
    type: int
    default: 6
  only:
    description: Ids of members or clients. Only their pages are written. All when empty.
    type: list
    elements: str
    default: []
seealso:
  - module: meet.coop.page_mail
  - module: meet.coop.status_page
  - module: meet.coop.greenlight_verify
"""

EXAMPLES = r"""
- name: Write the pages
  meet.coop.member_page:
    membership: [inventories/ourcoop/members.yml]
    receipts: receipts
    directory: pages
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    time_zone: Europe/Madrid
    decisions_url: https://ourcoop.example/decisions.html
"""

RETURN = r"""
at:
  description: The time, in UTC.
  returned: success
  type: str
  sample: "2026-03-04T12:00:00Z"
pages:
  description: The pages that there are, in the order of the membership file.
  returned: success
  type: list
  elements: dict
  contains:
    owner:
      description: Id of the member or client.
      type: str
    title:
      description: Name of the member or client.
      type: str
    language:
      description: Language of the page.
      type: str
    path:
      description: Where it is.
      type: str
    for:
      description: Mail addresses of its coordinators, else of its first contact.
      type: list
      elements: str
    verified:
      description: Whether there is a receipt of one of its services, so that the page has something to say.
      type: bool
files:
  description: Files that were written or removed, or would be.
  returned: success
  type: list
  elements: str
summary:
  description: How many pages there are, and a line for each receipt that cannot be used.
  returned: success
  type: list
  elements: str
  sample: ["Pages: 12, 3 of them new, changed or removed"]
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path", "required": True},
    "receipts": {"type": "path", "required": True},
    "maintenance": {"type": "path"},
    "money": {"type": "path"},
    "decisions": {"type": "path"},
    "decisions_url": {"type": "str"},
    "at": {"type": "str", "required": True},
    "time_zone": {"type": "str", "default": "UTC"},
    "stale_hours": {"type": "int", "default": 48},
    "months": {"type": "int", "default": 6},
    "only": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.member_page runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
