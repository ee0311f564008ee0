#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_info
short_description: Tells what the edge serves for an instance, and how many new names it may open now
version_added: 0.1.0
description:
  - Reads Caddy's configuration, from its admin API or else from the file it starts from, and changes nothing.
  - Counts the certificates that this edge asked its authority for lately, so that new names are opened below the authority's limits.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.caddy_store
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  id:
    description: Name of the route, usually the id of the service.
    type: str
    required: true
  order_limit:
    description: How many certificates may be asked for in O(order_window) seconds. The default is nine tenths of Let's Encrypt's limit.
    type: int
    default: 270
  order_window:
    description: Span of time of the authority's limit, in seconds.
    type: int
    default: 10800
  acme_log:
    description: Caddy's log of its dealings with the authority.
    type: path
    default: /var/log/caddy/acme.log
seealso:
  - module: meet.coop.domain_check
    description: Uses the answers.
"""

EXAMPLES = r"""
- name: Learn what the edge serves for an instance
  meet.coop.caddy_info:
    id: sunflower
  register: edge

- name: Show the pace of new names
  ansible.builtin.debug:
    var: edge.pace
"""

RETURN = r"""
hosts:
  description: Host names that the route serves, the canonical one first. Empty where there is no route.
  returned: success
  type: list
  elements: str
token:
  description: By what this edge is known on port 80, or null where role C(edge) has not been applied. No secret.
  returned: success
  type: str
account_uri:
  description:
    - URL of the account at the authority that Caddy asks with, as CAA records with C(accounturi) name it.
    - Null before its first order, and where its storage leaves open which one it is.
  returned: success
  type: str
  sample: https://acme-v02.api.letsencrypt.org/acme/acct/1234567
pace:
  description: Certificates asked for lately, and what is left.
  returned: success
  type: dict
  contains:
    limit:
      description: As O(order_limit).
      type: int
    window:
      description: As O(order_window).
      type: int
    recent:
      description: How many were asked for in that span.
      type: int
    allowance:
      description: How many more may be asked for now.
      type: int
    wait:
      description: Seconds until one more may be asked for; V(0) when one may now.
      type: int
    every:
      description: Seconds for each name when the pace is kept for long.
      type: float
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._edge.info import ARGUMENT_SPEC, run
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
