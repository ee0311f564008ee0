# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""C(./dev bench [NAME]): each benchmark prints its figures and ratios and keeps them as JSON in C(.bench/)."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from . import backup, converge, dns, drill, first, inventory, meter, month, onboard, pool, swarm, tenants, tls, upgrade

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "onboard": onboard.measure,
    "dns": dns.measure,
    "tls": tls.measure,
    "upgrade": upgrade.measure,
    "backup": lambda: {**backup.measure(), **drill.measure()},
    "month": month.measure,
    "pool": pool.measure,
    "pool-tenants": tenants.measure,
    "meter": meter.measure,
    "converge": converge.measure,
    "provision": first.measure,
    "inventory": inventory.measure,
    "swarm": swarm.measure,
}
SIZED: dict[str, Callable[[tuple[int, ...]], dict[str, Any]]] = {
    "converge": converge.measure,
    "provision": first.measure,
    "inventory": inventory.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Timings, side by side in one run.")
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="only this one")
    parser.add_argument(
        "--sizes", type=lambda text: tuple(map(int, text.split(","))), help="for converge, provision and inventory: how many, as 10,50"
    )
    given = parser.parse_args()
    wanted = given.name
    for name, measure in BENCHMARKS.items():
        if wanted in (None, name):
            figures = SIZED[name](given.sizes) if given.sizes and name in SIZED else measure()
            kept = ROOT / ".bench" / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}.json"
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(figures, indent=2) + "\n")
            print(f"{name}: kept in {kept.relative_to(ROOT)}")
            for label, value in figures.items():
                print(f"  {label:<52} {value:>8.2f}" if isinstance(value, float) else f"  {label:<52} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
