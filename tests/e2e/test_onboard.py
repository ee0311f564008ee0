# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job: from the membership file to verified meetings, on hosts that were bare before."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
from collections.abc import Callable
from typing import Any

import dns.message
import dns.query
import pytest

from tests.support.ansible import INVENTORY, ROOT, environment

from .conftest import Play

INSTANCES = ("sunflower", "sunflower-training", "rosa", "cafe")


# As lasting as the onboarding, so that whoever asks for both has the bare lab first.
@pytest.fixture(scope="session")
def bare_lab(lab: Any) -> Any:
    """A lab whose container host and pool have never been touched: made anew where they have."""
    left = {"host1": "/var/lib/meet-coop", "pool": "/etc/bbblb"}
    touched = [host for host, path in left.items() if lab.exec(host, ["test", "-e", path]).returncode == 0]
    if touched:
        lab.renew(*touched)
    return lab


def state_of(lab: Any) -> dict[str, str]:
    """What a play could change on the hosts: files, packages, accounts, active units."""
    script = (
        "find /etc /usr/local /opt /srv /root /var/lib -xdev -type f -printf '%p %T@ %s %m %u\\n' 2>/dev/null"
        " | grep -vE '^(/etc/(hosts|hostname|resolv.conf|mtab)|/root/.ansible/|/var/lib/(systemd|dbus|apt|private)/)' | sort;"
        " dpkg -l | sha256sum; cat /etc/passwd /etc/group | sha256sum;"
        " systemctl list-units --type=service --state=active --no-legend --plain | cut -d' ' -f1 | grep -v ^systemd- | sort"
    )
    return {host: lab.exec(host, ["sh", "-c", script]).stdout for host in ("host1", "pool")}


def zone(lab: Any) -> str:
    return str(lab.exec("services", ["sh", "-c", "knotc zone-read meet.test 2>/dev/null | sort"]).stdout)


def test_check_mode_on_an_empty_lab_lists_the_whole_plan_and_changes_nothing(bare_lab: Any, play: Callable[..., Play]) -> None:
    before, names = state_of(bare_lab), zone(bare_lab)
    outcome = play("onboard.yml", "--check", "--diff")
    assert outcome.code == 0, outcome.output[-6000:]
    assert set(INSTANCES) <= set(outcome.recap)
    for instance in INSTANCES:
        # Each link of the chain says that it would change something.
        assert outcome.recap[instance]["changed"] >= 7, outcome.output[-6000:]
    after = state_of(bare_lab)
    for host, lines in before.items():
        assert sorted(set(lines.splitlines()) ^ set(after[host].splitlines())) == []
    assert zone(bare_lab) == names


def test_onboarding_a_bare_lab_verifies_everything(
    bare_lab: Any, onboarded: Play, receipts: Callable[[str], dict[str, Any]]
) -> None:
    for instance in INSTANCES:
        receipt = receipts(instance)
        results = {check["check"]: check["result"] for check in receipt["checks"]}
        assert receipt["ok"] is True
        assert results == dict.fromkeys(
            ("domains", "name", "certificate", "page", "closed_doors", "sign_in", "rooms", "meeting", "cap", "mail"), "ok"
        ), receipt
    details = {instance: json.dumps(receipts(instance)) for instance in INSTANCES}
    assert "meet.rosa.test" in details["rosa"]
    assert receipts("sunflower")["limits"] != receipts("sunflower-training")["limits"]


def test_the_second_run_changes_nothing(onboarded: Play, play: Callable[..., Play]) -> None:
    outcome = play("onboard.yml")
    assert outcome.code == 0, outcome.output[-6000:]
    assert outcome.changed == {}, outcome.output[-6000:]


def test_check_mode_after_onboarding_predicts_nothing(onboarded: Play, play: Callable[..., Play]) -> None:
    outcome = play("site.yml", "--check", "--diff")
    assert outcome.code == 0, outcome.output[-6000:]
    assert outcome.changed == {}, outcome.output[-6000:]
    # Pages show what was verified, and check mode verifies nothing.
    outcome = play("onboard.yml", "--check", "--diff", "-l", "rosa")
    assert outcome.code == 0 and outcome.changed == {}, outcome.output[-6000:]


def test_limit_reaches_one_instance_only(onboarded: Play, play: Callable[..., Play]) -> None:
    outcome = play("onboard.yml", "-l", "sunflower")
    assert outcome.code == 0, outcome.output[-4000:]
    assert set(outcome.recap) - {"localhost"} == {"sunflower"}


