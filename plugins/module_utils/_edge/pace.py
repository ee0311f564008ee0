# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how many certificates may be asked for now, below what the authority allows one account in a span of time."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ORDER_LIMIT = 270
"""Nine tenths of Let's Encrypt's 300 new orders for each account in ORDER_WINDOW seconds."""
ORDER_WINDOW = 10_800
_ASKED = "obtaining certificate"


@dataclass(frozen=True)
class Pace:
    """What one edge has asked its authority for lately, and what is left. Times in seconds."""

    limit: int
    window: int
    recent: int
    allowance: int
    wait: int

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "every": round(self.window / self.limit, 1)}


def pace(orders: Sequence[float], now: float, limit: int = ORDER_LIMIT, window: int = ORDER_WINDOW) -> Pace:
    """The pace after orders at these Unix times: how many may follow at once, and in how many seconds one more may."""
    recent = sorted(at for at in orders if now - window < at <= now)
    allowance = max(0, limit - len(recent))
    # The order whose leaving of the window makes room for one more.
    wait = 0 if allowance else int(recent[len(recent) - limit] + window - now) + 1
    return Pace(limit, window, len(recent), allowance, wait)


def orders(storage: str, log: str) -> list[float]:
    """When this edge asked for certificates: by its log, which has failures too, or by the files, whichever knows of more."""
    kept = [entry.stat().st_mtime for entry in _certificates(storage)]
    asked = []
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                if _ASKED not in line:
                    continue
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if entry.get("msg") == _ASKED:
                    asked.append(float(entry.get("ts") or 0))
    except OSError:
        pass
    return max(kept, asked, key=len)


def _certificates(storage: str) -> list[os.DirEntry[str]]:
    """Files of certificates in Caddy's storage: certificates/AUTHORITY/NAME/NAME.crt."""
    found: list[os.DirEntry[str]] = []
    places = [os.path.join(storage, "certificates")]
    for _level in range(2):
        places = [entry.path for place in places for entry in _entries(place) if entry.is_dir()]
    for place in places:
        found += [entry for entry in _entries(place) if entry.name.endswith(".crt")]
    return found


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as found:
            return list(found)
    except OSError:
        return []
