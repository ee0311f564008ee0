# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: HTTP, what Rails does before a controller is reached, and the WebSocket of ActionCable.

Sources: greenlight config/environments/production.rb (force_ssl, hosts), actionpack host_authorization.rb and ssl.rb.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import signal
import socketserver
import struct
import sys
import threading
import time
import typing as t
import uuid
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from . import config
from .db import Pool

PUBLIC = Path("/usr/src/app/public")
HSTS = "max-age=31556952; includeSubDomains"
SECURITY_HEADERS = {
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "0",
    "x-content-type-options": "nosniff",
    "x-permitted-cross-domain-policies": "none",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cache-control": "max-age=0, private, must-revalidate",
}
BROWSER_LIKE = re.compile(r",\s*\*/\*|\*/\*\s*,")  # actionpack mime_negotiation.rb
CABLE_PING_SECONDS = 3.0
STATIC_TYPES = {
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".txt": "text/plain",
    ".html": "text/html",
}
REASONS = {
    200: "OK",
    201: "Created",
    301: "Moved Permanently",
    302: "Found",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    422: "Unprocessable Content",
    500: "Internal Server Error",
}


# Columns besides id and time stamps of the models whose name is a controller's (greenlight db/schema.rb), for wrap_parameters
MODEL_COLUMNS = {
    "user": "name email external_id provider password_digest last_login role_id language reset_digest reset_sent_at verified "
    "verification_digest verification_sent_at session_token session_expiry status",
    "room": "user_id name friendly_id meeting_id last_session recordings_processing online",
    "role": "name color provider",
    "role_permission": "role_id permission_id value",
    "site_setting": "setting_id value provider",
    "rooms_configuration": "meeting_option_id provider value",
    "invitation": "email provider token name",
    "tenant": "name client_secret region",
    "shared_access": "user_id room_id",
    "recording": "room_id name record_id visibility length participants protectable recorded_at",
}
# Controllers whose name has no plural s (greenlight app/controllers/api/v1)
SINGULAR = {"reset_password": "reset_password", "verify_account": "verify_account", "env": "env", "shared_accesses": "shared_access"}


def wrapper_key(path: str) -> str:
    """The key a controller of /api/v1 wraps parameters under."""
    names = path.removeprefix("/api/v1/").split(".")[0].split("/")
    name = "external" if names[0] == "migrations" else names[1] if names[0] == "admin" and len(names) > 1 else names[0]
    return SINGULAR.get(name, name.removesuffix("s"))


class Upload(t.NamedTuple):
    """A file of a multipart body."""

    filename: str
    content_type: str
    data: bytes


class Request:
    """One request as Rails sees it."""

    def __init__(self, method: str, target: str, headers: t.Any, body: bytes) -> None:
        parts = urlsplit(target)
        self.method, self.body, self.headers = method, body, headers
        self.full_path, self.path, self.query = target, unquote(parts.path) or "/", parts.query
        self.id = str(uuid.uuid4())
        self.cookies = _cookies(headers.get("Cookie") or "")
        self.script = ""
        if method == "POST" and headers.get("x-http-method-override"):  # Rack::MethodOverride
            self.method = headers.get("x-http-method-override").upper()

    def header(self, name: str) -> str:
        """A header's value, empty without one."""
        return t.cast(str, self.headers.get(name) or "")

    @property
    def ssl(self) -> bool:
        """Rack's ssl? behind a proxy."""
        return self.scheme == "https"

    @property
    def scheme(self) -> str:
        """What the proxy says (rack request.rb forwarded_scheme): of a list the last counts."""
        if self.header("X-Forwarded-Ssl") == "on":
            return "https"
        sources = (
            re.findall(r'proto="?(\w+)', self.header("Forwarded")),
            self.header("X-Forwarded-Proto").split(","),
            self.header("X-Forwarded-Scheme").split(","),
        )
        named = next((source[-1].strip() for source in sources if source and source[-1].strip()), "http")
        return "https" if named in ("https", "wss") else "http"

    @property
    def host_with_port(self) -> str:
        """X-Forwarded-Host (the last) before Host; the scheme's own port is left out."""
        raw = self.header("X-Forwarded-Host").split(",")[-1].strip() or self.header("Host")
        return raw.removesuffix(":443" if self.ssl else ":80")

    @property
    def base_url(self) -> str:
        """Scheme and host."""
        return f"{self.scheme}://{self.host_with_port}"

    @property
    def json_format(self) -> bool:
        """Rails' request.format: the extension first, then an Accept header that is not a browser's."""
        if self.path.endswith(".json"):
            return True
        accept = self.header("Accept")
        if re.search(r"[^/.]\.\w+$", self.path) or not accept or BROWSER_LIKE.search(accept):
            return False
        return accept.split(",")[0].split(";")[0].strip() == "application/json"

    def parameters(self, wrapper: str | None = None) -> dict[str, t.Any]:
        """Query and body, nested as Rails nests them. Raises ValueError for broken JSON.

        A JSON body is wrapped under the controller's name unless it holds that key itself (actionpack params_wrapper.rb); where there is a
        model of that name, with its columns only.
        """
        result: dict[str, t.Any] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            _nest(result, name, value)
        kind = self.header("Content-Type").split(";")[0].strip()
        if self.body and kind == "application/json":
            given = json.loads(self.body)
            given = given if isinstance(given, dict) else {"_json": given}
            result.update(given)
            if wrapper and wrapper not in result:
                columns = f"id created_at updated_at {MODEL_COLUMNS[wrapper]}".split() if wrapper in MODEL_COLUMNS else list(given)
                result[wrapper] = {name: value for name, value in given.items() if name in columns}
        elif wrapper and kind == "application/json" and wrapper not in result:
            result[wrapper] = {}
        elif self.body and kind == "application/x-www-form-urlencoded":
            for name, value in parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True):
                _nest(result, name, value)
        elif self.body and kind == "multipart/form-data":
            for name, part in _multipart(self.header("Content-Type"), self.body):
                _nest(result, name, part)
        return result


