# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""page_mail on the controller: the pages and the record of what was sent lie there."""

from __future__ import annotations

from typing import Any

from ansible_collections.meet.coop.plugins.modules.page_mail import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction
from ansible_collections.meet.coop.plugins.plugin_utils._support.page_mail_task import PageMailTask


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return PageMailTask(params).run(check_mode)
