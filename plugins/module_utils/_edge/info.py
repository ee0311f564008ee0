# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the edge serves for an instance, for caddy_info and for the plan of many."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._edge import pace, routes
from ansible_collections.meet.coop.plugins.module_utils._edge.account import account_uri
from ansible_collections.meet.coop.plugins.module_utils._edge.base import check_token, instance_routes
from ansible_collections.meet.coop.plugins.module_utils._edge.store import STORE_ARGUMENTS, Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "order_limit": {"type": "int", "default": pace.ORDER_LIMIT},
    "order_window": {"type": "int", "default": pace.ORDER_WINDOW},
    "acme_log": {"type": "path", "default": "/var/log/caddy/acme.log"},
    **STORE_ARGUMENTS,
}


def run(params: Mapping[str, Any], store: Store | None = None) -> dict[str, Any]:
    """What is there, for Ansible; of a `store` that was observed already where one is given. Raises CoopError."""
    if params["order_limit"] < 1 or params["order_window"] < 1:
        raise CoopError("order_limit and order_window have to be 1 or more")
    running, saved = (store or Store(params["admin"], params["config_file"])).observe()
    config = running if running is not None else saved
    route = routes.observe(instance_routes(config)).get(routes.check_id(params["id"])) or {}
    storage = ((config or {}).get("storage") or {}).get("root") or "/var/lib/caddy/.local/share/caddy"
    found = pace.pace(pace.orders(storage, params["acme_log"]), time.time(), params["order_limit"], params["order_window"])
    hosts = [host for matcher in route.get("match") or [] for host in matcher.get("host") or []]
    account = account_uri(config, storage)
    return {"changed": False, "hosts": hosts, "token": check_token(config), "account_uri": account, "pace": found.as_dict()}
