# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of generated secrets: kept, completed, rotated, never overwritten when damaged."""

from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils import _secrets
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

WANTED = {"key": {"length": 128, "alphabet": "hex"}, "password": {"length": 40, "alphabet": "alphanumeric"}}


def keep(
    path: Path, wanted: dict[str, dict[str, Any]] | None = None, rotate: list[str] | None = None
) -> tuple[_secrets.Plan, dict[str, str]]:
    wanted = WANTED if wanted is None else wanted
    observed = _secrets.observe(str(path))
    plan = _secrets.diff(observed, wanted, rotate or [])
    values = _secrets.generate(plan, observed, wanted)
    _secrets.apply(str(path), plan, values)
    return plan, values


def modes(path: Path) -> tuple[int, int]:
    return os.stat(path).st_mode & 0o777, os.stat(path.parent).st_mode & 0o777


def test_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "sunflower" / "secrets.json"
    plan, values = keep(path)
    assert plan.changed and plan.create == ("key", "password")
    assert re.fullmatch(r"[0-9a-f]{128}", values["key"]) and re.fullmatch(r"[0-9A-Za-z]{40}", values["password"])
    assert modes(path) == (0o600, 0o700)
    again, same = keep(path)
    assert not again.changed and same == values == json.loads(path.read_text())


def test_what_is_missing_is_added_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, first = keep(path, {"key": {"length": 16}})
    plan, values = keep(path, {**WANTED, "key": {"length": 99}})
    assert plan.create == ("password",)
    assert values["key"] == first["key"] and len(values["password"]) == 40
    plan, values = keep(path, {})
    assert not plan.changed and values.keys() == {"key", "password"}


def test_rotation_changes_only_what_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, first = keep(path)
    plan, values = keep(path, rotate=["password"])
    assert plan.rotate == ("password",)
    assert values["key"] == first["key"] and values["password"] != first["password"]
    with pytest.raises(CoopError, match="other"):
        keep(path, rotate=["other"])


def test_doors_left_open_are_shut(tmp_path: Path) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, first = keep(path)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    plan, values = keep(path)
    assert plan.changed and not plan.create and values == first
    assert modes(path) == (0o600, 0o700)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', '{"key": ""}', "null", "\x00\xff"])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content, encoding="latin-1")
    before = path.read_bytes()
    with pytest.raises(CoopError, match="damaged") as caught:
        keep(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CoopError, match="not a regular file"):
        keep(tmp_path / "secrets.json")
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, first = keep(path)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CoopError, match="No space left on device"):
        keep(path, rotate=["password"])
    assert json.loads(path.read_text()) == first
    assert os.listdir(path.parent) == ["secrets.json"]


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, first = keep(path)
    (path.parent / ".secrets.json.4711").write_text("half")
    plan, values = keep(path)
    assert plan.changed and values == first
    assert os.listdir(path.parent) == ["secrets.json"]


@pytest.mark.parametrize("rule", [{"length": 4}, {"length": 10000}, {"alphabet": "emoji"}])
def test_rules_that_make_no_secret_are_refused(tmp_path: Path, rule: dict[str, Any]) -> None:
    with pytest.raises(CoopError, match="secrets.key"):
        keep(tmp_path / "x" / "secrets.json", {"key": rule})
    assert not (tmp_path / "x").exists()


@given(st.integers(8, 200), st.sampled_from(sorted(_secrets.ALPHABETS)))
def test_length_and_alphabet_are_as_asked(length: int, alphabet: str) -> None:
    wanted = {"one": {"length": length, "alphabet": alphabet}}
    observed = _secrets.Observed()
    value = _secrets.generate(_secrets.diff(observed, wanted, []), observed, wanted)["one"]
    assert len(value) == length and set(value) <= set(_secrets.ALPHABETS[alphabet])


def rotation(path: Path, stage: tuple[str, ...] = (), promote: tuple[str, ...] = ()) -> tuple[_secrets.Plan, dict[str, str]]:
    observed = _secrets.observe(str(path))
    plan = _secrets.diff(observed, WANTED, [], stage, promote)
    values = _secrets.generate(plan, observed, WANTED)
    _secrets.apply(str(path), plan, values)
    return plan, values


