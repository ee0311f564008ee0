#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: greenlight_image
short_description: Builds a member's own image of Greenlight from a folder of overrides
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Makes an image from an upstream image of Greenlight 3 and a folder of overrides on the controller. Title, footer, icons, texts of the
    site and of mails in any of Greenlight's languages, styles and whole files (such as mail templates) can be overridden.
  - Each override is held against the files of that very image before anything is built. A file that has moved, a text that is gone, or a
    text that names a value Greenlight does not fill in is an error that names the override's file and line, and what there is instead.
  - The assets are compiled in the build, without network, so that starts of the image need neither network nor the time for it.
  - The tag is made from the upstream image's digest and a hash of the overrides; the same wish is never built twice. Labels of the OCI
    image format say where the image comes from.
  - Built with Docker's own API, without Dockerfile and BuildKit. Where the image is pushed to a registry, other hosts pull it from there.
  - The build container of a run that was killed is removed by the next run.
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
    details:
      - The overrides are checked against the image in a container that is never started. That cannot be done while O(upstream) is not
        on the host, or the host has no Docker yet.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - docker >= 5.0.0 (the Docker SDK for Python)
options:
  name:
    description: Name of the fork, such as the id of the member's service.
    type: str
    required: true
  upstream:
    description: The image to build on, with its tag, such as V(bigbluebutton/greenlight:v3.8.2.4).
    type: str
    required: true
  overrides:
    description: Folder of overrides on the controller. What may be in it is described in C(docs/image.md) of the collection.
    type: str
    required: true
  repository:
    description: Name of the image without a tag, by default C(meet-coop/greenlight-NAME). To push it, begin with the registry's address.
    type: str
  pull:
    description:
      - V(missing) downloads O(upstream) when it is not on the host.
      - V(never) fails instead.
      - V(always) asks the registry whether the name stands for another image by now, and then downloads that one.
    type: str
    choices: [missing, never, always]
    default: missing
  push:
    description: Whether the image has to be in the registry that O(repository) names. If it is there already, it is pulled, not built.
    type: bool
    default: false
  registry:
    description: Account at the registry of O(repository), where it asks for one.
    type: dict
    suboptions:
      username:
        description: Name of the account.
        type: str
        required: true
      password:
        description: Its password or token.
        type: str
        required: true
  source:
    description: Address of the source code, for the label C(org.opencontainers.image.source).
    type: str
    default: https://github.com/bigbluebutton/greenlight
  instance:
    description: Name of the instance whose running container is looked at for RV(behind).
    type: str
  timeout:
    description: Seconds that compiling the assets may take.
    type: int
    default: 900
  memory:
    description: Memory that compiling the assets may use.
    type: str
    default: 2g
  keep:
    description:
      - How many earlier images of the fork stay on the host that no container uses, the newest ones. Older ones are removed.
      - What a container uses, and the image that is wanted, always stays.
    type: int
    default: 1
  docker_host:
    description: Address of the Docker daemon.
    type: str
    default: unix:///var/run/docker.sock
  content:
    description: What is in the folder. Filled in by the action plugin, which reads O(overrides) on the controller; not for plays.
    type: dict
seealso:
  - module: meet.coop.greenlight_container
"""

EXAMPLES = r"""
---
- name: Build Sunflower's own Greenlight
  meet.coop.greenlight_image:
    name: sunflower
    upstream: bigbluebutton/greenlight:v3.8.2.4
    overrides: overrides/sunflower
  register: built

- name: Build it once for all container hosts
  meet.coop.greenlight_image:
    name: sunflower
    upstream: bigbluebutton/greenlight:v3.8.2.4
    overrides: overrides/sunflower
    repository: registry.meet.example/coop/greenlight-sunflower
    push: true
    registry:
      username: builder
      password: "{{ vault_registry_password }}"

