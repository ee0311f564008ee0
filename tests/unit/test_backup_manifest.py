# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest inside a backup: strict to read, and no loss passes the comparison."""

from __future__ import annotations

import copy
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._backup import manifest
from ansible_collections.meet.coop.plugins.module_utils._backup.manifest import Database, ManifestError, Observed

VERSIONS = st.integers(20_220_000_000_000, 20_299_999_999_999).map(str)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
FILES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.fixed_dictionaries({"size": st.integers(0, 1 << 40), "sha256": st.text("0123456789abcdef", min_size=64, max_size=64)}),
    min_size=1,
    max_size=8,
)
MANIFESTS = st.fixed_dictionaries(
    {
        "format": st.just(1),
        "instance": NAMES,
        "made_at": st.datetimes(datetime(2022, 1, 1), datetime(2099, 1, 1)).map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")),
        "image": st.none() | NAMES,
        "image_id": st.none() | NAMES,
        "greenlight_version": st.none() | NAMES,
        "schema_version": VERSIONS,
        "data_migrations": st.lists(VERSIONS, unique=True, max_size=6),
        "postgresql_major": st.integers(13, 30),
        "tables": st.dictionaries(NAMES, st.integers(0, 10**9), min_size=1, max_size=8),
        "files": FILES,
    }
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def example() -> dict[str, Any]:
    return {
        "format": 1,
        "instance": "sunflower",
        "made_at": "2026-04-02T03:15:00Z",
        "image": "bigbluebutton/greenlight:v3.8.2.4",
        "image_id": "sha256:" + "0" * 64,
        "greenlight_version": "v3.8.2.4",
        "schema_version": "20260402000000",
        "data_migrations": ["20230123174546", "20260402000001"],
        "postgresql_major": 17,
        "tables": {"users": 14, "rooms": 1},
        "files": {"database.dump": {"size": 9, "sha256": "a" * 64}, "storage/ab/cd/abcd": {"size": 3, "sha256": "b" * 64}},
    }


def came_back(found: dict[str, Any]) -> Observed:
    """A restore that lost nothing."""
    database = Database(found["schema_version"], tuple(found["data_migrations"]), found["postgresql_major"], dict(found["tables"]))
    return Observed(found["instance"], copy.deepcopy(found["files"]), database)


@given(MANIFESTS)
def test_what_is_written_is_read_and_a_whole_restore_has_no_findings(found: dict[str, Any]) -> None:
    assert manifest.parse(json.dumps(found)) == found
    assert manifest.compare(found, came_back(found)) == []


@given(MANIFESTS, st.data())
def test_nothing_can_be_lost_unseen(found: dict[str, Any], data: st.DataObject) -> None:
    lost = came_back(found)
    assert isinstance(lost.files, dict) and lost.database is not None
    tables = dict(lost.database.tables)
    what = data.draw(st.sampled_from(["file gone", "file shorter", "file changed", "table gone", "rows", "table more", "schema", "data"]))
    path, table = data.draw(st.sampled_from(sorted(lost.files))), data.draw(st.sampled_from(sorted(tables)))
    schema, migrations = lost.database.schema_version, lost.database.data_migrations
    subject = path if what.startswith("file") else table
    if what == "file gone":
        del lost.files[path]
    elif what == "file shorter":
        lost.files[path]["size"] += 1
    elif what == "file changed":
        first = lost.files[path]["sha256"]
        lost.files[path]["sha256"] = ("0" if first[0] != "0" else "1") + first[1:]
    elif what == "table gone":
        del tables[table]
    elif what == "rows":
        tables[table] = data.draw(st.integers(0, 10**9).filter(lambda rows: rows != found["tables"][table]))
    elif what == "table more":
        subject = "another-table"
        tables[subject] = 0
    elif what == "schema":
        subject = schema = data.draw(VERSIONS.filter(lambda version: version != found["schema_version"]))
    else:
        subject = data.draw(VERSIONS.filter(lambda version: version not in migrations))
        migrations = (*migrations, subject)
    after = Observed(lost.instance, lost.files, Database(schema, migrations, 17, tables))
    findings = manifest.compare(found, after)
    assert len(findings) == 1 and subject in findings[0] and "\n" not in findings[0]


@given(MANIFESTS, st.data())
def test_no_field_may_be_missing_or_of_another_kind(found: dict[str, Any], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(found)))
    without = {name: value for name, value in found.items() if name != field}
    with pytest.raises(ManifestError, match=field):
        manifest.parse(json.dumps(without))
    with pytest.raises(ManifestError, match=field):
        manifest.parse(json.dumps({**found, field: data.draw(st.sampled_from([True, -1, 1.5, [[]]]))}))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_lies_there_is_one_clear_line(content: bytes) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest.parse(content)
    assert str(caught.value).startswith("manifest.json") and "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, "x" * 500])
