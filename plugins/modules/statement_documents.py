#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: statement_documents
short_description: Makes the invoices and credit notes of a closed month, as EN 16931 XML and as PDF
version_added: 0.1.0
description:
  - Makes an invoice of what the co-operative charges a member for a month, and of what a member sold to a client, for each one whose
    C(invoices) in the membership file asks for them. What comes out negative is a credit note.
  - Writes UBL 2.1, CII, a PDF with that CII inside (Factur-X, profile EN 16931), or a PDF alone, into C(documents/) beside the money files.
  - Only a closed month has invoices. It is computed again first, and the task fails when it is not what it was.
  - What was issued never changes. When one of its files was changed or is gone, the task fails and names it. When the membership file says
    something else later, that counts for later documents. More formats can be asked for later.
  - Everything that is missing for any of them is said in one failure, with the place where to write it, and then nothing is written.
  - Works on the controller, as an action plugin. The host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Names the files.
  idempotent:
    support: full
requirements:
  - jsonschema on the controller
  - drafthorse on the controller, for V(cii) and V(facturx) in the membership file
  - WeasyPrint 70 or later on the controller, for V(facturx) and V(pdf) in the membership file
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
    description: The closed month, as year and month. Left out, it is the last closed one.
    type: str
  as_of:
    description: The day on which this is done, year-month-day. No output depends on it.
    type: str
    required: true
seealso:
  - module: meet.coop.month_settlement
    description: For closing the month.
  - module: meet.coop.statement_mail
    description: For sending them.
"""

EXAMPLES = r"""
- name: Make the invoices of the last closed month
  meet.coop.statement_documents:
    membership: [inventories/ourcoop/members.yml]
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"

- name: Make those of March
  meet.coop.statement_documents:
    membership: [inventories/ourcoop/members.yml]
    month: 2026-03
    as_of: "2026-04-08"
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
files:
  description: Files in RV(directory) that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
documents:
  description: Every document of the month that somebody asks for.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Its number.
      type: str
      sample: MEET-2026-03-SUNFLOWER
    kind:
      description: V(invoice) or V(credit_note).
      type: str
    owner:
      description: Id of the member or client that gets it.
      type: str
    seller:
      description: Id of the co-operative or member that charges.
      type: str
    currency:
      description: Currency of the amounts.
      type: str
    net:
      description: Amount without tax, as a decimal number in text.
      type: str
    vat:
      description: The tax.
      type: str
    gross:
      description: Both together.
      type: str
    files:
      description: Its files, in RV(directory).
      type: list
      elements: str
not_made:
  description:
    - Documents that somebody asks for and that cannot be made, as the month was closed before anybody wrote how they are taxed.
    - In an open month, M(meet.coop.month_settlement) fails and says so.
  returned: success
  type: list
  elements: str
summary:
  description: The result in a few lines.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "month": {"type": "str"},
    "as_of": {"type": "str", "required": True},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.statement_documents runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
