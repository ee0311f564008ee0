# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example year as files to settle again, and to bend, in tests."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

from ansible_collections.meet.coop.plugins.modules.month_settlement import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Period
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settling import MonthTask

SHIPPED = pathlib.Path(__file__).parents[3] / "docs" / "example-year"
MONTHS = tuple(Period(2025, month) for month in range(1, 13))
# The one bill of the year that came when its month was closed, and the month that takes it.
LATE, TAKEN_IN = "bills/2025-08/domain-late.yml", Period(2025, 9)


class Year:
    """A copy of the plain files of the example year, nothing of it closed."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.money = path / "money"
        shutil.copytree(SHIPPED, path, ignore=shutil.ignore_patterns("closed", "draft", "books.*"), dirs_exist_ok=True)
        self.late = (self.money / LATE).read_bytes()
        (self.money / LATE).unlink()

    def run(
        self, state: str = "settled", month: Period | str | None = None, as_of: str = "2026-01-20", check: bool = False, **given: Any
    ) -> dict:
        """The module's result."""
        params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
        params.update({"membership": [str(self.path / "members.yml")], "state": state, "as_of": as_of, **given})
        return MonthTask({**params, "month": str(month) if month else None}).run(check)

    def close(self, *months: Period) -> None:
        """Closes months one after the other."""
        for month in months:
            if month == TAKEN_IN:
                (self.money / LATE).write_bytes(self.late)
            self.run("closed", month)

    def edit(self, name: str, old: str, new: str) -> None:
        """Changes a file of the folder of the money files, or beside it."""
        path = self.money / name if (self.money / name).exists() else self.path / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def add(self, name: str, text: str) -> None:
        """A file of the folder of the money files."""
        path = self.money / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def tree(self) -> dict[str, bytes]:
        """Every file there is."""
        return {str(path.relative_to(self.path)): path.read_bytes() for path in sorted(self.path.rglob("*")) if path.is_file()}
