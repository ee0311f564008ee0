#!/usr/bin/python3
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands before Pebble and passes everything on, except one request that makes Pebble 2.6 stop answering for good.

A client that is interrupted amid an order deactivates its authorization. Pebble's answer to that (wfe/wfe.go, prepAuthorizationForDisplay)
leaves a lock on the challenge that is being validated; the validation then waits for ever with the authorization locked (va/va.go,
setAuthzValid), and every new order behind it. So deactivations are refused here; clients go on without.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"}
TIMEOUT = 60  # seconds


def deactivates(path: str, body: bytes) -> bool:
    """Whether a request deactivates an authorization (RFC 8555, section 7.5.2)."""
    if not path.startswith("/authZ/"):
        return False
    try:
        payload = json.loads(body)["payload"]
        return bool(payload) and json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("status") == "deactivated"
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


class Front(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT
    behind: tuple[str, int]
    trust: ssl.SSLContext

    def setup(self) -> None:
        # The handshake belongs to the connection's own thread, so that a silent client holds nobody up.
        self.request.settimeout(TIMEOUT)
        self.request.do_handshake()
        super().setup()

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if deactivates(self.path, body):
            detail = "The lab's authority deactivates no authorizations"
            problem = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": detail, "status": 403}
            self.answer(403, [("Content-Type", "application/problem+json")], json.dumps(problem).encode())
            return
        connection = http.client.HTTPSConnection(*self.behind, timeout=TIMEOUT, context=self.trust)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, headers)
            reply = connection.getresponse()
            content = reply.read()
            self.answer(reply.status, [pair for pair in reply.getheaders() if pair[0].lower() not in HOP_BY_HOP], content)
        except (OSError, http.client.HTTPException) as error:
            self.log_error("Pebble does not answer: %s", error)
            self.answer(502, [], b"")
        finally:
            connection.close()

    do_GET = do_POST = do_HEAD = handle_any

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """Listens; whoever breaks a connection off is no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        print(f"{client_address}: {sys.exc_info()[1]}", file=sys.stderr, flush=True)


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given["certificate"], given["key"])
    Front.behind = (given["behind"][0], given["behind"][1])
    Front.trust = ssl.create_default_context(cafile=given["certificate"])
    Front.trust.check_hostname = False
    server = Server((given["listen"], given["port"]), Front)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
