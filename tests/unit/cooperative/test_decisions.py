# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tallies: what comes out, what is shown and not counted, and what stays as it was decided."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest
import yaml

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.unit.cooperative.coop import MEDIUM, RULES, VOTE, Coop, Keys

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture
def coop(tmp_path: pathlib.Path) -> Coop:
    made = Coop(tmp_path / "coop")
    made.propose()
    return made


def came_out(coop: Coop, as_of: str = "2026-03-01") -> tuple[str, str, str | None]:
    found = coop.result(as_of)
    return found["result"], found["state"], found["decided"]


def shown(coop: Coop, stage: str = "consensus", as_of: str = "2026-03-01") -> dict[str, str]:
    return {one["member"]: one["why"] for one in coop.result(as_of)[stage]["not_counted"]}


# -- results


def test_consensus_ends_when_all_have_answered(coop: Coop) -> None:
    for member, day in (("ada", 11), ("bob", 12), ("cia", 13)):
        coop.say(member, "agree", at=f"2026-01-{day}")
    assert came_out(coop, "2026-01-20") == ("open", "consensus", None)
    coop.say("dan", "abstain", at="2026-01-20")
    assert came_out(coop, "2026-01-19") == ("open", "consensus", None)
    assert came_out(coop, "2026-01-20") == ("passed", "passed-by-consensus", "2026-01-20")


def test_consensus_ends_with_its_closing_day(coop: Coop) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "abstain", at="2026-01-24")
    assert came_out(coop, "2026-01-24") == ("open", "consensus", None)
    assert came_out(coop, "2026-01-25") == ("passed", "passed-by-consensus", "2026-01-24")


def test_it_is_a_draft_until_it_opens(coop: Coop) -> None:
    assert came_out(coop, "2026-01-09") == ("open", "draft", None)
    assert coop.tally("2026-01-09", check=True)["due"] == []


def test_without_quorum_it_lapses(coop: Coop) -> None:
    coop.say("ada", "agree")
    assert came_out(coop) == ("no_quorum", "lapsed", "2026-01-24")


def test_when_nobody_agrees_it_is_rejected(coop: Coop) -> None:
    for member in ("ada", "bob", "cia"):
        coop.say(member, "abstain")
    assert came_out(coop)[0] == "rejected"


def test_too_many_standing_aside_is_no_consensus(coop: Coop) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "stand_aside")
    assert came_out(coop)[0] == "passed"
    coop.say("cia", "stand_aside")
    assert came_out(coop) == ("blocked", "blocked", None)


def test_a_block_then_notice_then_a_vote(coop: Coop) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "block")
    coop.propose(**VOTE)
    assert came_out(coop, "2026-01-25") == ("blocked", "blocked", None)
    coop.vote("ada", "for")
    coop.vote("bob", "against")
    assert came_out(coop, "2026-02-05") == ("open", "voting", None)
    assert came_out(coop) == ("rejected", "failed", "2026-02-05"), "a tie fails"
    coop.vote("cia", "for")
    assert came_out(coop) == ("passed", "passed-by-vote", "2026-02-05")
    coop.vote("dan", "against", at="2026-02-06")
    assert came_out(coop)[0] == "passed"
    assert shown(coop, "vote") == {"dan": "came on 2026-02-06; the round closed on 2026-02-05"}
    coop.vote("dan", "abstain", at="2026-02-01")
    assert came_out(coop) == ("passed", "passed-by-vote", "2026-02-01")


def test_some_kinds_need_a_share_of_all_members(coop: Coop) -> None:
    coop.propose(kind="expulsion", vote_notice="2026-01-26", closes_vote="2026-02-20")
    coop.say("bob", "block")
    for member in ("ada", "bob"):
        coop.vote(member, "for")
    assert came_out(coop) == ("rejected", "failed", "2026-02-20")
    coop.vote("cia", "for")
    assert came_out(coop) == ("passed", "passed-by-vote", "2026-02-20")
    coop.vote("dan", "abstain")
    assert came_out(coop, "2026-02-19")[0] == "open", "this kind is not closed early"


def test_a_vote_without_quorum_lapses(coop: Coop) -> None:
    coop.propose(**VOTE)
    coop.say("bob", "block")
    coop.vote("ada", "for")
    assert came_out(coop) == ("no_quorum", "lapsed", "2026-02-05")


