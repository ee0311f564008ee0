# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone of the lab's name servers, as tests of what writes zones use it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ARGUMENT_SPEC, ZoneTask
from tests.lab.services import BIND_ZONES, ZONES
from tests.support.lab import RunningLab

RunModule = Callable[..., dict[str, Any]]
SIGNATURES = {"RRSIG", "NSEC", "NSEC3"}


@dataclass
class Zone:
    """A zone at one of the lab's servers, with labels that only this test uses and a deployment of its own."""

    lab: RunningLab
    run_module: RunModule
    origin: str = "meet.test"
    tag: str = field(default_factory=lambda: f"t{secrets.token_hex(3)}")

    @property
    def server(self) -> str:
        return self.lab.second_dns_server if self.origin in BIND_ZONES else self.lab.dns_server

    @property
    def tsig(self) -> dict[str, str]:
        """The key that may do everything."""
        return self.key({**ZONES, **BIND_ZONES}[self.origin])

    def key(self, name: str) -> dict[str, str]:
        return {"name": name, "algorithm": "hmac-sha256", "secret": self.lab.secrets["tsig"][name.rstrip(".")]}

    def label(self, name: str) -> str:
        return f"{name}.{self.tag}"

    def absolute(self, name: str) -> str:
        return f"{self.label(name)}.{self.origin}"

    def record(self, name: str, rtype: str, *values: str, ttl: int = 60) -> dict[str, Any]:
        return {"name": self.label(name), "type": rtype, "ttl": ttl, "values": list(values)}

    def options(self, *records: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "zone": self.origin, "server": self.server, "tsig": self.tsig, "deployment": self.tag, "member": "sunflower",
            "records": list(records), "timeout": 5, **more,
        }  # fmt: skip

    def play(self, *records: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        """dns_zone through the real ansible."""
        return self.run_module("localhost", "meet.coop.dns_zone", self.options(*records, **more), check=check)

    def task(self, *records: dict[str, Any], **more: Any) -> ZoneTask:
        defaults = {name: option["default"] for name, option in ARGUMENT_SPEC.items() if "default" in option}
        return ZoneTask({**defaults, **self.options(*records, **more)})

    def run(self, *records: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        """The same in this process, in a hundredth of the time. Raises CoopError."""
        return self.task(*records, **more).run(check)

    def by_hand(self, *lines: str) -> None:
        """Change the zone past the module; returns when transfers show it (BIND signs a zone after it has answered)."""
        before = self.serial()
        self.lab.update(self.origin, *lines)
        deadline = time.monotonic() + 2
        while self.serial() == before and time.monotonic() < deadline:  # what was so already makes no new serial
            time.sleep(0.05)

    def serial(self) -> str:
        return next(value for _owner, _ttl, rtype, value in self.transfer() if rtype == "SOA")

    def query(self, name: str, kind: str = "A") -> list[str]:
        return self.lab.query(self.absolute(name), kind, server=self.server)

    def transfer(self) -> list[tuple[str, int, str, str]]:
        """Every record of the zone as its server transfers it, signatures left out: owner, TTL, type, value. Read by Knot's own kdig."""
        key = "{algorithm}:{name}:{secret}".format(**self.tsig)
        command = ["kdig", f"@{self.server}", "-y", key, "+noall", "+answer", "+tcp", "+timeout=30", self.origin, "AXFR"]
        done = self.lab.exec("services", command)
        assert done.returncode == 0, done
        rows = [line.split(maxsplit=4) for line in done.stdout.splitlines() if line.strip() and not line.startswith(";")]
        assert sum(row[3] == "SOA" for row in rows) == 2, "a whole transfer"
        return [(owner, int(ttl), rtype, value) for owner, ttl, _class, rtype, value in rows if rtype not in SIGNATURES]

    def content(self) -> list[str]:
        """Every record of the zone under this test's labels."""
        return sorted(
            f"{owner} {ttl} IN {rtype} {value}" for owner, ttl, rtype, value in self.transfer() if f"{self.tag}.{self.origin}." in owner
        )

    def clean(self) -> None:
        held = {tuple(line.split()[index] for index in (0, 3)) for line in self.content()}
        if held:
            self.by_hand(*(f"del {name} {rtype}" for name, rtype in sorted(held)))
