# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every decision: one co-op one vote, no order, no strangers, no abstention that flips a result."""

from __future__ import annotations

import os
import pathlib
import random
import tempfile
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.unit.cooperative.coop import MEDIUM, RULES, VOTE, Coop

NAMES = ("ada", "bob", "cia", "dan", "eve", "fay")
CONSENSUS = st.sampled_from(["agree", "agree", "abstain", "stand_aside", "block"])
BALLOT = st.sampled_from(["for", "for", "against", "abstain"])
Said = dict[str, tuple[str, int]]

few = examples(12)


def said(words: st.SearchStrategy[str], first: int, last: int) -> st.SearchStrategy[Said]:
    return st.dictionaries(st.sampled_from(NAMES), st.tuples(words, st.integers(first, last)), max_size=len(NAMES))


positions = said(CONSENSUS, 8, 26)
votes = said(BALLOT, 24, 31)
kinds = st.sampled_from(["medium", "expulsion"])


def fill(path: pathlib.Path, kind: str, answers: Said, ballots: Said, members: dict[str, dict[str, Any]] | None = None) -> Coop:
    """A decision with all that was said to it."""
    coop = Coop(path, members or {name: {} for name in NAMES})
    vote = VOTE if kind == "medium" else {"vote_notice": "2026-01-26", "closes_vote": "2026-02-20"}
    coop.propose(kind=kind, **vote)
    for member, (position, day) in answers.items():
        coop.say(member, position, at=f"2026-01-{day:02}")
    for member, (position, day) in ballots.items():
        coop.vote(member, position, at=f"2026-01-{day:02}")
    return coop


def fresh() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp(dir=_scratch.name, prefix="coop-")) / "coop"


_scratch = tempfile.TemporaryDirectory(prefix="decisions-")


def oracle(kind: str, answers: Said, ballots: Said) -> str:
    """The result on a far later day, worked out in the plainest way, with every day's answer in time."""
    words = [word for word, day in answers.values() if 10 <= day <= 24]
    if "block" in words or words.count("stand_aside") * 4 > len(NAMES):
        words = [word for word, day in ballots.values() if day >= 26]
        if len(words) < 3:
            return "no_quorum"
        yes, no = words.count("for"), words.count("against")
        enough = yes * 2 >= yes + no if kind == "medium" else yes * 4 >= len(NAMES) * 3
        return "passed" if yes > no and enough else "rejected"
    if len(words) < 3:
        return "no_quorum"
    return "passed" if "agree" in words else "rejected"


@given(kinds, positions, votes)
@examples(40)
def test_the_result_is_that_of_a_count_by_hand(kind: str, answers: Said, ballots: Said) -> None:
    found = fill(fresh(), kind, answers, ballots).result()
    # A round in which all answered early is over: the notice of the vote then is after its end all the same.
    assert found["result"] == oracle(kind, answers, ballots)
    for stage in ("consensus", "vote"):
        if found[stage]:
            shown = [one["member"] for one in found[stage]["counted"] + found[stage]["not_counted"]]
            assert sorted(shown) == sorted(answers if stage == "consensus" else ballots), "each once, none lost"
            assert {one["member"] for one in found[stage]["counted"]} | set(found[stage]["waiting"]) == set(found[stage]["eligible"])


@given(kinds, positions, votes, st.sampled_from(NAMES), st.integers(1, 9))
@few
def test_one_coop_one_vote_whatever_its_size_or_services(kind: str, answers: Said, ballots: Said, big: str, services: int) -> None:
    small = fill(fresh(), kind, answers, ballots)
    large = fill(fresh(), kind, answers, ballots, {name: {"classes": ["consumer", "producer"]} if name == big else {} for name in NAMES})
    text = (large.path / "members.yml").read_text()
    lines = ["container_hosts: {host1: {address: 203.0.113.10}}", "defaults: {image: 'bigbluebutton/greenlight:v3.8.2.4'}", "services:"]
    lines += [
        f"  {big}-{number}: {{tier: dedicated_container, member: {big}, accounts: {{registration: open}}}}" for number in range(services)
    ]
    (large.path / "members.yml").write_text(text + "\n".join(lines) + "\n")
    small.tally()
    large.tally()
    assert small.outcome() == large.outcome()


