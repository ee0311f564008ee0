#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_credential_check
short_description: Tries credentials for BigBlueButton as content management systems use them
version_added: 0.1.0
description:
  - Makes the signed calls that the plugin of each system would make, with the address as it stands in the system's settings, and says for
    each whether the answer is what it needs.
  - "C(address): completed as the plugin completes it, it is an API, and not somebody else's public test server."
  - "C(signature): every checksum that the plugin may use is accepted."
  - "C(guarded): a call signed with another secret is refused."
  - "C(meeting): a meeting is made, listed, can be joined, and ends."
  - "C(apart): no other credential of the list sees its meeting or can end it."
  - Meetings made for this are ended again. Nobody enters them.
  - Runs on the controller, as an action plugin; it needs dnspython there.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.outside
attributes:
  check_mode:
    support: full
    details: Check mode skips the proof, since it makes meetings for a moment.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  credentials:
    description: The credentials to try. C(apart) tries each against all others of the list.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the system.
        type: str
        required: true
      kind:
        description: Which system it is; it decides the form of the address and the checksums.
        type: str
        choices: [nextcloud, moodle, wordpress, drupal]
        required: true
      url:
        description: The address as it stands in the system's settings.
        type: str
        required: true
      secret:
        description: The secret as it stands there.
        type: str
        required: true
      access:
        description: V(server) for the secret of a whole server, which sees everything there and is left out of C(apart).
        type: str
        choices: [tenant, server]
        default: tenant
  checks:
    description: Only these checks, and C(address); all when left out.
    type: list
    elements: str
    choices: [address, signature, meeting, guarded, apart]
  patience:
    description: Seconds for a meeting to be gone after its end was asked for.
    type: int
    default: 30
  fail:
    description: Whether a check that failed fails the task.
    type: bool
    default: true
seealso:
  - module: meet.coop.cms_handover
  - module: meet.coop.pool_tenant
"""

EXAMPLES = r"""
---
- name: Try what was handed over
  meet.coop.bbb_credential_check:
    credentials:
      - name: cloud
        kind: nextcloud
        url: https://pool.example.org/t/cloud/bigbluebutton/
        secret: "{{ cloud_secret }}"
      - name: school
        kind: moodle
        url: https://pool.example.org/t/school/bigbluebutton/
        secret: "{{ school_secret }}"
"""

RETURN = r"""
checks:
  description: One entry per credential and check.
  returned: always
  type: list
  elements: dict
  contains:
    credential:
      description: Name of the credential.
      type: str
    check:
      description: Name of the check.
      type: str
    result:
      description: V(ok), V(failed) or V(skipped).
      type: str
    detail:
      description: What was seen, in words.
      type: str
ok:
  description: Whether no check failed.
  returned: always
  type: bool
table:
  description: The same as lines to print.
  returned: always
  type: list
  elements: str
at:
  description: When, in UTC (ISO 8601).
  returned: always
  type: str
  sample: "2026-11-25T09:00:00Z"
"""


from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._outside import OUTSIDE_ARGUMENTS

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "credentials": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True, "choices": ["nextcloud", "moodle", "wordpress", "drupal"]},
            "url": {"type": "str", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
            "access": {"type": "str", "choices": ["tenant", "server"], "default": "tenant"},
        },
    },
    "checks": {"type": "list", "elements": "str", "choices": ["address", "signature", "meeting", "guarded", "apart"]},
    "patience": {"type": "int", "default": 30},
    **OUTSIDE_ARGUMENTS,
    "fail": {"type": "bool", "default": True},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.bbb_credential_check runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
