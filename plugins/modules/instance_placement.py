#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_placement
short_description: Proposes container hosts for instances that have none
version_added: 0.1.0
description:
  - Proposes a container host for each instance without one, by free capacity. An instance that has a host is counted there and stays.
  - An instance is taken to need all the memory that it may use. What a host's instances may use together never exceeds what it has.
  - The largest are placed first, each on the host that has the most memory left. The answer does not depend on the order of the lists.
  - With O(record), the places are added to a file, which is one of the membership files. Otherwise RV(lines) is there to be pasted.
  - When an instance fits nowhere, nothing is proposed and nothing is written.
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
    details: Once the inventory knows what was recorded, there is nothing left to propose.
options:
  hosts:
    description: The container hosts that answered.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Inventory name.
        type: str
        required: true
      memory:
        description: All its memory, in MiB.
        type: int
        required: true
      available:
        description: Memory that programs could still get, in MiB.
        type: int
        required: true
      disk:
        description: Free disk where Docker keeps its data, in MiB.
        type: int
        required: true
  instances:
    description: All instances, those that have a host too.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Id of the service.
        type: str
        required: true
      memory:
        description: Memory that its container may use, such as V(1g).
        type: str
        required: true
      host:
        description: The container host that it has.
        type: str
  redis_memory:
    description: Memory that the Redis of each instance may use.
    type: str
    default: 96m
  reserved_memory:
    description: Memory of each host that is promised to nobody, in MiB; for the system, PostgreSQL and the edge.
    type: int
    default: 1024
  reserved_disk:
    description: Disk of each host that is promised to nobody, in MiB.
    type: int
    default: 5120
  instance_disk:
    description: Disk that a new instance is taken to need, in MiB.
    type: int
    default: 2048
  instances_max:
    description: How many instances a host may have; V(0) for as many as there is room for.
    type: int
    default: 0
  record:
    description:
      - A file on the controller to add the places to. It holds the section C(placement) and nothing else.
      - It has to be among the O(meet.coop.members#inventory:paths) of the inventory.
    type: path
notes:
  - Nothing is ever moved by this. See playbook C(meet.coop.move).
seealso:
  - plugin: meet.coop.members
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Propose a place for one new instance
  meet.coop.instance_placement:
    hosts:
      - {name: host1, memory: 16000, available: 3000, disk: 80000}
      - {name: host2, memory: 16000, available: 15000, disk: 80000}
    instances:
      - {name: sunflower, memory: 1g, host: host1}
      - {name: rosa, memory: 1g}
  register: proposal

- name: Show the lines for members.yml
  ansible.builtin.debug:
    msg: "{{ proposal.lines }}"
"""

RETURN = r"""
placed:
  description: The proposed host of each instance that had none.
  returned: success
  type: dict
  sample: {rosa: host2}
lines:
  description: The same as lines for the membership file; empty when there is nothing to propose.
  returned: success
  type: str
  sample: "placement:\n  rosa: host2\n"
room:
  description: What each host would have left then, memory and disk in MiB.
  returned: success
  type: list
  elements: dict
  sample: [{host: host2, memory: 13880, disk: 72832, instances: 1}]
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "hosts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "memory": {"type": "int", "required": True},
            "available": {"type": "int", "required": True},
            "disk": {"type": "int", "required": True},
        },
    },
    "instances": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "memory": {"type": "str", "required": True},
            "host": {"type": "str"},
        },
    },
    "redis_memory": {"type": "str", "default": "96m"},
    "reserved_memory": {"type": "int", "default": 1024},
    "reserved_disk": {"type": "int", "default": 5120},
    "instance_disk": {"type": "int", "default": 2048},
    "instances_max": {"type": "int", "default": 0},
    "record": {"type": "path"},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.instance_placement runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
