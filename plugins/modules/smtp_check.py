#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: smtp_check
short_description: Tells whether a mail account takes mail
version_added: 0.1.0
description:
  - Connects from the host as its instances do, signs in, names the sender, and hangs up. No mail is sent and nothing is changed.
  - Greenlight itself answers before it sends, and drops what it cannot send; without this check nobody sees a broken account.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.smtp_account
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  smtp:
    required: true
  ca_file:
    description: PEM bundle of authorities on the host to trust; the system's when left out.
    type: path
  timeout:
    description: Seconds for each step.
    type: int
    default: 10
seealso:
  - module: meet.coop.greenlight_container
  - module: meet.coop.greenlight_reset_mail
"""

EXAMPLES = r"""
---
- name: See whether the member's mail account works
  meet.coop.smtp_check:
    smtp:
      server: mail.example.org
      username: sunflower
      password: "{{ sunflower_smtp_password }}"
      sender_email: meet@sunflower.example
"""

RETURN = r"""
tls:
  description: Version of TLS that protects the connection, V(null) where nothing does.
  returned: success
  type: str
  sample: TLSv1.3
login:
  description: Whether a login was asked for and accepted.
  returned: success
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._smtp import SMTP_ACCOUNT, check


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "smtp": {**SMTP_ACCOUNT, "required": True},
            "ca_file": {"type": "path"},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        seen = check(module.params["smtp"], module.params["ca_file"], module.params["timeout"])
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **seen)


if __name__ == "__main__":
    main()
