# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""domain_check: each of the seven results made for real, with Knot as authority, a validating resolver and Caddy on port 80."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.edge import Edge
from tests.support.lab import RunningLab
from tests.support.resolver import validating_resolver

RunModule = Callable[..., dict[str, Any]]
ZONE = "rosa.test"


class Names:
    """Names of a member's in the zone of its own, made and removed again; and the options a service would give."""

    def __init__(self, lab: RunningLab, run_module: RunModule) -> None:
        self.lab = lab
        self._run_module = run_module
        self.ours = lab.ip("host1")
        self.target = "sunflower.meet.test"
        self._made: set[tuple[str, str]] = set()
        self.token = str(self._run_module("host1", "meet.coop.caddy_info", {"id": "none"})["token"])

    def label(self) -> str:
        return f"c{secrets.token_hex(4)}"

    def add(self, label: str, kind: str, value: str) -> None:
        self.lab.update(ZONE, f"add {label} 5 {kind} {value}")
        self._made.add((label, kind))

    def remove(self, label: str, kind: str) -> None:
        self.lab.update(ZONE, f"del {label} {kind}")

    def verified(self, label: str, whose: str = "meet/sunflower") -> None:
        self.add(f"_coop-verify.{label}", "TXT", f'"coop-verify={whose}"')

    def good(self) -> str:
        label = self.label()
        self.add(label, "A", self.ours)
        self.verified(label)
        return label

    def options(self, *labels: str, **more: Any) -> dict[str, Any]:
        return {
            "names": [f"{label}.{ZONE}" for label in labels], "addresses": [self.ours], "target": self.target, "ours": ["meet.test"],
            "verification": "meet/sunflower", "edge_token": self.token, "caa_identities": ["pebble.lab.test"],
            "resolver": self.lab.resolver, "timeout": 2, **more,
        }  # fmt: skip

    def run(self, *labels: str, **more: Any) -> dict[str, Any]:
        result = self._run_module("localhost", "meet.coop.domain_check", self.options(*labels, **more))
        assert not result.get("failed"), result
        assert result["changed"] is False
        return result

    def one(self, label: str, **more: Any) -> dict[str, Any]:
        (finding,) = self.run(label, **more)["results"]
        return dict(finding)

    def clean(self) -> None:
        for label, kind in self._made:
            self.remove(label, kind)


@pytest.fixture(scope="module")
def names(lab: RunningLab, run_module: RunModule) -> Iterator[Names]:
    Edge(lab).role()
    found = Names(lab, run_module)
    yield found
    found.clean()


@pytest.fixture(scope="module")
def validating(lab: RunningLab) -> Iterator[int]:
    """The port of a resolver that validates and takes rosa.test for badly signed."""
    with validating_resolver(lab) as port:
        yield port


def test_ready_by_address_and_record(names: Names) -> None:
    label = names.good()
    finding = names.one(label)
    assert (finding["status"], finding["addresses"], finding["reason"], finding["advice"]) == ("ready", [names.ours], "", ""), finding


def test_ready_by_a_cname_to_the_service_itself(names: Names) -> None:
    """It names the service, so it shows control too; and where our own name leads is our own doing."""
    label = names.label()
    names.add(label, "CNAME", f"{names.target}.")
    finding = names.one(label)
    assert (finding["status"], finding["chain"]) == ("ready", [names.target]), finding
    assert names.one(label, control="txt")["status"] == "unverified"


def test_ready_through_another_zone_and_in_unicode(names: Names) -> None:
    label = names.label()
    names.add(label, "CNAME", "host1.lab.test.")
    names.verified(label)
    finding = names.one(label)
    assert (finding["status"], finding["chain"], finding["addresses"]) == ("ready", ["host1.lab.test"], [names.ours]), finding
    wide = f"blüte-{names.label()}"
    ascii_label = wide.encode("idna").decode()
    names.add(ascii_label, "A", names.ours)
    names.verified(ascii_label)
    result = names.run(wide)
    assert result["ready"] == [f"{ascii_label}.{ZONE}"], result


