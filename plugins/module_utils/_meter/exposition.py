# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the last poll in the text format of Prometheus, by its own Python library (Debian: python3-prometheus-client)."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.meetings import Count
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

from .config import Config, Tenant
from .poll import Sample

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
except ImportError:
    # Whoever only reads the record needs none of it.
    HAVE_PROMETHEUS = False
else:
    HAVE_PROMETHEUS = True

_COUNTS = (
    ("meetings", "meetings", "Live meetings"),
    ("participants", "participants", "People in live meetings"),
    ("voice_participants", "voice", "People with a microphone in live meetings"),
    ("videos", "video", "Cameras in live meetings"),
)
PREFIX = "meet_coop_"


class Exposition:
    """What Prometheus is told. Numbers of nodes and tenants are those of the last poll; of a node that was silent there are none."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._sample = Sample()
        self._at = 0.0
        self._seconds = 0.0
        self._polls = {"recorded": 0, "repeated": 0, "late": 0, "failed": 0}
        self._record_ok = 1

    def serve(self) -> None:
        """Answer scrapes from a thread of its own, on the configured address. Raises CoopError."""
        if not HAVE_PROMETHEUS:
            raise CoopError("the Python library prometheus_client is missing; install the Debian package python3-prometheus-client")
        registry = CollectorRegistry()
        registry.register(self)
        try:
            start_http_server(self._config.port, self._config.listen, registry)
        except OSError as error:
            place = f"{self._config.listen}:{self._config.port}"
            raise CoopError(f"{place} cannot be listened on: {error.strerror}; choose another port") from error

    def update(self, sample: Sample, at: float, seconds: float, outcome: str) -> None:
        """Remember a poll that began at ``at``; ``outcome`` is recorded, repeated, late, or failed (the record could not be written)."""
        with self._lock:
            self._sample, self._at, self._seconds = sample, at, seconds
            self._polls[outcome] += 1
            if outcome in ("recorded", "repeated", "failed"):
                self._record_ok = int(outcome != "failed")

    def collect(self) -> t.Iterator[t.Any]:
        """Metric families, for the library."""
        with self._lock:
            sample, at, seconds, polls, record_ok = self._sample, self._at, self._seconds, dict(self._polls), self._record_ok
        yield _gauge("meter_last_poll_timestamp_seconds", "When the nodes were polled last.", at)
        yield _gauge("meter_poll_duration_seconds", "How long the last poll took.", seconds)
        yield _gauge("meter_interval_seconds", "Seconds between two polls.", self._config.interval)
        yield _gauge("meter_record_ok", "Whether the last poll could be written down.", record_ok)
        counter = CounterMetricFamily(f"{PREFIX}meter_polls", "Polls since the start, by what became of them.", labels=["outcome"])
        for outcome, number in polls.items():
            counter.add_metric([outcome], number)
        yield counter
        yield from self._nodes(sample)
        yield from self._tenants(sample)

    def _nodes(self, sample: Sample) -> t.Iterator[t.Any]:
        up = GaugeMetricFamily(f"{PREFIX}node_up", "Whether the node answered the last poll.", labels=["node"])
        answer = GaugeMetricFamily(f"{PREFIX}node_answer_seconds", "How long its answer took.", labels=["node"])
        capacity = GaugeMetricFamily(f"{PREFIX}node_capacity_participants", "People that the node is made for.", labels=["node"])
        text = "Seconds by which the node's clock is ahead of this host's, to a second or so."
        clock = GaugeMetricFamily(f"{PREFIX}node_clock_offset_seconds", text, labels=["node"])
        counts = [GaugeMetricFamily(f"{PREFIX}node_{name}", f"{text} on the node.", labels=["node"]) for name, _key, text in _COUNTS]
        for one in sample.answers:
            label = [one.node.domain]
            up.add_metric(label, int(one.live.fault is None))
            answer.add_metric(label, one.seconds)
            if one.node.capacity:
                capacity.add_metric(label, one.node.capacity)
            if one.live.clock_offset is not None:
                clock.add_metric(label, one.live.clock_offset)
            if one.live.fault is None:
                for family, (_name, key, _text) in zip(counts, _COUNTS, strict=True):
                    family.add_metric(label, getattr(one.live.total, key))
        yield from (up, answer, capacity, clock, *counts)

    def _tenants(self, sample: Sample) -> t.Iterator[t.Any]:
        labels = ["tenant", "service", "member"]
        counts = [GaugeMetricFamily(f"{PREFIX}tenant_{name}", f"{text} of the tenant.", labels=labels) for name, _key, text in _COUNTS]
        fair = {
            name: GaugeMetricFamily(f"{PREFIX}tenant_fair_use_{name}", f"How many {name} at once are fair for the tenant.", labels=labels)
            for name in ("participants", "meetings")
        }
        nobody = Tenant("", "")
        # Tenants without a meeting have zeros: a series that comes and goes cannot be alerted on.
        known = sample.answers and {**dict.fromkeys(self._config.tenants, Count()), **sample.tenants} or {}
        for name, count in sorted(known.items()):
            tenant = self._config.tenants.get(name, nobody)
            label = [name, tenant.service, tenant.member]
            for family, (_name, key, _text) in zip(counts, _COUNTS, strict=True):
                family.add_metric(label, getattr(count, key))
            for key, family in fair.items():
                if getattr(tenant, key):
                    family.add_metric(label, getattr(tenant, key))
        yield from (*counts, *fair.values())


def _gauge(name: str, text: str, value: float) -> t.Any:
    return GaugeMetricFamily(PREFIX + name, text, value=value)
