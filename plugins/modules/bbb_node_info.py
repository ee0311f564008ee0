#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_node_info
short_description: Tells whether a BigBlueButton server works, by its units and its API
version_added: 0.1.0
description:
  - Runs on the server. C(bbb-conf) ends well also when units have failed and when its check finds problems, so this module asks systemd
    and the API instead.
  - The API is asked as its users do, signed with SHA-1 and with SHA-256, and for its live meetings.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Changes nothing.
  diff_mode:
    support: none
    details: Changes nothing.
  idempotent:
    support: full
    details: Changes nothing.
options:
  api:
    description: Base of the API, ending in C(/bigbluebutton/api/). The API is not asked when left out.
    type: str
  secret:
    description: The server's API secret.
    type: str
  algorithms:
    description: Checksum algorithms that the API has to accept.
    type: list
    elements: str
    choices: [sha1, sha256, sha384, sha512]
    default: [sha1, sha256]
  check:
    description:
      - Whether C(bbb-conf --check) is run and what it complains about is returned.
      - It may take minutes while the API does not answer.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for an answer of the API.
    type: int
    default: 10
  ca_file:
    description: PEM bundle of authorities to trust beside the system's.
    type: path
seealso:
  - module: meet.coop.bbb_config
  - module: meet.coop.bbb_meeting_info
"""

EXAMPLES = r"""
- name: See whether the server works
  meet.coop.bbb_node_info:
    api: https://bbb1.example.org/bigbluebutton/api/
    secret: "{{ vault_bbb1_secret }}"
  register: node
  failed_when: not node.works
"""

RETURN = r"""
installed:
  description: Whether BigBlueButton is installed here.
  returned: success
  type: bool
release:
  description: Its release; null when it is not installed.
  returned: success
  type: str
  sample: 3.0.34
works:
  description: Whether all its units are active and the API answers, where it was asked.
  returned: success
  type: bool
faults:
  description: Why it does not work, a line each.
  returned: success
  type: list
  elements: str
units:
  description: State of each of its units that are there, such as C(active) or C(failed).
  returned: success
  type: dict
meetings:
  description: How many meetings are live; null when that is not known.
  returned: success
  type: int
problems:
  description: What C(bbb-conf --check) complains about. Advice, no verdict.
  returned: with O(check=true)
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import host
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import Client
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import live
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "api": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "algorithms": {"type": "list", "elements": "str", "choices": ["sha1", "sha256", "sha384", "sha512"], "default": ["sha1", "sha256"]},
    "check": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 10},
    "ca_file": {"type": "path"},
}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """One look at the server. Raises CoopError."""
    release = host.release()
    if release is None:
        faults = [f"BigBlueButton is not installed ({host.RELEASE_FILE} is missing)"]
        return {"installed": False, "release": None, "works": False, "faults": faults, "units": {}, "meetings": None}
    units = host.units()
    faults = [f"{unit.name} is {unit.active}" for unit in units.values() if not unit.works]
    meetings = None
    if params["api"]:
        for algorithm in params["algorithms"]:
            client = Client(params["api"], params["secret"], algorithm=algorithm, timeout=params["timeout"], ca_file=params["ca_file"])
            seen = live(client)
            if seen.fault is not None:
                faults.append(f"{seen.fault} (signed with {algorithm})")
            else:
                meetings = seen.total.meetings
    result = {
        "installed": True,
        "release": release,
        "works": not faults,
        "faults": faults,
        "units": {unit.name: unit.active for unit in units.values()},
        "meetings": meetings,
    }
    return {**result, "problems": host.problems()} if params["check"] else result


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, required_by={"api": "secret"})
    try:
        result = run(module.params)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
