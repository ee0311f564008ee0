# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OpenID Connect provider on this machine: small, strict, with real TLS and real signatures, and able to misbehave.

The providers that can be installed are strict or damaged, not both, and those small enough for a test sign anybody in for any client.
What this one asks of its clients: OpenID Connect Core 1.0, sections 3.1.2.1 and 3.1.3.1; RP-Initiated Logout 1.0, section 2.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

REALM = "/realms/coop"
LOGOUT = "/protocol/openid-connect/logout"
CODE_SECONDS = 60


def certificate(directory: Path, names: Iterable[str], authority: tuple[Path, Path] | None = None) -> tuple[Path, ssl.SSLContext]:
    """A server's certificate for names and addresses: (file of the authority, server context).

    ``authority``: files of its certificate and key; without it one is made.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.timezone.utc)

    def make(name: str, issuer: x509.Name | None, key: Any, signer: Any, *extensions: Any) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begins, ends = now - dt.timedelta(hours=1), now + dt.timedelta(days=2)
        builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
        known = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        for extension in (*extensions, x509.SubjectKeyIdentifier.from_public_key(key.public_key()), known):
            builder = builder.add_extension(extension, critical=isinstance(extension, (x509.BasicConstraints, x509.KeyUsage)))
        return builder.sign(signer, hashes.SHA256())

    key = ec.generate_private_key(ec.SECP256R1())
    ca_file = directory / "provider-ca.pem"
    if authority:
        ca = x509.load_pem_x509_certificate(authority[0].read_bytes())
        ca_key: Any = serialization.load_pem_private_key(authority[1].read_bytes(), None)
    else:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        ca = make("Provider CA", None, ca_key, ca_key, x509.BasicConstraints(True, None), usage)
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    own = make("provider", ca.subject, key, ca_key, x509.SubjectAlternativeName(alternatives))
    pem = directory / "provider.pem"
    pem.write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return ca_file, context


@dataclasses.dataclass
class Client:
    """A relying party as the provider has it registered."""

    secret: str
    redirect_uris: set[str]
    logout_uris: set[str]


@dataclasses.dataclass
class Grant:
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    nonce: str | None
    person: str
    until: float


class Refused(Exception):
    """An error of OAuth, by its name, and the status it has where it does not go back to the client."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


