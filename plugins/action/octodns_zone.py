# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""octodns_zone on the controller: only the provider's API needs to be reached, so no process is started on a host."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns.octodns import ARGUMENT_SPEC, IMPORT_ERROR, OctodnsTask
from ansible_collections.meet.coop.plugins.plugin_utils._action_module import ControllerAction


class ActionModule(ControllerAction):
    """See the documentation of the module of the same name."""

    argument_spec = ARGUMENT_SPEC

    def missing_library(self) -> str | None:
        return missing_required_lib("octodns") if IMPORT_ERROR else None

    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        return OctodnsTask(params).run(check_mode)
