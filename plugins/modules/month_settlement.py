#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: month_settlement
short_description: Settles a month of the co-operative's money from files, closes it, and verifies closed ones
version_added: 0.1.0
description:
  - Reads the bills, use, hours, payments, sales and corrections of a month, the rules of money, the membership file, and what the month
    before handed on. Computes what each member contributes and what each producer is paid, and writes statements, journals for hledger and
    beancount, the lines as CSV, and the payments as CSV and for the bank. The format of the files is in docs/money.md.
  - Everything is exact. Contributions sum to what the month costs to the smallest coin, and the same files give the same bytes on every
    machine.
  - The rules have to name a decision that passed before they begin. Without one, the task fails.
  - Months follow each other. The first one that is not closed is the open one, and only that can be settled or closed.
  - A closed month is never changed. When a file it rests on has changed since, the task fails and names the file. A bill that comes late
    counts in the open month, anything else that is wrong is corrected by an entry there.
  - Everything wrong in any file is said with file and line in one failure, and then nothing is written.
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
    details: Says what changes in money for each member, not line by line of each file.
  idempotent:
    support: full
requirements:
  - jsonschema on the controller
  - ssh-keygen of OpenSSH 9.0 or later on the controller, when positions of decisions are signed
options:
  membership:
    description: The membership file, or several, or folders of them, on the controller.
    type: list
    elements: path
    required: true
  directory:
    description: Folder of the money files. Left out, it is C(money) beside the membership file.
    type: path
  decisions:
    description: Folder of the decisions. Left out, it is the folder that C(cooperative.decisions) in the membership file names.
    type: path
  month:
    description: The month, as year and month. Left out, it is the open one, and with O(state=verified) every closed one.
    type: str
  state:
    description:
      - V(settled) computes the open month and writes it into C(draft/), as often as wanted.
      - V(closed) seals the open month in C(closed/), once it is over. A month that is closed is computed again, and the task fails when
        anything differs.
      - V(verified) computes closed months again and writes nothing. Where they differ is in RV(differences).
    type: str
    choices: [settled, closed, verified]
    default: settled
  as_of:
    description:
      - The day on which this is done, year-month-day. A month can be closed from the day after its last on.
      - The module never looks at a clock. No output depends on this day.
    type: str
    required: true
  what_if:
    description:
      - Files of other rules, in the format of those in C(rules/). The month is computed under each of them too, side by side.
      - Only with O(state=settled).
    type: list
    elements: path
    default: []
seealso:
  - module: meet.coop.decision_tally
    description: For the decisions behind the rules.
"""

EXAMPLES = r"""
- name: Look at the open month
  meet.coop.month_settlement:
    membership: [inventories/ourcoop/members.yml]
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
  register: month

- name: Close March
  meet.coop.month_settlement:
    membership: [inventories/ourcoop/members.yml]
    month: 2026-03
    state: closed
    as_of: "2026-04-08"

- name: Compute every closed month again
  meet.coop.month_settlement:
    membership: [inventories/ourcoop/members.yml]
    state: verified
    as_of: "2026-04-08"
  register: verified
  failed_when: not verified.identical
"""

RETURN = r"""
month:
  description: The month, or null when all closed ones were verified.
  returned: success
  type: str
  sample: 2026-03
months:
  description: The months that were computed.
  returned: success
  type: list
  elements: str
state:
  description: What was asked for.
  returned: success
  type: str
directory:
  description: Folder of the money files.
  returned: success
  type: str
files:
  description: Files and folders in RV(directory) that were written or removed, or would be in check mode.
  returned: when settled or closed
  type: list
  elements: str
currency:
  description: Currency of all amounts.
  returned: when settled or closed
  type: str
  sample: EUR
pool:
  description: What the month costs, as decimal numbers in text. The contributions sum to C(total).
  returned: when settled or closed
  type: dict
  sample:
    bills: "504.40"
    labour: "485.00"
    reserve: "49.47"
    corrections: "0.00"
    sales: "0.00"
    floors: "0.00"
    total: "1038.87"
cash:
  description: What came in and was free to cover bills, reserve and pay.
  returned: when settled or closed
  type: str
  sample: "828.00"
reserve:
  description: What the reserve holds.
  returned: when settled or closed
  type: str
deferred:
  description: Pay that nothing has come in for yet.
  returned: when settled or closed
  type: str
bank:
  description: What the bank holds by these books.
  returned: when settled or closed
  type: str
members:
  description: The figures of each member, as decimal numbers in text.
  returned: when settled or closed
  type: list
  elements: dict
  contains:
    member:
      description: Id of the member.
      type: str
    due:
      description: Its contribution.
      type: str
    received:
      description: What it paid in the month.
      type: str
    contra:
      description: What of its pay is set against what it owes.
      type: str
    earned:
      description: What it earned as a producer.
      type: str
    covered:
      description: What of its pay, old and new, money came in for.
      type: str
    deferred:
      description: What of its pay is still deferred.
      type: str
    payable:
      description: What is to be sent to it.
      type: str
    balance:
      description: What it owes at the end of the month. Negative, it has paid ahead.
      type: str
    statement:
      description: Its statement, in RV(directory).
      type: str
unmatched:
  description: The bank's numbers of payments that name nobody.
  returned: when settled or closed
  type: list
  elements: str
what_if:
  description: Contributions under other rules, by file.
  returned: when settled or closed
  type: list
  elements: dict
  contains:
    rules:
      description: Name of the file without its ending.
      type: str
    contributions:
      description: Contribution of each member.
      type: dict
seal:
  description: The sha256 of a closed month's C(outputs.sha256), which covers all of it and the months before.
  returned: when settled or closed
  type: str
identical:
  description: Whether the closed months come out as they stand there.
  returned: success
  type: bool
differences:
  description: Where they do not.
  returned: success
  type: list
  elements: str
pages:
  description:
    - Pages of closed months that are as they were sealed, and that this release would draw otherwise. No figure is other than it was.
  returned: success
  type: list
  elements: str
summary:
  description: The result in a few lines.
  returned: success
  type: list
  elements: str
  sample:
    - "2026-03: 1038.87 EUR to raise, 828.00 EUR came in and was free"
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "decisions": {"type": "path"},
    "month": {"type": "str"},
    "state": {"type": "str", "choices": ["settled", "closed", "verified"], "default": "settled"},
    "as_of": {"type": "str", "required": True},
    "what_if": {"type": "list", "elements": "path", "default": []},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.month_settlement runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
