# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Caddy's configuration apart from the routes of instances."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.reach import CHECK_PATH
from ansible_collections.meet.coop.plugins.module_utils._edge.routes import PREFIX, maintenance_response, of_edge
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

UNMATCHED_TLS = 421
"""Misdirected Request (RFC 9110 section 15.5.20): TLS was for a name that no route has."""
UNMATCHED_PLAIN = 404
MASK = "********"
CHECK_ID = "edge-check"


@dataclass(frozen=True)
class Base:
    """What a co-op decides about its edge. Durations in seconds, C(eab) is (key id, MAC key).

    C(certificates) are (file, key file, fingerprint): the fingerprint makes a renewed file another configuration, so that Caddy reads it.
    Names they cover get no certificate of their own: Caddy leaves out what a loaded one serves (autohttps.go).
    """

    admin: str = "unix//run/caddy/admin.sock"
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_email: str | None = None
    acme_ca_file: str | None = None
    acme_eab: tuple[str, str] | None = None
    acme_log: str | None = "/var/log/caddy/acme.log"
    access_log: str | None = None
    storage: str | None = None
    http_listen: tuple[str, ...] = (":80",)
    https_listen: tuple[str, ...] = (":443",)
    http3: bool = False
    grace_period: int = 10
    check_token: str | None = None
    certificates: tuple[tuple[str, str, str], ...] = ()

    def as_config(self) -> dict[str, Any]:
        """The configuration with no instance in it."""
        edge: dict[str, Any] = {
            "listen": list(self.https_listen),
            "protocols": ["h1", "h2", "h3"] if self.http3 else ["h1", "h2"],
            "routes": [_unmatched("edge-unmatched", UNMATCHED_TLS)],
            "errors": {
                "routes": [
                    {"match": [{"expression": "{http.error.status_code} in [502, 503, 504]"}], "handle": [maintenance_response()]},
                ]
            },
        }
        if self.access_log:
            edge["logs"] = {"default_logger_name": "edge"}
        config: dict[str, Any] = {
            # What must survive a restart is written by the modules of this collection, atomically; Caddy's own copy is not atomic.
            "admin": {"listen": self.admin, "config": {"persist": False}},
            "logging": {"logs": self._logs()},
            "apps": {
                "http": {
                    "grace_period": f"{self.grace_period}s",
                    "servers": {
                        "edge": edge,
                        "edge_http": {
                            "listen": list(self.http_listen),
                            "protocols": ["h1"],
                            "routes": [
                                *([_check(self.check_token)] if self.check_token else []),
                                _unmatched("edge-http-unmatched", UNMATCHED_PLAIN),
                            ],
                        },
                    },
                },
                "tls": {"automation": {"policies": [{"issuers": [self._issuer()]}]}},
            },
        }
        if self.certificates:
            config["apps"]["tls"]["certificates"] = {
                "load_files": [
                    {"certificate": certificate, "key": key, "tags": [fingerprint]} for certificate, key, fingerprint in self.certificates
                ]
            }
        if self.storage:
            config["storage"] = {"module": "file_system", "root": self.storage}
        return config

    def _issuer(self) -> dict[str, Any]:
        issuer: dict[str, Any] = {"module": "acme", "ca": self.acme_directory}
        if self.acme_email:
            issuer["email"] = self.acme_email
        if self.acme_ca_file:
            issuer["trusted_roots_pem_files"] = [self.acme_ca_file]
        if self.acme_eab:
            issuer["external_account"] = {"key_id": self.acme_eab[0], "mac_key": self.acme_eab[1]}
        return issuer

    def _logs(self) -> dict[str, Any]:
        logs: dict[str, Any] = {"default": {"level": "INFO", "exclude": ["http.log.access"]}}
        if self.acme_log:
            logs["acme"] = {
                "writer": _file(self.acme_log),
                "encoder": {"format": "json"},
                "include": ["tls"],
            }
        if self.access_log:
            # Enough to count and to find faults: shortened addresses, no headers, no query strings (they carry reset tokens).
            logs["access"] = {
                "writer": _file(self.access_log),
                "include": ["http.log.access.edge"],
                "encoder": {
                    "format": "filter",
                    "wrap": {"format": "json"},
                    "fields": {
                        "request>remote_ip": {"filter": "ip_mask", "ipv4_cidr": 16, "ipv6_cidr": 32},
                        "request>remote_port": {"filter": "delete"},
                        "request>headers": {"filter": "delete"},
                        "request>uri": {"filter": "regexp", "regexp": "\\?.*$", "value": ""},
                        "resp_headers": {"filter": "delete"},
                    },
                },
            }
        return logs


