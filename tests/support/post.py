# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real SMTP server on loopback that keeps mail, refuses, goes away, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from ansible_collections.meet.coop.plugins.module_utils._smtp import SMTP_ACCOUNT

SECRET = "correct-horse-battery"


class Post:
    """A mail server's will: what it refuses, after how many mails it goes away, and what it has taken."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.tried: list[str] = []
        self.refuses: set[str] = set()
        self.dies_at: int | None = None
        self.port = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.tried.append(address)
        if self.dies_at == len(self.tried):
            server.transport.abort()
            return "421 4.3.2 going away"
        if address in self.refuses:
            return f"550 5.1.1 <{address}>: no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert [message["To"]] == envelope.rcpt_tos and session.auth_data == "relay"
        # Not every server takes eight bits.
        assert envelope.content.isascii()
        self.taken.append(message)
        return "250 2.0.0 Ok"

    @property
    def addresses(self) -> list[str]:
        return sorted(str(message["To"]) for message in self.taken)


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.password == SECRET.encode()
    return AuthResult(success=good, auth_data="relay") if good else AuthResult(success=False, handled=False)


@contextlib.contextmanager
def serving() -> Iterator[Post]:
    """The server, for as long as the block lasts."""
    found = Post()
    loop = asyncio.new_event_loop()

    def session() -> SMTP:
        return SMTP(found, hostname="mail.meet.example", authenticator=authenticate, auth_required=True, auth_require_tls=False, loop=loop)

    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0))
    found.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def smtp(port: int, **given: Any) -> dict[str, Any]:
    """The account at the server, with everything that a module's option has."""
    account = {name: option.get("default") for name, option in SMTP_ACCOUNT["options"].items()}
    return {
        **account, "server": "127.0.0.1", "port": port, "security": "none", "auth": "plain", "username": "relay", "password": SECRET,
        "sender_email": "treasurer@meet.example", **given,
    }  # fmt: skip
