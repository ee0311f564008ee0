# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running lab, as tests use it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import lifecycle
from tests.lab.config import HOSTS, Lab


@dataclass(frozen=True)
class RunningLab:
    """A lab that is up."""

    config: Lab

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def state(self) -> Path:
        """Directory of the lab's generated files."""
        return self.config.state

    @property
    def ca_file(self) -> str:
        """Authorities a client outside trusts (PEM): the lab's first, then Pebble's."""
        return str(self.config.ca_file)

    @property
    def dns_server(self) -> str:
        """Address of the authoritative name server."""
        return self.config.dns_server

    @property
    def second_dns_server(self) -> str:
        """Address of the second authoritative name server."""
        return self.config.second_dns_server

    @property
    def resolver(self) -> str:
        """Address of the recursive name server."""
        return self.config.resolver

    @property
    def secrets(self) -> dict[str, dict[str, str]]:
        """The lab's secrets: tsig, smtp, imap, bbb, each by name."""
        found: dict[str, dict[str, str]] = json.loads((self.state / "secrets.yml").read_text())
        return found

    def host(self, name: str) -> str:
        """Name of a host's container."""
        if name not in HOSTS:
            raise KeyError(f"the lab has no host {name}; it has {', '.join(HOSTS)}")
        return self.config.container(name)

    def ip(self, name: str) -> str:
        """IPv4 address of a host."""
        return self.config.address(name)

    def exec(self, host: str, argv: Sequence[str], input: str | bytes | None = None, *, timeout: float = 300,
             user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on a host; the result has text in stdout and stderr. Never raises for a failed command."""
        options = ["--interactive"] if input is not None else []
        options += ["--user", user] if user else []
        data = input.encode() if isinstance(input, str) else input
        command = ["docker", "exec", *options, self.host(host), *argv]
        done = subprocess.run(command, input=data, capture_output=True, timeout=timeout, check=False)
        texts = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)

    def wait_for(self, host: str, script: str, seconds: float = 60) -> None:
        """Wait until a shell script on a host ends with 0."""
        deadline = time.monotonic() + seconds
        while True:
            done = self.exec(host, ["sh", "-c", script])
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"on {host}, after {seconds} s still: {script}\n{done.stdout}{done.stderr}")
            time.sleep(0.5)

    def reboot(self, host: str) -> None:
        """Stop a host in an orderly way and start it again; waits until it has booted."""
        lifecycle.reboot(self.config, host)

    def renew(self, *names: str) -> None:
        """Throw hosts away with all that is on them, and make them anew."""
        lifecycle.renew(self.config, names, _quiet)

    def query(self, name: str, kind: str = "A", server: str | None = None, port: int = 53) -> list[str]:
        """Answers of a name server (the authoritative one by default) as text, sorted; none when there are none."""
        import dns.message
        import dns.query
        import dns.rdatatype

        answer = dns.query.udp(dns.message.make_query(name, kind), server or self.dns_server, timeout=5, port=port)
        return sorted(str(value) for entry in answer.answer if entry.rdtype == dns.rdatatype.from_text(kind) for value in entry)

    def update(self, zone: str, *lines: str) -> None:
        """Change a zone as its owner does by hand, with knsupdate's own lines, e.g. "add meet 60 A 192.0.2.1" (names in the zone)."""
        from tests.lab.services import BIND_ZONES, ZONES

        key = {**ZONES, **BIND_ZONES}[zone]
        secret = self.secrets["tsig"][key.rstrip(".")]
        server = self.second_dns_server if zone in BIND_ZONES else self.dns_server
        head = [f"server {server}", f"zone {zone}.", f"origin {zone}.", f"key hmac-sha256:{key} {secret}"]
        script = "\n".join([*head, *lines, "send", ""])
        done = self.exec("services", ["knsupdate"], script)
        assert done.returncode == 0 and "error" not in done.stderr.lower(), done


def bring_up() -> RunningLab:
    """The lab of LAB_NAME, brought up where it is not."""
    lab = Lab.from_environment()
    lifecycle.up(lab, lifecycle.DEFAULT_HOSTS, _quiet)
    os.environ.setdefault("LAB_NAME", lab.name)
    return RunningLab(lab)


def _quiet(message: str) -> None:
    return None
