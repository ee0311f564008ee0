# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the file that holds the section C(placement) of the membership, and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping

import yaml

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

HEADER = "# Where instances live. Written by meet.coop.placement; who moves one by meet.coop.move changes its line.\n"


def lines(places: Mapping[str, str]) -> str:
    """The section as YAML."""
    return "placement:\n" + "".join(f"  {_word(name)}: {_word(host)}\n" for name, host in sorted(places.items())) if places else ""


def _word(text: str) -> str:
    """A name as YAML that means a text: C(no) and C(123) would not."""
    return text if isinstance(yaml.safe_load(text), str) else json.dumps(text)


def read(path: str) -> tuple[str, dict[str, str]]:
    """The file's text and its places; nothing where there is no file. Raises CoopError for any other file."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return "", {}
    except (OSError, UnicodeDecodeError) as error:
        raise CoopError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from error
    try:
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise CoopError(f"{path}{f':{line + 1}' if line is not None else ''}: is not YAML; mend it, or name another file") from error
    places = (found.get("placement") or {}) if isinstance(found, dict) and set(found) <= {"placement"} else None
    if not isinstance(places, dict) or not all(isinstance(one, str) for pair in places.items() for one in pair):
        raise CoopError(f"{path}: holds more than a section placement of names; name a file of its own, beside the membership files")
    return text, dict(places)


def with_more(before: str, recorded: Mapping[str, str], fresh: Mapping[str, str]) -> str:
    """The file's text with further places. What stands there stays as its writer wrote it, wherever lines can be put behind it."""
    whole = {**recorded, **fresh}
    if before and recorded:
        after = before.rstrip("\n") + "\n" + lines(fresh).split("\n", 1)[1]
        try:
            if (yaml.safe_load(after) or {}).get("placement") == whole:
                return after
        except yaml.YAMLError:
            pass
    return HEADER + lines(whole)


def write(path: str, text: str) -> None:
    """Replace the file in one step. Raises CoopError."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".placement-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CoopError(f"{path} cannot be written: {error.strerror}") from error
