# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of generated secrets: kept, completed, rotated, never overwritten when damaged."""

from __future__ import annotations

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
