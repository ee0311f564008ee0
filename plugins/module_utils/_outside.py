# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how modules that ask an instance from outside find it and whom they trust."""

from __future__ import annotations

from typing import Any

OUTSIDE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "resolver": {"type": "str"},
    "resolver_port": {"type": "int", "default": 53},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 20},
}
"""Argument spec of these options (doc fragment ``meet.coop.outside``)."""
