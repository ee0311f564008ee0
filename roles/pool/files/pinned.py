# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which pinned releases of a requirements file are not what this interpreter has; exit code 1 when there are any."""

from __future__ import annotations

import importlib.metadata
import sys


def main(path: str) -> int:
    wrong = 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name, pinned, version = line.partition("#")[0].strip().partition("==")
            if not pinned:
                continue
            try:
                found = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found = "missing"
            if found != version:
                print(f"{name}: {found} -> {version}")
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
