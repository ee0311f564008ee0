#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_backup
short_description: Backs up Greenlight instances into a restic repository
version_added: 0.1.0
description:
  - Makes a snapshot of each of the instances of one container host, with its database, its uploads, its secrets and its logo, and
    with a manifest that says how many rows every table and how many bytes every file has to have.
  - The database is dumped to a file, and the file is proven readable to its end before it is stored. Rows are counted in the very same
    database snapshot that is dumped.
  - Every instance has snapshots of its own. One that fails holds up none of the others; the task fails at its end and names them all.
  - Thins out older snapshots of what was backed up, by instance. Of an instance whose backup failed none is taken away.
  - A repository that is not there yet is made; one that was there before never is made anew.
  - A run that was killed at any moment leaves nothing that the next one does not put right, its lock on the repository included.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database.server
  - meet.coop.restic_repository
attributes:
  check_mode:
    support: partial
    details: Says what would be backed up. Which older snapshots the retention then takes away only the run itself tells.
  diff_mode:
    support: full
    details: Shows the actions.
  idempotent:
    support: partial
    details: A backup is made at each run, unless O(unless_younger) says that the last one is young enough.
requirements:
  - psycopg >= 3.1 (Debian package python3-psycopg)
  - C(pg_dump) and C(pg_restore) of the server's version or newer
options:
  instances:
    description: The instances. Left out, all that this host keeps, which are those with secrets below O(state_root).
    type: list
    elements: dict
    suboptions:
      name:
        description: Id of the instance.
        type: str
        required: true
      database:
        description: Its database; C(greenlight_) and the id with underscores when left out.
        type: str
      keep:
        description: How many of its snapshots stay, as O(keep).
        type: dict
  host_paths:
    description: Directories and files of the host itself, such as Caddy's certificates. They get a snapshot of their own.
    type: list
    elements: path
    default: []
  host_name:
    description: Name of this host in its snapshots; its own when left out.
    type: str
  keep:
    description:
      - How many snapshots stay of each instance and of the host, as numbers for C(last), C(hourly), C(daily), C(weekly), C(monthly)
        and C(yearly). What is not named is not kept.
      - Left out, the last 3, 14 daily, 8 weekly and 12 monthly ones.
    type: dict
  prune:
    description: Free the space of snapshots that were taken away. It locks the repository for that time.
    type: bool
    default: false
  copies:
    description:
      - Further repositories into which everything is copied, with options as this module has them for the first one.
      - Credentials of both are given to restic together, so that two targets of the same kind need the same ones.
    type: list
    elements: dict
    default: []
    suboptions:
      repository:
        description: Address of the repository.
        type: str
        required: true
      password_file:
        description: File on the host with its key.
        type: path
      password:
        description: Its key.
        type: str
      environment:
        description: Credentials of its target.
        type: dict
        default: {}
      ssh_key:
        description: File on the host with the private key for an sftp target.
        type: path
      known_hosts:
        description: File on the host with the public key of an sftp target's host.
        type: path
      cache:
        description: Directory of restic's cache.
        type: path
        default: /var/cache/meet-coop/restic
      lock_wait:
        description: Seconds to wait for another run that works on it.
        type: int
        default: 120
  unless_younger:
    description: Leave alone what has a snapshot younger than so many seconds; 0 backs up everything.
    type: int
    default: 0
  jobs:
    description: How many instances are worked on at a time.
    type: int
    default: 2
  metrics:
    description: File for the textfile collector of Prometheus' node exporter.
    type: path
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
  branding_root:
    description: Directory below which every instance has one for its logo.
    type: path
    default: /var/lib/meet-coop/branding
  work:
    description:
      - Directory for what is about to be stored, and for what is known of the last backups.
      - On the file system of Docker's volumes the uploads cost no space there.
    type: path
    default: /var/lib/meet-coop/backup
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.greenlight_restore
"""

EXAMPLES = r"""
---
- name: Back up all instances of this host as role backup has configured it
  meet.coop.greenlight_backup:

- name: Back up all instances of this host into another repository
  meet.coop.greenlight_backup:
    repository: /srv/restic
    password_file: /etc/meet-coop/backup.key
    host_paths: [/var/lib/caddy/certificates]

- name: Back one up before a risky change, unless that was done within the hour
  meet.coop.greenlight_backup:
    repository: s3:https://s3.example/coop
    password_file: /etc/meet-coop/backup.key
    environment:
      AWS_ACCESS_KEY_ID: coop
      AWS_SECRET_ACCESS_KEY: "{{ vault_s3_secret }}"
    instances:
      - name: sunflower
        keep: {daily: 30, monthly: 24}
    unless_younger: 3600
"""

RETURN = r"""
actions:
  description: What was done, in words.
  returned: always
  type: list
  elements: str
  sample: [back up instance sunflower]
instances:
  description: One entry for each instance, and one called C(host) for O(host_paths).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Id of the instance.
      type: str
    action:
      description: V(backup), V(skip) (its last snapshot is young enough) or V(fail).
      type: str
    snapshot:
      description: Id of its newest snapshot, null where there is none.
      type: str
    time:
      description: When that was made, in UTC.
      type: str
      sample: '2026-04-02T03:15:00Z'
    size:
      description: Bytes of everything in it.
      type: int
    added:
      description: Bytes that were new to the repository.
      type: int
    seconds:
      description: How long it took.
      type: float
    error:
      description: Why it failed, or null.
      type: str
removed:
  description: Ids of the snapshots that the retention took away.
  returned: always
  type: list
  elements: str
"""

import platform
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._backup import config, restic, runs
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import SERVER_ARGUMENTS

ARGUMENT_SPEC: dict[str, Any] = {
    **restic.ARGUMENTS,
    **config.ARGUMENTS,
    "instances": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "database": {"type": "str"},
            "keep": {"type": "dict"},
        },
    },
    "host_paths": {"type": "list", "elements": "path", "default": []},
    "host_name": {"type": "str"},
    "keep": {"type": "dict"},
    "prune": {"type": "bool", "default": False},
    "copies": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {**restic.ARGUMENTS, "repository": {"type": "str", "required": True}},
    },
    "unless_younger": {"type": "int", "default": 0},
    "jobs": {"type": "int", "default": 2},
    "metrics": {"type": "path"},
    "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
    "branding_root": {"type": "path", "default": "/var/lib/meet-coop/branding"},
    "work": {"type": "path", "default": runs.WORK},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    **SERVER_ARGUMENTS,
}


def run(params: dict[str, Any], write: bool) -> tuple[dict[str, Any], list[str]]:
    """One run; its result and what failed in it."""
    params = config.completed(params, config.JOB_KEYS)
    job = runs.job_of(params, params["host_name"] or platform.node())
    report = runs.run(job, write, params["metrics"] or None)
    result = {
        "changed": report.changed,
        "actions": report.actions,
        "instances": [asdict(outcome) for outcome in report.outcomes],
        "removed": report.removed,
        "diff": {"before": "", "after": "".join(f"{action}\n" for action in report.actions)},
    }
    return result, report.failed


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        result, failed = run(module.params, not module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    if failed:
        module.fail_json(msg="; ".join(failed), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
