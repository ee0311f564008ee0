# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Greenlight conformance checks need: containers, a browser-like client, a fake BigBlueButton, a fake mail server.

The checks see nothing but HTTP, SQL and container behaviour, so they run against the double and against the real application alike.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import http.client
import io
import json
import os
import re
import secrets
import socket
import socketserver
import ssl
import tarfile
import tempfile
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import docker
import psycopg
from docker.errors import APIError, NotFound

from tests.lab.greenlight import build, services

DOUBLE = f"{build.REPOSITORY}:v3.8.2.4"
IMAGE = os.environ.get("GREENLIGHT_IMAGE", DOUBLE)
VERSION = os.environ.get("GREENLIGHT_VERSION", "v3.8.2.4")
# seconds until the first answer after a start; the real image boots Rails five times
START_SECONDS = float(os.environ.get("GREENLIGHT_START_SECONDS", "30" if IMAGE.startswith(build.REPOSITORY) else "300"))
ANSWER_SECONDS = float(os.environ.get("GREENLIGHT_ANSWER_SECONDS", "15"))
EXTRA_ENVIRONMENT: dict[str, str] = json.loads(os.environ.get("GREENLIGHT_EXTRA_ENVIRONMENT", "{}"))

MAIL_HOST, BBB_HOST = "mail.conformance.test", "bbb.conformance.test"
SITE = "meet.conformance.test"
PASSWORD = "Sunflower-2026 x"
BBB_SECRET = "bbb-secret-of-the-conformance-suite"
SMTP_LOGIN, SMTP_PASSWORD = "sunflower", "smtp password 1"
SENDER = "meet@sunflower.test"
CA_PATH = "/etc/ssl/certs/conformance-ca.pem"


def is_double() -> bool:
    """Whether the image under test is the lab's own."""
    return IMAGE.startswith(build.REPOSITORY)


def wait_for(condition: t.Callable[[], t.Any], seconds: float, what: str) -> t.Any:
    """Poll until the condition holds; returns its value. Raises AssertionError naming what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)


# -- fake BigBlueButton


@dataclasses.dataclass
class Call:
    """One API call as received."""

    method: str
    path: str
    name: str
    query: str
    parameters: dict[str, str]
    body: str = ""

    @property
    def signed_with_sha1(self) -> bool:
        """Whether the checksum is SHA-1 over call, query and secret."""
        plain = re.sub(r"&?checksum=[0-9a-f]*$", "", self.query)
        return self.parameters.get("checksum") == hashlib.sha1(f"{self.name}{plain}{BBB_SECRET}".encode()).hexdigest()


class FakeBBB:
    """Answers the API on all addresses of this machine and remembers every call. `answers` overrules by call name."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, str] = {}
        self.delay = 0.0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: t.Any) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
                values = dict(parse_qsl(parts.query, keep_blank_values=True))
                call = Call(self.command, parts.path, parts.path.rsplit("/", 1)[-1], parts.query, values, sent)
                fake.calls.append(call)
                time.sleep(fake.delay)
                body = fake.answer(call).encode()
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "text/xml")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_POST = do_GET

        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Base URL as a container sees it."""
        return f"http://{BBB_HOST}:{self.server.server_port}/bigbluebutton"

    def answer(self, call: Call) -> str:
        """The XML of a call."""
        if call.name in self.answers:
            return self.answers[call.name]
        if not call.name:  # the bare endpoint tells its version to anyone
            return "<response><returncode>SUCCESS</returncode><version>2.0</version></response>"
        if not call.signed_with_sha1:
            return "<response><returncode>FAILED</returncode><messageKey>checksumError</messageKey><message>no</message></response>"
        inner = {
            "create": f"<meetingID>{call.parameters.get('meetingID')}</meetingID><createTime>{int(time.time() * 1000)}</createTime>",
            "isMeetingRunning": "<running>false</running>",
        }.get(call.name, "")
        return f"<response><returncode>SUCCESS</returncode>{inner}</response>"

    def last(self, name: str) -> Call:
        """The newest call of that name."""
        return next(call for call in reversed(self.calls) if call.name == name)


# -- fake mail server


@dataclasses.dataclass
class Letter:
    """One accepted mail."""

    sender: str
    recipients: list[str]
    data: str
    helo: str
    encrypted: bool
    login: str | None

    @property
    def text(self) -> str:
        """The plain-text part."""
        from email import message_from_string, policy

        body = message_from_string(self.data, policy=policy.default).get_body(("plain",))
        return body.get_content() if body else ""

    def header(self, name: str) -> str:
        """A header's value."""
        from email import message_from_string, policy

        return str(message_from_string(self.data, policy=policy.default)[name])


