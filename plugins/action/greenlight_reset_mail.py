# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""greenlight_reset_mail on the controller: it asks as the person would on the page "Forgot password?"."""

from __future__ import annotations

from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules.greenlight_reset_mail import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Names, Site


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        emails = sorted({email.strip().lower() for email in params["emails"]})
        if emails and not check_mode:
            try:
                names = Names(params["resolver"], params["resolver_port"])
                Site(params["hostname"], names, params["ca_file"], params["timeout"]).ask_for_reset_mails(emails)
            except CoopError as error:
                raise CoopError(f"{params['hostname']}: {error}") from error
        return {"changed": bool(emails), "emails": emails}
