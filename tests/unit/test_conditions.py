# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions take what a command line gives: -e restore_all=true is text, and Ansible since 2.19 refuses text as a condition."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONDITIONS = ("when", "that", "failed_when", "changed_when", "until")


def switches() -> set[str]:
    """All variables of roles that are true or false."""
    specs = [yaml.safe_load(path.read_text())["argument_specs"] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")]
    options = [(entry.get("options") or {}).items() for spec in specs for entry in spec.values()]
    return {name for found in options for name, option in found if option["type"] == "bool"}


def conditions(part: Any) -> Iterator[str]:
    for key, value in part.items() if isinstance(part, dict) else ():
        if key in CONDITIONS:
            yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from conditions(value)


def bare(condition: str, names: set[str]) -> list[str]:
    """The switches that a condition takes as they come."""
    words = re.finditer(r"(?<![\w.'])([a-z_]+)\b(?! is )( \| default\([^)]*\))?(?! \| bool)", condition)
    return [word[1] for word in words if word[1] in names and not condition[word.end() :].startswith((" | default", " | ternary"))]


def test_switches_are_made_true_or_false_before_they_are_asked() -> None:
    names = switches()
    assert bare("restore_all or restore_all | bool", names) == ["restore_all"] and len(names) > 30
    found = [
        f"{path.relative_to(ROOT)}: {condition}"
        for folder in ("roles/*/tasks", "roles/*/handlers", "playbooks", "playbooks/tasks")
        for path in ROOT.glob(f"{folder}/*.yml")
        for condition in conditions(yaml.safe_load(path.read_text()))
        if bare(condition, names)
    ]
    assert found == []
