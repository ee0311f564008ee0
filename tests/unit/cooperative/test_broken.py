# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decision files with mistakes: each is said with file and line, and nothing is written."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.unit.cooperative.coop import MEDIUM, PROPOSAL, RULES, VOTE, Coop, Keys

P, A = "D-0001/proposal.yml", "D-0001/positions/ada.yml"
SHA = "0" * 64


def rules(*sets: dict[str, object]) -> Callable[[Coop], object]:
    return lambda coop: coop.write("rules.yml", {"rules": list(sets)})


# What is done to good files, the place that is named, and what is said.
BROKEN: dict[str, tuple[Callable[[Coop], object], str, str]] = {
    "amends itself": (lambda coop: coop.propose(amends=["D-0001"]), f"{P}:10", "D-0001 names itself; write the number of an earlier"),
    "supersedes itself": (lambda coop: coop.propose(supersedes=["D-0001"]), f"{P}:10", "D-0001 names itself"),
    "supersedes a later one": (lambda coop: coop.propose(supersedes=["D-0003"]), f"{P}:10", "D-0003 comes after D-0001"),
    "amends nothing": (
        lambda coop: coop.propose("D-0002", amends=["D-0001", "D-0000"]),
        "D-0002/proposal.yml:11",
        "D-0000 does not exist; write the number of an earlier decision, or remove it",
    ),
    "wrong number": (lambda coop: coop.write(P, {**PROPOSAL, "id": "D-0002"}), f"{P}:1", "D-0002 stands in the folder of D-0001"),
    "unknown proposer": (lambda coop: coop.propose(proposer="zoe"), f"{P}:4", '"zoe" is no member in the membership file'),
    "proposer gone": (
        lambda coop: coop.members({"ada": {"left": "2025-01-01"}, "bob": {}}),
        f"{P}:4",
        '"ada" was not a member on 2026-01-10',
    ),
    "unknown kind": (lambda coop: coop.propose(kind="huge"), f"{P}:3", '"huge" has no rule from 2020-05-01 on; write one of exp'),
    "opened before any rule": (
        rules({"from": "2026-01-11", "kinds": {"medium": MEDIUM}}),
        f"{P}:5",
        "2026-01-10 is before 2026-01-11, when the first rules in coop/decisions/rules.yml begin",
    ),
    "no such day": (lambda coop: coop.propose(opened="2026-02-30"), f"{P}:5", '"2026-02-30" is not a day of the calendar'),
    "date the wrong way": (lambda coop: coop.propose(opened="10.01.2026"), f"{P}:5", "is not a date; write year-month-day"),
    "closes too soon": (lambda coop: coop.propose(closes_consensus="2026-01-23"), f"{P}:7", "write 2026-01-24 or later"),
    "notice too short": (
        lambda coop: coop.propose(vote_notice="2026-01-26", closes_vote="2026-02-02"),
        f"{P}:10",
        "a medium vote has 7 clear days' notice; write 2026-02-03 or later",
    ),
    "vote without notice": (lambda coop: coop.propose(closes_vote="2026-02-02"), f"{P}:9", "stands here without vote_notice"),
    "vote called before a block": (
        lambda coop: (coop.propose(vote_notice="2026-01-20", closes_vote="2026-02-05"), coop.say("ada", "block")),
        f"{P}:9",
        "2026-01-20 is before 2026-01-24, when the consensus round ended",
    ),
    "revision without a day": (lambda coop: coop.propose(revision=2), f"{P}:6", "revision 2 has no day; write revised:"),
    "withdrawn too late": (
        lambda coop: (coop.propose(withdrawn="2026-02-01"), coop.say("ada", "agree"), coop.say("bob", "agree")),
        f"{P}:9",
        "2026-02-01 is too late, it was passed on 2026-01-24",
    ),
    "no title": (lambda coop: coop.propose(title=None), f"{P}:1", "field title is missing; write title: Fair rate for hours"),
    "no YAML": (lambda coop: coop.write(P, "id: D-0001\ntitle: a: b\n"), f"{P}:2", "not valid YAML"),
    "empty": (lambda coop: coop.write(P, ""), f"{P}:1", "is empty; write at least the id, see docs/decisions.md"),
    "key twice": (lambda coop: coop.write(P, "id: D-0001\nid: D-0001\n"), f"{P}:2", 'key "id" stands here and on line 1'),
    "unknown key": (lambda coop: coop.propose(titel="x"), f"{P}:9", 'unknown key "titel"; did you mean title?'),
    "a document changed": (
        lambda coop: (coop.write("D-0001/budget.csv", "1\n"), coop.propose(documents={"budget.csv": SHA})),
        f"{P}:10",
        "is not the sha256 of budget.csv, which is 4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
    ),
    "a document elsewhere": (lambda coop: coop.propose(documents={"../members.yml": SHA}), f"{P}:10", "is not the name of a file"),
    "a document missing": (lambda coop: coop.propose(documents={"budget.csv": SHA}), "D-0001/budget.csv", "no such file"),
    "no proposal": (lambda coop: (coop.decisions / P).unlink(), "D-0001", "holds no proposal.yml; write one, or remove the folder"),
    "number twice": (lambda coop: coop.write("D-0001-again/proposal.yml", "id: D-0001\n"), "D-0001-again", "also the number of D-0001"),
    "folder misnamed": (lambda coop: coop.write("D-12/proposal.yml", "id: D-0012\n"), "D-12", "write D- and four figures"),
    "unknown member": (lambda coop: coop.say("zoe", "agree"), "D-0001/positions/zoe.yml:1", '"zoe" is no member in the membership file'),
    "in another's file": (
        lambda coop: coop.write("D-0001/positions/bob.yml", (coop.decisions / A).read_text()),
        "D-0001/positions/bob.yml:1",
        '"ada" stands in the file of "bob"; one file for each member',
    ),
    "the same member twice": (
        lambda coop: coop.write("D-0001/positions/ada.yaml", "x"),
        "D-0001/positions/ada.yaml",
        "positions end in .yml; rename it to ada.yml, or remove it if that is there too",
    ),
    "other decision": (lambda coop: coop.say("ada", "agree", proposal="D-0002"), f"{A}:2", "D-0002 stands in the folder of D-0001"),
    "vote among positions": (
        lambda coop: coop.write(A, coop.vote("ada", "for").read_text()),
        f"{A}:3",
        "vote stands in positions/; write stage: consensus, or move the file to votes/",
    ),
    "for in consensus": (lambda coop: coop.say("ada", "for"), f"{A}:5", "for is no answer of the consensus round; write one of agree"),
    "agree in a vote": (lambda coop: coop.vote("ada", "agree"), "D-0001/votes/ada.yml:5", "write one of for, against, abstain"),
    "misspelt": (lambda coop: coop.say("ada", "agre"), f"{A}:5", "did you mean agree?"),
    "yes": (lambda coop: coop.say("ada", "yes"), f"{A}:5", '"yes" is not one of agree'),
    "revision to come": (lambda coop: coop.say("ada", "agree", revision=2), f"{A}:4", "the proposal has revision 1 only"),
    "signature alone": (
        lambda coop: coop.write("D-0001/positions/bob.yml.sig", "x"),
        "D-0001/positions/bob.yml.sig",
        "signs bob.yml, which is not there",
    ),
    "signed without keys": (lambda coop: coop.write(f"{A}.sig", "x"), "allowed_signers", f"does not exist, and {A} is signed"),
    "a pattern as signer": (lambda coop: coop.write("allowed_signers", "# x\n* ssh-ed25519 A\n"), "allowed_signers:2", '"*" is no member'),
    "two signers of one key": (lambda coop: coop.write("allowed_signers", "ada,bob ssh-ed25519 A\n"), "allowed_signers:1", "is no member"),
    "no rules": (lambda coop: (coop.decisions / "rules.yml").unlink(), "rules.yml", "does not exist; write how decisions are taken"),
    "more than all": (
        rules({"from": "2020-05-01", "kinds": {"medium": {**MEDIUM, "quorum": "3/2"}}}),
        "rules.yml:5",
        "3/2 is more than all; write at most 1/1",
    ),
    "a float": (rules({"from": "2020-05-01", "kinds": {"medium": {**MEDIUM, "quorum": 0.5}}}), "rules.yml:5", "0.5 is a number, not text"),
    "rules out of order": (
        rules(*RULES["rules"], {"from": "2020-05-01", "decided_by": "D-0001", "kinds": {"medium": MEDIUM}}),
        "rules.yml:",
        "2020-05-01 is not after 2020-05-01; write the sets oldest first",
    ),
    "rules nobody decided": (
        rules(*RULES["rules"], {"from": "2025-05-01", "kinds": {"medium": MEDIUM}}),
        "rules.yml:",
        "decided_by is missing; write the decision that set these rules",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_said_with_its_place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    coop = Coop(tmp_path / "coop")
    coop.propose()
    coop.say("ada", "agree")
    coop.propose("D-0002")
    broken, place, said = BROKEN[name]
    broken(coop)
    with pytest.raises(CoopError) as caught:
        coop.tally()
    lines = str(caught.value).splitlines()
    assert [line for line in lines if line.startswith(f"coop/decisions/{place}") and said in line], lines
    assert not [line for line in lines if not re.match(r"coop/decisions/\S+?(:\d+)?: ", line)]
    assert list(coop.decisions.rglob("outcome.yml")) == []


def test_all_mistakes_are_said_at_once(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop")
    coop.propose(kind="huge")
    coop.propose("D-0002", proposer="zoe")
    coop.say("zoe", "agree")
    with pytest.raises(CoopError) as caught:
        coop.tally()
    assert len(str(caught.value).splitlines()) == 3


def test_a_day_that_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CoopError, match="as_of: not a day of the calendar"):
        Coop(tmp_path / "coop").tally("2026-02-30")


def test_a_folder_that_is_none(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop")
    with pytest.raises(CoopError, match="elsewhere: is not a folder; make it"):
        coop.tally(directory=str(tmp_path / "elsewhere"))


def test_a_client_has_no_vote(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop")
    coop.propose()
    text = (coop.path / "members.yml").read_text()
    client = "clients:\n  cafe:\n    name: Cafe\n    sold_by: ada\n    contacts: [{name: K, email: k@cafe.example}]\n"
    (coop.path / "members.yml").write_text(text + client)
    coop.say("cafe", "agree")
    with pytest.raises(CoopError, match='"cafe" is no member'):
        coop.tally()


def test_a_broken_signature_is_not_counted(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop")
    coop.propose(**VOTE)
    coop.write("allowed_signers", f"ada {Keys(tmp_path / 'keys').make('ada')}\n")
    coop.say("ada", "agree")
    coop.write(f"{A}.sig", "-----BEGIN SSH SIGNATURE-----\nnonsense\n")
    assert "its signature is not" in coop.result()["consensus"]["not_counted"][0]["why"]
