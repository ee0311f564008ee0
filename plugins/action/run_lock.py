# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""run_lock's waiting, and what only the controller knows: which run this is, and whether another one still lives here."""

from __future__ import annotations

import copy
import time
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.meet.coop.plugins.modules.run_lock import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils import _this_run
from ansible_collections.meet.coop.plugins.plugin_utils._waiting import tell

MODULE = "meet.coop.run_lock"
POLL = 2.0
"""Seconds between two looks."""
display = Display()


class ActionModule(ActionBase):
    """See the documentation of the module of the same name."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        pid = _this_run.main_process()
        asked = {**self._task.args, "run": _this_run.run_id(pid), "by": _this_run.described(pid, variables)}
        begun, told = time.monotonic(), False
        result = self._look(asked, variables)
        if result.get("failed") or asked.get("state") == "absent":
            return result
        # The module has found nothing wrong with them.
        options = ArgumentSpecValidator(ARGUMENT_SPEC).validate(copy.deepcopy(asked)).validated_parameters
        name = options["name"]
        while not result.get("failed") and not result["mine"]:
            line = (
                f"{name}: {result['by']} has been working on it since {_clock(result['since'])}, so nothing is done here; run again when "
                f"that has ended. If it is dead, its lock is over at {_clock(result['until'])}, or at once with -e run_lock_take_over=true"
            )
            if options["take_over"] or _this_run.known_dead(result["run"]):
                display.warning(f"{name}: taken over from {result['by']}, which had it since {_clock(result['since'])} and is dead")
                options["take_over"] = False
                result = self._look({**asked, "over": result["run"]}, variables)
            elif self._task.check_mode:
                display.warning(line)
                return result
            elif time.monotonic() - begun >= options["wait"]:
                return {**result, "failed": True, "msg": line}
            else:
                if not told:
                    told = True
                    tell(f"{name}: waiting for {result['by']}, which has it since {_clock(result['since'])}")
                time.sleep(POLL)
                result = self._look(asked, variables)
        return result

    def _look(self, asked: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=dict(asked), task_vars=variables)
        return found


def _clock(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
