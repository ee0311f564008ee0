#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: caddy_base
short_description: Keeps Caddy's configuration apart from the routes of instances
version_added: 0.1.0
description:
  - Writes the file that Caddy starts from, and brings a running Caddy to the same through its admin API. Routes made by
    M(meet.coop.caddy_route) stay as they are.
  - The configuration has a server C(edge) for HTTPS, which answers 421 for unknown hosts, a server for plain HTTP, which redirects known
    hosts and answers 404 for others, and the certificate authority.
  - On port 80 the edge answers for any name below C(/.well-known/coop-check/) with a token drawn once, by which M(meet.coop.domain_check)
    knows that a name leads here before anything is served under it.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.caddy_store
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  acme_directory:
    description: Directory URL of the certificate authority.
    type: str
    default: https://acme-v02.api.letsencrypt.org/directory
  acme_email:
    description: Contact address for the authority.
    type: str
  acme_ca_file:
    description: File of the authorities that the ACME directory's own certificate chains to, for private ones.
    type: path
  acme_eab:
    description: External account binding, where the authority asks for it.
    type: dict
    suboptions:
      key_id:
        description: Key identifier that the authority gave.
        type: str
        required: true
      mac_key:
        description: The MAC key, base64url, with or without C(=) at its end.
        type: str
        required: true
  acme_log:
    description: Log file of Caddy's dealings with the authority.
    type: path
    default: /var/log/caddy/acme.log
  access_log:
    description: Access log file, with shortened addresses and without headers or query strings. Left out, no access is logged.
    type: path
  storage:
    description: Directory of certificates and account keys. Left out, Caddy's own default.
    type: path
  http_listen:
    description: Addresses for plain HTTP. An empty host means all of IPv4 and IPv6.
    type: list
    elements: str
    default: [":80"]
  https_listen:
    description: Addresses for HTTPS.
    type: list
    elements: str
    default: [":443"]
  http3:
    description: Whether HTTP/3 is served too.
    type: bool
    default: false
  grace_period:
    description: Seconds that requests in flight may go on when the configuration changes.
    type: int
    default: 10
  certificates:
    description:
      - Certificates that something else keeps, such as a wildcard. Caddy asks for none of its own for names they cover.
      - A changed file is noticed and loaded.
    type: list
    elements: dict
    default: []
    suboptions:
      certificate:
        description: File with the certificate and its chain, PEM. Caddy must be able to read it.
        type: path
        required: true
      key:
        description: File with its key, PEM. Caddy must be able to read it.
        type: path
        required: true
"""

EXAMPLES = r"""
- name: Configure the edge
  meet.coop.caddy_base:
    acme_email: admin@example.org

- name: Use a private authority
  meet.coop.caddy_base:
    acme_directory: https://ca.example.org/directory
    acme_ca_file: /etc/ssl/certs/example-ca.pem
"""

RETURN = r"""
loaded:
  description: Whether a running Caddy has the configuration. If not, it is in the file for its next start.
  returned: success
  type: bool
"""

import json
import secrets
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._edge.base import (
    Base,
    binding_key,
    check_token,
    instance_routes,
    masked,
    with_routes,
    without_routes,
)
from ansible_collections.meet.coop.plugins.module_utils._edge.certificate import fingerprint
from ansible_collections.meet.coop.plugins.module_utils._edge.store import STORE_ARGUMENTS, Store
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "acme_directory": {"type": "str", "default": Base.acme_directory},
    "acme_email": {"type": "str"},
    "acme_ca_file": {"type": "path"},
    "acme_eab": {
        "type": "dict",
        "options": {
            "key_id": {"type": "str", "required": True},
            "mac_key": {"type": "str", "required": True, "no_log": True},
        },
    },
    "acme_log": {"type": "path", "default": Base.acme_log},
    "access_log": {"type": "path"},
    "storage": {"type": "path"},
    "http_listen": {"type": "list", "elements": "str", "default": list(Base.http_listen)},
    "https_listen": {"type": "list", "elements": "str", "default": list(Base.https_listen)},
    "http3": {"type": "bool", "default": False},
    "grace_period": {"type": "int", "default": Base.grace_period},
    "certificates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"certificate": {"type": "path", "required": True}, "key": {"type": "path", "required": True, "no_log": False}},
    },
    **STORE_ARGUMENTS,
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The base from options to result. Raises CoopError."""
    eab = params["acme_eab"]
    binding = binding_key(eab["key_id"], eab["mac_key"]) if eab else None
    store = Store(params["admin"], params["config_file"])
    running, saved = store.observe()
    token = check_token(running) or check_token(saved) or secrets.token_hex(16)
    base = Base(
        admin=f"unix/{params['admin']}" if params["admin"].startswith("/") else params["admin"].removeprefix("http://"),
        acme_directory=params["acme_directory"],
        acme_email=params["acme_email"],
        acme_ca_file=params["acme_ca_file"],
        acme_eab=binding,
        acme_log=params["acme_log"],
        access_log=params["access_log"],
        storage=params["storage"],
        http_listen=tuple(params["http_listen"]),
        https_listen=tuple(params["https_listen"]),
        http3=params["http3"],
        grace_period=params["grace_period"],
        check_token=token,
        certificates=tuple((entry["certificate"], entry["key"], fingerprint(entry["certificate"])) for entry in params["certificates"]),
    ).as_config()
    live = without_routes(running) != base if running is not None else False
    kept = without_routes(saved) != base
    before = without_routes(running) if live else without_routes(saved)
    changed = live or kept
    if changed and not check_mode:
        if running is None:
            store.locked_save(with_routes(base, instance_routes(saved)))
        else:
            fallback = instance_routes(saved)

            def plan(current: Any) -> dict[str, Any] | None:
                ours = _is_ours(current)
                wanted = with_routes(base, instance_routes(current) if ours else fallback)
                return None if wanted == current else wanted

            store.change("/config/", plan)
    return {
        "changed": changed,
        "loaded": running is not None,
        "diff": {
            "before_header": params["config_file"],
            "after_header": params["config_file"],
            "before": _text(before if changed else base),
            "after": _text(base),
        },
    }


def _is_ours(config: Any) -> bool:
    servers = ((config or {}).get("apps") or {}).get("http") or {}
    return "edge" in (servers.get("servers") or {})


def _text(config: dict[str, Any]) -> str:
    return json.dumps(masked(config), indent=1, sort_keys=True) + "\n" if config else ""


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
