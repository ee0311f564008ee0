# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: files of shell assignments (name=number), changed without touching a line that is not meant."""

from __future__ import annotations

import re
import typing as t

_LINE = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)=([^\n#]*?)[ \t]*(#[^\n]*)?\Z")


def parse(text: str) -> dict[str, str]:
    """Names and values without their quotation marks; the last assignment counts."""
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found[match[1]] = match[2].strip("'\"")
    return found


def merge(text: str, wanted: t.Mapping[str, str | None]) -> str:
    """The text with ``wanted`` in it; None takes a name away. Values are plain words."""
    lines: list[str] = []
    done = set()
    source = text.splitlines(keepends=True)
    last = {match[1]: number for number, match in enumerate(_LINE.match(line.rstrip("\r\n")) for line in source) if match}
    for number, line in enumerate(source):
        match = _LINE.match(line.rstrip("\r\n"))
        if match is None or match[1] not in wanted:
            lines.append(line)
            continue
        value = wanted[match[1]]
        if value is None or number != last[match[1]]:
            continue
        done.add(match[1])
        if match[2].strip("'\"") != value:
            line = line[: match.start(2)] + value + line[match.end(2) :]
        lines.append(line)
    body = "".join(lines)
    extra = "".join(f"{name}={value}\n" for name, value in wanted.items() if value is not None and name not in done)
    return body + ("\n" if extra and body and not body.endswith("\n") else "") + extra
