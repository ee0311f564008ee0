# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns_zone against Knot and BIND, signed zones and unsigned ones, with and without the right to transfer them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.lab.services import WRITER
from tests.support.lab import RunningLab
from tests.support.zones import RunModule, Zone


@pytest.fixture(params=["meet.test", "bind.test", "signed.test", "bind-signed.test"])
def zone(lab: RunningLab, run_module: RunModule, request: pytest.FixtureRequest) -> Iterator[Zone]:
    found = Zone(lab, run_module, request.param)
    yield found
    found.clean()


@pytest.fixture(params=["meet.test", "bind.test"])
def closed(lab: RunningLab, run_module: RunModule, request: pytest.FixtureRequest) -> Iterator[Zone]:
    """A zone that is to be changed with a key that may not transfer it."""
    found = Zone(lab, run_module, request.param)
    yield found
    found.clean()


TLSA = "3 1 1 0D6FCE5B9F1E2E1A3D7C5B4A39281706F5E4D3C2B1A0998877665544332211FF"


def every_type(zone: Zone) -> list[dict[str, Any]]:
    return [
        zone.record("s", "A", "192.0.2.1", "192.0.2.2"),
        zone.record("s", "AAAA", "2001:DB8::1"),
        zone.record("s", "TXT", "v=DKIM1; k=rsa; p=" + "x" * 400, "\"quoted\" text; grüße \\"),
        zone.record("s", "MX", "10 Mail.Example.org"),
        zone.record("s", "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"', '0 iodef "mailto:x@example.org"'),
        zone.record("_sip._tcp", "SRV", "0 5 443 host.example.org"),
        zone.record("_443._tcp.s", "TLSA", TLSA),
        zone.record("*.wild", "CNAME", "bücher.example"),
        zone.record("sub", "NS", f"ns1.{zone.label('sub')}.{zone.origin}.", "ns2.example.org"),
        zone.record("ns1.sub", "A", "192.0.2.53"),
    ]


def test_every_type_arrives_and_the_second_run_changes_nothing(zone: Zone) -> None:
    records = every_type(zone)
    foretold = zone.run(*records, check=True)
    assert foretold["changed"] is True and zone.content() == [], "check mode changes nothing"
    real = zone.run(*records)
    assert (real["changed"], real["diff"], real["changes"]) == (True, foretold["diff"], foretold["changes"])
    assert real["transfer"] is True and "warnings" not in real
    again = zone.run(*records)
    assert again["changed"] is False and again["changes"] == []
    assert zone.query("_443._tcp.s", "TLSA") == [TLSA.lower()]
    assert zone.query("anything.wild", "CNAME") == ["xn--bcher-kva.example."]
    assert zone.query("s", "A") == ["192.0.2.1", "192.0.2.2"]
    zone.run(max_delete_share=1.0)
    assert zone.content() == []


def test_a_name_goes_from_addresses_to_an_alias_and_back(zone: Zone) -> None:
    addresses, alias = zone.record("s", "A", "192.0.2.1"), zone.record("s", "CNAME", "host.example.org")
    for record, kind, value in ((addresses, "A", "192.0.2.1"), (alias, "CNAME", "host.example.org."), (addresses, "A", "192.0.2.1")):
        assert zone.run(record)["changed"] is True
        assert zone.query("s", kind) == [value]
        assert zone.run(record)["changed"] is False


def test_drift_is_repaired_and_neighbours_stay(zone: Zone) -> None:
    records = [zone.record("s", "A", "192.0.2.1"), zone.record("s", "AAAA", "2001:db8::1")]
    zone.run(*records)
    zone.by_hand(f"add {zone.label('s')} 60 A 192.0.2.99", f"del {zone.label('s')} AAAA", f'add {zone.label("s")} 60 TXT "by hand"')
    assert [(change["type"], change["action"]) for change in zone.run(*records)["changes"]] == [("A", "update"), ("AAAA", "create")]
    assert zone.query("s") == ["192.0.2.1"]
    zone.run()
    assert zone.content() == [f'{zone.absolute("s")}. 60 IN TXT "by hand"']


def test_runs_at_once_for_different_members_all_succeed(zone: Zone) -> None:
    outcomes: list[Any] = []

    def work(member: str) -> None:
        records = [zone.record(f"{member}{number}", "A", "192.0.2.1") for number in range(20)]
        try:
            outcomes.append(zone.run(*records, member=member)["changed"])
        except CoopError as error:
            outcomes.append(error)

    together(*(lambda member=f"m{number}": work(member) for number in range(4)))
    assert outcomes == [True] * 4
    assert len(zone.content()) == 4 * 20 * 2


def test_two_runs_at_once_for_the_same_names_leave_one_whole_plan(zone: Zone) -> None:
    """One wins, the other plans anew on what that one left: the end is one list or the other, never a mixture, and no mark is lost."""
    outcomes: list[Any] = []

    def work(address: str) -> None:
        try:
            outcomes.append(zone.run(*(zone.record(f"n{number}", "A", address) for number in range(10)))["changed"])
        except CoopError as error:
            outcomes.append(error)

    together(lambda: work("192.0.2.1"), lambda: work("192.0.2.2"))
    assert outcomes == [True, True]
    addresses = {line.split()[4] for line in zone.content() if line.split()[3] == "A"}
    assert addresses in ({"192.0.2.1"}, {"192.0.2.2"}) and len(zone.content()) == 20


def test_a_delegation_hides_nothing_and_nothing_goes_where_it_hides(zone: Zone) -> None:
    delegation = zone.record("sub", "NS", "ns.example.org")
    zone.by_hand(f"add {zone.label('www.sub')} 60 A 192.0.2.9")
    with pytest.raises(PlanRefused, match=r"sub\.\w+ NS would hide the existing www\.sub\.\w+ A"):
        zone.run(delegation)
    zone.by_hand(f"del {zone.label('www.sub')} A", f"add {zone.label('sub')} 60 NS ns.example.org.")
    with pytest.raises(PlanRefused, match=r"www\.sub\.\w+ A would never be answered: sub\.\w+ NS \(ns\.example\.org\.\)"):
        zone.run(zone.record("www.sub", "A", "192.0.2.1"))
    zone.by_hand(f"del {zone.label('sub')} NS")
    with pytest.raises(PlanRefused, match="would never be answered"):
        zone.run(delegation, zone.record("www.sub", "A", "192.0.2.1"))
    assert zone.content() == []


def together(*work: Any) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def closed_run(zone: Zone, *records: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    return zone.run(*records, check=check, tsig=zone.key(WRITER), **more)


def test_without_transfer_the_names_concerned_are_asked_for(closed: Zone) -> None:
    records = [closed.record("s", "A", "192.0.2.1"), closed.record("s", "TXT", "x" * 300), closed.record("*.w", "CNAME", "h.example.org")]
    foretold = closed_run(closed, *records, check=True)
    assert foretold["transfer"] is False and closed.content() == []
    real = closed_run(closed, *records)
    assert (real["changed"], real["diff"]) == (True, foretold["diff"])
    assert closed_run(closed, *records)["changed"] is False
    closed.by_hand(f"add {closed.label('s')} 60 A 192.0.2.99", f"add {closed.label('s')} 60 HINFO a b")
    repaired = closed_run(closed, *records)
    assert [(change["type"], change["action"]) for change in repaired["changes"]] == [("A", "update")]
    assert closed.query("s", "HINFO") == ['"a" "b"'], "what nobody asked for stays"
    assert closed.run(*records)["changed"] is False, "and whoever sees the whole zone has nothing to add"


def test_without_transfer_it_says_what_it_cannot_see(closed: Zone) -> None:
    closed_run(closed, closed.record("a", "A", "192.0.2.1"), closed.record("b", "A", "192.0.2.1"))
    before = closed.content()
    result = closed.play(closed.record("a", "A", "192.0.2.1"), tsig=closed.key(WRITER))
    assert result["changed"] is False and result["transfer"] is False
    assert any("marked for 'sunflower' that are in none of them can't be seen and stay" in line for line in result["warnings"]), result
    assert closed.content() == before
    with pytest.raises(CoopError, match="the names to remove can't be found"):
        closed_run(closed)
    gone = closed_run(closed, closed.record("a", "A", "192.0.2.1"), former_names=[closed.label("b")])
    assert gone["changed"] is True and closed.query("b") == []
    closed_run(closed, former_names=[closed.label("a")])
    assert closed.content() == []


def test_without_transfer_nothing_unmarked_is_touched_either(closed: Zone) -> None:
    closed.by_hand(f"add {closed.label('www')} 60 A 192.0.2.99", f"add {closed.label('h')} 60 HINFO a b")
    before = closed.content()
    with pytest.raises(PlanRefused, match="carries no mark of ours"):
        closed_run(closed, closed.record("www", "A", "192.0.2.1"))
    with pytest.raises(PlanRefused, match="can't stand beside a CNAME"):
        closed_run(closed, closed.record("h", "CNAME", "x.example.org"))
    with pytest.raises(CoopError, match=r"can't be judged by queries"):
        closed_run(closed, closed.record("sub", "NS", "ns.example.org"))
    assert closed_run(closed, former_names=[closed.label("www")])["changed"] is False
    assert closed.content() == before
    assert closed_run(closed, closed.record("www", "A", "192.0.2.1"), adopt=[f"{closed.label('www')}/A"])["changed"] is True


def test_without_transfer_answers_of_a_wildcard_are_not_taken_for_records(closed: Zone) -> None:
    closed.by_hand(f"add {closed.label('*')} 60 A 192.0.2.99", f'add {closed.label("*")} 60 TXT "by hand"')
    assert closed.query("s") == ["192.0.2.99"]
    assert closed_run(closed, closed.record("s", "A", "192.0.2.1"))["changed"] is True
    assert closed.query("s") == ["192.0.2.1"] and closed.query("other") == ["192.0.2.99"]
    assert closed_run(closed, closed.record("s", "A", "192.0.2.1"))["changed"] is False


def test_without_transfer_names_below_a_delegation_are_not_guessed_at(closed: Zone) -> None:
    closed.by_hand(f"add {closed.label('sub')} 60 NS ns.example.org.")
    with pytest.raises(CoopError, match=r"www\.sub\.\w+ is hidden by sub\.\w+ NS"):
        closed_run(closed, closed.record("www.sub", "A", "192.0.2.1"))
