#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_import
short_description: Brings a decrypted export into an empty Greenlight instance
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Restores what M(meet.coop.greenlight_export) took out. The database with its accounts, rooms, settings and passwords, and the uploads.
  - Every file of the archive is compared with its manifest first, and the rows of every table with it at the end.
  - The archive may come from anybody. The dump is restored as the instance's own role, in one transaction, and nothing is written outside
    the instance's storage and state directory.
  - A database that holds anything else is refused. A run that was killed at any moment is finished by the next one.
  - Run the container afterwards, with a secret key base of its own; passwords do not depend on it.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Where the database or its server is not there yet, the import is foretold.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - psycopg >= 3.1 (Debian package python3-psycopg)
  - docker >= 5.0.0 (the Docker SDK for Python)
  - C(pg_restore) of the dump's version or newer (Debian package postgresql-client)
options:
  name:
    description: Id of the instance.
    type: str
    required: true
  archive:
    description: The export on the host, decrypted. Not changed, and not needed any more afterwards.
    type: path
    required: true
  login_db:
    description: Name of the instance's database, which has to be empty.
    type: str
    required: true
  login_user:
    description: The instance's own role, which owns the database. Not a superuser, since the dump is somebody else's.
    type: str
    required: true
  login_password:
    description: Password of O(login_user).
    type: str
    required: true
  login_host:
    description: Host name or address of the PostgreSQL server.
    type: str
    default: 127.0.0.1
  login_port:
    description: Port of the PostgreSQL server.
    type: int
    default: 5432
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
  docker_host:
    description: Where Docker listens; the uploads go into a volume of it.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.greenlight_export
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Bring a newcomer's Greenlight along
  meet.coop.greenlight_import:
    name: sunflower
    archive: /root/sunflower-export.tar
    login_db: greenlight_sunflower
    login_user: greenlight_sunflower
    login_password: "{{ instance_kept.secrets.database_password }}"
"""

RETURN = r"""
manifest:
  description: Where the export comes from.
  returned: success
  type: dict
  contains:
    instance:
      description: Id of the instance it was made of.
      type: str
    made_at:
      description: When it was made (UTC).
      type: str
    greenlight_version:
      description: The oldest Greenlight that has its tables.
      type: str
tables:
  description: Number of rows of each table.
  returned: success
  type: dict
  sample: {users: 14, rooms: 20}
missing:
  description: Uploads that were not in the export, each with C(path), C(key) and C(why).
  returned: success
  type: list
  elements: dict
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, imports, uploads
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, MissingSdk
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "archive": {"type": "path", "required": True},
    "login_db": {"type": "str", "required": True},
    "login_user": {"type": "str", "required": True},
    "login_password": {"type": "str", "required": True, "no_log": True},
    "login_host": {"type": "str", "default": "127.0.0.1"},
    "login_port": {"type": "int", "default": 5432},
    "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def run(params: dict[str, Any], write: bool) -> dict[str, Any]:
    """Observe, compare, restore. Raises CoopError."""
    name = check_name(params["name"])
    target = imports.Target(name, os.path.join(params["state_root"], name), database.login(params["login_db"], params))
    manifest, digest = imports.read(params["archive"])
    try:
        wanted = imports.needed(target, imports.observe(target), manifest, digest)
    except (database.DatabaseMissing, database.ServerUnreachable, database.LoginRefused):
        if write:
            raise
        wanted = True
    tables = manifest["tables"]
    if wanted and write:
        tables = imports.apply(target, params["archive"], lambda: _uploads(params, name))
    after = {"import": f"{manifest['instance']} of {manifest['made_at']}", "manifest_sha256": digest}
    return {
        "changed": wanted,
        "manifest": {key: manifest.get(key) for key in ("instance", "made_at", "greenlight_version")},
        "tables": tables,
        "missing": manifest.get("missing", []),
        "diff": {"before": {} if wanted else after, "after": after},
    }


def _uploads(params: dict[str, Any], name: str) -> str:
    found = uploads.directory(Engine(params["docker_host"]), name, params["state_root"], make=True)
    if not found:
        raise CoopError(f"the uploads of {name} are in a bucket, into which nothing is imported")
    return found


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        module.exit_json(**run(module.params, not module.check_mode))
    except MissingSdk as error:
        module.fail_json(msg=missing_required_lib("docker >= 5.0.0"), exception=str(error))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