def test_shares_are_rounded_up(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop", "ada bob cia dan eve")
    coop.propose(kind="expulsion", vote_notice="2026-01-26", closes_vote="2026-02-20")
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    assert came_out(coop)[0] == "no_quorum", "half of 5 is 3"
    coop.say("bob", "block")
    for member in ("ada", "cia", "dan"):
        coop.vote(member, "for")
    assert came_out(coop)[0] == "rejected", "3/4 of 5 is 4"
    coop.vote("eve", "for")
    assert came_out(coop)[0] == "passed"


def test_what_is_dated_later_is_not_yet_said(coop: Coop) -> None:
    coop.say("ada", "agree", at="2026-01-14")
    assert shown(coop, as_of="2026-01-13") == {"ada": "is of 2026-01-14, a day still to come"}
    assert shown(coop, as_of="2026-01-14") == {}


def test_the_arithmetic_is_said_in_words(coop: Coop) -> None:
    coop.propose(**VOTE)
    coop.say("bob", "block")
    coop.vote("ada", "for")
    coop.vote("bob", "against")
    coop.vote("cia", "for")
    assert coop.result()["arithmetic"] == [
        "Consensus: 4 members may answer, 1 did: 0 agree, 0 abstain, 0 stand aside and 1 blocks.",
        "Blocked on 2026-01-24 by bob.",
        "Vote: 4 members have one vote each, 3 voted: 2 for, 1 against, 0 abstain.",
        "Quorum: 1/2 of 4 and at least 2, so 2; 3 answered, so it is reached.",
        "Threshold: 1/2 of 3 votes for or against and more for than against, so 2; 2 for, so it is reached.",
        "Passed by vote on 2026-02-05.",
    ]


def test_withdrawn(coop: Coop) -> None:
    coop.propose(withdrawn="2026-01-15")
    assert came_out(coop, "2026-01-14") == ("open", "consensus", None)
    assert came_out(coop) == ("withdrawn", "withdrawn", "2026-01-15")


# -- shown, not counted


def test_what_is_shown_and_not_counted(tmp_path: pathlib.Path) -> None:
    coop = Coop(
        tmp_path / "coop",
        {
            "ada": {}, "bob": {}, "cia": {}, "dan": {}, "eve": {},
            "new": {"joined": "2026-01-11"},
            "gone": {"left": "2026-01-20"},
            "past": {"left": "2025-12-31"},
            "theirs": {},
        },
    )  # fmt: skip
    coop.propose(revision=2, revised="2026-01-12", closes_consensus="2026-01-26", conflict_of_interest=["theirs"])
    coop.say("ada", "agree", revision=2)
    coop.say("bob", "agree", revision=1)
    coop.say("cia", "agree", revision=2, at="2026-01-27")
    coop.say("dan", "block", revision=2, reason=None)
    coop.say("eve", "agree", revision=2, at="2026-01-11")
    for member in ("new", "gone", "past", "theirs"):
        coop.say(member, "block", revision=2)
    found = coop.result()
    assert found["consensus"]["eligible"] == ["ada", "bob", "cia", "dan", "eve"]
    assert [one["member"] for one in found["consensus"]["counted"]] == ["ada"]
    assert shown(coop) == {
        "bob": "answers revision 1; revision 2 is current",
        "cia": "came on 2026-01-27; the round closed on 2026-01-26",
        "dan": "block without a reason",
        "eve": "is of 2026-01-11; this round began on 2026-01-12",
        "gone": "left on 2026-01-20",
        "new": "joined on 2026-01-11, after the decision was opened on 2026-01-10",
        "past": "left on 2025-12-31",
        "theirs": "the decision is about this member",
    }
    assert found["result"] == "no_quorum"


def test_a_member_that_leaves_is_no_longer_waited_for(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path / "coop", {"ada": {}, "bob": {}, "cia": {"left": "2026-01-16"}})
    coop.propose()
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    assert came_out(coop, "2026-01-15") == ("open", "consensus", None)
    assert came_out(coop, "2026-01-16") == ("passed", "passed-by-consensus", "2026-01-16")
    coop.members({"ada": {}, "bob": {}, "cia": {"left": "2026-01-13"}})
    assert came_out(coop) == ("passed", "passed-by-consensus", "2026-01-13")


def test_who_is_awaited(coop: Coop) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "block", reason=None)
    coop.propose("D-0002", **VOTE)
    coop.say("cia", "block", "D-0002")
    coop.vote("cia", "against", number="D-0002")
    coop.propose("D-0003")
    coop.say("ada", "block", "D-0003", at="2026-01-13")
    due = {(one["decision"], one["member"]): (one["what"], one["by"]) for one in coop.tally("2026-01-20", check=True)["due"]}
    assert due["D-0001", "bob"] == ("answer again: what it said block without a reason", "2026-01-24")
    assert ("D-0001", "ada") not in due and due["D-0001", "cia"] == ("answer", "2026-01-24")
    due = {(one["decision"], one["member"]): (one["what"], one["by"]) for one in coop.tally("2026-01-30", check=True)["due"]}
    assert due == {
        ("D-0002", "ada"): ("vote", "2026-02-05"),
        ("D-0002", "bob"): ("vote", "2026-02-05"),
        ("D-0002", "dan"): ("vote", "2026-02-05"),
        ("D-0003", "ada"): ("revise it, withdraw it, or give notice of a vote", None),
    }


