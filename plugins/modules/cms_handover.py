#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cms_handover
short_description: Writes what content management systems need to use BigBlueButton
version_added: 0.1.0
description:
  - Writes one JSON file for each credential, with the address, the secret, all settings in the system's own names, and the commands that
    set them. Only root can read it.
  - With O(recipients) one more file lies beside each, encrypted to their public keys, which can be sent by any way.
  - Files of credentials that are not listed any more are removed.
  - The result says what is in the files, without the secrets.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Names of files only.
  idempotent:
    support: full
    details: An encrypted file is made anew only when its content or its keys have changed.
requirements:
  - age (only with O(recipients))
options:
  directory:
    description: Directory of the files. It is made, and closed to all but root; nothing else should lie there.
    type: path
    required: true
  credentials:
    description: All credentials of the service.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the system, which is also that of the file.
        type: str
        required: true
      kind:
        description: Which system it is.
        type: str
        choices: [nextcloud, moodle, wordpress, drupal]
        required: true
      endpoint:
        description: The BigBlueButton API, an C(https) URL that ends in C(/bigbluebutton/api/).
        type: str
        required: true
      secret:
        description: Its secret.
        type: str
        required: true
      access:
        description: Whether the secret is that of a tenant or of the whole server.
        type: str
        choices: [tenant, server]
        default: tenant
  recipients:
    description: Public keys to encrypt to, made by age-keygen or of kind ssh-ed25519.
    type: list
    elements: str
    default: []
seealso:
  - module: meet.coop.bbb_credential_check
"""

EXAMPLES = r"""
---
- name: Write what Nextcloud's administrator needs
  meet.coop.cms_handover:
    directory: /var/lib/meet-coop/instances/sunflower/cms
    credentials:
      - name: cloud
        kind: nextcloud
        endpoint: https://pool.example.org/t/cloud/bigbluebutton/api/
        secret: "{{ cloud_secret }}"
    recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
"""

RETURN = r"""
credentials:
  description: One entry for each credential, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the system.
      type: str
    kind:
      description: Which system it is.
      type: str
    title:
      description: Its name for people.
      type: str
    access:
      description: Whether the secret is that of a tenant or of the whole server.
      type: str
    url:
      description: The address as it goes into the system's settings.
      type: str
    settings:
      description: All settings by their names; the secret's value is only marked.
      type: dict
    commands:
      description: Commands that set them; they read the secret from the keyboard.
      type: list
      elements: str
    checksums:
      description: Checksums that the system may use.
      type: list
      elements: str
    notes:
      description: What its administrator should know.
      type: list
      elements: str
    file:
      description: The file with the secret.
      type: str
    encrypted_file:
      description: The encrypted one, if there is one.
      type: str
  sample: [{"name": "cloud", "kind": "nextcloud", "url": "https://pool.example.org/t/cloud/bigbluebutton/"}]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._cms.handover import Credential, converge
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "credentials": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "kind": {"type": "str", "required": True, "choices": ["nextcloud", "moodle", "wordpress", "drupal"]},
                    "endpoint": {"type": "str", "required": True},
                    "secret": {"type": "str", "required": True, "no_log": True},
                    "access": {"type": "str", "choices": ["tenant", "server"], "default": "tenant"},
                },
            },
            "recipients": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        written = converge(given["directory"], [Credential(**one) for one in given["credentials"]], given["recipients"], module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=written.changed, credentials=written.entries, diff={"before": written.before, "after": written.after})


if __name__ == "__main__":
    main()
