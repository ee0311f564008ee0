#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: oidc_check
short_description: Tells whether people can sign in at an OpenID Connect provider
version_added: 0.1.0
description:
  - Asks the provider from the host as its instances will, and changes nothing.
  - The discovery document has to be the issuer's own and to name what Greenlight needs; its keys have to be there; and the provider has to
    accept the client with its secret, as far as its answer to a code that nobody was given tells that.
  - Greenlight itself asks the provider only when somebody signs in, after sign-in by password was turned off.
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
options:
  oidc:
    description: The provider, and the instance as its client.
    type: dict
    required: true
    suboptions:
      issuer:
        description: Address of the provider, exactly as it names itself.
        type: str
        required: true
      client_id:
        description: Name of the instance at the provider.
        type: str
        required: true
      client_secret:
        description: Secret of the instance at the provider.
        type: str
        required: true
  redirect:
    description: Public base address of the instance, such as V(https://meet.sunflower.example).
    type: str
    required: true
  ca_file:
    description: PEM bundle of authorities on the host to trust; the system's when left out.
    type: path
  timeout:
    description: Seconds for each answer.
    type: int
    default: 10
seealso:
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: See whether the member's people can sign in at their own provider
  meet.coop.oidc_check:
    oidc:
      issuer: https://id.sunflower.example/realms/coop
      client_id: greenlight
      client_secret: "{{ vault_sunflower_oidc_secret }}"
    redirect: https://meet.sunflower.example
"""

RETURN = r"""
key_count:
  description: How many public keys the provider shows for its signatures.
  returned: success
  type: int
  sample: 2
logout_path:
  description: What follows the issuer's address in that of its logout page; null when it has none below its address.
  returned: success
  type: str
  sample: /protocol/openid-connect/logout
client:
  description: V(accepted), or V(unknown) when the provider's answer leaves open whether it knows the client.
  returned: success
  type: str
  sample: accepted
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._openid import ARGUMENTS, check


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
    )
    params = module.params
    try:
        seen = check(params["oidc"], params["redirect"], params["ca_file"], params["timeout"])
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **seen)


if __name__ == "__main__":
    main()
