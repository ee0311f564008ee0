# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Prometheus is told, read by the library's own parser; and a node that hangs keeps nobody waiting."""

from __future__ import annotations

import threading
import time

import pytest

prometheus_client = pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Live, Meeting, read
from ansible_collections.meet.coop.plugins.module_utils._meter.config import Config, Node, Tenant
from ansible_collections.meet.coop.plugins.module_utils._meter.exposition import Exposition
from ansible_collections.meet.coop.plugins.module_utils._meter.poll import Answer, Poller, attributed
from tests.support.meter import MEETING, PERSON, Stay, World

CONFIG = Config(
    nodes=(Node("n1", capacity=100), Node("n2")),
    tenants={"rosa": Tenant("rosa", "rosa", participants=10), "sunflowerd514686": Tenant("sunflower-training", "sunflower")},
)


def told(exposition: Exposition) -> tuple[str, dict[tuple, float]]:
    registry = prometheus_client.CollectorRegistry()
    registry.register(exposition)
    text = prometheus_client.generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return text, found


def test_numbers_by_node_and_tenant():
    from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import parse

    world = World([Stay("n1", "rosa", 0, 9, 12), Stay("n1", "gone", 0, 9, 1, "other")], 1.0)
    busy = read(parse(world.answer("n1")))
    busy.clock_offset = -5400.5
    answers = [Answer(CONFIG.nodes[0], busy, 0.1), Answer(CONFIG.nodes[1], Live(fault="silent"), 2.0)]
    exposition = Exposition(CONFIG)
    exposition.update(attributed(answers), 1000.0, 2.1, "recorded")
    text, found = told(exposition)
    assert found["meet_coop_node_up", (("node", "n1"),)] == 1 and found["meet_coop_node_up", (("node", "n2"),)] == 0
    assert found["meet_coop_node_participants", (("node", "n1"),)] == 13 and ("meet_coop_node_participants", (("node", "n2"),)) not in found
    assert found["meet_coop_node_capacity_participants", (("node", "n1"),)] == 100
    clocks = {labels: value for (name, labels), value in found.items() if name == "meet_coop_node_clock_offset_seconds"}
    assert clocks == {(("node", "n1"),): -5400.5}, "of a node that was silent nothing is known"
    rosa = (("member", "rosa"), ("service", "rosa"), ("tenant", "rosa"))
    training = (("member", "sunflower"), ("service", "sunflower-training"), ("tenant", "sunflowerd514686"))
    assert found["meet_coop_tenant_participants", rosa] == 12 and found["meet_coop_tenant_participants", training] == 0
    assert found["meet_coop_tenant_participants", (("member", ""), ("service", ""), ("tenant", "gone"))] == 1
    assert found["meet_coop_tenant_fair_use_participants", rosa] == 10
    assert not any(name == "meet_coop_tenant_fair_use_participants" and labels != rosa for name, labels in found)
    assert found["meet_coop_meter_last_poll_timestamp_seconds", ()] == 1000
    assert found["meet_coop_meter_polls_total", (("outcome", "recorded"),)] == 1
    assert PERSON not in text and MEETING not in text


def test_a_record_that_fails_is_told_until_it_does_not():
    exposition = Exposition(CONFIG)
    for outcome, expected in (("recorded", 1), ("failed", 0), ("late", 0), ("recorded", 1)):
        exposition.update(attributed([]), 1.0, 1.0, outcome)
        assert told(exposition)[1]["meet_coop_meter_record_ok", ()] == expected


def test_before_the_first_poll_nothing_is_said_of_tenants():
    assert not [name for name, _labels in told(Exposition(CONFIG))[1] if "tenant" in name or "node" in name]


def test_a_node_that_hangs_is_silent_and_not_asked_twice_and_odd_answers_are_too():
    over = threading.Event()
    asked: list[str] = []
    meeting = Meeting("m", "i", "rosa", 1, False, 3, 0, 0, 0)

    def ask(node: Node) -> Live:
        asked.append(node.domain)
        if node.domain == "hangs":
            over.wait(20)
        if node.domain == "odd":
            raise RecursionError("deep inside")
        return Live(meetings=[meeting])

    config = Config(nodes=(Node("hangs"), Node("odd"), Node("good")), timeout=0.1)
    poller = Poller(config, ask)
    try:
        for _each in range(2):
            begun = time.monotonic()
            sample = poller.poll()
            assert time.monotonic() - begun < 5
            assert sample.silent == ["hangs", "odd"] and sample.tenants["rosa"].participants == 3
        assert asked.count("hangs") == 1 and asked.count("good") == 2
        assert "RecursionError" in (sample.answers[1].live.fault or "")
    finally:
        over.set()
        poller.close()
