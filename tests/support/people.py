# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""People of a tenant of the lab's pool who meet all the time, and notice when they are cut off."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from tests.lab.config import NODES

from .pool import Pool, wait_for

HOLDS = "/var/lib/meet-coop/held-nodes.json"
Module = Callable[..., dict[str, Any]]


def all_in_service(pool: Pool) -> None:
    """All nodes empty and in service, and nobody maintains them."""
    pool.lab.exec("pool", ["rm", "-f", HOLDS])
    for node in NODES:
        pool.control(node, "POST", "/drop")
    wait_for(lambda: pool.lab.exec("pool", ["systemctl", "is-active", "bbblb"]).stdout.strip() == "active")
    pool.bbblb("server", "enable", "--now", *(f"{node}.lab.test" for node in NODES))
    wait_for(lambda: set(pool.health().values()) == {"available"})


class People:
    """A tenant whose people meet."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.name, self.secret = "tm" + secrets.token_hex(4), secrets.token_hex(20)

    @classmethod
    @contextlib.contextmanager
    def of(cls, pool: Pool, run_module: Module) -> Iterator[People]:
        """A tenant that the pool knows for as long as it is needed."""
        ours = cls(pool)
        tenant = {"name": ours.name, "secret": ours.secret, "duration_max": 60, "participants_max": 25}
        assert not run_module("pool", "meet.coop.pool_tenant", {"tenants": [tenant]}).get("failed")
        time.sleep(1.3)  # pool_tenant_cache
        try:
            yield ours
        finally:
            run_module("pool", "meet.coop.pool_tenant", {"tenants": [{"name": ours.name, "state": "absent"}]})

    def meet(self, on: str | None = None, **wish: str) -> str:
        """A meeting; on a node by name, when asked for, by making others until one is there. Those are ended."""
        others: list[str] = []
        for _attempt in range(20):
            meeting = "m-" + secrets.token_hex(6)
            answer = self.pool.call(self.name, self.secret, "create", {"name": "Assembly", "meetingID": meeting, **wish})
            assert answer.ok, answer.body
            if on is None or self.node_of(meeting) == on:
                # Not before: the balancer would send the next to the same node.
                for other in others:
                    self.end(other)
                return meeting
            others.append(meeting)
        raise AssertionError(f"no meeting came to be on {on}")

    def node_of(self, meeting: str) -> str:
        ((node, _parameters),) = self.pool.seen(meeting)
        return node

    def alive(self, meeting: str) -> bool:
        return self.pool.call(self.name, self.secret, "getMeetingInfo", {"meetingID": meeting}).ok

    def id_on_node(self, meeting: str, node: str) -> str:
        """The meeting's ID as its node knows it."""
        for one in self.pool.control(node, "GET", "/meetings"):
            if one["meetingID"].rpartition("-bbblb-")[0] == meeting:
                return str(one["meetingID"])
        return ""

    def alive_on_node(self, meeting: str, node: str) -> bool:
        return bool(self.id_on_node(meeting, node))

    def end(self, meeting: str) -> None:
        info = self.pool.call(self.name, self.secret, "getMeetingInfo", {"meetingID": meeting}).xml
        wish = {"meetingID": meeting, "password": info.findtext("moderatorPW")}
        assert self.pool.call(self.name, self.secret, "end", wish).ok


class Stream:
    """Several groups that meet for some seconds each, one meeting after the other, while the context is open."""

    def __init__(self, people: People, groups: int = 3, seconds: float = 2.0) -> None:
        self.people, self.seconds = people, seconds
        self.cut: list[str] = []
        self.met: list[str] = []
        self.least_in_service = len(NODES)
        self.faults: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(self._meet,)) for _each in range(groups)]
        self._threads.append(threading.Thread(target=self._guarded, args=(self._watch,)))

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if error is None and self.faults:
            raise self.faults[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                work()
        except BaseException as error:  # noqa: B036 - told when the context is left
            self.faults.append(error)

    def _meet(self) -> None:
        meeting = self.people.meet()
        self._over.wait(self.seconds)
        (self.met if self.people.alive(meeting) else self.cut).append(meeting)
        self.people.end(meeting)

    def _watch(self) -> None:
        servers = self.people.pool.state()["servers"].values()
        self.least_in_service = min(self.least_in_service, sum(entry["enabled"] for entry in servers))
        self._over.wait(2)
