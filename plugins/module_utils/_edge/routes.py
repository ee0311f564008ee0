# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: routes of instances as parts of Caddy's configuration.

One route for each instance, found again by its C(@id). What it does is what Greenlight needs of a proxy: greenlight greenlight-v3.nginx for
body limits, config/environments/production.rb for X-Forwarded-Proto and the host name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.names import ascii_name
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ROUTES = "/config/apps/http/servers/edge/routes"
PREFIX = "route-"

LIVENESS = "/api/v1/env.json"
"""What a Greenlight that can serve answers with 200 (greenlight app/controllers/api/v1/env_controller.rb)."""
DEFAULT_BODY_LIMIT = 1024**2
DEFAULT_PATIENCE = 5

ROUTE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "id": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str"},
    "upstream": {"type": "str"},
    "upstreams": {"type": "list", "elements": "str"},
    "handlers": {"type": "list", "elements": "dict"},
    "static": {"type": "dict", "default": {}},
    "body_limit": {"type": "int", "default": DEFAULT_BODY_LIMIT},
    "patience": {"type": "int", "default": DEFAULT_PATIENCE},
    "trusted_proxies": {"type": "list", "elements": "str", "default": []},
    "state": {"type": "str", "choices": ["present", "maintenance", "absent"], "default": "present"},
}
"""Argument spec of one route, as an option each (caddy_route) or as an element of a list (caddy_routes)."""
BODY_LIMITS: tuple[tuple[str, int], ...] = (
    (r"^/api/v1/rooms/\w{3}-\w{3}-\w{3}-\w{3}\.json$", 31 * 1024**2),
    (r"^/api/v1/users/\w{8}-\w{4}-\w{4}-\w{4}-\w{12}\.json$", 4 * 1024**2),
    (r"^/api/v1/admin/site_settings/BrandingImage\.json$", 4 * 1024**2),
)
"""Octets a request may carry to Greenlight's three upload paths (greenlight-v3.nginx); everything else gets nginx's default."""

BLOCKED = ("/api/v1/migrations", "/api/v1/migrations/*")
"""Greenlight's import of v2 data writes accounts with nothing but a shared secret (config/routes.rb, namespace :migrations)."""

FORGEABLE = (
    "Client-Ip",
    "Forwarded",
    "X-Client-Ip",
    "X-Forwarded-Port",
    "X-Forwarded-Scheme",
    "X-Forwarded-Ssl",
    "X-Original-Url",
    "X-Rewrite-Url",
)
"""Headers from outside that Rack and Rails would believe. X-Forwarded-For, -Proto and -Host are set by Caddy and need no dropping."""

HSTS: dict[str, Any] = {
    "replace": {"Strict-Transport-Security": [{"search_regexp": "(?i)\\s*;\\s*(includeSubDomains|preload)\\b", "replace": ""}]}
}
"""Greenlight binds all names below its own to HTTPS too (config.force_ssl). Of a member's bare domain that would be all other sites."""

MAINTENANCE_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<title>Back soon</title><body style="font-family:sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem">'
    "<h1>Back soon</h1><p>This service is being worked on. Please try again in a few minutes.</p></body></html>"
)

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_UPSTREAM = re.compile(r"([a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")


class RouteError(CoopError):
    """A route that can't be served as asked."""


