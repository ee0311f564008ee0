#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_container
short_description: Runs a Greenlight instance in Docker, or in a Docker Swarm
version_added: 0.1.0
description:
  - Keeps one Greenlight container together with its own Redis, bridge network and storage volume, and waits until it is ready.
  - Ready means more than running. The migrations are proven complete, and the health check is good after a request that
    warms the database connection up; Greenlight's own start script ignores failed migrations.
  - The container is published on C(127.0.0.1) only, on a port that stays the same across restarts, reboots and replacements. Only
    O(image_change=beside) moves it, so hand RV(port) on to the edge.
  - A container is replaced only when it differs in something that cannot be changed in place. The old one is kept until the
    new one is proven, and comes back when the new one fails.
  - Before a new image may migrate the database, the database is dumped, and the image is tried on a copy made from that dump. There it
    migrates, shows its page and signs somebody in. The copy has no mail, no pool and no files, and is gone afterwards.
  - A run that was killed at any moment is put right by the next one.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.greenlight_database.server
  - meet.coop.smtp_account
attributes:
  check_mode:
    support: full
    details: On a host without Docker everything is predicted as new, with the first free port of O(port_range).
  diff_mode:
    support: full
    details: Shows the parameters that differ. Secrets are masked; V((changed\)) marks a masked value that differs.
  idempotent:
    support: full
requirements:
  - docker >= 5.0.0 (the Docker SDK for Python)
  - C(pg_dump) and C(pg_restore) of the server's version or newer, with O(dump=true)
  - psycopg >= 3.1 (Debian package python3-psycopg), where a new image is tried
