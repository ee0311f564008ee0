# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: bringing routes to their state, in the running Caddy and in the file it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._edge import routes
from ansible_collections.meet.coop.plugins.module_utils._edge.base import instance_routes
from ansible_collections.meet.coop.plugins.module_utils._edge.store import Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


@dataclass
class Kept:
    """Both sides of each route by its id (None = absent), and which differ."""

    wanted: dict[str, routes.Route | None]
    before: dict[str, dict[str, Any] | None]
    after: dict[str, dict[str, Any] | None]
    changed: list[str]
    running: bool


def keep(store: Store, items: Sequence[Mapping[str, Any]], write: bool) -> Kept:
    """Bring routes, each as routes.ROUTE_ARGUMENTS has them, to their state in one change; with `write` false say what would change.

    Routes that are not in `items` stay. Raises CoopError; then nothing is changed.
    """
    wanted: dict[str, routes.Route | None] = {}
    for item in items:
        route_id = routes.check_id(item["id"])
        if route_id in wanted:
            raise CoopError(f"route '{route_id}' stands twice in routes; keep one")
        wanted[route_id] = None
        if item["state"] != "absent":
            wanted[route_id] = routes.make_route(
                route_id,
                item["hosts"] or [],
                upstream=item["upstream"],
                upstreams=item["upstreams"],
                handlers=item["handlers"],
                static=item["static"],
                maintenance=item["state"] == "maintenance",
                trusted_proxies=item["trusted_proxies"],
                body_limit=item["body_limit"],
                patience=item["patience"],
            )
    after = {route_id: route.as_config() if route else None for route_id, route in wanted.items()}
    running, saved = store.observe()
    live, kept = (routes.observe(instance_routes(config)) for config in (running, saved))
    # What is running counts, unless it is as wanted and a run ended before it could save that.
    before = {route_id: (kept if live.get(route_id) == after[route_id] else live).get(route_id) for route_id in wanted}
    changed = [route_id for route_id in wanted if before[route_id] != after[route_id]]

    def plan(current: Any) -> list[dict[str, Any]] | None:
        if current is None:
            raise CoopError("Caddy runs without the server 'edge': apply role edge to this host first")
        return routes.diff(current, [route for route in wanted.values() if route], [key for key, route in wanted.items() if not route])

    if running is not None and changed:
        plan(routes.of_edge(running))
    if changed and write:
        store.change(routes.ROUTES, plan)
    return Kept(wanted, before, after, changed, running is not None)
