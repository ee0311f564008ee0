# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The example year as files to settle again, and to bend, in tests."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible_collections.meet.coop.plugins.modules.month_settlement import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Period
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settling import MonthTask
from tests.support import example_year
from tests.support.example_year import MONTHS, SHIPPED

__all__ = ["MONTHS", "SHIPPED", "Year"]


class Year:
    """A copy of the plain files of the example year, nothing of it closed."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.money = path / "money"
        self.late = example_year.copy_plain(path)
        example_year.decide(path)

    def run(
        self, state: str = "settled", month: Period | str | None = None, as_of: str = "2026-01-20", check: bool = False, **given: Any
    ) -> dict:
        """The module's result."""
        params = example_year.params(ARGUMENT_SPEC, self.path, state=state, as_of=as_of, month=str(month) if month else None, **given)
        return MonthTask(params).run(check)

    def close(self, *months: Period) -> None:
        """Closes months one after the other."""
        example_year.close(self.path, self.late, months)

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
        return example_year.files(self.path)
