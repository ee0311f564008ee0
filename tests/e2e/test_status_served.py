# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status page from the receipts of the lab's verification, copied to a host and served there by Caddy under a name of its own."""

from __future__ import annotations

import http.client
import json
import pathlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from .conftest import Play

NAME = "status.meet.test"


def get(lab: Any, path: str) -> http.client.HTTPResponse:
    """What the public gets, over a certificate that is checked."""
    context = ssl.create_default_context(cafile=str(lab.state / "ca.pem"))
    connection = http.client.HTTPConnection(NAME, timeout=10)
    connection.sock = context.wrap_socket(socket.create_connection((lab.ip("host1"), 443), timeout=10), server_hostname=NAME)
    connection.request("GET", path)
    return connection.getresponse()


def test_the_page_is_served_as_it_was_written(
    onboarded: Play, lab: Any, play: Callable[..., Play], run_module: Callable[..., Any], tmp_path: pathlib.Path
) -> None:
    given = {
        "status_page_directory": str(tmp_path / "status"), "status_page_receipts": str(lab.state / "receipts"),
        "status_page_hostname": NAME, "status_page_host": "host1", "status_page_languages": ["en", "es"],
        "status_page_ca_file": "/etc/meet-coop/ca-bundle.pem",
    }  # fmt: skip

    def run(*options: str, **more: Any) -> Play:
        return play("status.yml", "-e", json.dumps({**given, **more}), *options)

    lab.update("meet.test", f"add status 5 A {lab.ip('host1')}")
    try:
        foretold = run("--check")
        assert foretold.code == 0 and foretold.changed and not (tmp_path / "status").exists(), foretold.output[-3000:]
        assert lab.exec("host1", ["test", "-e", "/srv/meet-coop-status"]).returncode != 0
        done = run()
        assert done.code == 0, done.output[-3000:]
        page = get(lab, "/")
        assert page.status == 200 and page.read() == (tmp_path / "status" / "index.html").read_bytes()
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        states = {one["id"]: one["state"] for one in json.loads(get(lab, "/status.json").read())["services"]}
        assert states and set(states.values()) == {"ok"}, states
        again = run()
        assert again.code == 0 and again.changed == {}, again.output[-3000:]
        assert get(lab, "/index.es.html").status == 200
        assert run(status_page_languages=["en"]).code == 0
        assert get(lab, "/index.es.html").status == 404
    finally:
        run_module("host1", "meet.coop.caddy_route", {"id": "status", "state": "absent"})
        lab.update("meet.test", "del status A")
        lab.exec("host1", ["rm", "-rf", "/srv/meet-coop-status"])
