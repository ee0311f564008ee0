# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the one exception that domain code raises and front doors turn into a failure."""

from __future__ import annotations


class CoopError(Exception):
    """A failure a user can act on.

    The message is one complete line: what is wrong, where, and what to do instead. It never holds a secret.
    """
