# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the tasks of a role as one list, so that a plan says of each service exactly what its run will say.

Imports, includes of tasks and blocks are opened; their conditions stand with each task. Nothing is evaluated here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

#: Reads a YAML file; gives None when it is empty.
Load = Callable[[str], Any]

_WORDS = """
    name when loop loop_control register vars delegate_to no_log changed_when failed_when become become_user run_once tags notify args
    check_mode diff block rescue always until retries delay environment ignore_errors ignore_unreachable throttle timeout
    """
_KEYWORDS = frozenset(_WORDS.split())
_OPENED = {"import_tasks", "include_tasks", "import_role"}


@dataclass(frozen=True)
class Step:
    """One task. Values are as the file has them."""

    role: str
    name: str
    module: str
    arguments: Mapping[str, Any]
    gates: tuple[Any, ...] = ()
    """Conditions of the includes it stands in: where one is false, the task does not exist and registers nothing."""
    conditions: tuple[Any, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    loop: Any = None
    register: str | None = None
    delegate_to: Any = None
    silent: bool = False
    """Whether the role says that what the task does is no change."""


@dataclass(frozen=True)
class Chain:
    """What a role does and the variables it brings."""

    steps: tuple[Step, ...]
    defaults: Mapping[str, Any]
    variables: Mapping[str, Any]
    folders: tuple[str, ...]
    """Directories of the roles, for their templates."""


def read(roles: str, role: str, load: Load) -> Chain:
    """The tasks of a role of this collection, below the directory `roles`, with those of the roles it imports."""
    reader = _Reader(roles, load)
    reader.open_role(role, _Around())
    return Chain(tuple(reader.steps), reader.defaults, reader.variables, tuple(reader.folders))


class _Around(NamedTuple):
    """What holds for all tasks of an include, an import or a block."""

    gates: tuple[Any, ...] = ()
    conditions: tuple[Any, ...] = ()
    variables: Mapping[str, Any] = MappingProxyType({})


class _Reader:
    def __init__(self, roles: str, load: Load) -> None:
        self.roles, self.load = roles, load
        self.steps: list[Step] = []
        self.defaults: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.folders: list[str] = []

    def open_role(self, role: str, around: _Around, tasks_from: str = "main.yml") -> None:
        folder = os.path.join(self.roles, role)
        self.folders.append(folder)
        for name, kept in (("defaults", self.defaults), ("vars", self.variables)):
            path = os.path.join(folder, name, "main.yml")
            if os.path.exists(path):
                kept.update(self.load(path) or {})
        self.open_file(role, os.path.join(folder, "tasks", tasks_from), around)

    def open_file(self, role: str, path: str, around: _Around) -> None:
        for task in self.load(path) or []:
            self.open_task(role, os.path.dirname(path), task, around)

    def open_task(self, role: str, folder: str, task: Mapping[str, Any], outer: _Around) -> None:
        when = task.get("when", ())
        conditions = (*outer.conditions, *(when if isinstance(when, (list, tuple)) else [when]))
        around = _Around(outer.gates, conditions, {**outer.variables, **(task.get("vars") or {})})
        if "block" in task:
            for one in task["block"]:
                self.open_task(role, folder, one, around)
            if task.get("rescue") or task.get("always"):
                self.steps.append(Step(role, str(task.get("name", "")), "block with rescue or always", {}, *around))
            return
        module = next((key for key in task if key not in _KEYWORDS and not key.startswith("with_")), "")
        arguments = task[module] if module else {}
        short = module.rpartition(".")[2]
        if short in _OPENED and "loop" not in task:
            if short == "import_role":
                name = str(arguments["name"]).removeprefix("meet.coop.")
                self.open_role(name, around, str(arguments.get("tasks_from", "main.yml")))
            else:
                name = arguments if isinstance(arguments, str) else arguments["file"]
                if short == "include_tasks":
                    around = _Around((*around.gates, *around.conditions), (), around.variables)
                self.open_file(role, os.path.join(folder, name), around)
            return
        loop = task.get("loop", next((task[key] for key in task if key.startswith("with_")), None))
        self.steps.append(
            Step(
                role=role,
                name=str(task.get("name", "")),
                module=module,
                arguments=arguments if isinstance(arguments, Mapping) else {"_raw_params": arguments},
                gates=around.gates,
                conditions=around.conditions,
                variables=around.variables,
                loop=loop,
                register=task.get("register"),
                delegate_to=task.get("delegate_to"),
                silent=task.get("changed_when") is False,
            )
        )
