#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_secrets
short_description: Generates and keeps the secrets of an instance on its container host
version_added: 0.1.0
description:
  - Keeps generated secrets in one JSON file that only root can read, and returns them. What is there stays; what is missing is generated.
  - The file is replaced in one step, so that a run killed at any moment leaves the old file or the new one.
  - A damaged file is an error and is never overwritten.
  - The result holds the secrets; set C(no_log) on the task. The diff names secrets and never shows one.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Secrets that do not exist yet are returned with throw-away values.
  diff_mode:
    support: full
    details: Names only.
  idempotent:
    support: partial
    details: Each run with O(rotate) generates new values.
options:
  path:
    description: The file. Its directory is made, and closed to all but root.
    type: path
    required: true
  secrets:
    description:
      - The secrets to keep, by name. Each value says how a missing one is generated.
      - V(length) is the number of characters, 40 by default; V(alphabet) is V(hex) or V(alphanumeric), the default.
      - A secret that is there already is kept whatever its length.
    type: dict
    required: true
  rotate:
    description: Names from O(secrets) to generate anew.
    type: list
    elements: str
    default: []
seealso:
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Keep an instance's secrets
  meet.coop.instance_secrets:
    path: /var/lib/meet-coop/instances/sunflower/secrets.json
    secrets:
      secret_key_base: {length: 128, alphabet: hex}
      database_password: {length: 40, alphabet: alphanumeric}
  register: kept
  no_log: true

- name: Change one of them
  meet.coop.instance_secrets:
    path: /var/lib/meet-coop/instances/sunflower/secrets.json
    secrets:
      database_password: {length: 40, alphabet: alphanumeric}
    rotate: [database_password]
  no_log: true
"""

RETURN = r"""
secrets:
  description: Every secret in the file, by name.
  returned: success
  type: dict
  sample: {"database_password": "…"}
created:
  description: Names of the secrets that were generated because they were missing.
  returned: success
  type: list
  elements: str
rotated:
  description: Names of the secrets that were generated anew.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils import _secrets
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def run(module: AnsibleModule) -> dict[str, Any]:
    """Observe, compare, change."""
    path = module.params["path"]
    wanted: dict[str, dict[str, Any]] = {}
    for name, rule in module.params["secrets"].items():
        if rule is not None and not isinstance(rule, dict):
            raise CoopError(f"secrets.{name} must be a dictionary with length and alphabet, not a value")
        unknown = set(rule or {}) - {"length", "alphabet"}
        if unknown:
            raise CoopError(f"secrets.{name} knows length and alphabet, not {', '.join(sorted(unknown))}")
        wanted[name] = rule or {}
    observed = _secrets.observe(path)
    plan = _secrets.diff(observed, wanted, module.params["rotate"])
    values = _secrets.generate(plan, observed, wanted)
    if plan.changed and not module.check_mode:
        with _secrets.locked(path):
            again = _secrets.observe(path)
            todo = _secrets.diff(again, wanted, module.params["rotate"])
            values = _secrets.generate(todo, again, wanted)
            _secrets.apply(path, todo, values)
    before: dict[str, Any] = {"secrets": sorted(observed.values)}
    after: dict[str, Any] = {"secrets": sorted(values)}
    if plan.rotate:
        after["rotated"] = list(plan.rotate)
    if plan.fix_file:
        before["mode"], after["mode"] = f"{observed.mode} {observed.owner}", "0600 0:0"
    if plan.fix_directory:
        before["directory_mode"], after["directory_mode"] = observed.directory_mode, "0700"
    if plan.leftovers:
        before["leftovers"], after["leftovers"] = list(plan.leftovers), []
    return {
        "changed": plan.changed,
        "secrets": values,
        "created": list(plan.create),
        "rotated": list(plan.rotate),
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            # Rules for generating, not secrets: no_log is for the task, which returns them.
            "secrets": {"type": "dict", "required": True, "no_log": False},
            "rotate": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
