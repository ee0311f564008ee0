# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small co-operative that decides, as files to bend in tests."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Any

import yaml

from ansible_collections.meet.coop.plugins.modules.decision_tally import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.decisions import DecisionTask
from tests.unit.membership.base import BASE

MEDIUM: dict[str, Any] = {
    "quorum": "1/2",
    "consensus": {"days": 14, "stand_aside_limit": "1/4"},
    "vote": {"notice_days": 7, "threshold": "1/2", "of": "votes"},
}
RULES: dict[str, Any] = {
    "rules": [
        {
            "from": "2020-05-01",
            "kinds": {
                "medium": MEDIUM,
                "signed": {**MEDIUM, "signatures": "required"},
                "expulsion": {**MEDIUM, "early": False, "vote": {"notice_days": 14, "threshold": "3/4", "of": "members"}},
            },
        }
    ]
}
PROPOSAL: dict[str, Any] = {
    "id": "D-0001",
    "title": "A fair rate",
    "kind": "medium",
    "proposer": "ada",
    "opened": "2026-01-10",
    "revision": 1,
    "closes_consensus": "2026-01-24",
    "text": "25 euros an hour.",
}
VOTE = {"vote_notice": "2026-01-26", "closes_vote": "2026-02-05"}


def dump(data: Any) -> str:
    """Values as YAML; by libyaml where it is, since properties write many files."""
    return yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, allow_unicode=True)


class Coop:
    """Files of a co-operative in a folder."""

    def __init__(self, path: pathlib.Path, members: dict[str, dict[str, Any]] | str = "ada bob cia dan") -> None:
        self.path = path
        self.decisions = path / "decisions"
        self.decisions.mkdir(parents=True)
        if isinstance(members, str):
            members = {name: {} for name in members.split()}
        self.members(members)
        self.write("rules.yml", RULES)

    def members(self, members: dict[str, dict[str, Any]]) -> None:
        """The register; each with dates or other fields of its own."""
        agaric = BASE["members"]["agaric"]
        data = {
            "cooperative": BASE["cooperative"],
            "members": {name: {**agaric, "evidence": {**agaric["evidence"], "number": name}, **own} for name, own in members.items()},
        }
        (self.path / "members.yml").write_text(dump(data))

    def write(self, name: str, data: Any) -> pathlib.Path:
        """A file of the folder of decisions: text, or values as YAML."""
        path = self.decisions / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else dump(data))
        return path

    def propose(self, number: str = "D-0001", **changes: Any) -> None:
        """A proposal; None takes a field away."""
        data = {**PROPOSAL, "id": number, **changes}
        self.write(f"{number}/proposal.yml", {key: value for key, value in data.items() if value is not None})

    def say(self, member: str, position: str, number: str = "D-0001", stage: str = "consensus", **changes: Any) -> pathlib.Path:
        """What a member says, on the third day of a round unless said otherwise."""
        data: dict[str, Any] = {
            "member": member,
            "proposal": number,
            "stage": stage,
            "revision": 1,
            "position": position,
            "by": "Somebody",
            "at": "2026-01-12" if stage == "consensus" else "2026-01-28",
        }
        if position in ("block", "stand_aside"):
            data["reason"] = "We have one."
        data = {key: value for key, value in {**data, **changes}.items() if value is not None}
        return self.write(f"{number}/{'positions' if stage == 'consensus' else 'votes'}/{member}.yml", data)

    def vote(self, member: str, position: str, **changes: Any) -> pathlib.Path:
        """A vote."""
        return self.say(member, position, stage="vote", **changes)

    def tally(self, as_of: str = "2026-03-01", check: bool = False, **options: Any) -> dict[str, Any]:
        """The module's result."""
        params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
        return DecisionTask({**params, "membership": [str(self.path / "members.yml")], "as_of": as_of, **options}).run(check)

    def result(self, as_of: str = "2026-03-01", number: str = "D-0001") -> dict[str, Any]:
        """One decision of a tally that writes nothing."""
        return next(one for one in self.tally(as_of, check=True)["decisions"] if one["decision"] == number)

    def outcome(self, number: str = "D-0001") -> bytes | None:
        """The outcome as it is written."""
        path = self.decisions / number / "outcome.yml"
        return path.read_bytes() if path.exists() else None


class Keys:
    """Keys of members, made by the real ssh-keygen."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        path.mkdir()

    def make(self, name: str) -> str:
        """A new key; returns its public half."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.path / name)], check=True)
        return " ".join((self.path / f"{name}.pub").read_text().split()[:2])

    def sign(self, name: str, file: pathlib.Path, namespace: str = "omc-vote") -> None:
        """Sign a file with a key."""
        file.with_name(file.name + ".sig").unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.path / name), "-n", namespace, str(file)],
            check=True, capture_output=True, env={**os.environ, "SSH_AUTH_SOCK": ""},
        )  # fmt: skip
