# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node double's disk, units and bbb-conf have the traps of a node: an exit status says nothing, and every start ends all meetings."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.lab.bbb import disk
from tests.support.lab import RunningLab
from tests.support.pool import Pool

NODE = "node3"
FAILS = "/run/bbb-double-fails-bbb-webrtc-sfu"


class Node:
    """A node of the lab, seen from its shell."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab, self.pool = lab, Pool(lab)

    def run(self, script: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.lab.exec(NODE, ["sh", "-c", script], user=user)

    def api(self, call: str, secret: str, query: str = "") -> str:
        url = f"https://{NODE}.lab.test/bigbluebutton/api/{call}?{Pool.sign(call, query, secret)}"
        return self.lab.exec(NODE, ["curl", "-sS", "--cacert", "/etc/meet-coop/ca-bundle.pem", url]).stdout

    def wait(self) -> None:
        """Until it answers again."""
        deadline = time.monotonic() + 15
        while "SUCCESS" not in self.run(f"curl -s --cacert /etc/meet-coop/ca-bundle.pem https://{NODE}.lab.test/bigbluebutton/api/").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def node(lab: RunningLab) -> Iterator[Node]:
    found = Node(lab)
    assert found.run("rm -rf /tmp/kept-bbb && cp -a /etc/bigbluebutton /tmp/kept-bbb").returncode == 0
    yield found
    found.run(f"rm -rf {FAILS} /etc/bigbluebutton; mv /tmp/kept-bbb /etc/bigbluebutton; systemctl restart bigbluebutton.target")
    found.wait()


def test_exit_statuses_say_nothing(node: Node) -> None:
    calls = ("", "--nonsense", "--version", "--status", "--secret", "--check")
    statuses = {call: node.run(f"bbb-conf {call}").returncode for call in calls}
    assert statuses == {"": 1, "--nonsense": 1, "--version": 0, "--status": 0, "--secret": 0, "--check": 0}
    assert node.run("bbb-conf --status", user="bigbluebutton").returncode == 1, "not root"
    node.run(f"touch {FAILS}")
    restarted = node.run("bbb-conf --restart")
    assert restarted.returncode == 0 and "bbb-webrtc-sfu is not running (failed)" in restarted.stdout
    assert node.run("systemctl is-active bbb-webrtc-sfu").stdout.strip() == "failed" and node.run("bbb-conf --status").returncode == 0
    assert "Potential problems described below" in node.run("bbb-conf --check").stdout
    assert node.run(f"mv {disk.RELEASE_FILE} /tmp/r; bbb-conf --version; s=$?; mv /tmp/r {disk.RELEASE_FILE}; exit $s").returncode == 1


def test_every_start_ends_all_meetings_and_only_a_start_reads_the_files(node: Node) -> None:
    old, new = node.lab.secrets["bbb"][NODE], "anotherSecretOfTheLab1"
    assert "SUCCESS" in node.api("create", old, "name=Assembly&meetingID=conf-1&record=true")
    assert node.run(f"bbb-conf --setsecret {new}").returncode == 0
    node.run(f"printf 'disableRecordingDefault=true\\ndefaultMaxUsers=7\\nsupportedChecksumAlgorithms=sha1\\n' >> {disk.WEB}")
    assert "conf-1" in node.api("getMeetings", old) and "checksumError" in node.api("getMeetings", new)
    assert node.run("bbb-conf --start").returncode == 0, "it restarts"
    node.wait()
    assert "noMeetings" in node.api("getMeetings", new) and "checksumError" in node.api("getMeetings", old)
    node.api("create", new, "name=Assembly&meetingID=conf-2&record=true")
    info = node.api("getMeetingInfo", new, "meetingID=conf-2")
    assert "<recording>false</recording>" in info and "<maxUsers>7</maxUsers>" in info


def test_a_unit_fails_on_a_file_that_it_may_not_read_or_that_is_broken(node: Node) -> None:
    node.run(f"chgrp root {disk.AKKA}; bbb-conf --restart")
    assert node.run("systemctl is-active bbb-apps-akka").stdout.strip() == "failed"
    node.run(f"chgrp bigbluebutton {disk.AKKA}; printf 'services {{\\n' >> {disk.AKKA}; bbb-conf --restart")
    assert node.run("systemctl is-active bbb-apps-akka").stdout.strip() == "failed"
    node.run(f"chgrp root {disk.WEB}; bbb-conf --restart")
    assert node.run("systemctl is-active bbb-web").stdout.strip() != "active"


def test_any_call_may_write_files_and_apply_config_runs_at_each_start(node: Node) -> None:
    node.run("rm -rf /etc/bigbluebutton/bbb-webrtc-sfu; bbb-conf --status")
    assert node.run("test -e /etc/bigbluebutton/bbb-webrtc-sfu/production.yml").returncode == 0
    path = "/etc/bigbluebutton/bbb-conf/apply-config.sh"
    node.run(f"mkdir -p {path.rpartition('/')[0]}; printf '#!/bin/sh\\ntouch /run/applied\\nexit 7\\n' > {path}; chmod 755 {path}")
    assert node.run("bbb-conf --start").returncode == 0, "its exit status is ignored"
    assert node.run("rm /run/applied").returncode == 0
