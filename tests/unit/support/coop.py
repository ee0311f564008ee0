# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small co-operative whose producers take turns, as files to bend in tests."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible_collections.meet.coop.plugins.modules.support_rota import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._support.rota_task import RotaTask
from tests.unit.cooperative.coop import dump
from tests.unit.membership.base import BASE

RULES: dict[str, Any] = {"from": "2026-01-05", "time_zone": "Europe/Madrid"}
AT = "2026-01-01T00:00:00Z"


class Support:
    """A membership file and a rota in a folder: producers ada, bob and cia unless said otherwise."""

    def __init__(self, path: pathlib.Path, members: dict[str, dict[str, Any]] | str = "ada bob cia") -> None:
        self.path = path
        self.folder = path / "support"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.members({name: {} for name in members.split()} if isinstance(members, str) else members)
        self.rota()

    def members(self, members: dict[str, dict[str, Any]], **more: Any) -> None:
        """The register; each with fields of its own, None takes one away."""
        agaric = BASE["members"]["agaric"]
        said = {name: {**agaric, "name": name.title(), "evidence": {**agaric["evidence"], "number": name}, **own}
                for name, own in members.items()}  # fmt: skip
        plain = {name: {key: value for key, value in own.items() if value is not None} for name, own in said.items()}
        self.write("members.yml", {"cooperative": BASE["cooperative"], "members": plain, **more})

    def write(self, name: str, data: Any) -> pathlib.Path:
        """A file: text, or values as YAML."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else dump(data), encoding="utf-8")
        return path

    def rota(self, *sets: dict[str, Any], **more: Any) -> None:
        """The rules, with holidays and swaps."""
        self.write("support/rota.yml", {"rota": list(sets) or [RULES], **more})

    def run(self, at: str = AT, check: bool = False, **options: Any) -> dict[str, Any]:
        """The module's result."""
        params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
        return RotaTask({**params, "membership": [str(self.path / "members.yml")], "at": at, **options}).run(check)

    def holders(self, at: str = AT, **options: Any) -> dict[str, str | None]:
        """Who has which turn, by its first day, with nothing written."""
        return {turn["day"]: turn["producer"] for turn in self.run(at, check=True, **options)["turns"]}
