#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_info
short_description: Tells versions, settings, limits and use of Greenlight instances
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Reads the databases of the Greenlight instances of one container host and changes nothing.
  - Each database is read in one consistent snapshot. One that cannot be read is told in its own RV(instances[].error) and with a
    warning, and holds up none of the others.
  - No name and no mail address is returned unless O(personal) asks for it, and no secret ever.
  - Greenlight removes the row of a deleted account, room or recording, so only what still exists is counted.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database.server
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
requirements:
  - psycopg >= 3.1 (Debian package python3-psycopg)
options:
  databases:
    description: Names of the instances' databases, all of one PostgreSQL server.
    type: list
    elements: str
    required: true
  personal:
    description: Whether to return RV(instances[].people) and the setting C(role_mapping), which hold personal data.
    type: bool
    default: false
seealso:
  - module: meet.coop.greenlight_settings
  - module: meet.coop.greenlight_user
"""

EXAMPLES = r"""
---
- name: Learn how the instances of this host are used
  meet.coop.greenlight_info:
    databases: [greenlight_sunflower, greenlight_meadow]
    login_unix_socket: /var/run/postgresql
  register: greenlight

- name: Stop where an instance could not be read
  ansible.builtin.assert:
    that: greenlight.unread | length == 0

- name: List the people of one instance
  meet.coop.greenlight_info:
    databases: [greenlight_sunflower]
    personal: true
  register: people
  no_log: true
"""

RETURN = r"""
instances:
  description: One entry for each database, in the order given. One that could not be read holds C(database) and C(error) only.
  returned: success
  type: list
  elements: dict
  contains:
    database:
      description: Name of the database.
      type: str
      sample: greenlight_sunflower
    error:
      description: Why it could not be read, or null.
      type: str
    versions:
      description:
        - C(release), the oldest Greenlight that has these migrations.
        - Newest C(schema) and C(data) migration, and C(unknown_migrations) that no release known here has.
      type: dict
      sample: {release: 3.8.1, schema: '20260402000000', data: '20260402000001', unknown_migrations: []}
    duplicates:
      description:
        - Natural keys that several rows hold where Greenlight expects one, as C(table), C(key) and number of C(rows).
        - A duplicate setting breaks pages. An account is told by its id, not by its mail address.
      type: list
      elements: dict
      sample: [{table: site_settings, key: 'HelpCenter, provider greenlight', rows: 2}]
    settings:
      description: Site settings as stored, by their option in M(meet.coop.greenlight_settings). Null where rows are duplicate.
      type: dict
      sample: {registration: invite, primary_color: '#467fcf'}
    limits:
      description:
        - C(rooms_by_role), rooms an account of a role may own, as a number. Any other text is told as stored, V(true) means no limit.
          Null where there is no row, or several.
        - C(meeting_minutes) and C(participants) of a meeting, null where there is no limit.
        - C(rooms_without_meeting_minutes) and C(rooms_without_participants), the number of rooms that do not hold that value.
      type: dict
      sample:
        rooms_by_role: {Administrator: 5, Guest: 5, User: 5}
        meeting_minutes: 90
        rooms_without_meeting_minutes: 0
        participants: 25
        rooms_without_participants: 0
    users:
      description:
        - Number of accounts, C(total), C(by_role) (an empty name for none), C(by_status), C(verified),
          C(external) (by an identity provider), C(signed_in) (with a session that has not ended),
          and C(without_session_token), which has to be 0.
      type: dict
      sample:
        total: 14
        by_role: {Administrator: 1, User: 13}
        by_status: {active: 12, pending: 1, banned: 1}
        verified: 13
        external: 0
        signed_in: 3
        without_session_token: 0
    rooms:
      description: Number of rooms, C(total), C(online) (a meeting is running) and of accounts that own one (C(owners)).
      type: dict
      sample: {total: 20, online: 1, owners: 12}
    shared_accesses:
      description: How often a room is shared with an account.
      type: int
      sample: 4
    recordings:
      description: Number (C(total)) and length (C(minutes)) of recordings, over all and C(by_visibility).
      type: dict
      sample: {total: 2, minutes: 95, by_visibility: {Published: {total: 2, minutes: 95}}}
    last_use:
      description:
        - Newest C(sign_in) and start of a C(meeting), in UTC, as Greenlight writes them down; null for never.
      type: dict
      sample: {sign_in: '2026-07-01T08:00:00Z', meeting: '2026-07-01T09:30:00Z'}
    size_bytes:
      description: Size of the database on disk, in bytes.
      type: int
      sample: 10485760
    people:
      description: Every account with C(name), C(email), C(role), C(status), C(verified), C(external) and C(last_use). Personal data.
      returned: when O(personal=true)
      type: list
      elements: dict
unread:
  description: Names of the databases that could not be read.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, facts
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR

ARGUMENT_SPEC: dict[str, Any] = {
    "databases": {"type": "list", "elements": "str", "required": True},
    "personal": {"type": "bool", "default": False},
    **database.SERVER_ARGUMENTS,
}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """What every database holds, or why it could not be read."""
    instances: list[dict[str, Any]] = []
    for name in params["databases"]:
        try:
            told = facts.read(database.login(name, params), params["personal"])
        except CoopError as error:
            instances.append({"database": name, "error": str(error)})
        else:
            instances.append({"database": name, "error": None, **told})
    return {"changed": False, "instances": instances, "unread": [one["database"] for one in instances if one["error"]]}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    result = run(module.params)
    for instance in result["instances"]:
        if instance["error"]:
            module.warn(instance["error"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
