#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_settings
short_description: Keeps site settings and limits of one Greenlight
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Keeps the site settings, room limits and meeting limits of one Greenlight 3 at what is asked, straight in its database.
  - Greenlight reads these rows on each request, so a change acts at once and nothing is restarted. The site may be in use meanwhile.
  - Everything happens in one transaction. What is not asked for is left alone. Rows changed by hand are put right.
  - Before anything is written the tables, their columns and the migration versions are proven to be Greenlight's.
  - Where one row may be and several are, nothing is written; the error names them and says how to repair it.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.greenlight_database
  - meet.coop.greenlight_database.server
  - meet.coop.greenlight_database.guards
attributes:
  check_mode:
    support: full
    details:
      - In check mode a missing server, database or schema is no error; RV(db_missing) is then true and the diff holds everything asked for.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  settings:
    description: Site settings. Those not given are left alone.
    type: dict
    default: {}
    suboptions:
      registration:
        description: Who may sign up.
        type: str
        choices: [open, invite, approval]
      allowed_domains:
        description:
          - Mail domains that may sign up; an empty list allows all.
          - V(example.org) is stored as V(@example.org), because Greenlight compares only the end of an address and would else
            take V(evil-example.org) too. V(.example.org) stands for its sub-domains.
        type: list
        elements: str
      primary_color:
        description: Colour of buttons and links, such as V(#467fcf).
        type: str
      primary_color_light:
        description: Light companion of O(settings.primary_color).
        type: str
      primary_color_dark:
        description: Dark companion of O(settings.primary_color). Greenlight 3.8 does not read it.
        type: str
      branding_image:
        description:
          - Logo in header, sign-in page and mails, as an absolute URL or a path that begins with V(/).
          - A logo uploaded in the administration pages would win over it and is detached.
        type: str
      terms:
        description: Link to the terms of use, or an empty string for none.
        type: str
      privacy_policy:
        description: Link to the privacy policy, or an empty string for none.
        type: str
      accessibility_statement:
        description: Link to the accessibility statement, or an empty string for none (Greenlight 3.8.0 and newer).
        type: str
      help_center:
        description: Link to the help, or an empty string for none (Greenlight 3.2 and newer).
        type: str
      maintenance:
        description: Text of the maintenance banner, or an empty string for none. Greenlight injects it as HTML (3.3.0 and newer).
        type: str
      default_role:
        description: Role given at sign-up. It must exist.
        type: str
      role_mapping:
        description: Roles by mail suffix, in Greenlight's form V(Role1=@suffix1,Role2=@suffix2).
        type: str
      resync_on_login:
        description: Whether name and mail are taken from the identity provider at each sign-in.
        type: bool
      session_timeout:
        description: Days a sign-in through an identity provider lasts (3.3.0 and newer).
        type: int
        choices: [1, 7]
      sign_in_on_room_join:
        description: Whether the page to join a room offers signing in (3.4.5 and newer).
        type: bool
      allow_name_update:
        description: Whether people may change their own name (3.8.1 and newer).
        type: bool
      share_rooms:
        description: Whether rooms may be shared with other accounts.
        type: bool
      preupload_presentation:
        description: Whether a presentation may be uploaded before the meeting.
        type: bool
      default_recording_visibility:
        description: Visibility of new recordings (3.2.0 and newer).
        type: str
        choices: [Published, Unpublished, Protected, Public, Public/Protected]
  limits:
    description: Limits that bind members and their administrators. Those not given are left alone.
    type: dict
    default: {}
    suboptions:
      rooms_per_account:
        description:
          - Rooms an account may own, set on every role of the instance. Nothing is deleted when it is lowered.
          - Greenlight makes a first room at sign-up without asking, also with V(0).
        type: int
      rooms_by_role:
        description: Another number for some roles, by role name. The roles must exist, or stand in O(roles).
        type: dict
      meeting_minutes:
        description:
          - Minutes after which a meeting ends (BigBlueButton's C(duration)), in new and existing rooms, from the next start of a meeting.
          - V(0) removes the limit.
        type: int
      participants:
        description:
          - People in one meeting, moderators included (BigBlueButton's C(maxParticipants)), in new and existing rooms.
          - V(0) removes the limit.
        type: int
  meeting_options:
    description:
      - More BigBlueButton create parameters sent with every meeting, such as C(welcome), C(bannerText) or C(disabledFeatures).
      - V(null) or an empty string removes one from all rooms. Neither room owners nor administrators can change what is set here.
      - Greenlight's own options, what it computes itself, and names that begin with V(gl) are refused.
    type: dict
    default: {}
  rooms_configurations:
    description:
      - How Greenlight's own room options are offered, by option name (V(record), V(muteOnStart), V(guestPolicy), V(glAnyoneCanStart), ...).
      - Values are V(true) (forced on), V(false) (forced off), V(optional) and V(default_enabled).
    type: dict
    default: {}
  record:
    description:
      - V(false) forbids recording in every room. V(true) allows it where it was forbidden.
      - Left alone when not given.
    type: bool
  roles:
    description:
      - Roles of the instance, each with limits of its own. Those not named are left alone, but for O(limits.rooms_per_account).
      - What a role here does not say is left as it is. A new role begins with what Greenlight itself gives one.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role, without C(,) and C(=). V(Administrator), V(User) and V(Guest) are Greenlight's own.
        type: str
        required: true
      color:
        description: Colour of the role's mark in lists of people, such as V(#467fcf). A new role without one gets one made from its name.
        type: str
      state:
        description: V(absent) removes the role and is refused as long as an account has it, or who signs up would get it.
        type: str
        choices: [present, absent]
        default: present
      rooms_per_account:
        description: Rooms an account of this role may own; as O(limits.rooms_per_account) when left out.
        type: int
      permissions:
        description:
          - What the role may, by Greenlight's names, each V(true) or V(false). V(CreateRoom), V(SharedList), V(CanRecord), V(ManageUsers),
            V(ManageRooms), V(ManageRecordings), V(ManageSiteSettings), V(EmailOnSignup), and V(ManageRoles) without O(lock_roles).
          - Whoever has V(ManageUsers) can give others any role of the instance.
        type: dict
        default: {}
      mail_domains:
        description:
          - Who signs up with an address at one of these gets the role. V(example.org) is stored as V(@example.org), as in
            O(settings.allowed_domains).
          - As soon as one role has this option, be it empty, O(settings.role_mapping) is made from all roles here.
        type: list
        elements: str
  lock_roles:
    description:
      - Sets the permission ManageRoles to V(false) on every role of the instance.
      - Without it a member's administrator can raise the room limit. A SuperAdmin still can.
    type: bool
    default: true
seealso:
  - module: meet.coop.greenlight_user
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Colours, links and limits of one member
  meet.coop.greenlight_settings:
    login_db: greenlight_sunflower
    login_unix_socket: /var/run/postgresql
    settings:
      registration: invite
      allowed_domains: [sunflower.example]
      primary_color: "#2e7d32"
      primary_color_light: "#e8f5e9"
      branding_image: https://sunflower.example/logo.svg
      terms: https://sunflower.example/terms
      help_center: https://meet.example/help
    limits:
      rooms_per_account: 5
      meeting_minutes: 120
      participants: 25
    meeting_options:
      welcome: Welcome to Sunflower
    record: false

- name: A board with a room more than others, for all who sign up with its addresses; trials have ended
  meet.coop.greenlight_settings:
    login_db: greenlight_sunflower
    limits:
      rooms_per_account: 1
    roles:
      - name: Board
        color: "#7a5c00"
        rooms_per_account: 2
        permissions: {CanRecord: false, ManageUsers: true}
        mail_domains: [board.sunflower.example]
      - name: Trial
        state: absent
    settings:
      default_role: User

- name: Take the welcome text away again
  meet.coop.greenlight_settings:
    login_db: greenlight_sunflower
    meeting_options:
      welcome: null
"""

RETURN = r"""
db_missing:
  description: Whether the server, the database or its schema does not exist yet (only possible in check mode).
  returned: success
  type: bool
  sample: false
release:
  description: The oldest Greenlight release whose migrations the database has.
  returned: when the database exists
  type: str
  sample: 3.8.1
schema_version:
  description: Newest schema migration.
  returned: when the database exists
  type: str
  sample: "20260402000000"
data_version:
  description: Newest data migration.
  returned: when the database exists
  type: str
  sample: "20260402000001"
rooms:
  description: Number of rooms in the instance.
  returned: when the database exists
  type: int
  sample: 12
roles:
  description: Roles of the instance after the run.
  returned: when the database exists
  type: list
  elements: str
  sample: [Administrator, Guest, User]
skipped_settings:
  description: Settings this release does not have yet, asked to be what their absence means.
  returned: when the database exists
  type: list
  elements: str
  sample: [AllowNameUpdate]
"""


from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, settings
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import settings_arguments, settings_wish


def run(module: AnsibleModule) -> dict:
    params = module.params
    wish = settings_wish(params)
    if PSYCOPG_IMPORT_ERROR:
        if module.check_mode:
            return missing(settings.preview(wish))
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        connection = database.connect(database.login(params["login_db"], params), "meet.coop greenlight_settings")
        with connection:
            seen = database.snapshot(connection, lambda conn: settings.observe(conn, wish))
            if seen.schema.unknown and params["unknown_version"] == "fail":
                module.fail_json(msg=f"database {params['login_db']}: {seen.schema.warning()}; set unknown_version=warn to go on")
            plan = settings.diff(seen, wish)
            if plan.changed and not module.check_mode:
                plan, seen = settings.apply(connection, wish, wait=params["lock_wait"])
    except (database.ServerUnreachable, database.DatabaseMissing, database.SchemaMissing):
        if module.check_mode:
            return missing(settings.preview(wish))
        raise
    warning = seen.schema.warning()
    if warning:
        module.warn(f"database {params['login_db']}: {warning}")
    return {
        "changed": plan.changed,
        "diff": {"before": plan.before, "after": plan.after},
        "db_missing": False,
        "release": seen.schema.release,
        "schema_version": seen.schema.newest_schema,
        "data_version": seen.schema.newest_data,
        "rooms": seen.limits.rooms,
        "roles": list(seen.limits.roles),
        "skipped_settings": settings.skipped(seen, wish),
    }


def missing(plan: database.Plan) -> dict:
    return {"changed": True, "diff": {"before": plan.before, "after": plan.after}, "db_missing": True}


def main() -> None:
    module = AnsibleModule(argument_spec=settings_arguments(), supports_check_mode=True)
    try:
        result = run(module)
    except CoopError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
