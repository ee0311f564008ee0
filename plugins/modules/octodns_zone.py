#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: octodns_zone
short_description: Keeps one owner's records in a DNS zone by a provider's API (octoDNS), and nobody else's
version_added: 0.1.0
description:
  - Does what M(meet.coop.dns_zone) does, by the same rules and with the same marks, for the some 60 providers that octoDNS has an API
    client for. Both modules may be used for the same zone, one after the other.
  - octoDNS alone makes a zone equal to its sources, and takes over unmarked records that stand where it wants to write. Here the plan is
    made by this collection. octoDNS is given the names of that plan only, and its own plan is held against ours before it may apply it.
  - In check mode nothing is applied. RV(checksum) is that of octoDNS's plan. Given back as O(checksum), only that plan is applied.
  - Programming interfaces of providers know no prerequisites. Between octoDNS's last look and its changes, which are moments, a change by
    somebody else at the very same names can be lost. Where there is a choice, use M(meet.coop.dns_zone).
  - Works on the controller, as an action plugin. The host the task runs for is not used.
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
  - octodns >= 1.22 and the provider's package, such as octodns-hetzner, on the controller
  - dnspython >= 2.3 on the controller
options:
  provider:
    description: octoDNS's client for the provider, as its own configuration has it.
    type: dict
    required: true
    suboptions:
      class:
        description: Class of the client, such as V(octodns_hetzner.HetznerProvider).
        type: str
        required: true
      options:
        description:
          - Its options. Write V(env/NAME) for a secret, and its value in O(secrets).
          - A secret written here as it is gets refused, since these options stand in octoDNS's configuration file.
        type: dict
        default: {}
  secrets:
    description:
      - Values of the V(env/NAME) in O(provider.options), by C(NAME). What is missing here is taken from the environment of the controller.
      - They are in the environment of this process while octoDNS runs, and in no file, command line or output.
    type: dict
  checksum:
    description:
      - Checksum of the plan that was reviewed, as RV(checksum) returned it in check mode.
      - When there is something to change and the plan is not that one, nothing is applied and the task fails.
    type: str
  directory:
    description:
      - Directory on the controller for octoDNS's configuration and source zone, so that C(octodns-sync) can be used by hand with the names
        that O(member) has. The files hold no secrets.
      - Left out, these files exist only while the module runs.
    type: path
seealso:
  - module: meet.coop.dns_zone
    description: The same for name servers that take dynamic updates.
"""

EXAMPLES = r"""
- name: Plan the names of a service at a provider
  meet.coop.octodns_zone:
    zone: meet.example.org
    provider:
      class: octodns_hetzner.HetznerProvider
      options:
        token: env/HETZNER_TOKEN
    secrets:
      HETZNER_TOKEN: "{{ vault_hetzner_token }}"
    deployment: ourcoop
    member: sunflower
    records:
      - name: sunflower
        type: A
        values: [192.0.2.80]
  check_mode: true
  register: planned

- name: Apply that plan and no other
  meet.coop.octodns_zone:
    zone: meet.example.org
    provider:
      class: octodns_hetzner.HetznerProvider
      options:
        token: env/HETZNER_TOKEN
    secrets:
      HETZNER_TOKEN: "{{ vault_hetzner_token }}"
    deployment: ourcoop
    member: sunflower
    records:
      - name: sunflower
        type: A
        values: [192.0.2.80]
    checksum: "{{ planned.checksum | default(omit, true) }}"
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
checksum:
  description: Checksum of octoDNS's plan, as C(octodns-sync --checksum) has it. Null when there is nothing to change.
  returned: success
  type: str
  sample: 7e153bd545914760fec244ceed019070bb428a0d106e19f1d107dea502fe93e1
plan:
  description: octoDNS's own plan, as its JSON output has it.
  returned: success
  type: list
  elements: dict
files:
  description: Files in O(directory) that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import ARGUMENT_SPEC, IMPORT_ERROR, OctodnsTask
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("octodns"), exception=IMPORT_ERROR)
    try:
        result = OctodnsTask(module.params).run(module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
