# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upgrades for tests and the benchmark: releases that never were, and people who go on asking meanwhile."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.containers import HOST, IMAGE, KILLER, STATE, Instance
from tests.support.edge import CA_FILE, Edge
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab

EMAIL, PASSWORD = "ana@sunflower.test", "Sunflower1!x"
CLIENTS = 2


def image_of(end: str) -> str:
    return f"meet-coop-lab/greenlight:v3.9.0-{end}"


def make_image(lab: RunningLab, end: str, change: str = "", host: str = HOST) -> str:
    """A release that never was, on a container host: the double with another VERSION_TAG, whose end says what its migrations do."""
    script = (
        f"id=$(docker create {IMAGE}); docker commit --change 'ENV VERSION_TAG=v3.9.0-{end}' {change} $id {image_of(end)} >/dev/null;"
        " docker rm $id >/dev/null"
    )
    done = lab.exec(host, ["sh", "-ec", script])
    assert done.returncode == 0, done
    return image_of(end)


def make_account(lab: RunningLab, database: str, state: str = "present") -> None:
    """Somebody who signs in."""
    user = {"email": EMAIL, "name": "Ana", "role": "Administrator", "state": state, "password": PASSWORD}
    done = run_directly(lab, HOST, "greenlight_user", {"login_db": database, "users": [user], "remove_rooms": True})
    assert not done.get("failed"), done


class Quick(Instance):
    """An instance whose modules run without a play."""

    def __init__(self, lab: RunningLab, name: str, ports: tuple[int, int]) -> None:
        def direct(host: str, module: str, args: dict[str, Any], check: bool = False) -> dict[str, Any]:
            return run_directly(lab, host, module.rpartition(".")[2], args, check)

        super().__init__(lab, direct, name, ports)

    def killed(self, event: str, **changes: Any) -> None:
        """A run that is killed with SIGKILL when Docker reports an event."""
        self.lab.exec(HOST, ["mkdir", "-p", "-m", "700", f"{STATE}/{self.name}"])
        since = self.lab.exec(HOST, ["date", "+%s.%N"]).stdout.strip()
        results: list[dict[str, Any]] = []

        def run() -> None:
            with suppress(AssertionError):  # it gives no result, being killed
                results.append(self.run(**changes))

        thread = threading.Thread(target=run)
        thread.start()
        seen = self.lab.exec(
            HOST, ["timeout", "90", "python3", "-c", KILLER, f"{STATE}/{self.name}", event.format(c=self.container), since]
        )
        thread.join()
        assert seen.stdout and not results, (seen, results)

    def account(self) -> None:
        make_account(self.lab, self.database)

    def migrations(self) -> str:
        return self.sql("SELECT string_agg(version, ' ' ORDER BY version) FROM (TABLE schema_migrations UNION TABLE data_migrations) x")

    def copies(self) -> str:
        """Copies of the database, and roles that own them."""
        return self.sql(
            f"SELECT datname FROM pg_database WHERE datname LIKE '%\\_of\\_{self.database}'"
            f" UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE '%\\_of\\_{self.database}'",
            "postgres",
        )


class Outside:
    """A site as somebody outside meets it."""

    def __init__(self, lab: RunningLab, name: str) -> None:
        self.lab, self.name = lab, name
        self.trust = ssl.create_default_context(cafile=lab.ca_file)

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection((self.lab.ip(HOST), 443), timeout=20)
        return self.trust.wrap_socket(plain, server_hostname=self.name)

    def ask(self, method: str, path: str, cookies: dict[str, str], csrf: str = "", body: Any = None) -> tuple[int, str]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(self.name)
        connection.sock = self.connect()
        try:
            headers = {"Accept": "text/html" if path == "/" else "application/json", "Connection": "close"}
            if cookies:
                headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
            if body is not None:
                headers |= {"Content-Type": "application/json", "X-CSRF-Token": csrf}
            connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie") or []:
                name, _equals, value = line.partition(";")[0].partition("=")
                cookies[name] = value
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def sign_in(self) -> dict[str, str]:
        """The cookies of somebody who has signed in."""
        cookies: dict[str, str] = {}
        page = self.ask("GET", "/", cookies)[1]
        tag = re.search(r'name="csrf-token"\s+content="([^"]+)"', page)
        assert tag, page
        session = {"session": {"email": EMAIL, "password": PASSWORD, "extend_session": False}}
        status, text = self.ask("POST", "/api/v1/sessions.json", cookies, tag.group(1).replace("&amp;", "&").replace("&#43;", "+"), session)
        assert status == 200, text
        return cookies

    def signed_in(self, cookies: dict[str, str]) -> bool:
        status, text = self.ask("GET", "/api/v1/sessions.json", cookies)
        return status == 200 and json.loads(text)["data"]["signed_in"] is True

    def version(self) -> str:
        status, text = self.ask("GET", "/api/v1/env.json", {})
        return json.loads(text)["data"]["VERSION_TAG"] if status == 200 else f"status {status}"

    def cable(self) -> ssl.SSLSocket:
        """A WebSocket, welcomed."""
        stream = self.connect()
        stream.sendall(
            f"GET /cable HTTP/1.1\r\nHost: {self.name}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://{self.name}\r\n"
            "Sec-WebSocket-Protocol: actioncable-v1-json\r\n\r\n".encode()
        )
        seen = b""
        while b"welcome" not in seen:
            part = stream.recv(4096)
            assert part, seen
            seen += part
        return stream

    @contextmanager
    def load(self) -> Iterator[Load]:
        """People who go on asking, signed in, a connection for each request."""
        load = Load(self, self.sign_in())
        threads = [threading.Thread(target=load.run) for _one in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load.stop.set()
            for thread in threads:
                thread.join()


class Site(Outside):
    """An instance of a test, behind the edge."""

    def __init__(self, edge: Edge, instance: Quick) -> None:
        super().__init__(edge.lab, edge.new_name("up"))
        self.edge, self.instance = edge, instance
        instance.arguments["hostname"] = self.name

    def route(self, port: int, wait: int = 0) -> None:
        done = self.edge.module(
            {"id": self.instance.name, "hosts": [self.name], "upstream": f"127.0.0.1:{port}", "wait_certificate": wait, "ca_file": CA_FILE}
        )
        assert not done.get("failed"), done


class Load:
    """What the askers met."""

    def __init__(self, site: Outside, cookies: dict[str, str]) -> None:
        self.site, self.cookies, self.stop = site, cookies, threading.Event()
        self.made, self.slowest, self.failed = 0, 0.0, list[str]()
        self.versions: dict[str, int] = {}

    def run(self) -> None:
        paths = ("/", "/api/v1/env.json", "/api/v1/sessions.json", "/api/v1/rooms.json", "/api/v1/site_settings.json?names[]=PrimaryColor")
        turn = 0
        while not self.stop.is_set():
            path = paths[turn % len(paths)]
            turn += 1
            begun = time.monotonic()
            try:
                status, text = self.site.ask("GET", path, dict(self.cookies))
                if status != 200 or (path.endswith("sessions.json") and '"signed_in":true' not in text):
                    self.failed.append(f"{path}: {status} {text[:80]}")
                if path.endswith("env.json") and status == 200:
                    version = json.loads(text)["data"]["VERSION_TAG"]
                    self.versions[version] = self.versions.get(version, 0) + 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{path}: {type(error).__name__}: {error}")
            self.made += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.stop.wait(0.02)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something took, and what came of it."""
    begun = time.monotonic()
    result = work()
    return time.monotonic() - begun, result
