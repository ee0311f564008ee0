# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node of a Swarm loses its power under load: how long its instances are away, and what the others notice of it."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.support import ansible, swarm
from tests.support.containers import HOST
from tests.support.lab import bring_up
from tests.support.swarm import SwarmInstance, Watch

INSTANCES = 4
LOST = "host2"
LONGEST = 300.0
"""Seconds after which an instance that does not come back never will."""


def measure() -> dict[str, Any]:
    """Half of the instances on the node that is lost, the others on the one with the database; then the node comes back."""
    lab = bring_up()
    with tempfile.TemporaryDirectory(prefix="bench-swarm-") as scratch, swarm.two_nodes(lab, Path(scratch)):
        made = [SwarmInstance(lab, ansible.run_module, f"bench-{number}", (5950, 5999)) for number in range(INSTANCES)]
        try:
            return _measure(made)
        finally:
            for instance in made:
                instance.remove()


def _measure(made: list[SwarmInstance]) -> dict[str, Any]:
    lab, upstreams = made[0].lab, {}
    for number, instance in enumerate(made):
        instance.remove()
        instance.provide_database()
        # Where it starts is where the other node takes nobody at that moment; nothing of that stays in its specification.
        closed = HOST if number % 2 else LOST
        lab.exec(HOST, ["docker", "node", "update", "--availability", "pause", f"{closed}.lab.test"])
        instance.good()
        lab.exec(HOST, ["docker", "node", "update", "--availability", "active", f"{closed}.lab.test"])
        upstreams[instance.name] = instance.good()["upstreams"]
    on_lost = [instance for instance in made if instance.node() == LOST]
    elsewhere = [instance for instance in made if instance not in on_lost]
    if not on_lost or not elsewhere:
        raise SystemExit("bench: the instances are not on both nodes")
    with ExitStack() as stack:
        watches = {one.name: stack.enter_context(Watch(partial(_answers, one, upstreams[one.name]))) for one in made}
        time.sleep(5)
        begun = time.monotonic()
        swarm.lose(lab, LOST)
        back: dict[str, float] = {}
        while len(back) < len(on_lost) and time.monotonic() - begun < LONGEST:
            for one in on_lost:
                if one.name not in back and _answers(one, upstreams[one.name]):
                    back[one.name] = time.monotonic() - begun
        if len(back) < len(on_lost):
            raise SystemExit(f"bench: after {LONGEST:.0f} s only {len(back)} of {len(on_lost)} instances serve again")
    swarm.find_again(lab, LOST)
    return {
        "instances on the lost node": len(on_lost),
        "seconds until the first serves again": min(back.values()),
        "seconds until all serve again": max(back.values()),
        "instances elsewhere": len(elsewhere),
        "requests elsewhere": sum(watches[one.name].asked for one in elsewhere),
        "requests lost elsewhere": sum(watches[one.name].lost for one in elsewhere),
        "longest wait elsewhere, s": max(watches[one.name].gap for one in elsewhere),
    }


def _answers(instance: SwarmInstance, upstreams: list[str]) -> bool:
    """Whether a visitor gets an answer, who tries one place after the other as the edge does."""
    return any(instance.asked(upstream).endswith(" 200") for upstream in upstreams)