options:
  name:
    description: Id of the instance. Names of containers, network and volume are made from it.
    type: str
    required: true
  state:
    description:
      - V(present) runs the instance and waits until it is ready.
      - V(stopped) stops it and keeps everything.
      - V(absent) removes containers and network and gives the port back. The data stays unless O(purge=true).
    type: str
    choices: [present, stopped, absent]
    default: present
  purge:
    description: With O(state=absent), remove the volume with all uploads and the dumps too. The database is not touched.
    type: bool
    default: false
  engine:
    description:
      - V(docker) runs containers on this host.
      - V(swarm) runs two services, Greenlight and its Redis, in the Docker Swarm that this host manages. When a node is lost, Swarm starts
        them on another one by itself. See C(docs/swarm.md) for what the nodes and the database need for that.
      - An instance that one engine runs is refused by the other, unless O(switch_engine=true). The one that has it stops and removes it.
      - With V(swarm), what is secret is in Docker secrets, not in the services' visible specification. A change is an update of Swarm's
        own, which waits for the new task's health and goes back by itself. O(image_change=beside) means the same as V(replace),
        O(keep_previous) and O(allow_interruption) mean nothing.
      - With V(swarm), a new image cannot be tried on a copy. It is refused unless O(rehearse=false).
    type: str
    choices: [docker, swarm]
    default: docker
  switch_engine:
    description:
      - Take the instance over where the other engine runs it. It is closed while its uploads are carried and it starts anew, with the image
        that it had. What the other engine ran is removed once the instance is well. If it does not become well, that serves again.
      - A run that was killed is finished by the next one with the same options.
    type: bool
    default: false
  swarm:
    description: How the instance lies in the Swarm. For O(engine=swarm).
    type: dict
    suboptions:
      label:
        description: Only nodes on which this label has the value C(true) run instances.
        type: str
        default: coop.meet.instances
      storage:
        description:
          - Where uploads are.
          - V(node) is the volume C(greenlight-NAME-storage) of O(swarm.node), to which that pins the instance. It does not come back
            elsewhere, and an update interrupts it for one start.
          - V(shared) is the directory O(swarm.path) that all nodes have, such as one of a file server.
          - V(s3) is a bucket, named by C(S3_ACCESS_KEY_ID), C(S3_SECRET_ACCESS_KEY), C(S3_REGION) and C(S3_BUCKET) in
            O(environment) and O(secret_environment).
        type: str
        choices: [node, shared, s3]
        default: node
      node:
        description: Host name of the node, as C(docker node ls) has it. For O(swarm.storage=node).
        type: str
      path:
        description: A directory of this instance alone that exists under this name on every node. For O(swarm.storage=shared).
        type: path
      monitor:
        description: Seconds for which Swarm watches a new task; if it ends in that time, Swarm goes back.
        type: int
        default: 30
  image:
    description: Image of Greenlight. Use an exact tag. Required for O(state=present).
    type: str
  redis_image:
    description: Image of Redis 6 or newer.
    type: str
    default: redis:7-alpine
  pull:
    description:
      - V(missing) downloads an image that is not on the host.
      - V(never) fails instead.
      - V(always) asks the registry whether the name stands for another content by now, and downloads it if so.
    type: str
    choices: [missing, never, always]
    default: missing
  hostname:
    description: Host name that users see; requests for any other are refused. Required for O(state=present).
    type: str
  secret_key_base:
    description: Key of Greenlight's cookies, 32 characters or more. Required for O(state=present).
    type: str
  redis_password:
    description: Password of the instance's Redis, 16 or more letters and digits. Required for O(state=present).
    type: str
  database:
    description: The instance's database. Required for O(state=present).
    type: dict
    suboptions:
      host:
        description: Name or IPv4 address as seen from the container.
        type: str
        required: true
      port:
        description: Port of the server.
        type: int
        default: 5432
      name:
        description: Name of the database.
        type: str
        required: true
      user:
        description: Role that owns the database.
        type: str
        required: true
      password:
        description: Password of O(database.user); any characters.
        type: str
        required: true
  bigbluebutton:
    description:
      - The BigBlueButton server or balancer. Required for O(state=present).
      - Greenlight without these two would use a public demo server.
    type: dict
    suboptions:
      endpoint:
        description: Base URL of the API.
        type: str
        required: true
      secret:
        description: The shared secret.
        type: str
        required: true
  oidc:
    description: Sign-in by OpenID Connect; turns local sign-in and sign-up off.
    type: dict
    suboptions:
      issuer:
        description: URL of the provider.
        type: str
        required: true
      client_id:
        description: Name of the instance at the provider.
        type: str
        required: true
      client_secret:
        description: Secret of the instance at the provider.
        type: str
        required: true
      client_secret_var:
        description: Ignored; lets a member's C(oidc) be handed over as it stands in the membership file.
        type: str
      redirect:
        description: Public base URL of the instance; made from O(hostname) when left out.
        type: str
      uid_field:
        description: Claim that identifies a user, C(sub) when left out.
        type: str
      logout_path:
        description: Appended to the issuer to sign out there too.
        type: str
      match_email:
        description: Recognise accounts that exist already by their mail address.
        type: bool
        default: false
  locale:
    description: Default language, such as V(en) or V(de).
    type: str
  environment:
    description:
      - Further environment variables. Those without a value are left out. Variables that an option decides, and names
        that look like secrets, are refused.
    type: dict
    default: {}
  secret_environment:
    description: Further environment variables whose values are never shown.
    type: dict
    default: {}
  ca_file:
    description: Bundle of certificate authorities on the host that the container trusts instead of its image's own.
    type: path
  skip_health_checks:
    description: Parts that the health check leaves out. That of SMTP is always left out, because it fails on working servers.
    type: list
    elements: str
    choices: [database, redis, bigbluebutton]
    default: []
  resources:
    description: Limits of the container.
    type: dict
    suboptions:
      memory:
        description: Memory; there is no swap beyond it.
        type: str
        default: 1g
      cpus:
        description: Processors.
        type: float
        default: 1.0
      pids:
        description: Processes and threads.
        type: int
        default: 512
      redis_memory:
        description: Memory of the instance's Redis, two thirds of it for data.
        type: str
        default: 96m
  port_range:
    description: First and last port that a new instance may get.
    type: list
    elements: int
    default: [5100, 5999]
  image_change:
    description:
      - What an O(image) other than the one that runs means. An instance that has never served gets it in any case.
      - V(replace) stops the old container and starts the new one on its port, which interrupts the service for as long as a start takes.
      - V(keep) leaves the image that runs, and tells the one that waits as RV(image_waiting). Everything else is kept to its state.
      - V(beside) starts the new container on another port while the old one serves, and gives it the instance's name once it is proven.
        Nobody is cut off as long as the edge is told RV(port) afterwards. Both work on one database meanwhile, which is refused when the
        trial has shown that the old version cannot live with what the new one makes of it.
      - With V(beside), the image that ran before and still runs (RV(previous)) is back at once, without a new start.
    type: str
    choices: [replace, keep, beside]
    default: replace
  keep_previous:
    description:
      - Seconds that the old container runs on after O(image_change=beside). Requests and WebSockets that it has are finished there.
      - The first run after that time removes it. Until then the instance uses twice its memory.
    type: int
    default: 900
  allow_interruption:
    description:
      - With O(image_change=beside), whether the old container may be stopped for the migration where it cannot live with what that makes.
      - The database is then dumped again once nobody can write, and goes back to that dump when anything fails, so nothing is lost.
        Show a maintenance page meanwhile. There is no container to go back to afterwards.
    type: bool
    default: false
  rehearse:
    description:
      - Try a new image before replacing the running container. Needed for O(image_change=beside).
      - With O(dump=true), O(login_user) must be allowed to make databases and roles.
    type: bool
    default: true
  dump:
    description:
      - Before a container that has served is replaced by one of another image, dump its database into C(STATE_ROOT/NAME/dumps), readable
        by root alone. The server is reached by O(login_unix_socket) or O(login_host), not by O(database.host).
      - The first and the last dump made before replacing each of the last two containers are kept.
      - Without a dump nothing is replaced. With V(false), a new image is tried on the instance's own database, and
        O(image_change=beside) is refused.
    type: bool
    default: true
  ready_timeout:
    description: Seconds the instance may take to become ready.
    type: int
    default: 300
  state_root:
    description: Directory below which every instance has one for its state.
    type: path
    default: /var/lib/meet-coop/instances
  docker_host:
    description: Where Docker listens.
    type: str
    default: unix:///var/run/docker.sock
