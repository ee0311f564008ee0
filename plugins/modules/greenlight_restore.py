#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_restore
short_description: Restores a Greenlight instance from a restic repository
version_added: 0.1.0
description:
  - Brings database, uploads, secrets and logo of one instance back from a snapshot that M(meet.coop.greenlight_backup) made, on the
    same host or another one, without touching any other instance.
  - Files and rows are laid out beside what serves and compared with the snapshot's manifest. Only when all is there and proven they
    take its place, which interrupts the instance for seconds.
  - An instance that is there is not overwritten unless O(replace=true).
  - A run that was killed before that switch has changed nothing; the next one removes its scraps. One that was killed during the switch
    is finished by the next one.
  - The dump is loaded by the database's owner and never by a superuser, into a server of the same PostgreSQL version or a newer one.
  - Containers are stopped for the switch and started again when they still know the right secrets. In all other cases
    M(meet.coop.greenlight_container) brings the instance up; playbook C(meet.coop.restore) does both.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database.server
  - meet.coop.restic_repository
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the actions.
  idempotent:
    support: full
    details: A snapshot that was the last one restored is not restored again, unless O(force=true).
requirements:
  - psycopg >= 3.1 (Debian package python3-psycopg)
  - docker >= 5.0.0 (the Docker SDK for Python), for uploads and containers
  - C(pg_restore) of the server's version or newer
options:
  name:
    description: Id of the instance to restore.
    type: str
    required: true
  source:
    description:
      - Id of the instance whose snapshot it is; O(name) when left out.
      - Another one makes a copy of it under a new name, for trying things out. The copy gets no secrets of the original.
    type: str
  snapshot:
    description:
      - V(latest), a time, or the first 8 or more digits of a snapshot's id.
      - A time such as V(2026-04-02T03:15:00Z), in UTC, means the newest snapshot that is not younger. A date means its end.
    type: str
    default: latest
  replace:
    description: Put the snapshot in the place of an instance that is there. What was there is lost.
    type: bool
    default: false
  force:
    description: Restore a snapshot again that was the last one restored.
    type: bool
    default: false
  database:
    description: The instance's database; C(greenlight_) and O(name) with underscores when left out.
    type: str
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
  branding_root:
    description: Directory below which every instance has one for its logo.
    type: path
    default: /var/lib/meet-coop/branding
  work:
    description: Directory for what is being restored and for receipts.
    type: path
    default: /var/lib/meet-coop/restore
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: meet.coop.greenlight_backup
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Bring a lost instance back
  meet.coop.greenlight_restore:
    name: sunflower

- name: Put an instance back to how it was yesterday evening
  meet.coop.greenlight_restore:
    name: sunflower
    snapshot: 2026-04-02T20:00:00Z
    replace: true

- name: Make a copy to try things out
  meet.coop.greenlight_restore:
    name: sunflower-staging
    source: sunflower
    repository: /srv/restic
    password_file: /etc/meet-coop/backup.key
"""

RETURN = r"""
actions:
  description: What was done, in words; nothing where that snapshot was restored already.
  returned: success
  type: list
  elements: str
  sample: [fetch snapshot 1c9807b9 of sunflower from 2026-04-02T03:15:00Z, restore database greenlight_sunflower]
snapshot:
  description: Id of the snapshot.
  returned: success
  type: str
made_at:
  description: When it was made, in UTC.
  returned: success
  type: str
  sample: '2026-04-02T03:15:00Z'
container:
  description: V(started), V(stopped) (to be brought up by M(meet.coop.greenlight_container)) or V(none).
  returned: success
  type: str
interruption:
  description: Seconds between stopping the containers and starting them again.
  returned: success
  type: float
seconds:
  description: Seconds of everything.
  returned: success
  type: float
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._backup import config, restic, restores, stage
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database
from ansible_collections.meet.coop.plugins.module_utils._greenlight._psycopg import PSYCOPG_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import MissingSdk
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import check_name

ARGUMENT_SPEC: dict[str, Any] = {
    **restic.ARGUMENTS,
    **config.ARGUMENTS,
    "name": {"type": "str", "required": True},
    "source": {"type": "str"},
    "snapshot": {"type": "str", "default": "latest"},
    "replace": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "database": {"type": "str"},
    "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
    "branding_root": {"type": "path", "default": "/var/lib/meet-coop/branding"},
    "work": {"type": "path", "default": restores.WORK},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    **database.SERVER_ARGUMENTS,
}


def request_of(params: dict[str, Any]) -> restores.Request:
    """The options as a request. Raises CoopError."""
    name = check_name(params["name"])
    params = config.completed(params, config.REPOSITORY_KEYS)
    return restores.Request(
        repository=restic.repository_of(params),
        instance=stage.Instance(
            name=name,
            login=database.login(params["database"] or stage.database_name(name), params),
            state_root=params["state_root"],
            branding_root=params["branding_root"],
        ),
        source=check_name(params["source"] or name),
        snapshot=params["snapshot"],
        replace=params["replace"],
        force=params["force"],
        docker_host=params["docker_host"],
        work=params["work"],
        lock_wait=float(params["lock_wait"]),
    )


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if PSYCOPG_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("psycopg >= 3.1"), exception=PSYCOPG_IMPORT_ERROR)
    try:
        result = restores.run(request_of(module.params), not module.check_mode)
    except MissingSdk as error:
        module.fail_json(msg=f"{missing_required_lib('docker >= 5.0.0')} ({error})")
    except CoopError as error:
        module.fail_json(msg=str(error))
    diff = {"before": "", "after": "".join(f"{action}\n" for action in result.actions)}
    module.exit_json(changed=bool(result.actions), diff=diff, **asdict(result))


if __name__ == "__main__":
    main()
