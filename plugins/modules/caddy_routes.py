#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_routes
short_description: Opens or closes the names of many instances at the edge in one reload
version_added: 0.1.0
description:
  - Does for a list of routes what M(meet.coop.caddy_route) does for one, in a single change of the running Caddy, for instance after a host
    was restored. All of them are there afterwards, or, when one of them cannot be served, none is changed.
  - Routes that are not in O(routes) stay as they are. Certificates are not waited for.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.caddy_store
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Where Caddy does not run yet, routes are predicted as new.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  routes:
    description: The routes, each with the options of M(meet.coop.caddy_route) of the same names.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Name of the route.
        type: str
        required: true
      hosts:
        description: Host names, the canonical one first. Required unless the state is V(absent).
        type: list
        elements: str
      upstreams:
        description: Instead of an upstream, the places where Greenlight may listen, of which the first that is well is asked.
        type: list
        elements: str
      upstream:
        description: Where Greenlight listens, as V(HOST:PORT).
        type: str
      handlers:
        description: Caddy's own handlers instead of an upstream.
        type: list
        elements: dict
      static:
        description: Directories to serve files from, by path prefix.
        type: dict
        default: {}
      body_limit:
        description: Octets that a request may carry.
        type: int
        default: 1048576
      patience:
        description:
          - Seconds that a request waits for an upstream that does not answer, such as one that is being replaced.
          - A request that changes something is not sent twice. It waits only until somebody takes it.
        type: int
        default: 5
      trusted_proxies:
        description: Address ranges of proxies in front of this one.
        type: list
        elements: str
        default: []
      state:
        description: Whether the route serves, answers with the maintenance page, or is gone.
        type: str
        choices: [present, maintenance, absent]
        default: present
seealso:
  - module: meet.coop.caddy_route
    description: One route, and waits for its certificates.
"""

EXAMPLES = r"""
- name: Open all names of a host in one reload
  meet.coop.caddy_routes:
    routes:
      - id: sunflower
        hosts: [sunflower.meet.example.org]
        upstream: 127.0.0.1:5001
      - id: rosa
        hosts: [meet.rosa.example, rosa.meet.example.org]
        upstream: 127.0.0.1:5002
      - id: cafe
        state: absent
"""

RETURN = r"""
routes:
  description: What became of each route, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Name of the route.
      type: str
    action:
      description: V(create), V(update), V(delete) or V(none).
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._edge import routes
from ansible_collections.meet.coop.plugins.module_utils._edge.keep import keep
from ansible_collections.meet.coop.plugins.module_utils._edge.store import STORE_ARGUMENTS, Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "routes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": routes.ROUTE_ARGUMENTS,
    },
    **STORE_ARGUMENTS,
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """All routes from options to result. Raises CoopError."""
    kept = keep(Store(params["admin"], params["config_file"]), params["routes"], write=not check_mode)
    before, after = kept.before, kept.after
    return {
        "changed": bool(kept.changed),
        "routes": [{"id": route_id, "action": _action(before[route_id], after[route_id])} for route_id in kept.wanted],
        "diff": {
            "before": {route_id: before[route_id] for route_id in kept.changed if before[route_id]},
            "after": {route_id: after[route_id] for route_id in kept.changed if after[route_id]},
            "before_header": routes.ROUTES,
            "after_header": routes.ROUTES,
        },
    }


def _action(before: Any, after: Any) -> str:
    if before == after:
        return "none"
    return "create" if before is None else "delete" if after is None else "update"


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