notes:
  - Uploads are in the volume C(greenlight-NAME-storage); the Redis keeps nothing.
  - Names that Docker sees during a replacement end in C(.next), C(.rehearsal) and C(.previous). A copy of the database on which an image
    is tried is called C(rehearsal_of_NAME); one with what was written before a dump had to be put back, C(aside_of_NAME).
seealso:
  - module: meet.coop.instance_secrets
  - module: meet.coop.greenlight_database
  - module: meet.coop.greenlight_settings
  - module: meet.coop.caddy_route
"""

EXAMPLES = r"""
---
- name: Run an instance
  meet.coop.greenlight_container:
    name: sunflower
    image: bigbluebutton/greenlight:v3.8.2.4
    hostname: meet.sunflower.example
    secret_key_base: "{{ kept.secrets.secret_key_base }}"
    redis_password: "{{ kept.secrets.redis_password }}"
    database:
      host: 10.213.0.1
      name: greenlight_sunflower
      user: greenlight_sunflower
      password: "{{ kept.secrets.database_password }}"
    bigbluebutton:
      endpoint: https://pool.example.org/t/sunflower/bigbluebutton/api/
      secret: "{{ kept.secrets.pool_secret }}"
    smtp:
      server: mail.example.org
      auth: plain
      username: sunflower
      password: "{{ sunflower_smtp_password }}"
      sender_email: meet@sunflower.example
      sender_name: Sunflower
    locale: en
    resources:
      memory: 1g
      cpus: 1.5
  register: instance

- name: Upgrade without cutting anybody off
  meet.coop.greenlight_container:
    name: sunflower
    image: bigbluebutton/greenlight:v3.8.2.4
    image_change: beside
    hostname: meet.sunflower.example
    secret_key_base: "{{ kept.secrets.secret_key_base }}"
    redis_password: "{{ kept.secrets.redis_password }}"
    database:
      host: 10.213.0.1
      name: greenlight_sunflower
      user: greenlight_sunflower
      password: "{{ kept.secrets.database_password }}"
    bigbluebutton:
      endpoint: https://pool.example.org/t/sunflower/bigbluebutton/api/
      secret: "{{ kept.secrets.pool_secret }}"
  register: instance

- name: Lead people to the new version
  meet.coop.caddy_route:
    id: sunflower
    hosts: [meet.sunflower.example]
    upstream: "127.0.0.1:{{ instance.port }}"

- name: Run an instance that survives the loss of a node
  meet.coop.greenlight_container:
    name: sunflower
    engine: swarm
    swarm:
      storage: s3
    image: bigbluebutton/greenlight:v3.8.2.4
    rehearse: false
    hostname: meet.sunflower.example
    secret_key_base: "{{ kept.secrets.secret_key_base }}"
    redis_password: "{{ kept.secrets.redis_password }}"
    database:
      host: 10.0.0.5
      name: greenlight_sunflower
      user: greenlight_sunflower
      password: "{{ kept.secrets.database_password }}"
    bigbluebutton:
      endpoint: https://pool.example.org/t/sunflower/bigbluebutton/api/
      secret: "{{ kept.secrets.pool_secret }}"
    environment:
      S3_REGION: eu-central-1
      S3_BUCKET: sunflower
    secret_environment:
      S3_ACCESS_KEY_ID: "{{ sunflower_s3_key }}"
      S3_SECRET_ACCESS_KEY: "{{ sunflower_s3_secret }}"

- name: Stop an instance
  meet.coop.greenlight_container:
    name: sunflower
    state: stopped

