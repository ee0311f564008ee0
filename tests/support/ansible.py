# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module, run by the real ansible on a host of the lab, as a function call."""

from __future__ import annotations

import atexit
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

    def run(self, argv: Sequence[str], env: Mapping[str, str], out: Path, err: Path, timeout: float) -> int:
        """One run; returns its exit status, raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"argv": list(argv), "env": dict(env), "out": str(out), "err": str(err)}) + "\n")
        self.process.stdin.flush()
        child = int(self._answer(60))
        try:
            return int(self._answer(timeout))
        except TimeoutError as error:
            os.killpg(child, signal.SIGKILL)
            self._answer(60)
            raise subprocess.TimeoutExpired(list(argv), timeout) from error

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(10)

    def _answer(self, seconds: float) -> str:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError
        return self.process.stdout.readline().strip()


_nurseries: dict[str, Nursery] = {}
_guard = threading.Lock()


def _run(argv: Sequence[str], own: Mapping[str, str], env: Mapping[str, str], out: Path, err: Path, timeout: float) -> int:
    """ansible-playbook with the environment env and own, in a nursery of that environment; in a process of its own when that is busy."""
    key = json.dumps(sorted(env.items()))
    with _guard:
        if key not in _nurseries or _nurseries[key].process.poll() is not None:
            _nurseries[key] = Nursery(env)
        nursery = _nurseries[key]
    if nursery.lock.acquire(blocking=False):
        try:
            return nursery.run(argv, own, out, err, timeout)
        finally:
            nursery.lock.release()
    with out.open("w") as out_file, err.open("w") as err_file:
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", *argv],
            cwd=ROOT, env={**env, **own}, stdin=subprocess.DEVNULL, stdout=out_file, stderr=err_file, timeout=timeout, check=False,
        ).returncode  # fmt: skip


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
        playbook, answer, out, err = (Path(scratch) / name for name in ("play.yml", "result.json", "out", "err"))
        playbook.write_text(json.dumps([play]))
        env = environment(
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS), ANSIBLE_STDOUT_CALLBACK="minimal", ANSIBLE_CALLBACKS_ENABLED="lab_result"
        )
        # pytest tells here which test it runs; a new one is not a new environment.
        env.pop("PYTEST_CURRENT_TEST", None)
        code = _run(["-i", str(inventory), *options, str(playbook)], {"LAB_RESULT_FILE": str(answer)}, env, out, err, timeout)
        lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
        said = "\n".join(path.read_text(errors="replace") for path in (out, err))
    if len(lines) != 1:
        raise AssertionError(f"{module} on {host} gave {len(lines)} results (ansible ended with {code}):\n{said}")
    result: dict[str, Any] = json.loads(lines[0])
    return result
