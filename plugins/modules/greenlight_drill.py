#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_drill
short_description: Proves that the newest backup of a Greenlight instance gives a working Greenlight back
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Takes the instances of a container host in turn, the one drilled longest ago first.
  - Restores the newest snapshot into a scratch directory and compares every file with the manifest that lies in it; loads the dump
    into a scratch database and compares migrations and the rows of every table; runs a scratch Greenlight on it with the image the
    backup was made with; makes an account in the scratch database and signs in with it over HTTP; and removes all of it again.
  - The checks run cheapest first, and a drill ends at the first stage that finds something.
  - The scratch instance can mail nobody and reach no pool. It is told of no mail account, no sign-in provider, and of a pool whose
    name cannot exist; and it is started only where the host's fence (nftables, made by role P(meet.coop.restore_drill#role)) lets
    nothing out of its network but what goes to PostgreSQL.
  - What is in the dump runs with the rights of the scratch database's owner, never with those of O(login_user).
  - Every drill leaves a receipt on the host, whether it was good or not. The receipts are the memory of the rota.
  - Fails, after everything else, when a drill found something or when the last proved restore of an instance is too old.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database.server
  - meet.coop.restic_repository
attributes:
  check_mode:
    support: full
    details: Says whose turn it is and what a killed drill has left. What a drill would find, nobody can foretell.
  diff_mode:
    support: full
    details: Shows the leftovers that go, and the last drill of each instance whose turn it is.
  idempotent:
    support: full
    details: An instance whose restore was proved within O(every_days) is not drilled again, unless O(only) names it.
requirements:
  - PostgreSQL's client (Debian package postgresql-client)
  - psycopg >= 3.1 (Debian package python3-psycopg)
  - docker >= 5.0.0 (Debian package python3-docker)
options:
  instances:
    description: All instances of this host.
    type: list
    elements: str
    required: true
  only:
    description: Drill these now, whether it is their turn or not.
    type: list
    elements: str
    default: []
  number:
    description: Most instances to drill in one run. V(0) means as many as, run daily, prove every instance within O(every_days).
    type: int
    default: 0
  every_days:
    description: Each instance is drilled after so many days.
    type: int
    default: 28
  overdue_days:
    description: Fail when the last proved restore of an instance is older than this many days, or was never proved in as many.
    type: int
    default: 35
  backup_hours:
    description: Hours that the newest backup may be old. V(0) for any age.
    type: int
    default: 36
  receipts:
    description: Directory with a directory of receipts for each instance.
    type: path
    default: /var/lib/meet-coop/drills
  metrics:
    description: Directory that node_exporter's textfile collector reads; left out, no metrics are written.
    type: path
  directory:
    description: Directory for what is restored. It needs the space of the largest instance's uploads and dump.
    type: path
    default: /var/lib/meet-coop/drill
  database_host:
    description: Address of the database server as the scratch container reaches it.
    type: str
    default: 10.213.0.1
  redis_image:
    description: Image of the scratch instance's Redis.
    type: str
    default: redis:7-alpine
  pull:
    description: Whether images that are not on this host are fetched.
    type: str
    choices: [missing, never]
    default: missing
  port_range:
    description: First and last port on C(127.0.0.1) that the scratch instance may use. Not those of real instances.
    type: list
    elements: int
    default: [6000, 6009]
  ready_timeout:
    description: Seconds the scratch instance may take to become ready.
    type: int
    default: 300
  memory:
    description: Memory of the scratch instance.
    type: str
    default: 1g
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
notes:
  - One drill at a time runs on a host; its container, network, volume and database have names that no service can have.
  - What a killed drill leaves is removed by the next run, in whatever run that is.
seealso:
  - module: meet.coop.greenlight_backup
  - module: meet.coop.greenlight_restore
"""

EXAMPLES = r"""
---
- name: Drill whose turn it is
  meet.coop.greenlight_drill:
    instances: [sunflower, meadow]
    metrics: /var/lib/prometheus/node-exporter

- name: Prove the backup of one instance now, out of the copy at another co-operative
  meet.coop.greenlight_drill:
    instances: [sunflower, meadow]
    only: [sunflower]
    repository: sftp:coop@backup.other.example:/srv/coop
    password_file: /etc/meet-coop/backup.key
"""

RETURN = r"""
drills:
  description: The receipt of each drill, as it is kept on the host.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: Its id.
      type: str
      sample: sunflower
    result:
      description: V(good) or V(failed).
      type: str
      sample: good
    findings:
      description: What does not hold, a line each.
      type: list
      elements: str
      sample: []
    began_at:
      description: When the drill began, in UTC.
      type: str
      sample: '2026-04-02T03:15:00Z'
    seconds:
      description: How long it took, and by step in C(steps).
      type: float
      sample: 41.2
    steps:
      description: Seconds by step.
      type: dict
      sample: {restore: 1.1, files: 0.1, database: 2.0, instance: 36.0, sign_in: 0.9, tear_down: 1.1}
    snapshot:
      description: Id of the snapshot; C(snapshot_made_at) and C(snapshot_age_seconds) tell its age when the drill began.
      type: str
    files:
      description: Number of files in the backup; C(bytes) their size.
      type: int
    rows:
      description: Number of rows in the database; C(tables) tells them by table.
      type: int
    greenlight_version:
      description: Version that ran.
      type: str
      sample: v3.8.2.4
