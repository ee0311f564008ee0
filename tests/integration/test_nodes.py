# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are configured, patched and configured again while people meet, with nobody cut off; and the days when it goes wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bbb import disk
from tests.lab.config import NODES
from tests.support.ansible import INVENTORY, ROOT, environment, run_playbook
from tests.support.lab import RunningLab
from tests.support.people import People, Stream, all_in_service
from tests.support.pool import Pool, provide
from tests.support.roles import apply_role, recap

Module = Callable[..., dict[str, Any]]
UNFENCE = "systemctl disable -q --now meet-coop-bbb-firewall; rm -f /etc/systemd/system/meet-coop-bbb-firewall.service"
CA_FILE = "/etc/meet-coop/ca-bundle.pem"
DATE = "/usr/local/bin/date"
DOMAINS = {node: f"{node}.lab.test" for node in NODES}


@pytest.fixture(scope="module")
def pool(lab: RunningLab) -> Iterator[Pool]:
    found = provide(lab)
    for node in NODES:
        as_installed(found, node)
    all_in_service(found)
    yield found
    for node in NODES:
        as_installed(found, node)
        found.lab.exec(node, ["sh", "-c", UNFENCE])
    all_in_service(found)


@pytest.fixture(scope="module")
def people(pool: Pool, run_module: Module) -> Iterator[People]:
    with People.of(pool, run_module) as ours:
        yield ours


@pytest.fixture(autouse=True)
def nobody_left(pool: Pool) -> Iterator[None]:
    """What a test that failed has left behind is no meeting for the next to wait for."""
    yield
    for node in NODES:
        pool.control(node, "POST", "/drop")


def as_installed(pool: Pool, node: str) -> None:
    """The node's disk as its installer leaves it."""
    secret = pool.lab.secrets["bbb"][node]
    files = {**disk.PACKAGE, **disk.operator(secret, DOMAINS[node])}
    script = ["cd /etc/bigbluebutton", "rm -f *.yml turn-stun-servers.xml recording/*.yml bbb-conf/*", "rm -f /run/bbb-double-fails-*"]
    script += [f"cat > {path} <<'END'\n{text}END" for path, text in files.items()]
    script += ["chgrp bigbluebutton *.properties *.conf", "systemctl restart bigbluebutton.target"]
    done = pool.lab.exec(node, ["sh", "-e", "-s"], "\n".join(script))
    assert done.returncode == 0, done.stderr


def command(playbook: str, variables: dict[str, Any], *more: str) -> list[str]:
    given = {"node_maintenance_timeout": 60, "node_maintenance_hold_for": 3, **variables}
    return [sys.executable, "-m", "ansible", "playbook", "-i", str(INVENTORY / "hosts.yml"), "--diff", f"playbooks/{playbook}.yml",
            "-e", json.dumps(given), *more]  # fmt: skip


