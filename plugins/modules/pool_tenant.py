#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_tenant
short_description: Keeps tenants of a BigBlueButton pool and their caps
version_added: 0.1.0
description:
  - Runs on the pool host and brings any number of tenants to what is asked in one change. Tenants that are not named stay as they are.
  - Caps bind everyone who holds the tenant's secret. A meeting that asks for more, for nothing, or for something that is no number gets
    the cap; a smaller wish passes. Parameters that would lead around the caps are removed from C(create) calls.
  - Scalelite by itself cannot clamp; it raises a smaller wish to the forced value. Role P(meet.coop.pool#role) gives it a correction that
    lets smaller wishes pass. Where that is missing the caps bind all the same, RV(smaller_wishes) says V(raised), and a warning does too.
  - Caps hold for each meeting. What a tenant has in all its meetings together is looked at when it begins another one
    (O(tenants[].meetings_at_once), O(tenants[].participants_at_once)); whoever joins a meeting is never refused for that.
  - Changes made by hand are found and undone.
  - A running BBBLB sees a change after its cache time (C(pool_tenant_cache) of role P(meet.coop.pool#role), a few seconds), Scalelite at
    once.
  - With Scalelite, tenants of the same name are made one, and settings that a removed tenant has left are cleared away.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.pool_engine
attributes:
  check_mode:
    support: full
    details: Where the engine is not installed yet, check mode predicts every tenant as new.
  diff_mode:
    support: full
    details: Secrets are masked. A secret that changes is shown as C(******** (new\)).
  idempotent:
    support: full
options:
  tenants:
    description: The tenants to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: 1 to 16 lower-case letters and digits; also the part of the URL that names the tenant.
        type: str
        required: true
      secret:
        description:
          - The shared secret of the API, 16 or more visible ASCII characters. Different for each tenant.
          - Several, divided by a colon, are all accepted, and the first one signs what is sent to the tenant; so a secret can be changed
            without an interruption.
          - Required unless O(tenants[].state=absent).
        type: str
      previous_secret:
        description:
          - With O(engine=scalelite), a second secret that opens the same tenant while the first is being changed everywhere. Leave it out
            as soon as that is done. BBBLB keeps one secret.
        type: str
      enabled:
        description:
          - Whether calls of this tenant are answered. Meetings of a disabled tenant run on, but nobody can join them.
          - Scalelite cannot disable a tenant, so its secret is replaced by one that nobody has until it is enabled again.
        type: bool
        default: true
      duration_max:
        description:
          - The longest a meeting may last, in minutes; V(0) for no cap.
          - Required unless O(tenants[].state=absent).
        type: int
      participants_max:
        description:
          - The most people in one meeting; V(0) for no cap.
          - Required unless O(tenants[].state=absent).
        type: int
      meetings_at_once:
        description:
          - A tenant with this many meetings begins no other one; V(0) for no such limit. A meeting that is there already is created again
            as ever, and everybody may join it.
          - The engines know no such limit; role P(meet.coop.pool#role) adds it to them. Two meetings begun in the same moment may both
            pass.
        type: int
        default: 0
      participants_at_once:
        description:
          - A tenant with this many people in all its meetings together begins no other meeting; V(0) for no such limit.
          - BBBLB has the number from its last poll, Scalelite asks the nodes with meetings of the tenant.
        type: int
        default: 0
      record:
        description: Whether this tenant may record. V(false) switches recording off whatever a meeting asks for.
        type: bool
        default: false
      disabled_features:
        description: Features of BigBlueButton that this tenant's meetings never have, such as V(polls) or V(breakoutRooms).
        type: list
        elements: str
        default: []
      tag:
        description: With O(engine=scalelite), its meetings run on nodes of this tag and on no others. BBBLB knows no tags.
        type: str
        default: ""
      state:
        description:
          - V(absent) locks the tenant out. BBBLB cannot delete a tenant, so it is disabled, loses its caps, and its secret is replaced
            by one that nobody has. From Scalelite it is deleted with its settings. Its meetings run on until they end.
        type: str
        choices: [present, absent]
        default: present
seealso:
  - module: meet.coop.pool_node
"""

EXAMPLES = r"""
---
- name: Give an instance its place in the pool
  meet.coop.pool_tenant:
    tenants:
      - name: sunflower
        secret: "{{ instance_kept.secrets.bigbluebutton_secret }}"
        duration_max: 120
        participants_max: 50

- name: Lock out a tenant that has left
  meet.coop.pool_tenant:
    tenants:
      - name: sunflower
        state: absent
"""

RETURN = r"""
tenants:
  description: What happened to each given tenant, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The tenant.
      type: str
      returned: success
    action:
      description: V(created), V(changed), V(removed) or V(unchanged).
      type: str
      returned: success
  sample: [{"name": "sunflower", "action": "created"}]
smaller_wishes:
  description:
    - What becomes of a meeting that asks for less than its cap. V(passed), or V(raised) to the cap where the engine can only force.
    - V(null) where the engine is not installed yet.
  returned: success
  type: str
  sample: passed
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.engines import ENGINE_ARGUMENTS, engine_of
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Tenant
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import converge_tenants


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "tenants": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "secret": {"type": "str", "no_log": True},
                    "previous_secret": {"type": "str", "no_log": True},
                    "enabled": {"type": "bool", "default": True},
                    "duration_max": {"type": "int"},
                    "participants_max": {"type": "int"},
                    "meetings_at_once": {"type": "int", "default": 0},
                    "participants_at_once": {"type": "int", "default": 0},
                    "record": {"type": "bool", "default": False},
                    "disabled_features": {"type": "list", "elements": "str", "default": []},
                    "tag": {"type": "str", "default": ""},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
                "required_if": [("state", "present", ["secret", "duration_max", "participants_max"])],
            },
            **ENGINE_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    given = module.params
    wanted = [
        Tenant(
            name=one["name"],
            secret=one["secret"] or "",
            enabled=one["enabled"],
            duration_max=one["duration_max"] or 0,
            participants_max=one["participants_max"] or 0,
            meetings_at_once=one["meetings_at_once"],
            participants_at_once=one["participants_at_once"],
            record=one["record"],
            disabled_features=tuple(one["disabled_features"]),
            state=one["state"],
            previous_secret=one["previous_secret"] or "",
            tag=one["tag"],
        )
        for one in given["tenants"]
    ]
    engine = engine_of(given, check_mode=module.check_mode)
    try:
        outcome = converge_tenants(engine, wanted)
    except CoopError as error:
        module.fail_json(msg=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    actions = {change.name: change.action for change in outcome.changes}
    module.exit_json(
        changed=bool(outcome.changes),
        tenants=[{"name": tenant.name, "action": actions.get(tenant.name, "unchanged")} for tenant in wanted],
        smaller_wishes=None if engine.clamps is None else "passed" if engine.clamps else "raised",
        diff={
            "before": {change.name: change.before for change in outcome.changes if change.before is not None},
            "after": {change.name: change.after for change in outcome.changes if change.after is not None},
        },
    )


if __name__ == "__main__":
    main()
