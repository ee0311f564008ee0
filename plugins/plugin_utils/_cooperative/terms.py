# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads the money files that no meter, bank or supplier makes: rules, opening balances, sales, corrections, accounts.

Each function gives what it read and the problems it found; with problems, what it read is not to be used.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, decode, parse, raw_text, read_bytes, where
from ansible_collections.meet.coop.plugins.plugin_utils._membership.shape import check_shape, label
from ansible_collections.meet.coop.plugins.plugin_utils._membership.tax import REASONS, flaw, percent

from .ledger import CURRENCIES, MINOR_UNITS, Books, Correction, Item, Money, Period, Rules, Sale, Source, Treatment, Vat

PAGE = "docs/money.md"
OPENING_FILE, ACCOUNTS_FILE, RULES = "opening.yml", "accounts.yml", "rules"

_SCHEMAS = {
    name: os.path.join(os.path.dirname(__file__), f"money_{name}.schema.json")
    for name in ("rules", "opening", "sales", "corrections", "accounts")
}
_NUMBERED = re.compile(r"([0-9]{1,6})\.yml\Z")
_Path = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Account:
    """A bank account. C(iban) without blanks; C(bic) is left out where the bank finds it by itself."""

    name: str
    iban: str
    bic: str | None = None


@dataclasses.dataclass(frozen=True)
class Accounts:
    """The account that pays, and those that are paid, by id of producer or supplier."""

    cooperative: Account
    parties: Mapping[str, Account]


class _File:
    """One YAML file of a schema. C(root) is None when it cannot be used, with the reasons noted."""

    def __init__(self, folder: str, name: str, schema: str, first: str) -> None:
        self.name = name
        self.shown = os.path.join(os.path.relpath(folder), *name.split("/"))
        self.problems: list[Problem] = []
        self.root: Map | None = None
        data = read_bytes(os.path.join(folder, *name.split("/")), self.shown, self.problems)
        text = None if data is None else decode(data, self.shown, self.problems)
        root = None if text is None else parse(text, self.shown, self.problems, first, PAGE)
        if root is not None and not self.problems:
            self.problems.extend(check_shape(root, _SCHEMAS[schema]))
        if root is not None and not self.problems:
            self.root = root

    def at(self, path: _Path) -> Any:
        """The value at a path; None when there is none."""
        node: Any = self.root
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def bad(self, path: _Path, said: str) -> None:
        """Notes what is wrong at a path."""
        self.problems.append(Problem(self.shown, where(self.root, path)[1], f"{label(path)}: {said}"))

    def source(self, path: _Path, number: str) -> Source:
        """Where the record at a path stands."""
        return Source(self.name, where(self.root, path)[1], number)

    def day(self, path: _Path) -> datetime.date | None:
        """The day at a path; the shape has been checked."""
        found = day(self.at(path))
        if found is None:
            self.bad(path, f"{show(self.at(path))} is not a day of the calendar; write year-month-day, such as 2026-03-01")
        return found

    def money(self, path: _Path, currency: str) -> int:
        """The amount at a path in minor units; 0 when there is none."""
        value = self.at(path)
        if value is None:
            return 0
        text = raw_text(self.root, path) or str(value)
        found = Money.parse(text, currency)
        if found is None:
            places = MINOR_UNITS[currency]
            example = f"12.{'5' * places}" if places else "12"
            self.bad(path, f"{show(text)} is no amount in {currency}; write one such as {example}")
            return 0
        return found.minor

    def least(self, path: _Path, currency: str) -> int | None:
        """An amount that is not negative; None when there is none."""
        if self.at(path) is None:
            return None
        found = self.money(path, currency)
        if found < 0:
            self.bad(path, "is negative; write 0 or more")
        return found

    def share(self, path: _Path, otherwise: Fraction) -> Fraction:
        """A fraction of at most 1."""
        value = self.at(path)
        if value is None:
            return otherwise
        found = Fraction(value)
        if found > 1:
            self.bad(path, f"{value} is more than all; write at most 1/1")
        return found

    def treatment(self, path: _Path) -> Treatment | None:
        """How something is taxed; None when nothing is said, or with the reason noted."""
        raw = self.at(path) or {}
        if "category" not in raw:
            for key in ("rate", "reason"):
                if key in raw:
                    self.bad((*path, key), "stands here without category; write that too, or remove it")
            return None
        rate = percent(self.root, (*path, "rate"))
        wrong = flaw(raw["category"], rate, raw.get("reason"))
        if "rate" in raw and rate is None:
            # The schema has looked at texts only.
            wrong = "rate", f"{show(raw['rate'])} is not a percentage; write figures with a point, such as 5.5"
        if wrong:
            self.bad((*path, wrong[0]), wrong[1])
        return None if wrong else Treatment(raw["category"], rate or Fraction(0), raw.get("reason") or REASONS.get(raw["category"]))


