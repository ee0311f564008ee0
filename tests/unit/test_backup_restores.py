# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore would do, from what there is; and the program that a host gets."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils import _program as program
from ansible_collections.meet.coop.plugins.module_utils._backup import command, restores
from ansible_collections.meet.coop.plugins.module_utils._backup.restic import Repository, Snapshot
from ansible_collections.meet.coop.plugins.module_utils._backup.stage import Instance
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Login

NEWEST = Snapshot("b" * 64, datetime(2026, 4, 2, 3, 15, tzinfo=timezone.utc))
OLDER = "a" * 64
FETCH = "fetch snapshot bbbbbbbb of sunflower from 2026-04-02T03:15:00Z"
RESTORE = ["restore database greenlight_sunflower", "restore volume greenlight-sunflower-storage", "restore files of sunflower"]
LIVING = ("container greenlight-sunflower", "its secrets")
FINISH = "finish the restore of snapshot {} that was interrupted"


def request(**changes: Any) -> restores.Request:
    sunflower = Instance("sunflower", Login("greenlight_sunflower"))
    return restores.Request(**{"repository": Repository("/r", password="x"), "instance": sunflower, "source": "sunflower", **changes})


def plan(request_: restores.Request | None = None, **observed: Any) -> list[str]:
    return restores.diff(request_ or request(), restores.Observed(NEWEST, **observed))


def test_nothing_there_means_no_question() -> None:
    assert plan() == [FETCH, *RESTORE]


def test_what_lives_is_named_and_kept() -> None:
    with pytest.raises(
        CoopError, match="container greenlight-sunflower, its secrets.* would be lost; give replace: true .* to put snapshot bbbbbbbb"
    ):
        plan(living=LIVING)
    steps = plan(request(replace=True), living=LIVING, containers=("greenlight-sunflower",))
    assert steps == [FETCH, "stop container greenlight-sunflower", *RESTORE]


def test_the_snapshot_that_was_restored_last_is_not_restored_again() -> None:
    done = {"snapshot": NEWEST.id}
    assert plan(living=LIVING, receipt=done, whole=True) == []
    # Unless it has been lost since, or somebody insists.
    assert plan(receipt=done) == [FETCH, *RESTORE]
    assert plan(request(replace=True, force=True), living=LIVING, receipt=done, whole=True) == [FETCH, *RESTORE]
    with pytest.raises(CoopError, match="would be lost"):
        plan(living=LIVING, receipt={"snapshot": OLDER}, whole=True)


def test_an_interrupted_restore_is_finished_first() -> None:
    assert plan(living=LIVING, note={"snapshot": NEWEST.id}) == [FINISH.format("bbbbbbbb")]
    # And what it has restored is not thrown away by the way, when by now there is a newer snapshot.
    with pytest.raises(CoopError, match="would be lost"):
        plan(note={"snapshot": OLDER})
    assert plan(request(replace=True), note={"snapshot": OLDER}) == [FINISH.format("aaaaaaaa"), FETCH, *RESTORE]


def test_names_beside_are_short_and_of_one_instance_alone() -> None:
    names = set()
    for name in ("sunflower", "sunflower-staging", "x" * 63):
        one = request(instance=Instance(name, Login(f"greenlight_{name}")))
        names |= {one.beside, one.replaced}
        assert all(len(part) <= 63 for part in (one.beside, one.replaced))
    assert len(names) == 6


# --- The program ----------------------------------------------------------------------------------------------------


def test_the_program_runs_from_what_is_installed_alone(tmp_path: pathlib.Path) -> None:
    """With nothing of Ansible or of this checkout in reach: what it imports has all been installed."""
    library, door = tmp_path / "lib", tmp_path / "sbin" / "coop-backup"
    want = program.wanted(command.__name__, str(library), str(door))
    write, remove = program.diff(want, program.observe(str(library), str(door)))
    assert sorted(write) == sorted(want) and remove == []
    program.apply(want, write, remove)
    assert program.diff(want, program.observe(str(library), str(door))) == ([], [])
    help_ = subprocess.run([sys.executable, "-I", str(door), "--help"], text=True, capture_output=True, check=False)
    assert help_.returncode == 0 and "back up all instances" in help_.stdout, help_.stderr
    told = subprocess.run(
        [sys.executable, "-I", str(door), "--config", str(tmp_path / "none"), "run"], text=True, capture_output=True, check=False
    )
    assert told.returncode == 1 and told.stderr.startswith("coop-backup: ") and told.stderr.count("\n") == 1
    modules = "import sys; sys.path.insert(0, sys.argv[1]); from ansible_collections.meet.coop.plugins.module_utils._backup import command"
    where = f"{modules}; print([m.__file__ for n, m in sys.modules.items() if 'meet.coop' in n and not m.__file__.startswith(sys.argv[1])])"
    found = subprocess.run([sys.executable, "-I", "-c", where, str(library)], text=True, capture_output=True, check=False)
    assert found.stdout == "[]\n", found.stderr


def test_what_is_no_longer_part_of_it_is_removed_and_what_was_changed_is_mended(tmp_path: pathlib.Path) -> None:
    library, door = tmp_path / "lib", tmp_path / "coop-backup"
    want = program.wanted(command.__name__, str(library), str(door))
    program.apply(want, list(want), [])
    (library / "old.py").write_text("x")
    door.chmod(0o600)
    write, remove = program.diff(want, program.observe(str(library), str(door)))
    assert (write, remove) == ([str(door)], [str(library / "old.py")])
    program.apply(want, write, remove)
    assert program.diff(want, program.observe(str(library), str(door))) == ([], [])
    everything = sorted(program.observe(str(library), str(door)))
    assert program.diff({}, program.observe(str(library), str(door))) == ([], everything)
