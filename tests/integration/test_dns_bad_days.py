# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns_zone when things go wrong half-way: applied or not, name by name, never half, and known; and the next run puts it right."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import Server
from ansible_collections.meet.coop.plugins.module_utils._dns.zone import TRIES
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.support.lab import RunningLab
from tests.support.middleman import CUT, DEAD, LOSE_ANSWER, LOSE_REQUEST, PASS, SERVFAIL, middleman
from tests.support.zones import RunModule, Zone

MANY = 700
"""Names that need more than one update message."""


@pytest.fixture(params=["meet.test", "bind.test"])
def zone(lab: RunningLab, run_module: RunModule, request: pytest.FixtureRequest) -> Iterator[Zone]:
    found = Zone(lab, run_module, request.param)
    yield found
    found.run(max_delete_share=1.0)
    found.clean()


def many(zone: Zone, count: int = MANY) -> list[dict[str, Any]]:
    return [zone.record(f"n{number}", "A", "192.0.2.1") for number in range(count)]


def assert_every_name_is_whole(zone: Zone) -> int:
    """Each name has its mark and each mark its name; returns how many there are."""
    names = {line.split()[0] for line in zone.content()}
    marks = {name for name in names if name.startswith("_coop.")}
    assert {name.removeprefix("_coop.") for name in marks} == names - marks
    return len(marks)


@pytest.mark.parametrize("word", [LOSE_ANSWER, LOSE_REQUEST])
def test_an_update_without_an_answer_is_looked_up_and_completed(zone: Zone, word: str) -> None:
    record = zone.record("s", "A", "192.0.2.1")
    with middleman(zone.server, zone.tsig, word) as way:
        assert zone.run(record, server="127.0.0.1", port=way.port)["changed"] is True
        assert way.updates == (1 if word == LOSE_ANSWER else 2)
    assert zone.query("s") == ["192.0.2.1"] and zone.run(record)["changed"] is False


def test_servfail_changes_nothing_and_says_so(zone: Zone) -> None:
    record = zone.record("s", "A", "192.0.2.1")
    with (
        middleman(zone.server, zone.tsig, SERVFAIL) as way,
        pytest.raises(CoopError, match=r"failed at the update.*\(SERVFAIL\); nothing was changed"),
    ):
        zone.run(record, server="127.0.0.1", port=way.port)
    assert zone.content() == []
    assert zone.run(record)["changed"] is True


def test_a_plan_of_several_messages_that_stops_is_known_and_completed(zone: Zone) -> None:
    with middleman(zone.server, zone.tsig, PASS, SERVFAIL) as way, pytest.raises(CoopError) as caught:
        zone.run(*many(zone), server="127.0.0.1", port=way.port)
    done = assert_every_name_is_whole(zone)
    assert 0 < done < MANY
    assert f"(SERVFAIL); {done} of {MANY} names were changed before that" in str(caught.value) and "\n" not in str(caught.value)
    rest = zone.run(*many(zone))
    assert len(rest["changes"]) == 2 * (MANY - done)
    assert assert_every_name_is_whole(zone) == MANY


def test_a_plan_of_several_messages_survives_lost_answers(zone: Zone) -> None:
    with middleman(zone.server, zone.tsig, LOSE_ANSWER, PASS, LOSE_REQUEST) as way:
        result = zone.run(*many(zone), server="127.0.0.1", port=way.port)
    assert len(result["changes"]) == 2 * MANY, "all that this run changed is reported"
    assert assert_every_name_is_whole(zone) == MANY and zone.run(*many(zone))["changed"] is False


def test_a_server_that_dies_under_the_update_leaves_it_unknown_and_says_so(zone: Zone) -> None:
    record = zone.record("s", "A", "192.0.2.1")
    with (
        middleman(zone.server, zone.tsig, DEAD) as way,
        pytest.raises(CoopError, match="whether that update was applied is not known yet: run again"),
    ):
        zone.run(record, server="127.0.0.1", port=way.port, timeout=1)
    assert zone.content() == []
    assert zone.run(record)["changed"] is True


