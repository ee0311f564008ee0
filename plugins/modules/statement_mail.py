#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: statement_mail
short_description: Sends each member its statement of a month by mail, once
version_added: 0.1.0
description:
  - Sends the statement of a closed month to each member, with the invoices that M(meet.coop.statement_documents) made for it. A member that
    sold something to a client gets the client's invoice, to hand it on.
  - A statement goes to C(invoices.email) of the member in the membership file; without one to its treasurers, or else its coordinators, or
    else its first contact. Each address has a mail of its own.
  - What became of each mail is written down in C(mailed/) beside the money files, before and after it is handed in. To each address, the
    statement of a month goes once. What a server refused, and what was not tried as the server went away, is tried again by the next run.
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
requirements:
  - jsonschema on the controller
options:
  membership:
    description: The membership file, or several, or folders of them, on the controller.
    type: list
    elements: path
    required: true
  directory:
    description: Folder of the money files. Left out, it is C(money) beside the membership file.
    type: path
  month:
    description: The month, as year and month. Left out, it is the last closed one, and with O(draft=true) the open one.
    type: str
  draft:
    description:
      - Sends the statements of the open month as it was settled last, called drafts and without invoices.
      - Such a statement goes out again when anything in it has changed.
    type: bool
    default: false
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
  expected_documents:
    description: RV(meet.coop.statement_documents#module:files) of a task before this one; in check mode they count as there.
    type: list
    elements: str
    default: []
  as_of:
    description: The day on which this is done, year-month-day; it is written down beside each mail.
    type: str
    required: true
seealso:
  - module: meet.coop.statement_documents
    description: For the invoices.
"""

EXAMPLES = r"""
- name: Send the statements of the last closed month
  meet.coop.statement_mail:
    membership: [inventories/ourcoop/members.yml]
    smtp:
      server: smtp.meet.example
      username: relay
      password: "{{ vault_relay_smtp_password }}"
      sender_email: treasurer@meet.example
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
"""

RETURN = r"""
month:
  description: The month.
  returned: success
  type: str
  sample: 2026-03
directory:
  description: Folder of the money files.
  returned: success
  type: str
mails:
  description: Every mail of the month, those that went out before too.
  returned: when statements could be read
  type: list
  elements: dict
  contains:
    member:
      description: Id of the member.
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
summary:
  description: The result in a few lines.
  returned: when statements could be read
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._smtp import SMTP_ACCOUNT

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "month": {"type": "str"},
    "draft": {"type": "bool", "default": False},
    "smtp": {**SMTP_ACCOUNT, "required": True},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 30},
    "expected_documents": {"type": "list", "elements": "str", "default": []},
    "as_of": {"type": "str", "required": True},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.statement_mail runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
