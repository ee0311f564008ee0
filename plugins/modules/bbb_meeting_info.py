#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_meeting_info
short_description: Tells how much goes on at BigBlueButton servers
version_added: 0.1.0
description:
  - Asks each server for its live meetings (C(getMeetings)) and returns numbers, in all and for each tenant of a balancer in front.
  - Never returns anything of the people in a meeting. What identifies a meeting is returned only when O(details=true).
  - A server that cannot be asked is no failure; nothing is known of it, and it does not count as empty.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.pool_engine
attributes:
  check_mode:
    support: full
    details: Only looks.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  nodes:
    description: The servers to ask; when left out, all that the pool on this host has, with the secrets it has for them.
    type: list
    elements: dict
    suboptions:
      domain:
        description: Host name of the server, with a port where that is not 443.
        type: str
        required: true
      secret:
        description: The server's API secret (C(bbb-conf --secret)).
        type: str
        required: true
  details:
    description: Return each meeting's ids, tenant and numbers too.
    type: bool
    default: false
  algorithm:
    description: Hash that signs the calls; the server has to allow it (C(supportedChecksumAlgorithms)).
    type: str
    choices: [sha1, sha256, sha384, sha512]
    default: sha256
  timeout:
    description: Seconds to wait for the answer of a server.
    type: int
    default: 10
  ca_file:
    description: PEM bundle of authorities to trust beside the system's.
    type: path
seealso:
  - module: meet.coop.bbb_node_drain
  - module: meet.coop.pool_node
"""

EXAMPLES = r"""
- name: See how much goes on
  meet.coop.bbb_meeting_info:
    nodes: "{{ pool_nodes }}"
  register: meetings

- name: See how much goes on in the whole pool
  meet.coop.bbb_meeting_info:
    engine: scalelite
  delegate_to: pool

- name: Go on only where nobody meets
  ansible.builtin.assert:
    that: meetings.nodes | map(attribute='empty') is all
"""

RETURN = r"""
nodes:
  description: What is live on each server, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    domain:
      description: The server.
      type: str
      returned: success
    fault:
      description: Why it could not be asked; null when it answered.
      type: str
      returned: success
    empty:
      description: Whether it is known that no meeting is there. One that was made and that nobody has entered yet is there too.
      type: bool
      returned: success
    meetings:
      description: How many meetings, breakout rooms among them.
      type: int
      returned: success
    participants:
      description: How many people are in them; RV(nodes[].voice), RV(nodes[].video) and RV(nodes[].listeners) are of those.
      type: int
      returned: success
    voice:
      description: How many have joined the audio with a microphone.
      type: int
      returned: success
    video:
      description: How many cameras.
      type: int
      returned: success
    listeners:
      description: How many only listen.
      type: int
      returned: success
    clock_offset:
      description:
        - Seconds by which the server's clock is ahead of that of the host this runs on, to a second or so; null when that is not known.
        - More than 30 in either direction is a warning.
      type: int
      returned: success
    tenants:
      description: The same numbers by the tenant that a balancer has marked the meeting with; the empty name stands for all others.
      type: dict
      returned: success
    list:
      description: Each meeting with its ids, its tenant, its time of creation (milliseconds since 1970) and the same numbers.
      type: list
      elements: dict
      returned: with O(details=true)
  sample: [{"domain": "bbb1.example.org", "fault": null, "empty": false, "meetings": 2, "participants": 19, "voice": 12, "video": 7,
            "listeners": 4, "clock_offset": 0,
            "tenants": {"sunflower": {"meetings": 2, "participants": 19, "voice": 12, "video": 7, "listeners": 4}}}]
meetings:
  description: How many meetings on all servers that answered.
  returned: success
  type: int
participants:
  description: How many people in them.
  returned: success
  type: int
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import ALGORITHMS, Client
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live, clock_fault, live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import ENGINE_ARGUMENTS, engine_of

AT_ONCE = 16


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {
                "type": "list",
                "elements": "dict",
                "options": {"domain": {"type": "str", "required": True}, "secret": {"type": "str", "required": True, "no_log": True}},
            },
            "details": {"type": "bool", "default": False},
            "algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "sha256"},
            "timeout": {"type": "int", "default": 10},
            "ca_file": {"type": "path"},
            **ENGINE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    nodes = given["nodes"]
    if nodes is None:
        try:
            there = engine_of(given, check_mode=module.check_mode).observe("servers")
        except CoopError as error:
            module.fail_json(msg=str(error))
        module.no_log_values.update(entry["secret"] for entry in there.values())
        nodes = [{"domain": domain, "secret": entry["secret"]} for domain, entry in sorted(there.items())]

    def look(node: dict[str, Any]) -> Live:
        base = f"https://{node['domain']}/bigbluebutton/api/"
        return live(
            Client(base, node["secret"], algorithm=given["algorithm"], timeout=float(given["timeout"]), ca_file=given["ca_file"]))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(look, nodes))
    for node, one in zip(nodes, found, strict=True):
        if said := clock_fault(node["domain"], one.clock_offset):
            module.warn(said)
    module.exit_json(
        changed=False,
        nodes=[{"domain": node["domain"], **one.as_dict(given["details"])} for node, one in zip(nodes, found, strict=True)],
        meetings=sum(one.total.meetings for one in found),
        participants=sum(one.total.participants for one in found),
    )


if __name__ == "__main__":
    main()
