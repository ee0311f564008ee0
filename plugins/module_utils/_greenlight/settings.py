# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: site settings and limits of one Greenlight as desired state: observe, diff, apply.

Greenlight reads these tables on every request (greenlight app/services/setting_getter.rb), so rows act at once. A missing or a
duplicate row makes the whole query null and breaks pages: rows are found by natural key, updated where they differ, inserted
only where none is, and a duplicate is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, limits, roles
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import (
    NOW,
    PROVIDER,
    DatabaseError,
    DuplicateRows,
    Plan,
    Schema,
    exactly_one,
)
from ansible_collections.meet.coop.plugins.module_utils._greenlight.limits import Limits, ObservedLimits
from ansible_collections.meet.coop.plugins.module_utils._greenlight.roles import ObservedRoles, Role

if TYPE_CHECKING:
    import psycopg

TABLES = ("active_storage_attachments", "settings", "site_settings", *limits.TABLES, "users")


@dataclass(frozen=True)
class Setting:
    """One row of ``settings``: its name, the data migration that brought it, that release, and its seeded value."""

    name: str
    since: str
    release: str
    seeded: str | None


_FIRST = ("20220713143528", "3.0.0")
SETTINGS: Mapping[str, Setting] = {
    "registration": Setting("RegistrationMethod", *_FIRST, "open"),
    "allowed_domains": Setting("AllowedDomains", "20240812210436", "3.4.0", ""),
    "primary_color": Setting("PrimaryColor", *_FIRST, "#467fcf"),
    "primary_color_light": Setting("PrimaryColorLight", *_FIRST, "#e8eff9"),
    "primary_color_dark": Setting("PrimaryColorDark", *_FIRST, "#316cbe"),
    "branding_image": Setting("BrandingImage", *_FIRST, None),
    "terms": Setting("Terms", *_FIRST, ""),
    "privacy_policy": Setting("PrivacyPolicy", *_FIRST, ""),
    "accessibility_statement": Setting("AccessibilityStatement", "20260119170745", "3.8.0", ""),
    "help_center": Setting("HelpCenter", "20240125154727", "3.2.1.2", ""),
    "maintenance": Setting("Maintenance", "20240205160221", "3.3.0", ""),
    "default_role": Setting("DefaultRole", "20221003201116", "3.0.0", "User"),
    "role_mapping": Setting("RoleMapping", *_FIRST, ""),
    "resync_on_login": Setting("ResyncOnLogin", "20220929144051", "3.0.0", "true"),
    "session_timeout": Setting("SessionTimeout", "20240209155229", "3.3.0", "1"),
    "sign_in_on_room_join": Setting("SignInOnRoomJoin", "20250130160334", "3.4.5", "true"),
    "allow_name_update": Setting("AllowNameUpdate", "20260402000001", "3.8.1", "true"),
    "share_rooms": Setting("ShareRooms", *_FIRST, "true"),
    "preupload_presentation": Setting("PreuploadPresentation", *_FIRST, "true"),
    "default_recording_visibility": Setting("DefaultRecordingVisibility", "20231213203353", "3.2.0", "Published"),
}
"""Option name to setting, all 20 of Greenlight 3.8.2.4 (greenlight db/data)."""
BY_NAME = {setting.name: setting for setting in SETTINGS.values()}

