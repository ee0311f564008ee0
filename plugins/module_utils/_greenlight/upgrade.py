# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: whether an instance may go to another image, and what lies on the way. Looks, and changes nothing."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, facts, instance, ports, releases, swarm
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container import Inspected, hold, observe, occupies, port_of
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine, variables

#: Duplicate rows in these break what reads them; in the others the site goes on.
EXACTLY_ONE = ("permissions", "role_permissions", "site_settings")


def version_of(name: str, image: Inspected | None) -> str:
    """The version of an image: what it says of itself, else its tag."""
    told = variables(image).get("VERSION_TAG")
    last = name.partition("@")[0].rpartition("/")[2]
    return told or (last.rpartition(":")[2] if ":" in last else "latest")


def look(engine: Engine, spec: instance.Spec, login: Login, validated: str = "", unknown: str = "", back: bool = False) -> dict[str, Any]:
    """What an upgrade of the instance to `spec.image` means.

    `validated` and `unknown` as releases.way has them; `back` is for a return to the container before, which still runs. Raises CoopError.
    """
    if ports.read_state(spec.directory).swarm:
        return _in_swarm(engine, spec, login, validated, unknown, back)
    observed = observe(engine, spec)
    _held, _observed, waiting = hold(spec, observed)
    state, main = observed.state, observed.main or observed.previous
    previous = None
    if occupies(observed.previous) and state.previous_until is not None and observed.previous:
        previous = {
            "image": observed.previous["Config"]["Image"],
            "version": variables(observed.previous).get("VERSION_TAG"),
            "port": port_of(observed.previous),
            "until": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(state.previous_until)),
        }
    if back and previous is None:
        raise CoopError(f"{spec.name}: the container before this one is gone, so there is none to go back to; restore the backup instead")
    told = _nothing_yet(spec, observed.image)
    told.update(needed=waiting is not None or (main is not None and not state.served), previous=previous)
    if main is None or not state.served:
        return told
    name, port = main["Config"]["Image"], port_of(main)
    running = {"image": name, "version": version_of(name, main), "port": port, "upstreams": [f"{instance.LOOPBACK}:{port}"] if port else []}
    return _way(told, running, login, validated, unknown)


def _in_swarm(engine: Engine, spec: instance.Spec, login: Login, validated: str, unknown: str, back: bool) -> dict[str, Any]:
    """The same for one that runs as services. Swarm goes back by itself while a new task is not well, and keeps nothing after that."""
    if back:
        raise CoopError(f"{spec.name}: a Swarm keeps no container to go back to; restore the backup instead")
    state = ports.read_state(spec.directory)
    observed = swarm.observe(engine, spec, swarm.Swarm())
    told = _nothing_yet(spec, engine.image(spec.image))
    told["engine"] = "swarm"
    if observed.service is None:
        return told
    name, port = swarm.image_of(observed.service), swarm.port_of(observed.service)
    told["needed"] = name != spec.image or not state.served
    if not state.served:
        return told
    version = version_of(name, engine.image(name))
    running = {"image": name, "version": version, "port": port, "upstreams": swarm.upstreams(observed, port)}
    return _way(told, running, login, validated, unknown)


def _nothing_yet(spec: instance.Spec, image: Inspected | None) -> dict[str, Any]:
    return {
        "engine": "docker",
        "needed": False,
        "running": None,
        "wanted": {"image": spec.image, "version": version_of(spec.image, image)},
        "previous": None,
        "kind": "new",
        "notes": [],
        "breaking": [],
        "refusals": [],
        "warnings_found": [],
        "migrations": None,
        "duplicates": [],
    }


def _way(told: dict[str, Any], running: dict[str, Any], login: Login, validated: str, unknown: str) -> dict[str, Any]:
    """What lies between what runs and what is wanted."""
    told["running"] = running
    way = releases.way(told["running"]["version"], told["wanted"]["version"], validated, unknown)
    told.update(kind=way.kind, notes=way.notes, breaking=way.breaking, refusals=list(way.refusals))
    if not told["needed"]:
        told["refusals"] = []
    _database(told, login)
    return told


def _database(told: dict[str, Any], login: Login) -> None:
    """What the database adds to that."""
    with database.connect(login, "meet.coop upgrade") as conn:
        schema, doubled = database.snapshot(conn, lambda conn: (database.inspect(conn, facts.TABLES), facts.duplicates(conn)))
    told["migrations"] = {
        "release": schema.release,
        "schema": schema.newest_schema,
        "data": schema.newest_data,
        "unknown": list(schema.unknown),
    }
    told["duplicates"] = doubled
    for row in doubled:
        line = f"table {row['table']} holds {row['rows']} rows for {row['key']}"
        if row["table"] in EXACTLY_ONE and told["needed"]:
            told["refusals"].append(f"{line}, where Greenlight expects one (greenlight #5697); keep one of them, then run again")
        else:
            told["warnings_found"].append(line)
    warning = schema.warning()
    if warning:
        told["warnings_found"].append(warning)