class FakeSMTP:
    """A mail server on a port of its own: plain, STARTTLS or implicit TLS, with or without login."""

    def __init__(
        self, *, tls: t.Literal["none", "starttls", "implicit"] = "none", login: bool = False, context: ssl.SSLContext | None = None
    ) -> None:
        self.tls, self.login, self.context = tls, login, context
        self.letters: list[Letter] = []
        fake = self

        class Session(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ssl.SSLError):
                    fake.converse(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("0.0.0.0", 0), Session)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.server.server_address[1])

    def environment(self, **more: str) -> dict[str, str]:
        """The SMTP_* variables that use this server without login."""
        return {
            "SMTP_SERVER": MAIL_HOST,
            "SMTP_PORT": str(self.port),
            "SMTP_DOMAIN": "sunflower.test",
            "SMTP_SENDER_EMAIL": SENDER,
            "SMTP_SENDER_NAME": "Sunflower",
            **more,
        }

    def converse(self, connection: socket.socket) -> None:
        """One session."""
        encrypted = self.tls == "implicit"
        if encrypted:
            assert self.context
            connection = self.context.wrap_socket(connection, server_side=True)
        stream = connection.makefile("rwb", buffering=0)
        helo, login, sender, recipients = "", None, "", []

        def say(line: str) -> None:
            stream.write(f"{line}\r\n".encode())

        def hear() -> str:
            return stream.readline().decode(errors="replace").rstrip("\r\n")

        say("220 fake")
        while line := hear():
            verb, _other, rest = line.partition(" ")
            verb = verb.upper()
            if verb in ("EHLO", "HELO"):
                helo = rest
                offers = ["fake"] + ["STARTTLS"] * (self.tls == "starttls" and not encrypted) + ["AUTH PLAIN LOGIN"] * self.login
                for index, offer in enumerate(offers):
                    say(f"250{'-' if index < len(offers) - 1 else ' '}{offer}")
            elif verb == "STARTTLS" and self.tls == "starttls":
                assert self.context
                say("220 go on")
                connection = self.context.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rwb", buffering=0)
                encrypted = True
            elif verb == "AUTH" and self.login:
                kind, _other, initial = rest.partition(" ")
                if kind.upper() == "PLAIN":
                    if not initial:
                        say("334 ")
                        initial = hear()
                    _zero, user, password = base64.b64decode(initial).decode().split("\0")
                else:
                    if not initial:
                        say("334 VXNlcm5hbWU6")
                        initial = hear()
                    user = base64.b64decode(initial).decode()
                    say("334 UGFzc3dvcmQ6")
                    password = base64.b64decode(hear()).decode()
                login = user if (user, password) == (SMTP_LOGIN, SMTP_PASSWORD) else None
                say("235 in" if login else "535 no")
            elif verb == "MAIL":
                if self.login and not login:
                    say("530 login first")
                    continue
                sender, recipients = rest.partition(":")[2].split(">")[0].strip(" <"), []
                say("250 ok")
            elif verb == "RCPT":
                recipients.append(rest.partition(":")[2].split(">")[0].strip(" <"))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                lines = []
                while (line := hear()) != ".":
                    lines.append(line.removeprefix(".") if line.startswith("..") else line)
                self.letters.append(Letter(sender, recipients, "\r\n".join(lines), helo, encrypted, login))
                say("250 kept")
            elif verb == "QUIT":
                say("221 bye")
                return
            elif verb in ("RSET", "NOOP"):
                say("250 ok")
            else:
                say("502 what")

    def wait_letter(self, to: str, seconds: float = 15) -> Letter:
        """The newest letter to an address."""
        return t.cast(
            Letter, wait_for(lambda: next((m for m in reversed(self.letters) if to in m.recipients), None), seconds, f"a mail to {to}")
        )


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A CA and a certificate of MAIL_HOST signed by it: (CA file, server context)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = dt.datetime.now(dt.timezone.utc)

    def make(name: str, issuer: x509.Name | None, key: t.Any, signer: t.Any, extension: t.Any) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(
            issuer or subject,
            subject,
            key.public_key(),
            x509.random_serial_number(),
            now - dt.timedelta(days=1),
            now + dt.timedelta(days=30),
        )
        return builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints)).sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = make("Conformance CA", None, ca_key, ca_key, x509.BasicConstraints(True, None))
    own = make(MAIL_HOST, ca.subject, key, ca_key, x509.SubjectAlternativeName([x509.DNSName(MAIL_HOST)]))
    ca_file, pem = directory / "ca.pem", directory / "server.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        own.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return ca_file, context


