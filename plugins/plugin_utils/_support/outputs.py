# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: files to write on the controller. What differs is told, and written unless in check mode, each file at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import existing, write


def bring(wanted: Mapping[str, str], check_mode: bool, unwanted: Sequence[str] = (), private: bool = False) -> dict[str, Any]:
    """C(changed), C(files) and C(diff) of a result, for the text that each file is to hold, and files that are to go.

    Folders are made as needed. With C(private) only the owner can read files and folders made, and a file that more can read is written
    again. Raises CoopError when something cannot be read or written.
    """
    changes: list[tuple[str, bytes, bytes]] = []
    for path, text in wanted.items():
        before, after = existing(path), text.encode()
        if before != after or (private and _open(path)):
            changes.append((path, before, after))
    for path, _before, after in () if check_mode else changes:
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder or ".", mode=0o700 if private else 0o777, exist_ok=True)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise CoopError(f"{os.path.relpath(folder)}: cannot be made: {said}; check the path and its permissions") from error
        write(path, after, 0o600 if private else 0o644)
    gone = [(path, existing(path), b"") for path in unwanted if os.path.lexists(path)]
    for path, _before, _after in () if check_mode else gone:
        try:
            os.unlink(path)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise CoopError(f"{os.path.relpath(path)}: cannot be removed: {said}; check the folder and its permissions") from error
    changes += gone
    return {
        "changed": bool(changes),
        "files": [path for path, _before, _after in changes],
        "diff": [
            {"before": before.decode(errors="replace"), "after": after.decode(), "before_header": path, "after_header": path}
            for path, before, after in changes
        ],
    }


def _open(path: str) -> bool:
    """Whether others than its owner can read a file."""
    try:
        return bool(os.stat(path).st_mode & 0o077)
    except OSError:
        return False
