# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs at once: one works, the other waits or says who does; nobody waits for the dead."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from ansible_collections.meet.coop.plugins.module_utils import _run_lock
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils import _this_run
from tests.support import ansible

ELSEWHERE = "0b9c pid:[1] 4711 99"


class Runs:
    """Runs of ansible-playbook that take the lock of sunflower on localhost."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.locks = path / "locks"
        self.file = self.locks / "sunflower.json"
        self.begun: list[subprocess.Popen[str]] = []

    def begin(self, book_name: str, *options: str, body: list[dict[str, Any]] | None = None, **lock: Any) -> subprocess.Popen[str]:
        given = {"name": "sunflower", "directory": str(self.locks), "wait": 0, **lock}
        work: dict[str, Any] = {
            "block": [{"meet.coop.run_lock": given, "register": "taken"}, *(body or [])],
            "always": [{"meet.coop.run_lock": {**given, "state": "absent"}}],
        }
        book = self.path / f"{book_name}.yml"
        book.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [work]}]))
        # With it, whoever runs the tests would read at once what others read late.
        env = {name: value for name, value in ansible.environment().items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", *options, str(book)],
            cwd=ansible.ROOT, env=env, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.begun.append(process)
        return process

    def run(self, book_name: str, *options: str, **more: Any) -> tuple[int, str]:
        """Exit code and output, on one line."""
        process = self.begin(book_name, *options, **more)
        output = " ".join(process.communicate(timeout=180)[0].split())
        assert "Traceback" not in output
        return process.returncode, output

    def working(self, name: str) -> subprocess.Popen[str]:
        """A run in the midst of its work; it goes on when the file C(go) is there."""
        wait = f"touch {self.path}/{name}.works; until [ -e {self.path}/go ]; do sleep 0.1; done"
        process = self.begin(name, body=[{"ansible.builtin.command": {"argv": ["sh", "-c", wait]}}])
        until((self.path / f"{name}.works").exists, process)
        return process


def until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None and time.monotonic() < end, process.stdout and process.stdout.read()
        time.sleep(0.05)


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> Any:
    made = Runs(tmp_path)
    yield made
    # What a killed run was just doing goes on without it: Ansible's workers are leaders of sessions of their own.
    (made.path / "go").touch()
    for process in made.begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.programs
def test_the_second_run_says_who_is_at_work_and_the_third_waits_for_its_end(runs: Runs) -> None:
    first = runs.working("upgrade")
    before = runs.file.read_bytes()
    code, output = runs.run("rotate")
    assert code == 2 and "sunflower: upgrade.yml (" in output and f"process {first.pid}) has been working on it since 20" in output, output
    assert runs.file.read_bytes() == before
    code, output = runs.run("site", "--check")
    assert code == 0 and "[WARNING]: sunflower: upgrade.yml (" in output and "changed=0" in output, output
    assert runs.file.read_bytes() == before
    waiting = runs.begin("move", wait=120)
    assert waiting.stdout is not None
    line = next(line for line in waiting.stdout if "sunflower: waiting for" in line)
    assert "upgrade.yml" in line and waiting.poll() is None
    (runs.path / "go").touch()
    output = waiting.communicate(timeout=120)[0]
    assert waiting.returncode == 0 and "changed=0" in output, output
    assert first.wait(60) == 0
    assert not runs.file.exists()


@pytest.mark.programs
def test_a_dead_run_keeps_nobody_waiting(runs: Runs) -> None:
    first = runs.working("upgrade")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(60)
    assert runs.file.exists()
    code, output = runs.run("upgrade again")
    assert code == 0 and "taken over from upgrade.yml" in output, output
    assert not runs.file.exists()


@pytest.mark.programs
def test_a_run_that_fails_gives_the_lock_back(runs: Runs) -> None:
    code, _output = runs.run("upgrade", body=[{"ansible.builtin.fail": {"msg": "broken"}}])
    assert code == 2 and runs.locks.is_dir() and not runs.file.exists()


@pytest.mark.programs
def test_of_a_run_elsewhere_only_the_lease_or_a_person_knows(runs: Runs) -> None:
    _run_lock.take(str(runs.locks), "sunflower", ELSEWHERE, "site.yml (AWX job 81)", 3600)
    code, output = runs.run("upgrade")
    assert code == 2 and "sunflower: site.yml (AWX job 81) has been working on it since" in output, output
    code, output = runs.run("upgrade", take_over=True)
    assert code == 0 and "taken over from site.yml (AWX job 81)" in output, output
    _run_lock.take(str(runs.locks), "sunflower", ELSEWHERE, "site.yml (AWX job 81)", -1)
    code, output = runs.run("upgrade")
    assert code == 0 and not runs.file.exists(), output


@pytest.mark.programs
def test_the_awx_job_is_named(runs: Runs) -> None:
    code, output = runs.run("upgrade", "-e", "awx_job_id=81", body=[{"ansible.builtin.debug": {"msg": "by {{ taken.by }}"}}])
    assert code == 0 and "by upgrade.yml (AWX job 81)" in output, output


@pytest.mark.programs
def test_bad_input_is_one_line(runs: Runs) -> None:
    code, output = runs.run("upgrade", name="../passwd")
    assert code == 2 and "is no name of a service" in output
    runs.locks.mkdir(exist_ok=True)
    runs.file.write_text("{")
    code, output = runs.run("upgrade")
    assert code == 2 and "sunflower.json is damaged: see that no run works on sunflower, remove the file" in output
    assert runs.file.read_text() == "{"


def test_a_killed_write_is_no_lock(tmp_path: pathlib.Path) -> None:
    half = tmp_path / "sunflower.json.new"
    half.write_text('{"run": "half')
    half.chmod(0o600)
    lock = _run_lock.take(str(tmp_path), "sunflower", "a", "a", 60)
    assert lock.run == "a" and (tmp_path / "sunflower.json").stat().st_mode & 0o777 == 0o600


def test_a_lock_is_given_back_and_lengthened_by_its_own_run_alone(tmp_path: pathlib.Path) -> None:
    place = str(tmp_path)
    first = _run_lock.take(place, "sunflower", "a", "a", 60)
    longer = _run_lock.take(place, "sunflower", "a", "a", 600)
    assert longer.since == first.since and longer.until >= first.until + 540
    assert _run_lock.take(place, "sunflower", "b", "b", 60) == longer
    assert not _run_lock.release(place, "sunflower", "b") and _run_lock.read(place, "sunflower") == longer
    assert _run_lock.take(place, "dahlia", "b", "b", 60).run == "b"
    assert _run_lock.release(place, "sunflower", "a") and not _run_lock.release(place, "sunflower", "a")


def test_what_was_said_of_one_lock_is_no_word_on_the_next(tmp_path: pathlib.Path) -> None:
    """Two see the same dead run; one takes over, and the other must not take over from that one."""
    place = str(tmp_path)
    _run_lock.take(place, "sunflower", "dead", "dead", 3600)
    assert _run_lock.take(place, "sunflower", "b", "b", 60, over="dead").run == "b"
    assert _run_lock.take(place, "sunflower", "c", "c", 60, over="dead").run == "b"


def test_of_many_at_once_one_gets_it(tmp_path: pathlib.Path) -> None:
    """The kernel's lock is on what was opened, so threads stand in each other's way as processes do."""
    names = [f"r{number}" for number in range(24)]
    with ThreadPoolExecutor(len(names)) as racers:
        got = list(racers.map(lambda run: _run_lock.take(str(tmp_path), "sunflower", run, run, 60).run, names))
    winner = _run_lock.read(str(tmp_path), "sunflower")
    assert winner is not None and got == [winner.run] * len(names)


def test_a_run_is_alive_until_its_process_ends() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        mine = _this_run.run_id(process.pid)
        assert not _this_run.known_dead(mine)
        # The same number, given to another process later.
        assert _this_run.known_dead(mine.rpartition(" ")[0] + " 1")
        process.kill()
        # A zombie until somebody asks.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert _this_run.known_dead(mine)
    assert _this_run.known_dead(mine)
    assert not _this_run.known_dead(ELSEWHERE) and not _this_run.known_dead("nonsense") and not _this_run.known_dead("")


def test_a_place_that_cannot_be_written_is_named() -> None:
    with pytest.raises(CoopError, match="/proc/locks cannot be used for locks"):
        _run_lock.take("/proc/locks", "sunflower", "a", "a", 60)


@pytest.mark.programs
@pytest.mark.parametrize("strategy", ["linear", "free"])
def test_in_a_wave_everybody_gives_the_lock_back(strategy: str, tmp_path: pathlib.Path) -> None:
    """The shape of the playbooks: a service that fails ends the wave, with nothing left locked; those that come after are not touched."""
    lock = {"name": "{{ inventory_hostname }}", "directory": str(tmp_path / "locks")}
    work = {
        "block": [
            {"meet.coop.run_lock": lock},
            {"block": [{"ansible.builtin.fail": {"msg": "broken"}, "when": "inventory_hostname == 'b'"}],
             "rescue": [{"ansible.builtin.fail": {"msg": "taken back"}}]},
            {"meet.coop.run_lock": {**lock, "state": "absent"}},
        ],
        "rescue": [{"meet.coop.run_lock": {**lock, "state": "absent"}},
                   {"ansible.builtin.fail": {"msg": "{{ ansible_failed_result.msg }}"}}],
    }  # fmt: skip
    wave = {"serial": 2, "max_fail_percentage": 0} if strategy == "linear" else {"strategy": "ansible.builtin.free"}
    book = tmp_path / "upgrade.yml"
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, **wave, "tasks": [work]}]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "a,b,c", "-c", "local", str(book)]
    done = subprocess.run(command, cwd=ansible.ROOT, env=ansible.environment(), text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 2 and "taken back" in done.stdout, done.stdout
    assert ("\nc " in done.stdout.partition("PLAY RECAP")[2]) == (strategy == "free"), done.stdout
    assert list((tmp_path / "locks").glob("*.json")) == []


@pytest.mark.programs
@pytest.mark.parametrize("no_log", [False, True, "{{ hidden }}"])
def test_a_failure_is_told_again_unless_it_may_hold_a_secret(no_log: bool | str, tmp_path: pathlib.Path) -> None:
    again = yaml.safe_load((ansible.ROOT / "playbooks" / "tasks" / "fail_as_it_did.yml").read_text())[0]
    broken = {"name": "Change the password", "ansible.builtin.fail": {"msg": "the server refuses Pass-W0rd-9999"}, "no_log": no_log}
    play = {"hosts": "localhost", "gather_facts": False, "vars": {"hidden": True}, "tasks": [{"block": [broken], "rescue": [again]}]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml")]
    done = subprocess.run(command, cwd=ansible.ROOT, env=ansible.environment(), text=True, capture_output=True, timeout=300, check=False)
    # What ansible-core itself shows of the first failure stands before it, or in the errors.
    said = " ".join(done.stdout.partition("Fail as it did")[2].split())
    assert done.returncode == 2
    if no_log:
        assert 'failed at "Change the password"' in said and "Pass-W0rd-9999" not in said
    else:
        assert "the server refuses Pass-W0rd-9999" in said
