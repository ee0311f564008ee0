# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitoring host for real: Prometheus scrapes, an alert is mailed and resolved, and the meter knows what the nodes know."""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import INVENTORY, ROOT, environment, run_playbook
from tests.support.lab import RunningLab
from tests.support.pool import DOUBLE, wait_for

Module = Callable[..., dict[str, Any]]
GRAFANA = "/srv/grafana"
WATCHDOG = "w4tchd0g" + secrets.token_hex(8)
GIVEN = {
    "monitoring_grafana_directory": GRAFANA, "monitoring_nodes": "{{ pool_nodes[:2] }}", "monitoring_targets": ["pool", "node1", "node2"],
    "monitoring_watchdog_url": f"http://127.0.0.1:8999/{WATCHDOG}", "monitoring_watchdog_interval": "2s",
}  # fmt: skip
LISTENER = """
import http.server, sys
class Check(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["Content-Length"])
        with open("/run/meet-coop-watchdog", "ab") as told:
            told.write(self.path.encode() + b" " + self.rfile.read(length) + b"\\n")
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_words):
        pass
http.server.HTTPServer(("127.0.0.1", 8999), Check).serve_forever()
"""
MAIL = "/var/mail/lab/verify/Maildir"


def play(*more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(INVENTORY), "--diff", "--limit", "pool,node1,node2", *more]
    command += ["-e", json.dumps(GIVEN), "playbooks/monitoring.yml"]
    return run_playbook(command, cwd=ROOT, env=environment(), timeout=600, together=True)


pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def said(lab: RunningLab) -> Iterator[str]:
    """What the first run said. The services are stopped when all is done."""
    lab.exec("pool", ["mkdir", "-p", GRAFANA])
    # A check that runs elsewhere, for as long as the lab's monitoring; not the one of a test that was killed.
    lab.exec("pool", ["sh", "-c", "systemctl stop meet-coop-watchdog; rm -f /run/meet-coop-watchdog"])
    done = lab.exec("pool", ["systemd-run", "--quiet", "--collect", "--unit=meet-coop-watchdog", "python3", "-c", LISTENER])
    assert done.returncode == 0, done.stderr
    done = play()
    assert done.returncode == 0, done.stdout[-4000:]
    yield done.stdout
    lab.exec("pool", ["systemctl", "stop", "meet-coop-watchdog"])
    units = ["coop-meter", "prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter"]
    lab.exec("pool", ["systemctl", "disable", "--quiet", "--now", *units])
    for node in ("node1", "node2"):
        lab.exec(node, ["systemctl", "disable", "--quiet", "--now", "prometheus-node-exporter"])


