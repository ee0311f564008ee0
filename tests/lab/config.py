# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, addresses and paths of the lab. Everything that may differ between two labs on one machine is decided here."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "lab"
FILES = Path(__file__).resolve().parent / "files"
DEFAULT_NAME = "meet"
DEFAULT_SUBNET = "172.30.77.0/24"
BASE_IMAGE = "meet-coop-lab/base"
HOST_IMAGE = os.environ.get("LAB_HOST_IMAGE") or "meet-coop-lab/host"
REDIS_IMAGE = "meet-coop-lab/redis:7"
UPLOADS = "/srv/meet-coop/uploads"
"""Where the nodes of a Swarm have the uploads of their instances."""
ACCOUNTS = ("sunflower", "rosa", "cafe")
"""SMTP logins the lab's mail server knows: one per member, each with its own password and sender address."""


@dataclass(frozen=True)
class Host:
    """One throwaway host. ``offset`` is the last part of its address in the lab's network."""

    name: str
    offset: int
    image: str = HOST_IMAGE
    volumes: tuple[str, ...] = ()
    """Directories that lie on a Docker volume of their own (nested Docker cannot put overlays on an overlay)."""
    shared: tuple[str, ...] = ()
    """Directories that the lab's hosts which name them have in common, as from a file server."""
    aliases: tuple[str, ...] = ()
    """Further names of the host in lab.test."""
    containers: bool = False
    """Whether it runs containers of its own and so gets the images for them."""
    shelf: str = "images"
    """Which of the archives of images (containers.py) that is."""
    optional: bool = False
    """Whether it is started only when it is named."""


HOSTS: dict[str, Host] = {
    host.name: host
    for host in (
        Host("services", 10, aliases=("ns1", "smtp", "imap", "mail", "acme")),
        Host("pool", 20, volumes=("/var/lib/docker",), containers=True, shelf="pool"),
        Host("node1", 31),
        Host("node2", 32),
        Host("node3", 33),
        Host("host1", 41, volumes=("/var/lib/docker",), shared=(UPLOADS,), containers=True),
        Host("host2", 42, volumes=("/var/lib/docker",), shared=(UPLOADS,), containers=True, optional=True),
    )
}
NODES = tuple(name for name in HOSTS if name.startswith("node"))
"""Those that the BigBlueButton double runs on."""
RESOLVER_OFFSET = 11
SECOND_DNS_OFFSET = 12


@dataclass(frozen=True)
class Lab:
    """One lab on this machine: its name, network and state directory."""

    name: str = DEFAULT_NAME
    subnet: ipaddress.IPv4Network = field(default_factory=lambda: ipaddress.IPv4Network(DEFAULT_SUBNET))

    @classmethod
    def from_environment(cls) -> Lab:
        """The lab that LAB_NAME and LAB_SUBNET ask for."""
        return cls(
            name=os.environ.get("LAB_NAME") or DEFAULT_NAME,
            subnet=ipaddress.IPv4Network(os.environ.get("LAB_SUBNET") or DEFAULT_SUBNET),
        )

    @property
    def network(self) -> str:
        return f"{self.name}-lab"

    @property
    def state(self) -> Path:
        """Directory of this lab's generated files: ``.lab`` for the default lab, ``.lab/<name>`` for another one."""
        root = REPOSITORY / ".lab"
        return root if self.name == DEFAULT_NAME else root / self.name

    @property
    def inventory(self) -> Path:
        """The inventory of this lab's hosts and members; a lab in a network of its own has a copy with its addresses (inventory.py)."""
        return (REPOSITORY if self.subnet == Lab().subnet else self.state) / "inventories" / "lab"

    def container(self, host: str) -> str:
        return f"{self.name}-{host}"

    def address(self, host: str) -> str:
        return self._address(HOSTS[host].offset)

    @property
    def dns_server(self) -> str:
        """Address of the authoritative server (Knot)."""
        return self.address("services")

    @property
    def second_dns_server(self) -> str:
        """Address of the second authoritative server (BIND)."""
        return self._address(SECOND_DNS_OFFSET)

    @property
    def resolver(self) -> str:
        """Address of the recursive resolver of the lab."""
        return self._address(RESOLVER_OFFSET)

    @property
    def ca_file(self) -> Path:
        """What a client outside trusts: the lab's CA and the current root of Pebble."""
        return self.state / "ca.pem"

    def _address(self, offset: int) -> str:
        return str(self.subnet.network_address + offset)
