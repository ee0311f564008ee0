# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The admin API's answers as Caddy writes them, faults included, from a scripted socket; and the file Caddy starts from."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.meet.coop.plugins.module_utils._edge import admin as admin_module
from ansible_collections.meet.coop.plugins.module_utils._edge import certificate
from ansible_collections.meet.coop.plugins.module_utils._edge.admin import Admin, AdminRefused, AdminUnreachable, ConfigChanged
from ansible_collections.meet.coop.plugins.module_utils._edge.certificate import last_error
from ansible_collections.meet.coop.plugins.module_utils._edge.store import Store

Script = Callable[[bytes], bytes]


def answer(status: str, body: bytes = b"", etag: str = "") -> bytes:
    """An answer as Go's server sends it: chunked, with the ETag as trailer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n".encode()
    half = len(body) // 2
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:]) if part)
    return head + chunks + b"0\r\n" + (f"Etag: {etag}\r\n".encode() if etag else b"") + b"\r\n"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[bytes]]]]:
    """Serve a list of answers, one connection each; gives the socket's path and the requests seen."""
    listeners = []

    def start(*answers: bytes) -> tuple[str, list[bytes]]:
        path = str(tmp_path / "admin.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        listeners.append(listener)
        seen: list[bytes] = []

        def work() -> None:
            for script in answers:
                connection, _address = listener.accept()
                with connection:
                    data = connection.recv(65536)
                    head, _blank, body = data.partition(b"\r\n\r\n")
                    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
                    length = sum(lengths)
                    while len(body) < length:
                        body += connection.recv(65536)
                    seen.append(head + b"\r\n\r\n" + body)
                    connection.sendall(script)

        threading.Thread(target=work, daemon=True).start()
        return path, seen

    yield start
    for listener in listeners:
        listener.close()


def test_value_and_etag(serve: Callable[..., tuple[str, list[bytes]]]) -> None:
    path, seen = serve(answer("200 OK", b'{"a": [1, 2]}\n', '"/config/ 1a2b"'), answer("200 OK"))
    admin = Admin(path)
    assert admin.get("/config/") == ({"a": [1, 2]}, '"/config/ 1a2b"')
    admin.send("PATCH", "/config/", {"a": 1}, etag='"/config/ 1a2b"')
    assert b'If-Match: "/config/ 1a2b"' in seen[1] and seen[1].endswith(b'{"a": 1}') and b"\r\nHost: \r\n" in seen[1]


@pytest.mark.parametrize("address", ["{}", "unix/{}"])
def test_both_ways_to_write_a_socket(serve: Callable[..., tuple[str, list[bytes]]], address: str) -> None:
    path, _seen = serve(answer("200 OK", b"null\n"))
    assert Admin(address.format(path)).get("/config/") == (None, "")


def test_refusals(serve: Callable[..., tuple[str, list[bytes]]]) -> None:
    refused = answer("400 Bad Request", b'{"error":"loading\\nnew: no"}')
    path, _seen = serve(answer("412 Precondition Failed", b'{"error":"If-Match"}'), refused)
    with pytest.raises(ConfigChanged):
        Admin(path).send("PATCH", "/config/", {})
    with pytest.raises(AdminRefused, match="the old one stays: loading new: no$"):
        Admin(path).send("PATCH", "/config/", {})


def test_a_connection_closed_during_a_reload_is_tried_again(serve: Callable[..., tuple[str, list[bytes]]]) -> None:
    path, seen = serve(b"", answer("200 OK", b"1\n"))
    assert Admin(path).get("/config/")[0] == 1
    assert len(seen) == 2


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "_PAUSE", 0.0)
    with pytest.raises(AdminUnreachable, match="does not exist"):
        Admin(str(tmp_path / "none.sock")).get("/config/")
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    with pytest.raises(AdminUnreachable, match="is Caddy running"):
        Admin(str(dead)).get("/config/")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AdminUnreachable, match="is Caddy running"):
        Admin(f"http://127.0.0.1:{port}").get("/config/")


