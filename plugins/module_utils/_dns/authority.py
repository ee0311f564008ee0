# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the name servers of a zone themselves say, past every cache."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

MAX_HOPS = 8


class NoAuthority(Exception):
    """None of the name servers of a zone gives an answer; the message says which were asked."""


@dataclass(frozen=True)
class Zone:
    """A zone and where its name servers are: (name of the server, address)."""

    name: str
    servers: tuple[tuple[str, str], ...]


@dataclass
class Lookup:
    """Values of one name and type at the end of its chain of CNAMEs. C(missing) tells that the last name does not exist."""

    chain: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    missing: bool = False
    disagree: str = ""


def make_resolver(address: str | None, port: int, timeout: float) -> Any:
    """A resolver without search list or cache: the given one, or the machine's own. Raises CoopError."""
    try:
        resolver = dns.resolver.Resolver(configure=not address)
    except dns.resolver.NoResolverConfiguration as error:
        raise CoopError("this machine has no resolver configured (/etc/resolv.conf); write resolver: ADDRESS") from error
    if address:
        try:
            resolver.nameservers = [socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0][4][0]]
        except OSError as error:
            raise CoopError(f"resolver {address} can't be resolved itself: write its address") from error
        resolver.port = port
    resolver.lifetime = timeout
    resolver.search = []
    resolver.cache = None
    return resolver


class Authorities:
    """Asks every name server of the zone that a name is in. The resolver only finds the servers; their answers are not validated here."""

    def __init__(self, resolver: Any, timeout: float) -> None:
        self._resolver = resolver
        self._timeout = timeout
        self._zones: dict[str, Zone] = {}
        self._zone_of: dict[str, Zone] = {}
        # Checking disabled: a broken signature must not hide who the name servers are.
        self._flags = dns.flags.RD | dns.flags.CD

    def zone(self, name: str) -> Zone:
        """The zone that a name is in, and its servers. Raises NoAuthority."""
        if name not in self._zone_of:
            self._zone_of[name] = self._find_zone(name)
        return self._zone_of[name]

    def _find_zone(self, name: str) -> Zone:
        labels = name.rstrip(".").split(".")
        for start in range(len(labels)):
            apex = ".".join(labels[start:])
            if apex in self._zones:
                return self._zones[apex]
            found = self._resolve(apex, "NS")
            if not found:
                continue
            servers = []
            for record in sorted(found, key=str):
                target = record.target.to_text(omit_final_dot=True).lower()
                addresses = [str(address) for kind in ("A", "AAAA") for address in self._resolve(target, kind)]
                servers += [(target, address) for address in addresses]
            if not servers:
                raise NoAuthority(f"the name servers of {apex} have no address themselves")
            self._zones[apex] = Zone(apex, tuple(servers))
            return self._zones[apex]
        raise NoAuthority(f"no name server is known for {name}")

    def _resolve(self, name: str, kind: str) -> list[Any]:
        """Records that the resolver knows under exactly this name; none where it has none or cannot say (a CNAME to itself, say)."""
        query = dns.message.make_query(name, kind, flags=self._flags)
        answer = self._exchange(query, self._resolver.nameservers, self._resolver.port)
        if answer is None:
            raise NoAuthority(f"the resolver {', '.join(map(str, self._resolver.nameservers))} gives no answer")
        owner, rtype = dns.name.from_text(name), dns.rdatatype.from_text(kind)
        return [record for rrset in answer.answer if rrset.name == owner and rrset.rdtype == rtype for record in rrset]

    def _exchange(self, query: Any, addresses: Any, port: int = 53) -> Any:
        """The first answer that one of the addresses gives, or None."""
        for address in addresses:
            for _attempt in range(2):
                try:
                    return dns.query.udp_with_fallback(query, str(address), timeout=self._timeout, port=port)[0]
                except dns.exception.Timeout:
                    continue
                except (OSError, EOFError, dns.exception.DNSException):
                    break
        return None

    def lookup(self, name: str, kind: str, until: str | None = None) -> Lookup:
        """A name's records by all servers of its zone, through CNAMEs into other zones; C(until) ends the chain when it is reached.

        Raises NoAuthority.
        """
        found = Lookup()
        here = name.rstrip(".").lower()
        for _hop in range(MAX_HOPS + 1):
            targets, values, missing = self._everyone(here, kind, found)
            if not targets:
                found.values, found.missing = values, missing
                return found
            here = targets[0]
            looped = here in found.chain or here == name
            found.chain.append(here)
            if looped or here == until:
                found.missing = looped
                return found
        found.missing = True
        return found

    def _everyone(self, name: str, kind: str, found: Lookup) -> tuple[list[str], list[Any], bool]:
        """What all servers together say of one name: CNAME targets, values, whether it does not exist."""
        zone = self.zone(name)
        owner, rtype = dns.name.from_text(name), dns.rdatatype.from_text(kind)
        said: dict[str, tuple[tuple[str, ...], frozenset[Any], bool]] = {}
        silent: dict[str, str] = {}
        for server, address in zone.servers:
            if server in said:
                continue
            query = dns.message.make_query(owner, rtype, flags=0)
            answer = self._exchange(query, [address])
            if answer is None:
                silent[server] = "gives no answer"
            elif answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                silent[server] = f"answers {dns.rcode.to_text(answer.rcode())}"
            elif not answer.flags & dns.flags.AA:
                silent[server] = f"does not keep the zone {zone.name}"
            else:
                cnames = [
                    record.target.to_text(omit_final_dot=True).lower()
                    for rrset in answer.answer
                    if rrset.name == owner and rrset.rdtype == dns.rdatatype.CNAME
                    for record in rrset
                ]
                values = [record for rrset in answer.answer if rrset.name == owner and rrset.rdtype == rtype for record in rrset]
                said[server] = (tuple(sorted(cnames)), frozenset(values), answer.rcode() == dns.rcode.NXDOMAIN)
                silent.pop(server, None)
        if not said:
            told = "; ".join(f"{server} {why}" for server, why in silent.items())
            raise NoAuthority(f"the name servers of {zone.name} do not answer: {told}")
        if len(set(said.values())) > 1 and not found.disagree:
            found.disagree = f"the name servers of {zone.name} ({', '.join(said)}) do not say the same about {name}"
        targets = sorted({target for cnames, _values, _missing in said.values() for target in cnames})
        values = sorted({value for _cnames, part, _missing in said.values() for value in part}, key=str)
        return targets, values, all(missing for _cnames, _values, missing in said.values())
