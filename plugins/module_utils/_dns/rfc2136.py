# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one DNS server spoken to by zone transfer (AXFR) and dynamic update (RFC 2136), both signed (TSIG)."""

from __future__ import annotations

import binascii
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns.marks import is_mark_name, marked_label
from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Change, Plan
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RRset, absolute_name, relative_text
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TSIG_ALGORITHMS = ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
MESSAGE_LIMIT = 48_000
"""Octets of update sections per message: the limit over TCP is 65,535, less prerequisites and signature."""


class ServerError(CoopError):
    """The server can't be reached, or refuses."""


class ZoneChanged(Exception):
    """A prerequisite failed: somebody changed the zone since it was read."""


class OutcomeUnknown(Exception):
    """The update was sent, no answer came: it was applied or it was not. Read the zone to know."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class TsigKey:
    """The secret never appears in representations."""

    name: str
    algorithm: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Server:
    """A zone at its primary server. Timeout in seconds, for each exchange."""

    zone: Any
    host: str
    port: int = 53
    key: TsigKey | None = None
    timeout: float = 10.0

    @property
    def _where(self) -> str:
        return f"DNS server {self.host} port {self.port}, zone {self.zone.to_text(omit_final_dot=True)}"

    def _address(self) -> str:
        try:
            return str(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][4][0])
        except OSError as error:
            raise ServerError(f"{self._where}: the name of the server can't be resolved ({error.strerror or error})") from error

    def _tsig(self) -> dict[str, Any]:
        if self.key is None:
            return {}
        try:
            keyring = dns.tsigkeyring.from_text({self.key.name: self.key.secret})
        except (binascii.Error, ValueError, dns.exception.DNSException):
            raise ServerError(f"TSIG key '{self.key.name}': its secret is not valid base64") from None
        return {"keyring": keyring, "keyname": next(iter(keyring)), "keyalgorithm": dns.name.from_text(self.key.algorithm)}

    def observe(self) -> dict[tuple[str, str], RRset]:
        """The whole zone by AXFR. Raises ServerError."""
        tsig = self._tsig()
        address = self._address()
        found: dict[tuple[str, str], list[Any]] = {}
        ttls: dict[tuple[str, str], int] = {}
        try:
            messages = dns.query.xfr(
                address, self.zone, port=self.port, timeout=self.timeout, lifetime=self.timeout * 6, relativize=False, **tsig
            )
            for message in messages:
                for answer in message.answer:
                    key = (relative_text(answer.name, self.zone), dns.rdatatype.to_text(answer.rdtype))
                    found.setdefault(key, []).extend(answer)
                    ttls[key] = answer.ttl
        except Exception as error:
            raise self._explained(error, "zone transfer (AXFR)") from error
        return {key: RRset(key[0], key[1], ttls[key], frozenset(rdatas)) for key, rdatas in found.items()}

    def apply(self, plan: Plan) -> None:
        """Send the plan, normally as one UPDATE whose prerequisites are the record sets it was made against.

        A plan too large for one message goes in several, each of them whole names with their marks and their own prerequisites.
        Raises ZoneChanged, OutcomeUnknown, ServerError.
        """
        address = self._address()
        for update in self.updates(plan):
            try:
                answer = dns.query.tcp(update, address, port=self.port, timeout=self.timeout)
            except (dns.exception.Timeout, EOFError, ConnectionResetError, BrokenPipeError) as error:
                raise OutcomeUnknown(self._explained(error, "update")) from error
            except Exception as error:
                raise self._explained(error, "update") from error
            rcode = answer.rcode()
            if rcode in (dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN):
                raise ZoneChanged
            if rcode != dns.rcode.NOERROR:
                raise ServerError(self._refusal(rcode, "update"))

    def updates(self, plan: Plan) -> Iterator[Any]:
        """The update messages of a plan."""
        by_label: dict[str, list[Change]] = {}
        for change in plan.changes:
            by_label.setdefault(_label(change.rrset.name), []).append(change)
        batch: list[str] = []
        size = 0
        for label, changes in by_label.items():
            octets = sum(_size(change.before) + _size(change.after) for change in changes) + 64
            if batch and size + octets > MESSAGE_LIMIT:
                yield self._update(plan, batch, by_label)
                batch, size = [], 0
            batch.append(label)
            size += octets
        if batch:
            yield self._update(plan, batch, by_label)

    def _update(self, plan: Plan, labels: list[str], by_label: dict[str, list[Change]]) -> Any:
        update = dns.update.UpdateMessage(self.zone, **self._tsig())
        chosen = set(labels)
        for name in plan.unused:
            if name in chosen:
                update.absent(absolute_name(name, self.zone))
        for (name, rtype), before in plan.seen.items():
            if _label(name) not in chosen:
                continue
            owner = absolute_name(name, self.zone)
            if before is None:
                update.absent(owner, rtype)
            else:
                update.present(owner, *before.rdatas)
        changes = [change for label in labels for change in by_label[label]]
        for change in changes:
            if change.before is not None:
                update.delete(absolute_name(change.before.name, self.zone), change.before.type)
        for change in changes:
            if change.after is not None:
                update.add(absolute_name(change.after.name, self.zone), change.after.ttl, *change.after.rdatas)
        return update

    def _is_authoritative(self) -> bool:
        """Whether the server owns the zone, asked without a signature: tells a wrong key from a wrong zone."""
        try:
            query = dns.message.make_query(self.zone, dns.rdatatype.SOA)
            answer = dns.query.tcp(query, self._address(), port=self.port, timeout=self.timeout)
        except Exception:
            return False
        return bool(answer.flags & dns.flags.AA and answer.answer)

    def _explained(self, error: Exception, what: str) -> ServerError:
        """Any failure of an exchange as one line. The texts of dnspython hold names, never secrets."""
        if isinstance(error, ServerError):
            return error
        key = f"TSIG key '{self.key.name}'" if self.key else "no TSIG key"
        rcode = getattr(error, "rcode", None)
        if isinstance(error, dns.tsig.PeerBadKey):
            reason = f"does not know the {key}, or not with the algorithm {self.key.algorithm if self.key else ''}"
        elif isinstance(error, dns.tsig.PeerBadSignature | dns.tsig.BadSignature):
            reason = f"does not accept the signature of the {key}: its secret is wrong"
        elif isinstance(error, dns.tsig.PeerBadTime | dns.tsig.BadTime):
            reason = f"does not accept the time of the signature ({key}): set the clocks of both machines"
        elif isinstance(error, dns.query.TransferError):
            return ServerError(self._refusal(rcode, what))
        elif isinstance(error, dns.exception.FormError) and self.key:
            reason = f"answered the {what} without a signature: it does not let the {key} do that"
        elif isinstance(error, ConnectionRefusedError):
            reason = "refuses the connection: is the server running?"
        elif isinstance(error, dns.exception.Timeout | TimeoutError):
            reason = f"gave no answer within {self.timeout:g} s ({what})"
        elif isinstance(error, EOFError | ConnectionError):
            reason = f"closed the connection during the {what}"
        elif isinstance(error, OSError):
            reason = f"can't be reached ({error.strerror or error})"
        else:
            text = (str(error).splitlines() or [""])[0]
            reason = f"answered the {what} with something unexpected ({type(error).__name__}: {text})"
        return ServerError(f"{self._where}: {reason}")

    def _refusal(self, rcode: Any, what: str) -> str:
        key = f"TSIG key '{self.key.name}'" if self.key else "requests without a TSIG key"
        text = dns.rcode.to_text(rcode)
        if rcode == dns.rcode.NOTAUTH and self._is_authoritative():
            reason = f"does not accept {key} for this {what}: name, algorithm or permission is wrong"
        elif rcode == dns.rcode.NOTAUTH:
            reason = "is not authoritative for this zone"
        elif rcode == dns.rcode.REFUSED:
            reason = f"does not allow {key} this {what}"
        elif rcode == dns.rcode.SERVFAIL:
            reason = f"failed at the {what}; its log tells why"
        else:
            reason = f"refused the {what}"
        return f"{self._where}: {reason} ({text})"


def _label(name: str) -> str:
    """The name a record belongs to in an update: a mark goes with what it marks."""
    return marked_label(name) if is_mark_name(name) else name


def _size(rrset: RRset | None) -> int:
    """Octets of a record set in an update section, from above."""
    if rrset is None:
        return 0
    return sum(len(rdata.to_wire()) + len(rrset.name) + 64 for rdata in rrset.rdatas)