@given(kinds, positions, votes, st.randoms(use_true_random=False), st.sampled_from(["2026-01-20", "2026-01-29", "2026-03-01"]))
@few
def test_order_changes_nothing(kind: str, answers: Said, ballots: Said, shuffler: random.Random, as_of: str) -> None:
    def shuffled(what: dict[str, Any]) -> dict[str, Any]:
        return dict(shuffler.sample(sorted(what.items()), len(what)))

    one = fill(fresh(), kind, answers, ballots)
    other = fill(fresh(), kind, shuffled(answers), shuffled(ballots), shuffled({name: {} for name in NAMES}))
    listdir = os.listdir
    one.tally(as_of)
    try:
        os.listdir = lambda path=".": list(reversed(listdir(path)))
        other.tally(as_of)
    finally:
        os.listdir = listdir
    assert one.outcome() == other.outcome()


@given(kinds, positions, votes, st.sampled_from(["2026-01-20", "2026-01-29", "2026-03-01"]))
@few
def test_what_is_unrelated_changes_nothing(kind: str, answers: Said, ballots: Said, as_of: str) -> None:
    coop = fill(fresh(), kind, answers, ballots)
    coop.tally(as_of)
    before = coop.outcome()
    coop.members({"zoe": {"joined": "2026-01-11"}, "past": {"left": "2026-01-01"}, **{name: {} for name in reversed(NAMES)}})
    coop.propose("D-0002", opened="2026-01-11", closes_consensus="2026-01-30", conflict_of_interest=["ada"], amends=["D-0001"])
    coop.say("ada", "block", "D-0002")
    for name in ("README.md", "D-0001/notes.txt", "D-0001/positions/.ada.yml.swp", "D-0001/positions/minutes.txt", "archive/D-0001.yml"):
        coop.write(name, "nothing: [")
    coop.write("rules.yml", {"rules": [*RULES["rules"], {"from": "2027-01-01", "decided_by": "D-0009", "kinds": {"other": MEDIUM}}]})
    assert coop.tally(as_of)["files"] == [str(coop.decisions / "D-0002" / "outcome.yml")]
    assert coop.outcome() == before


@given(kinds, positions, votes, st.sampled_from(NAMES))
@examples(20)
def test_an_abstention_flips_a_result_only_through_quorum(kind: str, answers: Said, ballots: Said, member: str) -> None:
    """On the day after the last round: with an abstention added to either round where this member says nothing that counts."""
    coop = fill(fresh(), kind, answers, ballots)
    before = coop.result()
    last = "vote" if before["vote"] else "consensus"
    if member in [one["member"] for one in before[last]["counted"]]:
        return
    if last == "consensus":
        coop.say(member, "abstain", at="2026-01-24")
    else:
        coop.vote(member, "abstain", at="2026-01-31")
    after = coop.result()
    if before["result"] == "no_quorum":
        assert len(after[last]["counted"]) == len(before[last]["counted"]) + 1
    else:
        assert after["result"] == before["result"]


@given(kinds, positions, votes, st.data())
@examples(20)
def test_removing_anything_that_was_counted_changes_the_hash(kind: str, answers: Said, ballots: Said, data: st.DataObject) -> None:
    coop = fill(fresh(), kind, answers, ballots)
    before = coop.result()
    counted = [f"{'positions' if stage == 'consensus' else 'votes'}/{one['member']}.yml"
               for stage in ("consensus", "vote") if before[stage] for one in before[stage]["counted"]]  # fmt: skip
    assert {f"D-0001/{name}" for name in counted} <= set(before["inputs"])
    if counted:
        (coop.decisions / "D-0001" / data.draw(st.sampled_from(counted))).unlink()
        assert coop.result()["hash"] != before["hash"]
