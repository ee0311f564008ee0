# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two container hosts of the lab as one Docker Swarm, and an instance there, for tests and for the bench."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import engine, hosts, lifecycle
from tests.lab.config import HOSTS, UPLOADS
from tests.support import ansible
from tests.support.containers import HOST, STATE, Instance
from tests.support.lab import RunningLab
from tests.support.roles import apply_role

NODES = ("host1", "host2")


def with_host2(machines: str) -> str:
    """The lab's hosts.yml with the second container host in it."""
    line = '        host1: {ansible_host: "{{ lab_name }}-host1"}\n'
    assert line in machines
    return machines.replace(line, line + line.replace("host1", "host2"))


def one_node_again(lab: RunningLab) -> None:
    """The second container host gone, and a plain host1 that is in no Swarm."""
    hosts.remove_host(lab.config, HOSTS["host2"])
    lab.exec(HOST, ["docker", "swarm", "leave", "--force"])
    apply_role("container_host", HOST, {"container_host_minimum_memory": 1000})


@contextmanager
def two_nodes(lab: RunningLab, scratch: Path) -> Iterator[None]:
    """host1 with the database, and host2, as role container_host leaves them; a plain host1 again afterwards."""
    lifecycle.up(lab.config, NODES, lambda message: None)
    inventory = scratch / "hosts.yml"
    inventory.write_text(with_host2((ansible.INVENTORY / "hosts.yml").read_text()))
    variables = {
        "container_host_minimum_memory": 1000,
        "container_host_swarm": list(NODES),
        "container_host_swarm_addresses": {name: lab.ip(name) for name in NODES},
    }
    try:
        if ready_nodes(lab) != len(NODES):
            done = apply_role("container_host", "container_hosts", variables, inventory=inventory)
            assert done.returncode == 0, done.stdout[-4000:]
        yield
    finally:
        one_node_again(lab)


def ready_nodes(lab: RunningLab) -> int:
    said = lab.exec(HOST, ["docker", "node", "ls", "--format", "{{.Status}} {{.Availability}}"]).stdout
    return said.splitlines().count("Ready Active")


def lose(lab: RunningLab, name: str) -> None:
    """A host dies at once, as when its power fails."""
    engine.docker("kill", lab.host(name))


def find_again(lab: RunningLab, name: str) -> None:
    """The host has power again; returns once Swarm counts it as a node."""
    engine.docker("start", lab.host(name))
    hosts.wait_booted(lab.host(name))
    lab.wait_for(HOST, f"test $(docker node ls --format '{{{{.Status}}}}' | grep -c Ready) = {len(NODES)}", 120)


class SwarmInstance(Instance):
    """An instance whose uploads lie in a directory that every node has."""

    def __init__(self, lab: RunningLab, run_module: Callable[..., dict[str, Any]], name: str, ports: tuple[int, int]) -> None:
        super().__init__(lab, run_module, name, ports)
        self.uploads = f"{UPLOADS}/{name}"
        self.arguments["database"]["host"] = lab.ip(HOST)
        self.arguments |= {"engine": "swarm", "swarm": {"storage": "shared", "path": self.uploads, "monitor": 3}, "rehearse": False}
        self.arguments["pull"] = "missing"

    def truthful_state(self, state: str) -> dict[str, Any]:
        """Stopped or absent, foretold and done, and nothing left to do after that."""
        before = self.snapshot()
        predicted = self.run(check=True, state=state)
        assert self.snapshot() == before
        result = self.good(state=state)
        assert (predicted["actions"], predicted["diff"]) == (result["actions"], result["diff"])
        assert self.good(state=state)["changed"] is False
        return result

    def service(self, suffix: str = "") -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.docker("service", "inspect", self.container + suffix))
        return found[0]

    def snapshot(self) -> Any:
        """Everything of the instance that a prediction might touch. What Swarm does about it by itself goes on meanwhile."""
        rows = self.docker("service", "ls", "--quiet", "--filter", f"label=coop.meet.instance={self.name}").split()
        services = [self.docker("service", "inspect", "--format", "{{json .Spec}}", row) for row in sorted(rows)]
        secrets = self.docker("secret", "ls", "--quiet", "--filter", f"label=coop.meet.instance={self.name}")
        networks = self.docker("network", "ls", "--quiet", "--filter", f"name={self.container}_overlay")
        state = self.lab.exec(HOST, ["sh", "-c", f"ls -la --time-style=full-iso {STATE}/{self.name} && cat {STATE}/{self.name}/*"]).stdout
        return services, secrets, networks, state

    def node(self) -> str:
        """The host that runs it now."""
        said = self.docker("service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}", self.container)
        running = [line.split(".")[0] for line in said.splitlines() if " Running " in line]
        assert len(running) == 1, said
        return running[0]

    def task_container(self) -> str:
        """The container of its task, on its node."""
        return str(self.lab.exec(self.node(), ["docker", "ps", "--quiet", "--filter", f"name={self.container}\\."]).stdout).strip()

    def answers(self, upstreams: list[str]) -> list[str]:
        """Which of these serve it, asked from the first host as the edge does."""
        return [one for one in upstreams if self.asked(one).endswith(" 200")]

    def asked(self, upstream: str, host: str = HOST) -> str:
        return self.lab.exec(
            host,
            ["curl", "-s", "-m", "5", "-w", " %{http_code}", "-H", f"Host: {self.name}.meet.test", "-H", "Accept: application/json",
             "-H", "X-Forwarded-Proto: https", f"http://{upstream}/api/v1/env.json"],
        ).stdout  # fmt: skip

    def provide_database(self, password: str | None = None) -> None:
        super().provide_database(password)
        self.lab.exec(HOST, ["mkdir", "-p", self.uploads])

    def in_task(self, script: str) -> str:
        """What a shell script prints in the container of its task; it must end well."""
        done = self.lab.exec(self.node(), ["docker", "exec", self.task_container(), "sh", "-c", script])
        assert done.returncode == 0, done
        return str(done.stdout)

    def remove(self) -> None:
        self.run(state="absent", purge=True)
        self.run(state="absent", purge=True, engine="docker")
        self.run_module(HOST, "meet.coop.greenlight_database", {"name": self.database, "state": "absent"})
        self.lab.exec(HOST, ["rm", "-rf", f"{STATE}/{self.name}", self.uploads])


@dataclass
class Watch:
    """Asks all the time, as many visitors do: each request tries every place until one answers."""

    ask: Callable[[], bool]
    asked: int = 0
    lost: int = 0
    #: Seconds of the longest time without an answer.
    gap: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        last = time.monotonic()
        while not self._end.is_set():
            self.asked += 1
            if self.ask():
                self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()
            else:
                self.lost += 1
                self.gap = max(self.gap, time.monotonic() - last)
            self._end.wait(0.1)

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join(30)
