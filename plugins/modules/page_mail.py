#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: page_mail
short_description: Sends welcome packs, and pages of members, by mail when there is something new
version_added: 0.1.0
description:
  - Sends pages that M(meet.coop.welcome_page) or M(meet.coop.member_page) wrote to whom they are for, as files, each address a mail of its
    own, in the language of the page. What is in such a mail is no secret.
  - A welcome pack (O(kind=welcome)) goes out when its service has been verified, and again when something has changed that a coordinator
    has to know (O(pages[].about)). A member's page (O(kind=page)) goes out once a week, month or quarter (O(every)), as it is then.
  - A page without O(pages[].verified) waits, and RV(waits) says so.
  - What became of each mail is written down in O(record), before and after it is handed in. What a server refused, and what was not tried
    as the server went away, is tried again by the next run.
  - A run that is killed between the two cannot know whether the mail went out. The next one sends it again, with the same Message-ID, by
    which mail programs see that it is the same, and says so in RV(mails). So a mail may come twice, but none is lost.
  - The task fails when a mail did not go out, after all others have been tried, and names each.
  - Works on the controller, as an action plugin. The host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.smtp_account
attributes:
  check_mode:
    support: full
    details: Says who would get what; the server is not asked.
  diff_mode:
    support: none
    details: RV(mails) says what is sent to whom.
  idempotent:
    support: full
options:
  kind:
    description: What the pages are.
    type: str
    choices: [welcome, page]
    required: true
  pages:
    description: RV(meet.coop.welcome_page#module:page), or RV(meet.coop.member_page#module:pages).
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Id of the service, or of the member or client.
        type: str
        required: true
        aliases: [owner]
      title:
        description: Title of the service, or name of the member or client.
        type: str
        required: true
      language:
        description: Language of the mail.
        type: str
        required: true
      path:
        description: File on the controller that goes with the mail. In check mode it need not exist.
        type: path
        required: true
      for:
        description: Addresses that it goes to.
        type: list
        elements: str
        required: true
      verified:
        description: Whether there is something to send yet.
        type: bool
        required: true
      about:
        description: Changes when the page has to go out again. For welcome packs.
        type: str
  every:
    description: How often a member's page goes out, by the weeks (ISO 8601), months and quarters of UTC.
    type: str
    choices: [week, month, quarter]
    default: month
  cooperative:
    description: What the inventory plugin gives as C(coop_cooperative).
    type: dict
    required: true
  record:
    description:
      - Folder on the controller in which it is written down what was sent to whom; made when it is not there. It has to last, since without
        it everything goes out again. Files in it can be read by their owner alone.
    type: path
    required: true
  at:
    description: The time, with its offset from UTC.
    type: str
    required: true
  smtp:
    description: The account that mails are sent through, the co-operative's own.
    required: true
  ca_file:
    description: PEM bundle of authorities on the controller to trust; the system's when left out.
    type: path
  timeout:
    description: Seconds for each step with the server.
    type: int
    default: 30
seealso:
  - module: meet.coop.welcome_page
  - module: meet.coop.member_page
  - module: meet.coop.statement_mail
"""

EXAMPLES = r"""
- name: Send each its page of the month
  meet.coop.page_mail:
    kind: page
    pages: "{{ member_page_found.pages }}"
    cooperative: "{{ coop_cooperative }}"
    record: mailed
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    smtp:
      server: smtp.meet.example
      username: relay
      password: "{{ vault_relay_smtp_password }}"
      sender_email: office@meet.example
"""

RETURN = r"""
mails:
  description: Every mail of these pages, those that went out before too.
  returned: when the pages can be sent
  type: list
  elements: dict
  contains:
    id:
      description: Id of the service, or of the member or client.
      type: str
    address:
      description: Where it goes.
      type: str
    message_id:
      description: Its Message-ID, the same whenever it is sent.
      type: str
    files:
      description: What comes with it.
      type: list
      elements: str
    outcome:
      description:
        - V(sent), V(sent before) by an earlier run, V(to send) in check mode.
        - V(sent again) when an earlier run was cut off while it sent this one, so that it may be there twice.
        - V(refused) by the server, V(unknown) when the server went away meanwhile, V(not tried) after that.
      type: str
    said:
      description: What the server said when it did not take it.
      type: str
waits:
  description: Ids of pages that wait until something was verified.
  returned: when the pages can be sent
  type: list
  elements: str
summary:
  description: The result in a few lines.
  returned: when the pages can be sent
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._smtp import SMTP_ACCOUNT

ARGUMENT_SPEC = {
    "kind": {"type": "str", "choices": ["welcome", "page"], "required": True},
    "pages": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "id": {"type": "str", "required": True, "aliases": ["owner"]},
            "title": {"type": "str", "required": True},
            "language": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "for": {"type": "list", "elements": "str", "required": True},
            "verified": {"type": "bool", "required": True},
            "about": {"type": "str"},
        },
    },
    "every": {"type": "str", "choices": ["week", "month", "quarter"], "default": "month"},
    "cooperative": {"type": "dict", "required": True},
    "record": {"type": "path", "required": True},
    "at": {"type": "str", "required": True},
    "smtp": {**SMTP_ACCOUNT, "required": True},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.page_mail runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
