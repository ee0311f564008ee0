# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's co-op on two nodes of a Docker Swarm, as an operator keeps it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab import lifecycle
from tests.lab.config import UPLOADS
from tests.support import swarm
from tests.support.ansible import INVENTORY, ROOT
from tests.support.lab import RunningLab

HOST = "host1"
INSTANCES = ("sunflower", "sunflower-training", "rosa", "cafe")
FILE = "ab/cd/abcdupload"
"""An upload, below the directory that Greenlight has for them."""


@dataclass
class Coop:
    """Two hosts, and the inventory that says what they are."""

    lab: RunningLab
    inventory: Path

    def use(self, engine: str, host: str = HOST) -> None:
        """The operator says what runs the instances of a container host."""
        place = self.inventory / "host_vars" / f"{host}.yml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(yaml.safe_dump({"container_host_engine": engine}))

    def on(self, host: str, script: str) -> str:
        done = self.lab.exec(host, ["sh", "-ec", script])
        assert done.returncode == 0, (host, script, done)
        return str(done.stdout).strip()

    def services(self) -> set[str]:
        """What Swarm runs, and how many of it."""
        return set(self.on(HOST, "docker service ls --format '{{.Name}} {{.Replicas}}'").splitlines())

    def containers(self) -> set[str]:
        """What the engine docker has: tasks of a Swarm have a dot in their names."""
        said = self.on(HOST, "docker ps --all --format '{{.Names}}'").splitlines()
        return {name for name in said if name.startswith("greenlight-") and "." not in name}

    def await_service(self, instance: str) -> None:
        self.lab.wait_for(HOST, f"docker service ls --format '{{{{.Name}}}} {{{{.Replicas}}}}' | grep -qx 'greenlight-{instance} 1/1'", 300)

    def gather(self, node: str) -> None:
        """All tasks go to one node; the others take new ones again afterwards."""
        others = [one for one in swarm.NODES if one != node]
        for one in others:
            self.on(HOST, f"docker node update --availability drain {one}.lab.test")
        tasks = "docker service ps --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' $(docker service ls --quiet)"
        self.lab.wait_for(HOST, f"test $({tasks} | grep -c '^{node}[.].*Running') = $(docker service ls --quiet | wc -l)", 300)
        for one in others:
            self.on(HOST, f"docker node update --availability active {one}.lab.test")

    def ask(self, name: str) -> str:
        """The command by which the edge is asked for a name, whatever that leads to elsewhere; it prints the status."""
        return (
            f"curl -s -m 20 --cacert /etc/meet-coop/ca-bundle.pem --connect-to ::127.0.0.1: -o /dev/null -w '%{{http_code}}'"
            f" https://{name}/api/v1/env.json"
        )

    def status(self, name: str) -> int:
        return int(self.on(HOST, f"{self.ask(name)} || true"))

    def people(self) -> str:
        """Whom rosa knows."""
        return self.on(HOST, "psql -U postgres -d greenlight_rosa -Atc 'SELECT id, email, password_digest FROM users ORDER BY id'")

    def volume(self, instance: str) -> str:
        """Where the engine docker has the uploads."""
        found: list[dict[str, str]] = json.loads(self.on(HOST, f"docker volume inspect greenlight-{instance}-storage"))
        return found[0]["Mountpoint"]


def shared(instance: str) -> str:
    """Where all nodes have the uploads."""
    return f"{UPLOADS}/{instance}"


@contextmanager
def coop_on_two_nodes(lab: RunningLab, root: Path) -> Iterator[Coop]:
    """Bare hosts, and an inventory by which they are to become a Swarm; a plain host1 again afterwards."""
    if lab.exec(HOST, ["test", "-e", "/var/lib/meet-coop"]).returncode == 0:
        lab.renew(HOST)
    lifecycle.up(lab.config, ["host2"], lambda message: None)
    lab.exec(HOST, ["sh", "-c", f"rm -rf {UPLOADS}/*"])  # what hosts have in common outlives them
    inventory = root / "inventories" / "lab"
    shutil.copytree(INVENTORY, inventory)
    (root / ".lab").symlink_to(ROOT / ".lab")
    machines = inventory / "hosts.yml"
    machines.write_text(swarm.with_host2(machines.read_text()))
    members = inventory / "members.yml"
    one, two = (f"  {name}:\n    address: {lab.ip(name)}\n" for name in swarm.NODES)
    text = members.read_text().replace(one, one + two).replace("defaults:\n", "defaults:\n  container_host: host1\n", 1)
    assert two in text
    members.write_text(text)
    variables = {"container_host_swarm": list(swarm.NODES), "container_host_swarm_addresses": {name: lab.ip(name) for name in swarm.NODES}}
    (inventory / "group_vars" / "container_hosts.yml").write_text(yaml.safe_dump(variables))
    coop = Coop(lab, inventory)
    coop.use("swarm")
    try:
        yield coop
    finally:
        swarm.one_node_again(lab)
