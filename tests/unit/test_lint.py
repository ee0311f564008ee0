# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-lint as ./dev starts it (tests/support/lint.py) still sees what it is there to see."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from tests.support.ansible import ROOT, environment

HEAD = "---\n- name: Books\n  hosts: localhost\n  tasks:\n    - name: Words\n"
BOOKS = {
    # ansible-playbook's own word, in a process of ours.
    "syntax.yml": HEAD + "      ansible.builtin.debug: {}\n      ansible.builtin.fail: {}\n",
    # Rules about a task and about words in it.
    "rules.yml": HEAD + '      debug:\n        msg: "{{hello}}"\n',
    "clean.yml": HEAD + "      ansible.builtin.debug:\n        msg: Hello\n",
}


@pytest.mark.programs
def test_mistakes_are_found_and_nothing_else(tmp_path: pathlib.Path) -> None:
    for name, text in BOOKS.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "tests.support.lint", "--offline", "--profile", "production", "--format", "codeclimate"]
    done = subprocess.run(
        [*command, *(str(tmp_path / name) for name in BOOKS)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    found = {(pathlib.PurePath(entry["location"]["path"]).name, entry["check_name"]) for entry in json.loads(done.stdout)}
    assert found == {("syntax.yml", "syntax-check[specific]"), ("rules.yml", "fqcn[action-core]"), ("rules.yml", "jinja[spacing]")}
