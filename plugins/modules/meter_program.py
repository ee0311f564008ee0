#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: meter_program
short_description: Installs C(coop-meter) on the monitoring host
version_added: 0.1.0
description:
  - Puts the code that M(meet.coop.usage_info) runs on the host, with a command C(coop-meter) as its door. That polls BigBlueButton servers,
    keeps the record of what tenants use, and answers Prometheus. Role monitoring has systemd run it.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Names the files.
  idempotent:
    support: full
options:
  library:
    description: Directory for the code, which holds nothing else.
    type: path
    default: /usr/local/lib/meet-coop-meter
  command:
    description: Path of the command.
    type: path
    default: /usr/local/sbin/coop-meter
  state:
    description: V(absent) removes both.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: meet.coop.usage_info
"""

EXAMPLES = r"""
---
- name: Install the command for the service
  meet.coop.meter_program:
    state: present
"""

RETURN = r"""
files:
  description: The files that were written or removed.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils import _program
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._meter import command


def main() -> None:
    module = AnsibleModule(
        argument_spec=_program.arguments("/usr/local/lib/meet-coop-meter", "/usr/local/sbin/coop-meter"),
        supports_check_mode=True,
    )
    try:
        module.exit_json(**_program.keep(command.__name__, module.params, module.check_mode))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
