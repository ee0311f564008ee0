# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member's own names: each fault is seen and told with the record to create, nobody is held back, and names move."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.resolver import validating_resolver

from .conftest import Play

INSTANCE, OWN, OURS, ZONE = "rosa", "meet.rosa.test", "rosa.meet.test", "rosa.test"
PROOF = "_coop-verify.meet"
ROSA = r"(\n  rosa:\n(?:    .*\n)*?    domains: )\[meet\.rosa\.test\]\n"


def answer(lab: Any, name: str, path: str = "/") -> tuple[int, str]:
    """Status and Location of a name, asked at the container host with the lab's authorities."""
    context = ssl.create_default_context(cafile=lab.ca_file)
    connection = http.client.HTTPSConnection(name, timeout=20)
    connection.sock = context.wrap_socket(socket.create_connection((lab.ip("host1"), 443), timeout=20), server_hostname=name)
    connection.request("GET", path, headers={"Host": name, "Accept": "text/html"})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("Location", "")


def served(lab: Any, name: str) -> bool:
    try:
        return answer(lab, name)[0] == 200
    except OSError:
        return False


def hostname(lab: Any) -> str:
    """By what name Greenlight knows itself."""
    shown = lab.exec("host1", ["docker", "exec", f"greenlight-{INSTANCE}", "printenv", "URL_HOST"])
    return str(shown.stdout.strip())


@contextlib.contextmanager
def records(lab: Any, broken: list[str], mended: list[str]) -> Iterator[None]:
    lab.update(ZONE, *broken)
    try:
        yield
    finally:
        lab.update(ZONE, *mended)


@contextlib.contextmanager
def port_80_closed(lab: Any) -> Iterator[None]:
    rule = ["INPUT", "-p", "tcp", "--dport", "80", "-j", "REJECT"]
    assert lab.exec("host1", ["iptables", "-I", *rule]).returncode == 0
    try:
        yield
    finally:
        lab.exec("host1", ["iptables", "-D", *rule])


Fault = tuple[Callable[[Any], contextlib.AbstractContextManager[Any]], str]
FAULTS: dict[str, Fault] = {
    "wrong_target": (
        lambda lab: records(lab, ["add meet 5 AAAA 2001:db8::99"], ["del meet AAAA"]),
        rf"2001:db8::99 is not ours.*create.*{OWN}\. CNAME {OURS}\..*remove the record with 2001:db8::99",
    ),
    "caa": (
        lambda lab: records(lab, ['add @ 5 CAA 0 issue "letsencrypt.org"'], ["del @ CAA"]),
        rf'only letsencrypt.org may issue.*create.*{ZONE}\. CAA 0 issue "pebble.lab.test"',
    ),
    "unverified": (
        lambda lab: records(lab, [f"del {PROOF} TXT"], [f'add {PROOF} 5 TXT "coop-verify=meet/rosa"']),
        rf'create.*_coop-verify\.{OWN}\. TXT "coop-verify=meet/rosa"',
    ),
    "conflict": (
        lambda lab: records(
            lab,
            [f"del {PROOF} TXT", f'add {PROOF} 5 TXT "coop-verify=meet/cafe"'],
            [f"del {PROOF} TXT", f'add {PROOF} 5 TXT "coop-verify=meet/rosa"'],
        ),
        rf'is for meet/cafe, not for meet/rosa.*_coop-verify\.{OWN}\. TXT "coop-verify=meet/rosa"',
    ),
    "unreachable": (port_80_closed, r"does not answer on port 80.*let port 80 \(and 443\) of meet.rosa.test through"),
    "dnssec": (validating_resolver, rf"DNSSEC signatures of {ZONE} are broken.*DS record"),
}


@pytest.mark.parametrize("status", ["ready", *FAULTS])
def test_verification_is_red_for_each_fault_and_names_the_record(
    onboarded: Play, lab: Any, play: Callable[..., Play], receipts: Callable[[str], dict[str, Any]], status: str
) -> None:
    only = ["-l", INSTANCE, "-e", json.dumps({"verify_checks": ["domains"]})]
    make, said = FAULTS.get(status, (lambda _lab: contextlib.nullcontext(), "is ready"))
    with make(lab) as port:
        outcome = play("verify.yml", *only, *(["-e", f"instance_resolver_port={port}"] if port else []))
    text = " ".join(outcome.output.split())
    assert (outcome.failed == {INSTANCE}) == (status != "ready"), outcome.output[-4000:]
    (finding,) = receipts(INSTANCE)["domains"]
    assert finding["status"] == status, finding
    assert re.search(said, text), text[-3000:]
    if status != "ready":
        assert f"{OWN} is not ready ({status})" in text


@pytest.mark.parametrize("status", ["unreachable", "caa"])
def test_what_may_pass_moves_nothing(onboarded: Play, lab: Any, play: Callable[..., Play], status: str) -> None:
    make, _said = FAULTS[status]
    with make(lab):
        outcome = play("services.yml", "-l", INSTANCE)
    assert outcome.code == 0 and outcome.changed == {}, outcome.output[-4000:]
    assert f"{OWN} is not ready ({status}), and is served as before" in " ".join(outcome.output.split())


