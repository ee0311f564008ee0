# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module, run by the real ansible on a host of the lab, as a function call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventories" / "lab"
CALLBACKS = Path(__file__).resolve().parent / "callback"


def environment(**more: str) -> dict[str, str]:
    """Environment of ansible's programs: this checkout's configuration, no colours, the virtual environment's programs first."""
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
        "PATH": f"{programs}:{os.environ.get('PATH', '/usr/bin:/bin')}", **more,
    }  # fmt: skip


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
    from tests.lab.config import HOSTS

    if inventory is None:
        inventory = INVENTORY / "hosts.yml" if host in HOSTS or host == "localhost" else INVENTORY
    task = {"name": f"Test {module}", module: dict(args or {})}
    play: dict[str, Any] = {"hosts": host, "gather_facts": False, "tasks": [task], "vars": dict(extra_vars or {})}
    if become is not None:
        play["become"] = become
    options = [*(["--check"] if check else []), *(["--diff"] if diff else [])]
    with tempfile.TemporaryDirectory(prefix="run-module-") as scratch:
        playbook, answer = Path(scratch) / "play.yml", Path(scratch) / "result.json"
        playbook.write_text(json.dumps([play]))
        own = {"ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_CALLBACKS_ENABLED": "lab_result"}
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), *options, str(playbook)],
            cwd=ROOT, text=True, capture_output=True, timeout=timeout, check=False, env=environment(LAB_RESULT_FILE=str(answer), **own),
        )  # fmt: skip
        lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
    if len(lines) != 1:
        said = f"{done.stdout}\n{done.stderr}"
        raise AssertionError(f"{module} on {host} gave {len(lines)} results (ansible ended with {done.returncode}):\n{said}")
    result: dict[str, Any] = json.loads(lines[0])
    return result
