# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: asks all nodes at once, and what they answer by tenant."""

from __future__ import annotations

import re
import ssl
import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import Client
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import OTHERS, Count, Live, live

from .config import Config, Node

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
MAX_THREADS = 256

Ask = t.Callable[[Node], Live]
"""Asks one node; a node that cannot be asked is an answer too."""


@dataclass(frozen=True)
class Answer:
    """What one node said, and after how many seconds."""

    node: Node
    live: Live
    seconds: float


@dataclass
class Sample:
    """One poll of all nodes, in the order of the configuration."""

    answers: list[Answer] = field(default_factory=list)
    tenants: dict[str, Count] = field(default_factory=dict)

    @property
    def silent(self) -> list[str]:
        """Nodes that could not be asked."""
        return [answer.node.domain for answer in self.answers if answer.live.fault is not None]


def attributed(answers: t.Sequence[Answer]) -> Sample:
    """By tenant. A meeting is known by its internal id: one meetingID can stand for two meetings, and two nodes can be one server."""
    found = Sample(list(answers))
    seen: set[str] = set()
    for answer in answers:
        for meeting in answer.live.meetings:
            if meeting.internal_id and meeting.internal_id in seen:
                continue
            seen.add(meeting.internal_id)
            name = meeting.tenant or answer.node.tenant
            # The mark is text that whoever holds a node's secret can choose.
            found.tenants.setdefault(name if _NAME.match(name) else OTHERS, Count()).add(meeting)
    return found


class Poller:
    """Asks nodes at the same time. One that still owes its last answer is not asked again."""

    def __init__(self, config: Config, ask: Ask) -> None:
        self._nodes = config.nodes
        self._ask = ask
        # A node that sends its answer drop by drop is cut short too.
        self._deadline = config.timeout + 1.0
        self._threads = ThreadPoolExecutor(min(MAX_THREADS, max(1, len(config.nodes))), "node")
        self._running: dict[str, Future[tuple[Live, float]]] = {}

    def poll(self) -> Sample:
        """One question to each node. Returns within a second after the time-out."""
        for node in self._nodes:
            if node.domain not in self._running:
                self._running[node.domain] = self._threads.submit(self._timed, node)
        wait(self._running.values(), timeout=self._deadline)
        answers = []
        for node in self._nodes:
            future = self._running[node.domain]
            if future.done():
                del self._running[node.domain]
                found, seconds = future.result()
                answers.append(Answer(node, found, seconds))
            else:
                fault = f"{node.domain}: getMeetings was not answered within {self._deadline:.0f} s"
                answers.append(Answer(node, Live(fault=fault), self._deadline))
        return attributed(answers)

    def close(self) -> None:
        """Ask nobody any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _timed(self, node: Node) -> tuple[Live, float]:
        begun = time.monotonic()
        try:
            found = self._ask(node)
        except Exception as error:
            # What one node sends must not keep us from all others. The text of such an error may hold what it sent.
            found = Live(fault=f"{node.domain}: its answer could not be read ({type(error).__name__})")
        return found, time.monotonic() - begun


def over_https(config: Config, secrets: t.Mapping[str, str]) -> Ask:
    """Asks nodes by their API. One TLS context serves all: reading the system's authorities takes longer than a node's answer."""
    context = ssl.create_default_context()
    if config.ca_file:
        context.load_verify_locations(config.ca_file)
    clients = {
        node.domain: Client(
            f"https://{node.domain}/bigbluebutton/api/", secrets[node.domain], algorithm=config.algorithm, timeout=config.timeout,
            context=context,
        )
        for node in config.nodes
    }  # fmt: skip
    return lambda node: live(clients[node.domain])
