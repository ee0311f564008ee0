# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-lint with its own arguments and its own rules, in half the time: python -m tests.support.lint ARGS.

Two things cost it most of its time, and neither looks at anything of ours. For each playbook and role it starts ansible-playbook, to check
the syntax; here those are children of a process that has ansible imported (tests/support/nursery.py). And for each of its rules it copies
every task, and with each word and list where it came from; here a copy has the same words, which do not change, and says of itself that it
came from the same place.
"""

from __future__ import annotations

import copy
import subprocess
import tempfile
import threading
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ansiblelint.runner
from ansible.parsing.dataloader import DataLoader
from ansiblelint.__main__ import _run_cli_entrypoint

from tests.support.ansible import Nursery

SYNTAX_CHECK = ["ansible-playbook", "--syntax-check"]
# Of each of ansible-lint's threads.
_own = threading.local()


def run(command: Sequence[str], *, env: Mapping[str, str], **_more: Any) -> subprocess.CompletedProcess[str]:
    """What ansible-lint calls subprocess.run for: a syntax check, with its output apart from its errors and nothing to read."""
    if list(command[:2]) != SYNTAX_CHECK:
        raise AssertionError(f"ansible-lint starts something new: {' '.join(command)}")
    if not hasattr(_own, "nursery"):
        _own.nursery = Nursery(env)
    with tempfile.TemporaryDirectory(prefix="lint-") as scratch:
        files = {name: str(Path(scratch) / name) for name in ("input", "out", "err")}
        Path(files["input"]).touch()
        code = _own.nursery.run(command[1:], Path.cwd(), env, files, 600)
        return subprocess.CompletedProcess(list(command), code, Path(files["out"]).read_text(), Path(files["err"]).read_text())


def copy_cheaply() -> None:
    """Teach what ansible reads from YAML, which are kinds of their own, to be copied as Python's own text, dictionaries and lists are."""

    def of_dictionary(value: dict[Any, Any], memo: dict[int, Any]) -> dict[Any, Any]:
        twin = copy.copy(value)
        for key, item in value.items():
            twin[key] = copy.deepcopy(item, memo)
        return twin

    def of_list(value: list[Any], memo: dict[int, Any]) -> list[Any]:
        twin = copy.copy(value)
        twin[:] = [copy.deepcopy(item, memo) for item in value]
        return twin

    for text, native, deeply in (("word", str, lambda word, _memo: word), ("{a: b}", dict, of_dictionary), ("[a]", list, of_list)):
        kind = type(DataLoader().load(text))
        if kind is not native:
            kind.__deepcopy__ = deeply


def main() -> None:
    ansiblelint.runner.subprocess = types.SimpleNamespace(run=run, PIPE=subprocess.PIPE)
    copy_cheaply()
    _run_cli_entrypoint()


if __name__ == "__main__":
    main()
