# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: who may connect to PostgreSQL, as pg_hba_file_rules tells, and who may do anything there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding

QUERY = (
    "select json_build_object('rules', (select coalesce(json_agg(to_jsonb(r) order by r.line_number), '[]') from pg_hba_file_rules r),"
    " 'superusers', (select coalesce(json_agg(rolname order by rolname), '[]') from pg_roles"
    " where rolsuper and rolcanlogin and rolname <> 'postgres'))"
)
OWN = {"samerole", "sameuser", "samegroup", "replication"}
"""Databases of a line that lead nobody into somebody else's."""


def judge(cluster: str, answer: Mapping[str, Any]) -> list[Finding]:
    """A cluster by its answer to QUERY; a line counts as far as no line before it refuses the same."""
    findings = []
    refused: list[Any] = []
    for rule in answer.get("rules") or []:
        line = f"line {rule.get('line_number')} of pg_hba.conf"
        if rule.get("error"):
            todo = "Mend the line: until then PostgreSQL goes on with the rules it had, and does not start anew"
            findings.append(Finding("pg-hba-error", f"{cluster}: {line}", str(rule["error"]), todo))
            continue
        where = f"{cluster}: {_line(rule)}"
        method, databases, users = rule.get("auth_method"), rule.get("database") or [], rule.get("user_name") or []
        if method == "trust":
            todo = "Write scram-sha-256, or peer for local, in place of trust, and reload PostgreSQL"
            findings.append(Finding("pg-hba-trust", where, f"{line}: whoever gets there is who they say", todo))
        if rule.get("type") == "local":
            continue
        network = _network(rule)
        if network is not None and network.is_loopback:
            continue
        if method == "reject":
            # A line for hostssl or hostnossl alone leaves the other way open.
            if "all" in databases and "all" in users and rule.get("type") == "host":
                refused.append(network)
            continue
        if any(_within(network, one) for one in refused):
            continue
        if "all" in databases or ("all" in users and not set(databases) <= OWN):
            todo = "Write samerole in place of the database all, and the role in place of the user all, and reload PostgreSQL"
            findings.append(Finding("pg-hba-all", where, f"{line} lets more in than each into its own", todo))
        elif network is None or network.prefixlen == 0:
            todo = "Write the network it is for, and reload PostgreSQL"
            findings.append(Finding("pg-hba-all", where, f"{line} lets in from anywhere", todo))
        if method in ("password", "ident"):
            todo = f"Write scram-sha-256 in place of {method}, and reload PostgreSQL"
            findings.append(Finding("pg-hba-weak", where, f"{line} has {method}", todo))
    findings += [
        Finding("pg-superuser", f"{cluster}: {name}", f"the role {name} may do anything in PostgreSQL", f"ALTER ROLE {name} NOSUPERUSER")
        for name in answer.get("superusers") or []
    ]
    return findings


def _line(rule: Mapping[str, Any]) -> str:
    """A rule as it stands in the file. What follows the method may be a password (LDAP) and is left out."""

    def joined(values: Iterable[Any] | None) -> str:
        return ",".join(str(value) for value in values or [])

    address = rule.get("address") or ""
    if rule.get("netmask") and address:
        address = str(_network(rule) or address)
    who = [joined(rule.get("database")), joined(rule.get("user_name")), address]
    parts = [str(rule.get("type")), *who, str(rule.get("auth_method"))]
    return " ".join(part for part in parts if part)


def _network(rule: Mapping[str, Any]) -> Any:
    """The network a rule is for; None: every one, or one that only the server can tell (a name, samenet)."""
    address, mask = rule.get("address") or "all", rule.get("netmask")
    if address == "samehost":
        return ipaddress.ip_network("127.0.0.0/8")
    try:
        found = ipaddress.ip_address(address)
        if not mask:
            return ipaddress.ip_network(found)
        # ipaddress takes no mask of IPv6 in full; its ones are counted.
        length = bin(int(ipaddress.ip_address(mask))).count("1")
        return ipaddress.ip_network((found, length), strict=False)
    except ValueError:
        return None


def _within(inner: Any, outer: Any) -> bool:
    """Whether all of the inner network is in the outer one; None is everything."""
    if outer is None or inner is None:
        return outer is None
    return bool(inner.version == outer.version and inner.subnet_of(outer))
