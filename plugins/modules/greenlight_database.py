#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_database
short_description: Provides the PostgreSQL database of a Greenlight instance
version_added: 0.1.0
description:
  - Makes a login role and a database of the same name, owned by it, and closed to every other role.
  - The role has no privilege beyond its own database; that is enough for Greenlight's migrations, C(pgcrypto) included.
  - Passwords go to the server as SCRAM-SHA-256 verifiers only, so that no server log can hold one.
  - One call and one task where separate modules for role, database and privileges need three, and a prediction on a host
    where PostgreSQL is not installed yet.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Where PostgreSQL or psycopg is not installed yet, check mode predicts everything as new.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - psycopg >= 3.1
options:
  name:
    description: Name of the database and of the role that owns it.
    type: str
    required: true
  password:
    description: The role's password, 16 ASCII characters or more. Required for O(state=present).
    type: str
  second_login:
    description:
      - V(present) makes a second login, called as O(name) with C(_next) added, that acts as the owner, with O(second_password). So two
        passwords are good while a container is replaced by one that knows the new one.
      - V(absent) ends its sessions and removes it. Left out, it is not looked at.
    type: str
    choices: [present, absent]
  second_password:
    description: The second login's password, 16 ASCII characters or more. Required for O(second_login=present).
    type: str
  connection_limit:
    description: Connections that the role may hold at a time.
    type: int
    default: 20
  state:
    description: V(absent) drops the database with everything in it.
    type: str
    choices: [present, absent]
    default: present
  login_host:
    description: Host of the server; left out, the connection goes through O(login_unix_socket).
    type: str
  login_unix_socket:
    description: Directory of the server's socket.
    type: path
    default: /var/run/postgresql
  login_port:
    description: Port of the server.
    type: int
    default: 5432
  login_user:
    description: A superuser of the server.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user), where peer authentication does not do.
    type: str
seealso:
  - module: meet.coop.greenlight_settings
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Provide an instance's database
  meet.coop.greenlight_database:
    name: greenlight_sunflower
    password: "{{ instance_kept.secrets.database_password }}"
"""

RETURN = r"""
actions:
  description: What was done, in words.
  returned: always
  type: list
  elements: str
  sample: [create role greenlight_sunflower, create database greenlight_sunflower]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases


def run(module: AnsibleModule) -> dict[str, Any]:
    """Observe, compare, change."""
    params = module.params
    present = params["state"] == "present"
    desired = databases.Desired(params["name"], params["password"] or "-" * 16, params["connection_limit"])
    try:
        connection = databases.connect(params, check_mode=module.check_mode)
    except ImportError:
        if not module.check_mode:
            module.fail_json(msg=missing_required_lib("psycopg >= 3.1"))
        connection = None
    observed = databases.observe(connection, desired.name) if connection else databases.Observed()
    before, after = databases.diff(desired, observed)
    if not present:
        after = {"role": None, "database": None}
    second = None
    if params["second_login"] or not present:
        wanted = params["second_password"] if present and params["second_login"] == "present" else None
        second = databases.Second(desired.name, wanted)
        found = databases.observe_second(connection, second) if connection else None
        if found is not None or wanted is not None or params["second_login"]:
            before["second_login"], after["second_login"] = found, databases.wanted_second(second)
    actions = [
        f"{'create' if before[kind] is None else 'change' if after[kind] else 'drop'} {kind} {desired.name}"
        for kind in ("role", "database")
        if before[kind] != after[kind]
    ]
    second_differs = before.get("second_login") != after.get("second_login")
    if second is not None and second_differs:
        verb = "create" if before["second_login"] is None else "change" if after["second_login"] else "drop"
        actions.append(f"{verb} role {second.login}")
    copies = databases.copies(connection, desired.name) if connection and not present else []
    actions += [f"drop copy {name}" for name in copies]
    if copies:
        before, after = {**before, "copies": copies}, {**after, "copies": []}
    if actions and not module.check_mode:
        try:
            if not present and second is not None and second_differs:
                databases.apply_second(connection, second, before["second_login"])
            if present:
                databases.apply(connection, desired, observed)
            else:
                for name in copies:
                    databases.drop(connection, name, databases.observe(connection, name))
                databases.drop(connection, desired.name, observed)
            if present and second is not None and second_differs:
                databases.apply_second(connection, second, before["second_login"])
        except CoopError:
            raise
        except Exception as error:
            import psycopg

            if not isinstance(error, psycopg.Error):
                raise
            raise CoopError(f"database {desired.name}: {str(error).strip().splitlines()[0]}") from error
    return {"changed": bool(actions), "actions": actions, "diff": {"before": before, "after": after}}


def main() -> None:
    """Front door."""
    module = AnsibleModule(
        argument_spec=databases.ARGUMENTS,
        required_if=[("state", "present", ["password"]), ("second_login", "present", ["second_password"])],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
