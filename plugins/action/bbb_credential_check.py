# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""bbb_credential_check on the controller: it is outside, as the systems that hold the credentials are."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.meet.coop.plugins.modules.bbb_credential_check import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction
from ansible_collections.meet.coop.plugins.plugin_utils._credentials.proof import CHECKS, Credential, Proof, table
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        result: dict[str, Any] = {"changed": False, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        if check_mode:
            return {**result, "skipped": True, "checks": [], "table": [], "ok": True,
                    "msg": "the proof makes meetings, so check mode leaves it out"}  # fmt: skip
        credentials = [Credential(**one) for one in params["credentials"]]
        proof = Proof(Names(params["resolver"], params["resolver_port"]), params["ca_file"], params["timeout"], params["patience"])
        outcomes = proof.run(credentials, tuple(params["checks"] or CHECKS))
        failed = [f"{outcome.credential}, {outcome.check}: {outcome.detail}" for outcome in outcomes if outcome.result == "failed"]
        result.update(checks=[vars(outcome) for outcome in outcomes], table=table(outcomes), ok=not failed)
        if failed and params["fail"]:
            result.update(failed=True, msg="; ".join(failed))
        return result
