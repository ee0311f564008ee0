# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network that fails: stands before a real name server on loopback and passes, loses or answers what goes through, as told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence

import dns.message
import dns.opcode
import dns.rcode
import dns.tsigkeyring

PASS = "pass"
LOSE_ANSWER = "the server does it, its answer is lost"
LOSE_REQUEST = "the request is lost"
SERVFAIL = "answered SERVFAIL, not done"
DEAD = "from now on nothing answers"
CUT = "the answer breaks off in the middle"


class Middleman:
    """Behaviour of updates and of everything else (transfers, queries), one word for each message; PASS when the words are used up."""

    def __init__(self, server: str, tsig: dict[str, str], updates: list[str], others: list[str]) -> None:
        self.server = server
        self.keyring = dns.tsigkeyring.from_text({tsig["name"]: tsig["secret"]})
        self.words = {True: list(updates), False: list(others)}
        self.updates = 0
        self.dead = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _peer = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client, socket.create_connection((self.server, 53), timeout=10) as upstream:
            while True:
                request = _receive(client)
                update = dns.opcode.from_flags(int.from_bytes(request[2:4], "big")) == dns.opcode.UPDATE
                self.updates += update
                word = self.words[update].pop(0) if self.words[update] else PASS
                self.dead = self.dead or word == DEAD
                if self.dead:
                    client.recv(1)  # until the client gives up
                    return
                if word == LOSE_REQUEST:
                    return
                if word == SERVFAIL:
                    answer = dns.message.make_response(dns.message.from_wire(request, keyring=self.keyring))
                    answer.set_rcode(dns.rcode.SERVFAIL)
                    _send(client, answer.to_wire())
                    continue
                _send(upstream, request)
                if word == LOSE_ANSWER:
                    _receive(upstream)
                    return
                if word == CUT:
                    client.sendall(upstream.recv(4096)[:200])
                    return
                _send(client, _receive(upstream))
                if not update:
                    # A transfer has more messages than one; nothing else follows it on its connection.
                    threading.Thread(target=_pour, args=(upstream, client), daemon=True).start()
                    _pour(client, upstream)
                    return

    def close(self) -> None:
        self._listener.close()


@contextlib.contextmanager
def middleman(server: str, tsig: dict[str, str], *updates: str, others: Sequence[str] = ()) -> Iterator[Middleman]:
    """The way to a server whose key signs what is answered in its place."""
    there = Middleman(server, tsig, list(updates), list(others))
    try:
        yield there
    finally:
        there.close()


def _receive(connection: socket.socket) -> bytes:
    return _exactly(connection, int.from_bytes(_exactly(connection, 2), "big"))


def _exactly(connection: socket.socket, octets: int) -> bytes:
    data = b""
    while len(data) < octets:
        part = connection.recv(octets - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(2, "big") + message)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
