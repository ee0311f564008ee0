# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the known releases of Greenlight, and which way from one to another is open.

Releases, days and newest migrations are those of the tags `release-X` of bigbluebutton/greenlight (db/migrate and db/data at the tag);
what changed is from the commits between the tags. A new release is one more line in the table, with its notes where it has any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_TABLE = """
    3.0.0    2023-02-16 20221025184305 20230123174546
    3.0.1    2023-03-01 20230227213252 20230228193705
    3.0.2    2023-03-21 20230307184209 20230228193705
    3.0.3    2023-04-04 20230307184209 20230228193705
    3.0.3.1  2023-04-10 20230307184209 20230228193705
    3.0.4    2023-05-15 20230307184209 20230228193705
    3.0.5    2023-06-22 20230307184209 20230228193705
    3.0.5.1  2023-06-23 20230307184209 20230228193705
    3.0.5.2  2023-06-23 20230307184209 20230228193705
    3.0.5.3  2023-07-05 20230705183747 20230228193705
    3.0.5.4  2023-07-07 20230705183747 20230228193705
    3.0.6    2023-08-01 20230705183747 20230228193705
    3.0.6.1  2023-08-04 20230705183747 20230228193705
    3.0.7    2023-10-03 20230705183747 20230228193705
    3.0.7.1  2023-10-04 20230705183747 20230228193705
    3.0.8    2023-10-12 20230705183747 20230228193705
    3.0.8.1  2023-10-18 20230705183747 20230228193705
    3.0.9    2023-11-01 20230705183747 20231030185844
    3.0.9.1  2023-11-03 20230705183747 20231030185844
    3.1.0    2023-11-23 20230705183747 20231117151542
    3.1.0.1  2023-11-29 20230705183747 20231117151542
    3.1.0.2  2023-11-30 20230705183747 20231117151542
    3.2.0    2024-01-08 20231218154727 20231213203353
    3.2.0.1  2024-01-15 20231218154727 20231213203353
    3.2.0.2  2024-01-23 20231218154727 20240123184213
    3.2.1    2024-01-31 20231218154727 20240123184213
    3.2.1.1  2024-01-31 20231218154727 20240123184213
    3.2.1.2  2024-02-01 20230705183747 20240125154727
    3.2.1.3  2024-02-01 20230705183747 20240125154727
    3.2.1.4  2024-02-01 20230705183747 20240125154727
    3.2.2    2024-02-09 20230705183747 20240125154727
    3.2.3    2024-02-12 20230705183747 20240125154727
    3.3.0    2024-03-11 20230705183747 20240209155229
    3.3.1    2024-03-12 20230705183747 20240209155229
    3.3.2    2024-04-05 20230705183747 20240209155229
    3.3.3    2024-04-15 20230705183747 20240209155229
    3.3.4    2024-05-06 20230705183747 20240209155229
    3.3.5    2024-06-04 20230705183747 20240209155229
    3.3.6    2024-06-25 20230705183747 20240209155229
    3.4.0    2024-08-14 20230705183747 20240812210436
    3.4.1    2024-09-16 20230705183747 20240812210436
    3.4.2    2024-11-28 20230705183747 20240812210436
    3.4.3    2024-12-05 20230705183747 20240812210436
    3.4.4    2024-12-19 20230705183747 20240812210436
    3.4.5    2025-01-30 20230705183747 20250130160334
    3.5.0    2025-02-19 20230705183747 20250130160334
    3.5.1    2025-03-07 20230705183747 20250130160334
    3.5.2    2025-03-07 20230705183747 20250130160334
    3.6.0    2025-05-13 20230705183747 20250501185954
    3.6.1    2025-05-15 20230705183747 20250501185954
    3.6.2    2025-05-23 20230705183747 20250501185954
    3.6.3    2025-07-09 20230705183747 20250501185954
    3.7.0    2026-01-09 20260109153256 20250501185954
    3.7.1    2026-01-15 20260109153256 20250501185954
    3.8.0    2026-03-16 20260109153256 20260119170745
    3.8.1    2026-04-07 20260402000000 20260402000001
    3.8.2    2026-04-07 20260402000000 20260402000001
    3.8.2.1  2026-04-07 20260402000000 20260402000001
    3.8.2.2  2026-04-20 20260402000000 20260402000001
    3.8.2.3  2026-05-13 20260402000000 20260402000001
    3.8.2.4  2026-07-17 20260402000000 20260402000001
    """
