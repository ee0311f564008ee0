# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dns_zone and domain_check against a real name server: what we plan is what it then answers, and nothing of others is touched."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dns.query
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._dns.plan import PlanRefused
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.support.lab import RunningLab
from tests.support.zones import RunModule, Zone

ZONE = "meet.test"


@pytest.fixture
def zone(lab: RunningLab, run_module: RunModule) -> Iterator[Zone]:
    found = Zone(lab, run_module)
    yield found
    found.clean()


def test_every_type_arrives_as_planned(zone: Zone) -> None:
    records = [
        zone.record("s", "A", "192.0.2.1", "192.0.2.2"),
        zone.record("s", "AAAA", "2001:DB8::1"),
        zone.record("s", "TXT", "grüße; \"quoted\" \\ " + "x" * 400),
        zone.record("s", "MX", "10 mail.example.org"),
        zone.record("s", "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"'),
        zone.record("_sip._tcp", "SRV", "0 5 443 Host.example.org"),
        zone.record("*.wild", "CNAME", "bücher.example"),
        zone.record("sub", "NS", "ns1.example.org", "ns2.example.org"),
    ]
    foretold = zone.play(*records, check=True)
    assert foretold["changed"] is True and zone.content() == [], "check mode changes nothing"
    real = zone.play(*records)
    assert (real["changed"], real["diff"], real["changes"]) == (True, foretold["diff"], foretold["changes"])
    again = zone.play(*records)
    assert again["changed"] is False and again["changes"] == []
    assert zone.lab.query(f"{zone.label('s')}.{ZONE}", "A") == ["192.0.2.1", "192.0.2.2"]
    assert zone.lab.query(f"{zone.label('s')}.{ZONE}", "AAAA") == ["2001:db8::1"]
    assert zone.lab.query(f"any.{zone.label('wild')}.{ZONE}", "CNAME") == ["xn--bcher-kva.example."]
    assert zone.lab.query(f"_coop.{zone.label('s')}.{ZONE}", "TXT") == [
        f'"heritage=meet.coop,owner={zone.tag},member=sunflower,types=A+AAAA+CAA+MX+TXT,v=1"'
    ]
    gone = zone.play(max_delete_share=1.0)
    assert gone["changed"] is True and zone.content() == []


def test_drift_is_repaired_and_neighbours_stay(zone: Zone) -> None:
    records = [zone.record("s", "A", "192.0.2.1"), zone.record("s", "AAAA", "2001:db8::1")]
    zone.run(*records)
    zone.by_hand(f"add {zone.label('s')} 60 A 192.0.2.99", f"del {zone.label('s')} AAAA", f'add {zone.label("s")} 60 TXT "by hand"')
    foretold = zone.play(*records, check=True)
    real = zone.play(*records)
    assert [(change["type"], change["action"]) for change in real["changes"]] == [("A", "update"), ("AAAA", "create")]
    assert real["diff"] == foretold["diff"]
    assert zone.lab.query(f"{zone.label('s')}.{ZONE}") == ["192.0.2.1"]
    assert zone.run(*records)["changed"] is False
    zone.run()
    assert zone.content() == [f'{zone.label("s")}.{ZONE}. 60 IN TXT "by hand"']


def test_nothing_unmarked_is_changed_adopted_or_deleted(zone: Zone) -> None:
    zone.by_hand(f"add {zone.label('www')} 60 A 192.0.2.99")
    before = zone.content()
    for check in (True, False):
        result = zone.play(zone.record("www", "A", "192.0.2.1"), zone.record("other", "A", "192.0.2.1"), check=check)
        assert result["failed"] and f"adopt: ['{zone.label('www')}/A']" in result["msg"] and "\n" not in result["msg"]
    assert zone.content() == before, "all or nothing"
    assert zone.run()["changed"] is False
    adopted = zone.play(zone.record("www", "A", "192.0.2.1"), adopt=[f"{zone.label('www')}/A"])
    assert adopted["changed"] is True and zone.lab.query(f"{zone.label('www')}.{ZONE}") == ["192.0.2.1"]
    assert zone.run(zone.record("www", "A", "192.0.2.1"))["changed"] is False


def test_names_of_other_members_and_deployments(zone: Zone) -> None:
    mine = zone.record("s", "A", "192.0.2.1")
    zone.run(mine)
    with pytest.raises(PlanRefused, match="marked for 'sunflower', not 'rosa'"):
        zone.run(mine, member="rosa")
    with pytest.raises(PlanRefused, match=f"deployment '{zone.tag}', not 'other{zone.tag}'"):
        zone.run(mine, deployment=f"other{zone.tag}")
    assert zone.run(member="rosa")["changed"] is False, "pruning stays within the member"
    assert zone.run(deployment=f"other{zone.tag}")["changed"] is False
    assert zone.run(mine)["changed"] is False


def test_brake_on_deletions(zone: Zone) -> None:
    records = [zone.record(f"n{number}", "A", "192.0.2.1") for number in range(10)]
    zone.run(*records)
    before = zone.content()
    with pytest.raises(PlanRefused, match=r"remove 10 of the 10 names .* more than the 3"):
        zone.run()
    assert zone.content() == before
    assert zone.run(*records[3:])["changed"] is True
    assert zone.run(max_delete_share=1.0)["changed"] is True


def test_two_runs_at_once_both_succeed(zone: Zone) -> None:
    outcomes: list[Any] = []

    def work(member: str) -> None:
        records = [zone.record(f"{member}{number}", "A", "192.0.2.1") for number in range(20)]
        try:
            outcomes.append(zone.run(*records, member=member)["changed"])
        except CoopError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(f"m{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 5
    assert len(zone.content()) == 5 * 20 * 2


def test_a_zone_changed_meanwhile_is_planned_again(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody takes the name between our reading and our update: the server refuses, and the new plan sees the stranger."""
    from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import Server

    observe = Server.observe
    interventions = iter([f"add {zone.label('s')} 60 A 192.0.2.99"])

    def then_somebody(server: Server) -> Any:
        snapshot = observe(server)
        line = next(interventions, None)
        if line:
            zone.by_hand(line)
        return snapshot

    monkeypatch.setattr(Server, "observe", then_somebody)
    with pytest.raises(PlanRefused, match="carries no mark of ours"):
        zone.run(zone.record("s", "A", "192.0.2.1"))
    assert zone.content() == [f"{zone.label('s')}.{ZONE}. 60 IN A 192.0.2.99"]


def test_drift_meanwhile_is_repaired_in_the_second_plan(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.meet.coop.plugins.module_utils._dns.rfc2136 import Server

    zone.run(zone.record("s", "A", "192.0.2.1"))
    observe = Server.observe
    interventions = iter([f"add {zone.label('s')} 60 A 192.0.2.98", f"add {zone.label('s')} 60 A 192.0.2.99"])

    def then_somebody(server: Server) -> Any:
        snapshot = observe(server)
        line = next(interventions, None)
        if line:
            zone.by_hand(line)
        return snapshot

    monkeypatch.setattr(Server, "observe", then_somebody)
    assert zone.run(zone.record("s", "A", "192.0.2.5"))["changed"] is True
    assert zone.lab.query(f"{zone.label('s')}.{ZONE}") == ["192.0.2.5"]


def test_update_without_an_answer_is_looked_up(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server applied the update, but its answer was lost: the zone itself tells."""
    real = dns.query.tcp

    def deaf(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise EOFError

    monkeypatch.setattr(dns.query, "tcp", deaf)
    assert zone.run(zone.record("s", "A", "192.0.2.1"))["changed"] is True
    assert zone.lab.query(f"{zone.label('s')}.{ZONE}") == ["192.0.2.1"]


LABELS = st.sampled_from(["a", "b", "c", "x.a", "*.d"])
VALUES = {
    "A": ["192.0.2.1", "192.0.2.2"],
    "AAAA": ["::1"],
    "CNAME": ["h.example.org"],
    "MX": ["5 m.example.org"],
    "TXT": ["one", "two " * 80],
}
CHOICES = st.lists(
    st.tuples(LABELS, st.sampled_from(sorted(VALUES))).flatmap(
        lambda key: st.tuples(st.just(key), st.lists(st.sampled_from(VALUES[key[1]]), min_size=1, unique=True))
    ),
    max_size=6,
    unique_by=lambda choice: choice[0],
)
RANDOM = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RANDOM
@given(CHOICES)
def test_random_plans_leave_strangers_alone(zone: Zone, choices: list[tuple[tuple[str, str], list[str]]]) -> None:
    """One zone, one plan after another, with the server as the judge."""
    foreign = [f"{zone.label('b')}.{ZONE}. 60 IN TXT \"by hand\"", f"{zone.label('c')}.{ZONE}. 60 IN A 192.0.2.77"]
    present = zone.content()
    if not set(foreign) <= set(present):
        zone.by_hand(f'add {zone.label("b")} 60 TXT "by hand"', f"add {zone.label('c')} 60 A 192.0.2.77")
        present = zone.content()
    records = [zone.record(name, rtype, *values) for (name, rtype), values in choices]
    try:
        foretold = zone.run(*records, check=True, max_delete_share=1.0)
        assert zone.content() == present
        real = zone.run(*records, max_delete_share=1.0)
    except PlanRefused:
        assert zone.content() == present
        return
    assert (real["changed"], real["diff"]) == (foretold["changed"], foretold["diff"])
    assert zone.run(*records, max_delete_share=1.0)["changed"] is False
    after = [line for line in zone.content() if not line.startswith("_coop.")]
    assert set(foreign) <= set(after)
    assert len(after) == len(foreign) + sum(len(values) for _key, values in choices)


def another_secret(secret: str) -> str:
    raw = bytearray(base64.b64decode(secret))
    raw[0] ^= 1
    return base64.b64encode(bytes(raw)).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda zone: {"tsig": {**zone.tsig, "secret": another_secret(zone.tsig["secret"])}}, "secret is wrong"),
        (lambda zone: {"tsig": {**zone.tsig, "name": "nobody."}}, "does not accept TSIG key 'nobody.'"),
        (lambda zone: {"tsig": {**zone.tsig, "algorithm": "hmac-sha512"}}, "algorithm or permission is wrong"),
        (lambda zone: {"tsig": None}, "without a TSIG key"),
        (lambda zone: {"zone": "example.test"}, "not authoritative"),
        (lambda zone: {"port": 1}, "is the server running"),
        (lambda zone: {"server": "no-such-server.invalid"}, "can't be resolved"),
    ],
)
def test_server_faults_get_one_line_and_no_secret(zone: Zone, change: Callable[[Zone], dict[str, Any]], message: str) -> None:
    with pytest.raises(CoopError) as caught:
        zone.run(zone.record("s", "A", "192.0.2.1"), **change(zone))
    text = str(caught.value)
    assert message in text and "\n" not in text and zone.tsig["secret"] not in text
    assert zone.content() == []


def test_server_that_says_nothing(zone: Zone) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(CoopError, match=r"gave no answer within 1 s"):
        zone.run(zone.record("s", "A", "192.0.2.1"), server="127.0.0.1", port=mute.getsockname()[1], timeout=1)


def test_the_key_never_shows(zone: Zone) -> None:
    for tsig in (zone.tsig, {**zone.tsig, "name": "nobody."}):
        result = zone.play(zone.record("s", "A", "192.0.2.1"), tsig=tsig)
        assert zone.tsig["secret"] not in str(result)


def test_stopped_server_is_named_and_the_next_run_heals(zone: Zone) -> None:
    zone.lab.exec("services", ["systemctl", "stop", "knot"])
    try:
        result = zone.play(zone.record("s", "A", "192.0.2.1"))
    finally:
        zone.lab.exec("services", ["systemctl", "start", "knot"])
        zone.lab.wait_for("services", f"kdig +short +timeout=2 @{zone.lab.dns_server} {ZONE} SOA | grep -q .", 20)
    assert result["failed"] and "refuses the connection: is the server running?" in result["msg"] and "\n" not in result["msg"]
    assert zone.play(zone.record("s", "A", "192.0.2.1"))["changed"] is True


def test_module_file_serves_where_the_action_plugin_is_not_used(zone: Zone) -> None:
    """The module of the same name, run as ansible would run it on a host."""
    import json
    import subprocess
    import sys

    options = {**zone.options(zone.record("s", "A", "192.0.2.1")), "_ansible_check_mode": True, "_ansible_diff": True}
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.meet.coop.plugins.modules.dns_zone"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": options}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["changed"] is True and zone.tsig["secret"] not in done.stdout, done
