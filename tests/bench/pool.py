# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pool costs: a function per table. Rolling maintenance under a stream of new meetings is the first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from tests.lab.config import NODES
from tests.support.ansible import INVENTORY, ROOT, environment, run_module
from tests.support.lab import bring_up
from tests.support.people import People, Stream, all_in_service
from tests.support.pool import provide

GROUPS = int(os.environ.get("BENCH_POOL_GROUPS") or 6)
"""Groups that meet at a time, one meeting after the other."""
SECONDS = 2.0
"""How long each meeting takes."""


def rolling() -> dict[str, Any]:
    """All nodes are configured anew by playbook nodes while people meet; then the same again with nothing to do."""
    lab = bring_up()
    pool = provide(lab)
    all_in_service(pool)
    with People.of(pool, run_module) as people:
        # Another value each time, so that there is something to do.
        wish = {"bbb_node_web": {"maxNumPages": 200 + int(time.time()) % 10000}}
        with Stream(people, GROUPS, SECONDS) as stream:
            begun = time.monotonic()
            _nodes(wish)
            took = time.monotonic() - begun
    begun = time.monotonic()
    _nodes(wish)
    idle = time.monotonic() - begun
    all_in_service(pool)
    return {
        "rolling maintenance: nodes": len(NODES),
        "meetings begun meanwhile": len(stream.met) + len(stream.cut),
        "meetings cut off": len(stream.cut),
        "fewest nodes in service": stream.least_in_service,
        "all nodes drained, written, restarted, proven, s": took,
        "nothing to do, s": idle,
    }


def _nodes(variables: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(INVENTORY / "hosts.yml"), "playbooks/nodes.yml"]
    done = subprocess.run([*command, "-e", json.dumps({"node_maintenance_timeout": 300, **variables})], cwd=ROOT, env=environment(),
                          text=True, capture_output=True, check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"bench: playbook nodes failed:\n{done.stdout[-3000:]}")


def measure() -> dict[str, Any]:
    """All tables."""
    return rolling()
