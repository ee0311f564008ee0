# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: files and folders that are open to more than they should be."""

from __future__ import annotations

import dataclasses
import re
import stat
from collections.abc import Iterable, Mapping

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding

PRIVATE_NAME = re.compile(
    r"secret|passw(or)?d|token|credential|(^|\.)environment$|\.(key|env)$|[-_.]key\.(pem|json)$|^id_[a-z0-9]+$", re.IGNORECASE
)
"""Names of files that hold secrets, whatever is in them."""
PUBLIC_ENDS = (".crt", ".csr", ".pub", ".py", ".pyc", ".service", ".timer")
"""Files that hold none, whatever they are called."""
FIRST_PERSON = 1000
"""Accounts of people begin here (Debian, login.defs); below are those of the system."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file or folder as it was met."""

    path: str
    #: All of st_mode.
    mode: int
    uid: int
    owner: str
    group: str
    #: Whether it is a file that others may read and that holds a private key.
    key: bool = False

    @property
    def told(self) -> str:
        return f"{stat.filemode(self.mode)} {self.owner}:{self.group}"


def ceilings(given: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """The most that may be allowed on single paths. Raises CoopError."""
    found = {}
    for entry in given:
        if not re.fullmatch(r"0?[0-7]{3}", entry["mode"]):
            raise CoopError(f"modes: {entry['mode']!r} of {entry['path']} is no mode; write it in quotes, such as '0700'")
        found[entry["path"]] = int(entry["mode"], 8)
    return found


def judge(entries: Iterable[Entry], most: Mapping[str, int]) -> list[Finding]:
    """Entries of our folders, and single paths with the most that they may be allowed."""
    findings = []
    for entry in entries:
        bits = stat.S_IMODE(entry.mode)
        ceiling = most.get(entry.path)
        regular = stat.S_ISREG(entry.mode)
        reasons, wanted = [], bits
        if ceiling is not None and bits & 0o777 & ~ceiling:
            reasons.append(f"at most {ceiling:04o} is meant")
            wanted &= ceiling
        if bits & 0o002 and not (stat.S_ISDIR(entry.mode) and bits & stat.S_ISVTX) and not stat.S_ISSOCK(entry.mode):
            reasons.append("everybody may write")
            wanted &= ~0o002
        named = PRIVATE_NAME.search(entry.path.rpartition("/")[2]) and not entry.path.endswith(PUBLIC_ENDS)
        if regular and bits & 0o004 and (entry.key or named):
            reasons.append("everybody may read, and it holds a secret")
            wanted &= ~0o007
        if reasons:
            seen = f"{entry.path} is {entry.told}: {'; '.join(reasons)}"
            after = ", and change the secret: who read it is not known" if wanted & 0o004 < bits & 0o004 else ""
            findings.append(Finding("mode", entry.path, seen, f"chmod {wanted:04o} {entry.path}{after}"))
        if entry.uid >= FIRST_PERSON and entry.path.startswith(("/etc/", "/usr/")):
            seen = f"{entry.path} is {entry.told}: it belongs to an account that is no system account"
            findings.append(Finding("mode", entry.path, seen, f"chown root {entry.path}"))
    return findings
