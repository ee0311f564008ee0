# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: invoices of a closed month on disk: C(documents/2026-03/). Observe what was issued, diff against what is wanted,
apply.

What is issued never changes: C(NUMBER.json) holds all that a document was made of, and C(documents.sha256) names it and every file made
of it. A file comes first and its line in the list after it, so what a killed run leaves is no document yet, and is written again.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem

from .cii import cii
from .closed import dump, listed, listing
from .files import sha256
from .invoices import Desk, Invoice, Wanted
from .ledger import MoneyError, Period
from .paper import paper
from .settling import MonthTask, existing, existing_files, write
from .terms import read_accounts
from .ubl import ubl

DOCUMENTS, LIST = "documents", "documents.sha256"
SUFFIX = {"ubl": ".ubl.xml", "cii": ".cii.xml", "facturx": ".facturx.pdf", "pdf": ".pdf"}
LIBRARIES = {"ubl": (), "cii": ("drafthorse",), "facturx": ("drafthorse", "weasyprint"), "pdf": ("weasyprint",)}


class DocumentsTask:
    """The work of one call of statement_documents."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.month = MonthTask({**params, "decisions": None, "state": "verified", "what_if": []})

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; files are written unless in check mode."""
        self.month.load()
        folder = self.month.folder
        sealed, produced = self.month.sealed()
        period = sealed.period
        base = os.path.join(folder, DOCUMENTS, str(period))
        issued = read_issued(folder, period)
        accounts, problems = read_accounts(folder)
        if problems:
            raise MoneyError(problems)
        desk = Desk(self.month.register.root, accounts, self.month.assembly.shown, all_numbers(folder))
        wanted = desk.wanted(produced.settled)
        if desk.problems:
            raise MoneyError(desk.problems)
        missing_libraries(wanted, issued)
        files: dict[str, bytes] = {}
        documents = []
        for one in wanted:
            invoice = one.invoice or read_invoice(base, one.number)
            names = {name: one.number + SUFFIX[name] for name in one.formats}
            if one.number + ".json" not in issued:
                files[one.number + ".json"] = dump(invoice.to_json()).encode()
            files.update((names[name], made) for name, made in make(invoice, [name for name in names if names[name] not in issued]).items())
            documents.append(self.told(one, invoice, period, list(names.values())))
        changed = sorted(name for name, data in files.items() if existing(os.path.join(base, name)) != data)
        if files:
            changed.append(LIST)
            if not check_mode:
                for name in changed[:-1]:
                    write(os.path.join(base, name), files[name], private=True)
                write(os.path.join(base, LIST), listing({**issued, **{name: sha256(data) for name, data in files.items()}}))
        shown = [f"{DOCUMENTS}/{period}/{name}" for name in changed]
        return {
            "changed": bool(files),
            "month": str(period),
            "directory": folder,
            "documents": documents,
            "files": shown,
            "not_made": desk.skipped,
            "summary": [f"{period}: {len(documents)} documents, {len(files)} files to write or written", *desk.skipped],
            "diff": {
                "before": "".join(f"{name}\n" for name in sorted(issued)),
                "after": "".join(f"{name}\n" for name in sorted({*issued, *files})),
                "before_header": f"{DOCUMENTS}/{period}, as it stands",
                "after_header": f"{DOCUMENTS}/{period}, now",
            },
        }

    @staticmethod
    def told(one: Wanted, invoice: Invoice, period: Period, names: Sequence[str]) -> dict[str, Any]:
        """What the module says of a document."""
        return {
            "number": invoice.number,
            "kind": "credit_note" if invoice.credit else "invoice",
            "owner": one.owner,
            "seller": invoice.seller.id,
            "currency": invoice.currency,
            "net": invoice.shown(invoice.net),
            "vat": invoice.shown(invoice.vat),
            "gross": invoice.shown(invoice.gross),
            "files": [f"{DOCUMENTS}/{period}/{name}" for name in names],
        }


def make(invoice: Invoice, formats: Sequence[str]) -> dict[str, bytes]:
    """The bytes of a document in each format."""
    found: dict[str, bytes] = {}
    data = cii(invoice) if {"cii", "facturx"} & set(formats) else b""
    for name in formats:
        found[name] = {
            "ubl": lambda: ubl(invoice),
            "cii": lambda: data,
            "facturx": lambda: paper(invoice, data),
            "pdf": lambda: paper(invoice),
        }[name]()
    return found


def missing_libraries(wanted: Sequence[Wanted], issued: Mapping[str, str]) -> None:
    """Raises CoopError when something is to be made and what makes it is not installed."""
    needed: dict[str, list[str]] = {}
    for one in wanted:
        for name in one.formats:
            if one.number + SUFFIX[name] not in issued:
                for library in LIBRARIES[name]:
                    needed.setdefault(library, []).append(f"{one.number} ({name})")
    missing = {library: docs for library, docs in needed.items() if importlib.util.find_spec(library) is None}
    if missing:
        first = next(iter(missing.values()))[0]
        said = f"{first} needs {' and '.join(missing)}, not installed on the controller; pip install {' '.join(missing)}"
        raise CoopError(f"invoices: {said}, or ask for format ubl, which needs nothing")
    if "weasyprint" in needed:
        try:
            importlib.import_module("weasyprint")
        except OSError as exc:
            said = f"{needed['weasyprint'][0]} needs WeasyPrint, and that a library of the system which is not there"
            remedy = "install libpango-1.0-0, libpangoft2-1.0-0, libharfbuzz-subset0 and fonts-dejavu-core on the controller"
            raise CoopError(f"invoices: {said} ({str(exc).splitlines()[0]}); {remedy}") from exc


def read_issued(folder: str, period: Period) -> dict[str, str]:
    """The sums of what was issued for a month by name; nothing of it was changed.

    Raises MoneyError when something was.
    """
    base = os.path.join(folder, DOCUMENTS, str(period))
    shown = os.path.relpath(base)
    text = existing(os.path.join(base, LIST))
    if text is None:
        return {}
    found = listed(os.path.join(shown, LIST), text.decode(errors="replace"))
    there = existing_files(base)
    problems = []
    for name, wanted in found.items():
        if name not in there:
            problems.append(Problem(os.path.join(shown, name), 0, "is gone, and was issued; put it back as it was"))
        elif sha256(there[name]) != wanted:
            said = "was changed since it was issued; put it back, and mend what is wrong with a correction in an open month"
            problems.append(Problem(os.path.join(shown, name), 0, said))
    if problems:
        raise MoneyError(problems)
    return found


def read_invoice(base: str, number: str) -> Invoice:
    """An invoice that was issued; its sum has been looked at."""
    data = existing(os.path.join(base, f"{number}.json")) or b"{}"
    try:
        return Invoice.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError) as exc:
        shown = os.path.join(os.path.relpath(base), f"{number}.json")
        raise MoneyError([Problem(shown, 0, "is of another release of this collection; write it with that one")]) from exc


def all_numbers(folder: str) -> set[str]:
    """The numbers of all that was issued in any month."""
    base = os.path.join(folder, DOCUMENTS)
    try:
        periods = sorted(period for name in os.listdir(base) if (period := Period.parse(name)) is not None)
    except OSError:
        return set()
    found: set[str] = set()
    for period in periods:
        text = existing(os.path.join(base, str(period), LIST)) or b""
        names = listed(os.path.join(os.path.relpath(base), str(period), LIST), text.decode(errors="replace"))
        found.update(name.removesuffix(".json") for name in names if name.endswith(".json"))
    return found