"""Release, day of the tag, newest schema migration, newest data migration; oldest first."""


@dataclass(frozen=True)
class Note:
    """What an operator has to know of a release. A breaking one needs their word that they have looked (C(validated))."""

    text: str
    source: str
    breaking: bool = False


NOTES: dict[str, tuple[Note, ...]] = {
    "3.0.4": (Note("the image is built on ruby:alpine3.17: a fork that installs packages has to be built anew", "Dockerfile"),),
    "3.0.9": (
        Note(
            "mail addresses are changed to lower case; two accounts that differ in case only make the migration fail",
            "db/data/20231030185844",
            breaking=True,
        ),
    ),
    "3.2.0": (Note("recordings have visibilities, and roles a permission for them (AccessToVisibilities)", "db/data/20231210154647"),),
    "3.2.1.2": (
        Note(
            "HelpCenter is made by a data migration now: databases that 3.2.0 had given one got a second row, and a setting that stands"
            " twice breaks pages",
            "#5697",
            breaking=True,
        ),
    ),
    "3.3.4": (Note("URL_HOST: links are made for that name only", "#5765"),),
    "3.4.0": (
        Note(
            "an account of an identity provider is no longer recognised by its mail address: people without external_id get"
            " a second account; from 3.4.1 on oidc.match_email keeps the old way",
            "#5876",
            breaking=True,
        ),
        Note("server tags: two new meeting options in every room", "#5790"),
    ),
    "3.4.2": (Note("fresh installations of exactly 3.4.2 answer 500, because the start script makes no tables", "#5969"),),
    "3.5.0": (
        Note(
            "Rails 7.2, Ruby 3.3, Alpine 3.20: a fork of the image, and files mounted over it, have to be looked through and built anew",
            "#5976",
            breaking=True,
        ),
    ),
    "3.6.0": (
        Note(
            "with an identity provider the session cookie holds its token: a proxy of your own in front needs larger header buffers,"
            " or people get 502 after signing in",
            "#6065",
            breaking=True,
        ),
        Note("rooms made from now on start muted, where the member has not decided otherwise", "#6045"),
    ),
    "3.7.0": (Note("a column tenants.region, which one instance of its own does not use", "#6177"),),
    "3.8.0": (
        Note("security fixes, some of them in how roles are checked", "#6222"),
        Note("URL_HOST also limits the Host header: a request under any other name is refused (403)", "#6222", breaking=True),
        Note("a setting AccessibilityStatement, shown in the footer when it is filled", "#6184"),
    ),
    "3.8.1": (
        Note("a security fix", "#6240"),
        Note("a setting AllowNameUpdate; people can be kept from changing their name", "#6247"),
        Note("an invited person signs up with the name of the invitation (a column invitations.name)", "#6246"),
    ),
    "3.8.2": (Note("the gem connection_pool goes back a version", "#6253"),),
    "3.8.2.1": (Note("BYPASS_HOST turns the check of the host name off", "#6254"),),
    "3.8.2.2": (Note("the maintenance banner takes HTML again", "#6267"),),
    "3.8.2.3": (Note("fixes for Greenlight's own tenants only", "#6279"),),
    "3.8.2.4": (Note("Puma 7; the member's administrators are told when an invited person has signed up", "#6302"),),
}
"""By release. A source that begins with # is an issue or a change of bigbluebutton/greenlight."""


@dataclass(frozen=True)
class Release:
    """One release as upstream tagged it."""

    version: tuple[int, ...]
    date: str
    schema: str
    data: str

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def notes(self) -> tuple[Note, ...]:
        return NOTES.get(self.name, ())


