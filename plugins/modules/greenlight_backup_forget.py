#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_backup_forget
short_description: Removes all backups of an instance that is gone
version_added: 0.1.0
description:
  - Removes the snapshots of one instance from the repository and from its copies, and frees the space they took.
  - A retention says how many snapshots stay, not for how long. Without this, the last ones of an instance that gets no new ones would
    stay for ever.
  - A repository that cannot be reached holds up none of the others; the task fails at its end and names it.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.restic_repository
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the snapshots.
  idempotent:
    support: full
options:
  name:
    description: Id of the instance.
    type: str
    required: true
  before:
    description:
      - Only snapshots older than this time (UTC), such as V(2026-12-31T02:00:00Z). An instance made later under the same id keeps its own.
    type: str
  copies:
    description: Further repositories, with options as this module has them for the first one.
    type: list
    elements: dict
    default: []
    suboptions:
      repository:
        description: Address of the repository.
        type: str
        required: true
      password_file:
        description: File on the host with its key.
        type: path
      password:
        description: Its key.
        type: str
      environment:
        description: Credentials of its target.
        type: dict
        default: {}
      ssh_key:
        description: File on the host with the private key for an sftp target.
        type: path
      known_hosts:
        description: File on the host with the public key of an sftp target's host.
        type: path
      cache:
        description: Directory of restic's cache.
        type: path
        default: /var/cache/meet-coop/restic
      lock_wait:
        description: Seconds to wait for another run that works on it.
        type: int
        default: 120
notes:
  - A target that only lets things be added has to be asked by who may remove.
seealso:
  - module: meet.coop.greenlight_backup
"""

EXAMPLES = r"""
---
- name: Remove the backups of an instance that was erased
  meet.coop.greenlight_backup_forget:
    name: sunflower
    before: "2026-12-31T02:00:00Z"
"""

RETURN = r"""
repositories:
  description: What was removed from each repository, the first one first.
  returned: always
  type: list
  elements: dict
  contains:
    repository:
      description: Address of the repository.
      type: str
    snapshots:
      description: Ids of the snapshots that were removed.
      type: list
      elements: str
    error:
      description: Why they could not be removed, or null.
      type: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._backup import config, farewell, restic
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

ARGUMENT_SPEC: dict[str, Any] = {
    **restic.ARGUMENTS,
    **config.ARGUMENTS,
    "name": {"type": "str", "required": True},
    "before": {"type": "str"},
    "copies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**restic.ARGUMENTS, "repository": {"type": "str", "required": True}},
    },
}


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Observe, compare, remove. Raises CoopError."""
    name = check_name(params["name"])
    before = farewell.moment(params["before"]) if params["before"] else None
    params = config.completed(params, (*config.REPOSITORY_KEYS, "copies"))
    repositories = [restic.repository_of(one) for one in (params, *params["copies"])]
    told = farewell.forget(repositories, name, before, write)
    lines = "".join(f"{one.repository}: {snapshot}\n" for one in told for snapshot in one.snapshots)
    return {
        "changed": any(one.snapshots for one in told),
        "repositories": [asdict(one) for one in told],
        "diff": {"before": lines, "after": ""},
    }


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, not module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    failed = [one["error"] for one in result["repositories"] if one["error"]]
    if failed:
        module.fail_json(msg="; ".join(failed), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
