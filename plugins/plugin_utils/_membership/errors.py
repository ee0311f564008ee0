# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what is wrong with a membership file, as lines a person can act on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class Problem(NamedTuple):
    """One thing to mend; sorts by file and line."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return _printable(f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}")


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def short(text: object, limit: int = 60) -> str:
    """A name from the file, not too long and on one line."""
    shown = _printable(str(text))
    return shown if len(shown) <= limit else shown[:limit] + "..."


class MembershipError(CoopError):
    """A membership file that cannot be used.

    ``problems`` holds everything found, sorted; the message is one line per problem.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = sorted(set(problems))
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """One clear line per problem."""
        return [str(problem) for problem in self.problems]


def show(value: object, limit: int = 60) -> str:
    """How a value is quoted in a message: on one line, printable, not too long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return f'"{short(value, limit)}"'
