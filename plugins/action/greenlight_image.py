# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""greenlight_image reads the overrides here, where the membership file is, and builds on the container host, where the image is."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._overrides import folder


class ActionModule(ActionBase):
    """See the documentation of the module of the same name."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        shown = arguments.get("overrides")
        if isinstance(shown, str) and shown:
            path = shown if os.path.isabs(shown) else self._loader.path_dwim(shown)
            try:
                arguments["content"] = folder.read(path, _near(path))
            except CoopError as error:
                result.update(failed=True, msg=str(error))
                return result
        result.update(self._execute_module(module_name="meet.coop.greenlight_image", module_args=arguments, task_vars=task_vars))
        # The icons and templates are of no use in an output.
        (result.get("invocation") or {}).get("module_args", {}).pop("content", None)
        return result


def _near(path: str) -> str:
    """A path as short as it can be told: relative where it lies below the folder that Ansible was called in."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