def _cookies(header: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: unquote(value) for name, _other, value in pairs if name}


def _nest(result: dict[str, t.Any], name: str, value: t.Any) -> None:
    """a[b][]=c as Rack reads it."""
    keys = re.findall(r"[^\[\]]+|\[\]", name)
    if not keys:
        return
    current: t.Any = result
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if following is None:
            if isinstance(current, dict):
                current[key] = value
            return
        if following == "[]":
            if isinstance(current, dict):
                found = current.setdefault(key, [])
                if isinstance(found, list):
                    found.append(value)
            return
        found = current.setdefault(key, {}) if isinstance(current, dict) else None
        if not isinstance(found, dict):
            return
        current = found


def _multipart(content_type: str, body: bytes) -> t.Iterator[tuple[str, t.Any]]:
    from email.parser import BytesParser
    from email.policy import HTTP

    parsed = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in parsed.iter_parts():
        name = part.get_param("name", header="content-disposition")
        filename = part.get_filename()
        payload = part.get_payload(decode=True) or b""
        if isinstance(name, str):
            yield name, Upload(filename, part.get_content_type(), payload) if filename else payload.decode(errors="replace")


class Response:
    """Status, headers, cookies and body."""

    def __init__(self, status: int = 200, body: str | bytes = "", content_type: str = "text/html; charset=utf-8") -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers: dict[str, str] = {"content-type": content_type} if content_type else {}
        self.set_cookies: list[str] = []

    def cookie(self, name: str, value: str, path: str, extra: str = "") -> None:
        """Add a Set-Cookie line; Secure is added for https (actionpack ssl.rb)."""
        from urllib.parse import quote

        self.set_cookies.append(f"{name}={quote(value, safe='')}; path={path}{extra}")


def json_default(value: t.Any) -> t.Any:
    """Times as Rails writes them."""
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    raise TypeError(type(value).__name__)


def json_response(status: int, value: t.Any) -> Response:
    """A JSON answer."""
    return Response(
        status, json.dumps(value, default=json_default, ensure_ascii=False, separators=(",", ":")), "application/json; charset=utf-8"
    )


def error_page(request: Request, status: int) -> Response:
    """public/404.html and its kin, or their JSON form (actionpack public_exceptions.rb)."""
    names = {
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        422: "Unprocessable Content",
        500: "Internal Server Error",
        400: "Bad Request",
    }
    if request.json_format:
        return json_response(status, {"status": status, "error": names.get(status, "")})
    return Response(
        status, f"<!DOCTYPE html><html><head><title>{names.get(status)} ({status})</title></head><body>{names.get(status)}</body></html>"
    )


def host_allowed(request: Request) -> bool:
    """URL_HOST: exactly that host, a leading dot allows sub-domains; BYPASS_HOST=true turns it off; /health_check is exempt."""
    if not config.present("URL_HOST") or config.env("BYPASS_HOST") == "true" or request.path == "/health_check":
        return True
    wanted = config.env("URL_HOST") or ""
    host = re.escape(wanted[1:] if wanted.startswith(".") else wanted)
    pattern = re.compile(rf"(?:[a-z0-9-]+\.)?{host}(?::\d+)?" if wanted.startswith(".") else rf"{host}(?::\d+)?", re.IGNORECASE)
    forwarded = request.header("X-Forwarded-Host").split(",")[-1].strip()
    return bool(pattern.fullmatch(request.header("Host")) and (not forwarded or pattern.fullmatch(forwarded)))


