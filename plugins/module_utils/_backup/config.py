# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what role backup has written down on a host, for its timer and for modules that are not told otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._backup import runs
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

PATH = "/etc/meet-coop/backup.json"
DEFAULTS: dict[str, Any] = {
    "repository": "",
    "password_file": "/etc/meet-coop/backup.key",
    "environment": {},
    "ssh_key": "",
    "known_hosts": "",
    "cache": "/var/cache/meet-coop/restic",
    "lock_wait": 3600,
    "copies": [],
    "keep": {},
    "keep_instances": {},
    "host_name": "",
    "host_paths": [],
    "jobs": 2,
    "metrics": "",
    "work": runs.WORK,
    "state_root": "/var/lib/meet-coop/instances",
    "branding_root": "/var/lib/meet-coop/branding",
    "docker_host": "unix:///var/run/docker.sock",
    "login_unix_socket": "",
    "login_host": "",
    "login_port": 5432,
    "login_user": "postgres",
    "login_password": "",
    "prune_days": 7,
    "check_days": 7,
    "check_share": "5%",
}
"""Every key of the file, and what holds where it is not there."""
REPOSITORY_KEYS = ("repository", "password_file", "environment", "ssh_key", "known_hosts", "cache")
JOB_KEYS = (*REPOSITORY_KEYS, "copies", "keep", "keep_instances", "host_name", "metrics", "work")


def read(path: str = PATH) -> dict[str, Any]:
    """The configuration, with defaults for what it does not name. Raises CoopError naming the key that is wrong."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        raise CoopError(f"{path} is not there: apply role backup to this host, or say repository and password_file") from None
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CoopError(f"{path} is not JSON ({error}); apply role backup to this host again") from error
    if not isinstance(found, dict):
        raise CoopError(f"{path} holds no options; apply role backup to this host again")
    unknown = sorted(set(found) - set(DEFAULTS))
    if unknown:
        raise CoopError(f"{path} knows no {', '.join(unknown)}; apply role backup to this host again")
    for key, default in DEFAULTS.items():
        if key in found and not isinstance(found[key], type(default)):
            raise CoopError(f"{path}: {key} is no {type(default).__name__}; apply role backup to this host again")
    if not found.get("repository"):
        raise CoopError(f"{path} names no repository; apply role backup to this host again")
    return {**DEFAULTS, **found}


def completed(options: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """A module's options, with the host's own configuration for ``keys`` where the task names no repository. Raises CoopError."""
    if options.get("repository"):
        return dict(options)
    kept = read(options.get("config") or PATH)
    return {**options, **{key: kept[key] for key in keys}}


ARGUMENTS: dict[str, dict[str, Any]] = {"config": {"type": "path", "default": PATH}}
"""Argument spec of where the configuration lies (doc fragment ``meet.coop.restic_repository``)."""
