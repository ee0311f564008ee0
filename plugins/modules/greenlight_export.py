#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_export
short_description: Takes a Greenlight out whole, encrypted to its owner's keys and proven readable
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Writes one file that holds everything an instance has, in open formats. Accounts as CSV, rooms, settings, roles and recordings as JSON,
    uploaded files, a dump that another Greenlight can be made of, a page that explains all this, and a manifest with the SHA-256 of each.
  - Documents, row counts and dump are of one snapshot of the database. The running site is not disturbed.
  - The file is encrypted with C(age) to the owner's keys. Before it counts, it is decrypted with a key that exists in this run's memory
    only, and every file in it is compared with the manifest. What was proven is kept beside it in C(proof.json).
  - An export that was changed after it was proven is an error, never a reason to make another one silently.
  - Password digests are in the dump only. Recordings' films are on the BigBlueButton servers; the export lists their addresses.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database
  - meet.coop.greenlight_database.server
attributes:
  check_mode:
    support: full
    details: The name, size and digest of an export yet to be made cannot be foretold; RV(export) is then null.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Another export is made only when a row, an upload or a recipient has changed.
requirements:
  - C(age) and C(age-keygen) 1.1 or newer (Debian package age), unless O(state=proven)
  - C(pg_dump) and C(pg_restore) of the server's version or newer (Debian package postgresql-client), unless O(state=proven)
options:
  name:
    description: Id of the instance.
    type: str
    required: true
  directory:
    description: Directory on the host for the export and its proof. Made, and closed to all but root, if it is not there.
    type: path
    required: true
  recipients:
    description:
      - Public keys that can open the export, made by C(age-keygen) or C(ssh-keygen -t ed25519). Required for O(state=present).
    type: list
    elements: str
    default: []
  hostnames:
    description: Names under which the instance was known, for the page that explains the export.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(present) makes an export of what the instance holds now, unless there is one already.
      - V(proven) makes nothing and asks neither database nor Docker. It fails unless there is an export that is octet for octet the one
        that was proven readable.
    type: str
    choices: [present, proven]
    default: present
  state_root:
    description: Directory below which every instance has one for its state; it says where uploads in a Swarm lie.
    type: path
    default: /var/lib/meet-coop/instances
  docker_host:
    description: Where Docker listens; it knows where the uploads lie.
    type: str
    default: unix:///var/run/docker.sock
notes:
  - Uploads that Greenlight keeps in S3 or GCS are listed as missing.
seealso:
  - module: meet.coop.greenlight_import
  - name: age
    description: The file format and the tool.
    link: https://age-encryption.org/v1
"""

EXAMPLES = r"""
---
- name: Take an instance out whole
  meet.coop.greenlight_export:
    name: sunflower
    login_db: greenlight_sunflower
    login_unix_socket: /var/run/postgresql
    directory: /var/lib/meet-coop/offboarding/sunflower
    recipients:
      - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  register: export

- name: Make sure of the export before anything is erased
  meet.coop.greenlight_export:
    name: sunflower
    login_db: greenlight_sunflower
    directory: /var/lib/meet-coop/offboarding/sunflower
    state: proven
"""

RETURN = r"""
export:
  description: The export that stands in O(directory), or null where check mode foretells one.
  returned: success
  type: dict
  contains:
    path:
      description: The encrypted file.
      type: str
      sample: /var/lib/meet-coop/offboarding/sunflower/sunflower-20261125T194500Z.tar.age
    file:
      description: Its name.
      type: str
    size:
      description: Its size in octets.
      type: int
    sha256:
      description: Its SHA-256 when it was proven readable.
      type: str
    made_at:
      description: When it was made (UTC).
      type: str
      sample: '2026-11-25T19:45:00Z'
    recipients:
      description: Public keys that can open it.
      type: list
      elements: str
    release:
      description: The oldest Greenlight that has these tables.
      type: str
      sample: 3.8.1
    tables:
      description: Number of rows of each table.
      type: dict
      sample: {users: 14, rooms: 20}
    files:
      description: Number of files in it.
      type: int
    missing:
      description: Uploads that Greenlight knows of and that could not be taken along, each with C(path), C(key) and C(why).
      type: list
      elements: dict
why:
  description: Why an export was or would be made, in words.
  returned: success
  type: list
  elements: str
  sample: [what the instance holds has changed]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, export, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "login_db": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "hostnames": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["present", "proven"], "default": "present"},
    "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    **database.SERVER_ARGUMENTS,
}


def told(proof: export.Proof | None, directory: str) -> dict[str, Any] | None:
    """A proof as the module returns it."""
    if proof is None:
        return None
    names = ("file", "size", "sha256", "made_at", "recipients", "release", "tables", "files", "missing")
    return {"path": os.path.join(directory, proof.file), **{name: getattr(proof, name) for name in names}}


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Observe, compare, make. Raises CoopError."""
    name, directory = check_name(params["name"]), params["directory"]
    if params["state"] == "proven":
        found = export.read_proof(directory)
        if found is None:
            raise CoopError(f"there is no export of {name} in {directory} that was proven readable; make one with state: present")
        export.check(directory, found)
        return {"changed": False, "export": told(found, directory), "why": []}
    source = export.Source(
        instance=name,
        login=database.login(params["login_db"], params),
        uploads=uploads.directory(Engine(params["docker_host"]), name, params["state_root"]),
        hostnames=tuple(params["hostnames"]),
    )
    proof, why = export.current(source, params["recipients"], directory)
    before = {"export": proof.file, "recipients": proof.recipients} if proof else {}
    after = before
    if why:
        after = {"export": "(new)", "recipients": sorted(params["recipients"])}
        proof = export.make(source, params["recipients"], directory) if write else None
    return {"changed": bool(why), "export": told(proof, directory), "why": why, "diff": {"before": before, "after": after}}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True, required_if=[("state", "present", ["recipients"])])
    if PSYCOPG_IMPORT_ERROR and module.params["state"] == "present":
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        result = run(module.params, not module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    for entry in (result["export"] or {}).get("missing", []):
        module.warn(f"{module.params['name']}: upload {entry['path']} is not in the export: {entry['why']}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