def test_verification_leaves_nothing_behind(onboarded: Play, lab: Any) -> None:
    for instance in INSTANCES:
        database = "greenlight_" + instance.replace("-", "_")
        query = "SELECT (SELECT count(*) FROM users WHERE email LIKE 'verify%') + (SELECT count(*) FROM rooms WHERE name LIKE 'Verify%')"
        answer = lab.exec("host1", ["psql", "-U", "postgres", "-d", database, "-Atc", query])
        assert answer.stdout.strip() == "0", answer
    mails = lab.exec("services", ["sh", "-c", "find / -xdev -path '*Maildir/new/*' -type f -newermt '-1 day' | wc -l"])
    assert mails.stdout.strip() == "0"


def test_the_welcome_page_says_what_holds_and_no_secret(onboarded: Play, lab: Any, secrets_of_the_lab: set[str]) -> None:
    for instance in INSTANCES:
        page = (lab.state / "welcome" / f"{instance}.html").read_text()
        assert "works" in page and "does not work" not in page
        assert not [secret for secret in secrets_of_the_lab if secret in page]
    rosa = (lab.state / "welcome" / "rosa.html").read_text()
    assert "https://meet.rosa.test/" in rosa
    # The domain rosa sends in is its own: its mail records are to be created there, those of ours are published.
    for record in ("rosa.test.", "v=spf1 include:_spf.lab.test -all", "s1._domainkey.rosa.test.", "s1.dkim.lab.test.", "v=DMARC1; p=none"):
        assert f"<code>{record}</code>" in rosa
    assert "v=spf1" not in (lab.state / "welcome" / "sunflower-training.html").read_text()


def test_mail_records_of_a_sub_domain_of_ours_are_answered(onboarded: Play, lab: Any) -> None:
    def answers(name: str, rtype: str) -> list[str]:
        answer = dns.query.tcp(dns.message.make_query(name, rtype), lab.dns_server, timeout=10)
        return [b"".join(rdata.strings).decode() if rtype == "TXT" else rdata.to_text() for rrset in answer.answer for rdata in rrset]

    assert answers("sunflower.meet.test", "TXT") == ["v=spf1 include:_spf.lab.test ~all"]
    assert answers("s1._domainkey.sunflower.meet.test", "CNAME") == ["s1.dkim.lab.test."]
    (key,) = answers("s2._domainkey.sunflower.meet.test", "TXT")
    assert len(key) > 255 and key.startswith("v=DKIM1; k=rsa; p=MIIB") and key.endswith("IDAQAB")
    assert answers("_dmarc.sunflower.meet.test", "TXT") == ["v=DMARC1; p=quarantine"]
    (mark,) = answers("_coop._dmarc.sunflower.meet.test", "TXT")
    assert "member=sunflower," in mark


def test_mail_records_go_when_they_are_no_longer_stated_or_the_instance_leaves(
    onboarded: Play,
    lab: Any,
    play: Callable[..., Play],
    other_inventory: Callable[[Callable[[str], str]], pathlib.Path],
    tmp_path: pathlib.Path,
) -> None:
    """The role's part for the zone alone: a foreign SPF record stops it with nothing half done, a leaver takes all with it."""
    only_zone = tmp_path / "zone.yml"
    only_zone.write_text(
        "- hosts: sunflower\n  gather_facts: false\n  become: true\n  tasks:\n"
        "    - ansible.builtin.include_role: {name: meet.coop.instance, tasks_from: zone.yml}\n"
    )

    def leave(text: str) -> str:
        text = re.sub(r"\n      dns:\n        spf: include:_spf.lab.test\n(        .*\n)*", "\n", text)
        return text.replace("\n    title: Sunflower meetings\n", "\n    title: Sunflower meetings\n    state: absent\n")

    before = zone(lab)
    gone = other_inventory(leave)
    try:
        foretold = play(str(only_zone), "--check", inventory=gone)
        assert zone(lab) == before
        outcome = play(str(only_zone), inventory=gone)
        assert outcome.code == 0 and foretold.changed == outcome.changed == {"sunflower": 1}, outcome.output[-3000:]
        assert re.findall(r".*[. ]sunflower\.meet\.test\..*", zone(lab)) == []
        lab.update("meet.test", 'add sunflower 300 TXT "v=spf1 -all"')
        outcome = play(str(only_zone))
        assert outcome.failed == {"sunflower"}
        assert "sunflower TXT exists" in " ".join(outcome.output.split()) and "carries no mark of ours" in " ".join(outcome.output.split())
        assert len(re.findall(r".*[. ]sunflower\.meet\.test\..*", zone(lab))) == 1
    finally:
        lab.update("meet.test", "del sunflower TXT")
        back = play(str(only_zone))
    assert back.code == 0, back.output[-3000:]
    without_soa = [[line for line in text.splitlines() if " SOA " not in line] for text in (before, zone(lab))]
    assert without_soa[0] == without_soa[1]
    assert play(str(only_zone)).changed == {}


