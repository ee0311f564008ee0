#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_node
short_description: Keeps the BigBlueButton nodes of a pool
version_added: 0.1.0
description:
  - Runs on the pool host and brings any number of nodes to what is asked in one change. Nodes that are not named stay as they are.
  - A disabled node gets no new meetings; those it has go on and are still served. Scalelite calls that cordoned, and disabled once it is
    empty.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.pool_engine
attributes:
  check_mode:
    support: full
    details: >-
      Where the engine is not installed yet, check mode predicts every node as new. Nodes are asked whether they answer, as in a real run.
  diff_mode:
    support: full
    details: Secrets are masked. A secret that changes is shown as C(******** (new\)).
  idempotent:
    support: full
options:
  nodes:
    description: The nodes to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: Host name of the server as the pool calls it, with a port where that is not 443.
        type: str
        required: true
      secret:
        description: The server's own API secret (C(bbb-conf --secret)). Required unless O(nodes[].state=absent).
        type: str
      enabled:
        description: Whether it gets new meetings.
        type: bool
        default: true
      tag:
        description: With O(engine=scalelite), this node serves only tenants that have the same tag. BBBLB knows no tags.
        type: str
        default: ""
      state:
        description:
          - V(absent) removes the node. While it has meetings it is only disabled, and a later run removes it.
          - The same holds while O(engine=bbblb) keeps callbacks for it, up to 30 days after a meeting that may have been recorded.
        type: str
        choices: [present, absent]
        default: present
  now:
    description:
      - Take enabled nodes that answer the API with their secret into service at once, instead of after some minutes of good polls.
      - A node that does not answer is registered all the same, with a warning.
    type: bool
    default: true
  probe_timeout:
    description: Seconds to wait for the answer of a node, with O(now=true).
    type: int
    default: 5
  ca_file:
    description: PEM bundle of authorities to trust beside the system's when nodes are asked.
    type: path
seealso:
  - module: meet.coop.pool_tenant
"""

EXAMPLES = r"""
---
- name: Register two nodes
  meet.coop.pool_node:
    nodes:
      - domain: bbb1.example.org
        secret: "{{ bbb1_secret }}"
      - domain: bbb2.example.org
        secret: "{{ bbb2_secret }}"

- name: Take one out
  meet.coop.pool_node:
    nodes:
      - domain: bbb2.example.org
        state: absent
"""

RETURN = r"""
nodes:
  description: What happened to each given node, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    domain:
      description: The node.
      type: str
      returned: success
    action:
      description: V(created), V(changed), V(available), V(draining), V(removed) or V(unchanged).
      type: str
      returned: success
    health:
      description: V(available), V(unstable) or V(offline), with O(now=true); V(null) for a node that the pool has not polled yet.
      type: str
      returned: success
    draining:
      description: Whether it shall go and is still needed, for meetings or for recordings that may yet come from it.
      type: bool
      returned: success
  sample: [{"domain": "bbb1.example.org", "action": "created", "health": "available", "draining": false}]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import BigBlueButtonError, Client
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import ENGINE_ARGUMENTS, engine_of
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Node
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import converge_nodes


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "domain": {"type": "str", "required": True},
                    "secret": {"type": "str", "no_log": True},
                    "enabled": {"type": "bool", "default": True},
                    "tag": {"type": "str", "default": ""},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
                "required_if": [("state", "present", ["secret"])],
            },
            "now": {"type": "bool", "default": True},
            "probe_timeout": {"type": "int", "default": 5},
            "ca_file": {"type": "path"},
            **ENGINE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params

    def probe(node: Node) -> str | None:
        client = Client(
            f"https://{node.domain}/bigbluebutton/api/", node.secret, timeout=float(given["probe_timeout"]), ca_file=given["ca_file"]
        )
        try:
            client.call("getMeetings")
        except BigBlueButtonError as error:
            return str(error)
        return None

    wanted = [
        Node(domain=one["domain"], secret=one["secret"] or "", enabled=one["enabled"], state=one["state"], tag=one["tag"])
        for one in given["nodes"]
    ]
    engine = engine_of(given, check_mode=module.check_mode)
    try:
        outcome = converge_nodes(engine, wanted, probe if given["now"] else None)
    except CoopError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    actions = {change.name: change.action for change in outcome.changes}
    module.exit_json(
        changed=bool(outcome.changes),
        nodes=[
            {
                "domain": node.domain,
                "action": actions.get(node.domain, "unchanged"),
                "health": outcome.health.get(node.domain) if node.domain in outcome.after else None,
                "draining": node.domain in outcome.draining,
            }
            for node in wanted
        ],
        diff={
            "before": {change.name: change.before for change in outcome.changes if change.before is not None},
            "after": {change.name: change.after for change in outcome.changes if change.after is not None},
        },
    )


if __name__ == "__main__":
    main()