@dataclass(frozen=True)
class Route:
    """What one instance needs of the edge. The first host is canonical, the others redirect to it."""

    id: str
    hosts: tuple[str, ...]
    #: Where Greenlight may listen, the first that answers in this order.
    upstreams: tuple[str, ...] = ()
    handlers: tuple[Mapping[str, Any], ...] | None = None
    static: Mapping[str, str] = field(default_factory=dict)
    maintenance: bool = False
    trusted_proxies: tuple[str, ...] = ()
    body_limit: int = DEFAULT_BODY_LIMIT
    #: Seconds that a request waits for an upstream that does not answer.
    patience: int = DEFAULT_PATIENCE

    @property
    def key(self) -> str:
        return PREFIX + self.id

    def as_config(self) -> dict[str, Any]:
        """The route as Caddy keeps it."""
        canonical, *aliases = self.hosts
        inner: list[dict[str, Any]] = [{"handle": [{"handler": "headers", "response": {"deferred": True, "delete": ["Server"]} | HSTS}]}]
        if aliases:
            location = f"https://{canonical}{{http.request.uri}}"
            inner.append(_stop({"host": aliases}, {"handler": "static_response", "status_code": 308, "headers": {"Location": [location]}}))
        if self.maintenance:
            inner.append({"handle": [maintenance_response()]})
        elif self.handlers is not None:
            inner.append({"handle": [dict(handler) for handler in self.handlers]})
        else:
            inner += self._greenlight(canonical)
        return {
            "@id": self.key,
            "match": [{"host": list(self.hosts)}],
            "handle": [{"handler": "subroute", "routes": inner}],
            "terminal": True,
        }

    def _greenlight(self, canonical: str) -> list[dict[str, Any]]:
        inner = [_stop({"path": list(BLOCKED)}, {"handler": "static_response", "status_code": 404})]
        for prefix, directory in sorted(self.static.items()):
            inner.append(
                _stop(
                    {"path": [f"{prefix}/*"]},
                    {
                        "handler": "headers",
                        "response": {
                            "set": {
                                "Cache-Control": ["max-age=300"],
                                "Content-Security-Policy": ["default-src 'none'; style-src 'unsafe-inline'"],
                                "X-Content-Type-Options": ["nosniff"],
                            }
                        },
                    },
                    {"handler": "rewrite", "strip_path_prefix": prefix},
                    {"handler": "file_server", "root": directory, "index_names": ["index.html"]},
                )
            )
        for pattern, octets in BODY_LIMITS:
            limits = _limited(max(octets, self.body_limit))
            inner.append({"group": "body", "match": [{"path_regexp": {"pattern": pattern}}], "handle": [limits]})
        inner.append({"group": "body", "handle": [_limited(self.body_limit)]})
        proxy: dict[str, Any] = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": upstream} for upstream in self.upstreams],
            "headers": {"request": {"delete": list(FORGEABLE), "set": {"X-Real-Ip": ["{http.request.remote.host}"]}}},
            "load_balancing": {"try_duration": f"{self.patience}s", "try_interval": "250ms"},
        }
        if len(self.upstreams) > 1:
            proxy["load_balancing"]["selection_policy"] = {"policy": "first"}
            proxy["health_checks"] = {
                "active": {
                    "uri": LIVENESS,
                    "headers": {"Host": [canonical], "Accept": ["application/json"], "X-Forwarded-Proto": ["https"]},
                    "interval": "5s",
                    "timeout": "5s",
                    "expect_status": 200,
                },
                # Found by a request before the next look: not asked again for as long as one look takes.
                "passive": {"fail_duration": "5s"},
            }
            # A machine without power does not even refuse.
            proxy["transport"] = {"protocol": "http", "dial_timeout": "2s"}
        if self.trusted_proxies:
            proxy["trusted_proxies"] = list(self.trusted_proxies)
        inner.append({"handle": [proxy]})
        return inner


def _stop(match: dict[str, Any], *handlers: dict[str, Any]) -> dict[str, Any]:
    return {"match": [match], "handle": list(handlers), "terminal": True}


def _limited(octets: int) -> dict[str, Any]:
    """Refuse what says it is too large before a byte is read; count what doesn't say."""
    length = "{http.request.header.Content-Length}"
    return {
        "handler": "subroute",
        "routes": [
            {
                "match": [{"expression": f"{length}.matches('^[0-9]{{1,18}}$') && int({length}) > {octets}"}],
                "handle": [{"handler": "static_response", "status_code": 413, "close": True}],
                "terminal": True,
            },
            {"handle": [{"handler": "request_body", "max_size": octets}]},
        ],
    }


def maintenance_response() -> dict[str, Any]:
    """A page for people while an instance is away."""
    return {
        "handler": "static_response",
        "status_code": 503,
        "headers": {"Content-Type": ["text/html; charset=utf-8"], "Retry-After": ["60"], "Cache-Control": ["no-store"]},
        "body": MAINTENANCE_PAGE,
    }


