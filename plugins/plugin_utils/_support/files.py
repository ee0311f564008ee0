# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: one YAML file of a schema of this folder, and what a value in it has to be beyond its shape."""

from __future__ import annotations

import datetime
import os
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.names import day
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, decode, parse, read_bytes, where
from ansible_collections.meet.coop.plugins.plugin_utils._membership.shape import check_shape, problem

LAST_YEAR = 2199
"""Days after it are slips of the keyboard, and reckoning with them would overflow."""


class File:
    """One YAML file. C(root) is None when it cannot be used, with the reasons in C(problems); C(shown) is how messages name it."""

    def __init__(self, path: str, schema: str, first: str, page: str) -> None:
        self.shown = os.path.relpath(path)
        self.problems: list[Problem] = []
        self.root: Map | None = None
        data = read_bytes(path, self.shown, self.problems)
        text = None if data is None else decode(data, self.shown, self.problems)
        root = None if text is None else parse(text, self.shown, self.problems, first, page)
        if root is not None and not self.problems:
            self.problems.extend(check_shape(root, os.path.join(os.path.dirname(__file__), f"{schema}.schema.json")))
        if root is not None and not self.problems:
            self.root = root

    def bad(self, path: tuple[object, ...], said: str) -> None:
        """Notes what is wrong at a path."""
        self.problems.append(problem(self.root or Map(self.shown, 0), path, said))

    def place(self, path: tuple[object, ...]) -> tuple[str, int]:
        """File and line of a path."""
        return where(self.root, path)

    def value(self, path: tuple[object, ...]) -> Any:
        """What stands at a path, or None."""
        node: Any = self.root
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def day(self, path: tuple[object, ...]) -> datetime.date | None:
        """The day at a path; None when there is none, or with the reason noted."""
        value = self.value(path)
        if value is None:
            return None
        found = day(value)
        if found is None or not 1900 <= found.year <= LAST_YEAR:
            self.bad(path, f"{show(value)} is not a day of the calendar; write year-month-day, such as 2026-03-01")
            return None
        return found

    def instant(self, path: tuple[object, ...]) -> datetime.datetime | None:
        """The time at a path, in UTC; None when there is none, or with the reason noted."""
        value = self.value(path)
        if value is None:
            return None
        found = instant(value)
        if found is None:
            self.bad(path, f"{show(value)} is not a time of the calendar; write one such as 2026-11-30T22:00+01:00")
        return found


def instant(value: object) -> datetime.datetime | None:
    """A time with its offset as RFC 3339 writes it, in UTC; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.datetime.fromisoformat(value)
        found = found.astimezone(datetime.UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and 1900 <= found.year <= LAST_YEAR else None


def option_instant(name: str, value: str) -> datetime.datetime:
    """The time that an option of a module gives.

    Raises CoopError.
    """
    found = instant(value)
    if found is None:
        raise CoopError(f"{name}: {show(value)} is not a time with its offset from UTC; write one such as 2026-11-30T22:00:00Z")
    return found


def zulu(value: datetime.datetime) -> str:
    """A time in UTC as RFC 3339 writes it, to the second."""
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def beside(paths: list[str], given: str | None, name: str) -> str:
    """A folder that was given, else the one of that name beside the first membership file."""
    if given:
        return os.path.normpath(given)
    first = paths[0]
    return os.path.normpath(os.path.join(first if os.path.isdir(first) else os.path.dirname(first), name))