def test_reviews_fall_due_unless_superseded(coop: Coop) -> None:
    coop.propose(review_by="2026-02-15")
    for number in ("D-0001", "D-0002"):
        coop.say("ada", "agree", number)
        coop.say("bob", "agree", number)
    coop.propose("D-0002", opened="2026-01-11", closes_consensus="2026-02-20", supersedes=["D-0001"])
    assert [one["what"] for one in coop.tally("2026-02-16", check=True)["due"] if one["decision"] == "D-0001"] == ["review it"]
    assert coop.tally("2026-03-01", check=True)["due"] == []
    assert coop.result()["superseded_by"] == "D-0002" and coop.result()["result"] == "passed"


# -- signatures, by the real OpenSSH


def test_signatures(coop: Coop, tmp_path: pathlib.Path) -> None:
    keys = Keys(tmp_path / "keys")
    public = {name: keys.make(name) for name in ("ada", "bob", "cia", "dan")}
    coop.propose(kind="signed")
    said = {name: coop.say(name, "agree") for name in public}
    limits = {"ada": "", "bob": "", "cia": ',valid-before="20260112"', "dan": ',valid-after="20260113"'}
    coop.write("allowed_signers", "# keys\n" + "".join(f'{name} namespaces="omc-vote"{limits[name]} {public[name]}\n' for name in public))
    for name in ("ada", "cia", "dan"):
        keys.sign(name, said[name])
    late = "its signature is not one of a key of {} that was valid on 2026-01-12"
    assert shown(coop) == {"bob": "is not signed", "cia": late.format("cia"), "dan": late.format("dan")}
    assert [one["signed"][:7] for one in coop.result()["consensus"]["counted"]] == ["SHA256:"]

    keys.sign("ada", said["bob"])
    assert shown(coop)["bob"] == late.format("bob"), "another member's key"
    keys.sign("bob", said["bob"], namespace="git")
    assert shown(coop)["bob"] == late.format("bob"), "signed for something else"
    keys.sign("bob", said["bob"])
    assert "bob" not in shown(coop)
    coop.say("bob", "abstain")
    assert shown(coop)["bob"] == late.format("bob"), "changed after it was signed"

    for name in ("cia", "dan"):
        keys.sign(name, coop.say(name, "agree", at="2026-01-13" if name == "dan" else "2026-01-11"))
    assert set(shown(coop)) == {"bob"}, "valid on the day of the position"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_keys_are_valid_on_the_same_days_everywhere(coop: Coop, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    keys = Keys(tmp_path / "keys")
    coop.write("allowed_signers", f'ada valid-after="20260112Z",valid-before="20260113Z" {keys.make("ada")}\n')
    monkeypatch.setenv("TZ", zone)
    for day, counts in ((11, False), (12, True), (13, False)):
        keys.sign("ada", coop.say("ada", "agree", at=f"2026-01-{day}"))
        assert bool(coop.result()["consensus"]["counted"]) == counts, day


def test_without_ssh_keygen_the_run_says_so(coop: Coop, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(tmp_path / "keys")
    coop.write("allowed_signers", f"ada {keys.make('ada')}\n")
    keys.sign("ada", coop.say("ada", "agree"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CoopError, match="ssh-keygen is not installed"):
        coop.tally()
    assert coop.outcome() is None


# -- written outcomes


def passed(coop: Coop) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    coop.tally()


def test_check_mode_tells_and_the_second_run_is_quiet(coop: Coop) -> None:
    coop.say("ada", "agree")
    told = coop.tally(check=True)
    assert coop.outcome() is None and told["changed"]
    done = coop.tally()
    assert done == told
    assert coop.outcome() == told["diff"][0]["after"].encode()
    again = coop.tally("2027-01-01")
    assert (again["changed"], again["files"], again["diff"]) == (False, [], [])


def test_a_killed_run_is_repaired_by_the_next(coop: Coop, monkeypatch: pytest.MonkeyPatch) -> None:
    coop.propose("D-0002")
    replace = os.replace
    calls = []

    def killed(source: str, target: str) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        coop.tally()
    assert coop.outcome() and coop.outcome("D-0002") is None
    monkeypatch.undo()
    assert [pathlib.Path(path).parent.name for path in coop.tally()["files"]] == ["D-0002"]
    assert sorted(path.name for path in coop.decisions.rglob(".*")) == []
    assert not coop.tally()["changed"]


def test_what_was_decided_stays_decided(coop: Coop) -> None:
    passed(coop)
    before = coop.outcome()
    coop.say("bob", "block")
    with pytest.raises(
        CoopError, match=r"outcome.yml:8: it was passed on 2026-01-24, and .* changed: D-0001/positions/bob.yml; put it back"
    ):
        coop.tally()
    assert coop.outcome() == before
    with pytest.raises(CoopError, match="D-0001/outcome.yml:8: .* give a later as_of"):
        coop.tally("2026-01-11")


def test_later_events_change_nothing_that_was_decided(coop: Coop) -> None:
    passed(coop)
    before = coop.outcome()
    coop.members({"ada": {"left": "2026-05-01"}, "bob": {}, "cia": {}, "dan": {}, "new": {"joined": "2026-04-01"}})
    coop.write("rules.yml", {"rules": [*RULES["rules"], {"from": "2026-02-01", "decided_by": "D-0001", "kinds": {"medium": MEDIUM}}]})
    coop.say("ada", "agree", "D-0002")
    coop.propose("D-0002", amends=["D-0001"])
    coop.write("notes.txt", "nothing")
    coop.tally("2026-06-01")
    assert coop.outcome() == before
    coop.say("dan", "block", at="2026-02-01")
    coop.tally("2026-06-01")
    assert coop.outcome() != before and coop.result()["result"] == "passed", "late, so it is shown"


def test_an_outcome_that_is_none_of_ours_is_not_overwritten(coop: Coop) -> None:
    coop.write("D-0001/outcome.yml", "a note\n")
    with pytest.raises(CoopError, match="D-0001/outcome.yml: is not what this module wrote"):
        coop.tally()
    assert coop.outcome() == b"a note\n"


# -- what rests on a decision


def test_required_decisions(coop: Coop) -> None:
    coop.propose("D-0002", opened="2026-02-20", closes_consensus="2026-03-20")
    passed(coop)
    need = [{"decision": number, "used_by": f"rules/{number[-1]}.yml"} for number in ("D-0001", "D-0002", "D-0003")]
    coop.decisions.joinpath("D-0001/outcome.yml").unlink()
    with pytest.raises(CoopError) as caught:
        coop.tally(require=need)
    assert str(caught.value).splitlines() == [
        "rules/2.yml: decision D-0002 is still open, not passed; write the number of one that has passed",
        "rules/3.yml: decision D-0003 does not exist; write the number of one that has passed",
    ]
    assert coop.outcome() is None, "nothing is written"
    coop.tally(require=need[:1])
    assert coop.outcome()


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("2026-01-24", None),
        ("2026-01-20", "D-0001 passed on 2026-01-24, after they begin; write from: 2026-01-24 or later"),
        ("2026-01-10", "D-0001 was opened under the very rules it set; write the decision that came before them"),
        ("2027-01-01", None),
    ],
)
def test_rules_rest_on_a_decision_that_came_before(coop: Coop, start: str, said: str | None) -> None:
    coop.say("ada", "agree")
    coop.say("bob", "agree")
    coop.write("rules.yml", {"rules": [*RULES["rules"], {"from": start, "decided_by": "D-0001", "kinds": {"medium": MEDIUM}}]})
    if said is None:
        coop.tally()
        return
    with pytest.raises(CoopError) as caught:
        coop.tally()
    line = (coop.decisions / "rules.yml").read_text().splitlines().index("  decided_by: D-0001") + 1
    assert str(caught.value).endswith(f"decisions/rules.yml:{line}: rules from {start}, field decided_by: {said}")


def test_rules_name_no_decision_that_failed(coop: Coop) -> None:
    coop.write("rules.yml", {"rules": [*RULES["rules"], {"from": "2026-02-01", "decided_by": "D-0001", "kinds": {"medium": MEDIUM}}]})
    with pytest.raises(CoopError, match="decision D-0001 had no quorum, not passed"):
        coop.tally()
    assert coop.outcome() is None


# -- the example


def test_the_example_is_reproduced_byte_for_byte(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "inventories" / "example", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    coop = Coop.__new__(Coop)
    coop.path, coop.decisions = tmp_path / "elsewhere", tmp_path / "elsewhere" / "decisions"
    for name in ("D-0001-fair-rate", "D-0002-hypha-joins"):
        committed = coop.outcome(name)
        assert committed and yaml.safe_load(committed)["result"] == "passed"
        (coop.decisions / name / "outcome.yml").unlink()
        coop.tally("2026-02-21")
        assert coop.outcome(name) == committed
