# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings on a server's disk: what is there, what should not be, and where links lead."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import recordings
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

NOW = 1_800_000_000
METADATA = """<?xml version="1.0"?>
<recording>
  <id>{id}</id><state>{state}</state><published>true</published>
  <start_time>{start}</start_time><end_time>{end}</end_time>
  <meta><meetingId>m &amp; m</meetingId><meetingName>Ana's secret plan</meetingName><bbblb-tenant>rosa</bbblb-tenant>
    <bbb-recording-ready-url>https://old.example.org/recording_ready</bbb-recording-ready-url></meta>
  <playback><format>{kind}</format><link>https://old.example.org/playback/{kind}/2.3/{id}</link>
    <extensions><preview><images><image>https://old.example.org/{kind}/{id}/thumb.png</image></images></preview></extensions></playback>
</recording>
"""


def lay(root: pathlib.Path, number: int, days: float, kind: str = "presentation", state: str = "published", raw: bool = False) -> str:
    """A recording of a meeting that ended so many days ago."""
    end = int((NOW - days * recordings.DAY) * 1000)
    record_id = f"{number:040x}-{end - 60000}"
    folder = root / state / kind / record_id
    folder.mkdir(parents=True)
    (folder / "metadata.xml").write_text(METADATA.format(id=record_id, state=state, kind=kind, start=end - 60000, end=end))
    (folder / "media.bin").write_bytes(b"x" * 100)
    if raw:
        (root / "recording" / "raw" / record_id).mkdir(parents=True)
    return record_id


def test_what_lies_there_without_names(tmp_path: pathlib.Path) -> None:
    one = lay(tmp_path, 1, 20, raw=True)
    lay(tmp_path, 1, 20, kind="video", state="unpublished")
    two = lay(tmp_path, 2, 30)
    (tmp_path / "published" / "presentation" / "not-an-id").mkdir()
    found = recordings.scan(str(tmp_path))
    assert [(record.id, record.formats) for record in found.recordings] == [
        (two, {"presentation": "published"}),
        (one, {"presentation": "published", "video": "unpublished"}),
    ]
    record = recordings.as_dict(found.recordings[1])
    assert (record["meeting_id"], record["tenant"], record["hosts"]) == ("m & m", "rosa", ["old.example.org"])
    assert record["octets"] > 200 and "secret plan" not in repr(record)
    assert list(found.raw) == [one] and not found.problems


def test_damaged_metadata_is_named_and_the_others_are_read(tmp_path: pathlib.Path) -> None:
    lay(tmp_path, 1, 20)
    bad = ("<recording>", '<!DOCTYPE x [<!ENTITY e "e">]><recording/>', "<recording><start_time>x</start_time></recording>")
    for number, content in enumerate(bad):
        (tmp_path / "published" / "presentation" / lay(tmp_path, 2 + number, 1) / "metadata.xml").write_text(content)
    found = recordings.scan(str(tmp_path))
    assert len(found.recordings) == 1 and len(found.problems) == 3
    assert all("bbb-record --rebuild" in line for line in found.problems)
    with pytest.raises(CoopError, match="is this a BigBlueButton server"):
        recordings.scan(str(tmp_path / "nothing"))


def test_what_is_older_than_it_should_be(tmp_path: pathlib.Path) -> None:
    kept, old = lay(tmp_path, 1, 10, raw=True), lay(tmp_path, 2, 400, raw=True)
    silent = f"{3:040x}-{(NOW - 17 * recordings.DAY) * 1000}"
    (tmp_path / "recording" / "raw" / silent).mkdir()
    found = recordings.scan(str(tmp_path))
    assert recordings.judge(found, recordings.Retention(14, 14, 365), NOW) == {"overdue": [old], "raw_overdue": [old, silent]}
    # Two days of grace: the cron job works once a day.
    assert recordings.judge(found, recordings.Retention(14, 15, 0), NOW) == {"overdue": [], "raw_overdue": [old]}
    assert recordings.judge(found, recordings.Retention(), NOW) == {"overdue": [], "raw_overdue": []}
    assert recordings.judge(found, recordings.Retention(7, 100, 0), NOW)["raw_overdue"] == sorted([kept, old])
    usage = recordings.disk(str(tmp_path), 101)
    assert usage["low"] and 0 <= usage["free_percent"] <= 100 and not recordings.disk(str(tmp_path), 0)["low"]


def test_links_lead_to_the_server_and_nothing_else_changes(tmp_path: pathlib.Path) -> None:
    record_id = lay(tmp_path, 1, 1)
    file = tmp_path / "published" / "presentation" / record_id / "metadata.xml"
    file.chmod(0o640)
    before = file.read_text()
    assert recordings.links(str(tmp_path), "new.example.org", ["other.example.org"], check_mode=False) == []
    assert recordings.links(str(tmp_path), "new.example.org", ["old.example.org"], check_mode=True) == [str(file)]
    assert file.read_text() == before
    assert recordings.links(str(tmp_path), "new.example.org", ["old.example.org"], check_mode=False) == [str(file)]
    after = file.read_text()
    # Where the front end is told that a recording is ready stays as it was.
    assert "https://old.example.org/recording_ready" in after
    assert after.replace("new.example.org", "old.example.org") == before and after.count("new.example.org") == 2
    assert file.stat().st_mode & 0o777 == 0o640 and not list(file.parent.glob("*.new"))
    assert recordings.links(str(tmp_path), "new.example.org", [], check_mode=False) == []


def test_a_run_that_ends_while_it_writes_leaves_the_old_file_and_the_next_one_goes_on(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "published" / "presentation" / lay(tmp_path, 1, 1) / "metadata.xml"
    before = file.read_text()

    def killed(_old: str, _new: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as fault:
        fault.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            recordings.links(str(tmp_path), "new.example.org", [], check_mode=False)
    assert file.read_text() == before and list(file.parent.glob("*.new"))
    assert recordings.links(str(tmp_path), "new.example.org", [], check_mode=False) == [str(file)]
    assert not list(file.parent.glob("*.new"))


HOSTS = st.from_regex(r"[a-z]{1,8}\.example", fullmatch=True)


@given(st.text(), HOSTS, st.sets(HOSTS), st.text())
def test_relinking_is_done_once_and_leaves_text_alone(prefix: str, domain: str, former: set[str], suffix: str) -> None:
    text = prefix + "".join(f"<link>https://{host}/playback/video/1/</link>" for host in sorted(former)) + suffix
    once = recordings.relinked(text, domain, former)
    assert recordings.relinked(once, domain, former) == once
    assert all(f"https://{host}/playback/video/1/" not in once for host in former - {domain})
    plain = "no link to /playback/ anywhere"
    assert recordings.relinked(plain, domain, former) == plain


def test_many_recordings_are_read_quickly(tmp_path: pathlib.Path) -> None:
    for number in range(500):
        lay(tmp_path, number, number)
    began = time.monotonic()
    assert len(recordings.scan(str(tmp_path)).recordings) == 500
    assert time.monotonic() - began < 5
