# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One role, run by the real ansible-playbook on a host of the lab."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support import ansible


def apply_role(
    role: str, host: str, variables: Mapping[str, Any] | None = None, *, check: bool = False, inventory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a role of the collection on one host. Look at returncode; output is in stdout."""
    play = {"hosts": host, "gather_facts": False, "roles": [f"meet.coop.{role}"], "vars": dict(variables or {})}
    with tempfile.TemporaryDirectory(prefix="apply-role-") as scratch:
        playbook = Path(scratch) / "play.yml"
        playbook.write_text(yaml.safe_dump([play]))
        command = [sys.executable, "-m", "ansible", "playbook", "--diff", *(["--check"] if check else []),
                   "-i", str(inventory or ansible.INVENTORY / "hosts.yml"), str(playbook)]  # fmt: skip
        return ansible.run_playbook(command, cwd=ansible.ROOT, env=ansible.environment(), timeout=900, together=True)


def recap(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """The numbers of the last line of a run: ok, changed, failed and so on."""
    line = done.stdout.strip().splitlines()[-1]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
