# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a first visitor of a new version notices that its health check does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._greenlight.visit import Visitor

PAGE = '<html><head><meta name="csrf-token" content="to&#43;ken"></head></html>'
COLOURS = {"PrimaryColor": "#467fcf", "PrimaryColorLight": "#e8eff9"}


@contextmanager
def greenlight(**wrong: Any) -> Iterator[Visitor]:
    """A site that is well but for what is given: page, settings, stranger (signed_in of who has not signed in), session (status)."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: Any, cookie: str = "") -> None:
            text = body if isinstance(body, str) else json.dumps({"data": body})
            self.send_response(status)
            if cookie:
                self.send_header("Set-Cookie", f"{cookie}; path=/; secure; HttpOnly")
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            assert (self.headers["Host"], self.headers["X-Forwarded-Proto"]) == ("meet.x.test", "https")
            if self.path == "/":
                self.answer(*wrong.get("page", (200, PAGE)), cookie="s=first")
            elif self.path.startswith("/api/v1/site_settings.json"):
                self.answer(200, wrong.get("settings", COLOURS))
            else:
                signed_in = wrong.get("after", True) if "s=second" in (self.headers["Cookie"] or "") else wrong.get("stranger", False)
                self.answer(200, {"signed_in": signed_in})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append({"csrf": self.headers["X-CSRF-Token"], "cookie": self.headers["Cookie"], **body["session"]})
            assert seen[-1] == {"csrf": "to+ken", "cookie": "s=first", "email": "a@x.test", "password": "word", "extend_session": False}
            self.answer(wrong.get("session", 200), {}, cookie="s=second")

        def log_message(self, *_arguments: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Visitor(("127.0.0.1", server.server_port), "meet.x.test", timeout=5)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_all_is_well() -> None:
    with greenlight() as visitor:
        assert visitor.look() == ""
        assert visitor.sign_in("a@x.test", "word") == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"page": (500, "oops")}, "the start page answers 500"),
        ({"page": (200, "<html>nginx</html>")}, "is not the application"),
        ({"settings": None}, "the page would be blank"),
        ({"settings": {**COLOURS, "PrimaryColorLight": None}}, "without PrimaryColorLight"),
        ({"stranger": True}, "signed_in True"),
    ],
)
def test_what_everybody_sees(wrong: dict[str, Any], said: str) -> None:
    with greenlight(**wrong) as visitor:
        assert said in visitor.look()


@pytest.mark.parametrize(("wrong", "said"), [({"session": 400}, "signing in answers 400"), ({"after": False}, "signed_in False")])
def test_a_sign_in_that_fails(wrong: dict[str, Any], said: str) -> None:
    with greenlight(**wrong) as visitor:
        assert visitor.look() == ""
        told = visitor.sign_in("a@x.test", "word")
        assert said in told and "word" not in told


def test_nobody_there() -> None:
    assert "answers nothing" in Visitor(("127.0.0.1", 1), "meet.x.test", timeout=1).look()
