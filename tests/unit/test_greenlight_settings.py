# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What greenlight_settings makes of a wish before it meets a database, and what it plans from rows it found."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, limits, roles, settings

SCHEMA = database.Schema("3.8.1", "20260402000000", "20260402000001", database.KNOWN_DATA, ())
DOMAIN = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){1,3}", fullmatch=True)
ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def seeded(wish: settings.Desired) -> settings.Observed:
    """A fresh installation as observe() would find it."""
    seen = settings.Observed(schema=SCHEMA)
    for number, setting in enumerate(settings.SETTINGS.values()):
        if setting.name in wish.settings:
            seen.setting_ids[setting.name] = number
            seen.settings[setting.name] = [(number, setting.seeded or "/assets/logo.png")]
    seen.limits.roles = {name: name for name in limits.PERMISSIONS}
    for role, permissions in limits.PERMISSIONS.items():
        for permission, value in permissions.items():
            seen.limits.permissions[permission] = [(permission, permission)]
            seen.limits.role_permissions[role, permission] = [(f"{role} {permission}", value)]
    for name in ("record", "muteOnStart", "guestPolicy"):
        seen.limits.options[name] = (name, "false")
        seen.limits.configurations[name] = [(name, "greenlight", "optional")]
    return seen


@given(st.lists(DOMAIN, max_size=5), DOMAIN)
def test_allowed_domains_take_no_lookalike(domains: list[str], other: str) -> None:
    """Greenlight lets a mail address in when it ends with an entry (app/controllers/api/v1/users_controller.rb)."""
    text = settings.desired(settings={"allowed_domains": domains}).settings["AllowedDomains"]
    entries = text.split(",") if text else []
    for domain in domains:
        assert any(f"ada@{domain}".endswith(entry) for entry in entries)
    allowed = any(f"ada@{other}".endswith(entry) for entry in entries)
    assert allowed == (other in domains)
    for domain in domains:
        assert not any(f"ada@evil{domain}".endswith(entry) for entry in entries) or f"evil{domain}" in domains


@given(
    st.dictionaries(st.sampled_from([*settings.SETTINGS, "nonsense"]), ANYTHING, max_size=6),
    st.dictionaries(st.sampled_from(["rooms_per_account", "meeting_minutes", "participants"]), ANYTHING, max_size=3),
    st.dictionaries(st.text(max_size=12) | st.sampled_from(["duration", "welcome", "record", "glX", "name"]), ANYTHING, max_size=4),
)
def test_any_wish_is_taken_or_refused_in_one_line(sites: dict[str, Any], numbers: dict[str, Any], options: dict[str, Any]) -> None:
    if isinstance(sites.get("allowed_domains"), (bool, int)):
        del sites["allowed_domains"]  # the argument spec makes a list of it
    try:
        wish = settings.desired(settings=sites, room_limits=numbers, meeting_options=options)
    except CoopError as exc:
        assert "\n" not in str(exc) or any("\n" in str(key) for key in options)
        return
    for name in ("duration", "maxParticipants"):
        value = wish.limits.options.get(name)
        assert value is None or re.fullmatch("[0-9]+", value)
    for name in wish.limits.options:
        assert not name.lower().startswith("gl") and name not in limits.OWN_OPTIONS | limits.COMPUTED_OPTIONS
    assert all(isinstance(value, str) for value in wish.settings.values())


@pytest.mark.parametrize("value", ["90 ", "9e1", "90.0", "-1", "+1", "٩٠", " ", "true", True, [90]])
def test_a_meeting_limit_is_digits_only(value: object) -> None:
    with pytest.raises(CoopError, match=r"meeting_options\.duration"):
        settings.desired(meeting_options={"duration": value})


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_takes_an_option_away(nothing: str | None) -> None:
    assert settings.desired(meeting_options={"welcome": nothing, "duration": nothing}).limits.options == {"welcome": None, "duration": None}


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "//evil.test/x", "https://x.test/\" onclick=\"", "http://", "ftp://x.test", "https://x .test"]
)
@pytest.mark.parametrize("option", ["terms", "help_center", "branding_image", "accessibility_statement"])
def test_a_link_is_a_link(option: str, link: str) -> None:
    with pytest.raises(CoopError, match=f"settings.{option}"):
        settings.desired(settings={option: link})


def test_a_fresh_installation_needs_exactly_what_differs() -> None:
    wish = settings.desired(
        settings={"registration": "open", "primary_color": "#112233"},
        room_limits={"rooms_per_account": 100, "meeting_minutes": 60},
    )
    plan = settings.diff(seeded(wish), wish)
    assert plan.after == {
        "settings.PrimaryColor": "#112233",
        "role_permissions.Administrator.ManageRoles": "false",
        "meeting_options.duration": "60",
    }
    assert plan.before["settings.PrimaryColor"] == "#467fcf" and plan.before["meeting_options.duration"] is None