def test_change_plans_again_when_somebody_was_faster(serve: Callable[..., tuple[str, list[bytes]]], tmp_path: Path) -> None:
    path, seen = serve(
        answer("200 OK", b"[1]\n", '"x 1"'),
        answer("412 Precondition Failed", b'{"error":"changed"}'),
        answer("200 OK", b"[1,2]\n", '"x 2"'),
        answer("200 OK"),
        answer("200 OK", b'{"all":true}\n', '"y"'),
    )
    store = Store(path, str(tmp_path / "edge.json"))
    store.change("/config/x", lambda current: [*current, 3])
    assert seen[3].endswith(b"[1, 2, 3]") and b'If-Match: "x 2"' in seen[3]
    assert store.saved() == {"all": True}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "\x00"])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "edge.json"
    if content is not None:
        path.write_text(content)
    assert Store("/none", str(path)).saved() is None


def test_file_is_written_whole_and_closed_to_others(tmp_path: Path) -> None:
    store = Store("/none", str(tmp_path / "edge.json"))
    store.locked_save({"a": 1})
    assert store.saved() == {"a": 1}
    assert (tmp_path / "edge.json").stat().st_mode & 0o777 == 0o640
    assert {entry.name for entry in tmp_path.iterdir()} == {"edge.json", ".edge.lock"}


def test_last_word_of_the_authority(tmp_path: Path) -> None:
    log = tmp_path / "acme.log"
    entries = [
        {"ts": 50.0, "identifier": "a.example", "error": "old"},
        {"ts": 100.0, "identifier": "a.example", "error": "HTTP 400\nbad"},
        {"ts": 101.0, "msg": "will retry", "error": "[b.example] Obtain: other"},
        {"ts": 102.0, "identifier": "aa.example", "error": "of another name"},
        {"ts": 103.0, "identifier": "a.example", "msg": "no error here"},
    ]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + "not json\n[]\n")
    assert last_error("a.example", str(log), 60) == ("HTTP 400 bad", 100.0)
    assert last_error("b.example", str(log), 60) == ("[b.example] Obtain: other", 101.0)
    assert last_error("a.example", str(log), 200) is None
    assert last_error("c.example", str(log), 0) is None
    assert last_error("a.example", str(tmp_path / "none"), 0) is None


@pytest.mark.parametrize(
    ("error", "given_up"),
    [
        ("performing request: Get \"https://acme.example/dir\": dial tcp 192.0.2.1:443: connect: connection refused", True),
        ("HTTP 503 urn:ietf:params:acme:error:serverInternal", False),
        ("HTTP 500 without a word", False),
    ],
)
def test_an_authority_out_of_reach_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, given_up: bool) -> None:
    """Nobody listens for the name either, so only the authority's words tell the cases apart."""
    monkeypatch.setattr(certificate, "_RETRY", 0.05)
    log, nudges = tmp_path / "acme.log", []

    def say(*_since: float) -> None:
        nudges.append(1)
        log.open("a").write(json.dumps({"ts": time.time() + 0.01, "identifier": "a.example", "error": error}) + "\n")

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        begun = time.monotonic()
        missing = certificate.wait(["a.example"], unused.getsockname(), None, 3, nudge=say, log=str(log), fresh=False)
    assert "nobody answers" in missing["a.example"]
    assert (time.monotonic() - begun < 2.5) is given_up
    assert (len(nudges) == 4) is given_up


def test_attempts_are_restarted_once_for_all_runs(serve: Callable[..., tuple[str, list[bytes]]], tmp_path: Path) -> None:
    """Each load of the configuration breaks off orders under way, so runs side by side must not take turns at it."""
    path, seen = serve(answer("200 OK", b'{"all":true}\n', '"y"'), answer("200 OK"))
    store = Store(path, str(tmp_path / "edge.json"))
    before = time.time() - 1
    (tmp_path / ".edge.lock").touch()
    os.utime(tmp_path / ".edge.lock", (before - 10, before - 10))
    store.restart_attempts(before)
    store.restart_attempts(before)
    assert len(seen) == 2 and b"must-revalidate" in seen[1]