def make_route(
    route_id: str,
    hosts: Sequence[str],
    upstream: str | None = None,
    upstreams: Sequence[str] | None = None,
    handlers: Sequence[Mapping[str, Any]] | None = None,
    static: Mapping[str, str] | None = None,
    maintenance: bool = False,
    trusted_proxies: Sequence[str] = (),
    body_limit: int = DEFAULT_BODY_LIMIT,
    patience: int = DEFAULT_PATIENCE,
) -> Route:
    """A checked route. Raises RouteError with one line."""
    check_id(route_id)
    if not hosts:
        raise RouteError(f"route '{route_id}': hosts is empty; name at least the host it serves")
    names = []
    for host in hosts:
        name = ascii_name(host.strip().rstrip("."))
        if not _HOST.fullmatch(name) or len(name) > 253:
            raise RouteError(f"route '{route_id}': '{host}' is not a whole host name such as meet.example.org")
        if name not in names:
            names.append(name)
    if upstream is not None and upstreams:
        raise RouteError(f"route '{route_id}': write either upstream or upstreams")
    places = [upstream] if upstream is not None else list(upstreams or ())
    if not maintenance and bool(places) == (handlers is not None):
        raise RouteError(f"route '{route_id}': write either upstream or handlers")
    for place in places:
        if not _UPSTREAM.fullmatch(place):
            raise RouteError(f"route '{route_id}': upstream '{place}' is not HOST:PORT such as 127.0.0.1:5000")
    if not 0 <= patience <= 600:
        raise RouteError(f"route '{route_id}': patience {patience} is not between 0 and 600 seconds")
    clean_static = {}
    for prefix, directory in (static or {}).items():
        path = "/" + prefix.strip("/")
        if path == "/" or "*" in path or not str(directory).startswith("/"):
            raise RouteError(f"route '{route_id}': static '{prefix}: {directory}' is not a path prefix and a whole directory name")
        clean_static[path] = str(directory)
    return Route(
        id=route_id,
        hosts=tuple(names),
        upstreams=tuple(dict.fromkeys(places)),
        handlers=tuple(handlers) if handlers is not None else None,
        static=clean_static,
        maintenance=maintenance,
        trusted_proxies=tuple(trusted_proxies),
        body_limit=body_limit,
        patience=patience,
    )


def check_id(route_id: str) -> str:
    if not _ID.fullmatch(route_id):
        raise RouteError(f"route id '{route_id}' must be lower-case letters, digits and '-'")
    return route_id


def observe(routes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The routes of instances in a server's list of routes: id -> route as Caddy keeps it."""
    return {str(route["@id"]).removeprefix(PREFIX): dict(route) for route in routes if str(route.get("@id", "")).startswith(PREFIX)}


def of_edge(config: Mapping[str, Any]) -> Any:
    """The list of routes inside a whole configuration, None where the server is missing."""
    found: Any = config
    for key in ("apps", "http", "servers", "edge", "routes"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def hosts_of(route: Mapping[str, Any]) -> set[str]:
    return {host for matcher in route.get("match") or [] for host in matcher.get("host") or []}


def diff(routes: Sequence[Mapping[str, Any]], wanted: Sequence[Route], unwanted: Sequence[str] = ()) -> list[dict[str, Any]] | None:
    """The whole new list of routes, or None when it already is as wanted.

    Routes of others keep their place; new ones come before the last, which answers for unknown hosts. Raises RouteError when a host
    would be served by two routes.
    """
    configs = {route.key: route.as_config() for route in wanted}
    gone = {PREFIX + route_id for route_id in unwanted}
    result: list[dict[str, Any]] = []
    placed: set[str] = set()
    for route in routes:
        key = str(route.get("@id", ""))
        if key in gone or key in placed:
            continue
        if key in configs:
            placed.add(key)
        result.append(configs.get(key) or dict(route))
    new = [config for key, config in configs.items() if key not in placed]
    catch_all = (index for index, route in enumerate(result) if not route.get("match"))
    last = next(catch_all, len(result))
    result[last:last] = new

    owners: dict[str, str] = {}
    for route in result:
        key = str(route.get("@id", ""))
        for host in hosts_of(route):
            other = owners.setdefault(host, key)
            if other != key:
                first, second = (other.removeprefix(PREFIX), key.removeprefix(PREFIX))
                raise RouteError(f"host {host} would be served by two routes, '{first}' and '{second}'; give it to one of them")
    return None if result == [dict(route) for route in routes] else result
