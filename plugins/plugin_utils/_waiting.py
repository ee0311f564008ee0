# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a task says while it waits."""

from __future__ import annotations

from ansible.utils.display import Display


def tell(line: str) -> None:
    """Show a line at once: standard output that is no terminal is kept back until the next task begins, when the waiting is over."""
    Display().display(line, stderr=True)