class Application:
    """Middleware in Rails' order, then the controllers."""

    def __init__(self) -> None:
        threads = int(config.env("RAILS_MAX_THREADS") or "3")
        self.pool = Pool(threads)
        self.threads = threading.BoundedSemaphore(threads)
        self.active = 0
        self._active_lock = threading.Lock()

    @contextlib.contextmanager
    def answering(self) -> t.Iterator[None]:
        """Counts the requests under way, until their last byte is sent."""
        with self._active_lock:
            self.active += 1
        try:
            yield
        finally:
            with self._active_lock:
                self.active -= 1

    def drain(self) -> None:
        """Wait until no request is being answered."""
        while self.active:
            time.sleep(0.02)

    def call(self, request: Request) -> Response:
        """Answer one request."""
        root = config.relative_root()
        if root:  # config.ru maps the application there; Rack::URLMap answers for the rest
            if request.path != root and not request.path.startswith(f"{root}/"):
                return Response(404, f"Not Found: {request.path}", "text/plain")
            request.script, request.path = root, request.path.removeprefix(root) or "/"
        if not host_allowed(request):
            return Response(403, "")
        if not request.ssl and "health_check" not in request.path:
            status = 301 if request.method in ("GET", "HEAD") else 308
            response = Response(status, "")
            host = (request.header("X-Forwarded-Host").split(",")[-1].strip() or request.header("Host")).removesuffix(":80")
            response.headers["location"] = f"https://{host}{request.full_path}"
            return response
        with self.threads:
            response = self._static(request)
            if response is None:
                response = self._dispatch(request)
                response.headers.update(SECURITY_HEADERS)
                if request.header("Accept") and not re.search(r"[^/.]\.\w+$", request.path):
                    response.headers["vary"] = "Accept"  # the header decided the format
        response.headers["x-request-id"] = request.id
        if request.ssl:
            response.headers["strict-transport-security"] = HSTS
            response.set_cookies = [line if "; secure" in line else f"{line}; secure" for line in response.set_cookies]
        return response

    def _static(self, request: Request) -> Response | None:
        """Files of public/, unless RAILS_SERVE_STATIC_FILES is blank."""
        if request.method not in ("GET", "HEAD") or not config.present("RAILS_SERVE_STATIC_FILES"):
            return None
        path = (PUBLIC / request.path.lstrip("/")).resolve()
        if not path.is_relative_to(PUBLIC) or not path.is_file():
            return None
        return Response(200, path.read_bytes(), STATIC_TYPES.get(path.suffix, "application/octet-stream"))

    def _dispatch(self, request: Request) -> Response:
        from . import api

        with self.pool.lease() as db:
            return api.dispatch(self, request, db)


class Headers(dict[str, str]):
    """Header fields by lower-case name; repeated ones joined by a comma."""

    def get(self, name: str, default: t.Any = None) -> t.Any:
        """A field's value, whatever the name's case."""
        return super().get(name.lower(), default)

    def add(self, line: bytes) -> None:
        """One line of the head. Raises ValueError for what is no field."""
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name.strip():
            raise ValueError(f"malformed header {line!r}")
        key, value = name.strip().lower(), value.strip()
        self[key] = f"{self[key]}, {value}" if key in self else value


