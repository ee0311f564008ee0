#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_plan
short_description: Names what drifts of all instances of a container host
version_added: 0.1.0
description:
  - Looks at every instance of a container host in one call, and names what is not as the membership file wants it. Changes nothing.
  - What an instance is to be is read from the tasks of its tier's role, so that the plan and the full run cannot disagree about it. Every
    task is judged by the code of its own module.
  - Containers, networks, volumes and Caddy's configuration are read once for all instances, each database is connected to once, and each
    zone is transferred once.
  - An instance whose desired state is damaged is told with the reason, and the others are planned.
  - What a plan cannot know in advance (a member's own image, a new own name) is told as drift too, and left to the full run.
  - Tenants of the pool are not looked at here, but returned for M(meet.coop.pool_tenant) in check mode. The result then holds their
    secrets. Set C(no_log) on the task; the plugin sets it itself too.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Changes nothing in either mode.
  diff_mode:
    support: none
    details: RV(planned) says in words what differs.
  idempotent:
    support: full
requirements:
  - psycopg >= 3.1 on the container host (Debian package python3-psycopg)
  - dnspython on the controller, for services whose names are checked or published
options:
  services:
    description:
      - Inventory hosts of the services to plan, each run on this host. Needed unless O(instances) is given.
    type: list
    elements: str
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
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.pool_tenant
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: See what drifts on this container host
  meet.coop.instance_plan:
    services: "{{ groups['on_host1'] }}"
  register: seen
  no_log: true

- name: Tell it
  ansible.builtin.debug:
    msg: "{{ seen.planned | rejectattr('in_sync') | list }}"
"""

RETURN = r"""
planned:
  description: Every service, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Id of the service.
      type: str
      sample: sunflower
    in_sync:
      description: Whether the full run would change nothing. Tenants of the pool are still to be looked at.
      type: bool
      sample: false
    broken:
      description: Why its desired state cannot be told; null when it can.
      type: str
      sample: null
    drift:
      description: What differs.
      type: list
      elements: dict
      contains:
        kind:
          description:
            - V(secrets), V(database), V(container), V(files), V(settings), V(accounts), V(invitation), V(route), V(certificate), V(dns),
              V(domains), V(oidc), V(tenant), or V(unplanned) for what only the full run looks at.
          type: str
          sample: container
        reason:
          description: What is different, in words, without secrets.
          type: str
          sample: start container greenlight-sunflower
    notes:
      description: What is worth knowing and no drift.
      type: list
      elements: str
tenants:
  description: For M(meet.coop.pool_tenant), by the pool's inventory host. Secret.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import look


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str"},
            "instances": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "steps": {"type": "list", "elements": "dict", "default": []},
                    "tenants": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
        },
        supports_check_mode=True,
    )
    try:
        found = look(module.params["instances"], module.params["docker_host"])
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        found=[
            {"name": one.name, "drift": one.drift, "notes": one.notes, "registers": one.registers, "tenants": one.tenants} for one in found
        ],
    )


if __name__ == "__main__":
    main()
