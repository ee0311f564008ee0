# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stdout callback, by real runs of ansible-playbook on this machine: with and without a terminal."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import select
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.meet.coop.plugins.plugin_utils._progress.board import Board, Outcome, clock, one_line, recap, stage_of
from tests.support.ansible import environment, run_playbook

SECRET = "wH4tNobodyMaySee"
CURSOR = "\x1b["
PLAY = """
- name: Members
  hosts: members
  gather_facts: false
  strategy: STRATEGY
  tasks:
    - name: Tell
      ansible.builtin.debug: {msg: "a message for {{ inventory_hostname }}"}
    - name: Keep a file
      ansible.builtin.copy:
        content: "of {{ inventory_hostname }}\\n"
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.txt"
        mode: "0600"
      when: inventory_hostname in ['rosa', 'cafe']
    - name: Nobody needs this
      ansible.builtin.command: "false"
      when: false
    - name: Hide
      ansible.builtin.command: "echo {{ secret }}"
      no_log: true
      changed_when: false
    - name: Look
      ansible.builtin.fail: {msg: "the database is closed\\nopen it"}
      when: inventory_hostname == 'cafe'
    - name: Try
      block:
        - name: Break for a moment
          ansible.builtin.fail: {msg: rescued}
          when: inventory_hostname == 'rosa'
      rescue:
        - name: Mend
          ansible.builtin.command: "true"
          changed_when: false
    - name: Break hidden
      ansible.builtin.fail: {msg: "{{ secret }}"}
      no_log: true
      when: inventory_hostname == 'hidden'
    - name: Break one of many
      ansible.builtin.command: "{{ item }}"
      loop: ["true", "false"]
      changed_when: false
      when: inventory_hostname == 'looped'
- name: On the controller
  hosts: localhost
  gather_facts: false
  connection: local
  tasks:
    - name: Count
      ansible.builtin.command: "true"
"""
INVENTORY = """
[members]
sunflower ansible_connection=local
rosa ansible_connection=local
cafe ansible_connection=local
hidden ansible_connection=local
looped ansible_connection=local
lost ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh
[members:vars]
ansible_python_interpreter=PYTHON
"""
KEEPERS = ("CI", "AWX_", "RUNNER_", "JOB_ID", "SEMAPHORE_")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "play.yml").write_text(PLAY.replace("STRATEGY", "ansible.builtin.free"))
    (tmp_path / "hosts.ini").write_text(INVENTORY.replace("PYTHON", sys.executable))
    return tmp_path


def command(folder: pathlib.Path, *more: str) -> tuple[list[str], dict[str, str]]:
    env = {name: value for name, value in environment(ANSIBLE_STDOUT_CALLBACK="meet.coop.progress").items() if not name.startswith(KEEPERS)}
    words = ["ansible-playbook", "-i", str(folder / "hosts.ini"), str(folder / "play.yml"), "-e", f"secret={SECRET}", *more]
    return words, {**env, "TERM": "xterm-256color"}


def plainly(folder: pathlib.Path, *more: str) -> tuple[int, str]:
    words, env = command(folder, *more)
    done = run_playbook(words, cwd=folder, env=env, timeout=300, together=True)
    return done.returncode, done.stdout


def on_a_terminal(folder: pathlib.Path, *more: str, **variables: str) -> tuple[int, str]:
    words, env = command(folder, *more)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, True)
    child = subprocess.Popen(words, env={**env, "COLUMNS": "100", "LINES": "30", **variables}, stdin=theirs, stdout=theirs, stderr=theirs,
                             cwd=folder, start_new_session=True)  # fmt: skip
    subprocess.run(["stty", "cols", "100", "rows", "30"], stdin=ours, check=True)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], 300)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return child.wait(60), seen.decode("utf-8", "replace")


def tail(output: str) -> str:
    return output[output.rindex(" hosts in ") - 4 :]


