#!/usr/bin/python3
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's mail server: submission with STARTTLS and a login, which keeps every message in one mailbox.

It refuses what a provider refuses: no login, a wrong password, AUTH before STARTTLS, a sender address that does not belong to the login.
Nothing leaves the lab: whatever the recipient, mail lands in the catch-all mailbox, with headers that tell how it came. A recipient under
the top-level domain "invalid" is refused, so that a test can have a refused one.
"""

from __future__ import annotations

import asyncio
import email.policy
import email.utils
import fnmatch
import hmac
import json
import mailbox
import ssl
import sys
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Handler:
    """Policy and storage."""

    def __init__(self, settings: Path) -> None:
        self.settings = settings

    def accounts(self) -> dict[str, dict[str, Any]]:
        """Accounts by login, read anew each time so that a changed file counts at once."""
        found: dict[str, dict[str, Any]] = json.loads(self.settings.read_text())["accounts"]
        return found

    def owns(self, login: str, address: str) -> bool:
        account = self.accounts().get(login, {})
        return any(fnmatch.fnmatchcase(address.lower(), pattern.lower()) for pattern in account.get("senders", []))

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        refused = AuthResult(success=False, handled=False, message="535 5.7.8 Authentication credentials invalid")
        if not isinstance(data, LoginPassword):
            return refused
        login = data.login.decode(errors="replace")
        account = self.accounts().get(login)
        if account is None or not hmac.compare_digest(account["password"].encode(), data.password):
            print(f"refused login {login!r}", flush=True)
            return refused
        return AuthResult(success=True, auth_data=login)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if not self.owns(session.auth_data, address):
            print(f"refused sender {address!r} of login {session.auth_data!r}", flush=True)
            return f"553 5.7.1 <{address}>: Sender address rejected: not owned by user {session.auth_data}"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if "@" not in address or address.lower().endswith(".invalid"):
            return f"550 5.1.2 <{address}>: Recipient address rejected: domain not found"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        headers = BytesHeaderParser(policy=email.policy.default).parsebytes(content)
        author = email.utils.parseaddr(str(headers.get("From", "")))[1]
        if author and not self.owns(session.auth_data, author):
            return f"553 5.7.1 From <{author}>: Sender address rejected: not owned by user {session.auth_data}"
        trace = (
            f"Return-Path: <{envelope.mail_from}>\r\nX-Lab-Login: {session.auth_data}\r\nX-Lab-Sender: {envelope.mail_from}\r\n"
            f"X-Lab-Recipients: {', '.join(envelope.rcpt_tos)}\r\nX-Lab-Helo: {session.host_name}\r\nX-Lab-Peer: {session.peer[0]}\r\n"
        )
        place = Path(json.loads(self.settings.read_text())["maildir"])
        key = mailbox.Maildir(place, create=True).add((trace.encode() + content).replace(b"\r\n", b"\n"))
        print(f"kept {key} from {envelope.mail_from} by {session.auth_data}", flush=True)
        return f"250 2.0.0 Ok: queued as {key}"


async def serve(settings: Path) -> None:
    given = json.loads(settings.read_text())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(given["certificate"], given["key"])
    handler = Handler(settings)

    # What the servers of the field ask for; some clients take nothing else.
    SMTP.AuthLoginUsernameChallenge, SMTP.AuthLoginPasswordChallenge = "Username:", "Password:"

    def session() -> SMTP:
        return SMTP(
            handler, hostname=given["hostname"], ident="meet.coop lab", tls_context=context, authenticator=handler.authenticate,
            auth_required=True, auth_require_tls=True, data_size_limit=10 * 1024 * 1024, enable_SMTPUTF8=True, timeout=60,
        )

    server = await asyncio.get_running_loop().create_server(session, given["listen"], given["port"])
    print(f"listening on {given['listen']}:{given['port']}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