class Handler(socketserver.StreamRequestHandler):
    """Puma's place: keep-alive, chunked bodies, the log line. http.server is not used, for it loads ssl and email into every instance."""

    timeout = 20
    app: Application
    headers: Headers
    close_connection = False

    def handle(self) -> None:
        """Requests of one connection, until either side has enough."""
        while not self.close_connection:
            first = self.rfile.readline(65537)
            if not first.strip():
                if not first:
                    return
                continue
            self._one(first)

    def _one(self, first: bytes) -> None:
        started = time.monotonic()
        try:
            method, target, version = first.decode("latin-1").split()
            self.headers = Headers()
            while (line := self.rfile.readline(65537)).strip():
                self.headers.add(line)
            connection = (self.headers.get("Connection") or "").lower()
            self.close_connection = "close" in connection or (version == "HTTP/1.0" and "keep-alive" not in connection)
            if (self.headers.get("Expect") or "").lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request = Request(method, target, self.headers, self._body())
        except ValueError:
            self.close_connection = True
            self._send(Response(400, ""), False)
            return
        if request.path == f"{config.relative_root()}/cable" and self._cable(request):
            return
        with self.app.answering():
            response = self.app.call(request)
            self._send(response, request.method == "HEAD")
        if request.path != "/health_check" and config.logs("info"):  # lograge ignores it
            shape, took = "json" if request.json_format else "html", (time.monotonic() - started) * 1000
            print(
                f"I, [{dt.datetime.now(dt.timezone.utc).isoformat()} #{os.getpid()}]  INFO -- : [{request.id}] method={request.method} "
                f"path={request.path} format={shape} status={response.status} duration={took:.2f} host=greenlight",
                flush=True,
            )

    def _body(self) -> bytes:
        if "chunked" not in (self.headers.get("Transfer-Encoding") or "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _send(self, response: Response, head: bool) -> None:
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines += [f"set-cookie: {line}" for line in response.set_cookies]
        lines += [f"content-length: {len(response.body)}"] + ["connection: close"] * self.close_connection
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (b"" if head else response.body))

    # -- /cable (greenlight config/routes.rb mounts ActionCable; app/channels/rooms_channel.rb)

    def _cable(self, request: Request) -> bool:
        """101 for a proper handshake from our own origin; anything else is not found. False when middleware must answer instead."""
        if not host_allowed(request) or not request.ssl:
            return False
        key = request.header("Sec-WebSocket-Key")
        proper = (
            request.method == "GET"
            and key
            and "upgrade" in request.header("Connection").lower()
            and request.header("Upgrade").lower() == "websocket"
            and request.header("Sec-WebSocket-Version") == "13"
        )
        if not proper or request.header("Origin") != f"{request.scheme}://{request.header('Host')}":  # allow_same_origin_as_host
            response = Response(404, "Page not found", "text/plain; charset=utf-8")
            response.headers["strict-transport-security"] = HSTS
            self._send(response, False)
            return True
        self.close_connection = True
        accept = base64.b64encode(
            hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
        ).decode()
        offered = [p.strip() for p in request.header("Sec-WebSocket-Protocol").split(",")]
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
        lines += ["Sec-WebSocket-Protocol: actioncable-v1-json"] * ("actioncable-v1-json" in offered)
        self.wfile.write("\r\n".join([*lines, "", ""]).encode())
        with contextlib.suppress(OSError, EOFError):
            self._converse()
        return True

    def _converse(self) -> None:
        """Welcome, pings, confirmed subscriptions. Broadcasts go to Redis only, not to these sockets."""
        self._frame({"type": "welcome"})
        self.connection.settimeout(CABLE_PING_SECONDS)
        while True:
            try:
                message = self._read_frame()
            except TimeoutError:
                self._frame({"type": "ping", "message": int(time.time())})
                continue
            if message is None:
                return
            with contextlib.suppress(ValueError):
                command = json.loads(message)
                if command.get("command") == "subscribe" and json.loads(command.get("identifier") or "{}").get("channel") == "RoomsChannel":
                    self._frame({"identifier": command["identifier"], "type": "confirm_subscription"})

    def _frame(self, value: dict[str, t.Any]) -> None:
        data = json.dumps(value, separators=(",", ":")).encode()
        self.wfile.write(bytes((0x81,)) + (bytes((len(data),)) if len(data) < 126 else struct.pack("!BH", 126, len(data))) + data)

    def _read_frame(self) -> str | None:
        """One text frame; None at the end. Raises TimeoutError between frames."""
        first = self.connection.recv(1)
        if not first:
            return None
        self.connection.settimeout(10)
        size = self._exactly(1)[0] & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._exactly(8))[0]
        mask = self._exactly(4)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self._exactly(min(size, 1 << 20))))
        self.connection.settimeout(CABLE_PING_SECONDS)
        return None if first[0] & 0x0F == 8 else data.decode(errors="replace")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.connection.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection; at most RAILS_MAX_THREADS requests at a time."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def service_actions(self) -> None:
        """Between polls: close idle database connections."""
        Handler.app.pool.reap()

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def serve(address: str, port: int) -> int:
    """Listen until SIGTERM or SIGINT; what is being answered is finished, queued mail is lost; exit 1 after SIGTERM (seen on Puma)."""
    from . import api  # noqa: F401  (loaded now, not at the first request)

    threading.stack_size(512 * 1024)
    Handler.app = Application()
    stop = threading.Event()
    codes: list[int] = []

    def leave(number: int, _frame: t.Any) -> None:
        codes.append(1 if number == signal.SIGTERM else 0)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with Server((address, port), Handler) as server:
        print(f"=> Booting Puma\nPuma starting in single mode...\n* Listening on http://{address}:{port}", flush=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 30}, daemon=True).start()
        stop.wait()
        print("- Gracefully stopping, waiting for requests to finish", flush=True)
        Handler.app.drain()
    sys.stdout.flush()
    os._exit(codes[0])  # waiting threads are not asked


__all__ = ["Application", "Request", "Response", "Upload", "error_page", "json_response", "serve"]
