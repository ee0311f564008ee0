# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what has been done to an instance that leaves, step by step, in one file on its container host.

A step is written down once and then stands, with the time of its first recording: the receipt is made of this file alone, whenever, and
how often, a run was cut short. It holds nobody's name.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

FORMAT = "meet.coop offboarding 1"
_STEP = re.compile(r"[a-z][a-z_]{0,39}")

Record = dict[str, dict[str, Any]]


def read(path: str) -> Record:
    """The steps recorded, in the order they were; none where there is no file. Raises CoopError and never guesses when it is damaged."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
        if found["format"] != FORMAT or not all(isinstance(step, dict) and isinstance(step["at"], str) for step in found["steps"].values()):
            raise ValueError
        return dict(found["steps"])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CoopError(
            f"{path} is damaged; it says how far the offboarding has come: restore it from the backup, or mend it by hand"
        ) from None


def diff(record: Record, step: str, facts: Mapping[str, Any]) -> Record:
    """The record with the step in it; the same one when the step stands already. Raises CoopError."""
    if not _STEP.fullmatch(step):
        raise CoopError(f"step {step!r} is not a word of lower-case letters and _")
    if step in record:
        return record
    return {**record, step: {**facts, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}


def apply(path: str, record: Record) -> None:
    """Replace the file in one step. Raises CoopError; what stood there before then still stands."""
    temporary = f"{path}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({"format": FORMAT, "steps": record}, stream, indent=2, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from None
