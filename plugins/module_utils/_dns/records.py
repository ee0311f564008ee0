# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: DNS records as users write them and as servers send them, in one comparable form.

Names inside a zone are kept relative to it, lower case, in A-labels, C(@) for the zone's own name. Two record
sets are the same when their TTL and their canonical values are: host names without regard to case, TXT and
CAA without regard to how the text was cut into chunks of 255 octets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns.names import RecordError, ascii_name

TYPES = ("A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TLSA", "TXT")
"""Record types that can be managed."""

SINGLETONS = ("CNAME",)
_TARGET_LAST = ("CNAME", "MX", "NS", "SRV")
_HOST_OWNERS = ("A", "AAAA", "MX")
_HOST_TARGETS = ("MX", "NS", "SRV")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""Host names (RFC 1123). Some servers refuse others as owners of addresses and as targets (BIND's check-names), some don't."""
_TXT_CHUNK = 255
MAX_TTL = 2**31 - 1
MAX_OCTETS = 16_000
"""Of one record set: an update holds it twice, as it was and as it will be, beside other things, in at most 65,535."""


def zone_name(zone: str) -> Any:
    """The absolute dnspython name of a zone written with or without its final dot."""
    try:
        name = dns.name.from_text(ascii_name(zone.strip()), dns.name.root)
    except dns.exception.DNSException as error:
        raise RecordError(f"'{zone}' is not the name of a zone: {error}") from error
    if name == dns.name.root:
        raise RecordError("the root zone can't be managed; write the name of your own zone")
    return name


def relative_name(name: str, origin: Any) -> str:
    """A name as users write it (C(@), C(www), C(www.example.org.)), relative to the zone in canonical form."""
    text = ascii_name(name.strip())
    if text in ("", "@"):
        return "@"
    try:
        absolute = dns.name.from_text(text, origin)
    except dns.exception.DNSException as error:
        raise RecordError(f"'{name}' is not a DNS name: {error}") from error
    if not absolute.is_subdomain(origin):
        raise RecordError(f"'{name}' lies outside the zone {origin.to_text(omit_final_dot=True)}")
    return relative_text(absolute, origin)


def relative_text(absolute: Any, origin: Any) -> str:
    """An absolute dnspython name, relative to the zone, as text."""
    return absolute.relativize(origin).to_text().lower()


def absolute_name(relative: str, origin: Any) -> Any:
    """The dnspython name of a relative one."""
    return origin if relative == "@" else dns.name.from_text(relative, origin)


@dataclass(frozen=True)
class RRset:
    """All records of one name and one type.

    Rdatas are dnspython's, exactly as the server sent them, since prerequisites of an update compare octets.
    """

    name: str
    type: str
    ttl: int
    rdatas: frozenset[Any]

    @property
    def key(self) -> tuple[str, str]:
        return (self.name, self.type)

    @property
    def canonical(self) -> frozenset[bytes]:
        """What decides equality of values."""
        return frozenset(_canonical(rdata) for rdata in self.rdatas)

    @property
    def values(self) -> list[str]:
        """The values in presentation form, sorted, for people and results."""
        return sorted(rdata.to_text() for rdata in self.rdatas)

    def same(self, other: RRset | None) -> bool:
        return other is not None and self.key == other.key and self.ttl == other.ttl and self.canonical == other.canonical

    def as_dict(self) -> dict[str, Any]:
        return {"ttl": self.ttl, "values": self.values}


Snapshot = Mapping[tuple[str, str], RRset]
"""A zone as seen at one moment: (relative name, type) -> record set."""


def _canonical(rdata: Any) -> bytes:
    if rdata.rdtype == dns.rdatatype.TXT:
        return b"".join(rdata.strings)
    return rdata.to_digestable(dns.name.root)


def _chunked(text: str) -> str:
    """Text of any length as the presentation form of one TXT record."""
    octets = text.encode("utf-8")
    chunks = [octets[start : start + _TXT_CHUNK] for start in range(0, len(octets), _TXT_CHUNK)] or [b""]
    return " ".join('"' + "".join(_escaped(octet) for octet in chunk) + '"' for chunk in chunks)


def _escaped(octet: int) -> str:
    char = chr(octet)
    if char in '"\\':
        return "\\" + char
    return char if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def _absolute_target(token: str) -> str:
    """Host names in values are whole names, with or without the final dot."""
    if token == ".":
        return token
    name = ascii_name(token)
    if "." not in name.rstrip("."):
        raise RecordError(f"'{token}' must be a whole host name such as host.example.org")
    return name if name.endswith(".") else name + "."


def _presentation(rtype: str, value: str) -> str:
    if rtype == "TXT":
        return value if value.startswith('"') else _chunked(value)
    if rtype in _TARGET_LAST:
        fields = value.split()
        if fields:
            fields[-1] = _absolute_target(fields[-1])
            if rtype in _HOST_TARGETS and fields[-1] != "." and not _HOST.fullmatch(fields[-1][:-1]):
                raise RecordError(f"'{fields[-1]}' is not a host name (letters, digits and hyphens), so servers refuse it here")
        return " ".join(fields)
    return value


def make_rdata(rtype: str, value: str) -> Any:
    """One value as users write it -> dnspython rdata."""
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, rtype, _presentation(rtype, value.strip()), dns.name.root, relativize=False)
    except RecordError:
        raise
    except (dns.exception.DNSException, ValueError, IndexError, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise RecordError(f"'{value}' is not a value of a {rtype} record: {reason}") from error


def make_rrset(name: str, rtype: str, ttl: int, values: Iterable[str], origin: Any) -> RRset:
    """One desired record set as users write it. Raises RecordError with one line."""
    rtype = rtype.upper()
    if rtype not in TYPES:
        raise RecordError(f"record '{name}': type {rtype} is not managed here (types: {', '.join(TYPES)})")
    if not 0 <= ttl <= MAX_TTL:
        raise RecordError(f"record '{name}' {rtype}: ttl {ttl} is not between 0 and {MAX_TTL}")
    try:
        relative = relative_name(name, origin)
        rdatas = frozenset({_canonical(rdata): rdata for rdata in (make_rdata(rtype, value) for value in values)}.values())
    except RecordError as error:
        raise RecordError(f"record '{name}' {rtype}: {error}") from error
    if not rdatas:
        raise RecordError(f"record '{name}' {rtype}: has no values; leave the record out of the list to remove it")
    if rtype in _HOST_OWNERS and relative != "@" and not _HOST.fullmatch(relative.removeprefix("*.")) and relative != "*":
        raise RecordError(f"record '{name}' {rtype}: the name is not a host name (letters, digits and hyphens), so servers refuse it")
    octets = sum(len(rdata.to_wire()) for rdata in rdatas)
    if octets > MAX_OCTETS:
        raise RecordError(f"record '{name}' {rtype}: its values are {octets} octets long; an update takes {MAX_OCTETS}, so write less")
    if rtype in SINGLETONS and len(rdatas) > 1:
        raise RecordError(f"record '{name}' {rtype}: takes one value, not {len(rdatas)}")
    return RRset(relative, rtype, ttl, rdatas)


_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_identifier(what: str, value: str) -> str:
    """Deployment and member stand inside a mark, so they may not hold its separators."""
    if not _IDENTIFIER.fullmatch(value):
        raise RecordError(f"{what} '{value}' must be letters, digits, '.', '_' and '-' (at most 63)")
    return value
