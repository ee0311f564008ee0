#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_upgrade_info
short_description: Tells whether an instance may go to another image of Greenlight, and what changes on the way
version_added: 0.1.0
description:
  - Compares the version that an instance runs with that of an image, by a table of releases, and looks for rows in its database
    that would break an upgrade. Changes nothing.
  - What stands in the way is returned as RV(refusals), not raised, so that many instances can be looked at.
  - A release older than the one that runs is refused, because migrations do not go back. So is one that this collection does not know,
    and a way with breaking changes that nobody has said to have looked at.
  - The version of an image is its C(VERSION_TAG) where the image is on the host, else its tag. A suffix such as C(-sunflower.2), as of a
    fork, is left out.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database
  - meet.coop.greenlight_database.server
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
options:
  name:
    description: Id of the instance.
    type: str
    required: true
  image:
    description: The image to go to. Use an exact tag.
    type: str
    required: true
  validated:
    description: The newest release whose changes have been looked at, such as V(v3.8.0). Breaking changes up to it are no refusal.
    type: str
    default: ''
  unknown:
    description: A version that is wanted although this collection does not know it, exactly as its tag has it.
    type: str
    default: ''
  back:
    description: Ask for the container before this one, which still runs after an upgrade. Fails when there is none any more.
    type: bool
    default: false
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.greenlight_container
  - module: meet.coop.greenlight_info
"""

EXAMPLES = r"""
---
- name: See what an upgrade means
  meet.coop.greenlight_upgrade_info:
    name: sunflower
    image: bigbluebutton/greenlight:v3.8.2.4
    login_db: greenlight_sunflower
    validated: v3.8.0
  register: upgrade

- name: Stop when something stands in the way
  ansible.builtin.assert:
    that: upgrade.refusals | length == 0
    fail_msg: "{{ upgrade.refusals }}"
"""

RETURN = r"""
needed:
  description: Whether the instance runs something else than O(image).
  returned: success
  type: bool
kind:
  description:
    - V(new) for an instance that has never served, V(same), V(forward) to a release known here, V(downgrade),
      or V(unknown) to or from something else.
  returned: success
  type: str
  sample: forward
engine:
  description: What runs the instance, V(docker) or V(swarm).
  returned: success
  type: str
  sample: docker
running:
  description:
    - C(image), C(version), C(port) and C(upstreams) of what runs, as M(meet.coop.greenlight_container) has them.
    - Null for an instance that has never served.
  returned: success
  type: dict
  sample: {image: 'bigbluebutton/greenlight:v3.7.1', version: v3.7.1, port: 5100, upstreams: ['127.0.0.1:5100']}
wanted:
  description: O(image) with its version.
  returned: success
  type: dict
  sample: {image: 'bigbluebutton/greenlight:v3.8.2.4', version: v3.8.2.4}
previous:
  description: The container before this one, while it still runs, with C(image), C(version), C(port) and C(until). Null when there is none.
  returned: success
  type: dict
notes:
  description: What changed in each release on the way, a line each, oldest first.
  returned: success
  type: list
  elements: str
  sample: ['v3.8.2.1 (2026-04-07): BYPASS_HOST turns the check of the host name off (#6254)']
breaking:
  description: Releases on the way with breaking changes.
  returned: success
  type: list
  elements: str
  sample: [v3.8.0]
refusals:
  description: What stands in the way, with what to do about it. Empty when nothing does, or when O(image) runs already.
  returned: success
  type: list
  elements: str
warnings_found:
  description: What is odd in the database and does not stand in the way.
  returned: success
  type: list
  elements: str
migrations:
  description: C(release), newest C(schema) and C(data) migration, and C(unknown) ones, as M(meet.coop.greenlight_info) has them.
  returned: success
  type: dict
  sample: {release: 3.7.0, schema: '20260109153256', data: '20250501185954', unknown: []}
duplicates:
  description: Rows that stand more than once where Greenlight expects one, as C(table), C(key) and C(rows).
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance, upgrade
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import SERVER_ARGUMENTS, login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "image": {"type": "str", "required": True},
    "login_db": {"type": "str", "required": True},
    "validated": {"type": "str", "default": ""},
    "unknown": {"type": "str", "default": ""},
    "back": {"type": "bool", "default": False},
    **SERVER_ARGUMENTS,
    "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """From options to result. Raises CoopError."""
    name = instance.check_name(params["name"])
    spec = instance.Spec(name=name, image=params["image"], redis_image=params["image"], hostname="", state_root=params["state_root"])
    told = upgrade.look(
        Engine(params["docker_host"]),
        spec,
        login(params["login_db"], params),
        validated=params["validated"],
        unknown=params["unknown"],
        back=params["back"],
    )
    return {"changed": False, **told}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        module.exit_json(**run(module.params))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