class IdentityProvider:
    """One realm. ``person`` is who is signed in there in the visitor's browser; ``faults`` overrules what it says of itself."""

    def __init__(self, host: str, ca_file: Path, context: ssl.SSLContext) -> None:
        self.host, self.ca_file = host, ca_file
        self.clients: dict[str, Client] = {}
        self.people: dict[str, dict[str, Any]] = {}
        self.person: str | None = None
        self.faults: dict[str, Any] = {}
        self.asked: list[str] = []
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.codes: dict[str, Grant] = {}
        self.tokens: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                values = {name: found[-1] for name, found in parse_qs(body or parts.query, keep_blank_values=True).items()}
                provider.asked.append(parts.path)
                try:
                    status, headers, content = provider.answer(self.command, parts.path, values, self.headers.get("Authorization") or "")
                except Refused as refused:
                    status, headers, content = refused.status, {}, json.dumps({"error": refused.error}).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> tuple[socket.socket, Any]:
                connection, address = super().get_request()
                connection.settimeout(10)
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that does not trust us hangs up; that is its right."""

        self.server = Server(("0.0.0.0", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def issuer(self) -> str:
        return f"https://{self.host}:{self.port}{REALM}"

    def register(self, client_id: str, secret: str, site: str) -> None:
        """Make a Greenlight at the base address ``site`` known."""
        self.clients[client_id] = Client(secret, {f"{site}/auth/openid_connect/callback"}, {f"{site}/?success=LogoutSuccessful"})

    def document(self) -> dict[str, Any]:
        """The discovery document."""
        stated = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}{LOGOUT}",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        stated.update(self.faults.get("document", {}))
        return {name: value for name, value in stated.items() if value is not None}

    def answer(self, method: str, path: str, values: dict[str, str], authorization: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. Raises Refused."""
        if "status" in self.faults:
            return self.faults["status"], self.faults.get("headers", {}), self.faults.get("body", b"{}")
        here = path.removeprefix(REALM) if path.startswith(f"{REALM}/") else None
        if (method, here) == ("GET", "/.well-known/openid-configuration"):
            return 200, {}, json.dumps(self.document()).encode()
        if (method, here) == ("GET", "/keys"):
            keys = self.faults.get("keys", KeySet([self.key]).as_dict(private=False))
            return 200, {}, json.dumps(keys).encode()
        if (method, here) == ("GET", "/auth"):
            return self._authorize(values)
        if (method, here) == ("POST", "/token"):
            return 200, {"Cache-Control": "no-store"}, json.dumps(self._token(values, authorization)).encode()
        if (method, here) == ("GET", "/userinfo"):
            person = self.tokens.get(authorization.removeprefix("Bearer "))
            if person is None:
                raise Refused("invalid_token", 401)
            return 200, {}, json.dumps(self.people[person]).encode()
        if (method, here) == ("GET", LOGOUT):
            return self._logout(values)
        raise Refused("not_found", 404)

    def _authorize(self, values: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        client = self.clients.get(values.get("client_id", ""))
        if client is None or values.get("redirect_uri") not in client.redirect_uris:
            raise Refused("invalid_request")  # never led back to an address that is not registered
        back = {"state": values["state"]} if values.get("state") else {}
        if values.get("response_type") != "code":
            back["error"] = "unsupported_response_type"
        elif "openid" not in values.get("scope", "").split():
            back["error"] = "invalid_scope"
        elif self.person is None:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(24)
            self.codes[back["code"]] = Grant(
                values["client_id"], values["redirect_uri"], values.get("nonce"), self.person, time.time() + CODE_SECONDS
            )
        return 302, {"Location": f"{values['redirect_uri']}?{urlencode(back)}"}, b""

    def _token(self, values: dict[str, str], authorization: str) -> dict[str, Any]:
        try:
            login = base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode()
        except ValueError:
            raise Refused("invalid_client", 401) from None
        client_id, _colon, secret = (unquote_plus(part) for part in login.partition(":"))
        client = self.clients.get(client_id)
        if not authorization.startswith("Basic ") or client is None or not secrets.compare_digest(client.secret, secret):
            raise Refused("invalid_client", 401)
        if values.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type")
        grant = self.codes.pop(values.get("code", ""), None)  # good for one use
        if grant is None or grant.client_id != client_id or grant.redirect_uri != values.get("redirect_uri") or grant.until < time.time():
            raise Refused("invalid_grant")
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": self.people[grant.person]["sub"], "aud": client_id, "iat": now, "exp": now + 300}
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        claims.update(self.faults.get("claims", {}))
        key = self.faults.get("signing_key", self.key)
        token = secrets.token_urlsafe(24)
        self.tokens[token] = grant.person
        id_token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}

    def _logout(self, values: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        try:
            hint = jwt.decode(values.get("id_token_hint", ""), self.key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise Refused("invalid_request") from None
        client = self.clients.get(values.get("client_id", ""))
        if client is None or hint["aud"] != values["client_id"] or values.get("post_logout_redirect_uri") not in client.logout_uris:
            raise Refused("invalid_request")
        self.person = None
        return 302, {"Location": values["post_logout_redirect_uri"]}, b""

    def visit(self, url: str) -> str:
        """What a browser on this machine is led to by an address of the provider; its error when it stays there."""
        parts = urlsplit(url)
        assert (parts.hostname, parts.port) == (self.host, self.port), url
        plain = socket.create_connection(("127.0.0.1", self.port), 10)
        connection = http.client.HTTPSConnection(self.host, self.port)
        connection.sock = ssl.create_default_context(cafile=str(self.ca_file)).wrap_socket(plain, server_hostname=self.host)
        connection.request("GET", f"{parts.path}?{parts.query}")
        got = connection.getresponse()
        body = got.read().decode()
        connection.close()
        return got.headers["Location"] if got.status == 302 else f"{got.status} {json.loads(body)['error']}"
