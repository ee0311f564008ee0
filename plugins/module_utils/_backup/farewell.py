# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the end of the backups of an instance that is gone.

A retention says how many snapshots stay, not for how long: of an instance that gets no new ones, the last ones would stay for ever.
So they are removed by name, and the space they took is freed, in which their contents lie until then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.meet.coop.plugins.module_utils._backup import restic
from ansible_collections.meet.coop.plugins.module_utils._backup.restic import Repository
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


@dataclass
class Farewell:
    """What is removed of one repository, by id; ``error`` says why that could not be found out or done."""

    repository: str
    snapshots: list[str] = field(default_factory=list)
    error: str | None = None


def moment(text: str) -> datetime:
    """A time (UTC) as people and receipts write it. Raises CoopError."""
    try:
        return restic.moment(text)
    except ValueError:
        raise CoopError(f"before: '{text}' is not a time (UTC) such as 2026-12-31T02:00:00Z") from None


def forget(repositories: Sequence[Repository], instance: str, before: datetime | None, write: bool) -> list[Farewell]:
    """Remove the snapshots of an instance, those older than ``before`` alone if it is given, from every repository.

    One that cannot be reached holds up none of the others. A repository that is not there holds nothing. Run again after a kill: what
    was removed but not yet freed is freed by the next prune, which role backup does every few days.
    """
    told = []
    for repository in repositories:
        one = Farewell(repository.shown)
        told.append(one)
        try:
            found = restic.snapshots(repository, f"instance={instance}")
            one.snapshots = [snapshot.id for snapshot in found if before is None or snapshot.time < before]
            if write and one.snapshots:
                restic.forget(repository, one.snapshots)
                restic.prune(repository)
        except restic.ResticError as error:
            if error.kind != restic.ABSENT:
                one.error = str(error)
        except CoopError as error:
            one.error = str(error)
    return told