_COLOR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://[^\s<>\"'`/?#]+[^\s<>\"'`]*|/(?!/)[^\s<>\"'`]*)")
_DOMAIN = re.compile(r"[@.]?(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class SettingsError(CoopError):
    """The wish itself cannot be granted."""


@dataclass(frozen=True)
class Desired:
    """What shall hold in one instance. Settings not named are left alone."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Greenlight's setting name to stored text."""
    limits: Limits = field(default_factory=Limits)
    roles: tuple[Role, ...] = ()


@dataclass
class Observed:
    schema: Schema
    setting_ids: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    uploads: list[Any] = field(default_factory=list)
    """Attached images: they would win over the value of BrandingImage."""
    limits: ObservedLimits = field(default_factory=ObservedLimits)
    roles: ObservedRoles = field(default_factory=ObservedRoles)


def allowed_domain(text: str) -> str:
    """One entry of AllowedDomains. Greenlight compares the end of the mail address: without @ evil-example.org would match example.org."""
    text = text.strip().lower()
    return text if text.startswith(("@", ".")) else "@" + text


def desired(
    settings: Mapping[str, Any] | None = None,
    room_limits: Mapping[str, Any] | None = None,
    meeting_options: Mapping[str, Any] | None = None,
    rooms_configurations: Mapping[str, Any] | None = None,
    record: bool | None = None,
    lock_roles: bool = True,
    role_list: Iterable[Mapping[str, Any]] = (),
) -> Desired:
    """Check a wish and turn it into stored text. Raises SettingsError naming everything that is wrong, in one line."""
    problems: list[str] = []
    texts: dict[str, str] = {}
    for option, value in (settings or {}).items():
        if value is None:
            continue
        setting = SETTINGS.get(option)
        if setting is None:
            problems.append(f"settings.{option}: there is no such setting; there are {', '.join(SETTINGS)}")
            continue
        try:
            texts[setting.name] = _text(option, value)
        except ValueError as exc:
            problems.append(f"settings.{option}: {exc}")
    given = room_limits or {}
    numbers: dict[str, int | None] = {}
    for key in ("rooms_per_account", "meeting_minutes", "participants"):
        number = given.get(key)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
            problems.append(f"limits.{key}: must be a whole number, 0 or more, not {number!r}")
            number = None
        numbers[key] = number
    by_role: dict[str, int] = {}
    for role, number in (given.get("rooms_by_role") or {}).items():
        if isinstance(number, bool) or not re.fullmatch(r"[0-9]+", str(number), re.ASCII):
            problems.append(f"limits.rooms_by_role.{role}: must be a whole number, 0 or more, not {number!r}")
        else:
            by_role[str(role)] = int(number)
    wanted = roles.desired(role_list, problems, lock_roles)
    for role in wanted:
        if role.rooms is None or not role.present:
            continue
        if by_role.setdefault(role.name, role.rooms) != role.rooms:
            problems.append(f"limits.rooms_by_role.{role.name}: contradicts rooms_per_account of that role")
    mapped = roles.mapping(wanted)
    if mapped is not None:
        if "RoleMapping" in texts:
            problems.append("settings.role_mapping: is made from mail_domains of roles already")
        texts["RoleMapping"] = mapped
    options: dict[str, str | None] = {}
    for key, name in (("meeting_minutes", limits.DURATION), ("participants", limits.PARTICIPANTS)):
        number = numbers[key]
        if number is not None:
            options[name] = str(number) if number else None
            if name in (meeting_options or {}):
                problems.append(f"meeting_options.{name}: is given by limits.{key} already")
    for name, value in (meeting_options or {}).items():
        value = None if value == "" else value
        problem = limits.option_problem(str(name), value)
        if problem:
            problems.append(f"meeting_options.{name}: {problem}")
        else:
            options[str(name)] = None if value is None else _plain(value)
    configurations: dict[str, str] = {}
    for name, value in (rooms_configurations or {}).items():
        text = _plain(value)
        if text not in limits.CONFIGURATIONS:
            problems.append(f"rooms_configurations.{name}: must be one of {', '.join(limits.CONFIGURATIONS)}, not {value!r}")
        elif name not in limits.OWN_OPTIONS and not str(name).startswith("gl"):
            problems.append(f"rooms_configurations.{name}: is not Greenlight's own option; a row here would let room owners change it")
        elif name == "record" and record is False and text != "false":
            problems.append("rooms_configurations.record: contradicts record=false")
        elif name == "record" and record is True and text == "false":
            problems.append("rooms_configurations.record: contradicts record=true")
        else:
            configurations[str(name)] = text
    if problems:
        raise SettingsError("; ".join(problems))
    return Desired(
        settings=texts,
        limits=Limits(
            rooms=numbers["rooms_per_account"],
            rooms_by_role=by_role,
            lock_roles=lock_roles,
            permissions={role.name: role.permissions for role in wanted if role.present},
            options=options,
            configurations=configurations,
            record=record,
        ),
        roles=wanted,
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _text(option: str, value: Any) -> str:
    """Stored text of one setting; ValueError says what to write instead."""
    if option == "allowed_domains":
        domains = [part for entry in value for part in str(entry).split(",") if part.strip()]
        wrong = [domain for domain in domains if not _DOMAIN.fullmatch(domain.strip().lower())]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: write a mail domain such as example.org, or .example.org for its sub-domains")
        return ",".join(dict.fromkeys(allowed_domain(domain) for domain in domains))
    text = _plain(value)
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    if option.startswith("primary_color") and not _COLOR.fullmatch(text):
        raise ValueError(f"must be a colour such as #467fcf, not {text!r}")
    if option == "branding_image" and not _LINK.fullmatch(text):
        raise ValueError(f"must be an absolute http(s) URL or a path that begins with /, not {text!r}")
    if option in ("terms", "privacy_policy", "accessibility_statement", "help_center") and text and not _LINK.fullmatch(text):
        raise ValueError(f"must be an http(s) URL, a path that begins with /, or empty, not {text!r}")
    if option == "registration" and text not in ("open", "invite", "approval"):
        raise ValueError(f"must be open, invite or approval, not {text!r}")
    if option == "session_timeout" and text not in ("1", "7"):
        raise ValueError(f"must be 1 or 7 (days), not {text!r}")
    if option in ("resync_on_login", "sign_in_on_room_join", "allow_name_update", "share_rooms", "preupload_presentation") and text not in (
        "true",
        "false",
    ):
        raise ValueError(f"must be true or false, not {text!r}")
    if option == "default_recording_visibility" and text not in ("Published", "Unpublished", "Protected", "Public", "Public/Protected"):
        raise ValueError(f"must be Published, Unpublished, Protected, Public or Public/Protected, not {text!r}")
    return text


def observe(conn: psycopg.Connection[Any], wish: Desired) -> Observed:
    """Read what ``wish`` touches. Call it inside ``database.snapshot`` or ``database.change``."""
    seen = Observed(schema=database.inspect(conn, TABLES))
    names = list(wish.settings)
    for setting_id, name in conn.execute("SELECT id, name FROM public.settings WHERE name = ANY(%s)", (names,)):
        seen.setting_ids[name] = setting_id
    for name, row_id, value in conn.execute(
        """
        SELECT s.name, v.id, v.value FROM public.site_settings v JOIN public.settings s ON s.id = v.setting_id
         WHERE v.provider = %s AND s.name = ANY(%s) ORDER BY v.created_at, v.id
        """,
        (PROVIDER, names),
    ):
        seen.settings.setdefault(name, []).append((row_id, value))
    images = [row_id for row_id, _value in seen.settings.get("BrandingImage", [])]
    if images:
        found = conn.execute(
            "SELECT id FROM public.active_storage_attachments WHERE record_type = 'SiteSetting' AND name = 'image' AND record_id = ANY(%s)",
            (images,),
        )
        seen.uploads = [row[0] for row in found]
    seen.limits = limits.observe(conn, wish.limits)
    if wish.roles:
        seen.roles = roles.observe(conn)
    return seen


def skipped(seen: Observed, wish: Desired) -> list[str]:
    """Settings this release does not know yet and that are asked to be what their absence means."""
    return [name for name, value in wish.settings.items() if _absent(seen, name) and value == BY_NAME[name].seeded]


def _absent(seen: Observed, name: str) -> bool:
    return name not in seen.setting_ids and BY_NAME[name].since not in seen.schema.data


def diff(seen: Observed, wish: Desired) -> Plan:
    """What differs. Raises DuplicateRows or SettingsError when the rows found allow no plan."""
    duplicates: list[str] = []
    problems: list[str] = []
    for name, rows in seen.settings.items():
        exactly_one(duplicates, "site_settings", f"setting {name}, provider {PROVIDER}", rows)
    plan = Plan()
    problems += roles.diff(seen.roles, wish.roles, wish.settings, plan, seen.limits.roles)
    for name, value in wish.settings.items():
        if _absent(seen, name):
            if value != BY_NAME[name].seeded:
                problems.append(
                    f"setting {name} came with Greenlight {BY_NAME[name].release}, this database is of {seen.schema.release}: upgrade first"
                )
            continue
        if name == "DefaultRole" and value not in seen.limits.roles:
            problems.append(f"default_role: there is no role {value!r}; there are {', '.join(seen.limits.roles) or 'none'}")
        rows = seen.settings.get(name, [])
        key = f"settings.{name}"
        if not rows:
            if name not in seen.setting_ids:
                sql = f"""
                    INSERT INTO public.settings (id, name, created_at, updated_at)
                    VALUES (pg_catalog.gen_random_uuid(), %(name)s, {NOW}, {NOW})
                    """
                plan.steps.append(database.Step(sql, {"name": name}, 1))
            sql = f"""
                INSERT INTO public.site_settings (id, setting_id, value, provider, created_at, updated_at)
                SELECT pg_catalog.gen_random_uuid(), s.id, %(value)s, %(provider)s, {NOW}, {NOW} FROM public.settings s
                 WHERE s.name = %(name)s
                   AND NOT EXISTS (SELECT 1 FROM public.site_settings x WHERE x.setting_id = s.id AND x.provider = %(provider)s)
                """
            plan.add(key, None, value, sql, {"name": name, "value": value, "provider": PROVIDER})
        elif rows[0][1] != value:
            sql = f"UPDATE public.site_settings SET value = %(value)s, updated_at = {NOW} WHERE id = %(id)s"
            plan.add(key, rows[0][1], value, sql, {"value": value, "id": rows[0][0]})
    if "BrandingImage" in wish.settings and seen.uploads:
        sql = "DELETE FROM public.active_storage_attachments WHERE id = ANY(%(ids)s)"
        plan.add("settings.BrandingImage.upload", len(seen.uploads), 0, sql, {"ids": seen.uploads}, len(seen.uploads))
    duplicates += limits.check(seen.limits, wish.limits)
    if duplicates or problems:
        kind = DuplicateRows if duplicates and not problems else SettingsError
        raise kind("; ".join(problems + duplicates))
    limits.diff(seen.limits, wish.limits, plan)
    return plan


def apply(conn: psycopg.Connection[Any], wish: Desired, wait: float = 30.0) -> tuple[Plan, Observed]:
    """Make ``wish`` true in one transaction while the site runs; the plan that was carried out and the state it found.

    Everything is read again under the locks, and once more before the commit: what is returned is what happened.
    """

    def work(conn: psycopg.Connection[Any]) -> tuple[Plan, Observed]:
        limits.lock(conn, wish.limits)
        database.freeze(conn, TABLES)
        seen = observe(conn, wish)
        plan = diff(seen, wish)
        if plan.changed:
            plan.run(conn)
            again = observe(conn, wish)
            rest = diff(again, wish)
            if rest.changed:
                raise DatabaseError(
                    f"database {database.database_name(conn)}: rows do not hold after writing them ({', '.join(rest.before)}):"
                    " something rewrites them; nothing was kept"
                )
        return plan, seen

    return database.change(conn, work, wait)


def preview(wish: Desired) -> Plan:
    """The plan for a database that does not exist yet (check mode on an empty host)."""
    after: dict[str, Any] = {f"settings.{name}": value for name, value in wish.settings.items()}
    after.update(roles.preview(wish.roles))
    after.update(limits.preview(wish.limits))
    return Plan(before={key: None for key in after}, after=after)