def test_a_new_value_is_staged_once_and_takes_the_old_ones_place_when_told(tmp_path: Path) -> None:
    path = tmp_path / "x" / "secrets.json"
    _plan, old = keep(path)
    plan, both = rotation(path, stage=("password",))
    assert plan.stage == ("password",) and both["password"] == old["password"] != both["password.next"]
    assert re.fullmatch(r"[0-9A-Za-z]{40}", both["password.next"])
    again, same = rotation(path, stage=("password",))
    assert not again.changed and same == both, "a run after a killed one goes on with the same new value"
    assert keep(path)[1] == both, "an ordinary run leaves what is staged"
    plan, after = rotation(path, promote=("password", "key"))
    assert plan.promote == ("password",) and after == {**old, "password": both["password.next"]} == json.loads(path.read_text())
    assert not rotation(path, promote=("password",))[0].changed


def test_what_was_never_there_needs_no_second_value(tmp_path: Path) -> None:
    plan, values = rotation(tmp_path / "x" / "secrets.json", stage=("password",))
    assert (plan.create, plan.stage) == (("key", "password"), ()) and set(values) == {"key", "password"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stage": ["other"]}, "stage names other"),
        ({"promote": ["other"]}, "promote names other"),
        ({"stage": ["key"], "promote": ["key"]}, "key stands in two"),
        ({"rotate": ["key"], "stage": ["key"]}, "key stands in two"),
    ],
)
def test_steps_that_cannot_be(options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(CoopError, match=said):
        _secrets.diff(_secrets.Observed(), WANTED, options.pop("rotate", []), **options)
    with pytest.raises(CoopError, match="ends in .next"):
        _secrets.diff(_secrets.Observed(), {"key.next": {}}, [])


NOW, THEN = datetime.date(2026, 11, 25), datetime.date(2026, 1, 1)


def entries(account: _secrets.Account, plan: _secrets.Plan, before: dict[str, Any], today: datetime.date = NOW) -> dict[str, Any]:
    return {entry["name"]: entry for entry in _secrets.manifest(before, plan, ["key", "password"], account, today, THEN)}


def test_the_manifest_remembers_who_could_read_until_the_secret_is_another() -> None:
    first = entries(_secrets.Account("sun", ("agaric", "rosa"), 300, ("smtp_password",)), _secrets.Plan(), {})
    assert (first["key"]["made"], first["key"]["rotate_by"]) == ("2026-01-01", "2026-10-28")
    assert first["smtp_password"]["made"] == "2026-11-25"
    without = _secrets.Account("sun", ("agaric",), 365, ("smtp_password",))
    second = entries(without, _secrets.Plan(), first)
    assert second["key"]["readers"] == ["agaric", "rosa"] and second["key"]["rotate_by"] == "2027-01-01"
    why = {row["name"]: row["why"] for row in _secrets.due(second.values(), without, NOW)}
    assert set(why) == {"key", "password", "smtp_password"} and why["key"] == "rosa could read it and may not any more"
    changed = _secrets.Account("sun", ("agaric",), 365, ("smtp_password",), ("smtp_password",))
    third = entries(changed, _secrets.Plan(promote=("key",)), second)
    assert [third[name]["readers"] for name in ("key", "password", "smtp_password")] == [["agaric"], ["agaric", "rosa"], ["agaric"]]
    assert [row["name"] for row in _secrets.due(third.values(), without, NOW, staged=["key"])] == ["key", "password"]
    assert entries(without, _secrets.Plan(), third, NOW + datetime.timedelta(days=30)) == third
    late = _secrets.due(third.values(), _secrets.Account("sun", ("agaric", "rosa")), datetime.date(2027, 6, 1))
    assert [row["why"] for row in late] == ["it was to be changed by 2027-01-01"]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        '{"a": 1}',
        '[{"name": "a"}]',
        '[{"name": "a", "made": "x", "readers": []}]',
        '[{"name": "a", "made": "2026-01-01", "readers": "b"}]',
    ],
)
def test_a_damaged_manifest_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CoopError, match="manifest.json is damaged"):
        _secrets.read_manifest(str(tmp_path / "secrets.json"))
