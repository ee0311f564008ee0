# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An upgrade under steady load, beside the old version and in its place: what people notice; and how long the way back takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.containers import HOST, IMAGE, OLDER
from tests.support.edge import Edge
from tests.support.lab import bring_up
from tests.support.roles import apply_role
from tests.support.upgrades import Load, Quick, Site, make_image, timed


def under_load(site: Site, work: Callable[[], Any]) -> tuple[float, Any, Load]:
    with site.load() as load:
        seconds, result = timed(work)
    return seconds, result, load


def measure() -> dict[str, Any]:
    """3.7.1 to 3.8.2.4 beside each other and to one more in place, on the double, which starts faster than the real thing."""
    lab = bring_up()
    done = apply_role("container_host", HOST)
    if done.returncode:
        raise SystemExit(f"bench: {done.stdout[-3000:]}")
    edge = Edge(lab)
    edge.role()
    instance = Quick(lab, "bench-upgrade", (47900, 47919))
    instance.remove()
    try:
        instance.provide_database()
        site = Site(edge, instance)
        site.route(instance.good(image=OLDER)["port"], wait=60)
        instance.account()
        fine = make_image(lab, "fine")

        def beside(image: str) -> dict[str, Any]:
            result = instance.good(image=image, image_change="beside")
            site.route(result["port"])
            return result

        idle = under_load(site, lambda: instance.good(image=OLDER, image_change="keep"))[2]
        upgrade, _result, load = under_load(site, lambda: beside(IMAGE))
        # The module first, then the route: the way an operator goes back, without the start of Ansible.
        back, result, back_load = under_load(site, lambda: beside(OLDER))
        if result["version"] != "v3.7.1" or site.version() != "v3.7.1":
            raise SystemExit("bench: the way back did not lead back")
        in_place, _result, place_load = under_load(site, lambda: instance.good(image=fine))
        return {
            "upgrade beside, s": upgrade,
            "upgrade beside: requests": load.made,
            "upgrade beside: failed requests": len(load.failed),
            "upgrade beside: slowest request, s": load.slowest,
            "way back to the old version, s": back,
            "way back: requests": back_load.made,
            "way back: failed requests": len(back_load.failed),
            "way back: slowest request, s": back_load.slowest,
            "upgrade in place, s": in_place,
            "upgrade in place: requests": place_load.made,
            "upgrade in place: failed requests": len(place_load.failed),
            "upgrade in place: slowest request, s": place_load.slowest,
            "nothing happening: slowest request, s": idle.slowest,
            "slowest request, in place / beside": place_load.slowest / load.slowest,
        }
    finally:
        edge.clean()
        instance.remove()
