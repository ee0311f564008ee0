# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The receipts that the last verification left, for a reader at a terminal."""

from __future__ import annotations

import json
from typing import Any

from .config import Lab
from .engine import LabError


def report(lab: Lab) -> str:
    """Every receipt in a few lines, then how to look at the sites by hand."""
    found = sorted((lab.state / "receipts").glob("*.json"))
    if not found:
        raise LabError(f"there is no receipt in {lab.state / 'receipts'} yet: ./dev demo makes them")
    lines: list[str] = []
    site = ""
    for path in found:
        receipt: dict[str, Any] = json.loads(path.read_text())
        site = site or receipt["hostname"]
        checks = receipt["checks"]
        bad = [check for check in checks if check["result"] == "failed"]
        skipped = sum(check["result"] == "skipped" for check in checks)
        passed = len(checks) - len(bad) - skipped
        lines.append(
            f"{receipt['instance']:<20} {'good' if receipt['ok'] else 'BAD ':<5} https://{receipt['hostname']}/  "
            f"{passed} checks passed, {len(bad)} failed, {skipped} skipped, {receipt['at']}"
        )
        lines += [f"    {check['check']}: {check['detail']}" for check in bad]
    address = lab.address("host1")
    lines += [
        "",
        f"Receipts       {lab.state / 'receipts'}/<instance>.json",
        f"Welcome pages  {lab.state / 'welcome'}/<instance>.html",
        f"Look           curl --cacert {lab.ca_file} --resolve {site}:443:{address} https://{site}/",
        f"               chromium --host-resolver-rules='MAP *.test {address}' --ignore-certificate-errors https://{site}/",
        f"On the hosts   docker exec -it {lab.container('host1')} bash",
        "Put away       ./dev lab down",
    ]
    return "\n".join(lines)
