# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a review of a host finds, and which of it the operator has accepted."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

RULES = {
    "listens": "a port that others can reach and nobody stated",
    "firewall": "a table of nftables that is not loaded, or lets everything in",
    "ssh-password": "SSH takes passwords",
    "ssh-root-password": "SSH lets root in by password",
    "ssh-empty-password": "SSH lets in who has no password",
    "docker-tcp": "Docker takes commands over TCP",
    "docker-insecure-registry": "Docker takes images without TLS",
    "docker-socket-mode": "Docker's socket is open to others than its group",
    "docker-group": "an account is in Docker's group, which is as good as root",
    "container-privileged": "a container has all rights of the host",
    "container-docker-socket": "a container commands Docker",
    "container-host-network": "a container shares the host's network",
    "container-host-processes": "a container shares the host's processes or memory",
    "container-host-files": "a container has system folders of the host",
    "container-capability": "a container has rights beyond those that Docker gives",
    "container-unconfined": "a container is without seccomp or AppArmor",
    "pg-hba-trust": "PostgreSQL lets somebody in without proof",
    "pg-hba-all": "PostgreSQL lets others on the network into every database, or everybody into one",
    "pg-hba-weak": "PostgreSQL takes passwords in clear, or believes what a client says of itself",
    "pg-hba-error": "a line of pg_hba.conf that PostgreSQL does not understand",
    "pg-superuser": "a role beside postgres that may do anything in PostgreSQL",
    "mode": "a file or folder is open to more than it should be",
    "unit-exposed": "a service of ours is not held in a sandbox",
    "caddy-admin": "Caddy takes configuration from more than root",
    "no-security-updates": "security updates are not installed by themselves",
    "unreadable": "a part of the host could not be looked at",
}
"""What is looked for, by the name that findings have."""


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as it should be."""

    id: str
    #: What it is about, which acceptances name: a port, file, unit, container, line of pg_hba.conf.
    where: str
    seen: str
    todo: str

    def __post_init__(self) -> None:
        if self.id not in RULES:
            raise ValueError(f"{self.id} is no rule of the review")


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """A finding that the operator lives with, and why."""

    id: str
    #: A shell pattern.
    where: str
    why: str

    def covers(self, finding: Finding) -> bool:
        return self.id == finding.id and fnmatch.fnmatchcase(finding.where, self.where)


def acceptances(given: Iterable[Mapping[str, Any]]) -> list[Acceptance]:
    """What the operator has written. Raises CoopError, which names the entry."""
    found = []
    for number, entry in enumerate(given, 1):
        if entry["id"] not in RULES:
            raise CoopError(f"accepted, entry {number}: there is no finding {entry['id']!r}; write one of {', '.join(RULES)}")
        if not (entry["why"] or "").strip():
            raise CoopError(f"accepted, entry {number} ({entry['id']}): write in why for what reason you live with it")
        found.append(Acceptance(entry["id"], entry["where"] or "*", entry["why"].strip()))
    return found


def verdict(findings: Iterable[Finding], accepted: Sequence[Acceptance]) -> tuple[list[dict[str, Any]], list[Acceptance]]:
    """Every finding, with whether and why it is accepted, the others first; and acceptances that cover nothing."""
    told, used = [], set()
    for finding in sorted(set(findings)):
        reason = next((one for one in accepted if one.covers(finding)), None)
        used |= {one for one in accepted if one.covers(finding)}
        told.append({**dataclasses.asdict(finding), "accepted": reason is not None, "why": reason.why if reason else ""})
    told.sort(key=lambda one: one["accepted"])
    return told, [one for one in accepted if one not in used]