def test_a_bad_own_name_is_served_under_ours_until_it_is_mended(
    onboarded: Play, lab: Any, play: Callable[..., Play], receipts: Callable[[str], dict[str, Any]]
) -> None:
    """In check mode as in the run; the others notice nothing, and the welcome page says what to forward."""
    with records(lab, ["del meet A", "add meet 5 A 192.0.2.99"], ["del meet A", f"add meet 5 A {lab.ip('host1')}"]):
        foretold = play("services.yml", "--check", "--diff")
        outcome = play("onboard.yml")
        assert outcome.failed == {INSTANCE}, outcome.output[-4000:]
        assert foretold.code == 0 and set(foretold.changed) == {INSTANCE}, foretold.recap
        assert outcome.changed[INSTANCE] == foretold.changed[INSTANCE] + 1, "container, settings, route, and the welcome page"
        assert hostname(lab) == OURS and served(lab, OURS) and not served(lab, OWN)
        receipt = receipts(INSTANCE)
        assert receipt["hostname"] == OURS and receipt["ok"] is False
        assert [check["check"] for check in receipt["checks"] if check["result"] == "failed"] == ["domains"], receipt
        page = (lab.state / "welcome" / f"{INSTANCE}.html").read_text()
        assert f"https://{OURS}/" in page and f"create: <code>{OWN}. CNAME {OURS}.</code>" in page
        assert "remove: <code>meet.rosa.test. A 192.0.2.99</code>" in page
        again = play("services.yml")
        assert again.code == 0 and again.changed == {}, again.output[-4000:]
    foretold = play("services.yml", "--check")
    outcome = play("services.yml")
    assert outcome.code == 0 and outcome.changed == foretold.changed and set(outcome.changed) == {INSTANCE}, (outcome.recap, foretold.recap)
    assert hostname(lab) == OWN and served(lab, OWN)
    assert play("verify.yml", "-l", INSTANCE).code == 0


def test_an_own_name_moves_and_the_old_one_leads_to_it(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    """By a CNAME to ours, which needs no further record; the old names redirect for as long as they are written down."""
    moved = other_inventory(
        lambda text: re.sub(ROSA, rf"\1[neu.rosa.test]\n    former_domains: [{OWN}, roses.meet.test]\n", text)
    )
    with records(lab, [f"add neu 5 CNAME {OURS}."], ["del neu CNAME"]):
        try:
            for playbook in ("services.yml", "verify.yml"):
                outcome = play(playbook, "-l", INSTANCE, inventory=moved)
                assert outcome.code == 0, outcome.output[-4000:]
            assert hostname(lab) == "neu.rosa.test" and served(lab, "neu.rosa.test")
            for old in (OWN, OURS, "roses.meet.test"):
                assert answer(lab, old, "/rooms?a=b") == (308, "https://neu.rosa.test/rooms?a=b")
            assert lab.query("roses.meet.test") == [lab.ip("host1")]
        finally:
            outcome = play("services.yml", "-l", INSTANCE)
    assert outcome.code == 0 and hostname(lab) == OWN, outcome.output[-3000:]
    assert lab.query("roses.meet.test") == [] and lab.query("_coop.roses.meet.test", "TXT") == []


def test_our_zone_kept_through_a_provider(onboarded: Play, lab: Any, play: Callable[..., Play], tmp_path: pathlib.Path) -> None:
    """octoDNS as the door to the same zone: the same records and marks, so nothing changes until something is missing; and back."""
    options = {"host": lab.dns_server, "key_name": "coop.", "key_secret": "env/COOP_TSIG", "key_algorithm": "hmac-sha256"}
    given = {
        "instance_dns_provider": {"class": "octodns_bind.Rfc2136Provider", "options": options},
        "instance_dns_provider_secrets": {"COOP_TSIG": lab.secrets["tsig"]["coop"]},
    }
    (tmp_path / "provider.json").write_text(json.dumps(given))
    provider = ["-e", f"@{tmp_path}/provider.json"]
    outcome = play("services.yml", "-l", "cafe", *provider)
    assert outcome.code == 0 and outcome.changed == {}, outcome.output[-4000:]
    lab.update("meet.test", "del cafe A")
    foretold = play("services.yml", "-l", "cafe", *provider, "--check", "--diff")
    outcome = play("services.yml", "-l", "cafe", *provider, "-vvv")
    assert outcome.code == 0 and outcome.changed == foretold.changed == {"cafe": 1}, (foretold.recap, outcome.output[-4000:])
    assert lab.query("cafe.meet.test") == [lab.ip("host1")]
    assert given["instance_dns_provider_secrets"]["COOP_TSIG"] not in outcome.output
    assert play("services.yml", "-l", "cafe").changed == {}


def test_a_leaver_is_told_what_to_drop(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    left = other_inventory(lambda text: re.sub(ROSA, r"\1[meet.rosa.test]\n    state: absent\n", text))
    try:
        outcome = play("onboard.yml", "-l", INSTANCE, inventory=left)
        text = " ".join(outcome.output.split())
        assert outcome.code == 0, outcome.output[-4000:]
        page = (lab.state / "welcome" / f"{INSTANCE}.html").read_text()
        assert "Goodbye" in page and f"remove: <code>{OWN}. A {lab.ip('host1')}</code>" in page
        assert f"Please remove where the domain is kept, since they still lead to us: {OWN}. A {lab.ip('host1')}" in text, text[-3000:]
        assert f"_coop-verify.{OWN}" in text
        assert lab.query(OURS) == [] and lab.query("_coop.rosa.meet.test", "TXT") == []
        assert not served(lab, OWN)
        again = play("onboard.yml", "-l", INSTANCE, inventory=left)
        assert again.code == 0 and again.changed == {}, again.output[-3000:]
    finally:
        back = play("onboard.yml", "-l", INSTANCE)
    assert back.code == 0, back.output[-4000:]
