# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: dns_zone from its options to its result, for the action plugin and the module alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Adoption, Change, Plan, PlanRefused, Scope, make_plan
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RecordError, check_identifier, make_rrset, zone_name
from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import TSIG_ALGORITHMS, OutcomeUnknown, Server, TsigKey, ZoneChanged
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TRIES = 3
"""How often a plan is made anew when the zone changes under it."""

ARGUMENT_SPEC: dict[str, Any] = {
    "zone": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
    "tsig": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "algorithm": {"type": "str", "default": "hmac-sha256", "choices": list(TSIG_ALGORITHMS)},
            "secret": {"type": "str", "required": True, "no_log": True},
        },
    },
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
    "timeout": {"type": "int", "default": 10},
}


class ZoneTask:
    """One run of dns_zone: the verbs observe, diff and apply over one zone and one scope."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.origin = zone_name(params["zone"])
        self.scope = Scope(check_identifier("deployment", params["deployment"]), check_identifier("member", params["member"]))
        self.max_delete_share = float(params["max_delete_share"])
        if not 0 <= self.max_delete_share <= 1:
            raise RecordError(f"max_delete_share {self.max_delete_share:g} is not between 0 and 1")
        tsig = params.get("tsig")
        self.server = Server(
            zone=self.origin,
            host=params["server"],
            port=params["port"],
            key=TsigKey(tsig["name"], tsig["algorithm"], tsig["secret"]) if tsig else None,
            timeout=float(params["timeout"]),
        )
        self.adoption = Adoption(params["adopt"] or [], self.origin)
        self.desired = []
        problems = []
        for number, record in enumerate(params["records"], start=1):
            try:
                self.desired.append(make_rrset(record["name"], record["type"], record["ttl"], record["values"], self.origin))
            except RecordError as error:
                problems.append(f"records[{number}]: {error}")
        if problems:
            raise PlanRefused(problems)

    def diff(self) -> Plan:
        """Read the zone and plan."""
        return make_plan(self.server.observe(), self.desired, self.scope, self.adoption, self.max_delete_share)

    def run(self, check_mode: bool = False) -> dict[str, Any]:
        """Bring the zone to its desired records; the result for Ansible. Raises CoopError."""
        done: list[Change] = []
        unanswered: CoopError | None = None
        for attempt in range(TRIES + 1):
            plan = self.diff()
            if check_mode or not plan:
                return self._result(plan.changes or done)
            if attempt == TRIES:
                break
            try:
                self.server.apply(plan)
            except ZoneChanged:
                unanswered, done = None, []
                continue
            except OutcomeUnknown as unknown:
                unanswered = unknown.error
            done = plan.changes
        raise unanswered or CoopError(
            f"zone {self.origin.to_text(omit_final_dot=True)}: changed {TRIES} times while being updated, or does not show what its server "
            f"accepted ({', '.join(plan.labels)}); find out who else writes it, then run again"
        )

    def _result(self, changes: Sequence[Change]) -> dict[str, Any]:
        before = [line for change in changes for line in self._lines(change.before)]
        after = [line for change in changes for line in self._lines(change.after)]
        zone = self.origin.to_text(omit_final_dot=True)
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
                "before_header": zone,
                "after_header": zone,
                "before": "".join(f"{line}\n" for line in before),
                "after": "".join(f"{line}\n" for line in after),
            },
        }

    @staticmethod
    def _lines(rrset: Any) -> list[str]:
        return [f"{rrset.name} {rrset.ttl} IN {rrset.type} {value}" for value in rrset.values] if rrset else []
