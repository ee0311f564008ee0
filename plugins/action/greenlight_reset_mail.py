# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules.greenlight_reset_mail import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site


class ActionModule(ActionBase):
    """Asks Greenlight from the controller, as the person would on the page "Forgot password?"."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(ARGUMENT_SPEC)
        emails = sorted({email.strip().lower() for email in options["emails"]})
        result.update(changed=bool(emails), emails=emails)
        if not emails or self._task.check_mode:
            return result
        try:
            site = Site(options["hostname"], Names(options["resolver"], options["resolver_port"]), options["ca_file"], options["timeout"])
            site.page()
            for email in emails:
                # app/controllers/api/v1/reset_password_controller.rb: 200 also for an unknown mail, lest it tells who has an account.
                answer = site.request("POST", "/api/v1/reset_password.json", {"user": {"email": email}})
                if answer.status != 200:
                    raise CoopError(f"asking for the reset mail to {email} answers {answer.status}; see the instance's log")
            site.close()
        except CoopError as error:
            raise AnsibleError(f"{options['hostname']}: {error}") from error
        return result