def test_another_format_is_told_and_what_to_do(version: Any) -> None:
    with pytest.raises(ManifestError, match="only 1 is known here; use the version of meet.coop that made the snapshot") as caught:
        manifest.parse(json.dumps({**example(), "format": version}))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("path", ["/etc/shadow", "../up", "storage/../../up", "a//b", "", "storage/"])
def test_a_path_that_leads_out_of_the_backup_is_refused(path: str) -> None:
    found = example()
    found["files"][path] = {"size": 1, "sha256": "c" * 64}
    with pytest.raises(ManifestError, match="no path inside a backup"):
        manifest.parse(json.dumps(found))


def test_a_manifest_cut_short_or_with_a_field_twice_is_damaged() -> None:
    text = json.dumps(example())
    for damaged in (text[:-10], text[:-1] + ', "format": 1}', "", "[]"):
        with pytest.raises(ManifestError, match="is damaged"):
            manifest.parse(damaged)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="manifest.json is missing in the backup"):
        manifest.read(str(tmp_path))


def test_files_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    staging, volume = tmp_path / "staging", tmp_path / "volume"
    (volume / "ab" / "cd").mkdir(parents=True)
    staging.mkdir()
    (staging / "database.dump").write_bytes(b"PGDMP")
    (staging / "manifest.json").write_text("old")
    (volume / "ab" / "cd" / "key").write_bytes(b"x" * 3_000_000)
    (volume / "odd\udcff").write_bytes(b"")
    (volume / "folder").symlink_to(volume / "ab")
    os.mkfifo(volume / "pipe")
    directories = {"": str(staging), "storage": str(volume)}
    files = manifest.observe_files(directories)
    assert sorted(files) == ["database.dump", "storage/ab/cd/key", "storage/folder", "storage/odd\udcff"]
    assert files["storage/ab/cd/key"]["size"] == 3_000_000
    found = {**example(), "files": files}
    manifest.write(str(staging), found)
    assert (staging / "manifest.json").stat().st_mode & 0o777 == 0o600
    read = manifest.read(str(staging))
    assert read == found and manifest.compare(read, Observed(files=manifest.observe_files(directories))) == []
    (volume / "folder").unlink()
    (volume / "folder").symlink_to(volume / "ab" / "cd")
    (volume / "ab" / "cd" / "key").write_bytes(b"y" * 3_000_000)
    assert len(manifest.compare(read, Observed(files=manifest.observe_files(directories)))) == 2


def test_a_volume_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere cannot be read: No such file or directory"):
        manifest.observe_files({"storage": str(tmp_path / "nowhere")})


def test_a_backup_of_another_instance_is_told() -> None:
    assert manifest.compare(example(), Observed(instance="meadow")) == ["the backup is of instance sunflower, not of meadow"]


def test_names_out_of_a_backup_stay_on_one_line() -> None:
    found = example()
    found["files"] = {"storage/a\nFAILED\udcff": {"size": 1, "sha256": "d" * 64}}
    assert manifest.compare(found, Observed(files={})) == ["file 'storage/a\\nFAILED\\udcff' (1 bytes) is missing"]


def test_a_thousand_losses_are_told_as_a_few_lines_and_a_number() -> None:
    found = example()
    found["files"] = {f"storage/{number:04}": {"size": 1, "sha256": "d" * 64} for number in range(1000)}
    findings = manifest.compare(found, Observed(files={}))
    assert len(findings) == 6 and findings[-1] == "and 995 more files that are missing"


@given(st.integers(-50, 500))
def test_age(hours: int) -> None:
    found = example()
    now = datetime(2026, 4, 2, 3, 15, tzinfo=timezone.utc) + timedelta(hours=hours)
    findings = manifest.age(found, now, timedelta(hours=36))
    if hours < 0:
        assert findings == ["the backup was made at 2026-04-02T03:15:00Z, which is still to come: a clock is wrong"]
    elif hours > 36:
        assert findings == [f"the backup is {hours}.0 h old (made at 2026-04-02T03:15:00Z), 36.0 h is the most"]
    else:
        assert findings == []
    assert manifest.age(found, now, None) == [] or hours < 0