@given(st.integers(0, 99), st.booleans(), st.sampled_from([None, True, False]))
def test_nothing_asked_nothing_planned(number: int, lock: bool, record: bool | None) -> None:
    wish = settings.desired(room_limits={"rooms_per_account": number}, record=record, lock_roles=lock)
    plan = settings.diff(seeded(wish), wish)
    wanted = {f"role_permissions.{role}.RoomLimit" for role in limits.PERMISSIONS}
    if lock:
        wanted.add("role_permissions.Administrator.ManageRoles")
    if record is False:
        wanted.add("rooms_configurations.record")
    assert set(plan.after) == wanted
    nothing = settings.desired(lock_roles=False)
    assert not settings.diff(seeded(nothing), nothing).changed and nothing.limits.empty


def test_all_duplicates_are_named_together() -> None:
    wish = settings.desired(settings={"terms": "", "primary_color": "#112233"}, room_limits={"rooms_per_account": 1})
    seen = seeded(wish)
    seen.settings["Terms"].append((99, "x"))
    seen.limits.role_permissions["User", "RoomLimit"].append((98, "true"))
    with pytest.raises(database.DuplicateRows) as error:
        settings.diff(seen, wish)
    assert "site_settings has 2 rows for setting Terms" in str(error.value)
    assert "role_permissions has 2 rows for role User" in str(error.value)


def test_the_preview_of_an_empty_host_names_everything() -> None:
    wish = settings.desired(settings={"registration": "invite"}, room_limits={"rooms_per_account": 5, "participants": 25}, record=False)
    plan = settings.preview(wish)
    assert plan.after == {
        "settings.RegistrationMethod": "invite",
        "role_permissions.*.RoomLimit": "5",
        "role_permissions.*.ManageRoles": "false",
        "meeting_options.maxParticipants": "25",
        "rooms_configurations.record": "false",
    }


def test_the_settings_of_a_release_are_known_by_their_migration() -> None:
    assert len(settings.SETTINGS) == 20
    for setting in settings.SETTINGS.values():
        assert setting.since in database.KNOWN_DATA, setting
    assert max(database.KNOWN_DATA) == database.RELEASES[0][0]


# -- roles


def with_roles(wish: settings.Desired, users: int = 0, **rows: str) -> settings.Observed:
    """A fresh installation with further roles (name: colour), each with ``users`` accounts."""
    seen = seeded(wish)
    for name in limits.PERMISSIONS:
        seen.roles.rows[name.lower()] = [roles.Found(name, name, "", 1)]
    for name, color in rows.items():
        seen.roles.rows[name.lower()] = [roles.Found(name, name, color, users)]
        seen.limits.roles[name] = name
        for permission, value in limits.PERMISSIONS["User"].items():
            seen.limits.role_permissions[name, permission] = [(f"{name} {permission}", value)]
    seen.roles.default = ["User"]
    return seen


BOARD = {"name": "Board", "color": "#AABBCC", "rooms_per_account": 2, "permissions": {"CanRecord": False, "ManageUsers": True}}


def test_a_new_role_has_every_permission() -> None:
    wish = settings.desired(room_limits={"rooms_per_account": 1}, role_list=[BOARD])
    plan = settings.diff(with_roles(wish), wish)
    made = {key.rpartition(".")[2]: value for key, value in plan.after.items() if key.startswith("role_permissions.Board.")}
    assert set(made) == set(limits.PERMISSIONS["User"])
    assert (made["RoomLimit"], made["CanRecord"], made["ManageUsers"], made["ManageRoles"]) == ("2", "false", "true", "false")
    assert made["AccessToVisibilities"] == limits.VISIBILITIES and plan.after["roles.Board"] == "#aabbcc"
    assert plan.after["role_permissions.User.RoomLimit"] == "1"


def test_only_drift_of_a_role_is_repaired() -> None:
    wish = settings.desired(lock_roles=False, role_list=[BOARD])
    seen = with_roles(wish, Board="#000000")
    for permission, value in (("RoomLimit", "2"), ("CanRecord", "true"), ("ManageUsers", "true"), ("ManageRooms", "true")):
        seen.limits.role_permissions["Board", permission] = [(permission, value)]
    plan = settings.diff(seen, wish)
    assert plan.after == {"roles.Board": "#aabbcc", "role_permissions.Board.CanRecord": "false"}


