#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_recording_links
short_description: Lets the links of recordings lead to the server they are on
version_added: 0.1.0
description:
  - Changes the host name of playback links in the metadata of all recordings on a BigBlueButton server, after they were moved there or the
    server has got another name.
  - C(bbb-conf --setip) does that too, and ends every live meeting by restarting BigBlueButton; this module restarts nothing.
  - Each file is replaced in one step; owner, mode and everything else in it stay.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Names of files only.
  idempotent:
    support: full
options:
  domain:
    description: The server's name, to which the links are to lead.
    type: str
    required: true
  former:
    description: Only links to these names are changed; all when empty.
    type: list
    elements: str
    default: []
  root:
    description: Directory of the recordings.
    type: path
    default: /var/bigbluebutton
seealso:
  - module: meet.coop.bbb_recording_info
"""

EXAMPLES = r"""
---
- name: Let links to the old server lead to this one
  meet.coop.bbb_recording_links:
    domain: bbb2.example.org
    former: [bbb1.example.org]
"""

RETURN = r"""
files:
  description: Metadata files that were changed.
  returned: success
  type: list
  elements: str
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import recordings
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "domain": {"type": "str", "required": True},
            "former": {"type": "list", "elements": "str", "default": []},
            "root": {"type": "path", "default": recordings.ROOT},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not re.match(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?\Z", given["domain"]):
        module.fail_json(msg=f"domain is {given['domain']}: write the server's host name alone, in lower case, without scheme or path")
    try:
        changed = recordings.links(given["root"], given["domain"], given["former"], module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    after = dict.fromkeys(changed, f"leads to {given['domain']}")
    module.exit_json(changed=bool(changed), files=changed, diff={"before": {}, "after": after})


if __name__ == "__main__":
    main()