chosen:
  description: Instances whose turn it was, in order.
  returned: always
  type: list
  elements: str
  sample: [sunflower]
overdue:
  description: A line for each instance whose last proved restore is too old.
  returned: always
  type: list
  elements: str
  sample: []
removed:
  description: What a killed drill had left.
  returned: always
  type: list
  elements: str
  sample: []
proved:
  description: When the restore of each instance was last proved, in UTC; null for never.
  returned: always
  type: dict
  sample: {sunflower: '2026-04-02T03:15:00Z'}
"""

import os
from datetime import timedelta
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._backup import config, drill, restic, rota, scratch
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import MissingSdk
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name, parse_memory

ARGUMENT_SPEC: dict[str, Any] = {
    "instances": {"type": "list", "elements": "str", "required": True},
    "only": {"type": "list", "elements": "str", "default": []},
    "number": {"type": "int", "default": 0},
    "every_days": {"type": "int", "default": 28},
    "overdue_days": {"type": "int", "default": 35},
    "backup_hours": {"type": "int", "default": 36},
    "receipts": {"type": "path", "default": "/var/lib/meet-coop/drills"},
    "metrics": {"type": "path"},
    "directory": {"type": "path", "default": "/var/lib/meet-coop/drill"},
    "database_host": {"type": "str", "default": "10.213.0.1"},
    "redis_image": {"type": "str", "default": "redis:7-alpine"},
    "pull": {"type": "str", "choices": ["missing", "never"], "default": "missing"},
    "port_range": {"type": "list", "elements": "int", "default": [6000, 6009]},
    "ready_timeout": {"type": "int", "default": 300},
    "memory": {"type": "str", "default": "1g"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    **database.SERVER_ARGUMENTS,
    **restic.ARGUMENTS,
    **config.ARGUMENTS,
}


def place(params: dict[str, Any]) -> scratch.Place:
    """Where the scratch instance is made. Raises CoopError naming the option at fault."""
    first, last = (*params["port_range"], 0, 0)[:2]
    if len(params["port_range"]) != 2 or not 1024 <= first <= last <= 65535:
        raise CoopError(f"port_range {params['port_range']} is not [first, last] between 1024 and 65535")
    return scratch.Place(
        directory=params["directory"],
        server=database.login("postgres", params),
        database_host=params["database_host"],
        database_port=params["login_port"],
        docker=params["docker_host"],
        redis_image=params["redis_image"],
        pull=params["pull"],
        port_range=(first, last),
        ready_timeout=params["ready_timeout"],
        memory=parse_memory(params["memory"], "memory"),
    )


def options(params: dict[str, Any]) -> drill.Options:
    """When a drill is due. Raises CoopError naming the option at fault."""
    if not 1 <= params["every_days"] <= params["overdue_days"]:
        raise CoopError("every_days is 1 or more, and overdue_days not less than every_days")
    for name in ("number", "backup_hours"):
        if params[name] < 0:
            raise CoopError(f"{name} {params[name]} is less than 0")
    return drill.Options(
        receipts=params["receipts"],
        metrics=os.path.join(params["metrics"], rota.METRICS_FILE) if params["metrics"] else None,
        every=timedelta(days=params["every_days"]),
        longest=timedelta(days=params["overdue_days"]),
        number=params["number"],
        backup_age=timedelta(hours=params["backup_hours"]) if params["backup_hours"] else None,
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Choose, drill, judge."""
    params = module.params
    names = [check_name(name) for name in params["instances"]]
    source = drill.Repository(restic.repository_of(config.completed(params, config.REPOSITORY_KEYS)))
    outcome = drill.run(source, place(params), names, params["only"], options(params), not module.check_mode)
    failures = outcome.failures
    return {
        "changed": bool(outcome.chosen or outcome.removed),
        "chosen": outcome.chosen,
        "removed": outcome.removed,
        "drills": outcome.drills,
        "overdue": outcome.overdue,
        "proved": outcome.proved,
        "diff": {
            "before": {"leftovers": outcome.removed, "drills": {name: outcome.last[name] for name in outcome.chosen}},
            "after": {"leftovers": [], "drills": {name: "now" for name in outcome.chosen}},
        },
        **({"failed": True, "msg": f"restore not proved: {' | '.join(failures)}"} if failures else {}),
    }


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        result = run(module)
    except MissingSdk as error:
        module.fail_json(msg=f"{missing_required_lib('docker >= 5.0.0')} ({error})")
    except CoopError as error:
        module.fail_json(msg=str(error))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
