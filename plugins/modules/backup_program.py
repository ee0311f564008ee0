#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_program
short_description: Installs C(coop-backup) on a container host
version_added: 0.1.0
description:
  - Puts the code that M(meet.coop.greenlight_backup) runs on the host, with a command C(coop-backup) as its door, so that backups are
    made there by a timer whether or not a controller is awake.
  - It is the same code, taken from what Ansible sends for this module, so that the timer and the module cannot differ.
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
    default: /usr/local/lib/meet-coop
  command:
    description: Path of the command.
    type: path
    default: /usr/local/sbin/coop-backup
  state:
    description: V(absent) removes both.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: meet.coop.greenlight_backup
"""

EXAMPLES = r"""
---
- name: Install the command for the backup timer
  meet.coop.backup_program:
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
from ansible_collections.meet.coop.plugins.module_utils._backup import command
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(
        argument_spec=_program.arguments("/usr/local/lib/meet-coop", "/usr/local/sbin/coop-backup"),
        supports_check_mode=True,
    )
    try:
        module.exit_json(**_program.keep(command.__name__, module.params, module.check_mode))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
