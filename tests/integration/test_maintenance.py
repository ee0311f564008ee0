# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes are worked on while people meet: none is cut off, nobody puts a node back by accident, and a dead one is not taken for empty."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ansible import INVENTORY, ROOT, environment, run_playbook
from tests.support.lab import RunningLab
from tests.support.people import HOLDS, People, Stream, all_in_service
from tests.support.pool import NODES, Pool, provide

Module = Callable[..., dict[str, Any]]
CA = "/etc/meet-coop/ca-bundle.pem"
DOMAINS = [f"{node}.lab.test" for node in NODES]


@pytest.fixture(scope="module")
def pool(lab: RunningLab) -> Pool:
    return provide(lab)


@pytest.fixture(scope="module")
def people(pool: Pool, run_module: Module) -> Iterator[People]:
    all_in_service(pool)
    with People.of(pool, run_module) as ours:
        yield ours


@pytest.fixture(autouse=True)
def restored(pool: Pool) -> Iterator[None]:
    """Each test leaves all nodes in service and empty."""
    yield
    all_in_service(pool)


def drain(run_module: Module, domain: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    given = {"domain": domain, "holder": "tests", "poll": 1, "timeout": 0, "on_timeout": "hold", "ca_file": CA, **options}
    return run_module("pool", "meet.coop.bbb_node_drain", given, check=check)


def enabled(pool: Pool) -> dict[str, bool]:
    return {domain: entry["enabled"] for domain, entry in pool.state()["servers"].items()}


def test_a_node_is_left_and_comes_back(pool: Pool, people: People, run_module: Module) -> None:
    meeting = people.meet(on="node1")
    predicted = drain(run_module, DOMAINS[0], check=True)
    assert enabled(pool)[DOMAINS[0]] and predicted["changed"] and not predicted["drained"]
    waiting = drain(run_module, DOMAINS[0])
    assert waiting["failed"] and waiting["meetings"] >= 1 and "stays out of the pool" in waiting["msg"]
    assert waiting["diff"] == predicted["diff"] and not enabled(pool)[DOMAINS[0]]
    assert people.alive(meeting) and {people.node_of(people.meet()) for _each in range(4)} <= {"node2", "node3"}

    # A run that converges the pool, at night or by somebody else, leaves it out.
    secret = pool.state()["servers"][DOMAINS[0]]["secret"]
    nightly = run_module("pool", "meet.coop.pool_node", {"nodes": [{"domain": DOMAINS[0], "secret": secret}], "ca_file": CA})
    assert not nightly["changed"] and any("tests has it in maintenance" in line for line in nightly["warnings"]), nightly
    assert not enabled(pool)[DOMAINS[0]]

    other = drain(run_module, DOMAINS[0], holder="another")
    assert other["failed"] and "is being maintained by tests" in other["msg"] and "holder=tests" in other["msg"]
    second = drain(run_module, DOMAINS[1], holder="another")
    assert second["failed"] and "would have 1 of 3 nodes in service" in second["msg"] and enabled(pool)[DOMAINS[1]]

    found = run_module("pool", "meet.coop.bbb_meeting_info", {"nodes": [{"domain": DOMAINS[0], "secret": secret}], "ca_file": CA})
    assert found["nodes"][0]["tenants"][people.name]["meetings"] == found["meetings"] >= 1 and "list" not in found["nodes"][0]
    people.end(meeting)
    pool.control("node1", "POST", "/drop")
    empty = drain(run_module, DOMAINS[0], timeout=20)
    assert empty["drained"] and not empty["changed"]

    predicted = drain(run_module, DOMAINS[0], state="returned", check=True)
    assert not enabled(pool)[DOMAINS[0]]
    back = drain(run_module, DOMAINS[0], state="returned")
    assert back["changed"] and predicted["changed"] and back["diff"] == predicted["diff"]
    assert enabled(pool)[DOMAINS[0]] and pool.health()[DOMAINS[0]] == "available"
    assert not drain(run_module, DOMAINS[0], state="returned")["changed"]
    assert secret not in json.dumps([waiting, nightly, empty, back, found])


def test_meetings_that_do_not_end_put_it_off(pool: Pool, people: People, run_module: Module) -> None:
    meeting = people.meet(on="node2")
    result = drain(run_module, DOMAINS[1], timeout=2, on_timeout="postpone")
    assert not result.get("failed") and result["postponed"] and not result["drained"] and not result["changed"]
    assert people.alive(meeting) and enabled(pool)[DOMAINS[1]] and pool.health()[DOMAINS[1]] == "available"
    assert pool.lab.exec("pool", ["cat", HOLDS]).stdout.strip() == "{}"


def test_a_node_that_does_not_answer_is_not_empty(pool: Pool, people: People, run_module: Module) -> None:
    people.meet(on="node1")
    pool.control("node1", "POST", "/mode", {"mode": "fail"})
    try:
        result = drain(run_module, DOMAINS[0])
        assert result["failed"] and not result["drained"] and "HTTP status 500" in result["msg"]
        back = drain(run_module, DOMAINS[0], state="returned")
        assert back["failed"] and "stays out of the pool, since it does not work" in back["msg"] and not enabled(pool)[DOMAINS[0]]
        assert drain(run_module, DOMAINS[0], unreachable="empty")["drained"]
    finally:
        pool.control("node1", "POST", "/mode", {"mode": "ok"})
    assert drain(run_module, DOMAINS[0], state="returned")["changed"]


def test_what_cannot_be_is_one_clear_line(pool: Pool, run_module: Module) -> None:
    before = enabled(pool)
    for options, expected in (
        ({"domain": "node9.lab.test"}, "node node9.lab.test is not in this pool, which has node1.lab.test, node2.lab.test, node3.lab.test"),
        ({"min_share": 1.5}, "min_share is 1.5; write a number from 0 to 1"),
        ({"min_share": 0.9}, "would have 2 of 3 nodes in service, and a share of 0.9 is the least"),
    ):
        result = drain(run_module, **{"domain": DOMAINS[0], **options})
        assert result["failed"] and expected in result["msg"]
    pool.lab.exec("pool", ["sh", "-c", f"echo nonsense > {HOLDS}"])
    assert "held-nodes.json is damaged" in drain(run_module, DOMAINS[0])["msg"]
    assert enabled(pool) == before


def command(*arguments: str) -> list[str]:
    inventory = str(INVENTORY / "hosts.yml")
    return [sys.executable, "-m", "ansible", "playbook", "-i", inventory, "playbooks/maintain.yml", "--limit", "bbb_nodes", *arguments]


def maintain(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_playbook(command(*arguments), cwd=ROOT, env=environment(), timeout=300)


@pytest.fixture
def restart(tmp_path: Path) -> str:
    """Tasks that end every meeting on the node, as a restart of BigBlueButton does."""
    path = tmp_path / "restart.yml"
    path.write_text(json.dumps([{
        "name": "Restart the node", "ansible.builtin.systemd_service": {"name": "bbb-double.service", "state": "restarted"}}]))
    return str(path)


def test_no_meeting_is_cut_off_by_a_rolling_restart(pool: Pool, people: People, restart: str) -> None:
    """People meet all the time, for some seconds each; a run is killed while it works on a node and gone on with."""
    since = {node: pool.lab.exec(node, ["systemctl", "show", "-P", "MainPID", "bbb-double"]).stdout for node in NODES}
    with Stream(people) as stream:
        given = {"node_maintenance_tasks": restart, "node_maintenance_name": people.name, "node_maintenance_timeout": 60}
        options = ["-e", json.dumps(given)]
        process = subprocess.Popen(
            command(*options), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "Do the work on the node" in line:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                break
        process.wait()
        process.stdout.close()
        held = json.loads(pool.lab.exec("pool", ["cat", HOLDS]).stdout)
        assert list(held) == [DOMAINS[0]] and not enabled(pool)[DOMAINS[0]]

        refused = maintain(*options)
        assert refused.returncode and "is being maintained by" in refused.stdout
        assert "node2" not in refused.stdout.partition("PLAY RECAP")[2], "it stops at the first node"

        done = maintain(*options, "-e", f"node_maintenance_holder={held[DOMAINS[0]]['holder']}")
        assert done.returncode == 0, done.stdout[-3000:]
    assert not stream.cut and len(stream.met) > 5, (stream.cut, stream.met)
    assert all(pool.lab.exec(node, ["systemctl", "show", "-P", "MainPID", "bbb-double"]).stdout != since[node] for node in NODES)
    assert set(enabled(pool).values()) == {True} and set(pool.health().values()) == {"available"}
    again = maintain(*options)
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout[-2000:]
    assert again.stdout.count(f"went through {people.name} before") == len(NODES)
    for node in NODES:
        pool.lab.exec(node, ["rm", "-f", f"/var/lib/meet-coop/maintenance/{people.name}"])


def test_outside_of_its_window_nothing_begins(pool: Pool, restart: str) -> None:
    now = time.localtime()
    hour = (now.tm_hour + 2) % 24
    options = ["-e", f"node_maintenance_tasks={restart}", "-e", f"node_maintenance_window={hour:02}:00-{(hour + 1) % 24:02}:00"]
    done = maintain(*options)
    assert done.returncode == 0 and done.stdout.count("outside of the window") == len(NODES), done.stdout[-2000:]
    assert "changed=0" in done.stdout and set(enabled(pool).values()) == {True}