def ask(lab: RunningLab, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers."""
    url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": query})
    done = lab.exec("pool", ["curl", "--silent", "--show-error", url])
    answer = json.loads(done.stdout)
    assert answer["status"] == "success", (query, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def value(lab: RunningLab, query: str) -> float | None:
    found = ask(lab, query)
    return float(found[0]["value"][1]) if found else None


def control(lab: RunningLab, node: str, call: str, **parameters: Any) -> str:
    """A call to the node's own API, signed, from the node itself."""
    query = urllib.parse.urlencode(parameters)
    digest = hashlib.sha256((call + query + lab.secrets["bbb"][node]).encode()).hexdigest()
    url = f"https://{node}.lab.test/bigbluebutton/api/{call}?{query}&checksum={digest}"
    done = lab.exec(node, ["curl", "--silent", "--show-error", "--cacert", "/etc/meet-coop/ca-bundle.pem", url])
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr
    return done.stdout


def test_prometheus_scrapes_every_host_the_meter_and_the_sites(lab: RunningLab, said: str) -> None:
    jobs = {("host", "pool"), ("host", "node1"), ("host", "node2"), ("meter", ""), ("prometheus", ""), ("alertmanager", "")}

    def up() -> bool:
        found = {(one["metric"]["job"], one["metric"].get("host", "")) for one in ask(lab, "up == 1")}
        return jobs <= found

    wait_for(up, 40)
    wait_for(lambda: len(ask(lab, "probe_success")) >= 5, 20)
    assert value(lab, "sum(meet_coop_node_up)") == 2
    # From within the exporter's sandbox: how well each host's clock is kept.
    assert value(lab, 'count(node_timex_sync_status{job="host"})') == 3
    tenants = {one["metric"]["tenant"] for one in ask(lab, "meet_coop_tenant_participants")}
    assert {"sunflower", "rosa", "cafe", "sunflowerd514686"} <= tenants


def test_it_listens_on_loopback_and_asks_for_a_password_elsewhere(lab: RunningLab, said: str) -> None:
    listening = lab.exec("pool", ["ss", "-Hltn"]).stdout.split("\n")
    for port in (9090, 9093, 9115, 9689):
        places = [line.split()[3] for line in listening if line and line.split()[3].endswith(f":{port}")]
        assert places == [f"127.0.0.1:{port}"]
    base = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
    address = lab.ip("node1")
    certificate = ["--cacert", "/etc/meet-coop/monitoring/hosts/node1.crt", "--resolve", f"node1:9100:{address}", "https://node1:9100/metrics"]
    assert lab.exec("pool", [*base, *certificate]).stdout == "401"
    assert lab.exec("pool", [*base, f"http://{address}:9100/metrics"]).stdout in ("400", "000")
    password = lab.exec("pool", ["cat", "/etc/meet-coop/monitoring/hosts/node1.password"]).stdout
    other = lab.exec("pool", ["cat", "/etc/meet-coop/monitoring/hosts/node2.password"]).stdout
    assert password != other and len(password) > 30
    given = "user = meet-coop:"
    assert lab.exec("pool", [*base, "--config", "-", *certificate], given + password).stdout == "200"
    assert lab.exec("pool", [*base, "--config", "-", *certificate], given + other).stdout == "401"


def test_no_secret_is_told(lab: RunningLab, said: str) -> None:
    passwords = [lab.exec(host, ["cat", "/etc/meet-coop/host-metrics/password"]).stdout for host in ("pool", "node1", "node2")]
    known = [*lab.secrets["bbb"].values(), lab.secrets["smtp"]["sunflower"], *passwords, WATCHDOG]
    assert all(known)
    script = (
        "journalctl --no-pager -u coop-meter -u prometheus -u prometheus-alertmanager; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ;"
        "find /etc/meet-coop /etc/systemd/system /var/lib/coop-meter/ /usr/local/lib/meet-coop-meter -type f -perm /o=r -exec cat {} +"
    )
    everything = said + lab.exec("pool", ["sh", "-c", script]).stdout
    assert "meet_coop" in everything or "coop-meter" in everything
    for secret in known:
        assert secret not in everything


def test_rules_and_dashboards_are_sound(lab: RunningLab, said: str) -> None:
    """Every alert comes when it should and not before; every panel asks what Prometheus understands; every runbook is there."""
    for name in ("alerts_test.yml", "alerts_days_test.yml"):
        path = f"/tmp/{name}"
        lab.exec("pool", ["sh", "-c", f"cat > {path}"], (Path(__file__).parent / name).read_text())
        done = lab.exec("pool", ["promtool", "test", "rules", path])
        assert done.returncode == 0, done.stdout + done.stderr
    rules = lab.exec("pool", ["cat", "/etc/meet-coop/monitoring/rules.yml"]).stdout
    links = {line.rpartition("#")[2].strip() for line in rules.splitlines() if "runbook_url" in line}
    page = (ROOT / "docs" / "runbooks.md").read_text()
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    assert links and links <= headings
    for name in ("pool", "tenants", "hosts"):
        board = json.loads(lab.exec("pool", ["cat", f"{GRAFANA}/meet-coop/{name}.json"]).stdout)
        for panel in board["panels"]:
            for target in panel["targets"]:
                ask(lab, target["expr"].replace("$member", ".*"))


def test_the_watchdog_is_told_again_and_again(lab: RunningLab, said: str) -> None:
    def told() -> list[str]:
        return lab.exec("pool", ["cat", "/run/meet-coop-watchdog"]).stdout.split("\n\n")[:-1]

    # Prometheus tells again after a minute what Alertmanager was not there yet to hear.
    wait_for(lambda: len(told()) >= 3, 150, 1)
    for line in told():
        path, _blank, body = line.partition(" ")
        assert path == f"/{WATCHDOG}"
        assert {(one["labels"]["alertname"], one["status"]) for one in json.loads(body)["alerts"]} == {("Watchdog", "firing")}
    routed = ["amtool", "config", "routes", "test", "--config.file=/etc/meet-coop/monitoring/alertmanager.yml"]
    assert lab.exec("pool", [*routed, "alertname=Watchdog"]).stdout.split() == ["watchdog"]
    assert lab.exec("pool", [*routed, "alertname=NodeDown"]).stdout.split() == ["duty"]


def test_a_second_run_changes_nothing(lab: RunningLab, said: str) -> None:
    done = play()
    recap = [line for line in done.stdout.splitlines() if "changed=" in line]
    assert done.returncode == 0 and len(recap) == 3 and all("changed=0" in line for line in recap), done.stdout[-3000:]


def set_clock(lab: RunningLab, node: str, ahead: int) -> None:
    done = lab.exec(node, ["python3", DOUBLE, "control", "POST", "/clock", json.dumps({"ahead": ahead})])
    assert done.returncode == 0, done.stdout + done.stderr


def mails(lab: RunningLab, word: str) -> int:
    return len(lab.exec("services", ["sh", "-c", f"grep -rlE '^Subject: .{word}. NodeDown' {MAIL}/new {MAIL}/cur"]).stdout.split())


def test_minutes_alerts_and_a_killed_meter(lab: RunningLab, said: str, run_module: Module) -> None:
    """Three people meet; the meter is killed meanwhile; the other node stops, somebody is mailed, it comes back, and that is mailed too.

    The clock of the node they meet on is an hour and a half ahead, which is told and changes nothing of what is metered.
    """
    today = datetime.datetime.now(datetime.timezone.utc).date()
    asked = {"month": f"{today:%Y-%m}", "as_of": str(today + datetime.timedelta(days=1))}

    def seconds(tenant: str) -> float:
        query = f"select coalesce(sum(participants), 0) from used where tenant = '{tenant}'"
        record = "sqlite3.connect('file:/var/lib/coop-meter/record.sqlite?mode=ro', uri=True)"
        code = f'import sqlite3; print({record}.execute("{query}").fetchone()[0])'
        return float(lab.exec("pool", ["python3", "-c", code]).stdout)

    tenant, meeting = "t" + secrets.token_hex(4), "m-" + secrets.token_hex(6)
    fired, resolved = mails(lab, "firing"), mails(lab, "resolved")
    set_clock(lab, "node1", 5400)
    control(lab, "node1", "create", name="Assembly", meetingID=meeting, **{"meta_bbblb-tenant": tenant})
    for name in ("Ana", "Tom", "Rosa"):
        control(lab, "node1", "join", meetingID=meeting, fullName=name, role="VIEWER", redirect="false")
    begun = time.monotonic()
    lab.exec("node2", ["systemctl", "stop", "bbb-double"])
    try:
        wait_for(lambda: mails(lab, "firing") > fired, 60, 1)
        assert ask(lab, 'ALERTS{alertname="NodeDown",alertstate="firing",node="node2.lab.test"}')
        assert not ask(lab, 'ALERTS{alertname="NodeDown",alertstate="firing",node="node1.lab.test"}')
        assert abs((value(lab, 'meet_coop_node_clock_offset_seconds{node="node1.lab.test"}') or 0) - 5400) < 10
        off = {one["metric"]["node"] for one in ask(lab, 'ALERTS{alertname="NodeClockOff"}')}
        assert off == {"node1.lab.test"}, "it is told after monitoring_for_much"
    finally:
        lab.exec("node2", ["systemctl", "start", "bbb-double"])
        set_clock(lab, "node1", 0)
    lab.exec("pool", ["systemctl", "kill", "--signal=KILL", "coop-meter"])
    killed = value(lab, "meet_coop_meter_last_poll_timestamp_seconds") or 0
    wait_for(lambda: mails(lab, "resolved") > resolved, 60, 1)
    wait_for(lambda: (value(lab, "meet_coop_meter_last_poll_timestamp_seconds") or 0) > killed, 30, 1)
    lab.exec("node1", ["python3", DOUBLE, "control", "POST", "/drop", "{}"])
    lasted = time.monotonic() - begun
    settled = [seconds(tenant)]
    wait_for(lambda: settled.append(seconds(tenant)) or len(settled) > 12 and settled[-1] == settled[-2], 30, 1)
    # Three people, one interval of ten seconds each at both ends, and what the kill may have cost: the start anew, and one poll.
    assert abs(settled[-1] - 3 * lasted) <= 3 * (2 * 10 + 10), (settled[-1], 3 * lasted)
    assert settled[-1] <= 3 * (lasted + 10)

    found = run_module("pool", "meet.coop.usage_info", asked)
    assert found["tenants"][tenant]["participant_minutes"] == (settled[-1] + 30) // 60 and found["silent"]["node2.lab.test"] >= 1
    assert 0 < found["samples_got"] < found["samples_expected"]
    assert "Ana" not in json.dumps(found)


def test_the_program_is_installed_as_it_is_predicted(lab: RunningLab, run_module: Module) -> None:
    """Check mode, twice, and a file that a killed run has left half written."""
    places = {"library": "/tmp/meter-library", "command": "/tmp/meter-library-door"}
    predicted = run_module("node1", "meet.coop.meter_program", places, check=True)
    assert predicted["changed"] and lab.exec("node1", ["test", "-e", "/tmp/meter-library"]).returncode
    done = run_module("node1", "meet.coop.meter_program", places)
    assert done["diff"] == predicted["diff"] and not run_module("node1", "meet.coop.meter_program", places)["changed"]
    assert lab.exec("node1", ["python3", "/tmp/meter-library-door", "month", "--help"]).returncode == 0
    path = next(name for name in done["files"] if name.endswith("record.py"))
    lab.exec("node1", ["sh", "-c", f"echo half > {path}; echo half > {path}.new"])
    assert run_module("node1", "meet.coop.meter_program", places)["changed"]
    assert not run_module("node1", "meet.coop.meter_program", places)["changed"]
    assert lab.exec("node1", ["python3", "/tmp/meter-library-door", "month", "--help"]).returncode == 0
    assert run_module("node1", "meet.coop.meter_program", {**places, "state": "absent"})["changed"]
    lab.exec("node1", ["rm", "-rf", "/tmp/meter-library"])


def test_what_a_killed_run_wrote_is_run_by_the_next(lab: RunningLab, said: str) -> None:
    """Files are newer than what runs, as after a run that was killed before it could start anything anew; nothing else has changed."""
    units = ["coop-meter", "prometheus", "prometheus-alertmanager", "prometheus-node-exporter"]
    show = ["systemctl", "show", "--property=MainPID", "--value", *units]
    before = lab.exec("pool", show).stdout.split()
    lab.exec("pool", ["touch", "/etc/meet-coop/meter-secrets.json", "/etc/meet-coop/monitoring/rules.yml"])
    done = play("--limit", "pool")
    assert done.returncode == 0 and "changed=2" in done.stdout, done.stdout[-3000:]
    after = lab.exec("pool", show).stdout.split()
    assert before[0] != after[0] and before[1] != after[1] and before[2:] == after[2:]
