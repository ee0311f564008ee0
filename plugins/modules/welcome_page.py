#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: welcome_page
short_description: The page that welcomes the coordinator of a service, or says goodbye
version_added: 0.1.0
description:
  - Writes one HTML page on the controller, in the language of the member or client, else in that of its site; in English where there are no
    texts in that language (there are in Spanish, Catalan, German and French). What M(meet.coop.domain_check) said of a name is in English.
  - The page holds no secret and no time.
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
  - Jinja2 on the controller
options:
  path:
    description: File on the controller to write; its folder is made when it is not there.
    type: path
    required: true
  service:
    description: What the inventory plugin gives as C(coop_service).
    type: dict
    required: true
  owner:
    description: What the inventory plugin gives as C(coop_owner).
    type: dict
    required: true
  cooperative:
    description: What the inventory plugin gives as C(coop_cooperative).
    type: dict
    required: true
  farewell:
    description: Whether it says goodbye, and what to remove where own names are kept.
    type: bool
    default: false
  hostnames:
    description: Names that are served, the one people see first. Empty, those of O(service).
    type: list
    elements: str
    default: []
  domains:
    description: RV(meet.coop.domain_check#module:results) for the member's own names. What is not ready is told with the records to create.
    type: list
    elements: dict
    default: []
  issuer:
    description: Address of the provider at which people sign in, if there is one.
    type: str
  checks:
    description: RV(meet.coop.greenlight_verify#module:checks), shown where there are some.
    type: list
    elements: dict
    default: []
  restore_proved_on:
    description: The day on which a restore of its backup was last proved, if there is one.
    type: str
  mail_records:
    description: SPF, DKIM and DMARC records for a domain of the member's own, to create there or, with O(farewell), to drop.
    type: list
    elements: dict
    default: []
  dangling:
    description: Own names that still lead here, each with C(name) and C(records). With O(farewell).
    type: list
    elements: dict
    default: []
seealso:
  - module: meet.coop.member_page
  - module: meet.coop.page_mail
"""

EXAMPLES = r"""
- name: Welcome Sunflower
  meet.coop.welcome_page:
    path: "welcome/{{ coop_service.id }}.html"
    service: "{{ coop_service }}"
    owner: "{{ coop_owner }}"
    cooperative: "{{ coop_cooperative }}"
"""

RETURN = r"""
language:
  description: Language of the page.
  returned: success
  type: str
  sample: ca
page:
  description: The page as the option O(meet.coop.page_mail#module:pages) takes it.
  returned: success, unless O(farewell)
  type: dict
  contains:
    id:
      description: Id of the service.
      type: str
    title:
      description: Title of the service.
      type: str
    language:
      description: Language of the page.
      type: str
    path:
      description: Where it is.
      type: str
    for:
      description: Mail addresses of its owner's coordinators, else of the first contact.
      type: list
      elements: str
    verified:
      description: Whether O(checks) have passed. Own names that are not ready do not count.
      type: bool
    about:
      description:
        - Changes when something changes that a coordinator has to be told of. Outcomes of checks and the day of the last proved restore
          are none of that.
      type: str
files:
  description: The file, if it was written or would be.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "path": {"type": "path", "required": True},
    "service": {"type": "dict", "required": True},
    "owner": {"type": "dict", "required": True},
    "cooperative": {"type": "dict", "required": True},
    "farewell": {"type": "bool", "default": False},
    "hostnames": {"type": "list", "elements": "str", "default": []},
    "domains": {"type": "list", "elements": "dict", "default": []},
    "issuer": {"type": "str"},
    "checks": {"type": "list", "elements": "dict", "default": []},
    "restore_proved_on": {"type": "str"},
    "mail_records": {"type": "list", "elements": "dict", "default": []},
    "dangling": {"type": "list", "elements": "dict", "default": []},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.welcome_page runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