def test_a_transfer_that_breaks_off_is_no_zone(zone: Zone) -> None:
    zone.run(*many(zone, 50))
    with (
        middleman(zone.server, zone.tsig, others=[CUT]) as way,
        pytest.raises(CoopError, match="closed the connection during the zone transfer"),
    ):
        zone.run(server="127.0.0.1", port=way.port, max_delete_share=1.0)
    assert assert_every_name_is_whole(zone) == 50


def test_a_reader_that_lags_behind_is_not_cut_off(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Knot gives a reader of a transfer half a second; understanding a message may take longer on a busy controller."""
    zone.run(*many(zone, 3000))
    understand = dns.message.from_wire

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.1 if kwargs.get("multi") else 0)
        return understand(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(dns.message, "from_wire", slowly)
        assert zone.run(*many(zone, 3000))["changed"] is False


def test_a_killed_run_is_repaired_by_the_next(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = dns.query.tcp, itertools.count()

    def killed(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(dns.query, "tcp", killed)
        with pytest.raises(KeyboardInterrupt):
            zone.run(*many(zone))
    assert 0 < assert_every_name_is_whole(zone) < MANY
    assert zone.run(*many(zone))["changed"] is True
    assert assert_every_name_is_whole(zone) == MANY


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_is_named(zone: Zone, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr("dns.message.time.time", lambda: now() + hours * 3600)
        with pytest.raises(CoopError, match="does not accept the time of the signature.*set the clocks") as caught:
            zone.run(zone.record("s", "A", "192.0.2.1"))
    assert "\n" not in str(caught.value) and zone.tsig["secret"] not in str(caught.value)
    assert zone.content() == []


def test_planning_anew_is_bounded(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes the record each time we have read it."""
    zone.run(zone.record("s", "A", "192.0.2.1"))
    observe, numbers, reads = Server.observe, itertools.count(100), []

    def then_somebody(server: Server) -> Any:
        snapshot = observe(server)
        reads.append(1)
        zone.by_hand(f"del {zone.label('s')} A", f"add {zone.label('s')} 60 A 192.0.2.{next(numbers)}")
        return snapshot

    with monkeypatch.context() as patch:
        patch.setattr(Server, "observe", then_somebody)
        with pytest.raises(CoopError, match=rf"changed {TRIES} times while being updated.*find out who else writes it"):
            zone.run(zone.record("s", "A", "192.0.2.5"))
    assert len(reads) == TRIES + 1
    assert zone.run(zone.record("s", "A", "192.0.2.5"))["changed"] is True


def test_a_stranger_who_comes_between_two_messages_stops_the_rest_and_what_was_done_is_said(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = dns.query.tcp, itertools.count()

    def then_somebody(*args: Any, **kwargs: Any) -> Any:
        answer = real(*args, **kwargs)
        if next(calls) == 0:
            zone.by_hand(f"add {zone.label(f'n{MANY - 1}')} 60 A 192.0.2.99")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(dns.query, "tcp", then_somebody)
        with pytest.raises(PlanRefused, match=rf"n{MANY - 1}\.\w+ A exists .*; \d+ of {MANY} names were changed before that"):
            zone.run(*many(zone))
    zone.by_hand(f"del {zone.label(f'n{MANY - 1}')} A")
    assert 0 < assert_every_name_is_whole(zone) < MANY
    zone.run(*many(zone))
    assert assert_every_name_is_whole(zone) == MANY


def test_a_zone_of_ten_thousand_records(zone: Zone) -> None:
    records = many(zone, 10_000)
    begun = time.monotonic()
    result = zone.run(*records, timeout=30)
    taken = time.monotonic() - begun
    assert len(result["changes"]) == 20_000 and assert_every_name_is_whole(zone) == 10_000
    begun = time.monotonic()
    assert zone.run(*records, timeout=30)["changed"] is False
    assert time.monotonic() - begun < 30 and taken < 120
    changed = zone.run(*records[1:], zone.record("n0", "A", "192.0.2.2"), timeout=30)["changes"]
    assert [change["name"] for change in changed] == [zone.label("n0")]