def _file(name: str) -> dict[str, Any]:
    return {"output": "file", "filename": name, "roll_size_mb": 10, "roll_keep": 5}


def _unmatched(key: str, status: int) -> dict[str, Any]:
    return {
        "@id": key,
        "handle": [
            {"handler": "headers", "response": {"deferred": True, "delete": ["Server"]}},
            {"handler": "static_response", "status_code": status},
        ],
    }


def _check(token: str) -> dict[str, Any]:
    """Shows for any name that it is this edge that answers, before the name has a route: see domain_check."""
    return {
        "@id": CHECK_ID,
        # Caddy puts its redirects of known hosts behind the last route with a host in its matchers, else before all (autohttps.go).
        "match": [{"path": [f"{CHECK_PATH}*"]}, {"host": ["edge-check.invalid"]}],
        "handle": [
            {"handler": "headers", "response": {"deferred": True, "delete": ["Server"]}},
            {
                "handler": "static_response",
                "headers": {"Content-Type": ["text/plain; charset=utf-8"], "Cache-Control": ["no-store"]},
                "body": f"{token} {{http.request.uri.path.file}}",
            },
        ],
        "terminal": True,
    }


def binding_key(key_id: str, mac_key: str) -> tuple[str, str]:
    """External account binding as Caddy takes it, which knows base64url without padding alone and would only say so at an order.

    Raises CoopError, which does not tell the key.
    """
    key = mac_key.strip().rstrip("=")
    if not key_id.strip():
        raise CoopError("acme_eab: key_id is empty; write the key identifier that the authority gave")
    if not re.fullmatch(r"[A-Za-z0-9_-]{2,}", key) or len(key) % 4 == 1:
        raise CoopError("acme_eab: mac_key is not base64url (A-Z a-z 0-9 - _), whole; write it as the authority shows it")
    return key_id.strip(), key


def check_token(config: Mapping[str, Any] | None) -> str | None:
    """The token of the edge inside a whole configuration."""
    routes: Any = config
    for key in ("apps", "http", "servers", "edge_http", "routes"):
        routes = routes.get(key) if isinstance(routes, Mapping) else None
    for route in routes or []:
        if route.get("@id") == CHECK_ID:
            return str(route["handle"][-1].get("body", "")).partition(" ")[0] or None
    return None


def instance_routes(config: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The routes of instances inside a whole configuration."""
    return [route for route in of_edge(config or {}) or [] if str(route.get("@id", "")).startswith(PREFIX)]


def with_routes(base: Mapping[str, Any], routes: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole configuration: the base, and these routes before its answer to unknown hosts."""
    config = copy.deepcopy(dict(base))
    edge = config["apps"]["http"]["servers"]["edge"]
    edge["routes"] = [*copy.deepcopy(routes), *edge["routes"]]
    return config


def without_routes(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """A whole configuration less the routes of instances, to compare with a base."""
    rest = copy.deepcopy(dict(config or {}))
    routes = instance_routes(rest)
    if routes:
        edge = rest["apps"]["http"]["servers"]["edge"]
        edge["routes"] = [route for route in edge["routes"] if route not in routes]
    return rest


def masked(value: Any) -> Any:
    """The same configuration with secrets covered, for diffs."""
    if isinstance(value, Mapping):
        if value.get("@id") == CHECK_ID:
            # Random at the first run, so that a prediction could not be kept.
            return {"@id": CHECK_ID}
        return {key: MASK if key in ("mac_key", "account_key") else masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value
