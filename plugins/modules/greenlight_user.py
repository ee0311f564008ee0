#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_user
short_description: Keeps accounts of one Greenlight
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Creates, changes, disables and removes accounts of one Greenlight 3, straight in its database and in one transaction.
  - Mail addresses, names and passwords are held to Greenlight's own rules. Mail addresses are stored in lower case, because sign-in
    looks them up so.
  - Name, role, verified and status of an account that shall be present are put right when they drift. Its language is given once only.
  - Passwords are hashed on the target by its libcrypt (bcrypt, cost 12) and reach neither a command line nor the database server.
  - An account that signs in through an identity provider never gets a password or a reset link here, and keeps the name and the address
    that the provider gave it; see O(external_accounts).
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
      - Reset links are announced but not made.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(reset_link=always) every run makes new links.
options:
  users:
    description: The accounts. Those not named are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      email:
        description: Mail address; the account is known by it.
        type: str
        required: true
      name:
        description: Name shown. Required for O(users[].state=present).
        type: str
      role:
        description: Name of an existing role.
        type: str
        default: User
      state:
        description:
          - V(present) is an active account that can sign in.
          - V(disabled) bans it, ends its sessions and withdraws its links. An account that does not exist stays so.
          - V(absent) removes it, see O(remove_rooms). An open invitation for its mail address goes too.
        type: str
        choices: [present, disabled, absent]
        default: present
      password:
        description:
          - At least 8 characters with a lower-case and an upper-case letter, a digit and a symbol.
          - Without one nobody can sign in until a reset link was used.
        type: str
      language:
        description: Language of a new account.
        type: str
        default: en
      verified:
        description: Whether the mail address counts as confirmed. Without it nobody can sign in.
        type: bool
        default: true
  update_password:
    description:
      - V(on_create) gives the password to new accounts only.
      - V(always) also to accounts whose password is another one. That ends their sessions and withdraws their reset link.
    type: str
    choices: [on_create, always]
    default: on_create
  reset_link:
    description:
      - Whether to make a link to choose a password, good for one use and one hour. It is returned, and stored only as a digest.
      - Use C(no_log) on the task, because whoever holds the link can take the account.
    type: str
    choices: [never, on_create, always]
    default: never
  base_url:
    description: Public address of the instance, such as V(https://meet.sunflower.example). Required for reset links.
    type: str
  remove_rooms:
    description:
      - Whether O(users[].state=absent) may remove an account that owns rooms, and the rooms with it.
      - Recordings on BigBlueButton and uploaded files in the storage volume are not reached by this module; they are returned.
    type: bool
    default: false
  allow_super_admin:
    description: Whether the role V(SuperAdmin) may be given. It passes every limit of the instance.
    type: bool
    default: false
  remember:
    description:
      - File on the target that remembers, as digests, which addresses had an account once. Its folder has to exist.
      - With it, an account that somebody deleted in Greenlight is not made again. It is told by RV(users[].deleted) and a warning.
      - O(users[].state=absent) forgets the address. In an instance without any account nothing counts as deleted.
    type: path
  close_others_of_role:
    description:
      - Role that only those named in O(users) may use. Every other account that has it is disabled; see RV(closed).
      - With an empty list, all accounts of the role are. Whoever was given another role is left alone. Greenlight's own roles are refused.
    type: str
  take_from_roles:
    description:
      - Roles that an account which exists already may have before it is given the one asked for. One with another role is an error.
      - Left out, accounts of any role are changed.
    type: list
    elements: str
  external_accounts:
    description:
      - V(keep) leaves accounts of an identity provider with it.
      - V(release) makes them accounts of the instance, which need a password, as where an instance has no identity provider any more. Their
        sessions end.
    type: str
    choices: [keep, release]
    default: keep
  expected_roles:
    description:
      - Roles that an earlier task makes. In check mode, where that task made none, they count as there.
    type: list
    elements: str
    default: []
  repair_session_tokens:
    description:
      - Whether every account of the instance found without session token is given one that nobody knows.
      - Greenlight takes each visitor who is not signed in for such an account.
    type: bool
    default: true
seealso:
  - module: meet.coop.greenlight_settings
"""

EXAMPLES = r"""
---
- name: First administrators, who choose their own passwords
  meet.coop.greenlight_user:
    login_db: greenlight_sunflower
    login_unix_socket: /var/run/postgresql
    base_url: https://meet.sunflower.example
    reset_link: on_create
    users:
      - email: ada@sunflower.example
        name: Ada Lovelace
        role: Administrator
        language: de
  register: administrators
  no_log: true

- name: Exactly these people have the accounts that the cafe pays for
  meet.coop.greenlight_user:
    login_db: greenlight_agaric
    close_others_of_role: cafe-team
    take_from_roles: [User]
    users:
      - email: kim@cafe.example
        name: Kim Lee
        role: cafe-team

- name: One account with a password, one disabled, one removed with its rooms
  meet.coop.greenlight_user:
    login_db: greenlight_sunflower
    remove_rooms: true
    users:
      - email: grace@sunflower.example
        name: Grace Hopper
        password: "{{ grace_password }}"
      - email: mallory@sunflower.example
        state: disabled
      - email: bob@sunflower.example
        state: absent
"""

RETURN = r"""
db_missing:
  description: Whether the server, the database or its schema does not exist yet (only possible in check mode).
  returned: success
  type: bool
  sample: false
users:
  description: What became of each account, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    email:
      description: Mail address in lower case.
      type: str
      sample: ada@sunflower.example
    action:
      description: V(none), V(created), V(changed), V(disabled) or V(removed).
      type: str
      sample: created
    changed:
      description: Whether anything was changed.
      type: bool
      sample: true
    id:
      description: The account's id, or null when there is none.
      type: str
      sample: 3c0f5a70-0d0e-4b4e-9d6b-5a2c9f4f8a11
    deleted:
      description: Whether somebody deleted the account in Greenlight, so that it was not made again; see O(remember).
      type: bool
      sample: false
    external:
      description: Whether the account signs in through an identity provider.
      type: bool
      sample: false
    waiting:
      description: Whether the account has no password yet and no reset link is under way; see M(meet.coop.greenlight_reset_mail).
      type: bool
      sample: false
    reset_link:
      description: Address of the page to choose a password. A secret.
      type: str
      returned: when a link was made
      sample: https://meet.sunflower.example/reset_password/Vb1t0kGmG0lSx2t4qgfM8m0dYJxVJ4F8p2N7aQwZ
    recordings:
      description: Record ids of the removed account's rooms, still on BigBlueButton.
      type: list
      elements: str
      returned: when the account was removed
    files:
      description: Storage keys of the removed account's uploads, still in the storage volume.
      type: list
      elements: str
      returned: when the account was removed
closed:
  description: Mail addresses of accounts that were disabled because of O(close_others_of_role).
  returned: success
  type: list
  elements: str
  sample: []
counts:
  description: Number of accounts by action, and C(total), the accounts of the instance before the run.
  returned: success
  type: dict
  sample: {none: 2, created: 1, changed: 0, disabled: 0, removed: 0, total: 14}
null_session_tokens:
  description: Number of accounts found without session token. Each lets every visitor act as that account.
  returned: success
  type: int
  sample: 0
null_session_users:
  description: Mail addresses of the accounts found without session token.
  returned: success
  type: list
  elements: str
  sample: []
"""


from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, remembrance
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import user_arguments, user_wish


def run(module: AnsibleModule) -> dict:
    params = module.params
    kept = remembrance.load(params["remember"]) if params["remember"] else frozenset()
    wish = user_wish(params, kept, predict=module.check_mode)
    base_url = params["base_url"] or ""
    if params["reset_link"] != "never" and not base_url.startswith(("https://", "http://")):
        module.fail_json(msg="base_url: is required for reset links, as an absolute URL such as https://meet.example.org")
    if PSYCOPG_IMPORT_ERROR:
        if module.check_mode:
            return remembering(module, wish, kept, result(accounts.preview(wish), base_url, module.check_mode, total=0, db_missing=True))
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    hashes = accounts.Hashes()
    try:
        connection = database.connect(database.login(params["login_db"], params), "meet.coop greenlight_user")
        with connection:
            seen = database.snapshot(connection, lambda conn: accounts.observe(conn, wish))
            if seen.schema.unknown and params["unknown_version"] == "fail":
                module.fail_json(msg=f"database {params['login_db']}: {seen.schema.warning()}; set unknown_version=warn to go on")
            plan = accounts.diff(seen, wish, hashes, predict=module.check_mode)
            if plan.changed and not module.check_mode:
                plan, seen = accounts.apply(connection, wish, hashes, wait=params["lock_wait"])
    except (database.ServerUnreachable, database.DatabaseMissing, database.SchemaMissing):
        if module.check_mode:
            return remembering(module, wish, kept, result(accounts.preview(wish), base_url, module.check_mode, total=0, db_missing=True))
        raise
    warning = seen.schema.warning()
    if warning:
        module.warn(f"database {params['login_db']}: {warning}")
    if plan.without_token and not params["repair_session_tokens"]:
        module.warn(
            f"database {params['login_db']}: {len(plan.without_token)} account(s) without session token"
            f" ({', '.join(plan.without_token[:5])}): every visitor acts as one of them; set repair_session_tokens"
        )
    for outcome in plan.outcomes:
        if outcome.skipped:
            module.warn(f"{outcome.email}: {outcome.skipped}")
        if outcome.recordings:
            module.warn(f"{outcome.email}: {len(outcome.recordings)} recording(s) stay on BigBlueButton; delete them there (see result)")
    return remembering(module, wish, kept, result(plan, base_url, module.check_mode, total=seen.total, db_missing=False))


def remembering(module: AnsibleModule, wish: accounts.Desired, kept: frozenset, told: dict) -> dict:
    """Bring the file up to date after the database: killed in between, the next run finds the accounts and remembers them."""
    path = module.params["remember"]
    if not path:
        return told
    existing = {user["email"] for user in told["users"] if user["id"] or user["action"] == "created"}
    wanted = remembrance.wanted(kept, {account.email: account.state for account in wish.accounts}, existing)
    if wanted != kept:
        told["diff"]["before"]["remembered"] = len(kept)
        told["diff"]["after"]["remembered"] = len(wanted)
        told["changed"] = True
        if not module.check_mode:
            remembrance.save(path, wanted)
    return told


def result(plan: accounts.AccountPlan, base_url: str, check_mode: bool, total: int, db_missing: bool) -> dict:
    users = []
    counts = {"none": 0, "created": 0, "changed": 0, "disabled": 0, "removed": 0, "total": total}
    for outcome in plan.outcomes:
        counts[outcome.action] += 1
        user = {
            "email": outcome.email,
            "action": outcome.action,
            "changed": outcome.action != "none",
            "id": outcome.user_id,
            "deleted": outcome.deleted,
            "external": outcome.external,
            "waiting": outcome.waiting,
        }
        if outcome.action == "removed":
            user.update(recordings=outcome.recordings, files=outcome.files)
        if outcome.token and not check_mode:
            user["reset_link"] = accounts.reset_url(base_url, outcome.token)
        users.append(user)
    counts["disabled"] += len(plan.closed)
    return {
        "changed": plan.changed,
        "diff": {"before": plan.before, "after": plan.after},
        "db_missing": db_missing,
        "users": users,
        "closed": plan.closed,
        "counts": counts,
        "null_session_tokens": len(plan.without_token),
        "null_session_users": plan.without_token,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=user_arguments(), supports_check_mode=True)
    try:
        outcome = run(module)
    except CoopError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
