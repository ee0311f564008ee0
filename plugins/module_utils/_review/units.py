# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how much of the host the services of our roles could reach, as ``systemd-analyze security`` rates them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding

OWN = re.compile(r"(.+\.service)\.d/meet-coop\.conf|(.+\.service)")


def ours(files: Mapping[str, str]) -> list[str]:
    """Units that our roles ship, or start with a command of theirs, by files below /etc/systemd/system (name: text).

    A drop-in that only says what comes after what leaves the unit the distribution's.
    """
    found = set()
    for name, text in files.items():
        match = OWN.fullmatch(name)
        if match and (match[2] or re.search(r"^\[Service\]", text, re.MULTILINE)) and (match[1] or "meet.coop" in text):
            # A template is looked at as any one of its units.
            found.add((match[1] or match[2]).replace("@.", "@review."))
    return sorted(found)


def exposures(text: str) -> dict[str, float]:
    """What ``systemd-analyze security UNIT...`` tells: from 0 (held fast) to 10 (may do anything)."""
    return {unit: float(level) for unit, level in re.findall(r"Overall exposure level for (\S+): ([\d.]+)", text)}


def judge(rated: Mapping[str, float], most: float) -> list[Finding]:
    """Units that could reach more than ``most`` says."""
    return [
        Finding(
            "unit-exposed",
            unit.replace("@review.", "@."),
            f"systemd-analyze security rates {unit} with {level:.1f}, and {most:.1f} is the most",
            f"Run the role that brings it again; systemd-analyze security {unit} says what is open. Look for drop-ins that loosen it",
        )
        for unit, level in sorted(rated.items())
        if level > most
    ]
