# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a host listens on (ss), and what of it others can reach through its firewall (nft)."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding

_EXPECTED = re.compile(r"(tcp|udp)/(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?(\d{1,5})(?:-(\d{1,5}))?")
_DHCP = dict.fromkeys((68, 546), ("systemd-network", "dhclient", "dhcpcd", "NetworkManager"))
"""Ports that a client of DHCP has to have open, and the programs that are one."""
_FORWARDED = ("docker-proxy", "container ")
"""Docker forwards these past every input chain."""


@dataclasses.dataclass(frozen=True, order=True)
class Socket:
    """Something that listens. An address is as ipaddress writes it, without a zone; "*" is every address of both families."""

    transport: str
    address: str
    port: int
    #: Empty: of the kernel, or unknown.
    process: str = ""

    @property
    def local(self) -> bool:
        """Whether only this host itself reaches it."""
        return self.address != "*" and ipaddress.ip_address(self.address).is_loopback


@dataclasses.dataclass(frozen=True)
class Expected:
    """Ports that may be open: those from first to last, on one address, or on all of them."""

    transport: str
    address: str | None
    first: int
    last: int

    def covers(self, socket: Socket) -> bool:
        return (
            socket.transport == self.transport
            and self.first <= socket.port <= self.last
            and (self.address is None or self.address == socket.address)
        )


def expected(given: Iterable[str]) -> list[Expected]:
    """Ports as the operator and the roles write them: tcp/443, udp/16384-32768, tcp/10.213.0.1:5432. Raises CoopError."""
    found = []
    for text in given:
        match = _EXPECTED.fullmatch(str(text))
        address = match[2].strip("[]") if match and match[2] else None
        first, last = (int(match[3]), int(match[4] or match[3])) if match else (0, 0)
        try:
            address = str(ipaddress.ip_address(address)) if address else None
        except ValueError:
            match = None
        if not match or not 0 < first <= last <= 65535:
            raise CoopError(f"listens: {text!r} is no port; write tcp/443, udp/16384-32768 or, for one address, tcp/10.0.0.5:5432")
        found.append(Expected(match[1], None if address in ("0.0.0.0", "::") else address, first, last))
    return found


def listening(text: str) -> list[Socket]:
    """What ``ss -Hltunp`` tells."""
    found = []
    for line in text.splitlines():
        words = line.split(None, 6)
        if len(words) < 5 or words[0] not in ("tcp", "udp"):
            continue
        address, _colon, port = words[4].rpartition(":")
        process = re.search(r'users:\(\("([^"]*)"', line)
        found.append(Socket(words[0], _address(address), int(port), process[1] if process else ""))
    return found


def _address(text: str) -> str:
    """An address of ss without brackets and zone; one written for both families as IPv4."""
    bare = re.sub(r"%[^\]]+", "", text).strip("[]")
    if bare == "*":
        return bare
    found = ipaddress.ip_address(bare)
    return str(getattr(found, "ipv4_mapped", None) or found)


def let_in(ruleset: str) -> list[tuple[str, int, int]] | None:
    """Ports (transport, first, last) that the input chain of ``nft list table`` lets everybody reach; None where it lets in all.

    Rules for single sources or interfaces do not count.
    """
    chain = re.search(r"chain input \{(.*?)\n\s*\}", ruleset, re.DOTALL)
    if not chain or "policy drop" not in chain[1]:
        return None
    found = []
    for rule in re.finditer(r"^\s*(tcp|udp) dport (\{[^}]*\}|\S+) (?:counter \S+ \S+ \S+ \S+ )?accept", chain[1], re.MULTILINE):
        for part in rule[2].strip("{} ").split(","):
            first, _dash, last = part.strip().partition("-")
            found.append((rule[1], int(first), int(last or first)))
    return found


def judge(
    sockets: Iterable[Socket], may: Sequence[Expected], ssh: Sequence[int], opened: Sequence[tuple[str, int, int]] | None
) -> list[Finding]:
    """Ports that others can reach and nobody stated, one finding for each. ``ssh``: where the SSH server is told to listen.

    ``opened``: what the host's firewall lets in, None without one.
    """
    reached: dict[tuple[str, int], list[Socket]] = {}
    for socket in sockets:
        if socket.local or any(one.covers(socket) for one in may):
            continue
        if socket.process.startswith("sshd") or (socket.process == "systemd" and socket.port in ssh):
            continue
        if socket.transport == "udp" and socket.process.startswith(_DHCP.get(socket.port, ("\0",))):
            continue
        if opened is not None and not socket.process.startswith(_FORWARDED) and not _let_in(socket, opened):
            continue
        reached.setdefault((socket.transport, socket.port), []).append(socket)
    findings = []
    for (transport, port), group in reached.items():
        who = ", ".join(sorted({one.process or "no program (the kernel, or a container's port)" for one in group}))
        addresses = ", ".join(sorted({"all addresses" if one.address in ("*", "0.0.0.0", "::") else one.address for one in group}))
        findings.append(
            Finding(
                "listens",
                f"{transport}/{port}",
                f"{who} listens on {addresses}",
                f"Stop it, or have it listen on 127.0.0.1; if others shall reach it, state it: review_listens: [{transport}/{port}]",
            )
        )
    return findings


def _let_in(socket: Socket, opened: Iterable[tuple[str, int, int]]) -> bool:
    return any(transport == socket.transport and first <= socket.port <= last for transport, first, last in opened)


def judge_tables(wanted: Iterable[str], loaded: dict[str, str], firewall: str) -> list[Finding]:
    """Tables of nftables that our roles load and that are not there, or do not fence.

    ``loaded``: text of each that is there; ``firewall``: the one that fences the whole host.
    """
    findings = []
    for name in wanted:
        if name not in loaded:
            todo = f"Run the role that loads it again; journalctl -u {unit_of(name)} says why it went"
            findings.append(Finding("firewall", name, f"the table inet {name} is not loaded", todo))
    if firewall in loaded and let_in(loaded[firewall]) is None:
        seen = f"the chain input of the table inet {firewall} does not drop what no rule lets in"
        findings.append(Finding("firewall", firewall, seen, f"Load it again: systemctl reload {unit_of(firewall)}"))
    return findings


def unit_of(table: str) -> str:
    """The unit that loads one of our tables."""
    return {"meet_coop_bbb": "meet-coop-bbb-firewall"}.get(table, table.replace("_", "-"))
