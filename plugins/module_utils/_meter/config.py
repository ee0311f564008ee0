# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what the meter is told, in two files: how it works, and the nodes' secrets."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import ALGORITHMS
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

PATH = "/etc/meet-coop/meter.json"
RECORD = "/var/lib/coop-meter/record.sqlite"
INTERVALS = (10, 12, 15, 20, 30, 60, 120, 180, 300, 600)
"""Seconds between polls: whole numbers of them make an hour, so that no slot lies in two hours, days or months."""


@dataclass(frozen=True)
class Node:
    """A server to ask. ``capacity``: how many people it is made for, 0 for unknown. ``tenant``: whose the meetings without a mark are."""

    domain: str
    capacity: int = 0
    tenant: str = ""


@dataclass(frozen=True)
class Tenant:
    """Whose a tenant is, and what is fair for it to have at once; 0 for no such line."""

    service: str
    member: str
    participants: int = 0
    meetings: int = 0


@dataclass(frozen=True)
class Config:
    """How the meter works; ``interval`` and ``timeout`` in seconds."""

    nodes: tuple[Node, ...]
    tenants: t.Mapping[str, Tenant] = field(default_factory=dict)
    interval: int = 60
    timeout: float = 10.0
    algorithm: str = "sha256"
    listen: str = "127.0.0.1"
    port: int = 9689
    record: str = RECORD
    ca_file: str | None = None


def read(path: str) -> Config:
    """The configuration that a file holds. Raises CoopError."""
    raw = _json(path)
    unknown = sorted(set(raw) - set(Config.__dataclass_fields__))
    if unknown:
        raise CoopError(f"{path}: there is no setting {unknown[0]}; write one of {', '.join(Config.__dataclass_fields__)}")
    try:
        nodes = tuple(Node(**node) for node in raw.pop("nodes"))
        tenants = {name: Tenant(**tenant) for name, tenant in raw.pop("tenants", {}).items()}
        config = Config(nodes=nodes, tenants=tenants, **raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise CoopError(f"{path}: nodes or tenants are not as they should be ({error}); apply role monitoring again") from None
    if config.interval not in INTERVALS:
        raise CoopError(f"{path}: interval is {config.interval!r}; write one of {', '.join(map(str, INTERVALS))} seconds")
    if not isinstance(config.timeout, (int, float)) or not 0 < config.timeout <= config.interval / 2:
        raise CoopError(f"{path}: timeout is {config.timeout!r}; write seconds above 0, at most half of the interval ({config.interval})")
    if config.algorithm not in ALGORITHMS:
        raise CoopError(f"{path}: algorithm is {config.algorithm!r}; write one of {', '.join(ALGORITHMS)}")
    domains = [node.domain for node in nodes]
    if not domains:
        raise CoopError(f"{path}: nodes is empty; name the servers to ask")
    twice = sorted({domain for domain in domains if domains.count(domain) > 1})
    if twice:
        raise CoopError(f"{path}: node {twice[0]} is there twice; name it once, else its meetings are asked for twice")
    return config


def read_secrets(path: str | None, config: Config) -> dict[str, str]:
    """The nodes' secrets by domain; by default where systemd puts the credential. Raises CoopError, which never holds one."""
    if path is None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise CoopError("there is no file of secrets; name one with --secrets, or let systemd start the meter (LoadCredential)")
        path = os.path.join(folder, "secrets.json")
    found = _json(path)
    for node in config.nodes:
        if not isinstance(found.get(node.domain), str) or not found[node.domain]:
            raise CoopError(f"{path}: node {node.domain} has no secret; write the one that bbb-conf --secret tells there")
    return found


def _json(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except OSError as error:
        raise CoopError(f"{path} cannot be read: {error.strerror}; apply role monitoring again") from error
    except ValueError:
        # The reason would show what stands there.
        raise CoopError(f"{path} is no JSON; apply role monitoring again") from None
    if not isinstance(found, dict):
        raise CoopError(f"{path} is no JSON object; apply role monitoring again")
    return found
