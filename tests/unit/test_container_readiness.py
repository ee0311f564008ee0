# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an instance counts as ready, and what is said when it does not: against a web server that behaves like Greenlight."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._greenlight import readiness
from ansible_collections.meet.coop.plugins.module_utils._greenlight.readiness import NotReady, Target


class Greenlight(BaseHTTPRequestHandler):
    """The health check is wrong until another request has used the database (greenlight health_checks_controller.rb)."""

    warm = False
    version = "v3.8.2.4"
    health = "success"
    seen: list[tuple[str, str | None, str | None]] = []

    def do_GET(self) -> None:
        kind = type(self)
        kind.seen.append((self.path, self.headers["Host"], self.headers["X-Forwarded-Proto"]))
        status, body = 404, ""
        if self.path == readiness.LIVENESS:
            status, body = 200, json.dumps({"data": {"VERSION_TAG": kind.version}})
        elif self.path == readiness.WARM_UP:
            kind.warm = True
            status, body = 200, "{}"
        elif self.path == readiness.HEALTH:
            good = kind.warm and kind.health == "success"
            status, body = (200, "success") if good else (500, kind.health if kind.warm else "Unable to connect to Database")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_args: Any) -> None:
        return None


class Container:
    """A container whose states and answers a test decides."""

    def __init__(self, **state: Any) -> None:
        self.state = {"Running": True, "Restarting": False, "ExitCode": 0, **state}
        self.restarts = [0]
        self.probes: list[tuple[int, str]] = [(0, "")]
        self.asked = 0
        self.text = ""

    def inspect(self) -> dict[str, Any]:
        count = self.restarts.pop(0) if len(self.restarts) > 1 else self.restarts[0]
        return {"State": self.state, "RestartCount": count}

    def run(self, argv: list[str]) -> tuple[int, str]:
        assert argv == ["bundle", "exec", "rails", "db:abort_if_pending_migrations:with_data"]
        self.asked += 1
        return self.probes[0]

    def log(self) -> str:
        return self.text


@pytest.fixture
def server() -> Iterator[tuple[type[Greenlight], tuple[str, int]]]:
    kind = type("Fresh", (Greenlight,), {"seen": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield kind, ("127.0.0.1", http.server_address[1])
    http.shutdown()
    http.server_close()


def target(address: tuple[str, int] | None, **changes: Any) -> Target:
    arguments = {"name": "greenlight-x", "address": lambda _found: address, "hostname": "meet.x.example", "version": "v3.8.2.4", **changes}
    return Target(**arguments)


def wait(container: Container, wanted: Target, timeout: float = 0.0) -> str:
    return readiness.wait(container, wanted, timeout, sleep=lambda _seconds: None)


def test_proven_warmed_up_and_well(server: Any) -> None:
    kind, address = server
    container = Container()
    assert wait(container, target(address)) == "v3.8.2.4"
    assert container.asked == 1
    paths = [path for path, _host, _proto in kind.seen]
    assert paths.index(readiness.WARM_UP) < paths.index(readiness.HEALTH)
    assert {(host, proto) for _path, host, proto in kind.seen} == {("meet.x.example", "https")}


def test_a_proof_is_not_asked_for_twice(server: Any) -> None:
    container = Container()
    wait(container, target(server[1], proven=True))
    assert container.asked == 0


def test_pending_migrations_are_told_at_once(server: Any) -> None:
    container = Container()
    container.probes = [(1, "bin/rails:4:in `<main>'\nYou have 2 pending migrations:\n  up 1 X\nTasks: TOP => db:abort")]
    container.text = "\x1b[31mrake aborted!\x1b[0m\nPG::Error: secretword\n" + "Waiting\n" * 40 + "=> Booting Puma\n"
    with pytest.raises(NotReady) as caught:
        wait(container, target(server[1], secrets=["secretword"]), timeout=60)
    assert "not completely migrated" in str(caught.value) and "2 pending migrations" in str(caught.value)
    assert caught.value.pending and caught.value.hopeless
    assert caught.value.log == ["rake aborted!", "PG::Error: ********", "Waiting (40 times)", "=> Booting Puma"]


def test_an_unhealthy_one_says_what_it_says(server: Any) -> None:
    kind, address = server
    kind.health = "Unable to connect to Redis - x"
    with pytest.raises(NotReady, match="/health_check answers 500: Unable to connect to Redis - x") as caught:
        wait(Container(), target(address))
    assert not caught.value.hopeless


def test_somebody_else_on_the_port(server: Any) -> None:
    kind, address = server
    kind.version = "v3.0.0"
    with pytest.raises(NotReady, match=r"version v3\.0\.0, not v3\.8\.2\.4"):
        wait(Container(), target(address))


@pytest.mark.parametrize(
    ("state", "restarts", "words"),
    [
        ({"Running": False, "ExitCode": 1}, [0], "stopped by itself with exit code 1"),
        ({"Running": False, "ExitCode": 137, "OOMKilled": True}, [0], "resources.memory"),
        ({"Restarting": True, "ExitCode": 1}, [0, 1, 2], "stops right after each start, with exit code 1"),
    ],
)
def test_a_container_that_ends(state: dict[str, Any], restarts: list[int], words: str) -> None:
    container = Container(**state)
    container.restarts = restarts
    with pytest.raises(NotReady, match=words) as caught:
        wait(container, target(None), timeout=60)
    assert caught.value.hopeless


def test_a_question_that_cannot_be_asked_is_no_proof(server: Any) -> None:
    container = Container()
    container.probes = [(None, "Docker cannot run bundle: Container is restarting")]  # type: ignore[list-item]
    with pytest.raises(NotReady, match="cannot be asked for: .*restarting") as caught:
        wait(container, target(server[1]))
    assert not caught.value.pending


def test_a_question_killed_for_want_of_memory_says_so(server: Any) -> None:
    container = Container()
    container.probes = [(137, "")]
    with pytest.raises(NotReady, match=r"killed.*raise resources\.memory") as caught:
        wait(container, target(server[1]))
    assert not caught.value.pending, "nobody knows whether migrations are pending"


def test_nobody_answers() -> None:
    with pytest.raises(NotReady, match="not ready after 0 s"):
        wait(Container(), target(("127.0.0.1", 1)))


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (
            "/usr/src/app/vendor/bundle/gems/pg/x.rb:1:in 'connect'\nFATAL:  password authentication failed for user \"x\"\n",
            "password authentication",
        ),
        ("", "no output"),
        ("sh: bundle: not found", "sh: bundle: not found"),
    ],
)
def test_the_telling_line(output: str, wanted: str) -> None:
    assert wanted in readiness.reason(output, [])
