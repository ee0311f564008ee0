# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role scheduler on a real systemd: foretold, made, quiet, and taken away; and a job that fails is told of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.roles import apply_role, recap

HOST = "services"
SECRET = "correct-horse-battery"
GIVEN: dict[str, Any] = {
    "scheduler_program": "/usr/local/bin/ansible-playbook-double",
    "scheduler_smtp": {"server": "smtp.meet.test", "password": SECRET},
}
# Stands in for ansible-playbook, which this host does not have: it fails as one does that found no inventory, and notes how it was called.
DOUBLE = (
    '#!/bin/sh\\necho "$* MONITOR=$MONITOR_SERVICE_RESULT NAME=$MEET_COOP_REPORT_NAME" >> /var/lib/meet-coop-runs/output/calls\\nexit 4\\n'
)


@pytest.mark.thorough
def test_timers_are_foretold_made_kept_and_taken_away(lab: Any) -> None:
    def sh(line: str) -> str:
        done = lab.exec(HOST, ["sh", "-c", line])
        return str(done.stdout + done.stderr)

    sh(f"printf '{DOUBLE}' > /usr/local/bin/ansible-playbook-double && chmod 755 /usr/local/bin/ansible-playbook-double")
    try:
        foretold = apply_role("scheduler", HOST, GIVEN, check=True)
        assert foretold.returncode == 0 and recap(foretold)["changed"] > 0, foretold.stdout[-3000:]
        assert "meet-coop-run" not in sh("ls /etc/systemd/system")
        made = apply_role("scheduler", HOST, GIVEN)
        assert made.returncode == 0 and "ssh-ed25519 " in made.stdout, made.stdout[-3000:]
        assert SECRET not in foretold.stdout + made.stdout
        again = apply_role("scheduler", HOST, GIVEN)
        assert again.returncode == 0 and recap(again)["changed"] == 0, again.stdout[-3000:]
        assert "meet-coop-run-site.timer" in sh("systemctl list-timers --all --plain")
        assert sh("stat -c '%a %U' /etc/meet-coop-runs/environment").strip() == "600 root"
        assert sh(f"grep -rl {SECRET} /etc/meet-coop-runs /etc/systemd/system").split() == ["/etc/meet-coop-runs/environment"]

        # It fails before any play, so systemd tells.
        sh("systemctl start meet-coop-run-status.service; until [ -e /var/lib/meet-coop-runs/output/calls ] && "
           "[ $(wc -l < /var/lib/meet-coop-runs/output/calls) -ge 2 ]; do sleep 0.2; done")  # fmt: skip
        first, second = sh("cat /var/lib/meet-coop-runs/output/calls").splitlines()[:2]
        assert "-e @/etc/meet-coop-runs/status.json meet.coop.status MONITOR= NAME=status" in first
        assert "run_failed_job=status meet.coop.run_failed MONITOR=exit-code NAME=status" in second
        assert json.loads(sh("cat /etc/meet-coop-runs/status.json"))["status_page_directory"] == "/var/lib/meet-coop-runs/output/status"

        # Another time, and one job less; a run that was killed half-way left a timer's file away.
        sh("rm /etc/systemd/system/meet-coop-run-verify.timer")
        less = {**GIVEN, "scheduler_jobs": {"nodes": {"enabled": False}, "site": {"when": {"every": "day", "at": "01:15"}}}}
        changed = apply_role("scheduler", HOST, less)
        assert changed.returncode == 0, changed.stdout[-3000:]
        assert "nodes" not in sh("ls /etc/systemd/system") and "nodes" not in sh("systemctl list-timers --all --plain 'meet-coop-run-*'")
        assert "01:15:00" in sh("systemctl show -p TimersCalendar meet-coop-run-site.timer")
        assert sh("systemctl is-active meet-coop-run-verify.timer").strip() == "active"
        quiet = apply_role("scheduler", HOST, less)
        assert recap(quiet)["changed"] == 0, quiet.stdout[-3000:]
    finally:
        sh("systemctl disable --now 'meet-coop-run-*.timer'; rm -rf /etc/systemd/system/meet-coop-run-* /etc/meet-coop-runs "
           "/usr/local/bin/ansible-playbook-double /var/lib/systemd/timers/stamp-meet-coop-run-*; systemctl daemon-reload; "
           "userdel -r meet-coop-runs; rm -rf /var/lib/meet-coop-runs")  # fmt: skip