@pytest.mark.programs
def test_plain_lines_and_a_recap_that_says_what_to_do(folder: pathlib.Path) -> None:
    code, output = plainly(folder, "--diff")
    assert code != 0 and CURSOR not in output and "\r" not in output and SECRET not in output, output
    lines = output.splitlines()
    assert len([line for line in lines if re.fullmatch(r"\[ *\d+:\d\d\] sunflower: Members", line)]) == 1, output
    assert len([line for line in lines if re.fullmatch(r"\[ *\d+:\d\d\] localhost: changed: Count", line)]) == 1, output
    assert "Members: 6 hosts" in lines and "On the controller: 1 host" in lines
    # as the default callback has it: messages, diffs, failures
    assert "a message for sunflower" in output and "+of rosa" in output and "fatal: [cafe]: FAILED!" in output
    assert "fatal: [lost]: UNREACHABLE!" in output
    assert "Nobody needs this" not in output
    end = tail(output)
    assert "7 hosts in" in end and "1 in sync: sunflower" in end and "2 changed: localhost, rosa" in end and "4 failed:" in end, end
    assert "cafe: Look: the database is closed open it" in end
    assert "hidden: Break hidden: " in end and "no_log" in end
    assert re.search(r"looped: Break one of many: false: \S+", end), end
    assert "lost: not reached: " in end
    assert "rescued" not in end
    assert f"ansible-playbook -i {folder}/hosts.ini {folder}/play.yml -l cafe,hidden,looped,lost" in end
    code, again = plainly(folder, "-l", "sunflower,rosa")
    assert code == 0 and "2 in sync: rosa, sunflower" in tail(again) and "Nothing is left to do." in tail(again), again


@pytest.mark.programs
def test_check_mode_is_marked_and_nothing_is_called_changed(folder: pathlib.Path) -> None:
    (folder / "play.yml").write_text(PLAY.replace("STRATEGY", "ansible.builtin.linear"))
    code, output = plainly(folder, "--check", "-l", "sunflower,rosa")
    assert code == 0, output
    assert "Members: 2 hosts (check mode)" in output and "rosa: would change: Keep a file" in output
    assert "(check mode: nothing was changed)" in tail(output) and "1 would change: rosa" in tail(output)
    assert "Next: the same without --check does it." in tail(output)
    assert not (folder / "rosa.txt").exists()


@pytest.mark.programs
def test_on_a_terminal_the_members_at_work_stand_below_with_a_bar(folder: pathlib.Path) -> None:
    gate = folder / "gate"
    (folder / "play.yml").write_text(
        "- name: Members\n  hosts: members\n  gather_facts: false\n  strategy: ansible.builtin.free\n  tasks:\n"
        "    - name: Take long\n"
        f"      ansible.builtin.wait_for: {{path: '{gate}', timeout: 240}}\n"
        "      when: inventory_hostname != 'cafe'\n"
        "    - name: Look\n      ansible.builtin.fail: {msg: the database is closed}\n      when: inventory_hostname == 'cafe'\n"
    )
    words, env = command(folder, "-l", "sunflower,rosa,cafe")
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", "100", "rows", "30"], stdin=theirs, check=True)
    child = subprocess.Popen(words, env=env, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, start_new_session=True)
    os.close(theirs)
    seen = ""
    while select.select([ours], [], [], 300)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        seen += part.decode("utf-8", "replace")
        if re.search(r"sunflower +Members +\d+:\d\d  Take long", seen) and re.search(r"3 hosts, 1 failed", seen):
            gate.touch()  # only when it was seen
    os.close(ours)
    assert child.wait(60) != 0 and gate.exists(), seen
    assert re.search(r"[█#]*[░-]+ +\d+ %  3 hosts, 1 failed  \d+:\d\d  Members", seen), seen
    drawn = re.findall(r"\r\x1b\[J(?!\r)([^\x1b]+)", seen)
    assert drawn and all(len(line) < 100 for view in drawn for line in view.split("\r\n") if "%" in line)
    end = seen[seen.rindex(" hosts in ") :]
    assert "cafe: Look: the database is closed" in end and "\x1b[J" not in end, end
    # One who asks for plain lines gets them on a terminal too, and so does who keeps the output, such as CI.
    (folder / "play.yml").write_text(PLAY.replace("STRATEGY", "ansible.builtin.free"))
    for wish in ({"MEET_COOP_PROGRESS_LIVE": "never"}, {"CI": "true"}):
        code, plain = on_a_terminal(folder, "-l", "sunflower", ANSIBLE_NOCOLOR="1", **wish)
        assert code == 0 and CURSOR not in plain and "1 in sync: sunflower" in plain, plain


