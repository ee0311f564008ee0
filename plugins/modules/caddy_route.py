#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_route
short_description: Opens or closes the names of an instance at the edge
version_added: 0.1.0
description:
  - Keeps one route in a running Caddy through its admin API, found again by its C(@id). Nobody else's route is touched, and no request in
    flight is dropped. A configuration that Caddy refuses changes nothing.
  - The first host is canonical; the others answer with a permanent redirect (308) to it. Caddy gets a certificate for each.
  - With O(upstream), the route does what Greenlight needs. It passes the public host name, sets C(X-Forwarded-For), C(X-Forwarded-Proto)
    and C(X-Forwarded-Host) itself, passes WebSocket, allows uploads only where Greenlight takes them, and answers 404 for
    C(/api/v1/migrations), where accounts could be written with nothing but a secret.
  - C(includeSubDomains) and C(preload) are taken out of C(Strict-Transport-Security), which Greenlight always sends, since they would bind
    other sites of a member that uses its bare domain.
  - The whole configuration is also written to O(config_file), from which Caddy starts.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.caddy_store
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details: Where Caddy does not run yet, the route is predicted as new. Certificates are not waited for.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  id:
    description: Name of the route, usually the id of the service.
    type: str
    required: true
  hosts:
    description: Host names the route serves. The first is canonical. Required unless O(state=absent).
    type: list
    elements: str
  upstream:
    description: Where Greenlight listens, as V(HOST:PORT).
    type: str
  upstreams:
    description:
      - Instead of O(upstream), the places where Greenlight may listen, such as the nodes of a Docker Swarm. The first that is well is
        asked.
      - With more than one, Caddy looks at each every five seconds, and a request that meets one that is down goes on to the next.
    type: list
    elements: str
  handlers:
    description:
      - Caddy's own handlers, as its JSON configuration has them, instead of O(upstream).
      - They come after the redirect of the other hosts.
    type: list
    elements: dict
  static:
    description: Directories to serve files from, by path prefix, before O(upstream) is asked. Caddy must be able to read them.
    type: dict
    default: {}
  body_limit:
    description: Octets that a request may carry, apart from Greenlight's upload paths, which have their own limits. For O(upstream) only.
    type: int
    default: 1048576
  patience:
    description:
      - Seconds that a request waits for an upstream that does not answer, such as one that is being replaced.
      - A request that changes something is not sent twice. It waits only until somebody takes it.
    type: int
    default: 5
  trusted_proxies:
    description:
      - Address ranges of proxies in front of this one, whose C(X-Forwarded-*) headers are believed. For O(upstream) only.
    type: list
    elements: str
    default: []
  state:
    description:
      - V(maintenance) keeps the names and their certificates, and answers 503 with a page for people.
      - V(absent) removes the route. Certificates stay in Caddy's storage.
    type: str
    choices: [present, maintenance, absent]
    default: present
  wait_certificate:
    description:
      - Seconds to wait until each host is served on O(connect) with a certificate that names it and chains to O(ca_file).
      - An authority that cannot be reached at all is given up after about half a minute.
      - V(0) does not wait.
    type: int
    default: 0
  ca_file:
    description: File of the authorities to accept while waiting. Left out, those of the system.
    type: path
  connect:
    description: Address and port where this host serves TLS.
    type: str
    default: 127.0.0.1:443
  acme_log:
    description: Caddy's log of its dealings with the authority, to tell why a certificate did not come.
    type: path
    default: /var/log/caddy/acme.log
seealso:
  - module: meet.coop.caddy_base
    description: Everything in Caddy's configuration but the routes.
"""

EXAMPLES = r"""
- name: Open the names of an instance and wait for their certificates
  meet.coop.caddy_route:
    id: sunflower
    hosts: [meet.sunflower.example, sunflower.meet.example.org]
    upstream: 127.0.0.1:5000
    static:
      /branding: /srv/branding/sunflower
    wait_certificate: 120

- name: Serve something else by Caddy's own handlers
  meet.coop.caddy_route:
    id: status
    hosts: [status.example.org]
    handlers:
      - handler: static_response
        status_code: 200
        body: good

- name: Tell people that work is being done
  meet.coop.caddy_route:
    id: sunflower
    hosts: [meet.sunflower.example, sunflower.meet.example.org]
    state: maintenance

- name: Close the names
  meet.coop.caddy_route:
    id: sunflower
    state: absent
"""

RETURN = r"""
route:
  description: The route as Caddy keeps it, or null when it is absent.
  returned: success
  type: dict
certificate_seconds:
  description: How long was waited for certificates.
  returned: when O(wait_certificate) is not 0 and not in check mode
  type: float
  sample: 4.3
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._edge import certificate, routes
from ansible_collections.meet.coop.plugins.module_utils._edge.admin import AdminUnreachable
from ansible_collections.meet.coop.plugins.module_utils._edge.keep import keep
from ansible_collections.meet.coop.plugins.module_utils._edge.store import Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """One route from options to result. Raises CoopError."""
    started = time.time()
    store = Store(params["admin"], params["config_file"])
    kept = keep(store, [params], write=not check_mode)
    ((route_id, wanted),) = kept.wanted.items()
    before, after = kept.before[route_id], kept.after[route_id]
    header = routes.PREFIX + route_id
    result: dict[str, Any] = {
        "changed": bool(kept.changed),
        "route": after,
        "diff": {"before": before or {}, "after": after or {}, "before_header": header, "after_header": header},
    }
    if wanted and params["wait_certificate"] and not check_mode:
        if not kept.running and not kept.changed:
            raise AdminUnreachable(f"Caddy's admin address {params['admin']} does not answer: is Caddy running?")
        _wait(params, wanted, store, started, bool(kept.changed))
        result["certificate_seconds"] = round(time.time() - started, 2)
    return result


def _wait(params: dict[str, Any], wanted: routes.Route, store: Store, started: float, changed: bool) -> None:
    address = certificate.address(params["connect"])
    missing = certificate.wait(
        wanted.hosts,
        address,
        params["ca_file"],
        params["wait_certificate"],
        nudge=store.restart_attempts,
        log=params["acme_log"],
        fresh=changed,
    )
    if missing:
        told = []
        for name, why in missing.items():
            said = certificate.last_error(name, params["acme_log"], started - 3600)
            when = f", {(started - said[1]) / 60:.0f} minutes before this run," if said and started - said[1] > 30 else ""
            told.append(f"{name}: {why}" + (f"; the authority's answer to Caddy{when} was: {said[0]}" if said else ""))
        raise CoopError(f"not served well after {time.time() - started:.0f} s: " + "; ".join(told))


def main() -> None:
    module = AnsibleModule(
        certificate.ROUTE_AND_WAIT_ARGUMENTS,
        supports_check_mode=True,
        required_if=[("state", "present", ["hosts"]), ("state", "maintenance", ["hosts"])],
        mutually_exclusive=[("upstream", "handlers")],
    )
    try:
        result = run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
