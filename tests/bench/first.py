# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First provisioning: many services from nothing, together and one by one, on the same host."""

from __future__ import annotations

import pathlib
import re
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from .converge import CONVERGE, HERE, WALKED, forget, inventory, names, play, run
from .onboard import EDGE_UNIT, on_host

SIZES = (10,)


def made(place: pathlib.Path, number: int, *arguments: str) -> float:
    """Seconds of the whole run that makes so many services."""
    forget(names(number))
    on_host(f"systemctl stop {EDGE_UNIT}; find /var/lib/caddy -path '*bench*' -delete; systemctl start {EDGE_UNIT}", check=False)
    seconds, done = run(place, CONVERGE, *arguments)
    if done.returncode:
        sys.exit(f"bench: {number} services were not made:\n{done.stdout[-6000:]}{done.stderr[-1000:]}")
    _again, again = run(place, CONVERGE, *arguments)
    told = " ".join(again.stdout.split())
    if again.returncode or f"{number} services: {number} in sync" not in told or re.search(r"changed=[1-9]", told):
        sys.exit(f"bench: the second run had something to do:\n{again.stdout[-6000:]}")
    return seconds


def measure(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Both ways side by side, each from nothing and proven by a second run that changes nothing."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in sizes:
            place = inventory(pathlib.Path(folder), number)
            try:
                together = made(place, number)
                alone = made(place, number, "-e", "provision_from=1000000")
                count = min(WALKED, number)
                start = play(place, HERE / "empty.yml")[0]
                loop = (play(place, HERE / "community.yml", "-l", ",".join(names(count)))[0] - start) / count
            finally:
                forget(names(number))
            figures |= {
                f"{number} services from nothing, together, s": together,
                f"{number} services from nothing, each by its role, s": alone,
                f"{number}: by role / together": alone / together,
                f"loop of community modules that has nothing to do, s for each (of {count})": loop,
                f"{number}: that loop / together": loop * number / together,
            }
    return figures
