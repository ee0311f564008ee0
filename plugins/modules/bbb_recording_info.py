#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_recording_info
short_description: Says which recordings lie on a BigBlueButton server, and whether they should
version_added: 0.1.0
description:
  - Reads the metadata of all published and withdrawn recordings on the server's disk, and how old raw data is.
  - Names what is older than it should be, and whether the disk is filling up. Nothing is changed or deleted.
  - Names of people and of meetings are not in the result.
author: The meet.coop members (@meet-coop)
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
  root:
    description: Directory of the recordings.
    type: path
    default: /var/bigbluebutton
  published_days:
    description: Days that raw data of published recordings is to be kept; RV(raw_overdue) names what is left two days after that.
    type: int
  unrecorded_days:
    description: The same for meetings in which nobody pressed record.
    type: int
  delete_after_days:
    description: Days after which a published recording is to be deleted; RV(overdue) names what is older. V(0) for never.
    type: int
    default: 0
  minimum_free:
    description: Percent of the disk that has to be free.
    type: int
    default: 15
seealso:
  - module: meet.coop.bbb_recording_links
"""

EXAMPLES = r"""
---
- name: Look at the recordings of a server
  meet.coop.bbb_recording_info:
    published_days: 14
    unrecorded_days: 14
    delete_after_days: 365
  register: recordings
"""

RETURN = r"""
recordings:
  description: Every recording, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its ID.
      type: str
    meeting_id:
      description: The meeting's ID as its maker gave it.
      type: str
    tenant:
      description: The balancer's tenant whose meeting it was; empty where there was none.
      type: str
    started:
      description: When the meeting began, in milliseconds since 1970.
      type: int
    ended:
      description: When it ended, in milliseconds since 1970.
      type: int
    formats:
      description: For each format whether it is V(published) or V(unpublished).
      type: dict
    octets:
      description: What its formats take on the disk.
      type: int
    hosts:
      description: Host names that its playback links lead to.
      type: list
      elements: str
overdue:
  description: IDs of recordings that are to be deleted.
  returned: success
  type: list
  elements: str
raw_overdue:
  description: IDs whose raw data is older than it should be, so that the server's own retention does not work.
  returned: success
  type: list
  elements: str
disk:
  description: C(total) and C(free) octets, C(free_percent), and whether that is too little (C(low)).
  returned: success
  type: dict
  sample: {"total": 500000000000, "free": 400000000000, "free_percent": 80, "low": false}
problems:
  description: Metadata that could not be read, with what to do.
  returned: success
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import recordings
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": recordings.ROOT},
            "published_days": {"type": "int"},
            "unrecorded_days": {"type": "int"},
            "delete_after_days": {"type": "int", "default": 0},
            "minimum_free": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    given = module.params
    retention = recordings.Retention(given["published_days"], given["unrecorded_days"], given["delete_after_days"])
    try:
        found = recordings.scan(given["root"])
        usage = recordings.disk(given["root"], given["minimum_free"])
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        recordings=[recordings.as_dict(one) for one in found.recordings],
        disk=usage,
        problems=found.problems,
        **recordings.judge(found, retention, time.time()),
    )


if __name__ == "__main__":
    main()
