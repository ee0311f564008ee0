# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a visitor's browser does, with the name server and the trusted authorities chosen by the caller."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import socket
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class Names:
    """Resolves names by one chosen resolver, or by the system's when none is given.

    Queries go out with dnspython, so that what the controller's own hosts file says does not count.
    """

    def __init__(self, server: str | None = None, port: int = 53, timeout: float = 5.0) -> None:
        try:
            import dns.resolver
        except ImportError as error:
            raise CoopError("dnspython is missing on the controller; install it with: pip install dnspython") from error
        self._resolver = dns.resolver.Resolver(configure=server is None)
        if server is not None:
            self._resolver.nameservers = [server]
            self._resolver.port = port
        self._resolver.lifetime = timeout
        self._resolver.cache = dns.resolver.Cache()

    def addresses(self, name: str) -> list[str]:
        """All IPv4 and IPv6 addresses of a name, sorted; an empty list where there is none."""
        import dns.exception
        import dns.resolver

        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                found.extend(str(record) for record in self._resolver.resolve(name, kind))
            except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                continue
            except dns.exception.DNSException as error:
                raise CoopError(f"the resolver gave no answer for {name} {kind}: {error}") from error
        return sorted(set(found))


@dataclasses.dataclass
class Answer:
    """One HTTP answer: status, headers (lower-case names) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; CoopError when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise CoopError(f"the answer is not JSON (status {self.status})") from error

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Site:
    """An HTTPS client bound to one host name: own resolver, own authorities, cookies kept, no redirect followed."""

    def __init__(self, hostname: str, names: Names, ca_file: str | None = None, timeout: float = 20.0) -> None:
        self.hostname = hostname
        self._names = names
        self._timeout = timeout
        self._cookies: dict[str, str] = {}
        self._csrf: str | None = None
        self._connection: http.client.HTTPSConnection | None = None
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise CoopError(f"ca_file {ca_file} cannot be read: {error.strerror}; give a readable PEM file") from error

    def _connect(self) -> http.client.HTTPSConnection:
        if self._connection is not None:
            return self._connection
        addresses = self._names.addresses(self.hostname)
        if not addresses:
            raise CoopError(f"{self.hostname} has no address")
        last: OSError | None = None
        for address in addresses:
            try:
                raw = socket.create_connection((address, 443), timeout=self._timeout)
            except OSError as error:
                last = error
                continue
            connection = http.client.HTTPSConnection(self.hostname, 443, timeout=self._timeout, context=self._context)
            try:
                connection.sock = self._context.wrap_socket(raw, server_hostname=self.hostname)
            except ssl.SSLError as error:
                raw.close()
                raise CoopError(f"{self.hostname}: TLS failed: {getattr(error, 'verify_message', '') or error.reason or error}") from error
            except OSError as error:
                raw.close()
                last = error
                continue
            self._connection = connection
            return connection
        raise CoopError(f"{self.hostname} ({', '.join(addresses)}) does not answer on port 443: {last}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def certificate(self) -> dict[str, Any]:
        """The certificate served, in the form of ssl.SSLSocket.getpeercert(); it has passed chain and name checks."""
        sock = self._connect().sock
        return dict(sock.getpeercert() or {}) if isinstance(sock, ssl.SSLSocket) else {}

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; JSON in and out, session cookie and CSRF token as Greenlight's own front end sends them."""
        sent = {"Accept": "application/json", "User-Agent": "meet.coop verify", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if method != "GET" and self._csrf:
            sent["X-CSRF-Token"] = self._csrf
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        for attempt in (1, 2):
            connection = self._connect()
            try:
                connection.request(method, path, body=data, headers=sent)
                response = connection.getresponse()
                content = response.read()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                # A kept-alive connection may have been closed meanwhile; once more on a new one.
                self.close()
                if attempt == 2:
                    raise CoopError(f"{self.hostname}: the connection broke during {method} {path}: {error}") from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise CoopError(f"{self.hostname}: {method} {path} failed: {error or type(error).__name__}") from error
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                pair = value.split(";", 1)[0]
                key, _sep, content_of_cookie = pair.partition("=")
                self._cookies[key.strip()] = content_of_cookie
        if response.getheader("Connection", "").lower() == "close":
            self.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def page(self) -> Answer:
        """The start page as a browser gets it; remembers the CSRF token it carries."""
        answer = self.request("GET", "/", headers={"Accept": "text/html"})
        tag = re.search(r'<meta\s+name="csrf-token"\s+content="([^"]+)"', answer.text)
        if tag:
            self._csrf = tag.group(1).replace("&amp;", "&").replace("&#43;", "+")
        return answer

    def sign_in(self, email: str, password: str) -> Answer:
        """Greenlight app/controllers/api/v1/sessions_controller.rb; the session cookie is kept."""
        self.page()
        answer = self.request("POST", "/api/v1/sessions.json", {"session": {"email": email, "password": password, "extend_session": False}})
        if answer.status == 200:
            self.page()
        return answer

    def ask_for_reset_mails(self, emails: Sequence[str]) -> None:
        """Have Greenlight mail each address its link (app/controllers/api/v1/reset_password_controller.rb).

        It answers 200 for an unknown address too, lest it tells who has an account.
        """
        self.page()
        for email in emails:
            answer = self.request("POST", "/api/v1/reset_password.json", {"user": {"email": email}})
            if answer.status != 200:
                raise CoopError(f"asking for the reset mail to {email} answers {answer.status}; see the instance's log")
        self.close()


def query_value(url: str, name: str) -> str | None:
    """One parameter of a URL's query, or None."""
    values = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get(name)
    return values[0] if values else None
