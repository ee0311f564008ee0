#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_notices
short_description: What is to be announced on which site, from files
version_added: 0.1.0
description:
  - Reads planned maintenance and tells, for each service, what its site announces at a time, in the language of the site.
  - Maintenance is announced some days before it begins, until it is over. It is over at C(until), or at C(ended), whichever the file
    names. The files lie beside the membership file; docs/status.md explains every field.
  - Depends on the files and on O(at), on nothing else. Nothing is changed.
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
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
requirements:
  - the tz database on the controller (Debian package tzdata, or tzdata of PyPI)
options:
  directory:
    description: Folder of planned maintenance. Left out, C(maintenance) beside the membership file. It need not exist.
    type: path
  time_zone:
    description: Time zone of the times in the announcements, by its name in the tz database.
    type: str
    default: UTC
seealso:
  - plugin: meet.coop.banner
    plugin_type: filter
  - module: meet.coop.status_page
"""

EXAMPLES = r"""
- name: Learn what is to be announced
  meet.coop.maintenance_notices:
    membership: [inventories/ourcoop/members.yml]
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    time_zone: Europe/Madrid
  register: notices

- name: Say it
  ansible.builtin.debug:
    msg: "{{ notices.announcements.sunflower | map(attribute='html') | join('<br>') }}"
"""

RETURN = r"""
at:
  description: The time, in UTC.
  returned: success
  type: str
  sample: "2026-03-04T12:00:00Z"
maintenance:
  description: All maintenance in the files, the earliest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id, the name of its file.
      type: str
    title:
      description: What is done, in English where there are several languages.
      type: str
    from:
      description: When it begins, in UTC.
      type: str
    until:
      description: When it is over, in UTC.
      type: str
    state:
      description: V(planned), V(under_way), V(over) or V(cancelled).
      type: str
    services:
      description: Ids of the services that it touches.
      type: list
      elements: str
announcements:
  description: By id of service, what is announced there, as a list of C(id) of the maintenance and C(html).
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "at": {"type": "str", "required": True},
    "time_zone": {"type": "str", "default": "UTC"},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.maintenance_notices runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
