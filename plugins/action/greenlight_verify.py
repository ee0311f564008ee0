# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""greenlight_verify on the controller: it is outside, and no process is started on the instance's host."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules.greenlight_verify import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names
from ansible_collections.meet.coop.plugins.plugin_utils._verify.checks import CHECKS, Expectation, Mailbox, Verification, table


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        result: dict[str, Any] = {
            "changed": False,
            "hostname": params["hostname"],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if check_mode:
            return {**result, "skipped": True, "checks": [], "table": [],
                    "msg": "verification makes rooms and meetings, so check mode leaves it out"}  # fmt: skip
        promised = {field.name: params[field.name] for field in dataclasses.fields(Expectation)}
        promised["mailbox"] = Mailbox(**params["mailbox"]) if params["mailbox"] else None
        try:
            names = Names(params["resolver"], params["resolver_port"])
            verification = Verification(Expectation(**promised), names, params["ca_file"], params["timeout"])
            outcomes = list(verification.run(tuple(params["checks"] or CHECKS)))
        except CoopError as error:
            raise CoopError(f"{params['hostname']}: {error}") from error
        failed = [f"{outcome.check}: {outcome.detail}" for outcome in outcomes if outcome.result == "failed"]
        result.update(checks=[vars(outcome) for outcome in outcomes], table=table(outcomes), ok=not failed,
                      certificate_until=verification.certificate_until)  # fmt: skip
        if failed and params["fail"]:
            result.update(failed=True, msg=f"{params['hostname']} does not keep what was promised: " + "; ".join(failed))
        return result
