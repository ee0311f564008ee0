# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: does a name that lives in somebody else's zone lead to us, and if not, what should be written there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns.names import RecordError, ascii_name
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

READY, WRONG_TARGET, UNRESOLVED = "ready", "wrong_target", "unresolved"

ARGUMENT_SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True, "aliases": ["name"]},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "target": {"type": "str"},
    "resolver": {"type": "str"},
    "resolver_port": {"type": "int", "default": 53},
    "timeout": {"type": "int", "default": 5},
    "fail": {"type": "bool", "default": False},
}


@dataclass
class Finding:
    """What one name leads to. C(addresses) in the order A, AAAA; C(chain) the names its CNAMEs went through."""

    name: str
    status: str
    addresses: list[str] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    reason: str = ""
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status,
            "addresses": self.addresses,
            "chain": self.chain,
            "reason": self.reason,
            "advice": self.advice,
        }


class DomainCheck:
    """One run of domain_check: observes names, never changes anything."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.ours = [_address(text) for text in params["addresses"]]
        if not self.ours:
            raise CoopError("addresses is empty: write the addresses that the names should lead to")
        self.target = _hostname(params["target"]) if params.get("target") else None
        self.names = [_hostname(name) for name in params["names"]]
        self.fail = bool(params["fail"])
        self.resolver = self._resolver(params)

    @staticmethod
    def _resolver(params: Mapping[str, Any]) -> Any:
        try:
            resolver = dns.resolver.Resolver(configure=not params.get("resolver"))
        except dns.resolver.NoResolverConfiguration as error:
            raise CoopError("this machine has no resolver configured (/etc/resolv.conf); write resolver: ADDRESS") from error
        if params.get("resolver"):
            try:
                resolver.nameservers = [socket.getaddrinfo(params["resolver"], None, type=socket.SOCK_STREAM)[0][4][0]]
            except OSError as error:
                raise CoopError(f"resolver {params['resolver']} can't be resolved itself: write its address") from error
            resolver.port = params["resolver_port"]
        resolver.lifetime = float(params["timeout"])
        resolver.search = []
        resolver.cache = None
        return resolver

    def run(self) -> dict[str, Any]:
        """Findings for Ansible. Raises CoopError when O(fail) asks for it and a name isn't ready."""
        findings = [self.observe(name) for name in self.names]
        bad = [finding for finding in findings if finding.status != READY]
        if bad and self.fail:
            raise CoopError("; ".join(f"{finding.name} is not ready: {finding.reason}. {finding.advice}" for finding in bad))
        return {
            "changed": False,
            "results": [finding.as_dict() for finding in findings],
            "ready": [finding.name for finding in findings if finding.status == READY],
            "not_ready": [finding.name for finding in bad],
        }

    def observe(self, name: str) -> Finding:
        """Where one name leads today."""
        finding = Finding(name, UNRESOLVED)
        problems = []
        absent = False
        for rtype in ("A", "AAAA"):
            try:
                answer = self.resolver.resolve(f"{name}.", rtype, raise_on_no_answer=False)
            except dns.resolver.NXDOMAIN:
                absent = True
                break
            except dns.resolver.NoNameservers:
                problems.append(f"its {rtype} records can't be resolved: the name servers answer with an error (SERVFAIL or REFUSED)")
                continue
            except dns.exception.Timeout:
                problems.append(f"its {rtype} records can't be resolved: no answer in {self.resolver.lifetime:g} s")
                continue
            except dns.exception.DNSException as error:
                problems.append(f"its {rtype} records can't be resolved: {(str(error).splitlines() or [type(error).__name__])[0]}")
                continue
            for cname in answer.chaining_result.cnames:
                hop = next(iter(cname)).target.to_text(omit_final_dot=True).lower()
                if hop not in finding.chain:
                    finding.chain.append(hop)
            finding.addresses += sorted(record.address for record in answer.rrset or ())
        strangers = [text for text in finding.addresses if _address(text) not in self.ours]
        if absent:
            finding.reason = "the name does not exist" if not finding.chain else f"it points to {finding.chain[-1]}, which does not exist"
        elif problems:
            finding.reason = "; ".join(problems)
        elif not finding.addresses:
            finding.reason = "it has neither an A nor an AAAA record"
        elif strangers:
            finding.status = WRONG_TARGET
            finding.reason = f"{', '.join(strangers)} {'is' if len(strangers) == 1 else 'are'} not ours"
        else:
            finding.status = READY
        if finding.status != READY:
            finding.advice = self._advice(finding, strangers)
        return finding

    def _advice(self, finding: Finding, strangers: list[str]) -> str:
        """The record to create, in words that a coordinator can forward to whoever keeps the domain."""
        direct = " and ".join(f"{finding.name}. {'A' if address.version == 4 else 'AAAA'} {address}" for address in self.ours)
        wish = f"{finding.name}. CNAME {self.target}." if self.target else ""
        text = f"Please create where the domain is kept: {wish or direct}"
        if wish:
            text += f" (or, where a CNAME is not possible: {direct})"
        if strangers and not finding.chain:
            text += f"; and remove the record{'s' if len(strangers) > 1 else ''} with {', '.join(strangers)}"
        elif finding.chain:
            text += f"; and remove the one that points to {finding.chain[0]}" if finding.chain[0] != self.target else ""
        return text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise CoopError(f"'{text}' is not an IP address") from error


def _hostname(text: str) -> str:
    """A whole host name without its final dot, in A-labels."""
    try:
        name = ascii_name(text.strip()).rstrip(".")
        dns.name.from_text(name)
    except RecordError:
        raise
    except dns.exception.DNSException as error:
        raise CoopError(f"'{text}' is not a host name: {error}") from error
    if "." not in name or "*" in name:
        raise CoopError(f"'{text}' is not a whole host name such as meet.example.org")
    return name