@pytest.mark.parametrize(
    ("action", "role", "now", "stage"),
    [
        ("meet.coop.greenlight_database", "meet.coop.instance", "secrets", "database"),
        ("meet.coop.dns_zone", "meet.coop.dns", None, "DNS"),
        ("ansible.builtin.assert", "meet.coop.consumer", None, "checks"),
        ("ansible.builtin.copy", "meet.coop.instance", "container", "container"),
        ("ansible.builtin.apt", "meet.coop.container_host", "DNS", "container host"),
        ("ansible.builtin.debug", None, None, "A play"),
        ("meet.coop.usage_info", None, "A play", "A play"),
    ],
)
def test_stages(action: str, role: str | None, now: str | None, stage: str) -> None:
    assert stage_of(action, role, "A play", now) == stage


def test_a_stage_is_told_once_and_only_when_something_of_it_was_done() -> None:
    board = Board(0)
    board.open("Play", ["rosa"])
    board.begin("rosa", "sign-in", "t", 0, 1)
    assert board.end("rosa", skipped=True) is None
    board.begin("rosa", "DNS", "t", 0, 2)
    assert board.waiting(5) == [] and board.waiting(60) == [("rosa", "DNS")] and board.waiting(61) == []
    assert board.end("rosa") is None  # was told while it lasted
    board.begin("rosa", "database", "t", 0, 62)
    assert board.end("rosa") == "database"
    board.begin("rosa", "database", "t", 0, 63)
    assert board.end("rosa") is None


EVENTS = some.tuples(some.sampled_from("abcdefghijklmnop"), some.sampled_from(["DNS", "container", "x"]), some.booleans())


@given(some.lists(EVENTS, max_size=60), some.integers(1, 200), some.integers(1, 60))
def test_the_view_never_grows_beyond_the_terminal_and_the_bar_never_goes_back(
    events: list[tuple[str, str, bool]], width: int, height: int
) -> None:
    board, shares = Board(0), [0]
    board.open("Play", "abcdefghijklmnop")
    for number, (name, stage, failed) in enumerate(events):
        board.begin(name, stage, "task", number / 60, number)
        if failed:
            board.end(name)
        view = board.lines(width, height, number + 1)
        assert len(view) <= max(2, height) and all(len(line) <= width for line in view)
        found = re.search(r"(\d+) %", board.overall(number + 1))
        assert found
        shares.append(int(found.group(1)))
    assert shares == sorted(shares) and max(shares) <= 100


@given(some.lists(some.builds(Outcome, some.text("abc", min_size=1, max_size=3), some.integers(0, 3), some.booleans(), some.booleans()),
                  unique_by=lambda one: one.name))  # fmt: skip
def test_the_recap_counts_everybody_once_and_names_all_that_failed(outcomes: list[Outcome]) -> None:
    told = recap(outcomes, {}, 61, False, "ansible-playbook site.yml")
    counted = sum(int(found.group(1)) for _kind, line in told if (found := re.match(r" +(\d+) (?:in sync|changed|failed):", line)))
    assert counted == len(outcomes)
    lost = [one.name for one in outcomes if one.failed or one.unreachable]
    assert [line for _kind, line in told if " -l " in line] == ([f"      ansible-playbook site.yml -l {','.join(lost)}"] if lost else [])


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (7.9, "0:07"), (750, "12:30"), (3725, "1:02:05")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_reason_is_one_line_without_control_characters() -> None:
    line = one_line("a\x1b[2J\n b" + "c" * 500)
    assert line.startswith("a [2J b") and len(line) == 300 and line.isprintable()
