#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: Lets one run at a time work on an instance
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Keeps a lease for each instance in a file on its container host, so that runs of different controllers see it too. The lease is
    lengthened each time its own run takes it again.
  - While another run has it, this module waits, and then fails with one line that says who has it and since when.
  - A lease whose run is dead is taken over at once when that run was a process of the same machine and the same container; otherwise when
    it is over, or with O(take_over=true).
  - A lease is no part of a host's state, so nothing is ever reported as changed. In check mode nothing is written or waited for, and a
    lease of another run is a warning.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  name:
    description: The instance.
    type: str
    required: true
  state:
    description: V(present) takes the lease or lengthens it, V(absent) gives it back if it is this run's.
    type: str
    choices: [present, absent]
    default: present
  lease:
    description: Seconds after which the lease is over by itself. Longer than the work takes.
    type: int
    default: 7200
  wait:
    description: Seconds to wait for another run.
    type: int
    default: 300
  take_over:
    description: Take the lease whoever has it. Say so only when you know the other run to be dead.
    type: bool
    default: false
  directory:
    description: Where the files lie on the host.
    type: path
    default: /var/lib/meet-coop/locks
  run:
    description: This run. The action plugin gives it.
    type: str
  by:
    description: This run, for people. The action plugin gives it.
    type: str
  over:
    description: The run whose lease counts no more. The action plugin gives it.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Keep other runs away, and wait for none
  meet.coop.run_lock:
    name: sunflower
    wait: 0

- name: Work on one instance alone
  block:
    - name: Keep other runs away
      meet.coop.run_lock:
        name: sunflower

    - name: Upgrade it
      ansible.builtin.include_role:
        name: meet.coop.upgrade

    - name: Let others at it again
      meet.coop.run_lock:
        name: sunflower
        state: absent
  rescue:
    # Not in an always: after one, Ansible forgets max_fail_percentage.
    - name: Let others at it again after a failure
      meet.coop.run_lock:
        name: sunflower
        state: absent

    - name: Fail as it did
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
mine:
  description: Whether this run has the lease now; in check mode, whether it would get it.
  returned: success
  type: bool
  sample: true
by:
  description: Who has the lease; empty when nobody has.
  returned: success
  type: str
  sample: meet.coop.upgrade (AWX job 81)
since:
  description: Since when, in seconds since 1970, by the host's clock; C(0) when nobody has it.
  returned: success
  type: int
  sample: 1798252800
until:
  description: Until when at the latest.
  returned: success
  type: int
  sample: 1798260000
run:
  description: The run that has the lease, as a name that no other run has; empty when nobody has.
  returned: success
  type: str
  sample: 5f0c… pid:[4026531836] 4711 86400
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils import _run_lock
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "lease": {"type": "int", "default": 7200},
    "wait": {"type": "int", "default": 300},
    "take_over": {"type": "bool", "default": False},
    "directory": {"type": "path", "default": _run_lock.DIRECTORY},
    "run": {"type": "str"},
    "by": {"type": "str"},
    "over": {"type": "str", "default": ""},
}


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """One look, and one change when the lease is free. Raises CoopError."""
    if not params["run"]:
        raise CoopError("run_lock is called through its action plugin, which says which run this is")
    directory, name = params["directory"], params["name"]
    if params["state"] == "absent":
        mine = False
        if write:
            _run_lock.release(directory, name, params["run"])
        lock = _run_lock.read(directory, name)
        if lock and lock.run == params["run"]:
            lock = None
    elif write:
        lock = _run_lock.take(directory, name, params["run"], params["by"] or "", params["lease"], params["over"])
        mine = lock.run == params["run"]
    else:
        lock = _run_lock.read(directory, name)
        mine = lock is None or not lock.binds(params["run"], time.time()) or lock.run == params["over"]
    told = (
        {"by": lock.by, "since": lock.since, "until": lock.until, "run": lock.run}
        if lock
        else {"by": "", "since": 0, "until": 0, "run": ""}
    )
    return {"changed": False, "mine": mine, **told}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        module.exit_json(**run(module.params, not module.check_mode))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