_VERSION = re.compile(r"v?(\d+(?:\.\d+){1,3})(?:[-+].*)?")
_PRERELEASE = re.compile(r"[-.](?:alpha|beta|rc|pre|dev)", re.IGNORECASE)


def numbers(text: str) -> tuple[int, ...] | None:
    """`v3.8.2.4` as (3, 8, 2, 4); a suffix such as -sunflower.2 (a fork) is left out. None for what is no version, such as `latest`."""
    match = _VERSION.fullmatch(text.strip())
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def _release(line: str) -> Release:
    name, date, schema, data = line.split()
    return Release(tuple(map(int, name.split("."))), date, schema, data)


RELEASES: tuple[Release, ...] = tuple(_release(line) for line in _TABLE.strip().splitlines())
KNOWN: dict[tuple[int, ...], Release] = {release.version: release for release in RELEASES}
NEWEST = RELEASES[-1]


def find(text: str) -> Release | None:
    """The known release of a version such as `v3.8.2.4` or of a fork of it such as `v3.8.2.4-sunflower.2`; a pre-release is none."""
    version = numbers(text)
    return None if version is None or _PRERELEASE.search(text) else KNOWN.get(version)


@dataclass(frozen=True)
class Way:
    """The way from the version that runs to the one that is wanted."""

    before: str
    after: str
    #: known, forward, same, downgrade or unknown
    kind: str
    between: tuple[Release, ...]
    refusals: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What changed in each release passed, oldest first, one line each."""
        return [
            f"v{release.name} ({release.date}): {'BREAKING: ' if note.breaking else ''}{note.text} ({note.source})"
            for release in self.between
            for note in release.notes
        ]

    @property
    def breaking(self) -> list[str]:
        return [f"v{release.name}" for release in self.between if any(note.breaking for note in release.notes)]

    @property
    def known(self) -> bool:
        """Whether the version wanted is one this collection knows, so that its migrations are known to let the old version go on."""
        return find(self.after) is not None


def way(before: str, after: str, validated: str = "", unknown: str = "") -> Way:
    """Whether the way from one version to another is open, and what lies on it.

    `validated` is the newest release whose changes the operator has looked at; `unknown` names a version they want although it is not
    known here. Raises CoopError when these two are no versions.
    """
    checked = numbers(validated) if validated else None
    if validated and checked is None:
        raise CoopError(f"upgrade_validated '{validated}' is not a version such as v{NEWEST.name}")
    old, new = numbers(before), numbers(after)
    if before == after:
        return Way(before, after, "same", (), ())
    refusals: list[str] = []
    if find(after) is None and unknown != after:
        refusals.append(
            f"{after} is no release known to this collection (v{RELEASES[0].name} to v{NEWEST.name});"
            f" update the collection, or, after a trial of your own, set upgrade_unknown: {after}"
        )
    if old is None:
        if unknown != after:
            refusals.append(f"'{before}', which runs, is no version; after a trial of your own set upgrade_unknown: {after}")
        return Way(before, after, "unknown", (), tuple(refusals))
    if new is None:
        return Way(before, after, "unknown", (), tuple(refusals))
    if _padded(new) < _padded(old):
        refusals = [
            f"{after} is older than {before}, which runs; migrations do not go back: restore the backup from before the upgrade instead"
        ]
        return Way(before, after, "downgrade", (), tuple(refusals))
    between = tuple(release for release in RELEASES if _padded(old) < _padded(release.version) <= _padded(new))
    found = Way(before, after, "forward" if find(after) else "unknown", between, ())
    unread = [name for name in found.breaking if checked is None or _padded(numbers(name) or ()) > _padded(checked)]
    if unread:
        refusals.append(
            f"there are breaking changes on the way from {before} to {after} ({', '.join(unread)}):"
            f" read them and set upgrade_validated: {unread[-1]}. What changed: {'; '.join(found.notes)}"
        )
    return Way(before, after, found.kind, between, tuple(refusals))


def _padded(version: tuple[int, ...]) -> tuple[int, ...]:
    return (*version, 0, 0, 0, 0)[:4]
