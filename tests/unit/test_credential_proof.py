# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials tried from outside, against the node double in this process: what works is said to work, and each fault is said as itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._credentials import proof
from ansible_collections.meet.coop.plugins.plugin_utils._credentials.proof import Credential, Proof, table
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Answer, Names
from tests.lab.bbb import bbb_double


class Server:
    """A node, or a tenant of a balancer: one secret, its own meetings."""

    def __init__(self, **config: Any) -> None:
        self.secret = secrets.token_hex(20)
        self.node = bbb_double.Node({"secret": self.secret, "host": "node.example.org", "end_delay": 0, **config})
        self.deaf_to: set[str] = set()
        self.status = 200

    def answer(self, call: str, query: str) -> Answer:
        if self.status != 200:
            return Answer(self.status, {}, b"<html>")
        self.node.settle()
        try:
            if not call:
                root = bbb_double.success(version="2.0")
            else:
                parameters, _algorithm = self.node.verify(call, query)
                deaf = call in self.deaf_to
                root = bbb_double.success(messageKey="", message="") if deaf else self.node.calls[call](parameters, b"")
        except bbb_double.Refusal as refusal:
            root = bbb_double.failed(refusal.key, refusal.message)
        location = root.findtext("url") if call == "join" else None
        return Answer(302 if location else 200, {"location": location} if location else {}, ElementTree.tostring(root))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, Server]:
    """Servers by the path of their API below one host name."""
    servers: dict[str, Server] = {}

    class Site:
        def __init__(self, hostname: str, _names: Names, _ca_file: str | None, _timeout: float) -> None:
            self.hostname = hostname

        def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
            if self.hostname != "pool.example.org":
                raise CoopError(f"{self.hostname} has no address")
            url = urlsplit(path)
            base, _slash, call = url.path.rpartition("/")
            server = servers.get(base + "/")
            return server.answer(call, url.query) if server else Answer(404, {}, b"")

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(proof, "Site", Site)
    return servers


KINDS = {"cloud": "nextcloud", "school": "moodle", "blog": "wordpress", "site": "drupal"}


def provide(world: dict[str, Server], **config: Any) -> list[Credential]:
    """A tenant for each kind of system."""
    found = []
    for name, kind in KINDS.items():
        server = world[f"/t/{name}/bigbluebutton/api/"] = Server(**config)
        found.append(Credential(name, kind, f"https://pool.example.org/t/{name}/bigbluebutton/", server.secret))
    return found


def failed(credentials: list[Credential], *checks: str) -> dict[tuple[str, str], str]:
    outcomes = Proof(Names("192.0.2.1"), None, patience=0.1).run(credentials, checks or proof.CHECKS)
    lines = "\n".join(table(outcomes))
    assert not [one.secret for one in credentials if one.secret in lines]
    return {(one.credential, one.check): one.detail for one in outcomes if one.result == "failed"}


def test_what_works_is_said_to_work_and_leaves_nothing(world: dict[str, Server]) -> None:
    credentials = provide(world)
    outcomes = Proof(Names("192.0.2.1"), None).run(credentials)
    assert [(one.credential, one.check) for one in outcomes] == [(name, check) for name in KINDS for check in proof.CHECKS]
    assert {one.result for one in outcomes} == {"ok"}, table(outcomes)
    for server in world.values():
        server.node.settle()
        assert not server.node.meetings
        assert not any(meeting.attendees for meeting in server.node.meetings.values())


def test_a_wrong_secret(world: dict[str, Server]) -> None:
    credentials = provide(world)
    world["/t/blog/bigbluebutton/api/"].node.secret = "another"
    found = failed(credentials)
    assert {name for name, _check in found} == {"blog"}
    assert "checksumError" in found["blog", "signature"] and "not the one in force" in found["blog", "signature"]


def test_a_server_that_takes_one_checksum_only(world: dict[str, Server]) -> None:
    """WordPress can only SHA-1; a library may choose either."""
    found = failed(provide(world, checksums=["sha256"]))
    assert "signed with sha1" in found["blog", "signature"] and "signed with sha1" in found["cloud", "signature"]
    assert ("school", "signature") not in found and ("school", "meeting") not in found


def test_two_systems_that_share_what_they_should_not(world: dict[str, Server]) -> None:
    one, two, *_rest = provide(world)
    same = Credential("two", "moodle", one.url, one.secret)
    assert "same secret as two" in failed([one, same])["cloud", "apart"]
    # Another secret that opens the same meetings, as a server does that takes several.
    world["/t/school/bigbluebutton/api/"].node.meetings = world["/t/cloud/bigbluebutton/api/"].node.meetings
    found = failed([one, two])
    assert found["cloud", "apart"] == "school sees its meeting in getMeetings"
    assert found["school", "apart"] == "cloud sees its meeting in getMeetings"


def test_a_server_that_answers_everybody(world: dict[str, Server]) -> None:
    credentials = provide(world)[:1]
    server = world["/t/cloud/bigbluebutton/api/"]
    known = server.node.verify
    server.node.verify = lambda call, signed: ({}, "sha1") if call == "getMeetings" else known(call, signed)  # type: ignore[method-assign]
    assert "with a secret that nobody has is answered" in failed(credentials, "guarded")["cloud", "guarded"]


def test_meetings_that_do_not_end(world: dict[str, Server]) -> None:
    credentials = provide(world)[:1]
    world["/t/cloud/bigbluebutton/api/"].deaf_to = {"end"}
    assert "still listed" in failed(credentials, "meeting")["cloud", "meeting"]


def test_a_join_that_leads_nowhere_is_said_and_the_meeting_ended(world: dict[str, Server]) -> None:
    credentials = provide(world)[:1]
    server = world["/t/cloud/bigbluebutton/api/"]
    server.deaf_to = {"join"}
    assert "joining leads nowhere: HTTP status 200" in failed(credentials, "meeting")["cloud", "meeting"]
    server.node.settle()
    assert not server.node.meetings


@pytest.mark.parametrize(
    ("kind", "url", "said"),
    [
        ("wordpress", "https://pool.example.org/t/blog/bigbluebutton", "has to end in /bigbluebutton/"),
        ("nextcloud", "https://pool.example.org/t/blog/bigbluebutton/api/", "has to end in /bigbluebutton/"),
        ("moodle", "https://test-moodle.blindsidenetworks.com/bigbluebutton/", "somebody else's public test server"),
        ("moodle", "", "the address is empty"),
        ("drupal", "http://pool.example.org/bigbluebutton/", "has to begin with https://"),
        ("moodle", "https://pool.example.org:8443/bigbluebutton/", "holds a port"),
        ("moodle", "https://pool.example.org/nothing/bigbluebutton/", "HTTP status 404"),
        ("moodle", "https://elsewhere.example.org/bigbluebutton/", "elsewhere.example.org has no address"),
    ],
)
def test_a_wrong_address_is_one_line_and_the_others_are_tried(world: dict[str, Server], kind: str, url: str, said: str) -> None:
    good = provide(world)[1]
    found = failed([Credential("bad", kind, url, "s" * 40), good])
    assert set(found) == {("bad", "address")} and said in found["bad", "address"]


def test_a_balancer_that_is_down(world: dict[str, Server]) -> None:
    credentials = provide(world)
    for server in world.values():
        server.status = 502
    assert set(failed(credentials)) == {(name, "address") for name in KINDS}
