# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: placeholders, in the options of a task, for what only the container host knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

# Characters for private use: no name, password or text of a membership file has them.
_OPEN, _BETWEEN, _CLOSE = "\ue0c0", "\ue0c1", "\ue0c2"
_MARK = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


class NotKnown(CoopError):
    """What gives the value has failed."""


def mark(*path: str) -> str:
    """The placeholder for the value at a path of what was registered."""
    return _OPEN + _BETWEEN.join(path) + _CLOSE


def fill(value: Any, known: Mapping[str, Any]) -> Any:
    """The value with every placeholder replaced. One that stands alone keeps its type. Raises NotKnown."""
    if isinstance(value, str):
        if _OPEN not in value:
            return value
        alone = _MARK.fullmatch(value)
        if alone:
            return _find(alone.group(1), known)
        return _MARK.sub(lambda found: str(_find(found.group(1), known)), value)
    if isinstance(value, Mapping):
        return {key: fill(entry, known) for key, entry in value.items()}
    if isinstance(value, list):
        return [fill(entry, known) for entry in value]
    return value


def _find(path: str, known: Mapping[str, Any]) -> Any:
    found: Any = known
    for name in path.split(_BETWEEN):
        if not isinstance(found, Mapping) or name not in found:
            raise NotKnown(f"{path.replace(_BETWEEN, '.')} is not known, because what gives it failed")
        found = found[name]
    return found