def read_rules(folder: str) -> tuple[tuple[Rules, ...], list[Problem]]:
    """All revisions of the rules, oldest first."""
    problems: list[Problem] = []
    found: list[tuple[int, Rules, str]] = []
    shown = os.path.join(os.path.relpath(folder), RULES)
    try:
        names = sorted(name for name in os.listdir(os.path.join(folder, RULES)) if not name.startswith("."))
    except OSError as exc:
        said = f"cannot be read: {(exc.strerror or str(exc)).lower()}; write how months are settled into 1.yml there, see {PAGE}"
        return (), [Problem(shown, 0, said)]
    for name in names:
        numbered = _NUMBERED.match(name)
        if not numbered:
            if name.endswith((".yml", ".yaml")):
                problems.append(Problem(os.path.join(shown, name), 0, "is not numbered; name the files 1.yml, 2.yml and so on"))
            continue
        file = _File(folder, f"{RULES}/{name}", "rules", "from")
        rules = rules_of(file, numbered[1]) if file.root is not None else None
        problems.extend(file.problems)
        if rules and not file.problems:
            found.append((int(numbered[1]), rules, file.shown))
    found.sort(key=lambda one: one[0])
    for (_n, before, _f), (_number, rules, file_name) in zip(found, found[1:], strict=False):
        if rules.start <= before.start:
            said = (
                f"from {rules.start} is not after that of {before.source.file}, {before.start}; number the files as they follow each other"
            )
            problems.append(Problem(file_name, rules.source.line, said))
        if rules.currency != before.currency:
            said = f"currency {rules.currency} is not {before.currency}, that of {before.source.file}; books keep one currency"
            problems.append(Problem(file_name, rules.source.line, said))
        if rules.decided_by is None:
            said = "decided_by is missing; write the decision that set these rules, such as D-0007"
            problems.append(Problem(file_name, rules.source.line, said))
    if not found and not problems:
        problems.append(Problem(shown, 0, f"holds no rules; write how months are settled into 1.yml there, see {PAGE}"))
    return tuple(rules for _number, rules, _file in found), problems


def read_other_rules(path: str) -> tuple[Rules | None, list[Problem]]:
    """Rules that are only tried out, in a file anywhere."""
    folder, name = os.path.split(os.path.abspath(path))
    file = _File(folder, name, "rules", "from")
    return (rules_of(file, os.path.splitext(name)[0]) if file.root is not None else None), file.problems


def rules_of(file: _File, number: str) -> Rules | None:
    """The rules in a file; None with the reason noted."""
    root = file.root or {}
    start = file.day(("from",))
    if root["currency"] not in CURRENCIES:
        file.bad(("currency",), f"{show(root['currency'])} is none of ISO 4217; write one such as EUR")
        return None
    if start is None:
        return None
    if start.day != 1:
        file.bad(
            ("from",), f"{start} is not the first day of a month; rules hold for whole months, write such as {Period.of(start).next}-01"
        )
    currency = root["currency"]
    members = root.get("members", {})
    charged = file.treatment(("vat",))
    rules = Rules(
        source=file.source(("from",), number),
        start=start,
        decided_by=root.get("decided_by"),
        currency=currency,
        flat_share=file.share(("flat_share",), Fraction(1)),
        metric=root.get("metric", "participant_minutes"),
        allowance=root.get("allowance", 0),
        rate=file.least(("rate",), currency) or 0,
        reserve=file.share(("reserve",), Fraction(0)),
        due_days=root["due_days"],
        floor=file.least(("clamp", "floor"), currency),
        cap=file.least(("clamp", "cap"), currency),
        floors={name: file.least(("members", name, "floor"), currency) for name, own in members.items() if "floor" in own},
        caps={name: file.least(("members", name, "cap"), currency) for name, own in members.items() if "cap" in own},
        contributors=tuple(sorted(root.get("contributors", ("consumer", "producer")))),
        seller_share=file.share(("seller_share",), Fraction(0)),
        notice=file.share(("notice",), Fraction(1, 5)),
        vat=Vat(charged, file.share(("vat", "reclaim"), Fraction(0)), root["vat"].get("office")) if charged else None,
    )
    if rules.vat and rules.vat.office is None and (rules.vat.charged.rate or rules.vat.reclaim):
        file.bad(("vat", "office"), "is missing; write the id under which payments name the tax office, such as hmrc")
    for path, floor, cap in [
        (("clamp", "cap"), rules.floor, rules.cap),
        *((("members", name), rules.floors.get(name, rules.floor), rules.caps.get(name, rules.cap)) for name in members),
    ]:
        if floor is not None and cap is not None and floor > cap:
            file.bad(path, "the cap is below the floor; mend one of the two")
    return rules


