# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads into a backup and back: nothing lost, nothing followed, nothing half."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._backup import trees

FILES = st.dictionaries(st.sampled_from(["a", "b", "d/a", "d/b", "d/e/f", "x/y/z"]), st.binary(max_size=20))


def fill(root: pathlib.Path, files: Mapping[str, bytes]) -> pathlib.Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        os.utime(root / name, ns=(1, 1_700_000_000_000_000_000))
    return root


def content(root: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()}


@given(FILES, FILES)
def test_there_and_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], former: dict[str, bytes]) -> None:
    """Whatever was in the volume, after a restore it holds what the backup holds."""
    root = tmp_path_factory.mktemp("trees")
    source, kept, volume = fill(root / "source", files), root / "kept", fill(root / "volume", former)
    for name in former:  # another time, so that an equal size is no excuse
        os.utime(volume / name, ns=(1, 1_600_000_000_000_000_000))
    assert trees.take(str(source), str(kept)) == len(files)
    assert trees.take(str(source), str(kept)) == 0
    trees.give(str(kept), str(volume))
    assert {**former, **files} == content(volume)
    trees.clear(str(kept), str(volume))
    assert content(volume) == files
    assert trees.give(str(kept), str(volume)) == 0 and trees.clear(str(kept), str(volume)) == 0


def test_links_and_pipes_are_left_out(tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "f").write_text("of the host")
    source = fill(tmp_path / "source", {"real": b"1"})
    (source / "link").symlink_to(secret)
    (source / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(source / "pipe")
    trees.take(str(source), str(tmp_path / "kept"))
    assert content(tmp_path / "kept") == {"real": b"1"}
    assert sorted(os.listdir(tmp_path / "kept")) == ["real"]


def test_a_link_in_the_volume_leads_nowhere_on_the_way_back(tmp_path: pathlib.Path) -> None:
    outside = fill(tmp_path / "outside", {"f": b"of the host"})
    kept, volume = fill(tmp_path / "kept", {"d/f": b"restored", "g": b"restored"}), tmp_path / "volume"
    volume.mkdir()
    (volume / "d").symlink_to(outside)
    (volume / "g").symlink_to(outside / "f")
    (volume / "gone").symlink_to(outside)
    trees.give(str(kept), str(volume))
    trees.clear(str(kept), str(volume))
    assert content(outside) == {"f": b"of the host"}
    assert content(volume) == {"d/f": b"restored", "g": b"restored"}
    assert not (volume / "gone").is_symlink() and not (volume / "d").is_symlink()


def test_where_links_are_impossible_files_are_copied(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = fill(tmp_path / "source", {"d/a": b"1"})
    (source / "d" / "a").chmod(0o640)
    (source / "link").symlink_to("/etc/passwd")
    trees.take(str(source), str(tmp_path / "kept"))
    made = tmp_path / "kept" / "d" / "a"
    assert made.read_bytes() == b"1" and made.stat().st_mode & 0o777 == 0o640 and made.stat().st_mtime_ns == 1_700_000_000_000_000_000
    assert made.stat().st_nlink == 1 and sorted(os.listdir(tmp_path / "kept")) == ["d"]