@pytest.mark.parametrize(
    ("users", "sites", "stored", "words"),
    [
        (3, {}, [], "3 account(s) have it; give them another role"),
        (0, {}, ["Trial"], "who signs up gets it"),
        (0, {"default_role": "Trial"}, [], "who signs up gets it"),
        (0, {"role_mapping": "Trial=@x.test"}, [], "people of some mail domains get it"),
        (0, {"default_role": "User", "role_mapping": ""}, ["Trial"], None),
        (0, {}, [], None),
    ],
)
def test_a_role_goes_when_nobody_can_have_it(users: int, sites: dict[str, Any], stored: list[str], words: str | None) -> None:
    wish = settings.desired(settings=sites, lock_roles=False, role_list=[{"name": "Trial", "state": "absent"}])
    seen = with_roles(wish, users, Trial="#111111")
    seen.roles.default = stored
    if words:
        with pytest.raises(CoopError, match=re.escape(words)):
            settings.diff(seen, wish)
        return
    plan = settings.diff(seen, wish)
    assert plan.after["roles.Trial"] is None and not any(key.startswith("role_permissions.Trial") for key in plan.after)
    assert [step.sql.split()[2] for step in plan.steps if step.sql.startswith("DELETE")] == ["public.role_permissions", "public.roles"]
    # It is gone already: nothing to do.
    assert not any(key.startswith("roles.") for key in settings.diff(with_roles(wish), wish).after)


def test_a_role_that_differs_in_its_capitals_is_refused() -> None:
    wish = settings.desired(role_list=[BOARD])
    with pytest.raises(CoopError, match="there is a role 'board' already"):
        settings.diff(with_roles(wish, board="#000000"), wish)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({"name": "SuperAdmin"}, "passes every limit"),
        ({"name": "guest"}, "write Guest"),
        ({"name": "User", "state": "absent"}, "cannot be removed"),
        ({"name": "a,b"}, "name must be one line"),
        ({"name": "x\ny"}, "name must be one line"),
        ({"name": "B", "color": "red"}, "color must be one such as"),
        ({"name": "B", "rooms_per_account": -1}, "0 or more"),
        ({"name": "B", "permissions": {"RoomLimit": "5"}}, "there is no permission 'RoomLimit' that can be granted"),
        ({"name": "B", "permissions": {"CanRecord": "maybe"}}, "must be true or false"),
        ({"name": "B", "permissions": {"ManageRoles": True}}, "contradicts lock_roles"),
    ],
)
def test_roles_that_cannot_be(role: dict[str, Any], words: str) -> None:
    with pytest.raises(CoopError, match=re.escape(words)) as caught:
        settings.desired(role_list=[role])
    assert "\n" not in str(caught.value)


def test_a_limit_said_twice_differently_is_refused() -> None:
    with pytest.raises(CoopError, match="contradicts rooms_per_account"):
        settings.desired(room_limits={"rooms_by_role": {"Board": 3}}, role_list=[BOARD])


ROLE = st.fixed_dictionaries({"name": st.text(max_size=8)}, optional={"color": ANYTHING, "rooms_per_account": ANYTHING})


@given(st.lists(ROLE, max_size=3))
def test_any_role_is_taken_or_refused_in_one_line(wanted: list[dict[str, Any]]) -> None:
    try:
        wish = settings.desired(role_list=wanted)
    except CoopError as exc:
        assert "\n" not in str(exc)
        return
    plan = settings.diff(with_roles(wish), wish)
    made = {key.removeprefix("roles.") for key in plan.after if key.startswith("roles.")}
    assert plan.changed and {role.name for role in wish.roles} <= {*limits.PERMISSIONS, *made}


@given(st.text(min_size=1, max_size=20))
def test_a_colour_made_from_a_name_is_one(name: str) -> None:
    assert re.fullmatch("#[0-9a-f]{6}", roles.default_color(name)) and roles.default_color(name) == roles.default_color(name)


def test_mail_domains_of_roles_make_the_mapping() -> None:
    """As greenlight app/services/user_creator.rb reads it: the first rule whose end fits counts."""
    wish = settings.desired(
        role_list=[
            {"name": "Board", "mail_domains": ["Board.example", ".staff.example"]},
            {"name": "Old", "state": "absent", "mail_domains": ["old.example"]},
            {"name": "team"},
        ]
    )
    assert wish.settings == {"RoleMapping": "Board=@board.example,Board=.staff.example"}
    assert settings.desired(role_list=[{"name": "Board", "mail_domains": []}]).settings == {"RoleMapping": ""}
    assert settings.desired(role_list=[{"name": "team"}]).settings == {}
    with pytest.raises(CoopError, match="is made from mail_domains"):
        settings.desired(settings={"role_mapping": "x=y"}, role_list=[{"name": "Board", "mail_domains": []}])
    with pytest.raises(CoopError, match="mail_domains must be ones such as"):
        settings.desired(role_list=[{"name": "Board", "mail_domains": ["a,b=c"]}])