def read_opening(folder: str, currency: str) -> tuple[Books | None, list[Problem]]:
    """Where the books begin: what is held and owed before the first month. C(period) is the first month itself.

    What is open then is of the month before, at the latest: so it is older than all that the first month adds.
    """
    file = _File(folder, OPENING_FILE, "opening", "month")
    if file.root is None:
        return None, file.problems
    first = Period.parse(file.root["month"])
    if first is None:
        return None, file.problems
    bank, reserve = file.money(("bank",), currency), file.least(("reserve",), currency) or 0

    def amounts(key: str) -> dict[str, int]:
        found = {name: file.money((key, name), currency) for name in file.root.get(key, ())}  # type: ignore[union-attr]
        for name, amount in found.items():
            if amount < 0 and key != "balances":
                file.bad((key, name), "is negative; write what is owed, or leave it out")
        return {name: amount for name, amount in sorted(found.items()) if amount}

    def items(key: str, amounts_of: Mapping[str, int]) -> tuple[Item, ...]:
        return tuple(Item(first.previous, name, amount, f"opening/{key}/{name}") for name, amount in amounts_of.items())

    balances, owed, bills = amounts("balances"), amounts("deferred"), amounts("suppliers")
    if reserve > bank:
        file.bad(("reserve",), "is more than the bank holds; write at most what is there")
    return Books(
        period=first,
        balances=balances,
        dues=items("balances", balances),
        bills=items("suppliers", bills),
        deferred=items("deferred", owed),
        reserve=reserve,
        free=bank - reserve,
        bank=bank,
    ), file.problems


def read_sales(folder: str, period: Period, currency: str) -> tuple[tuple[Sale, ...], list[Problem]]:
    """What producers sold to clients in a month; nothing when there is no file."""
    name = f"sales/{period}.yml"
    if not os.path.exists(os.path.join(folder, *name.split("/"))):
        return (), []
    file = _File(folder, name, "sales", "sales")
    found = []
    for index, raw in enumerate(file.root["sales"] if file.root is not None else ()):
        path = ("sales", index)
        date = file.day((*path, "date"))
        if date and Period.of(date) != period:
            file.bad((*path, "date"), f"{date} is not in {period}, the month of this file; mend it, or move it to that month")
        net = file.money((*path, "net"), currency)
        share = file.share((*path, "seller_share"), Fraction(0)) if "seller_share" in raw else None
        if date:
            source = file.source(path, f"{period}/sale-{index + 1}")
            tax = file.treatment(path)
            found.append(Sale(source, date, raw["client"], raw["seller"], Money(net, currency), raw["description"], share, tax))
    return tuple(found), file.problems


def read_corrections(folder: str, period: Period, currency: str) -> tuple[tuple[Correction, ...], list[Problem]]:
    """What is entered in a month to mend closed ones; nothing when there is no file."""
    name = f"corrections/{period}.yml"
    if not os.path.exists(os.path.join(folder, *name.split("/"))):
        return (), []
    file = _File(folder, name, "corrections", "corrections")
    found = []
    for index, raw in enumerate(file.root["corrections"] if file.root is not None else ()):
        path = ("corrections", index)
        corrects = Period.parse(raw["corrects"])
        if corrects is None or corrects >= period:
            file.bad(
                (*path, "corrects"), f"{raw['corrects']} is not before {period}; what is wrong in an open month is mended in its own files"
            )
            continue
        amount = file.money((*path, "amount"), currency)
        if amount == 0 or (amount < 0 and raw["what"] != "contribution"):
            file.bad((*path, "amount"), f"{raw['what']} cannot be {'0' if not amount else 'negative'}; write by how much it grows")
        source = file.source(path, f"{period}/correction-{index + 1}")
        found.append(Correction(source, corrects, raw["member"], raw["what"], Money(amount, currency), raw["reason"]))
    return tuple(found), file.problems


def iban_is_good(iban: str) -> bool:
    """Whether the check figures fit (ISO 7064, modulo 97)."""
    figures = "".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])
    return 15 <= len(iban) <= 34 and int(figures) % 97 == 1


def read_accounts(folder: str) -> tuple[Accounts | None, list[Problem]]:
    """Whom the bank pays; None when there is no such file."""
    if not os.path.exists(os.path.join(folder, ACCOUNTS_FILE)):
        return None, []
    file = _File(folder, ACCOUNTS_FILE, "accounts", "cooperative")
    if file.root is None:
        return None, file.problems

    def account(path: _Path) -> Account:
        raw = file.at(path)
        iban = raw["iban"].replace(" ", "")
        if not iban_is_good(iban):
            file.bad((*path, "iban"), "its check figures do not fit; copy it again from the owner's letter")
        return Account(raw["name"], iban, raw.get("bic"))

    parties = {name: account(("parties", name)) for name in file.root.get("parties", ())}
    return Accounts(account(("cooperative",)), parties), file.problems
