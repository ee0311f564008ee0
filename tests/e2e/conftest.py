# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays run as an operator runs them: ansible-playbook, the lab's inventory, nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.ansible import INVENTORY, ROOT, environment

# The lab is bare only once: what is asked of bare hosts comes before everything that has them onboarded.
ORDER = (
    "test_onboard.py", "test_review.py", "test_browser.py", "test_verification_sees.py", "test_people.py", "test_accounts.py",
    "test_announce.py",
    "test_status_served.py", "test_rotate.py", "test_domains.py", "test_bad_days.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(item.path.name) if item.path.name in ORDER else len(ORDER))


@dataclasses.dataclass
class Play:
    """What one ansible-playbook run said."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Per host: ok, changed, unreachable, failed, skipped, rescued, ignored."""
        found: dict[str, dict[str, int]] = {}
        for line in self.output.partition("PLAY RECAP")[2].splitlines():
            match = re.match(r"(\S+)\s+:\s+(ok=.*)", line)
            if match:
                found[match.group(1)] = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", match.group(2))}
        return found

    @property
    def changed(self) -> dict[str, int]:
        return {host: numbers["changed"] for host, numbers in self.recap.items() if numbers["changed"]}

    @property
    def failed(self) -> set[str]:
        return {host for host, numbers in self.recap.items() if numbers["failed"] or numbers["unreachable"]}


def command(playbook: str, *arguments: str, inventory: pathlib.Path = INVENTORY) -> list[str]:
    return ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / playbook), *arguments]


@pytest.fixture(scope="session")
def play() -> Callable[..., Play]:
    """Runs a playbook to its end."""

    def run(playbook: str, *arguments: str, inventory: pathlib.Path = INVENTORY, timeout: float = 900) -> Play:
        done = subprocess.run(
            command(playbook, *arguments, inventory=inventory),
            cwd=ROOT, env=environment(), text=True, capture_output=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Play(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture(scope="session")
def play_killed_at() -> Callable[..., bool]:
    """Runs a playbook and kills the whole run (SIGKILL) as soon as a task begins; whether it came that far."""

    def run(task: str, delay: float, playbook: str, *arguments: str, inventory: pathlib.Path = INVENTORY) -> bool:
        process = subprocess.Popen(
            command(playbook, *arguments, inventory=inventory), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("TASK [") and task in line:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(delay)
                    return True
            return False
        finally:
            kill_with_workers(process.pid)
            process.wait()
            process.stdout.close()

    return run


def kill_with_workers(pid: int) -> None:
    """Kills a run and every process it has begun here: its workers have sessions of their own, and would finish their task without it."""
    with contextlib.suppress(ProcessLookupError):  # it may have come to its end
        os.kill(pid, signal.SIGSTOP)
    parents: dict[int, list[int]] = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found.extend(parents.get(one, []))
    for one in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


@pytest.fixture(scope="session")
def onboarded(lab: Any, play: Callable[..., Play]) -> Iterator[Play]:
    """The lab's co-op, onboarded once for all tests that need it."""
    outcome = play("onboard.yml")
    assert outcome.code == 0, outcome.output[-6000:]
    yield outcome


@pytest.fixture(scope="session")
def receipts(lab: Any) -> Callable[[str], dict[str, Any]]:
    """The receipt of an instance."""

    def read(instance: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((lab.state / "receipts" / f"{instance}.json").read_text())
        return found

    return read


@pytest.fixture
def other_inventory(tmp_path: pathlib.Path) -> Iterator[Callable[[Callable[[str], str]], pathlib.Path]]:
    """A copy of the lab's inventory whose membership file a function has changed."""

    def change(edit: Callable[[str], str]) -> pathlib.Path:
        copy = tmp_path / "inventories" / "lab"
        shutil.copytree(INVENTORY, copy)
        (tmp_path / ".lab").symlink_to(ROOT / ".lab")
        for path in copy.rglob("members.yml"):
            before = path.read_text()
            after = edit(before)
            assert after != before
            path.write_text(after)
        return copy

    yield change
