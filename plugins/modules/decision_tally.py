#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: decision_tally
short_description: Tallies the co-operative's decisions from files, and writes their outcomes
version_added: 0.1.0
description:
  - Reads a folder of decisions and the membership file, counts what the member co-operatives said, and writes one C(outcome.yml) per
    decision. The format of the files is in docs/decisions.md.
  - Consensus comes first. After a block, and after due notice, there is a vote with one vote for each member co-operative. Quorum,
    thresholds, notice and signatures are as C(rules.yml) has them for the kind of decision on the day it was opened.
  - Positions that are late, unsigned where signatures are required, not of the current revision, or not of a member that may answer are
    shown with the reason and not counted.
  - An outcome depends on the files and on O(as_of), on nothing else. The same files give the same bytes on every machine.
  - An outcome that was reached is kept. When a file it rests on has changed since, the task fails and names the file.
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
  idempotent:
    support: full
requirements:
  - jsonschema on the controller
  - ssh-keygen of OpenSSH 9.0 or later on the controller, when positions are signed
options:
  membership:
    description: The membership file, or several, or folders of them, on the controller.
    type: list
    elements: path
    required: true
  directory:
    description:
      - Folder of the decisions.
      - Left out, it is the folder that C(cooperative.decisions) in the membership file names, relative to that file; C(decisions) beside it
        when it names none.
    type: path
  as_of:
    description:
      - The day of the tally, year-month-day. A round is closed from the day after its closing day on.
      - The module never looks at a clock.
    type: str
    required: true
  require:
    description:
      - Decisions that must exist and have passed, because something rests on them. When one has not, the task fails, says who names it, and
        nothing is written.
    type: list
    elements: dict
    default: []
    suboptions:
      decision:
        description: Number of the decision.
        type: str
        required: true
      used_by:
        description: What names it, for the message, such as V(rules/3.yml).
        type: str
        required: true
seealso:
  - module: ansible.builtin.assert
    description: For conditions on the returned outcomes.
"""

EXAMPLES = r"""
- name: Tally all decisions
  meet.coop.decision_tally:
    membership: [inventories/ourcoop/members.yml]
    as_of: "{{ now(utc=true, fmt='%Y-%m-%d') }}"
  register: tally

- name: Go on only if what the rates rest on was decided
  meet.coop.decision_tally:
    membership: [inventories/ourcoop/members.yml]
    as_of: "2026-03-01"
    require:
      - decision: D-0001
        used_by: rate of hours in the rules from 2026-03-01
"""

RETURN = r"""
as_of:
  description: The day of the tally.
  returned: success
  type: str
  sample: "2026-03-01"
directory:
  description: Folder of the decisions.
  returned: success
  type: str
files:
  description: Outcome files that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
decisions:
  description: Every decision as its C(outcome.yml) has it, by number, with some things more.
  returned: success
  type: list
  elements: dict
  contains:
    decision:
      description: Number of the decision.
      type: str
      sample: D-0001
    title:
      description: What it is about.
      type: str
    kind:
      description: Its kind, a name in C(rules.yml).
      type: str
    proposer:
      description: Id of the member that proposed it.
      type: str
    revision:
      description: Number of the current revision.
      type: int
    result:
      description: V(passed), V(rejected), V(blocked), V(open), V(no_quorum) or V(withdrawn).
      type: str
    state:
      description:
        - V(draft), V(consensus), V(blocked), V(voting), V(passed-by-consensus), V(passed-by-vote), V(failed), V(lapsed) or V(withdrawn).
      type: str
    decided:
      description: The day the result was reached, or null.
      type: str
    arithmetic:
      description: How the result comes about, in sentences.
      type: list
      elements: str
    rule:
      description: The rule that counts.
      type: dict
    interested:
      description: Members the decision is about. They are not counted.
      type: list
      elements: str
    consensus:
      description:
        - The first round, with C(opens), C(closes), C(ended), C(eligible), C(counted), C(not_counted) and C(waiting).
        - Null before it opens.
      type: dict
    vote:
      description: The vote, in the same form, or null.
      type: dict
    inputs:
      description: The sha256 of everything that was counted, by file.
      type: dict
    hash:
      description: One sha256 over RV(decisions[].inputs).
      type: str
    text:
      description: The proposal.
      type: str
    effect:
      description: What it changes, in words, or null.
      type: str
    amends:
      description: Earlier decisions it changes.
      type: list
      elements: str
    supersedes:
      description: Earlier decisions it takes the place of.
      type: list
      elements: str
    amended_by:
      description: Decisions that have passed and change it.
      type: list
      elements: str
    superseded_by:
      description: The decision that has passed and takes its place, or null.
      type: str
    review_by:
      description: The day to look at it again, or null.
      type: str
    outcome:
      description: Path of its C(outcome.yml).
      type: str
summary:
  description: One line for each decision, and one for each thing that is due.
  returned: success
  type: list
  elements: str
  sample:
    - "D-0001 A fair rate for hours: consensus"
    - "D-0001 awaits sunflower: answer, by 2026-01-31"
due:
  description: Who has to do what next.
  returned: success
  type: list
  elements: dict
  contains:
    decision:
      description: Number of the decision.
      type: str
    title:
      description: What it is about.
      type: str
    member:
      description: Id of the member that is awaited.
      type: str
    what:
      description: What it has to do.
      type: str
      sample: answer
    by:
      description: The last day for it, or null.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path"},
    "as_of": {"type": "str", "required": True},
    "require": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"decision": {"type": "str", "required": True}, "used_by": {"type": "str", "required": True}},
    },
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.decision_tally runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