def play(playbook: str, variables: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    return run_playbook(command(playbook, variables, *more), cwd=ROOT, env=environment(), timeout=1200)  # fmt: skip


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Of each host, how much a run has changed."""
    return {host: int(number) for host, number in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)}


def text(pool: Pool, node: str, path: str = disk.WEB) -> str:
    done = pool.lab.exec(node, ["cat", path])
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(pool: Pool, node: str) -> str:
    return pool.lab.exec(node, ["systemctl", "show", "-P", "MainPID", "bbb-web"]).stdout.strip()


@pytest.mark.thorough
def test_three_nodes_are_configured_and_configured_again_with_nobody_cut_off(pool: Pool, people: People) -> None:
    since = {node: started(pool, node) for node in NODES}
    wish = {"bbb_node_web": {"defaultMaxUsers": 33}, "bbb_node_settings": {"webrtc_sfu": {"mediaThresholds": {"global": 500}}}}
    with Stream(people) as stream:
        done = play("nodes", wish)
        assert done.returncode == 0, done.stdout[-4000:]
    assert not stream.cut and len(stream.met) > 10, (stream.cut, stream.met)
    assert stream.least_in_service >= 2, "one node out at a time"
    for node in NODES:
        assert started(pool, node) != since[node]
        found = text(pool, node)
        assert "defaultMaxUsers=33\n" in found and "disableRecordingDefault=true\n" in found and "# Settings of this server" in found
        assert pool.lab.exec(node, ["nft", "list", "table", "inet", "meet_coop_bbb"]).stdout.count("policy drop") == 1
        assert '"bbb-";' in text(pool, node, "/etc/apt/apt.conf.d/51meet-coop-bbb-node")
    said = done.stdout + done.stderr
    assert not [secret for secret in pool.lab.secrets["bbb"].values() if secret in said]
    # What the node does with it: no meeting is recorded, and the default of users is the new one.
    meeting = people.meet(record="true")
    node = people.node_of(meeting)
    (seen,) = [one for one in meetings(pool, node) if one["meetingID"].startswith(meeting)]
    assert seen["recording"] is False
    people.end(meeting)

    again = play("nodes", wish)
    assert again.returncode == 0 and set(changed(again).values()) == {0}, again.stdout[-3000:]
    assert "Wait until nobody meets" not in again.stdout, "nodes that are in order are not touched"


def meetings(pool: Pool, node: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pool.control(node, "GET", "/meetings")
    return found


@pytest.mark.thorough
def test_an_upgrade_that_drops_a_setting_stops_before_any_node_is_touched(pool: Pool, people: People, tmp_path: Path) -> None:
    """Patched by maintain.yml on an empty node; the next configuration says what is gone, and nothing is done by halves."""
    upgrade = tmp_path / "upgrade.yml"
    new = disk.WEB_DEFAULTS.replace("defaultMaxUsers=0\n", "defaultMaxUsersPerMeeting=0\n")
    upgrade.write_text(json.dumps([
        {"name": "Upgrade", "ansible.builtin.copy": {"content": new, "dest": disk.WEB_PACKAGE, "mode": "0644"}},
        {"name": "Say so", "ansible.builtin.copy": {
            "content": "BIGBLUEBUTTON_RELEASE=3.0.35\n", "dest": disk.RELEASE_FILE, "mode": "0644"}},
        {"name": "Restart", "ansible.builtin.command": "bbb-conf --restart", "changed_when": True},
    ]))  # fmt: skip
    with Stream(people) as stream:
        patched = play("maintain", {"node_maintenance_tasks": str(upgrade)}, "--limit", "node3")
        assert patched.returncode == 0, patched.stdout[-3000:]
        before, since = text(pool, "node3"), started(pool, "node3")
        refused = play("nodes", {"bbb_node_web": {"defaultMaxUsers": 40}}, "--limit", "node3")
    assert not stream.cut and stream.met
    assert refused.returncode and "web.defaultMaxUsers is no setting of BigBlueButton 3.0.35" in refused.stdout.replace("\n        ", " ")
    assert "did you mean defaultMaxUsersPerMeeting?" in refused.stdout.replace("\n        ", " ")
    assert (text(pool, "node3"), started(pool, "node3")) == (before, since) and pool.health()[DOMAINS["node3"]] == "available"
    as_installed(pool, "node3")


@pytest.mark.thorough
def test_a_drain_that_does_not_end_a_second_run_and_a_reboot_of_the_pool(pool: Pool, people: People) -> None:
    wish = {"bbb_node_web": {"userCameraCap": 2}}
    meeting = people.meet(on="node1")
    before = text(pool, "node1")
    put_off = play("nodes", {**wish, "node_maintenance_timeout": 1}, "--limit", "node1")
    assert put_off.returncode == 0 and "put off, since 1 meetings" in put_off.stdout.replace("\n        ", " "), put_off.stdout[-3000:]
    assert text(pool, "node1") == before and people.alive(meeting) and pool.health()[DOMAINS["node1"]] == "available"

    run = subprocess.Popen(
        command("nodes", {**wish, "node_maintenance_timeout": 900}, "--limit", "node1"), cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert run.stdout is not None
    said = []
    try:
        for line in run.stdout:
            said.append(line)
            if "meetings with" in line and "waiting" in line:
                break
        second = play("nodes", wish, "--limit", "node1")
        assert second.returncode and "is being maintained by" in second.stdout, second.stdout[-3000:]
        assert text(pool, "node1") == before

        pool.lab.reboot("pool")
        assert people.alive_on_node(meeting, "node1"), "a reboot of the pool ends no meeting"
        pool.control("node1", "POST", "/end", {"meetingID": people.id_on_node(meeting, "node1")})
        said += list(run.stdout)
        assert run.wait(600) == 0, "".join(said)[-4000:]
    finally:
        run.kill()
    assert "userCameraCap=2\n" in text(pool, "node1")
    all_in_service(pool)


@pytest.mark.thorough
def test_a_node_that_fails_while_bbb_conf_says_well_done_stays_out(pool: Pool, people: People) -> None:
    """bbb-conf ends with 0, its check finds problems; units and API count. The next run goes on with it when the hold is over."""
    wish = {"bbb_node_web": {"maxPinnedCameras": 2}}
    pool.lab.exec("node2", ["touch", "/run/bbb-double-fails-bbb-webrtc-sfu"])
    failed = play("nodes", {**wish, "bbb_node_restart_timeout": 3}, "--limit", "node2")
    said = failed.stdout.replace("\n        ", " ")
    assert failed.returncode and "node2.lab.test does not work: bbb-webrtc-sfu is failed" in said, failed.stdout[-3000:]
    assert "bbb-conf --restart ended with 0 nevertheless" in said
    checked = pool.lab.exec("node2", ["bbb-conf", "--check"])
    assert checked.returncode == 0 and "bbb-webrtc-sfu is not running" in checked.stdout
    assert not pool.state()["servers"][DOMAINS["node2"]]["enabled"]
    assert {people.node_of(people.meet()) for _each in range(6)} <= {"node1", "node3"}

    pool.lab.exec("node2", ["rm", "/run/bbb-double-fails-bbb-webrtc-sfu"])
    time.sleep(3)  # node_maintenance_hold_for
    mended = play("nodes", wish, "--limit", "node2")
    assert mended.returncode == 0, mended.stdout[-3000:]
    assert pool.state()["servers"][DOMAINS["node2"]]["enabled"] and pool.health()[DOMAINS["node2"]] == "available"
    pool.control("node1", "POST", "/drop")
    pool.control("node3", "POST", "/drop")


def test_the_module_through_its_own_door(pool: Pool, run_module: Module) -> None:
    secret = pool.lab.secrets["bbb"]["node3"]
    given = {
        "server_url": "https://node3.lab.test", "secret": secret,
        "web": {"defaultMeetingDuration": 90}, "recording_formats": ["presentation"],
        "secret_values": {"fsesl_akka.freeswitch.esl.password": "N0tTheUsualOne"},
        "turn_servers": [{"url": "turns:turn.lab.test:443", "secret": "TurnS3cretOfTheLab"}],
    }  # fmt: skip
    before = {path: text(pool, "node3", path) for path in (disk.WEB, disk.AKKA)}
    predicted = run_module("node3", "meet.coop.bbb_config", given, check=True)
    assert predicted["changed"] and predicted["cuts_meetings"] and {path: text(pool, "node3", path) for path in before} == before
    done = run_module("node3", "meet.coop.bbb_config", given)
    same = ("changed", "diff", "files", "changes", "needs_restart", "cuts_meetings", "release")
    assert {name: done[name] for name in same} == {name: predicted[name] for name in same}
    # Nothing has been restarted, so it is still due, and the second run changes nothing.
    again = run_module("node3", "meet.coop.bbb_config", given)
    assert not again["changed"] and {one["unit"] for one in again["needs_restart"]} == {one["unit"] for one in done["needs_restart"]}
    assert pool.lab.exec("node3", ["bbb-conf", "--restart"]).returncode == 0
    assert run_module("node3", "meet.coop.bbb_config", given)["needs_restart"] == []
    info = run_module("node3", "meet.coop.bbb_node_info", {
        "api": "https://node3.lab.test/bigbluebutton/api/", "secret": secret, "ca_file": "/etc/meet-coop/ca-bundle.pem", "check": True})
    assert info["works"] and info["problems"] == [] and info["meetings"] == 0 and info["release"] == disk.RELEASE
    script = "stat -c '%a %U %G' /etc/bigbluebutton/*.xml; journalctl -o cat | grep -c N0tTheUsualOne"
    assert pool.lab.exec("node3", ["sh", "-c", script]).stdout.split("\n")[:2] == ["640 root bigbluebutton", "0"]
    told = json.dumps([predicted, done, again, info])
    assert not [word for word in (secret, "N0tTheUsualOne", "TurnS3cretOfTheLab") if word in told]
    refused = run_module("node3", "meet.coop.bbb_config", {"web": {"defaultMeetingDuratoin": 90}})
    assert refused["failed"] and "did you mean defaultMeetingDuration?" in refused["msg"]
    as_installed(pool, "node3")


def test_a_clock_that_is_off_is_told_and_keeps_nobody_out(pool: Pool, people: People, run_module: Module) -> None:
    """Two hours behind: who begins a meeting there gets it, the node is drained and put back, and each look at it says so in a line."""
    pool.control("node2", "POST", "/clock", {"ahead": -7200})
    asked = {"domain": DOMAINS["node2"], "holder": "clock", "min_share": 0, "poll": 1, "ca_file": CA_FILE}
    try:
        meeting = people.meet(on="node2")
        told = run_module("pool", "meet.coop.bbb_meeting_info", {"ca_file": CA_FILE})
        off = {one["domain"]: one["clock_offset"] for one in told["nodes"]}
        assert abs(off[DOMAINS["node2"]] + 7200) < 20 and abs(off[DOMAINS["node1"]]) < 20 and told["meetings"] == 1
        (warning,) = told["warnings"]
        assert re.match(r"the clock of node2\.lab\.test is 7\d\d\d s behind this host's\.", warning)
        people.end(meeting)
        assert run_module("pool", "meet.coop.bbb_node_drain", asked)["drained"]
        back = run_module("pool", "meet.coop.bbb_node_drain", {**asked, "state": "returned"})
        assert not back.get("failed") and [said for said in back["warnings"] if said.startswith("the clock of node2.lab.test is 7")], back
    finally:
        pool.control("node2", "POST", "/clock", {"ahead": 0})
    assert not run_module("pool", "meet.coop.bbb_meeting_info", {"ca_file": CA_FILE}).get("warnings")


@pytest.mark.thorough
def test_the_review_finds_a_node_closed_and_says_when_it_is_not(pool: Pool) -> None:
    def closed() -> tuple[int, str]:
        done = play("review", {}, "--limit", "node1")
        return done.returncode, " ".join(done.stdout.split())

    assert play("nodes", {}, "--limit", "node1").returncode == 0
    code, said = closed()
    assert code == 0 and "looked at: ports, files, units, updates" in said, said[-3000:]
    assert pool.lab.exec("node1", ["nft", "delete", "table", "inet", "meet_coop_bbb"]).returncode == 0
    code, said = closed()
    assert code and "firewall meet_coop_bbb: " in said, said[-3000:]
    assert play("nodes", {}, "--limit", "node1").returncode == 0
    code, said = closed()
    assert code == 0, said[-3000:]


@pytest.mark.thorough
def test_a_bare_machine_gets_the_installer_once(pool: Pool, tmp_path: Path) -> None:
    """The installer is the double's: it notes how it was called, and leaves what the real one leaves."""
    installer = tmp_path / "bbb-install.sh"
    installer.write_text(
        '#!/bin/sh\necho "$@" >> /root/installer-calls\n'
        f"echo BIGBLUEBUTTON_RELEASE=3.0.34 > {disk.RELEASE_FILE}\nsystemctl restart bigbluebutton.target\n"
    )
    certificate, key = tmp_path / "full.pem", tmp_path / "key.pem"
    certificate.write_text("the certificate\n")
    key.write_text("the key of the node\n")
    given = {
        "bbb_node_certificate": str(certificate), "bbb_node_certificate_key": str(key), "bbb_node_ssh_ports": [2222],
        "bbb_node_egress_guard": True, "bbb_node_egress_allowed": [pool.lab.ip("node2")],
    }  # fmt: skip
    script = f"rm -f /root/installer-calls {disk.RELEASE_FILE}; systemctl stop bigbluebutton.target"
    script += "; mkdir -p /etc/haproxy; touch /etc/haproxy/haproxy.cfg"
    pool.lab.exec("node3", ["sh", "-c", script])
    refused = apply_role("bbb_node", "node3", given)
    assert refused.returncode and "has no BigBlueButton. To install it, name the file" in refused.stdout.replace("\n        ", " ")
    given["bbb_node_installer"] = str(installer)
    # A machine whose date is two hours behind, to everything that asks for it.
    pool.lab.exec("node3", ["sh", "-c", f"printf '#!/bin/sh\\nexec /bin/date -d \"2 hours ago\" \"$@\"\\n' > {DATE}; chmod 755 {DATE}"])
    try:
        late = apply_role("bbb_node", "node3", given)
    finally:
        pool.lab.exec("node3", ["rm", DATE])
    said = late.stdout.replace("\n        ", " ")
    assert late.returncode and re.search(r"node3: its clock is 7[12]\d\d s behind the controller's", said), late.stdout[-3000:]
    assert pool.lab.exec("node3", ["test", "-e", "/root/installer-calls"]).returncode, "nothing was begun"
    done = apply_role("bbb_node", "node3", given)
    assert done.returncode == 0, done.stdout[-3000:]
    assert text(pool, "node3", "/root/installer-calls") == "-v jammy-300 -s node3.lab.test -d\n"
    assert "disableRecordingDefault=true\n" in text(pool, "node3")
    again = apply_role("bbb_node", "node3", given)
    assert again.returncode == 0 and recap(again)["changed"] == 0, again.stdout[-3000:]
    assert text(pool, "node3", "/root/installer-calls").count("\n") == 1
    assert "2222" in pool.lab.exec("node3", ["nft", "list", "table", "inet", "meet_coop_bbb"]).stdout
    assert text(pool, "node3", "/etc/haproxy/certbundle.pem") == "the certificate\nthe key of the node\n"
    modes = pool.lab.exec("node3", ["stat", "-c", "%a", "/etc/haproxy/certbundle.pem", "/local/certs/privkey.pem"]).stdout.split()
    assert modes == ["600", "600"] and "the key of the node" not in done.stdout + again.stdout

    def fetch(host: str, user: str) -> bool:
        command = ["curl", "-sk", "--max-time", "5", "-o", "/dev/null", f"https://{pool.lab.ip(host)}/"]
        return pool.lab.exec("node3", command, user=user).returncode == 0

    assert not fetch("node1", "bigbluebutton") and fetch("node1", "root") and fetch("node2", "bigbluebutton")
    pool.lab.exec("node3", ["sh", "-c", f"rm -rf /etc/haproxy /local/certs; {UNFENCE}"])
    as_installed(pool, "node3")
