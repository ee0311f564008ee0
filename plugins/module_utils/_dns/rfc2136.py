# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one DNS server spoken to by zone transfer (AXFR), queries and dynamic update (RFC 2136), all signed (TSIG)."""

from __future__ import annotations

import binascii
import queue
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns.marks import is_mark_name, mark_name, marked_label
from ansible_collections.meet.coop.plugins.module_utils._dns.plan import Change, Plan
from ansible_collections.meet.coop.plugins.module_utils._dns.records import TYPES, RRset, absolute_name, relative_text
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TSIG_ALGORITHMS = ("hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
MESSAGE_LIMIT = 60_000
"""Octets of prerequisites and updates per message: the limit over TCP is 65,535, less question and signature."""
LOOKED_AT = (*TYPES, "DNAME", "DS", "HINFO", "HTTPS", "LOC", "NAPTR", "OPENPGPKEY", "PTR", "RP", "SMIMEA", "SPF", "SSHFP", "SVCB", "URI")
"""Types that are asked for by name where a zone can't be transferred."""


class ServerError(CoopError):
    """The server can't be reached, or refuses."""


class TransferRefused(ServerError):
    """The server owns the zone, but does not hand it out as a whole."""


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
        """The whole zone by AXFR. Raises TransferRefused, ServerError."""
        found: dict[tuple[str, str], list[Any]] = {}
        ttls: dict[tuple[str, str], int] = {}
        try:
            for message in self._transfer():
                for answer in message.answer:
                    key = (relative_text(answer.name, self.zone), dns.rdatatype.to_text(answer.rdtype))
                    found.setdefault(key, []).extend(answer)
                    ttls[key] = answer.ttl
        except Exception as error:
            raise self._explained(error, "zone transfer (AXFR)") from error
        return {key: RRset(key[0], key[1], ttls[key], frozenset(rdatas)) for key, rdatas in found.items()}

    def _transfer(self) -> Iterator[Any]:
        """The messages of an AXFR, read as fast as they come beside what is done with them: Knot cuts off readers that lag behind."""
        query = self._query(self.zone, "AXFR")
        wire = query.to_wire()
        arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        with socket.create_connection((self._address(), self.port), timeout=self.timeout) as connection:

            def read() -> None:
                try:
                    while True:
                        arrived.put(_octets(connection, int.from_bytes(_octets(connection, 2), "big")))
                except Exception as error:
                    arrived.put(error)

            connection.sendall(len(wire).to_bytes(2, "big") + wire)
            threading.Thread(target=read, daemon=True).start()
            signatures, begun = None, False
            while True:
                part = arrived.get()
                if isinstance(part, Exception):
                    raise part
                message = dns.message.from_wire(
                    part, keyring=query.keyring, request_mac=query.mac, xfr=True, origin=None, tsig_ctx=signatures, multi=True
                )
                signatures = message.tsig_ctx
                if message.rcode() != dns.rcode.NOERROR:
                    raise dns.query.TransferError(message.rcode())
                yield message
                marks = [answer for answer in message.answer if answer.rdtype == dns.rdatatype.SOA and answer.name == self.zone]
                if len(marks) >= (1 if begun else 2):
                    if query.keyring and not message.had_tsig:
                        raise dns.exception.FormError("missing TSIG")
                    return
                if not begun and not marks:
                    raise dns.exception.FormError("a transfer begins with the SOA record")
                begun = True

    def _query(self, name: Any, rtype: str) -> Any:
        query = dns.message.make_query(name, rtype, flags=0)
        tsig = self._tsig()
        if tsig:
            query.use_tsig(tsig["keyring"], tsig["keyname"], algorithm=tsig["keyalgorithm"])
        return query

    def observe_names(self, labels: Iterable[str]) -> dict[tuple[str, str], RRset]:
        """What stands at some names and their marks, asked for one by one. Raises ServerError.

        An answer may come from a wildcard. Whether a name has records of its own, an update tells that has a prerequisite and no change.
        """
        found: dict[tuple[str, str], RRset] = {}
        with self._connection() as connection:
            for label in sorted(labels):
                for name, types in ((label, LOOKED_AT), (mark_name(label), ("TXT",))):
                    for rtype in types:
                        answers = self._ask(connection, name, rtype)
                        if answers is None:
                            break
                        for rrset in answers:
                            if rrset.key not in found and self._has(connection, rrset):
                                found[rrset.key] = rrset
        return found

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            with socket.create_connection((self._address(), self.port), timeout=self.timeout) as connection:
                connection.setblocking(False)
                yield connection
        except (OSError, EOFError, dns.exception.DNSException) as error:
            raise self._explained(error, "query") from error

    def _ask(self, connection: Any, name: str, rtype: str) -> list[RRset] | None:
        """The record sets of that type (or the CNAME) at a name; None when the name does not exist."""
        owner = absolute_name(name, self.zone)
        answer = dns.query.tcp(self._query(owner, rtype), "", timeout=self.timeout, sock=connection)
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise ServerError(self._refusal(answer.rcode(), f"query for {name} {rtype}"))
        cuts = [rrset for rrset in answer.authority if rrset.rdtype == dns.rdatatype.NS and rrset.name != self.zone]
        cuts += [rrset for rrset in answer.answer if rrset.rdtype == dns.rdatatype.DNAME and rrset.name != owner]
        if cuts:
            place = relative_text(cuts[0].name, self.zone)
            kind = dns.rdatatype.to_text(cuts[0].rdtype)
            raise ServerError(f"{self._where}: {name} is hidden by {place} {kind}; allow the transfer to see it")
        if not answer.flags & dns.flags.AA:
            raise ServerError(f"{self._where}: answers for {name} without authority; write the primary server of the zone")
        if answer.rcode() == dns.rcode.NXDOMAIN and not answer.answer:
            return None
        here = [rrset for rrset in answer.answer if rrset.name == owner and dns.rdatatype.to_text(rrset.rdtype) in (rtype, "CNAME")]
        return [RRset(name, dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, frozenset(rrset)) for rrset in here]

    def _has(self, connection: Any, rrset: RRset) -> bool:
        probe = dns.update.UpdateMessage(self.zone, **self._tsig())
        probe.present(absolute_name(rrset.name, self.zone), rrset.type)
        rcode = dns.query.tcp(probe, "", timeout=self.timeout, sock=connection).rcode()
        if rcode not in (dns.rcode.NOERROR, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN):
            raise ServerError(self._refusal(rcode, "update"))
        return bool(rcode == dns.rcode.NOERROR)

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
        seen: dict[str, list[tuple[tuple[str, str], RRset | None]]] = {}
        sizes: dict[str, int] = {}
        for key, before in plan.seen.items():
            label = _label(key[0])
            seen.setdefault(label, []).append((key, before))
            sizes[label] = sizes.get(label, 0) + _size(before) + len(key[0]) + 64
        batch: list[str] = []
        size = 0
        for label, changes in by_label.items():
            octets = sum(_size(change.after) for change in changes) + sizes.get(label, 0) + 64 * (len(changes) + 2)
            if batch and size + octets > MESSAGE_LIMIT:
                yield self._update(plan, batch, by_label, seen)
                batch, size = [], 0
            batch.append(label)
            size += octets
        if batch:
            yield self._update(plan, batch, by_label, seen)

    def _update(
        self,
        plan: Plan,
        labels: list[str],
        by_label: dict[str, list[Change]],
        seen: dict[str, list[tuple[tuple[str, str], RRset | None]]],
    ) -> Any:
        update = dns.update.UpdateMessage(self.zone, **self._tsig())
        chosen = set(labels)
        for name in plan.unused:
            if name in chosen:
                update.absent(absolute_name(name, self.zone))
        for (name, rtype), before in (entry for label in labels for entry in seen.get(label, ())):
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
            refused = rcode in (dns.rcode.REFUSED, dns.rcode.NOTIMP) or (rcode == dns.rcode.NOTAUTH and self._is_authoritative())
            return (TransferRefused if refused else ServerError)(self._refusal(rcode, what))
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


def _octets(connection: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _label(name: str) -> str:
    """The name a record belongs to in an update: a mark goes with what it marks."""
    return marked_label(name) if is_mark_name(name) else name


def _size(rrset: RRset | None) -> int:
    """Octets of a record set in an update section, from above."""
    if rrset is None:
        return 0
    return sum(len(rdata.to_wire()) + len(rrset.name) + 64 for rdata in rrset.rdatas)
