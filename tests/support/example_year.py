# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes what is written in docs/example-year from the plain files in it: python -m tests.support.example_year, or ./dev docs.

Outcomes of decisions, twelve closed months, and the invoices of one of them. The tests make it in another place, by the same function, and
hold it against what is shipped, byte for byte.
"""

from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.modules import month_settlement, statement_documents
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import DecisionTask
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.documents import DocumentsTask
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Period
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settling import MonthTask

SHIPPED = pathlib.Path(__file__).parents[2] / "docs" / "example-year"
MONTHS = tuple(Period(2025, month) for month in range(1, 13))
# The day on which all is done. Nothing that is written depends on it.
AS_OF = "2026-01-20"
# The one bill of the year that came when its month was closed, and the month that takes it.
LATE, TAKEN_IN = "bills/2025-08/domain-late.yml", Period(2025, 9)
# The month whose invoices are shipped.
INVOICED = Period(2025, 3)
WRITTEN = ("closed", "draft", "documents", "books.*", "outcome.yml")


def copy_plain(path: pathlib.Path) -> bytes:
    """The plain files of the example year; the bill that comes late is kept back, and given."""
    shutil.copytree(SHIPPED, path, ignore=shutil.ignore_patterns(*WRITTEN), dirs_exist_ok=True)
    late = path / "money" / LATE
    kept = late.read_bytes()
    late.unlink()
    return kept


def params(spec: dict[str, dict[str, Any]], path: pathlib.Path, **given: Any) -> dict[str, Any]:
    """Options of a module with their defaults."""
    found = {name: option.get("default") for name, option in spec.items()}
    return {**found, "membership": [str(path / "members.yml")], "as_of": AS_OF, **given}


def decide(path: pathlib.Path) -> None:
    """Writes the outcomes of the decisions."""
    DecisionTask({"membership": [str(path / "members.yml")], "directory": None, "as_of": AS_OF, "require": []}).run(check_mode=False)


def close(path: pathlib.Path, late: bytes, months: Sequence[Period]) -> None:
    """Closes months one after the other."""
    for month in months:
        if month == TAKEN_IN:
            (path / "money" / LATE).write_bytes(late)
        MonthTask(params(month_settlement.ARGUMENT_SPEC, path, month=str(month), state="closed")).run(check_mode=False)


def invoice(path: pathlib.Path, month: Period) -> None:
    """Makes the invoices of a month."""
    DocumentsTask(params(statement_documents.ARGUMENT_SPEC, path, month=str(month))).run(check_mode=False)


def make(path: pathlib.Path) -> None:
    """The whole year."""
    late = copy_plain(path)
    decide(path)
    close(path, late, MONTHS)
    invoice(path, INVOICED)


def files(path: pathlib.Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def main() -> None:
    """Writes what is other than shipped."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "coop"
        make(path)
        made, shipped = files(path), files(SHIPPED)
    changed = [name for name in sorted({*made, *shipped}) if made.get(name) != shipped.get(name)]
    for name in changed:
        file = SHIPPED / name
        if name in made:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(made[name])
        else:
            file.unlink()
    print(f"docs/example-year: {len(changed)} files changed, {len(made)} in all")


if __name__ == "__main__":
    main()
