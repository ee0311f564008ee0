#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_wait
short_description: Waits until every name server of a zone shows a TXT record
version_added: 0.1.0
description:
  - Asks all name servers of the zone that the name is in, until each that answers shows all values, since a certificate authority may
    ask any of them.
  - Changes nothing. Works on the controller, as an action plugin.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Check mode does not wait.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
requirements:
  - dnspython >= 2.3 on the controller
options:
  name:
    description: Whole name of the record.
    type: str
    required: true
  values:
    description: Texts that have to be there; others may be too.
    type: list
    elements: str
    required: true
  resolver:
    description: Address of the resolver that finds the name servers. Left out, those of the controller's C(/etc/resolv.conf).
    type: str
  resolver_port:
    description: Port of O(resolver).
    type: int
    default: 53
  timeout:
    description: Seconds after which to fail.
    type: int
    default: 120
seealso:
  - module: meet.coop.dns_zone
"""

EXAMPLES = r"""
- name: Wait until an authority can see the challenge
  meet.coop.dns_wait:
    name: _acme-challenge.meet.example.org
    values: ["{{ challenge }}"]
"""

RETURN = r"""
seconds:
  description: How long was waited.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns import wait
from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(wait.ARGUMENT_SPEC, supports_check_mode=True)
    if DNSPYTHON_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_IMPORT_ERROR)
    try:
        result = wait.run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
