# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: dns_zone from its options to its result, for the action plugin and the module alike."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Change, Plan, PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._dns.records import Snapshot, relative_name
from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import (
    TSIG_ALGORITHMS,
    OutcomeUnknown,
    Server,
    ServerError,
    TransferRefused,
    TsigKey,
    ZoneChanged,
)
from ansible_collections.meet.coop.plugins.module_utils._dns.wanted import WANTED_SPEC, Progress, Wanted
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TRIES = 5
"""How often a plan is sent before we give up because others keep changing the zone."""
SETTLE = 3.0
"""Seconds that a server may take to show what it accepted (BIND signs a zone after it has answered)."""

ARGUMENT_SPEC: dict[str, Any] = {
    **WANTED_SPEC,
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
    "former_names": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 10},
}


class ZoneTask:
    """One run of dns_zone: the verbs observe, diff and apply over one zone and one scope."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wanted = Wanted(params)
        tsig = params.get("tsig")
        self.server = Server(
            zone=self.wanted.origin,
            host=params["server"],
            port=params["port"],
            key=TsigKey(tsig["name"], tsig["algorithm"], tsig["secret"]) if tsig else None,
            timeout=float(params["timeout"]),
        )
        self.former = {relative_name(name, self.wanted.origin) for name in params.get("former_names") or []}
        self.refused: TransferRefused | None = None
        self.progress = Progress()

    def observe(self) -> Snapshot:
        """The zone by transfer; where the server refuses that, the names of this run by queries. Raises CoopError."""
        if self.refused is None:
            try:
                self.progress.snapshot = self.server.observe()
                return self.progress.snapshot
            except TransferRefused as refused:
                self.refused = refused
        labels = {rrset.name for rrset in self.wanted.desired} | self.wanted.adoption.labels | self.former
        if not labels:
            raise ServerError(f"{self.refused}; so the names to remove can't be found: allow the transfer, or write former_names")
        delegations = sorted(rrset.name for rrset in self.wanted.desired if rrset.type == "NS")
        if delegations:
            raise ServerError(
                f"{self.refused}; delegations ({', '.join(delegations)}) can't be judged by queries: allow the transfer, or leave them out"
            )
        try:
            self.progress.snapshot = self.server.observe_names(labels)
        except ServerError as error:
            raise ServerError(f"{self.refused}; and by queries: {error}") from error
        return self.progress.snapshot

    def diff(self) -> Plan:
        """Read the zone and plan."""
        return self.wanted.diff(self.observe())

    def run(self, check_mode: bool = False) -> dict[str, Any]:
        """Bring the zone to its desired records; the result for Ansible. Raises CoopError."""
        plan = self._next(None)
        if check_mode:
            return self._result(plan.changes)
        trouble: CoopError | None = None
        for attempt in range(TRIES):
            if not plan:
                return self._result(self.progress.made())
            self.progress.note(plan)
            sent: Plan | None = plan
            refusal = None
            try:
                self.server.apply(plan)
            except ZoneChanged:
                sent, trouble = None, None
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
            except OutcomeUnknown as unknown:
                trouble = unknown.error
            except ServerError as error:
                sent, refusal = None, error
            plan = self._next(sent, refusal or trouble)
            if refusal is not None and plan:
                raise ServerError(f"{refusal}; {self.progress.account()}")
        if not plan:
            return self._result(self.progress.made())
        raise trouble or CoopError(
            f"zone {self.wanted.zone}: changed {TRIES} times while being updated, or does not show what its server accepted "
            f"({', '.join(plan.labels)}); {self.progress.account()}; find out who else writes it, then run again"
        )

    def _next(self, sent: Plan | None, trouble: CoopError | None = None) -> Plan:
        """What is still to be done. While nothing shows of a plan that was sent, the server is given a moment.

        What shows in part is planned anew at once: Knot leaves out the CNAME where an update of a signed zone replaces addresses by it.
        """
        deadline = time.monotonic() + SETTLE
        pause = 0.02
        while True:
            try:
                plan = self.diff()
            except PlanRefused as refused:
                raise PlanRefused([*refused.problems, self.progress.account()]) if self.progress else refused from None
            except ServerError as error:
                if not self.progress:
                    raise
                raise ServerError(f"{trouble or error}; whether that update was applied is not known yet: run again") from error
            if sent is None or plan.changes != sent.changes or time.monotonic() > deadline:
                return plan
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def _result(self, changes: list[Change]) -> dict[str, Any]:
        result = {**self.wanted.result(changes), "transfer": self.refused is None}
        if self.refused is not None:
            result["warnings"] = [
                f"{self.refused}. Only the names in records, adopt and former_names were looked at, by queries: names marked for "
                f"'{self.wanted.scope.member}' that are in none of them can't be seen and stay. Allow the transfer to have them found."
            ]
        return result