- name: Remove an instance with its uploads
  meet.coop.greenlight_container:
    name: sunflower
    state: absent
    purge: true
"""

RETURN = r"""
port:
  description: Port on C(127.0.0.1) that the instance answers on; with O(engine=swarm), on the node that runs it.
  returned: success, null for an absent instance
  type: int
  sample: 5100
upstreams:
  description:
    - Where the instance may answer. With O(engine=swarm), every node that may run it, of which one does. A node that is
      away for the moment is among them, so that the edge need not be told.
    - Empty for an instance that is not present, and where check mode finds a host whose Swarm still has to be made.
  returned: success
  type: list
  elements: str
  sample: ['127.0.0.1:5100']
container_id:
  description: Id of the container. Null where check mode cannot know it.
  returned: success
  type: str
image_id:
  description: Id of the container's image. Null where check mode cannot know it, and where only other nodes of a Swarm have it.
  returned: success
  type: str
version:
  description: Version that the instance itself reports.
  returned: success
  type: str
  sample: v3.8.2.4
actions:
  description: What was done, in words and in order.
  returned: success
  type: list
  elements: str
  sample: [create network greenlight-sunflower, create container greenlight-sunflower]
dump:
  description: Path of the dump that was made on the host. Null when none was, and in check mode.
  returned: success
  type: str
  sample: /var/lib/meet-coop/instances/sunflower/dumps/3f2a9c4b7e60-20260402T031500.dump
image_waiting:
  description: The O(image) that waits for an upgrade with O(image_change=keep). Null when the instance runs it.
  returned: success
  type: str
  sample: bigbluebutton/greenlight:v3.8.2.4
previous:
  description:
    - The container before this one, while it still runs after O(image_change=beside), with C(image), C(version), C(port) and C(until).
    - Null when there is none, and in check mode where something would change.
  returned: success
  type: dict
  sample: {image: 'bigbluebutton/greenlight:v3.7.1', version: v3.7.1, port: 5100, until: '2026-04-02T03:30:00Z'}
log:
  description: The last lines of the container's log, secrets masked.
  returned: when the instance did not become ready
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import operations, swarm_operations, switching
from ansible_collections.meet.coop.plugins.module_utils._greenlight.container_options import (
    REQUIRED_IF,
    argument_spec,
    specification,
    swarm_options,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, MissingSdk
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import LOOPBACK


def run(module: AnsibleModule) -> dict[str, Any]:
    """Observe, compare, change."""
    spec = specification(module.params)
    write = not module.check_mode
    engine: Engine | None = Engine(module.params["docker_host"])
    if module.check_mode and engine.socket and not os.path.exists(engine.socket):
        engine = None  # a bare host: Docker comes earlier in the same play
    state, purge = module.params["state"], module.params["purge"]
    upstreams: list[str] = []
    result: operations.Result
    switch = state == "present" and module.params["switch_engine"] and engine and switching.due(engine, spec, module.params["engine"])
    goal = module.params["engine"] if state == "present" else switching.whose(engine, spec, module.params["engine"])
    if goal == "swarm":
        swarm = swarm_options(module.params, spec)
        if switch and engine:
            result, before, after = switching.to_swarm(engine, spec, swarm, write)
            upstreams = result.upstreams
        elif state == "present":
            result, before, after = swarm_operations.converge(engine, spec, swarm, write)
            upstreams = result.upstreams
        else:
            result, before, after = swarm_operations.withdraw(engine, spec, swarm, state, purge, write)
    else:
        if switch and engine:
            result, before, after = switching.to_docker(engine, spec, write)
            upstreams = [f"{LOOPBACK}:{result.port}"]
        elif state == "present":
            swarm_operations.refuse_services(spec)
            result, before, after = operations.converge(engine, spec, write)
            upstreams = [f"{LOOPBACK}:{result.port}"]
        else:
            result, before, after = operations.withdraw(engine, spec, state, purge, write)
    return {
        "changed": bool(result.actions),
        "port": result.port,
        "upstreams": upstreams,
        "container_id": result.container_id,
        "image_id": result.image_id,
        "version": result.version,
        "dump": result.dump,
        "image_waiting": result.image_waiting,
        "previous": result.previous,
        "actions": result.actions,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_if=REQUIRED_IF,
    )
    try:
        module.exit_json(**run(module))
    except ContainerError as error:
        module.fail_json(msg=str(error), **({"log": error.log} if error.log else {}))
    except MissingSdk as error:
        module.fail_json(msg=f"{missing_required_lib('docker >= 5.0.0')} ({error})")
    except CoopError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