# -- client


@dataclasses.dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    @property
    def json(self) -> t.Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def data(self) -> t.Any:
        """The member "data"."""
        return self.json["data"]

    @property
    def errors(self) -> t.Any:
        """The member "errors"."""
        return self.json.get("errors")

    def header(self, name: str) -> str:
        """A header's value, empty without one."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def all(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Client:
    """A visitor behind a TLS-terminating proxy: cookies, CSRF token, the headers a proxy sets."""

    def __init__(self, address: str, host: str = SITE) -> None:
        self.address, self.host = address, host
        self.cookies: dict[str, str] = {}
        self._csrf: str | None = None

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str | None] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """Send exactly these headers besides Host, cookies and X-Forwarded-Proto; None removes one."""
        sent: dict[str, str | None] = {"Host": self.host, "X-Forwarded-Proto": "https", **(headers or {})}
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection(self.address, 3000, timeout=seconds)
        try:
            connection.request(method, path, body=body, headers={k: v for k, v in sent.items() if v is not None})
            got = connection.getresponse()
            answer = Answer(got.status, got.getheaders(), got.read())
        finally:
            connection.close()
        for line in answer.all("set-cookie"):
            name, _other, value = line.split(";")[0].partition("=")
            if value:  # Rails takes one back with an empty value.
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer

    def get(self, path: str, names: list[str] | None = None) -> Answer:
        """GET JSON below /api/v1/."""
        query = f"?{urlencode([('names[]', name) for name in names])}" if names else ""
        return self.raw("GET", f"/api/v1/{path}{query}", headers={"Accept": "application/json"})

    @property
    def csrf(self) -> str:
        """The token from the page's meta tag."""
        if self._csrf is None:
            found = re.search(r'name="csrf-token" content="([^"]+)"', self.raw("GET", "/").text)
            assert found, "the page carries no csrf-token meta tag"
            self._csrf = found[1]
        return self._csrf

    def send(self, method: str, path: str, body: t.Any = None, csrf: bool = True, **headers: str | None) -> Answer:
        """POST, PATCH or DELETE JSON below /api/v1/."""
        given: dict[str, str | None] = {"Accept": "application/json", "Content-Type": "application/json"}
        if csrf:
            given["X-CSRF-Token"] = self.csrf
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.raw(method, f"/api/v1/{path}", json.dumps(body).encode() if body is not None else None, given)

    def post(self, path: str, body: t.Any = None, **options: t.Any) -> Answer:
        """POST."""
        return self.send("POST", path, body, **options)

    def patch(self, path: str, body: t.Any = None, **options: t.Any) -> Answer:
        """PATCH."""
        return self.send("PATCH", path, body, **options)

    def delete(self, path: str, **options: t.Any) -> Answer:
        """DELETE."""
        return self.send("DELETE", path, **options)

    def upload(self, path: str, field: str, filename: str, kind: str, content: bytes) -> Answer:
        """PATCH one file below /api/v1/ as a form does."""
        mark = "conformance-boundary"
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        headers = {"Accept": "application/json", "Content-Type": f"multipart/form-data; boundary={mark}", "X-CSRF-Token": self.csrf}
        return self.raw("PATCH", f"/api/v1/{path}", body, dict(headers))

    def follow(self, url: str) -> Answer:
        """GET an address of the site, redirects included."""
        answer = self.raw("GET", url.removeprefix(f"https://{self.host}"))
        return self.follow(answer.header("location")) if answer.status == 302 else answer

    def sign_in(self, email: str, password: str = PASSWORD, extend: bool = False) -> Answer:
        """POST the sign-in form."""
        return self.post("sessions.json", {"session": {"email": email, "password": password, "extend_session": extend}})

    def warm(self) -> Answer:
        """A request that uses the database."""
        return self.get("site_settings.json", ["RegistrationMethod"])


# -- stage


