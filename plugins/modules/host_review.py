#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_review
short_description: Looks at how well a host is closed, and changes nothing
version_added: 0.1.0
description:
  - Looks once at what listens, SSH, Docker and its containers, C(pg_hba.conf), modes of files, the sandboxes of services, Caddy's admin API
    and security updates, and tells what is not as it should be and what to do about it.
  - What is not installed, or does not run, is not judged; RV(looked_at) says what was.
  - Never fails because of a finding. Role C(review) does, where the operator has not accepted it.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Nothing is changed, and nothing is started by looking at it.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  listens:
    description:
      - Ports that others may reach, as V(tcp/443), V(udp/16384-32768), or V(tcp/10.213.0.1:5432) for one address.
      - Loopback, the SSH server's own ports and a DHCP client's are never a finding.
    type: list
    elements: str
    default: []
  tables:
    description: Tables of nftables (family C(inet)) that have to be loaded.
    type: list
    elements: str
    default: []
  firewall:
    description:
      - One more such table, whose chain C(input) fences the whole host.
      - A port that it lets nobody reach is no finding; without it, every port counts.
    type: str
    default: ""
  edge_config:
    description: File that Caddy starts from.
    type: path
    default: /etc/caddy/edge.json
  trees:
    description:
      - Folders that are searched, as far as others than their owner and group can come, for what everybody may write, and for secrets that
        everybody may read. Those are files that are named like one or hold a private key.
    type: list
    elements: path
    default: []
  modes:
    description: Single files and folders, where they exist, and the most that they may be allowed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file or folder.
        type: path
        required: true
      mode:
        description: The most, such as V('0700').
        type: str
        required: true
  exposure:
    description:
      - The most that C(systemd-analyze security) may rate a service with that our roles ship or give its command, from V(0) (held fast) to
        V(10) (may do anything).
    type: float
    default: 5.0
  accepted:
    description: Findings that are lived with.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: As RV(findings[].id).
        type: str
        required: true
      where:
        description: As RV(findings[].where), as a shell pattern.
        type: str
        default: "*"
      why:
        description: The reason.
        type: str
        required: true
seealso:
  - module: meet.coop.caddy_base
    description: Gives Caddy's admin API its socket.
"""

EXAMPLES = r"""
- name: Look at how well this host is closed
  meet.coop.host_review:
    listens: [tcp/80, tcp/443, "tcp/10.213.0.1:5432"]
    trees: [/etc/meet-coop, /var/lib/meet-coop]
    accepted:
      - id: listens
        where: udp/51820
        why: WireGuard of the people on duty
  register: review

- name: Show what is open
  ansible.builtin.debug:
    msg: "{{ review.findings | rejectattr('accepted') }}"
"""

RETURN = r"""
findings:
  description: What is not as it should be, the ones that nobody accepted first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The rule.
      type: str
      sample: listens
    where:
      description: What it is about.
      type: str
      sample: tcp/8080
    seen:
      description: What was seen. Never a secret.
      type: str
      sample: python3 listens on all addresses
    todo:
      description: What to do.
      type: str
    accepted:
      description: Whether it is lived with.
      type: bool
    why:
      description: For what reason; empty where it is not.
      type: str
open:
  description: How many of them nobody accepted.
  returned: success
  type: int
unused:
  description: Entries of O(accepted) that nothing was found for; they can go.
  returned: success
  type: list
  elements: dict
looked_at:
  description: Parts that are there and were judged.
  returned: success
  type: list
  elements: str
  sample: [ports, ssh, docker, postgresql, files, units, caddy, updates]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review.review import ARGUMENT_SPEC, run


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
