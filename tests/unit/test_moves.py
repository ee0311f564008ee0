# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of two hosts an instance belongs to, whatever is interrupted between any two records."""

from __future__ import annotations

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils import _moves
from ansible_collections.meet.coop.plugins.module_utils._backup import stage
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import move_record

NAME = "sunflower"


def host(root: pathlib.Path, name: str, keeps: bool) -> dict[str, str]:
    directory = root / name / "instances" / NAME
    directory.mkdir(parents=True)
    if keeps:
        (directory / "secrets.json").write_text("{}")
    return {"directory": str(root / name / "moves"), "state_root": str(root / name / "instances")}


def step(where: dict[str, str], state: str | None, peer: str = "", write: bool = True) -> dict[str, object]:
    return move_record.run({**where, "name": NAME, "state": state, "peer": peer, "facts": {}}, write)


def test_at_every_moment_of_a_move_there_and_back_at_most_one_host_counts(tmp_path: pathlib.Path) -> None:
    one, two = host(tmp_path, "one", True), host(tmp_path, "two", False)
    secrets = tmp_path / "two" / "instances" / NAME / "secrets.json"

    def who() -> list[str]:
        return [name for name, where in (("one", one), ("two", two)) if NAME in step(where, None)["kept"]]  # type: ignore[operator]

    assert who() == ["one"]
    step(one, "leaving", "two")
    step(two, "arriving", "one")
    assert who() == ["one"]
    secrets.write_text("{}")
    assert who() == ["one"] and stage.discover(two["state_root"]) == []
    step(two, "arrived", "one")
    # Both have it for as long as the old host has not been told; which of them counts is what the new one's record says.
    assert who() == ["one", "two"] and step(two, None)["moves"][NAME]["peer"] == "one"  # type: ignore[index]
    left = step(one, "left", "two")
    assert who() == ["two"] and stage.discover(one["state_root"]) == [] and left["seconds"] is not None
    step(two, "leaving", "one")
    step(one, "arriving", "two")
    assert who() == ["two"]
    step(one, "arrived", "two")
    step(two, "left", "one")
    assert who() == ["one"]
    step(two, "absent")
    secrets.unlink()
    assert step(two, None) == {**step(two, None), "kept": [], "moves": {}}


@given(st.lists(st.tuples(st.sampled_from([*_moves.STATES, _moves.ABSENT]), st.sampled_from(["host1", "host2"])), max_size=12))
def test_any_steps_in_any_order_are_taken_or_refused_and_taken_twice_change_nothing(steps: list[tuple[str, str]]) -> None:
    record = _moves.Record()
    for now, (state, peer) in enumerate(steps):
        try:
            after = _moves.diff(NAME, record, state, peer, {}, float(now))
        except CoopError as error:
            assert str(error).startswith(NAME) and "\n" not in str(error)
            continue
        assert after.state == state and (state == _moves.ABSENT or after.peer == peer)
        # What has left was closed before, and never for less than no time; what has arrived was on its way here, or away.
        assert state != _moves.LEFT or (record.state in (_moves.LEAVING, _moves.LEFT) and after.seconds is not None and after.seconds >= 0)
        assert state != _moves.ARRIVED or record.state in (_moves.ARRIVING, _moves.ARRIVED, _moves.LEAVING)
        if state != _moves.ABSENT:
            assert _moves.diff(NAME, after, state, peer, {}, float(now) + 5) == after
        record = after


def test_check_mode_says_what_the_run_does_and_the_second_run_nothing(tmp_path: pathlib.Path) -> None:
    one = host(tmp_path, "one", True)
    foretold = step(one, "leaving", "two", write=False)
    assert foretold["changed"] and not pathlib.Path(one["directory"]).exists()
    done = step(one, "leaving", "two")
    assert done["changed"] and done["moves"][NAME]["state"] == foretold["moves"][NAME]["state"] == "leaving"  # type: ignore[index]
    assert not step(one, "leaving", "two")["changed"]
    assert step(one, "absent", write=False)["changed"] and step(one, None)["moves"]
    assert step(one, "absent")["changed"] and step(one, None)["moves"] == {}
    assert not step(one, "absent")["changed"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"format": "meet.coop move 1"}', '{"format": "x", "state": "left"}', '{"format": "meet.coop move 1", "state": "gone"}'],
)
def test_a_damaged_record_is_never_guessed_or_overwritten(tmp_path: pathlib.Path, text: str) -> None:
    one = host(tmp_path, "one", True)
    path = pathlib.Path(one["directory"]) / f"{NAME}.json"
    path.parent.mkdir()
    path.write_text(text)
    for state in (None, "leaving", "absent"):
        with pytest.raises(CoopError, match="is damaged"):
            step(one, state, "two")
    assert path.read_text() == text
    with pytest.raises(CoopError, match="is damaged"):
        stage.discover(one["state_root"])


def test_a_record_is_readable_by_its_owner_alone_and_tells_how_long_it_was_closed(tmp_path: pathlib.Path) -> None:
    leaving = _moves.diff(NAME, _moves.Record(), "leaving", "two", {}, 100.0)
    left = _moves.diff(NAME, leaving, "left", "two", {"snapshot": "1c98"}, 142.26)
    assert left.seconds == 42.3 and left.facts == {"snapshot": "1c98"}
    assert _moves.diff(NAME, leaving, "absent", "", {}, 107.0).seconds == 7.0
    # Opened again while the other host is given up for lost.
    stays = _moves.diff(NAME, leaving, "arrived", "two", {"alone": True}, 108.0)
    assert (stays.seconds, stays.closed, stays.facts) == (8.0, None, {"alone": True})
    _moves.apply(str(tmp_path), NAME, left)
    path = tmp_path / f"{NAME}.json"
    assert path.stat().st_mode & 0o777 == 0o600 and _moves.read(str(tmp_path), NAME) == left
    assert json.loads(path.read_text())["closed"] == 100.0
