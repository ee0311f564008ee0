#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_node_drain
short_description: Takes a BigBlueButton node out of its pool without ending a meeting, and puts it back
version_added: 0.1.0
description:
  - Runs on the pool host. The node gets no new meetings, those it has go on, and the module waits until the node itself says that none
    is left.
  - While it is out, a file on the pool host holds it there; M(meet.coop.pool_node) and role P(meet.coop.pool#role) leave it out too.
  - It goes back only when a meeting can really be made and ended on it.
  - While it waits, it tells how many meetings and people are left whenever that changes.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.pool_engine
attributes:
  check_mode:
    support: full
    details: Looks once and does not wait.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  domain:
    description: The node, as the pool calls it.
    type: str
    required: true
  secret:
    description: The server's own API secret; the one the pool has for it when left out.
    type: str
  state:
    description:
      - V(drained) takes it out and waits until it is empty.
      - V(returned) proves that it works and puts it back.
    type: str
    choices: [drained, returned]
    default: drained
  holder:
    description:
      - Who maintains it, told to everybody else who tries. Two runs have to have different ones.
      - A run that was killed is gone on with under the same name, or under another one when O(hold_for) is over.
    type: str
    required: true
  hold_for:
    description: Seconds for which nobody else may take the node over once it is empty.
    type: int
    default: 7200
  min_share:
    description: Share of the pool's nodes that must stay in service, from 0 to 1.
    type: float
    default: 0.5
  timeout:
    description: Seconds to wait for the meetings to end.
    type: int
    default: 14400
  on_timeout:
    description:
      - What happens when they have not ended by then. No choice ends a meeting.
      - V(postpone) puts the node back; the task succeeds with RV(drained) false.
      - V(hold) leaves it out of the pool and fails, so that the next run has less to wait for.
    type: str
    choices: [postpone, hold]
    default: postpone
  unreachable:
    description:
      - What a node means whose API does not answer. V(wait) waits for it like for a meeting, since people may be in one.
      - V(empty) takes it for empty. Only for a node that is known to be dead.
    type: str
    choices: [wait, empty]
    default: wait
  poll:
    description: Seconds between two looks.
    type: int
    default: 15
  probe_timeout:
    description: Seconds to wait for the answer of the node.
    type: int
    default: 10
  ca_file:
    description: PEM bundle of authorities to trust beside the system's.
    type: path
seealso:
  - module: meet.coop.bbb_meeting_info
  - module: meet.coop.pool_node
"""

EXAMPLES = r"""
- name: Wait until nobody meets there
  meet.coop.bbb_node_drain:
    domain: bbb1.example.org
    holder: upgrade-2026-11
  register: drain

- name: Put it back
  meet.coop.bbb_node_drain:
    domain: bbb1.example.org
    holder: upgrade-2026-11
    state: returned
"""

RETURN = r"""
drained:
  description: Whether the node is out of the pool and empty.
  returned: success
  type: bool
postponed:
  description: Whether it was put back because its meetings did not end in time.
  returned: success
  type: bool
meetings:
  description: How many meetings were left at the last look.
  returned: with O(state=drained)
  type: int
participants:
  description: How many people were in them.
  returned: with O(state=drained)
  type: int
fault:
  description: Why the node could not be asked at the last look; null when it answered.
  returned: with O(state=drained)
  type: str
seconds:
  description: How long was waited.
  returned: success
  type: int
"""

import time
from fractions import Fraction
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import Client
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live, clock_fault, live, prove
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.drain import DRAIN_ARGUMENTS, Drained, put_back, take_out
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import engine_of
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Node


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """One look, or the way back. Waiting is the work of the action plugin of the same name. Raises CoopError."""
    if not 0 <= params["min_share"] <= 1:
        raise CoopError(f"min_share is {params['min_share']}; write a number from 0 to 1, such as 0.5")

    def client(node: Node) -> Client:
        return Client(
            f"https://{node.domain}/bigbluebutton/api/", node.secret, timeout=float(params["probe_timeout"]), ca_file=params["ca_file"])

    def look(node: Node) -> Live:
        return live(client(node))

    engine = engine_of(params, check_mode=check_mode)
    which = (engine, params["domain"], params["secret"] or "", params["holder"], int(time.time()))
    if params["state"] == "returned":
        clocks = []

        def probe(node: Node) -> str | None:
            asked = client(node)
            fault = prove(asked)
            clocks.append(clock_fault(node.domain, asked.clock_offset))
            return fault

        drained = put_back(*which, probe)
        warnings = [*drained.warnings, *(said for said in clocks[:1] if said)]
        return {**_changes(drained), "drained": False, "postponed": False, "seconds": 0, "warnings": warnings}
    waiting = max(120, 5 * params["poll"])
    drained = take_out(*which, waiting, Fraction(str(params["min_share"])), look)
    seen = drained.live or Live()
    empty = seen.empty or (seen.fault is not None and params["unreachable"] == "empty")
    if empty and not check_mode:
        with engine.exclusive():
            holds.lengthen(params["domain"], params["holder"], int(time.time()) + params["hold_for"])
    return {
        **_changes(drained),
        "drained": empty,
        "postponed": False,
        "meetings": seen.total.meetings,
        "participants": seen.total.participants,
        "fault": seen.fault,
        "seconds": 0,
    }


def _changes(drained: Drained) -> dict[str, Any]:
    return {
        "changed": bool(drained.changes),
        "diff": {
            "before": {change.name: change.before for change in drained.changes},
            "after": {change.name: change.after for change in drained.changes},
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=DRAIN_ARGUMENTS,
        supports_check_mode=True,
    )
    try:
        result = run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