- name: Ask whether what runs lags behind upstream or the overrides, without building anything
  meet.coop.greenlight_image:
    name: sunflower
    upstream: bigbluebutton/greenlight:v3.8
    overrides: overrides/sunflower
    pull: always
    instance: sunflower
  check_mode: true
  register: asked
"""

RETURN = r"""
image:
  description: The image's full name, to be given to M(meet.coop.greenlight_container).
  returned: success
  type: str
  sample: meet-coop/greenlight-sunflower:v3.8.2.4-2f1c0d9e8b7a
image_id:
  description: Its id on this host; none in check mode when it is still to be built.
  returned: success
  type: str
base_digest:
  description: Digest of the upstream image; of one that was never in a registry, its id.
  returned: success
  type: str
revision:
  description: SHA-256 of the overrides.
  returned: success
  type: str
files:
  description: Files of the image that differ from upstream's. Empty when nothing had to be built.
  returned: success
  type: list
  elements: str
actions:
  description: What was done, in words.
  returned: success
  type: list
  elements: str
  sample: ["build image meet-coop/greenlight-sunflower:v3.8.2.4-2f1c0d9e8b7a"]
behind:
  description:
    - How the image that O(instance) runs differs from the one that is wanted now. Empty when it does not, or when it does not run.
    - C(what) is V(version) (another name of upstream's image), V(upstream) (another content), V(overrides), V(recipe) (how this collection
      builds), or V(fork) (the running image is no fork at all).
  returned: success
  type: list
  elements: dict
  sample: [{"what": "version", "is": "bigbluebutton/greenlight:v3.8.2.3", "wanted": "bigbluebutton/greenlight:v3.8.2.4"}]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import images
from ansible_collections.meet.coop.plugins.module_utils._greenlight.engine import ContainerError, Engine, MissingSdk
from ansible_collections.meet.coop.plugins.module_utils._greenlight.instance import parse_memory


def run(module: AnsibleModule) -> dict[str, Any]:
    """Observe, compare, change."""
    params = module.params
    if params["keep"] < 0:
        raise CoopError(f"keep is a number of images, 0 or more, not {params['keep']}")
    if params["content"] is None:
        raise CoopError("content is missing: greenlight_image runs through its action plugin, which reads overrides on the controller")
    spec = images.Spec(
        name=params["name"],
        upstream=params["upstream"],
        content=params["content"],
        repository=params["repository"] or f"meet-coop/greenlight-{params['name']}",
        pull=params["pull"],
        push=params["push"],
        login=params["registry"],
        source=params["source"],
        instance=params["instance"],
        timeout=params["timeout"],
        memory=parse_memory(params["memory"], "memory"),
        keep=params["keep"],
    )
    engine: Engine | None = Engine(params["docker_host"])
    if module.check_mode and engine.socket and not os.path.exists(engine.socket):
        engine = None  # a bare host: Docker comes earlier in the same play
    done = images.converge(engine, spec, not module.check_mode)
    return {
        "changed": bool(done.actions),
        "image": done.image,
        "image_id": done.image_id,
        "base_digest": done.base_digest,
        "revision": done.revision,
        "files": done.files,
        "actions": done.actions,
        "behind": done.behind,
        "diff": {"before": done.before, "after": done.after},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "upstream": {"type": "str", "required": True},
            "overrides": {"type": "str", "required": True},
            "repository": {"type": "str"},
            "pull": {"type": "str", "choices": ["missing", "never", "always"], "default": "missing"},
            "push": {"type": "bool", "default": False},
            "registry": {
                "type": "dict",
                "options": {
                    "username": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "source": {"type": "str", "default": "https://github.com/bigbluebutton/greenlight"},
            "instance": {"type": "str"},
            "timeout": {"type": "int", "default": 900},
            "memory": {"type": "str", "default": "2g"},
            "keep": {"type": "int", "default": 1},
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
            "content": {"type": "dict"},
        },
        supports_check_mode=True,
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
