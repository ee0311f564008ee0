# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to meet.coop: everything Docker has, read once, for the observations of many instances."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import SUFFIXES, Engine

READERS = 4
"""Connections that inspect containers at the same time; Docker itself is what they wait for."""


class Listing(Engine):
    """A Docker daemon as it was at one moment. Answers from memory what it was loaded with, and asks for the rest once."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._rows: list[dict[str, Any]] = []
        self._ids: dict[str, str] = {}
        self._inspected: dict[str, dict[str, Any]] = {}
        self._networks: dict[str, dict[str, Any]] = {}
        self._volumes: dict[str, dict[str, Any]] = {}
        self._images: dict[str, dict[str, Any] | None] = {}
        self._info: dict[str, Any] | None = None
        self._answers: dict[str, Any] = {}
        self._lock = threading.RLock()

    def load(self, instances: Iterable[str]) -> None:
        """Read all lists, and inspect the containers of these instances. Raises ContainerError."""
        self._rows = super().containers()
        for row in self._rows:
            for name in row.get("Names") or []:
                self._ids[name.lstrip("/")] = row["Id"]
        self._networks = {network["Name"]: network for network in self.get("/networks") or []}
        self._volumes = {volume["Name"]: volume for volume in (self.get("/volumes") or {}).get("Volumes") or []}
        wanted = [one for name in instances for one in self.ids_of(f"greenlight-{name}")]
        parts = [wanted[number::READERS] for number in range(READERS)]

        def inspect(part: list[str]) -> list[tuple[str, dict[str, Any] | None]]:
            engine = Engine(self.address)
            try:
                return [(one, engine.container(one)) for one in part]
            finally:
                engine.close()

        with ThreadPoolExecutor(READERS) as pool:
            for found in pool.map(inspect, parts):
                self._inspected.update({one: container for one, container in found if container})
        for container in list(self._inspected.values()):
            self._inspected[container["Name"].lstrip("/")] = container
        for image in {container["Image"] for container in self._inspected.values()}:
            self.image(image)
        self.close()

    def get(self, path: str, **query: Any) -> Any:
        """One question at a time on the one connection. What is the same for all instances of a Swarm is asked once."""
        with self._lock:
            if path != "/nodes" and (path != "/services" or query):
                return super().get(path, **query)
            if path not in self._answers:
                self._answers[path] = super().get(path, **query)
            return self._answers[path]

    def containers(self, **filters: str) -> list[dict[str, Any]]:
        return super().containers(**filters) if filters else self._rows

    def ids_of(self, container: str) -> list[str]:
        return [self._ids[name] for name in (container, *(container + suffix for suffix in SUFFIXES)) if name in self._ids]

    def container(self, name: str) -> dict[str, Any] | None:
        return self._inspected.get(name)

    def network(self, name: str) -> dict[str, Any] | None:
        return self._networks.get(name)

    def volume(self, name: str) -> dict[str, Any] | None:
        return self._volumes.get(name)

    def image(self, name: str) -> dict[str, Any] | None:
        with self._lock:
            if name not in self._images:
                self._images[name] = super().image(name)
            return self._images[name]

    def info(self) -> dict[str, Any]:
        with self._lock:
            if self._info is None:
                self._info = super().info()
            return self._info
