# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's pool as tests see it: from outside through Caddy, from inside through BBBLB's own command, and at the nodes."""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.lab.config import NODES

from .ansible import INVENTORY, ROOT, environment, run_playbook
from .lab import RunningLab

DOMAIN = "pool.meet.test"
COMMAND = "/opt/bbblb/venv/bin/bbblb"
CONFIG = "/etc/bbblb/bbblb.conf"
ASKED: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"duration": 600, "maxParticipants": 250}, ("60", "25")),
    ({}, ("60", "25")),
    ({"duration": 0, "maxParticipants": 0}, ("60", "25")),
    ({"duration": -1, "maxParticipants": "many"}, ("60", "25")),
    ({"duration": 5, "maxParticipants": 3}, ("5", "3")),
]
"""What a meeting of a tenant with caps of 60 minutes and 25 people asks for, and what the node gets, whichever engine is in between."""
DOUBLE = "/usr/local/lib/bbb-double/bbb_double.py"


@dataclass
class Answer:
    """An HTTP answer of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        return ET.fromstring(self.body)

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.xml.findtext("returncode") == "SUCCESS"

    @property
    def key(self) -> str | None:
        return self.xml.findtext("messageKey")


class _Connection(http.client.HTTPSConnection):
    """Connects to an address and asks for the certificate of a name."""

    def __init__(self, name: str, address: str, context: ssl.SSLContext) -> None:
        super().__init__(name, 443, context=context, timeout=20)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(socket.create_connection((self._address, 443), 20), server_hostname=self.host)


@dataclass
class Pool:
    lab: RunningLab

    # -- outside -------------------------------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, host: str = DOMAIN,
        where: str = "pool",
    ) -> Answer:
        """One request, without following redirects."""
        context = ssl.create_default_context(cafile=self.lab.ca_file)
        connection = _Connection(host, self.lab.ip(where), context)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    @staticmethod
    def sign(call: str, query: str, secret: str, algorithm: str = "sha1") -> str:
        """The query with its checksum; front ends of the field sign with SHA-1."""
        digest = hashlib.new(algorithm, (call + query + secret).encode()).hexdigest()
        return f"{query}{'&' if query else ''}checksum={digest}"

    def call(self, tenant: str, secret: str, call: str, parameters: Mapping[str, Any] | None = None, **headers: str) -> Answer:
        """A signed GET of a tenant's API."""
        query = self.sign(call, urlencode(parameters or {}), secret)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", f"/t/{tenant}/bigbluebutton/api/{call}?{query}", headers=named)

    # -- inside --------------------------------------------------------------------------------------------------------------------

    def bbblb(self, *arguments: str, given: str | None = None) -> str:
        """BBBLB's own command on the pool host."""
        command = ["env", "PGHOST=/var/run/postgresql", "runuser", "--user=bbblb", "--", COMMAND, "-C", CONFIG, *arguments]
        done = self.lab.exec("pool", command, given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> dict[str, Any]:
        """Everything BBBLB knows: servers and tenants."""
        found: dict[str, Any] = json.loads(self.bbblb("state", "export", "-"))
        return found

    def health(self) -> dict[str, str]:
        rows = [json.loads(line) for line in self.bbblb("server", "stats", "--table-format", "json").splitlines() if line.strip()]
        return {row["server"]: row["state"] for row in rows}

    @staticmethod
    def own_id(meeting_id: str) -> str:
        """A tenant's meeting as the tenant names it, of the name that the node knows."""
        return meeting_id.rpartition("-bbblb-")[0]

    def psql(self, statement: str) -> str:
        done = self.lab.exec("pool", ["runuser", "--user=bbblb", "--", "psql", "-XtA", "-d", "bbblb"], statement)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # -- nodes ---------------------------------------------------------------------------------------------------------------------

    def control(self, node: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The double's control side."""
        done = self.lab.exec(node, ["python3", DOUBLE, "control", method, path, json.dumps(body or {})])
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def seen(self, meeting_id: str, call: str = "create") -> list[tuple[str, dict[str, str]]]:
        """What the nodes were asked about a tenant's meeting: (node, parameters) of each call, oldest first."""
        found = []
        for node in NODES:
            for entry in self.control(node, "GET", f"/log?call={call}"):
                if self.own_id(entry["parameters"].get("meetingID", "")) == meeting_id:
                    found.append((entry["time"], node, entry["parameters"]))
        return [(node, parameters) for _time, node, parameters in sorted(found, key=lambda one: one[0])]


@dataclass
class ScalelitePool(Pool):
    """The same pool while Scalelite runs it."""

    @staticmethod
    def own_id(meeting_id: str) -> str:
        return meeting_id

    def ruby(self, program: str) -> str:
        """A program in Scalelite's own ``rails runner``, as an operator would do something by hand."""
        command = ["docker", "exec", "--interactive", "--env", "RAILS_LOG_TO_STDOUT=", "scalelite-api", "./bin/rails", "runner", "-"]
        done = self.lab.exec("pool", command, program)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self) -> dict[str, Any]:
        """What Scalelite's own models know: servers, and tenants with their settings. Several of one name show as a longer list."""
        tenants = "Tenant.all.map { |t| [t.name, t.secrets, TenantSetting.all(t.id).map { |s| [s.param, s.value, s.override] }.sort] }.sort"
        servers = "Server.all.map { |s| [s.id, s.url, s.secret, s.tag, s.state == 'enabled', s.online ? true : false] }.sort"
        found: dict[str, Any] = json.loads(self.ruby(f"puts JSON.generate(tenants: {tenants}, servers: {servers})").splitlines()[-1])
        return found

    def redis(self, *words: str) -> str:
        """A command to Scalelite's Redis."""
        script = 'REDISCLI_AUTH="$(cat /etc/scalelite/redis_password)" exec redis-cli -p 6390 "$@"'
        done = self.lab.exec("pool", ["sh", "-c", script, "redis", *words])
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def fair_use_binds_softly(ours: Any, settle: Callable[[], None]) -> None:
    """What a tenant may have at once is looked at when it begins another meeting, and nobody who joins one is refused, with any engine."""

    def come(meeting_id: str, person: str) -> Answer:
        asked = {"fullName": "Ada", "meetingID": meeting_id, "role": "VIEWER", "userID": person, "redirect": "false"}
        answer: Answer = ours.call(which, "join", asked)
        assert answer.status in (302, 307), answer.body
        link = urlsplit(answer.headers["Location"])
        host = link.hostname or ""
        answer = ours.pool.request("GET", f"{link.path}?{link.query}", host=host, where=host.partition(".")[0])
        return answer

    def begin(meeting_id: str) -> Answer:
        found: Answer = ours.call(which, "create", {"name": "Assembly", "meetingID": meeting_id, "moderatorPW": "moderator"})
        return found

    which = {"name": "tf" + secrets.token_hex(4), "secret": secrets.token_hex(20), "duration_max": 60, "participants_max": 25}
    first, second, third = (f"{which['name']}-{number}" for number in "123")
    try:
        made = ours.apply({**which, "meetings_at_once": 2})
        assert made["changed"] and not ours.apply({**which, "meetings_at_once": 2})["changed"]
        settle()
        assert begin(first).ok and begin(second).ok
        assert begin(third).key == "meetingLimitReached" and not ours.pool.seen(third)
        # Who signs with another secret learns nothing of it.
        assert ours.call({**which, "secret": "x" * 40}, "create", {"name": "Assembly", "meetingID": third}).key == "checksumError"
        assert begin(first).ok and come(first, "u1").ok and come(first, "u2").ok
        assert not [name for _node, sent in ours.pool.seen(first) for name in sent if name.startswith("coop")]
        assert ours.apply({**which, "participants_at_once": 2})["changed"]
        settle()
        wait_for(lambda: begin(third).key == "participantLimitReached")
        assert begin(second).ok and come(second, "u3").ok
        assert ours.call(which, "end", {"meetingID": first, "password": "moderator"}).ok
        wait_for(lambda: begin(third).ok)
    finally:
        for meeting_id in (first, second, third):
            ours.call(which, "end", {"meetingID": meeting_id, "password": "moderator"})
        ours.apply({"name": which["name"], "state": "absent"})


def play(engine: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the play of the platform on the pool with this engine."""
    command = ["-i", str(INVENTORY / "hosts.yml"), "playbooks/platform.yml", "--limit", "pool", "-e", f"pool_engine={engine}", *options]
    return run_playbook([sys.executable, "-m", "ansible", "playbook", *command], cwd=ROOT, env=environment(), timeout=900)  # fmt: skip


def provide(lab: RunningLab) -> Pool:
    """The pool of a running lab, made by the play where it is not there yet or its nodes are not in service."""
    pool = Pool(lab)
    try:
        ready = pool.request("GET", "/t/x/bigbluebutton/api/").ok and set(pool.health().values()) == {"available"}
    except (OSError, AssertionError, ET.ParseError):
        ready = False
    if not ready:
        done = play("bbblb")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return pool


def wait_for(condition: Callable[[], Any], seconds: float = 15.0, pause: float = 0.3) -> Any:
    """Wait until something is true and return it; AssertionError when it does not come."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(pause)
