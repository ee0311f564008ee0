# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules.greenlight_verify import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names
from ansible_collections.meet.coop.plugins.plugin_utils._verify.checks import CHECKS, Expectation, Mailbox, Verification


class ActionModule(ActionBase):
    """Verifies from the controller: it is outside, and no process is started on the instance's host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(ARGUMENT_SPEC)
        result.update(changed=False, hostname=options["hostname"], at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        if self._task.check_mode:
            result.update(skipped=True, msg="verification makes rooms and meetings, so check mode leaves it out", checks=[], table=[])
            return result
        box = options["mailbox"]
        expected = Expectation(
            hostname=options["hostname"],
            aliases=tuple(options["aliases"]),
            addresses=tuple(options["addresses"]),
            primary_color=options["primary_color"],
            title=options["title"],
            email=options["email"],
            password=options["password"],
            rooms_per_account=options["rooms_per_account"],
            meeting_minutes=options["meeting_minutes"],
            participants=options["participants"],
            pool_endpoint=options["pool_endpoint"],
            pool_secret=options["pool_secret"],
            external_sign_in=options["external_sign_in"],
            domains=tuple(options["domains"]),
            sender_email=options["sender_email"],
            mailbox=Mailbox(**box) if box else None,
            mail_timeout=options["mail_timeout"],
        )
        wanted = tuple(options["checks"] or CHECKS)
        try:
            names = Names(options["resolver"], options["resolver_port"])
            outcomes = list(Verification(expected, names, options["ca_file"], options["timeout"]).run(wanted))
        except CoopError as error:
            raise AnsibleError(f"{options['hostname']}: {error}") from error
        result["checks"] = [vars(outcome) for outcome in outcomes]
        width = max(len(outcome.check) for outcome in outcomes)
        signs = {"ok": "ok     ", "failed": "FAILED ", "skipped": "skipped"}
        result["table"] = [f"{signs[outcome.result]} {outcome.check:<{width}}  {outcome.detail}" for outcome in outcomes]
        failed = [f"{outcome.check}: {outcome.detail}" for outcome in outcomes if outcome.result == "failed"]
        result["ok"] = not failed
        if failed and options["fail"]:
            result.update(failed=True, msg=f"{options['hostname']} does not keep what was promised: " + "; ".join(failed))
        return result
