# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of Greenlight's releases, and which way from one to another is open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, releases
from ansible_collections.meet.coop.plugins.module_utils._greenlight.releases import NEWEST, RELEASES, way

ANY = st.sampled_from(RELEASES)


def tag(release: releases.Release) -> str:
    return f"v{release.name}"


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_table_is_in_order_and_agrees_with_what_is_known_of_migrations() -> None:
    assert [release.version for release in RELEASES] == sorted({release.version for release in RELEASES})
    assert [release.date for release in RELEASES] == sorted(release.date for release in RELEASES)
    for release in RELEASES:
        assert release.schema in database.KNOWN_SCHEMA and release.data in database.KNOWN_DATA
    assert (NEWEST.schema, NEWEST.data) == (max(database.KNOWN_SCHEMA), max(database.KNOWN_DATA))
    assert [release.data for release in RELEASES] == sorted(release.data for release in RELEASES)


def test_the_database_tells_the_same_releases() -> None:
    """database.RELEASES names for each migration the first release that has it."""
    for version, name in database.RELEASES:
        first = next(release for release in RELEASES if version in (release.schema, release.data))
        assert first.name == name


def test_every_note_belongs_to_a_release() -> None:
    assert set(releases.NOTES) <= {release.name for release in RELEASES}
    assert all(note.text and note.source for notes in releases.NOTES.values() for note in notes)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v3.8.2.4", (3, 8, 2, 4)),
        ("3.7.1", (3, 7, 1)),
        ("v3.8.2.4-sunflower.2", (3, 8, 2, 4)),
        ("v3.8", (3, 8)),
        ("latest", None),
        ("v3", None),
        ("", None),
        ("release-3.8.2", None),
    ],
)
def test_versions(text: str, version: tuple[int, ...] | None) -> None:
    assert releases.numbers(text) == version


@pytest.mark.parametrize("text", ["v3.8", "latest", "v3.9.0", "v3.1.1-beta1", "v3.8.2.5"])
def test_what_is_no_known_release(text: str) -> None:
    assert releases.find(text) is None


# --- The way ----------------------------------------------------------------------------------------------------------


@given(ANY, ANY)
def test_only_forward(one: releases.Release, other: releases.Release) -> None:
    found = way(tag(one), tag(other), validated=tag(NEWEST))
    if one == other:
        assert (found.kind, found.refusals) == ("same", ())
    elif other.version < one.version:
        assert found.kind == "downgrade" and "restore" in found.refusals[0] and found.between == ()
    else:
        assert (found.kind, found.refusals) == ("forward", ())
        assert found.between[-1] == other and one not in found.between


@given(ANY, ANY, ANY)
def test_no_breaking_change_is_passed_unread(one: releases.Release, other: releases.Release, read: releases.Release) -> None:
    """Refused exactly when a breaking release lies on the way that is newer than the one looked at; all notes are shown then."""
    found = way(tag(one), tag(other), validated=tag(read))
    if other.version <= one.version:
        return
    unread = [name for name in found.breaking if releases.KNOWN[releases.numbers(name) or ()].version > read.version]
    assert bool(found.refusals) == bool(unread)
    if unread:
        assert f"upgrade_validated: {unread[-1]}" in found.refusals[0]
        assert all(note in found.refusals[0] for note in found.notes)
        assert way(tag(one), tag(other), validated=unread[-1]).refusals == ()


@given(ANY, ANY, ANY)
def test_two_steps_show_what_one_shows(one: releases.Release, two: releases.Release, three: releases.Release) -> None:
    one, two, three = sorted((one, two, three), key=lambda release: release.version)
    steps = way(tag(one), tag(two)).notes + way(tag(two), tag(three)).notes
    assert steps == way(tag(one), tag(three)).notes


def test_what_is_said_of_a_breaking_change() -> None:
    found = way("v3.7.1", "v3.8.2.4")
    assert found.breaking == ["v3.8.0"]
    assert "set upgrade_validated: v3.8.0" in found.refusals[0] and "BREAKING: URL_HOST" in found.refusals[0]
    assert "\n" not in found.refusals[0]


@pytest.mark.parametrize(("before", "after"), [("v3.8.2.4", "v3.9.0"), ("v3.8.2.4", "latest"), ("latest", "v3.8.2.4")])
def test_the_unknown_has_to_be_named(before: str, after: str) -> None:
    found = way(before, after)
    assert f"upgrade_unknown: {after}" in found.refusals[0]
    assert way(before, after, unknown="v3.9.9").refusals != ()
    named = way(before, after, unknown=after)
    assert (named.kind, named.refusals) == ("unknown", ())


def test_no_name_opens_the_way_back() -> None:
    """Neither the unknown nor the validated."""
    assert "restore" in way("v3.8.2.4", "v3.6.9", validated="v3.8.2.4", unknown="v3.6.9").refusals[0]


def test_a_fork_goes_with_its_release() -> None:
    assert way("v3.8.2.4-rosa.1", "v3.8.2.4-rosa.2").refusals == ()
    assert way("v3.8.2.3", "v3.8.2.4-rosa.2").notes == way("v3.8.2.3", "v3.8.2.4").notes
    assert way("v3.8.2.4", "v3.8.2.3-rosa.1").kind == "downgrade"


def test_a_validated_that_is_no_version() -> None:
    with pytest.raises(CoopError, match=r"upgrade_validated 'yes'.*v3"):
        way("v3.7.1", "v3.8.2.4", validated="yes")
