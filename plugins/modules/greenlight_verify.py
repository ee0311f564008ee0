#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_verify
short_description: Verifies a Greenlight instance from outside
version_added: 0.1.0
description:
  - Asks what a member would ask, over the public name, and says for each question whether the answer is what was promised.
  - "C(domains): every name of the member's own in O(domains) is ready and served; if not, it says which record to create."
  - "C(name): every name resolves, and only to our addresses."
  - "C(certificate): each name's certificate chains to the authority, names the host, has a third of its lifetime left; aliases redirect."
  - "C(page): the start page carries the member's colour, and its logo the member's name."
  - "C(closed_doors): a stranger is signed in as nobody, and the migration API does not answer."
  - "C(sign_in): the account signs in and may what it should; C(rooms): rooms stop at the limit."
  - "C(meeting): a meeting started in Greenlight reaches a node with the member's duration and participants."
  - "C(cap): the same asked for ten times too much straight at the pool, with the tenant's secret, is capped."
  - "C(mail): a password-reset mail arrives through the member's SMTP account, with its sender."
  - Rooms, meetings and mails made for this are removed again.
  - Runs on the controller, as an action plugin; it needs dnspython there.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.outside
attributes:
  check_mode:
    support: full
    details: Check mode skips the verification, since it makes rooms and meetings for a moment.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  hostname:
    description: The instance's canonical host name.
    type: str
    required: true
  aliases:
    description: Further names, each of which must redirect to O(hostname).
    type: list
    elements: str
    default: []
  domains:
    description: What M(meet.coop.domain_check) returned as results for the names of the member's own.
    type: list
    elements: dict
    default: []
  addresses:
    description: The IPv4 and IPv6 addresses that are ours; a name may resolve to no other.
    type: list
    elements: str
    required: true
  primary_color:
    description: The member's colour, such as V(#2e7d32).
    type: str
    required: true
  title:
    description: The member's name, looked for in a logo that is an SVG served by the instance.
    type: str
    required: true
  email:
    description: Mail address of an account made for the verification, an administrator's unless O(administrator=false).
    type: str
    required: true
  password:
    description: Password of that account.
    type: str
    required: true
  rooms_per_account:
    description: The room limit promised.
    type: int
    required: true
  meeting_minutes:
    description: The meeting duration promised, in minutes.
    type: int
    required: true
  participants:
    description: The participants per meeting promised.
    type: int
    required: true
  pool_endpoint:
    description: The BigBlueButton API of the instance's tenant, an C(https) URL.
    type: str
    required: true
  pool_secret:
    description: The tenant's secret.
    type: str
    required: true
  external_sign_in:
    description:
      - People sign in at the member's OpenID Connect provider, so a local account cannot.
      - The checks that need one are skipped and say so.
    type: bool
    default: false
  administrator:
    description: Whether the account is to be an administrator's. If not, it must not manage users.
    type: bool
    default: true
  sender_email:
    description: The sender that mails must carry. Leave out when the instance sends no mail.
    type: str
  mailbox:
    description: An IMAP mailbox that receives the mail to O(email).
    type: dict
    suboptions:
      host:
        description: Host name or address of the IMAP server.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 143
      security:
        description: How the connection is protected.
        type: str
        choices: [none, starttls, tls]
        default: starttls
      username:
        description: Login.
        type: str
        required: true
      password:
        description: Password.
        type: str
        required: true
      address:
        description: The mailbox's own address.
        type: str
        required: true
  mail_timeout:
    description: Seconds to wait for the mail.
    type: int
    default: 60
  checks:
    description: Only these checks; all when left out.
    type: list
    elements: str
    choices: [domains, name, certificate, page, closed_doors, sign_in, rooms, meeting, cap, mail]
  fail:
    description: Fail the task when a check failed.
    type: bool
    default: true
seealso:
  - module: meet.coop.greenlight_user
"""

EXAMPLES = r"""
---
- name: Verify an instance
  meet.coop.greenlight_verify:
    hostname: meet.sunflower.example
    addresses: [192.0.2.10]
    primary_color: "#2e7d32"
    title: Sunflower Housing Co-operative
    email: verify@mail.example.org
    password: "{{ canary_password }}"
    rooms_per_account: 5
    meeting_minutes: 90
    participants: 40
    pool_endpoint: https://pool.example.org/t/sunflower/bigbluebutton/api/
    pool_secret: "{{ tenant_secret }}"
"""

RETURN = r"""
checks:
  description: One entry per check, in order.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: Name of the check.
      type: str
    result:
      description: V(ok), V(failed) or V(skipped).
      type: str
    detail:
      description: What was seen, in words.
      type: str
    seconds:
      description: How long it took.
      type: float
ok:
  description: Whether no check failed.
  returned: always
  type: bool
table:
  description: The same as lines to print.
  returned: always
  type: list
  elements: str
certificate_until:
  description: The day on which the certificate of O(hostname) ends; null when it was not seen.
  returned: when verified
  type: str
  sample: "2027-02-21"
hostname:
  description: The name verified.
  returned: always
  type: str
at:
  description: When, in UTC (ISO 8601).
  returned: always
  type: str
  sample: "2026-11-23T09:00:00Z"
"""


from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._outside import OUTSIDE_ARGUMENTS

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "hostname": {"type": "str", "required": True},
    "aliases": {"type": "list", "elements": "str", "default": []},
    "domains": {"type": "list", "elements": "dict", "default": []},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "primary_color": {"type": "str", "required": True},
    "title": {"type": "str", "required": True},
    "email": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "rooms_per_account": {"type": "int", "required": True},
    "meeting_minutes": {"type": "int", "required": True},
    "participants": {"type": "int", "required": True},
    "pool_endpoint": {"type": "str", "required": True},
    "pool_secret": {"type": "str", "required": True, "no_log": True},
    "external_sign_in": {"type": "bool", "default": False},
    "administrator": {"type": "bool", "default": True},
    "sender_email": {"type": "str"},
    "mailbox": {
        "type": "dict",
        "options": {
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 143},
            "security": {"type": "str", "choices": ["none", "starttls", "tls"], "default": "starttls"},
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "address": {"type": "str", "required": True},
        },
    },
    "mail_timeout": {"type": "int", "default": 60},
    **OUTSIDE_ARGUMENTS,
    "checks": {
        "type": "list",
        "elements": "str",
        "choices": ["domains", "name", "certificate", "page", "closed_doors", "sign_in", "rooms", "meeting", "cap", "mail"],
    },
    "fail": {"type": "bool", "default": True},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.greenlight_verify runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