class Instance:
    """One Greenlight container."""

    def __init__(self, container: t.Any, network: str) -> None:
        self.container, self.network = container, network

    @property
    def address(self) -> str:
        """Its address on the stage's network."""
        self.container.reload()
        return str(self.container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"])

    def client(self, host: str = SITE) -> Client:
        """A fresh visitor."""
        return Client(self.address, host)

    def log(self) -> str:
        """Everything it printed."""
        return str(self.container.logs().decode(errors="replace"))

    def health(self, seconds: float = ANSWER_SECONDS) -> Answer:
        """GET /health_check as a container host asks it: plain http, its own address as Host."""
        return self.client("127.0.0.1:3000").raw("GET", "/health_check", headers={"X-Forwarded-Proto": None}, seconds=seconds)

    def wait_listening(self) -> Instance:
        """Until the server takes connections."""

        def listening() -> bool:
            self.container.reload()
            assert self.container.status == "running", (
                f"Greenlight ended with {self.container.attrs['State']['ExitCode']}:\n{self.log()[-3000:]}"
            )
            with contextlib.suppress(OSError):
                socket.create_connection((self.address, 3000), 1).close()
                return True
            return False

        wait_for(listening, START_SECONDS, f"{self.container.name} to listen")
        return self

    def wait_exit(self) -> int:
        """Until the container has ended; its exit code."""
        return int(self.container.wait(timeout=START_SECONDS)["StatusCode"])

    def run(self, *command: str) -> tuple[int, str]:
        """A command inside; (exit code, output)."""
        done = self.container.exec_run(list(command), workdir="/usr/src/app")
        return int(done.exit_code), done.output.decode(errors="replace")


class Stage:
    """Network, PostgreSQL, Redis, fakes; starts Greenlight containers and clears everything away."""

    def __init__(self) -> None:
        self.engine = docker.from_env(timeout=600)
        self.name = f"glconf-{secrets.token_hex(3)}"
        self._instances: list[Instance] = []
        self.services_image = services.ensure(print)
        if is_double():
            build.build_all(client=self.engine)
        self.network = self.engine.networks.create(self.name)
        self.gateway = self.network.attrs.get("IPAM", {}).get("Config", [{}])[0].get("Gateway") or self._gateway()
        self.postgres_password, self.redis_password = secrets.token_hex(8), secrets.token_hex(8)
        self.postgres = services.start_postgres(self.engine, self.services_image, f"{self.name}-pg", self.name, self.postgres_password)
        self.redis = services.start_redis(self.engine, self.services_image, f"{self.name}-redis", self.name, self.redis_password)
        self.bbb = FakeBBB()
        self.directory = Path(tempfile.mkdtemp(prefix="glconf-"))
        self.ca_file, self.tls = certificate(self.directory)

    def _gateway(self) -> str:
        self.network.reload()
        return str(self.network.attrs["IPAM"]["Config"][0]["Gateway"])

    def close(self) -> None:
        """Remove what was made."""
        for container in [*(i.container for i in self._instances), self.postgres, self.redis]:
            with contextlib.suppress(NotFound, APIError):
                container.remove(force=True, v=True)
        with contextlib.suppress(NotFound, APIError):
            self.network.remove()

    # database

    def sql(self, database: str) -> psycopg.Connection[t.Any]:
        """A superuser's connection, autocommit."""
        self.postgres.reload()
        address = self.postgres.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        return psycopg.connect(host=address, user="postgres", password=self.postgres_password, dbname=database, autocommit=True)

    def database(self, name: str) -> str:
        """A role without CREATEDB and its database; returns the role's DATABASE_URL."""
        with self.sql("postgres") as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}pw'")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        return self.database_url(name)

    def database_url(self, name: str, password: str | None = None) -> str:
        """DATABASE_URL of a role named as its database."""
        return f"postgres://{name}:{password or name + 'pw'}@{self.name}-pg:5432/{name}"

    # containers

    def environment(self, database_url: str) -> dict[str, str]:
        """A working environment without mail."""
        return {
            "SECRET_KEY_BASE": hashlib.sha512(self.name.encode()).hexdigest(),
            "DATABASE_URL": database_url,
            "REDIS_URL": f"redis://:{self.redis_password}@{self.name}-redis:6379",
            "BIGBLUEBUTTON_ENDPOINT": self.bbb.endpoint,
            "BIGBLUEBUTTON_SECRET": BBB_SECRET,
            "SMTP_HEALTH_CHECK_DISABLED": "true",
            **EXTRA_ENVIRONMENT,
        }

    def start(
        self, database_url: str, *, image: str = IMAGE, without: t.Iterable[str] = (), ca: bool = False, **environment: str
    ) -> Instance:
        """Start a container; `without` leaves variables out, `ca` puts our CA where SSL_CERT_FILE points."""
        merged = {**self.environment(database_url), **environment}
        if ca:
            merged["SSL_CERT_FILE"] = CA_PATH
        container = self.engine.containers.create(
            image,
            name=f"{self.name}-gl{len(self._instances)}",
            network=self.name,
            security_opt=build.SECURITY,
            environment={name: value for name, value in merged.items() if name not in set(without)},
            extra_hosts={MAIL_HOST: self.gateway, BBB_HOST: self.gateway},
        )
        instance = Instance(container, self.name)
        self._instances.append(instance)
        if ca:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                archive.add(self.ca_file, arcname=CA_PATH.lstrip("/"))
            container.put_archive("/", buffer.getvalue())
        container.start()
        return instance

    def stop(self, instance: Instance) -> None:
        """Remove one container."""
        with contextlib.suppress(NotFound, APIError):
            instance.container.remove(force=True, v=True)


