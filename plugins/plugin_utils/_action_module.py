# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what an action plugin needs of AnsibleModule to share a module's code without a remote process."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class ControllerAction(ActionBase, metaclass=abc.ABCMeta):
    """An action plugin that validates its options like a module and works on the controller.

    Subclasses give the argument spec and one function from options to result. A CoopError becomes a failed result with its one
    line; any other exception is a defect and reaches Ansible's own handling. Values of options marked no_log are masked in every result.
    """

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False
    TRANSFERS_FILES = False

    argument_spec: Mapping[str, Any]

    @abc.abstractmethod
    def work(self, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        """The result of a run with validated options."""

    def missing_library(self) -> str | None:
        """One line when a library that work() needs isn't installed on the controller."""
        return None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        validated = ArgumentSpecValidator(self.argument_spec).validate(copy.deepcopy(dict(self._task.args)))
        secrets = validated._no_log_values
        if validated.error_messages:
            message = "; ".join(validated.error_messages)
            if isinstance(validated.errors[0], UnsupportedError):
                message = f"Unsupported parameters for ({self._task.action}): {message}"
            outcome: dict[str, Any] = {"failed": True, "msg": message}
        else:
            outcome = self._outcome(lambda: self.work(validated.validated_parameters, bool(self._task.check_mode)))
        if not self._task.diff:
            outcome.pop("diff", None)
        result.update(remove_values(outcome, secrets))
        return result

    def _outcome(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        missing = self.missing_library()
        if missing:
            return {"failed": True, "msg": missing}
        try:
            return {"failed": False, **work()}
        except CoopError as error:
            return {"failed": True, "msg": str(error)}