def test_wrong_target(names: Names) -> None:
    stale, gone, empty, missing, loop = (names.label() for _number in range(5))
    names.add(stale, "A", names.ours)
    names.add(stale, "AAAA", "2001:db8::99")
    names.add(gone, "CNAME", f"nowhere.{ZONE}.")
    names.add(empty, "TXT", '"x"')
    names.add(loop, "CNAME", f"{loop}.{ZONE}.")
    found = {entry["name"].split(".")[0]: entry for entry in names.run(stale, gone, empty, missing, loop)["results"]}
    assert {entry["status"] for entry in found.values()} == {"wrong_target"}, found
    assert "2001:db8::99 is not ours" in found[stale]["reason"]
    assert found[stale]["remove"] == [f"{stale}.{ZONE}. AAAA 2001:db8::99"]
    assert "remove the record with 2001:db8::99" in found[stale]["advice"]
    assert "does not exist" in found[gone]["reason"] and f"points to nowhere.{ZONE}" in found[gone]["advice"]
    assert "neither an A nor an AAAA" in found[empty]["reason"]
    for label in (stale, gone, empty, missing, loop):
        assert f"{label}.{ZONE}. CNAME {names.target}." in found[label]["create"]
        assert f"{label}.{ZONE}. A {names.ours}" in found[label]["advice"]


def test_the_authority_is_asked_past_the_resolvers_cache(names: Names, lab: RunningLab) -> None:
    """A record mended a moment ago counts, though a resolver still has the old one."""
    label = names.label()
    lab.update(ZONE, f"add {label} 300 A 192.0.2.7")
    names.verified(label)
    assert names.one(label)["status"] == "wrong_target"
    lab.update(ZONE, f"del {label} A", f"add {label} 300 A {names.ours}")
    assert names.one(label)["status"] == "ready"
    names.remove(label, "A")


@pytest.mark.parametrize(
    ("records", "status", "said"),
    [
        (['0 issue "pebble.lab.test"'], "ready", ""),
        (['0 issue "letsencrypt.org"'], "caa", "only letsencrypt.org may issue"),
        (['0 issue ";"'], "caa", "nobody may issue"),
        (['0 issuewild ";"'], "ready", ""),
        (['0 iodef "mailto:a@rosa.test"'], "ready", ""),
        (['0 issue "letsencrypt.org"', '0 issue "pebble.lab.test"'], "ready", ""),
        (['0 issue "pebble.lab.test; validationmethods=dns-01"'], "caa", "only validation by dns-01"),
        (['0 issue "pebble.lab.test; validationmethods=http-01,dns-01"'], "ready", ""),
        (['0 issue "pebble.lab.test; accounturi=https://ca.test/1"'], "ready", ""),
        (['0 issue "pebble.lab.test; accounturi=https://ca.test/2"'], "caa", "only the account https://ca.test/2"),
        (['128 futurething "x"'], "caa", "critical property 'futurething'"),
    ],
)
def test_caa(names: Names, records: list[str], status: str, said: str) -> None:
    label = names.good()
    for record in records:
        names.add(label, "CAA", record)
    finding = names.one(label, account_uri="https://ca.test/1")
    assert finding["status"] == status and said in finding["reason"], finding
    if status == "caa":
        account = "; accounturi=https://ca.test/1" if any("accounturi" in record for record in records) else ""
        assert f'{label}.{ZONE}. CAA 0 issue "pebble.lab.test{account}"' in finding["create"]


def test_caa_of_the_domain_above_and_of_a_wildcard(names: Names, lab: RunningLab) -> None:
    parent = names.label()
    names.add(parent, "CAA", '0 issue "letsencrypt.org"')
    names.add(parent, "CAA", '0 issuewild "pebble.lab.test"')
    label = f"meet.{parent}"
    names.add(label, "A", names.ours)
    names.verified(label)
    finding = names.one(label)
    assert finding["status"] == "caa" and f"the CAA records of {parent}.{ZONE} do not" in finding["reason"], finding
    wild = {"checks": ["caa", "dnssec"], "validation_methods": ["dns-01"]}
    assert names.run(f"*.{parent}", **wild)["ready"] == [f"*.{parent}.{ZONE}"]
    assert names.one(f"*.{parent}", **wild, caa_identities=["letsencrypt.org"])["status"] == "caa"


def test_unreachable_when_something_else_answers_on_port_80(names: Names, lab: RunningLab) -> None:
    """The name leads to us, and the web server there is not our edge; then there is none at all."""
    label = names.good()
    assert names.one(label, edge_token="of-another-edge")["status"] == "unreachable"
    edge = lab.ip("pool")
    names.lab.update(ZONE, f"del {label} A", f"add {label} 5 A {edge}")
    lab.exec("pool", ["systemctl", "stop", "caddy"])
    try:
        finding = names.one(label, addresses=[edge])
    finally:
        lab.exec("pool", ["sh", "-c", "systemctl is-enabled caddy && systemctl start caddy"])
    assert finding["status"] == "unreachable" and f"{edge} does not answer on port 80" in finding["reason"], finding
    assert "let port 80 (and 443)" in finding["advice"]