# -- rows


class Rows:
    """Rows of one instance's database, read and changed as a provisioning tool would."""

    def __init__(self, connection: psycopg.Connection[t.Any]) -> None:
        self.connection = connection

    def all(self, sql: str, *parameters: t.Any) -> list[t.Any]:
        """All rows."""
        return self.connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, *parameters: t.Any) -> t.Any:
        """First column of the first row."""
        row = self.connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def run(self, sql: str, *parameters: t.Any) -> int:
        """Change rows; how many."""
        return self.connection.execute(sql, parameters).rowcount

    def user(
        self,
        email: str,
        role: str = "User",
        *,
        password: str = PASSWORD,
        kind: str = "bf",
        verified: bool = True,
        status: int = 0,
        provider: str = "greenlight",
        token: str | None = "",
        expiry: str = "1 day",
    ) -> str:
        """An account made in SQL with a pgcrypto hash; returns its id. `token` None stores NULL."""
        session = secrets.token_hex(32) if token == "" else token
        return str(
            self.value(
                f"""INSERT INTO users (name, email, provider, password_digest, role_id, language, verified, status, session_token,
            session_expiry, created_at, updated_at) SELECT %s, %s, %s, crypt(%s, gen_salt('{kind}', 5)), r.id, 'en', %s, %s, %s,
            now() AT TIME ZONE 'UTC' + %s::interval, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC'
            FROM roles r WHERE r.name = %s AND r.provider = %s RETURNING id""",
                email.split("@")[0],
                email,
                provider,
                password,
                verified,
                status,
                session,
                expiry,
                role,
                "bn" if role == "SuperAdmin" else "greenlight",
            )
        )

    def role(self, name: str, **values: str) -> str:
        """A role with all permissions as a custom one gets them, some overruled; returns its id."""
        role_id = str(
            self.value(
                """INSERT INTO roles (name, color, provider, created_at, updated_at)
            VALUES (%s, %s, 'greenlight', now(), now()) RETURNING id""",
                name,
                f"#{secrets.token_hex(3)}",
            )
        )
        defaults = {
            "CreateRoom": "true",
            "SharedList": "true",
            "CanRecord": "true",
            "RoomLimit": "100",
            "AccessToVisibilities": '["Published", "Unpublished", "Protected", "Public", "Public/Protected"]',
        }
        for permission_id, permission in self.all("SELECT id, name FROM permissions"):
            self.run(
                "INSERT INTO role_permissions (role_id, permission_id, value, created_at, updated_at) VALUES (%s, %s, %s, now(), now())",
                role_id,
                permission_id,
                values.get(permission, defaults.get(permission, "false")),
            )
        return role_id

    def permit(self, role: str, permission: str, value: str) -> None:
        """Set one permission of a role; exactly one row must match."""
        assert (
            self.run(
                """UPDATE role_permissions x SET value = %s FROM permissions p, roles r
            WHERE p.id = x.permission_id AND r.id = x.role_id AND r.name = %s AND r.provider = 'greenlight' AND p.name = %s""",
                value,
                role,
                permission,
            )
            == 1
        )

    def setting(self, name: str, value: str) -> None:
        """Set one site setting; exactly one row must match."""
        assert (
            self.run(
                """UPDATE site_settings x SET value = %s FROM settings s
            WHERE s.id = x.setting_id AND s.name = %s AND x.provider = 'greenlight'""",
                value,
                name,
            )
            == 1
        )
