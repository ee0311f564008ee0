# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bbb_node_drain's waiting, on the controller, where somebody can see it; each look is the module of the same name on the pool host."""

from __future__ import annotations

import copy
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.module_utils._pool.drain import DRAIN_ARGUMENTS
from ansible_collections.meet.coop.plugins.plugin_utils._waiting import tell

MODULE = "meet.coop.bbb_node_drain"
PATIENCE = 300
"""Seconds for which the pool host may be out of reach while meetings are waited for, as when it reboots. The node stays out meanwhile."""


class ActionModule(ActionBase):
    """See the documentation of the module of the same name."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        asked = dict(self._task.args)
        begun = time.monotonic()
        result = self._look(asked, task_vars)
        if result.get("failed") or asked.get("state") == "returned" or self._task.check_mode:
            return result
        first, shown, fault = result, "", ""
        # The module has found nothing wrong with them.
        options = ArgumentSpecValidator(DRAIN_ARGUMENTS).validate(copy.deepcopy(asked)).validated_parameters
        lost: float | None = None
        while not result["drained"]:
            waited = time.monotonic() - begun
            left = result["fault"] or f"{result['meetings']} meetings with {result['participants']} people left"
            if waited >= options["timeout"]:
                return self._give_up(asked, task_vars, first, result, left, int(waited), options["on_timeout"])
            if left != shown:
                shown = left
                tell(f"{asked['domain']}: {left}; waiting {waited / 60:.0f} of {options['timeout'] / 60:.0f} minutes")
            time.sleep(min(options["poll"], max(0.1, options["timeout"] - waited)))
            look = self._look(asked, task_vars)
            if not look.get("failed"):
                result, lost = look, None
                continue
            lost = lost or time.monotonic()
            if time.monotonic() - lost > PATIENCE:
                return look
            if fault != look.get("msg"):
                fault = look.get("msg", "")
                tell(f"{asked['domain']}: it stays out of the pool, whose host cannot be asked now: {fault}")
        return {**result, "changed": first["changed"], "diff": first["diff"], "seconds": int(time.monotonic() - begun)}

    def _look(self, asked: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=dict(asked), task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return {"failed": True, "unreachable": True, "msg": str(error)}
        return found

    def _give_up(
        self, asked: dict[str, Any], task_vars: dict[str, Any] | None, first: dict[str, Any], last: dict[str, Any], left: str, waited: int,
        choice: str,
    ) -> dict[str, Any]:  # fmt: skip
        told = {**last, "changed": first["changed"], "diff": first["diff"], "seconds": waited}
        if choice == "hold":
            return {**told, "failed": True, "msg": f"{asked['domain']}: {left} after {waited} s; it stays out of the pool: run again later"}
        back = self._look({**asked, "state": "returned"}, task_vars)
        if back.get("failed"):
            fault = f"{asked['domain']}: {left} after {waited} s, and it could not be put back: {back['msg']}"
            return {**told, "failed": True, "msg": fault}
        # It is as it was: out of the pool for a while and back.
        return {**told, "changed": False, "diff": {"before": {}, "after": {}}, "postponed": True}
