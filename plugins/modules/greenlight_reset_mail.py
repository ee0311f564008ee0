#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_reset_mail
short_description: Lets Greenlight mail people the link by which they set their password
version_added: 0.1.0
description:
  - Asks an instance, over its public name, for a password-reset mail to each address, as the person would on its page.
  - The mail is Greenlight's own, in the instance's language, through the member's SMTP account; its link works once, for an hour.
  - Nobody but the person ever sees the link, neither Ansible nor its logs.
  - It mails each time it is run; RV(meet.coop.greenlight_user#module:users[].waiting) says who still waits for a mail.
  - Runs on the controller, as an action plugin; it needs dnspython there.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.outside
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details: A mail is sent by every run.
options:
  hostname:
    description: The instance's canonical host name.
    type: str
    required: true
  emails:
    description: Who gets a mail. Addresses without an account are ignored by Greenlight.
    type: list
    elements: str
    required: true
seealso:
  - module: meet.coop.greenlight_user
"""

EXAMPLES = r"""
---
- name: Invite the first administrator
  meet.coop.greenlight_reset_mail:
    hostname: meet.sunflower.example
    emails: [ada@sunflower.example]
"""

RETURN = r"""
emails:
  description: The addresses asked for, in lower case.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._outside import OUTSIDE_ARGUMENTS

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "hostname": {"type": "str", "required": True},
    "emails": {"type": "list", "elements": "str", "required": True},
    **OUTSIDE_ARGUMENTS,
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.greenlight_reset_mail runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