@pytest.fixture(scope="module")
def secrets_of_the_lab(lab: Any, onboarded: Play) -> set[str]:
    """Every secret that was made or given: of the instances, of the pool's nodes and engine, TSIG, mail accounts."""
    found: set[str] = set()
    for instance in INSTANCES:
        document = lab.exec("host1", ["cat", f"/var/lib/meet-coop/instances/{instance}/secrets.json"]).stdout
        found |= set(re.findall(r'"([A-Za-z0-9+/=]{24,})"', document))
    given = (lab.state / "secrets.yml").read_text()
    found |= {value for value in re.findall(r"[A-Za-z0-9+/=_-]{16,}", given) if not value.islower() and not value.startswith("vault_")}
    assert len(found) >= 4 * len(INSTANCES)
    return found


def test_no_secret_in_the_output_of_a_run_that_changes_and_shows_everything(
    lab: Any, onboarded: Play, play: Callable[..., Play], secrets_of_the_lab: set[str]
) -> None:
    """A password changed by hand makes the run repair it, with the loudest output there is."""
    lab.exec("host1", ["psql", "-U", "postgres", "-c", "ALTER ROLE greenlight_cafe PASSWORD 'changed-by-hand-1234'"])
    lab.exec("host1", ["docker", "rm", "-f", "greenlight-cafe"])
    outcome = play("services.yml", "-l", "cafe", "-vvv", "--diff")
    assert outcome.code == 0, outcome.output[-6000:]
    assert outcome.changed["cafe"] >= 2
    leaked = [secret for secret in secrets_of_the_lab if secret in outcome.output]
    assert leaked == []


def test_no_secret_in_process_lists_or_readable_files(lab: Any, onboarded: Play, secrets_of_the_lab: set[str]) -> None:
    for host in ("host1", "pool"):
        processes = lab.exec(host, ["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).stdout
        assert [secret for secret in secrets_of_the_lab if secret in processes] == []
        patterns = "\n".join(sorted(secrets_of_the_lab))
        readable = lab.exec(
            host,
            ["sh", "-c", "find /etc /var/lib/meet-coop /var/lib/caddy /run /tmp /home /opt -xdev -type f -perm -o=r -print0 2>/dev/null"
             " | xargs -0 -r grep -lFf /dev/stdin 2>/dev/null; true"],
            input=patterns,
        )  # fmt: skip
        assert readable.stdout.strip() == "", readable.stdout


LISTENING = {
    "host1": {("tcp", "*", 80), ("tcp", "*", 443), ("tcp", "10.213.0.1", 5432)},
    "pool": {("tcp", "*", 80), ("tcp", "*", 443)},
    "node1": {("tcp", "0.0.0.0", 443)},
}
"""Transport, address and port of what others can reach. 10.213.0.1 is the bridge that containers reach PostgreSQL by."""


@pytest.mark.parametrize("host", LISTENING)
def test_only_what_is_meant_to_be_reached_listens(lab: Any, onboarded: Play, host: str) -> None:
    found = set()
    for line in lab.exec(host, ["ss", "-Hltun"]).stdout.splitlines():
        transport, _state, _received, _sent, local, *_peer = line.split()
        address, _colon, port = local.rpartition(":")
        if not address.startswith(("127.", "[::1]")):
            found.add((transport, address.replace("[::]", "*"), int(port)))
    assert found == LISTENING[host]


def test_playbooks_are_found_by_their_collection_name(onboarded: Play) -> None:
    done = subprocess.run(
        ["ansible-playbook", "-i", str(INVENTORY), "meet.coop.site", "--list-hosts"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sunflower-training" in done.stdout


def test_receipts_are_json_beside_the_welcome_pages(onboarded: Play, lab: Any) -> None:
    folder = lab.state / "receipts"
    assert {path.stem for path in folder.glob("*.json")} >= set(INSTANCES)
