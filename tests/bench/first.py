# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First provisioning: many services from nothing, together and one by one, on the same host."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from .converge import forget, inventory
from .onboard import EDGE_UNIT, ROOT, on_host

SIZES = (10,)


def made(place: pathlib.Path, number: int, *arguments: str) -> float:
    """Seconds of the whole run that makes so many services."""
    forget(number)
    on_host(f"systemctl stop {EDGE_UNIT}; find /var/lib/caddy -path '*bench*' -delete; systemctl start {EDGE_UNIT}", check=False)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", str(place), str(ROOT / "playbooks" / "converge.yml"), *arguments]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if done.returncode:
        sys.exit(f"bench: {number} services were not made:\n{done.stdout[-6000:]}{done.stderr[-1000:]}")
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
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
            finally:
                forget(number)
            figures |= {
                f"{number} services from nothing, together, s": together,
                f"{number} services from nothing, each by its role, s": alone,
                f"{number}: by role / together": alone / together,
            }
    return figures