def test_unreachable_when_the_name_servers_say_nothing(names: Names) -> None:
    label = names.label()
    names.add(label, "NS", "node1.lab.test.")
    finding = names.one(f"meet.{label}", timeout=1)
    assert finding["status"] == "unreachable", finding
    names.remove(label, "NS")


def test_dnssec(names: Names, validating: int) -> None:
    label = names.good()
    finding = names.one(label, resolver_port=validating)
    assert finding["status"] == "dnssec", finding
    assert f"DNSSEC signatures of {ZONE} are broken" in finding["reason"] and "DS record" in finding["advice"]
    assert names.one(label)["status"] == "ready", "the same name through a resolver that has no such key"


def test_unverified(names: Names) -> None:
    label = names.label()
    names.add(label, "A", names.ours)
    finding = names.one(label)
    record = f'_coop-verify.{label}.{ZONE}. TXT "coop-verify=meet/sunflower"'
    assert finding["status"] == "unverified" and record in finding["create"] and record in finding["advice"], finding
    assert names.one(label, control="none")["status"] == "ready"


def test_conflict(names: Names) -> None:
    label = names.good()
    assert names.one(label, taken={f"{label}.{ZONE}": "the web site"})["reason"].endswith("already belongs to the web site")
    impossible = ["pool.meet.test", "meet.test", "co.uk", "github.io", "rosa", "*", "a..b", "-x.test", "10.0.0.1"]
    found = names.run(names=impossible)
    assert {entry["name"]: entry["status"] for entry in found["results"]} == dict.fromkeys(impossible, "conflict")
    reasons = {entry["name"]: entry["reason"] for entry in found["results"]}
    assert "is ours" in reasons["pool.meet.test"] and "public suffix" in reasons["co.uk"] and "not a whole host name" in reasons["rosa"]
    other = names.label()
    names.add(other, "A", names.ours)
    names.verified(other, "meet/rosa")
    finding = names.one(other)
    assert finding["status"] == "conflict" and "is for meet/rosa, not for meet/sunflower" in finding["reason"], finding


def test_one_bad_name_holds_back_nobody(names: Names) -> None:
    good, bad = names.good(), names.label()
    result = names.run(bad, good)
    assert (result["ready"], result["open"], result["not_ready"]) == ([f"{good}.{ZONE}"], [f"{good}.{ZONE}"], [f"{bad}.{ZONE}"])
    assert len(result["notes"]) == 1 and f"{bad}.{ZONE}. CNAME {names.target}." in result["notes"][0]


def test_what_passes_does_not_take_a_served_name_away(names: Names, validating: int) -> None:
    label = names.good()
    name = f"{label}.{ZONE}"
    for trouble in ({"resolver_port": validating}, {"edge_token": "x"}, {"caa_identities": ["letsencrypt.org"], "account_uri": ""}):
        assert names.run(label, served=[name], **trouble)["open"] == [name], trouble
    assert names.run(label, edge_token="x")["open"] == [], "one that was never served is not opened"
    names.lab.update(ZONE, f"del {label} A", f"add {label} 5 A 192.0.2.9")
    result = names.run(label, served=[name])
    assert (result["open"], result["results"][0]["status"]) == ([], "wrong_target")


def test_a_dead_resolver_takes_nothing_away(names: Names) -> None:
    label = names.good()
    result = names.run(label, resolver="127.0.0.1", resolver_port=1, timeout=1, served=[f"{label}.{ZONE}"])
    assert result["open"] == [f"{label}.{ZONE}"]
    assert result["results"][0]["status"] == "unreachable" and "the resolver 127.0.0.1 gives no answer" in result["results"][0]["reason"]


def test_new_names_wait_for_the_authoritys_limits(names: Names) -> None:
    labels = [names.good() for _number in range(3)]
    full = [f"{label}.{ZONE}" for label in labels]
    result = names.run(*labels, allowance=1, allowance_wait=90, served=full[2:])
    assert (result["open"], result["waiting"]) == ([full[0], full[2]], [full[1]])
    assert "a run in 2 min or later opens it" in result["notes"][0]


def test_failing_on_request_names_only_the_bad(names: Names) -> None:
    good, bad = names.good(), names.label()
    result = names._run_module("localhost", "meet.coop.domain_check", names.options(good, bad, fail=True))
    assert result["failed"] and f"{bad}.{ZONE} is not ready" in result["msg"] and f"{good}.{ZONE}" not in result["msg"]
