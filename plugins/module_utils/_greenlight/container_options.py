# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the options of greenlight_container, and the instance they describe; for the module and for the plan of many."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import instance, swarm
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import SERVER_ARGUMENTS, login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.environment import build_environment
from ansible_collections.meet.coop.plugins.module_utils._smtp import SMTP_ACCOUNT

REQUIRED_IF = [("state", "present", ("image", "hostname", "secret_key_base", "redis_password", "database", "bigbluebutton"))]


def specification(params: dict[str, Any]) -> instance.Spec:
    """The module's options as the instance they describe. Raises CoopError naming the option at fault."""
    name = instance.check_name(params["name"])
    first, last = (*params["port_range"], 0, 0)[:2]
    if len(params["port_range"]) != 2 or not 1024 <= first <= last <= 65535:
        raise CoopError(f"port_range {params['port_range']} is not [first, last] between 1024 and 65535")
    if params["state"] != "present":
        return instance.Spec(name=name, image="", redis_image="", hostname="", state_root=params["state_root"])
    resources = params["resources"]
    if resources["cpus"] < 0.01 or resources["pids"] < 16:
        raise CoopError("resources.cpus must be 0.01 or more, and resources.pids 16 or more")
    if params["ca_file"] and not os.path.isabs(params["ca_file"]):
        raise CoopError(f"ca_file '{params['ca_file']}' is not an absolute path")
    if params["engine"] == "docker" and params["image_change"] == "beside" and not (params["dump"] and params["rehearse"]):
        raise CoopError("image_change 'beside' needs dump and rehearse: two versions share one database only after a trial on a copy of it")
    environment = build_environment(
        hostname=params["hostname"],
        secret_key_base=params["secret_key_base"],
        redis_host=instance.redis_name(name),
        redis_password=params["redis_password"],
        database=params["database"],
        bigbluebutton=params["bigbluebutton"],
        smtp=params["smtp"],
        oidc=params["oidc"],
        locale=params["locale"],
        with_ca_file=bool(params["ca_file"]),
        skip_health_checks=params["skip_health_checks"],
        extra=params["environment"],
        secret_extra=params["secret_environment"],
    )
    return instance.Spec(
        name=name,
        image=params["image"],
        redis_image=params["redis_image"],
        hostname=params["hostname"],
        environment=environment,
        redis_password=params["redis_password"],
        secret_names=frozenset(params["secret_environment"] or {}),
        ca_file=params["ca_file"],
        memory=instance.parse_memory(resources["memory"], "resources.memory"),
        cpus=resources["cpus"],
        pids=resources["pids"],
        redis_memory=instance.parse_memory(resources["redis_memory"], "resources.redis_memory"),
        port_range=(first, last),
        pull=params["pull"],
        rehearse=params["rehearse"],
        image_change=params["image_change"],
        keep_previous=params["keep_previous"],
        interruption=params["allow_interruption"],
        dump=login(params["database"]["name"], params) if params["dump"] else None,
        ready_timeout=params["ready_timeout"],
        state_root=params["state_root"],
    )


def swarm_options(params: dict[str, Any], spec: instance.Spec) -> swarm.Swarm:
    """How the instance lies in its Swarm. Raises CoopError naming the option at fault."""
    if params["state"] != "present":
        given = params["swarm"] or {}
        return swarm.Swarm(label=given.get("label") or swarm.Swarm.label, path=given.get("path"))
    if params["pull"] == "always":
        raise CoopError("pull 'always' is not for engine swarm, whose nodes download what they lack; name an exact tag in image")
    return swarm.options(params["swarm"], spec)


def argument_spec() -> dict[str, Any]:
    """The module's options."""

    def text(required: bool = False, no_log: bool = False, **more: Any) -> dict[str, Any]:
        return {"type": "str", "required": required, "no_log": no_log, **more}

    return {
        "name": text(required=True),
        "state": text(choices=["present", "stopped", "absent"], default="present"),
        "purge": {"type": "bool", "default": False},
        "engine": text(choices=["docker", "swarm"], default="docker"),
        "switch_engine": {"type": "bool", "default": False},
        "swarm": {
            "type": "dict",
            "options": {
                "label": text(default="coop.meet.instances"),
                "storage": text(choices=list(swarm.STORAGES), default="node"),
                "node": text(),
                "path": {"type": "path"},
                "monitor": {"type": "int", "default": 30},
            },
        },
        "image": text(),
        "redis_image": text(default="redis:7-alpine"),
        "pull": text(choices=["missing", "never", "always"], default="missing"),
        "hostname": text(),
        "secret_key_base": text(no_log=True),
        "redis_password": text(no_log=True),
        "database": {
            "type": "dict",
            "options": {
                "host": text(required=True),
                "port": {"type": "int", "default": 5432},
                "name": text(required=True),
                "user": text(required=True),
                "password": text(required=True, no_log=True),
            },
        },
        "bigbluebutton": {
            "type": "dict",
            "options": {"endpoint": text(required=True), "secret": text(required=True, no_log=True)},
        },
        "smtp": SMTP_ACCOUNT,
        "oidc": {
            "type": "dict",
            "options": {
                "issuer": text(required=True),
                "client_id": text(required=True),
                "client_secret": text(required=True, no_log=True),
                "client_secret_var": text(),
                "redirect": text(),
                "uid_field": text(),
                "logout_path": text(),
                "match_email": {"type": "bool", "default": False},
            },
        },
        "locale": text(),
        "environment": {"type": "dict", "default": {}},
        "secret_environment": {"type": "dict", "default": {}, "no_log": True},
        "ca_file": {"type": "path"},
        "skip_health_checks": {"type": "list", "elements": "str", "choices": ["database", "redis", "bigbluebutton"], "default": []},
        "resources": {
            "type": "dict",
            "apply_defaults": True,
            "options": {
                "memory": text(default="1g"),
                "cpus": {"type": "float", "default": 1.0},
                "pids": {"type": "int", "default": 512},
                "redis_memory": text(default="96m"),
            },
        },
        "port_range": {"type": "list", "elements": "int", "default": [5100, 5999]},
        "image_change": text(choices=["replace", "keep", "beside"], default="replace"),
        "keep_previous": {"type": "int", "default": 900},
        "allow_interruption": {"type": "bool", "default": False},
        "rehearse": {"type": "bool", "default": True},
        "dump": {"type": "bool", "default": True},
        **SERVER_ARGUMENTS,
        "ready_timeout": {"type": "int", "default": 300},
        "state_root": {"type": "path", "default": "/var/lib/meet-coop/instances"},
        "docker_host": text(default="unix:///var/run/docker.sock"),
    }
