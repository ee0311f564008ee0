# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: where the uploads of an instance lie on this host: in its volume, or where all nodes of a Swarm have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.meet.coop.plugins.module_utils._backup import trees
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import ports
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, explained
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import LABEL, LABEL_MANAGER, MANAGER, volume_name

#: What the state file says of uploads that are in no directory.
BUCKET = "s3"


def directory(engine: Engine | None, name: str, state_root: str, make: bool = False) -> str | None:
    """The directory with the uploads; None where there is none on this host.

    `make`: the volume is made where it is missing. Raises CoopError, also for a shared directory that is not there at the moment.
    """
    shared = ports.read_state(os.path.join(state_root, name)).uploads
    if shared == BUCKET:
        return None
    if shared:
        if not os.path.isdir(shared):
            raise CoopError(f"the uploads of {name} are in {shared}, which this host does not have at the moment; mount it, then run again")
        return shared
    if engine is None:
        return None
    return volume(engine, name, make)


def volume(engine: Engine, name: str, make: bool = False) -> str | None:
    """The directory of the instance's volume, which `make` makes where it is missing. Raises CoopError."""
    found = engine.volume(volume_name(name))
    if found is None and make:
        with explained(f"volume {volume_name(name)}"):
            engine.sdk.create_volume(volume_name(name), labels={LABEL: name, LABEL_MANAGER: MANAGER})
        found = engine.volume(volume_name(name))
    return str((found or {}).get("Mountpoint") or "") or None


def carry(name: str, source: str, target: str) -> None:
    """The same files in the target as in the source: what was deleted meanwhile must not come back. Raises CoopError."""
    with told(name):
        trees.give(source, target)
        trees.clear(source, target)


def erase(name: str, place: str) -> None:
    """Remove a directory with uploads. Raises CoopError."""
    with told(name):
        shutil.rmtree(place)


@contextmanager
def told(name: str) -> Iterator[None]:
    """Trouble with files as one line."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        raise CoopError(f"the uploads of {name}: {what}") from error
