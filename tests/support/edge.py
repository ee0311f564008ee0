# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab host with the edge on it, as tests of routes need it."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import ssl
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import ansible
from tests.support.greenlight_database import run_directly
from tests.support.lab import RunningLab

BACKEND = Path(__file__).with_name("edge_backend.py")
BACKEND_PORT = 5999
DIRECTORY = "https://services.lab.test:14000/dir"
CA_FILE = "/etc/meet-coop/ca-bundle.pem"
ASKED = "grep -c '\"obtaining certificate\"' /var/log/caddy/acme.log || true"
ROLE_VARIABLES: dict[str, Any] = {
    "edge_acme_directory": DIRECTORY,
    "edge_acme_email": "operator@lab.test",
    "edge_acme_ca_file": CA_FILE,
    # A certificate for each name, where routes are looked at; test_wildcard.py has the other.
    "edge_wildcard_domain": "",
}


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """What the application behind the edge saw."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Edge:
    """The edge of one lab host: routes by module, requests as a client outside would make them, names in the co-op's zone."""

    lab: RunningLab
    host: str = "host1"
    names: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)

    def role(self, *options: str, **variables: Any) -> str:
        """Apply role edge; the play's output. Raises when it fails."""
        play = [{"hosts": self.host, "gather_facts": True, "roles": [{"role": "meet.coop.edge", **ROLE_VARIABLES, **variables}]}]
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(ansible.INVENTORY / "hosts.yml"), *options, "/dev/stdin"]
        done = ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), input=json.dumps(play), timeout=600)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def new_name(self, prefix: str = "t") -> str:
        """A fresh name in the co-op's zone that leads to this host."""
        label = f"{prefix}{secrets.token_hex(4)}"
        self.lab.update("meet.test", f"add {label} 5 A {self.lab.ip(self.host)}")
        self.names.append(label)
        return f"{label}.meet.test"

    def clean(self) -> None:
        for route in self.routes:
            self.module({"id": route, "state": "absent"})
        if self.names:
            self.lab.update("meet.test", *(f"del {label} A" for label in self.names))
        self.names, self.routes = [], []

    def module(self, args: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
        """Run caddy_route on the host."""
        if args.get("state") != "absent" and args["id"] not in self.routes:
            self.routes.append(args["id"])
        return run_directly(self.lab, self.host, "caddy_route", args, check=check)

    def truthful(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Check mode, the real run, and a second one: the first foretells and changes nothing, the third is quiet."""
        before = self.config()
        foretold = self.module(args, check=True)
        assert not foretold.get("failed"), foretold
        assert self.config() == before, "check mode changed the configuration"
        real = self.module(args)
        assert not real.get("failed"), real
        assert (real["changed"], real["diff"]) == (foretold["changed"], foretold["diff"])
        again = self.module(args)
        assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"], again
        return real

    def admin(self, method: str, path: str, value: object = None) -> str:
        """Caddy's admin API by hand, as an operator would with curl."""
        argv = ["curl", "-sS", "--fail-with-body", "--unix-socket", "/run/caddy/admin.sock", "-H", "Host;", "-X", method]
        if value is not None:
            argv += ["-H", "Content-Type: application/json", "-d", json.dumps(value)]
        done = self.lab.exec(self.host, [*argv, f"http://caddy{path}"])
        assert done.returncode == 0, done
        return done.stdout

    def config(self) -> dict[str, Any]:
        """The running configuration."""
        found: dict[str, Any] = json.loads(self.admin("GET", "/config/"))
        return found

    def saved(self) -> dict[str, Any]:
        """The configuration Caddy would start from."""
        found: dict[str, Any] = json.loads(self.lab.exec(self.host, ["cat", "/etc/caddy/edge.json"]).stdout)
        return found

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.lab.ca_file)

    def connect(self, name: str, verify: bool = True) -> ssl.SSLSocket:
        """TLS to a name, as a client outside that trusts the lab's authorities."""
        context = self.trust()
        if not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection((self.lab.ip(self.host), 443), timeout=10)
        return context.wrap_socket(plain, server_hostname=name)

    def request(
        self,
        name: str,
        path: str = "/",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        tls: bool = True,
        host: str | None = None,
    ) -> Answer:
        """One request; the connection goes to the host's address whatever the name."""
        connection = http.client.HTTPConnection(self.lab.ip(self.host), 443 if tls else 80, timeout=20)
        if tls:
            connection.sock = self.connect(name)
        sent = {"Host": host or name, **(headers or {})}
        connection.request(method, path, body=body, headers=sent, encode_chunked=not isinstance(body, bytes))
        response = connection.getresponse()
        answer = Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
        connection.close()
        return answer

    def upload(self, name: str, path: str, size: int) -> tuple[int, int]:
        """Send so many octets from another host as curl does, which waits for a refusal before it sends all: (status, octets received)."""
        script = """
        file=$(mktemp); head -c "$1" /dev/zero > $file
        curl -sS -o $file.answer -w "%{http_code}\n" --cacert "$2" -X PATCH -T $file "$3"
        cat $file.answer; rm -f $file $file.answer
        """
        done = self.lab.exec("node1", ["sh", "-c", script, "sh", str(size), CA_FILE, f"https://{name}{path}"])
        status, _newline, body = done.stdout.partition("\n")
        assert status.isdigit(), done
        return int(status), json.loads(body)["received"] if status == "200" else 0

    def start_backend(self) -> None:
        """Run the telling application on the host."""
        self.lab.exec(self.host, ["sh", "-c", "mkdir -p /opt/meet-coop-test; cat > /opt/meet-coop-test/backend.py"], BACKEND.read_bytes())
        program = ["python3", "/opt/meet-coop-test/backend.py", str(BACKEND_PORT)]
        done = self.lab.exec(self.host, ["systemd-run", "--quiet", "--collect", "--unit=edge-test-backend", *program])
        assert done.returncode == 0 or "already" in done.stderr, done.stderr
        self.lab.wait_for(self.host, f"curl -s -o /dev/null http://127.0.0.1:{BACKEND_PORT}/", 10)

    def stop_backend(self) -> None:
        self.lab.exec(self.host, ["systemctl", "stop", "edge-test-backend"])


class Wildcard(Edge):
    """An edge with the wildcard switched on."""

    def apply(self, *options: str, **more: Any) -> str:
        return self.role(*options, **self.variables(**more))

    def variables(self, **more: Any) -> dict[str, Any]:
        tsig = {"name": "coop.", "secret": self.lab.secrets["tsig"]["coop"]}
        return {
            "edge_wildcard_domain": "meet.test",
            "edge_wildcard_dns": {"server": self.lab.dns_server, "deployment": "meet", "tsig": tsig},
            "edge_wildcard_resolver": self.lab.resolver, "edge_wildcard_caa_identities": ["pebble.lab.test"], **more,
        }  # fmt: skip

    def content(self, path: str) -> str:
        return self.lab.exec(self.host, ["cat", path]).stdout

    def shown(self, name: str) -> str:
        """Names in the certificate that is served for a name."""
        with self.connect(name) as connection:
            found = connection.getpeercert() or {}
        return ", ".join(str(value) for _kind, value in found["subjectAltName"])

    def asked(self) -> int:
        """How many certificates Caddy itself has asked for so far."""
        return int(self.lab.exec(self.host, ["sh", "-c", ASKED]).stdout)
