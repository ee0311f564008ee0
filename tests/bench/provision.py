# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many instances in place for a benchmark, by the collection's own domain code. Runs on a container host.

Standard input is the list of instances that instance_apply hands to its module, and the part. Prints their tenants, with secrets, as JSON:
Greenlight is not well before the pool knows it. Nobody is mailed.
"""

from __future__ import annotations

import json
import sys

from ansible_collections.meet.coop.plugins.module_utils._greenlight import database
from ansible_collections.meet.coop.plugins.module_utils._greenlight.rows_options import user_arguments
from ansible_collections.meet.coop.plugins.module_utils._plan.applying import carry_out
from ansible_collections.meet.coop.plugins.module_utils._plan.instances import _validated


def main() -> None:
    given = json.load(sys.stdin)
    for instance in given["instances"]:
        instance["steps"] = [step for step in instance["steps"] if step["module"] != "greenlight_reset_mail"]
    done = carry_out(given["instances"], given["part"])
    failed = [f"{one.name}: {one.failed}" for one in done if one.failed]
    if failed:
        sys.exit(failed[0])
    if given["part"] == "after":
        for instance in given["instances"]:
            for step in instance["steps"]:
                if step["module"] == "greenlight_user":
                    params = _validated(user_arguments(), step["arguments"], None)
                    with database.connect(database.login(params["login_db"], params)) as connection:
                        # As if each had been sent the link and used it: else the plan would rightly say that they wait for it.
                        connection.execute("UPDATE public.users SET reset_sent_at = pg_catalog.now() WHERE password_digest IS NULL")
    json.dump([tenant for one in done for entry in one.tenants for tenant in entry["tenants"]], sys.stdout)


if __name__ == "__main__":
    main()
