#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: offboarding_record
short_description: Writes down how far an offboarding has come
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Keeps the steps of an instance's offboarding in one JSON file on its container host. A step that stands is never changed, so that
    the time of its first recording lasts.
  - Without O(step) it only reads. A damaged file is an error and is never overwritten.
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
  path:
    description: The file. Its directory is made, and closed to all but root, if it is not there.
    type: path
    required: true
  step:
    description: The step that has been done.
    type: str
  facts:
    description: What is to be remembered of it.
    type: dict
    default: {}
seealso:
  - module: meet.coop.greenlight_export
"""

EXAMPLES = r"""
---
- name: Write down that nobody can get in any more
  meet.coop.offboarding_record:
    path: /var/lib/meet-coop/offboarding/sunflower/record.json
    step: closed
    facts:
      export_sha256: "{{ export.export.sha256 }}"
  register: record
"""

RETURN = r"""
steps:
  description: All steps by name, in the order they were recorded. Each has C(at), the time (UTC), and its facts.
  returned: success
  type: dict
  sample: {closed: {at: '2026-12-31T02:00:00Z', export_sha256: '9f86d0…'}}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils import _offboarding
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Observe, compare, change. Raises CoopError."""
    before = _offboarding.read(params["path"])
    after = _offboarding.diff(before, params["step"], params["facts"]) if params["step"] else before
    if after != before and write:
        _offboarding.apply(params["path"], after)
    return {"changed": after != before, "steps": after, "diff": {"before": before, "after": after}}


def main() -> None:
    module = AnsibleModule(
        {
            "path": {"type": "path", "required": True},
            "step": {"type": "str"},
            "facts": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, not module.check_mode))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
