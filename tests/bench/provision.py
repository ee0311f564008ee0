# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many instances in place for a benchmark, by the collection's own domain code. Runs on a container host.

Standard input is the list of instances that instance_plan hands to its module, and whether only their secrets are to be made. Prints their
tenants, with secrets, as JSON: Greenlight is not well before the pool knows it.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils import _secrets
from ansible_collections.meet.coop.plugins.module_utils._edge.keep import keep
from ansible_collections.meet.coop.plugins.module_utils._edge.store import Store
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, operations, remembrance
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance_database as databases
from ansible_collections.meet.coop.plugins.module_utils._greenlight import settings as site_settings
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container_options import specification
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import Engine
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import settings_wish, user_wish
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import JUDGES, _validated
from ansible_collections.meet.coop.plugins.module_utils._plan.marks import fill

STARTS = 4
"""Containers that start at the same time."""


def provide(instance: dict[str, Any], secrets_alone: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Everything of one instance but its route; the options of its routes, and its tenants."""
    known: dict[str, Any] = {}
    routes = []
    for step in instance["steps"]:
        module, register = step["module"], step.get("register") or ""
        if (secrets_alone and module != "instance_secrets") or module == "greenlight_reset_mail":
            continue
        _kind, _judge, specified, required_if = JUDGES[module]
        params: Any = fill(step["arguments"], known)
        if specified is not None:
            params = _validated(specified, params, required_if)
        if module == "instance_secrets":
            wanted, account = _secrets.rules(params["secrets"]), _secrets.account(params["manifest"])
            observed = _secrets.observe(params["path"])
            plan = _secrets.diff(observed, wanted, (), (), ())
            values = _secrets.generate(plan, observed, wanted)
            _secrets.apply(params["path"], plan, values)
            _secrets.write_manifest(params["path"], _secrets.entries(params["path"], plan, values, account)[1])
            known[register] = {"secrets": values}
        elif module == "greenlight_database":
            wish = databases.Desired(params["name"], params["password"], params["connection_limit"])
            with databases.connect(params, check_mode=False) as connection:
                databases.apply(connection, wish, databases.observe(connection, wish.name))
        elif module == "greenlight_container":
            result, _before, _after = operations.converge(Engine(params["docker_host"]), specification(params), write=True)
            known[register] = {"port": result.port}
        elif module == "greenlight_settings":
            with database.connect(database.login(params["login_db"], params)) as connection:
                site_settings.apply(connection, settings_wish(params))
        elif module == "greenlight_user":
            with database.connect(database.login(params["login_db"], params)) as connection:
                plan, _seen = accounts.apply(connection, user_wish(params, frozenset(), False), accounts.Hashes())
                # As if each had been sent the link and used it: else the plan would rightly say that they wait for it.
                connection.execute("UPDATE public.users SET reset_sent_at = pg_catalog.now() WHERE password_digest IS NULL")
            remembrance.save(params["remember"], {remembrance.digest(outcome.email) for outcome in plan.outcomes})
        elif module == "file":
            os.makedirs(params["path"], exist_ok=True)
            os.chmod(params["path"], int(params["mode"], 8))
        elif module == "copy":
            with open(params["dest"], "w", encoding="utf-8") as handle:
                handle.write(params["content"])
            os.chmod(params["dest"], int(params["mode"], 8))
            os.chown(params["dest"], pwd.getpwnam(params["owner"]).pw_uid, -1)
        elif module == "caddy_route":
            routes.append(dict(params))
    return routes, fill(instance["tenants"], known)


def main() -> None:
    given = json.load(sys.stdin)
    with ThreadPoolExecutor(STARTS) as pool:
        made = list(pool.map(lambda one: provide(one, given["secrets_alone"]), given["instances"]))
    routes = [route for mine, _tenants in made for route in mine]
    if routes:
        keep(Store(routes[0]["admin"], routes[0]["config_file"]), routes, write=True)
    json.dump([tenant for _routes, tenants in made for entry in tenants for tenant in entry["tenants"]], sys.stdout)


if __name__ == "__main__":
    main()
