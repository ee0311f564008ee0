# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: Caddy's admin API over a unix socket or loopback, with what guards against lost updates.

Caddy sends the ETag of a configuration path as an HTTP trailer (caddyserver/caddy admin.go, handleConfig), which http.client drops;
so answers are read here, one connection for each request.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

TIMEOUT = 90.0
"""Seconds for one request: a reload waits for requests in flight as long as grace_period says."""
_RECONNECTS = 20
_PAUSE = 0.1


class AdminUnreachable(CoopError):
    """Nobody answers at the admin address."""


class AdminRefused(CoopError):
    """Caddy understood the request and said no; its old configuration stays in place."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ConfigChanged(Exception):
    """The configuration is no longer the one that was read (412)."""


@dataclass(frozen=True)
class Answer:
    """C(etag) is empty where the API gives none."""

    status: int
    body: bytes
    etag: str


class Admin:
    """The admin API at a socket's path or at C(http://127.0.0.1:2019)."""

    def __init__(self, address: str) -> None:
        self.address = address
        if address.startswith(("/", "unix/")):
            self.socket_path: str | None = "/" + address.removeprefix("unix/").lstrip("/")
            # Caddy 2.6 accepts an empty Host on its socket; later versions accept any (caddyserver/caddy admin.go, allowedOrigins).
            self.host = ""
        else:
            parts = urlsplit(address if "//" in address else f"//{address}")
            self.socket_path = None
            self.host = parts.netloc
            self._tcp = (parts.hostname or "127.0.0.1", parts.port or 2019)

    def get(self, path: str) -> tuple[Any, str]:
        """The value at a path of the configuration, None where there is none, and its ETag."""
        answer = self.request("GET", path)
        if answer.status == 404 or (answer.status == 400 and b"invalid traversal path" in answer.body):
            return None, ""
        self._check(answer)
        return (json.loads(answer.body) if answer.body.strip() else None), answer.etag

    def send(self, method: str, path: str, value: Any, etag: str = "", force: bool = False) -> None:
        """Change the configuration at a path; all or nothing. Raises ConfigChanged, AdminRefused."""
        headers = {"Content-Type": "application/json"}
        if etag:
            headers["If-Match"] = etag
        if force:
            headers["Cache-Control"] = "must-revalidate"
        answer = self.request(method, path, json.dumps(value).encode(), headers)
        if answer.status == 412:
            raise ConfigChanged
        self._check(answer)

    def _check(self, answer: Answer) -> None:
        if answer.status >= 400:
            try:
                text = str(json.loads(answer.body)["error"])
            except (ValueError, KeyError, TypeError):
                text = answer.body.decode("utf-8", "replace").strip()
            raise AdminRefused(f"Caddy refused the configuration, the old one stays: {' '.join(text.split())}", answer.status)

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """One exchange. A request that never reached Caddy is repeated: each reload replaces the admin listener."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method not in ("GET", "DELETE"):
            lines.append(f"Content-Length: {len(body)}")
        message = "\r\n".join([*lines, "", ""]).encode() + body
        for attempt in range(_RECONNECTS):
            try:
                raw = self._exchange(message)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if self.socket_path and not os.path.exists(self.socket_path):
                    message = f"Caddy's admin socket {self.socket_path} does not exist: is Caddy running as role edge sets it up?"
                    raise AdminUnreachable(message) from error
                reason: OSError | None = error
            except PermissionError as error:
                raise CoopError(f"Caddy's admin address {self.address} may not be used by this user; become root") from error
            except OSError as error:
                reason = error
                if method != "GET" and not isinstance(error, ConnectionResetError | BrokenPipeError):
                    raise CoopError(f"Caddy's admin address {self.address} did not answer: {error}") from error
            else:
                if raw:
                    return _parse(raw)
                reason = None
            if attempt + 1 < _RECONNECTS:
                time.sleep(_PAUSE)
        detail = (reason.strerror or str(reason)) if reason else "it closes the connection"
        raise AdminUnreachable(f"Caddy's admin address {self.address} does not answer ({detail}): is Caddy running?")

    def _exchange(self, message: bytes) -> bytes:
        with self._connect() as connection:
            connection.sendall(message)
            chunks = []
            while chunk := connection.recv(65536):
                chunks.append(chunk)
        return b"".join(chunks)

    def _connect(self) -> socket.socket:
        if self.socket_path is None:
            return socket.create_connection(self._tcp, timeout=TIMEOUT)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(self.socket_path)
        except OSError:
            connection.close()
            raise
        return connection


def _parse(raw: bytes) -> Answer:
    """A whole HTTP/1.1 answer, trailers included."""
    head, _blank, rest = raw.partition(b"\r\n\r\n")
    status_line, headers = _headers(head)
    status = int(status_line.split(" ", 2)[1])
    trailers: dict[str, str] = {}
    body = rest
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while True:
            size_line, _newline, rest = rest.partition(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            if size == 0:
                break
            pieces.append(rest[:size])
            rest = rest[size + 2 :]
        body = b"".join(pieces)
        _none, trailers = _headers(b"\r\n" + rest.rstrip(b"\r\n"))
    return Answer(status, body, trailers.get("etag", headers.get("etag", "")))


def _headers(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines if line)
    return first, {name.strip().lower(): value.strip() for name, _colon, value in fields}
