# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""dns_wait on the controller."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns import wait
from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = wait.ARGUMENT_SPEC

    def missing_library(self) -> str | None:
        return missing_required_lib("dnspython") if DNSPYTHON_IMPORT_ERROR else None

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return wait.run(params, check_mode)
