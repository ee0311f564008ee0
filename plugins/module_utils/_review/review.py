# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the review of a host, from one look at it to findings that are accepted or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review import containers, databases, edge, files, sockets, ssh, units, updates
from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding, acceptances, verdict
from ansible_collections.meet.coop.plugins.module_utils._review.observe import Seen, observe, security

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "listens": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "firewall": {"type": "str", "default": ""},
    "edge_config": {"type": "path", "default": "/etc/caddy/edge.json"},
    "trees": {"type": "list", "elements": "path", "default": []},
    "modes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "path", "required": True}, "mode": {"type": "str", "required": True}},
    },
    "exposure": {"type": "float", "default": 5.0},
    "accepted": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "id": {"type": "str", "required": True},
            "where": {"type": "str", "default": "*"},
            "why": {"type": "str", "required": True},
        },
    },
}


def run(params: Mapping[str, Any]) -> dict[str, Any]:
    """Look, judge, tell. The module's result; raises CoopError."""
    accepted = acceptances(params["accepted"])
    may = sockets.expected(params["listens"])
    most = files.ceilings(params["modes"])
    if not 0 <= params["exposure"] <= 10:
        raise CoopError(f"exposure: {params['exposure']} is none that systemd gives; write 0 to 10, such as 5.0")
    tables = [*params["tables"], *([params["firewall"]] if params["firewall"] else [])]
    seen = observe(tables, params["edge_config"], params["trees"], most)
    names = units.ours(seen.unit_files)
    rated = security(names)
    findings = judge(seen, may, tables, params["firewall"], most, params["edge_config"])
    findings += units.judge(units.exposures(rated or ""), params["exposure"])
    told, unused = verdict(findings, accepted)
    looked_at = {
        "ports": True,
        "ssh": bool(seen.sshd),
        "docker": seen.containers is not None,
        "postgresql": bool(seen.clusters),
        "files": bool(seen.entries),
        "units": bool(names) and rated is not None,
        "caddy": seen.caddy or seen.edge_config is not None,
        "updates": seen.updates is not None,
    }
    return {
        "changed": False,
        "findings": told,
        "open": len([one for one in told if not one["accepted"]]),
        "unused": [{"id": one.id, "where": one.where, "why": one.why} for one in unused],
        "looked_at": [part for part, done in looked_at.items() if done],
    }


def judge(
    seen: Seen, may: list[sockets.Expected], tables: list[str], firewall: str, most: Mapping[str, int], edge_config: str
) -> list[Finding]:
    """All rules but that of units, over what was seen."""
    open_ports = sockets.listening(seen.sockets)
    known = {(one.transport, one.address, one.port) for one in open_ports}
    # With Docker's userland-proxy off, published ports are seen by Docker alone.
    led = [one for container in seen.containers or [] for one in containers.published(container)]
    reached = [*open_ports, *(one for one in led if (one.transport, one.address, one.port) not in known)]
    opened = sockets.let_in(seen.tables[firewall]) if firewall in seen.tables else None
    findings = list(seen.unreadable)
    findings += sockets.judge(reached, may, ssh.ports(seen.sshd or ""), opened)
    findings += sockets.judge_tables(tables, seen.tables, firewall)
    findings += ssh.judge(seen.sshd or "")
    if seen.docker_config is not None:
        findings += containers.judge_daemon(seen.docker_config, seen.docker_info, open_ports)
    if seen.docker_socket is not None:
        one = seen.docker_socket
        findings += containers.judge_socket(one.mode & 0o7777, one.owner, one.group, seen.docker_members)
    for container in seen.containers or []:
        findings += containers.judge_container(container)
    for port, answer in seen.clusters.items():
        findings += databases.judge(port, answer)
    findings += files.judge(seen.entries, most)
    findings += edge.judge(seen.edge_config, edge_config, open_ports, seen.edge_entries)
    if seen.updates is not None:
        findings += updates.judge(*seen.updates)
    return findings
