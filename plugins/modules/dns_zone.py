#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_zone
short_description: Keeps one owner's records in a DNS zone by dynamic update, and nobody else's
version_added: 0.1.0
description:
  - Reads the zone by transfer (AXFR), plans, and applies the plan as one dynamic update (RFC 2136) whose prerequisites are the record sets
    it was planned against. If someone changed them meanwhile, it reads and plans again, five times at most.
  - A plan that is larger than one message (some 500 names) goes in several, each of whole names. When one of them fails, the error says
    which names were changed before it, and the next run does the rest.
  - Where the server refuses the transfer, the names in O(records), O(adopt) and O(former_names) are asked for by queries instead.
    What that cannot show is said in a warning and in RV(transfer). Delegations need the transfer.
  - Every name it makes carries a mark, one TXT record. The mark of C(sunflower) is
    C(_coop.sunflower TXT "heritage=meet.coop,owner=ourcoop,member=sunflower,types=A+AAAA,v=1").
    Records without such a mark are somebody else's. They are never changed, deleted or taken over, unless O(adopt) names them.
  - Names marked by another deployment or for another O(member) are refused.
  - Names that carry the mark of O(deployment) and O(member) and are not in O(records) are removed, mark included.
  - Nothing is written at or below a delegation, where it would never be answered, and no delegation is made that hides existing records.
  - Works on the controller, as an action plugin. The controller must reach the server over TCP; the host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.dns_records
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - dnspython >= 2.3 on the controller
options:
  server:
    description: Address or name of the primary server of the zone, which must allow update to the key, and better transfer too.
    type: str
    required: true
  port:
    description: TCP port of the server.
    type: int
    default: 53
  tsig:
    description: The key that signs transfers and updates (RFC 8945). Left out, requests are not signed.
    type: dict
    suboptions:
      name:
        description: Name of the key as the server knows it.
        type: str
        required: true
      algorithm:
        description: Algorithm of the key.
        type: str
        choices: [hmac-sha224, hmac-sha256, hmac-sha384, hmac-sha512]
        default: hmac-sha256
      secret:
        description: The secret in base64. It never appears in output.
        type: str
        required: true
  former_names:
    description:
      - Names that O(member) had before. They matter only where the server refuses the transfer, since names that are no longer in
        O(records) can't be found there. Those that carry our mark are removed, others stay.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for each answer of the server.
    type: int
    default: 10
seealso:
  - module: meet.coop.octodns_zone
    description: The same records, rules and marks where a provider's API leads to the zone.
  - module: meet.coop.domain_check
    description: Looks at names that live in other people's zones.
"""

EXAMPLES = r"""
- name: Give a service its name
  meet.coop.dns_zone:
    zone: meet.example.org
    server: 192.0.2.53
    tsig:
      name: coop
      secret: "{{ dns_tsig_secret }}"
    deployment: ourcoop
    member: sunflower
    records:
      - name: sunflower
        type: A
        values: [192.0.2.80]
      - name: sunflower
        type: AAAA
        values: ["2001:db8::80"]

- name: Take over a record that was made by hand
  meet.coop.dns_zone:
    zone: meet.example.org
    server: 192.0.2.53
    tsig:
      name: coop
      secret: "{{ dns_tsig_secret }}"
    deployment: ourcoop
    member: rosa
    records:
      - name: rosa
        type: CNAME
        values: [host1.example.org]
    adopt: [rosa/CNAME]

- name: Remove all names of a service that left
  meet.coop.dns_zone:
    zone: meet.example.org
    server: 192.0.2.53
    tsig:
      name: coop
      secret: "{{ dns_tsig_secret }}"
    deployment: ourcoop
    member: sunflower
    records: []
"""

RETURN = r"""
changes:
  description: What changed, or would change in check mode, one entry for each name and type, marks included.
  returned: success
  type: list
  elements: dict
  sample:
    - name: sunflower
      type: A
      action: create
      before: null
      after: {ttl: 300, values: [192.0.2.80]}
  contains:
    name:
      description: Name relative to the zone.
      type: str
    type:
      description: Record type.
      type: str
    action:
      description: V(create), V(update) or V(delete).
      type: str
    before:
      description: TTL and values before, or null.
      type: dict
    after:
      description: TTL and values after, or null.
      type: dict
transfer:
  description: Whether the whole zone was seen. If not, only the names of this run were.
  returned: success
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ARGUMENT_SPEC, ZoneTask
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if DNSPYTHON_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_IMPORT_ERROR)
    try:
        result = ZoneTask(module.params).run(module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
