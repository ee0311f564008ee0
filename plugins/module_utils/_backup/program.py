# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: C(coop-backup) as it is installed: the very code that module greenlight_backup runs."""

from __future__ import annotations

from ansible_collections.meet.coop.plugins.module_utils import _program
from ansible_collections.meet.coop.plugins.module_utils._backup import command
from ansible_collections.meet.coop.plugins.module_utils._program import apply, diff, observe

__all__ = ["apply", "diff", "observe", "wanted"]


def wanted(library: str, door: str) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and mode. Raises CoopError."""
    return _program.wanted(command.__name__, library, door)
