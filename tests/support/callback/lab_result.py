# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each host answered to the file that LAB_RESULT_FILE names, one JSON document per result."""

from __future__ import annotations

DOCUMENTATION = """
name: lab_result
type: aggregate
short_description: Results of one module for the tests
description:
  - Writes every result as one line of JSON.
requirements:
  - nothing
"""

import json
import os
from typing import Any

from ansible.parsing.ajson import AnsibleJSONEncoder
from ansible.plugins.callback import CallbackBase, strip_internal_keys


class CallbackModule(CallbackBase):
    """One line per result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_result"

    def _keep(self, result: Any, **more: Any) -> None:
        given = getattr(result, "result", None) or result._result
        found = {**strip_internal_keys(dict(given)), **more}
        with open(os.environ["LAB_RESULT_FILE"], "a", encoding="utf-8") as file:
            file.write(json.dumps(found, cls=AnsibleJSONEncoder) + "\n")

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep(result, failed=True)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep(result, unreachable=True)
