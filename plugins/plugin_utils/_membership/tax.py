# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a tax treatment may say, in the membership file and in the money files alike (EN 16931, BR-S to BR-O)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from .reader import raw_text

# Why there is no tax, as invoices say it where nothing else is written.
REASONS = {"AE": "Reverse charge", "O": "Outside the scope of VAT"}


def flaw(category: str, rate: Fraction | None, reason: str | None) -> tuple[str, str] | None:
    """Field and text of what is wrong with a treatment; None when nothing is. C(rate) is in percent, None where none is written."""
    if category == "S" and not rate:
        return "rate", "is missing, and category S has one; write the percentage of the tax, such as rate: 20"
    if category != "S" and rate:
        return "rate", f"does not go with category {category}, where no tax is charged; remove it, or write category: S"
    if category == "E" and not reason:
        return "reason", "is missing; write why no tax is charged, as the law has it, such as reason: Small business, section 19 UStG"
    if category in ("S", "Z") and reason:
        return "reason", f"does not go with category {category}; remove it, or write the category that has no tax, such as E"
    return None


def percent(root: object, path: Sequence[object]) -> Fraction | None:
    """The percentage that stands at a path, figure by figure; None when there is none, or no such number."""
    node = root
    for step in path:
        try:
            node = node[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    text = raw_text(root, path) or str(node)
    return Fraction(text) if re.fullmatch(r"[0-9]{1,2}(?:\.[0-9]{1,4})?", text) else None
