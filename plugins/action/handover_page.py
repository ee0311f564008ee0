# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""handover_page on the controller: all that it is made from lies there."""

from __future__ import annotations

import importlib.util
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.meet.coop.plugins.modules.handover_page import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction
from ansible_collections.meet.coop.plugins.plugin_utils._support.handover_task import HandoverTask


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def missing_library(self) -> str | None:
        return None if importlib.util.find_spec("jsonschema") else missing_required_lib("jsonschema")

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return HandoverTask(params).run(check_mode)
