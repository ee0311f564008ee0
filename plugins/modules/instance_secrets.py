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
  - A secret that two sides hold is changed in two steps. O(stage) makes the new value beside the old one; when both sides have it,
    O(promote) puts it in the old one's place. A run that ends between leaves the new value staged, and the next run goes on with it.
  - A manifest without values, C(manifest.json) beside the file, says since when each secret is what it is, until when, and who could have
    read it since.
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
    details: Each run with O(rotate) generates new values; O(stage) and O(promote) change nothing a second time.
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
    description: Names from O(secrets) to generate anew at once.
    type: list
    elements: str
    default: []
  stage:
    description: Names from O(secrets) that get a new value beside the one they have, unless one is staged already.
    type: list
    elements: str
    default: []
  promote:
    description: Names from O(secrets) whose staged value takes the place of the old one. Where none is staged, nothing is done.
    type: list
    elements: str
    default: []
  remove:
    description: Names not in O(secrets) whose values, staged ones too, are to be forgotten for good.
    type: list
    elements: str
    default: []
  manifest:
    description: Keep the manifest, and say this in it.
    type: dict
    suboptions:
      instance:
        description: Name of the instance.
        type: str
        required: true
      readers:
        description:
          - Who can read the secrets from now on, people or co-operatives. Whoever could before stays in an entry until the secret is
            changed, and makes it due.
        type: list
        elements: str
        default: []
      rotate_days:
        description: Days after which a secret is to be changed.
        type: int
        default: 365
      given:
        description: Secrets that people gave and that are in no file of ours, such as V(smtp_password).
        type: list
        elements: str
        default: []
      changed:
        description: Those of O(manifest.given) that have just been changed.
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

- name: Begin to change one that two sides hold
  meet.coop.instance_secrets:
    path: /var/lib/meet-coop/instances/sunflower/secrets.json
    secrets:
      pool_secret: {length: 40, alphabet: alphanumeric}
    stage: [pool_secret]
    manifest:
      instance: sunflower
      readers: [agaric]
  no_log: true
"""

RETURN = r"""
secrets:
  description: Every secret in the file, by name, without what is staged.
  returned: success
  type: dict
  sample: {"database_password": "…"}
created:
  description: Names of the secrets that were generated because they were missing.
  returned: success
  type: list
  elements: str
next:
  description: The staged values, by the name of their secret.
  returned: success
  type: dict
  sample: {"pool_secret": "…"}
staged:
  description: Names of the secrets whose new value was made.
  returned: success
  type: list
  elements: str
promoted:
  description: Names of the secrets whose staged value took the place of the old one.
  returned: success
  type: list
  elements: str
removed:
  description: Names of the secrets that were forgotten.
  returned: success
  type: list
  elements: str
manifest:
  description: The manifest's entries. They hold no secret.
  returned: with O(manifest)
  type: list
  elements: dict
  sample: [{"name": "pool_secret", "instance": "sunflower", "made": "2026-11-25", "rotate_by": "2027-11-25", "readers": ["agaric"]}]
due:
  description: Which secrets are to be changed, and why.
  returned: with O(manifest)
  type: list
  elements: dict
  sample: [{"name": "pool_secret", "why": "it was to be changed by 2026-11-01"}]
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
    wanted, account = _secrets.rules(module.params["secrets"]), _secrets.account(module.params["manifest"])
    options = (wanted, module.params["rotate"], module.params["stage"], module.params["promote"], module.params["remove"])
    observed = _secrets.observe(path)
    plan = _secrets.diff(observed, *options)
    values = _secrets.generate(plan, observed, wanted)
    entries_before, entries = _secrets.entries(path, plan, values, account)
    rewrite = account is not None and _secrets.differ(entries_before, entries)
    if (plan.changed or rewrite) and not module.check_mode:
        with _secrets.locked(path):
            again = _secrets.observe(path)
            todo = _secrets.diff(again, *options)
            values = _secrets.generate(todo, again, wanted)
            entries_before, entries = _secrets.entries(path, todo, values, account)
            _secrets.apply(path, todo, values)
            # Afterwards: a run that is killed between the two leaves a secret that is younger than it is said to be, not an older one.
            if account is not None:
                _secrets.write_manifest(path, entries)
    staged = {name.removesuffix(_secrets.NEXT): value for name, value in values.items() if name.endswith(_secrets.NEXT)}
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
    if plan.promote:
        after["promoted"] = list(plan.promote)
    if plan.remove:
        after["removed"] = list(plan.remove)
    if rewrite:
        before["manifest"], after["manifest"] = list(entries_before.values()), entries
    result: dict[str, Any] = {}
    if account is not None:
        result = {"manifest": entries, "due": _secrets.due(entries, account, _secrets.today(), staged)}
    return {
        "changed": plan.changed or rewrite,
        "secrets": {name: value for name, value in values.items() if not name.endswith(_secrets.NEXT)},
        "next": staged,
        "staged": list(plan.stage),
        "promoted": list(plan.promote),
        "removed": list(plan.remove),
        **result,
        "created": list(plan.create),
        "rotated": list(plan.rotate),
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=_secrets.ARGUMENTS,
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
