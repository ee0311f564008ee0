#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_switch
short_description: Carries the tenants and nodes of a pool from one engine to another
version_added: 0.1.0
description:
  - Runs on the pool host, where both engines are installed, and is what role P(meet.coop.pool#role) calls when C(pool_engine) has changed.
  - Each tenant keeps its name, its secret and its caps, so that its address and its credentials stay as they are. Tenants that the old
    engine does not have are removed from the new one.
  - Engines know nothing of each other's meetings. Unless O(live=accept), nobody may be meeting; a node that cannot be asked counts as
    one where somebody may be.
  - At its end the old engine gives out no more meetings. Leading the address to the new one, and stopping the old, is what comes next.
  - A run that was ended in between is gone through again.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.pool_engine
attributes:
  check_mode:
    support: full
    details: Where the new engine is not installed yet, check mode predicts everything as new.
  diff_mode:
    support: full
    details: Secrets are masked.
  idempotent:
    support: full
options:
  source:
    description: The engine there was. O(engine) is the one to come.
    type: str
    choices: [bbblb, scalelite]
    required: true
  live:
    description: What to do while people meet. With V(accept), those who leave such a meeting do not get back in.
    type: str
    choices: [refuse, accept]
    default: refuse
  probe_timeout:
    description: Seconds to wait for the answer of a node.
    type: int
    default: 5
  ca_file:
    description: PEM bundle of authorities to trust beside the system's when nodes are asked.
    type: path
seealso:
  - module: meet.coop.pool_node
  - module: meet.coop.pool_tenant
"""

EXAMPLES = r"""
- name: Carry everything from BBBLB to Scalelite
  meet.coop.pool_switch:
    source: bbblb
    engine: scalelite
"""

RETURN = r"""
tenants:
  description: How many tenants the new engine has from the old.
  returned: success
  type: int
nodes:
  description: How many nodes it has from the old.
  returned: success
  type: int
meetings:
  description: How many meetings were live at the last look.
  returned: success
  type: int
participants:
  description: How many people in them.
  returned: success
  type: int
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import BigBlueButtonError, Client
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live, live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.carry import carry
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import ENGINE_ARGUMENTS, engine_of
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Node

SETTLE = 1.0


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "choices": ["bbblb", "scalelite"], "required": True},
            "live": {"type": "str", "choices": ["refuse", "accept"], "default": "refuse"},
            "probe_timeout": {"type": "int", "default": 5},
            "ca_file": {"type": "path"},
            **ENGINE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params

    def client(node: Node) -> Client:
        return Client(
            f"https://{node.domain}/bigbluebutton/api/", node.secret, timeout=float(given["probe_timeout"]), ca_file=given["ca_file"]
        )

    def look(node: Node) -> Live:
        return live(client(node))

    def probe(node: Node) -> str | None:
        try:
            client(node).call("getMeetings")
        except BigBlueButtonError as error:
            return str(error)
        return None

    if given["source"] == given["engine"]:
        module.fail_json(msg=f"source and engine are both {given['engine']}; name the engine there was, and the one to come")
    source = engine_of(given, check_mode=module.check_mode, name=given["source"])
    target = engine_of(given, check_mode=module.check_mode)
    try:
        carried = carry(source, target, look, probe, given["live"] == "accept", settle=lambda: time.sleep(SETTLE))
    except CoopError as error:
        module.fail_json(msg=str(error))
    for warning in carried.warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(carried.changes),
        tenants=carried.tenants,
        nodes=carried.nodes,
        meetings=carried.meetings,
        participants=carried.participants,
        diff={
            "before": {change.name: change.before for change in carried.changes if change.before is not None},
            "after": {change.name: change.after for change in carried.changes if change.after is not None},
        },
    )


if __name__ == "__main__":
    main()
