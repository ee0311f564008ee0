# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a user wants of a zone, from options to a plan and to a result, whichever door leads to the zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Adoption, Change, Index, Plan, PlanRefused, Scope, make_plan
from ansible_collections.meet.coop.plugins.module_utils._dns.records import (
    RecordError,
    RRset,
    Snapshot,
    check_identifier,
    make_rrset,
    zone_name,
)

WANTED_SPEC: dict[str, Any] = {
    "zone": {"type": "str", "required": True},
    "deployment": {"type": "str", "required": True},
    "member": {"type": "str", "required": True},
    "records": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "type": {"type": "str", "required": True},
            "ttl": {"type": "int", "default": 300},
            "values": {"type": "list", "elements": "str", "required": True, "aliases": ["value"]},
        },
    },
    "adopt": {"type": "list", "elements": "str", "default": []},
    "max_delete_share": {"type": "float", "default": 0.3},
}


class Wanted:
    """The records that one member should have in one zone, and on which terms. Raises CoopError with every wrong record at once."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.origin = zone_name(params["zone"])
        deployment, member = check_identifier("deployment", params["deployment"]), check_identifier("member", params["member"])
        self.scope = Scope(deployment, member, self.origin)
        self.max_delete_share = float(params["max_delete_share"])
        if not 0 <= self.max_delete_share <= 1:
            raise RecordError(f"max_delete_share {self.max_delete_share:g} is not between 0 and 1")
        self.adoption = Adoption(params["adopt"] or [], self.origin)
        self.desired: list[RRset] = []
        problems = []
        for number, record in enumerate(params["records"], start=1):
            try:
                self.desired.append(make_rrset(record["name"], record["type"], record["ttl"], record["values"], self.origin))
            except RecordError as error:
                problems.append(f"records[{number}]: {error}")
        if problems:
            raise PlanRefused(problems)

    @property
    def zone(self) -> str:
        return str(self.origin.to_text(omit_final_dot=True))

    def diff(self, current: Snapshot, known: Index | None = None) -> Plan:
        """What is to be changed in the zone as it is. Raises PlanRefused."""
        return make_plan(current, self.desired, self.scope, self.adoption, self.max_delete_share, known)

    def result(self, changes: Iterable[Change]) -> dict[str, Any]:
        """Changes as Ansible shows them."""
        changes = sorted(changes, key=lambda change: change.rrset.key)
        return {
            "changed": bool(changes),
            "changes": [
                {
                    "name": change.rrset.name,
                    "type": change.rrset.type,
                    "action": change.action,
                    "before": change.before.as_dict() if change.before else None,
                    "after": change.after.as_dict() if change.after else None,
                }
                for change in changes
            ],
            "diff": {
                "before_header": self.zone,
                "after_header": self.zone,
                "before": "".join(f"{line}\n" for change in changes for line in _lines(change.before)),
                "after": "".join(f"{line}\n" for change in changes for line in _lines(change.after)),
            },
        }


class Progress:
    """What a run set out to change, and what of that a zone shows."""

    def __init__(self) -> None:
        self.snapshot: Snapshot = {}
        self.planned: dict[tuple[str, str], Change] = {}
        """By record set: as it was when the run began, and as the last plan wants it."""

    def __bool__(self) -> bool:
        return bool(self.planned)

    def note(self, plan: Plan) -> None:
        """A plan is about to be carried out."""
        for change in plan.changes:
            first = self.planned.get(change.rrset.key)
            self.planned[change.rrset.key] = Change(first.before if first else change.before, change.after)

    def made(self) -> list[Change]:
        """What was changed, as the zone shows it now."""
        made = []
        for key, change in self.planned.items():
            now = self.snapshot.get(key)
            if change.after is not None and change.after.same(now):
                now = change.after
            if now is not change.before and not (now is not None and now.same(change.before)):
                made.append(Change(change.before, now))
        return made

    def account(self) -> str:
        """What has become of the plan so far, for the message of a failure."""
        done = Plan([change for change in self.made() if change.after is self.planned[change.rrset.key].after]).labels
        if not done:
            return "nothing was changed"
        names = Plan(list(self.planned.values())).labels
        return f"{len(done)} of {len(names)} names were changed before that ({', '.join(done[:5])}{', …' if len(done) > 5 else ''})"


def _lines(rrset: RRset | None) -> list[str]:
    return [f"{rrset.name} {rrset.ttl} IN {rrset.type} {value}" for value in rrset.values] if rrset else []
