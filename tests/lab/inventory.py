# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts and membership as an inventory: inventories/lab, or a copy of it with the addresses of a lab in another network."""

from __future__ import annotations

import shutil

from .config import REPOSITORY, Lab

SHIPPED = REPOSITORY / "inventories" / "lab"


def ensure(lab: Lab) -> bool:
    """Bring a lab's own copy up to date; a lab in the default network needs none. Returns whether something was written."""
    if lab.inventory == SHIPPED:
        return False
    shipped, own = (Lab(subnet=network).address("host1") for network in (Lab().subnet, lab.subnet))
    members = (SHIPPED / "members.yml").read_text(encoding="utf-8").replace(f"address: {shipped}", f"address: {own}")
    files = {path.relative_to(SHIPPED): path.read_text(encoding="utf-8") for path in SHIPPED.rglob("*.yml")}
    files[(SHIPPED / "members.yml").relative_to(SHIPPED)] = members
    there = {path.relative_to(lab.inventory): path.read_text(encoding="utf-8") for path in lab.inventory.rglob("*.yml")}
    if there == files:
        return False
    shutil.rmtree(lab.inventory, ignore_errors=True)
    for path, text in files.items():
        (lab.inventory / path).parent.mkdir(parents=True, exist_ok=True)
        (lab.inventory / path).write_text(text, encoding="utf-8")
    return True
