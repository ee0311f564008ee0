#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_apply
short_description: Brings many instances of a container host to their state at the same time
version_added: 0.1.0
description:
  - Does for many services in two calls what their roles do task by task, so that their containers and certificates are waited for side by
    side. Meant for services that M(meet.coop.instance_plan) finds due; it stands between the plan and the full run.
  - What an instance is to be is read from the tasks of its tier's role, and each is carried out by the code of its own module.
  - An instance that fails is told with the reason and left as it is, the others go on. So is one of which something is not done here
    (V(left)), such as a new own name, an image of its own, or a withdrawal. The full run is to follow for these.
  - Not more containers start at the same time than the host's processors and free memory carry.
  - Between O(part=before) and O(part=after) the pool has to be told the tenants, RV(tenants). The result holds their secrets. Set C(no_log)
    on the task; the plugin sets it itself too.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Tells what differs, as M(meet.coop.instance_plan) does. A record of the zone is told as what would be done with it.
  diff_mode:
    support: none
    details: RV(applied) says in words what was done.
  idempotent:
    support: full
requirements:
  - psycopg >= 3.1 on the container host (Debian package python3-psycopg)
  - dnspython on the controller, for services whose names are published
options:
  services:
    description:
      - Inventory hosts of the services, each run on this host. Needed unless O(instances) is given.
    type: list
    elements: str
  part:
    description:
      - V(before) publishes names and keeps secrets and databases, V(after) does everything that needs the tenant at the pool.
    type: str
    choices: [before, after]
    required: true
  starts:
    description:
      - Containers that may be starting at the same time; twice the number of processors when left out. Free memory may allow fewer.
    type: int
  instances:
    description:
      - What each instance is to be, as the plugin of this name on the controller makes it from O(services); not for playbooks.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Id of the service.
        type: str
        required: true
      steps:
        description: Tasks of its role, each with module, arguments and register.
        type: list
        elements: dict
        default: []
      tenants:
        description: Options of pool_tenant.
        type: list
        elements: dict
        default: []
      checks:
        description: Options of smtp_check.
        type: list
        elements: dict
        default: []
  docker_host:
    description: Where Docker listens, for check mode.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.instance_plan
  - module: meet.coop.pool_tenant
"""

EXAMPLES = r"""
- name: Provide secrets, databases and names of these services
  meet.coop.instance_apply:
    services: [sunflower, rosa]
    part: before
  register: seen
  no_log: true

- name: Bring up the rest, once the pool knows their tenants
  meet.coop.instance_apply:
    services: [sunflower, rosa]
    part: after
  no_log: true
"""

RETURN = r"""
applied:
  description: What became of each service, in the order given. Holds no secret.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The service.
      type: str
      sample: sunflower
    actions:
      description: What was done, in words.
      type: list
      elements: str
      sample: ["database: create role greenlight_sunflower", "database: create database greenlight_sunflower"]
    failed:
      description: Why it could not be done, null when it could.
      type: str
    left:
      description: Why this service is left to the full run, null when it is not.
      type: str
done:
  description: Services of which this part is done.
  returned: success
  type: list
  elements: str
tenants:
  description: For M(meet.coop.pool_tenant), by the pool's inventory host, as M(meet.coop.instance_plan) returns them. Secret.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._plan.applying import PARTS, Done, carry_out
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import look


def foretell(module: AnsibleModule) -> list[Done]:
    """What would be done, as the plan says it."""
    steps = [
        {**one, "steps": [step for step in one["steps"] if step["module"] in PARTS[module.params["part"]]]}
        for one in module.params["instances"]
    ]
    found = look(steps, module.params["docker_host"])
    return [Done(one.name, [f"{entry['kind']}: {entry['reason']}" for entry in one.drift], tenants=one.tenants) for one in found]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str"},
            "part": {"type": "str", "choices": ["before", "after"], "required": True},
            "starts": {"type": "int"},
            "instances": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "steps": {"type": "list", "elements": "dict", "default": []},
                    "tenants": {"type": "list", "elements": "dict", "default": []},
                    "checks": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    try:
        if module.check_mode:
            done = foretell(module)
        else:
            done = carry_out(module.params["instances"], module.params["part"], module.params["starts"])
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=any(one.actions for one in done),
        found=[
            {"name": one.name, "actions": one.actions, "failed": one.failed, "tenants": one.tenants, "mails": one.mails} for one in done
        ],
    )


if __name__ == "__main__":
    main()
