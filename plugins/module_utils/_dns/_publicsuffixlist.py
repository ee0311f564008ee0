# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the list of public suffixes, with the absence of its library remembered instead of raised.

publicsuffixlist (MPL-2.0) is released with each change of the list, needs nothing else and asks no network; publicsuffix2 stands still
since 2019.
"""

from __future__ import annotations

try:
    from publicsuffixlist import PublicSuffixList
except ImportError:
    PublicSuffixList = None

__all__ = ("PublicSuffixList",)
