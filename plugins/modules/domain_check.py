#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_check
short_description: Tells whether names lead to us, and which record to create if not
version_added: 0.1.0
description:
  - Resolves the A and AAAA records of each name, through all its CNAMEs. A name is ready when it has at least one address and every one
    of them is ours. One stale AAAA record is enough to break certificates, since authorities prefer IPv6.
  - Changes nothing, and fails for names that are not ready only when O(fail) asks for it, so that one bad name holds back nobody else.
  - Works on the controller, as an action plugin.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
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
requirements:
  - dnspython >= 2.3 on the controller
  - idna on the controller, for names outside ASCII
options:
  names:
    description: Whole host names to look at.
    type: list
    elements: str
    required: true
    aliases: [name]
  addresses:
    description: Our addresses, IPv4 and IPv6. Names must lead to these and to no other.
    type: list
    elements: str
    required: true
  target:
    description: A name of ours that the advice proposes for a CNAME, which then follows us when our addresses change.
    type: str
  resolver:
    description: Address of the resolver to ask. Left out, those of the controller's C(/etc/resolv.conf).
    type: str
  resolver_port:
    description: Port of O(resolver).
    type: int
    default: 53
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 5
  fail:
    description: Whether to fail when a name is not ready.
    type: bool
    default: false
seealso:
  - module: meet.coop.dns_zone
    description: Keeps the names of our own zone.
"""

EXAMPLES = r"""
- name: See which of a member's own names lead to us
  meet.coop.domain_check:
    names: [meet.rosa.example, treffen.rosa.example]
    addresses: [192.0.2.80, "2001:db8::80"]
    target: rosa.meet.example.org
  register: domains

- name: Go on with those that do
  ansible.builtin.debug:
    var: domains.ready
"""

RETURN = r"""
results:
  description: One finding for each name, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, in its ASCII form.
      type: str
    status:
      description: V(ready), V(wrong_target) or V(unresolved).
      type: str
    addresses:
      description: Addresses the name leads to.
      type: list
      elements: str
    chain:
      description: Names that its CNAMEs went through.
      type: list
      elements: str
    reason:
      description: Why it is not ready.
      type: str
    advice:
      description: The record to create, in words to forward.
      type: str
ready:
  description: Names that are ready.
  returned: success
  type: list
  elements: str
not_ready:
  description: Names that are not.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._dns.check import ARGUMENT_SPEC, DomainCheck
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if DNSPYTHON_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_IMPORT_ERROR)
    try:
        result = DomainCheck(module.params).run()
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
