#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: move_record
short_description: Tells which instances belong to a container host, and writes down how far a move has come
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - An instance that moves is on two container hosts for a while. A record on each of them says which of the two counts, so that it is
    never served by both, whatever is interrupted when.
  - Without O(state) it only reads, all instances of the host in one call.
  - A step that cannot follow the one before is refused. A damaged record is an error and is never overwritten.
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
options:
  name:
    description: Id of the instance. Required with O(state).
    type: str
  state:
    description:
      - V(leaving), it is closed here to be taken to O(peer); until it has arrived there, what is here counts.
      - V(left), it serves at O(peer), and what lies here is never started again.
      - V(arriving), its data is being laid out here, from O(peer), and must not be served yet.
      - V(arrived), it came from O(peer), or was to leave for it and was opened here again without its answer, and what is here counts.
      - V(absent) forgets the move.
    type: str
    choices: [leaving, left, arriving, arrived, absent]
  peer:
    description: Name of the container host at the other end. Required unless O(state=absent).
    type: str
    default: ""
  facts:
    description: What is to be remembered of it.
    type: dict
    default: {}
  directory:
    description: Directory of the records.
    type: path
    default: /var/lib/meet-coop/moves
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
seealso:
  - module: meet.coop.greenlight_backup
  - module: meet.coop.greenlight_restore
"""

EXAMPLES = r"""
---
- name: Look which instances belong to this host
  meet.coop.move_record:
  register: place

- name: Write down that it is closed here, to be taken to host2
  meet.coop.move_record:
    name: sunflower
    state: leaving
    peer: host2
"""

RETURN = r"""
kept:
  description: Ids of the instances that belong to this host, those that are leaving included.
  returned: success
  type: list
  elements: str
  sample: [cafe, sunflower]
moves:
  description:
    - The records of this host by instance, with C(state), C(peer), C(since) (seconds since 1970), C(closed), C(seconds) and C(facts).
  returned: success
  type: dict
  sample: {sunflower: {state: arrived, peer: host1, since: 1795000000.0, closed: null, seconds: null, facts: {snapshot: 1c9807b9}}}
seconds:
  description: How long O(name) was closed, once it has left or was opened here again. Null otherwise.
  returned: success
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils import _moves
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Observe, compare, change. Raises CoopError."""
    directory, name = params["directory"], params["name"]
    records = _moves.observe(directory)
    before = after = _moves.Record()
    if params["state"]:
        before = records.get(check_name(name), _moves.Record())
        after = _moves.diff(name, before, params["state"], params["peer"], params["facts"])
    changed = after != before and not (after.state == before.state == _moves.ABSENT)
    if changed and write:
        _moves.apply(directory, name, after)
        records = _moves.observe(directory)
    elif changed:
        records = {**records, name: after}
    return {
        "changed": changed,
        "kept": _moves.kept(params["state_root"], directory),
        "moves": {key: record.shown for key, record in records.items() if record.state != _moves.ABSENT},
        "seconds": after.seconds,
        "diff": {"before": before.shown if changed else {}, "after": after.shown if changed else {}},
    }


def main() -> None:
    module = AnsibleModule(
        {
            "name": {"type": "str"},
            "state": {"type": "str", "choices": [*_moves.STATES, _moves.ABSENT]},
            "peer": {"type": "str", "default": ""},
            "facts": {"type": "dict", "default": {}},
            "directory": {"type": "path", "default": _moves.DIRECTORY},
            "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
        },
        required_by={"state": ["name"]},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, not module.check_mode))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
