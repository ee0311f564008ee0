# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ansible-playbook, and one module run by it on a host of the lab, as function calls."""

from __future__ import annotations

import atexit
import collections
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.config import HOSTS, Lab

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = Lab.from_environment().inventory
CALLBACKS = Path(__file__).resolve().parent / "callback"


def environment(**more: str) -> dict[str, str]:
    """Environment of ansible's programs: this checkout's configuration, no colours, the virtual environment's programs first."""
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
        "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}", **more,
    }  # fmt: skip


class Nursery:
    """Runs ansible-playbook as children of one process that has imported ansible already (tests/support/nursery.py)."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            cwd=ROOT, env=dict(env), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)
        if self._answer(60) != "ready":
            raise AssertionError("ansible could not be imported")

    def run(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], files: Mapping[str, str], timeout: float | None) -> int:
        """One run; returns its exit status, raises subprocess.TimeoutExpired after ``timeout`` seconds. Files: its input, out and err."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"argv": list(argv), "cwd": str(cwd), "env": dict(env), **files}) + "\n")
        self.process.stdin.flush()
        child = int(self._answer(60))
        try:
            return int(self._answer(timeout))
        except TimeoutError as error:
            os.killpg(child, signal.SIGKILL)
            self._answer(60)
            raise subprocess.TimeoutExpired(list(argv), timeout or 0) from error

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _answer(self, seconds: float | None) -> str:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        return self.process.stdout.readline().strip()


# By what ansible reads when it is imported; each asked for so many times.
_nurseries: dict[str, Nursery] = {}
_asked: collections.Counter[str] = collections.Counter()
_guard = threading.Lock()
# Folders of a test of its own in the environment make an environment of its own: those are many, and each would keep its memory.
NURSERIES = 3


def _nursery(cwd: Path, env: Mapping[str, str]) -> Nursery | None:
    """The nursery for this environment. The first run of an environment has a process of its own: most environments have but one."""
    read = {name: value for name, value in env.items() if name.startswith(("ANSIBLE_", "PYTHON", "LC_", "LANG", "HOME", "PATH", "TMPDIR"))}
    key = json.dumps([sorted(read.items()), None if "ANSIBLE_CONFIG" in env else str(cwd)])
    with _guard:
        _asked[key] += 1
        if key in _nurseries and _nurseries[key].process.poll() is None:
            return _nurseries[key]
        if _asked[key] < 2 or len(_nurseries) >= NURSERIES:
            return None
        _nurseries[key] = Nursery(read)
        return _nurseries[key]


def run_playbook(
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    together: bool = False,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """ansible-playbook as subprocess.run starts it, without the time it takes to start. Together: stderr is part of stdout.

    The run is a child of a process that has imported ansible, in a session of its own; when another run is that child, it has a process
    of its own. Whoever watches or kills a run while it goes starts it with subprocess.
    """
    program = ["ansible-playbook"] if command[0] == "ansible-playbook" else [sys.executable, "-m", "ansible", "playbook"]
    assert list(command[: len(program)]) == program, command
    argv = list(command[len(program) :])
    env = dict(environment() if env is None else env)
    with tempfile.TemporaryDirectory(prefix="ansible-run-") as scratch:
        files = {name: str(Path(scratch) / name) for name in ("input", "out", "err")}
        Path(files["input"]).write_text(input or "")
        if together:
            files["err"] = files["out"]
        nursery = _nursery(cwd, env)
        if nursery is not None and nursery.lock.acquire(blocking=False):
            try:
                code = nursery.run(argv, cwd, env, files, timeout)
            finally:
                nursery.lock.release()
        else:
            with open(files["input"]) as given, open(files["out"], "a") as out, open(files["err"], "a") as err:
                code = subprocess.run(
                    [sys.executable, "-m", "ansible", "playbook", *argv],
                    cwd=cwd, env=env, stdin=given, stdout=out, stderr=err, timeout=timeout, check=False,
                ).returncode  # fmt: skip
        said = [Path(files[name]).read_text(errors="replace") for name in ("out", "err")]
    return subprocess.CompletedProcess(list(command), code, said[0], "" if together else said[1])


def run_module(
    host: str,
    module: str,
    args: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    diff: bool = True,
    become: bool | None = None,
    extra_vars: Mapping[str, Any] | None = None,
    inventory: Path | None = None,
    timeout: float = 300,
) -> dict[str, Any]:
    """Run ONE module on one host and return its result as a dict; failures too (look at ``failed`` and ``msg``).

    Hosts are those of the lab, "localhost" for what runs on the controller, or a service of the membership file (then the whole lab
    inventory is read, which takes longer). Nothing of the arguments is put on a command line.
    """
    if inventory is None:
        inventory = INVENTORY / "hosts.yml" if host in HOSTS or host == "localhost" else INVENTORY
    task = {"name": f"Test {module}", module: dict(args or {})}
    play: dict[str, Any] = {"hosts": host, "gather_facts": False, "tasks": [task], "vars": dict(extra_vars or {})}
    if become is not None:
        play["become"] = become
    options = [*(["--check"] if check else []), *(["--diff"] if diff else [])]
    with tempfile.TemporaryDirectory(prefix="run-module-") as scratch:
        playbook, answer = (Path(scratch) / name for name in ("play.yml", "result.json"))
        playbook.write_text(json.dumps([play]))
        env = environment(
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS), ANSIBLE_STDOUT_CALLBACK="minimal", ANSIBLE_CALLBACKS_ENABLED="lab_result",
            LAB_RESULT_FILE=str(answer),
        )  # fmt: skip
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), *options, str(playbook)]
        done = run_playbook(command, env=env, timeout=timeout, together=True)
        lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
    if len(lines) != 1:
        raise AssertionError(f"{module} on {host} gave {len(lines)} results (ansible ended with {done.returncode}):\n{done.stdout}")
    result: dict[str, Any] = json.loads(lines[0])
    return result
