# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what makes limits bind inside one Greenlight.

* Room limit: ``role_permissions`` of permission RoomLimit, per role (greenlight app/services/permissions_checker.rb). Digits
  only: ``'true'`` there would mean "no limit".
* ManageRoles ``'false'`` on every role, or a member's administrator could raise the room limit again.
* Meeting options: Greenlight sends BigBlueButton every row of ``meeting_options`` that the room has a value for, unless its
  name begins with gl (greenlight app/services/room_settings_getter.rb). ``duration`` and ``maxParticipants`` get no row in
  ``rooms_configurations``: without one neither owner nor administrator has a way to change them
  (greenlight app/controllers/api/v1/room_settings_controller.rb).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import NOW, PROVIDER, Plan, exactly_one

if TYPE_CHECKING:
    import psycopg

TABLES = ("meeting_options", "permissions", "role_permissions", "roles", "room_meeting_options", "rooms", "rooms_configurations")

ROOM_LIMIT = "RoomLimit"
MANAGE_ROLES = "ManageRoles"
DURATION = "duration"
PARTICIPANTS = "maxParticipants"

VISIBILITIES = '["Published", "Unpublished", "Protected", "Public", "Public/Protected"]'
_CUSTOM = {
    "CreateRoom": "true",
    "SharedList": "true",
    "CanRecord": "true",
    "ManageUsers": "false",
    "ManageRooms": "false",
    "ManageRecordings": "false",
    "ManageSiteSettings": "false",
    MANAGE_ROLES: "false",
    ROOM_LIMIT: "100",
    "EmailOnSignup": "false",
    "AccessToVisibilities": VISIBILITIES,
}
_MANAGER = {name: "true" for name in _CUSTOM if name.startswith("Manage") or name == "EmailOnSignup"}
PERMISSIONS: Mapping[str, Mapping[str, str]] = {
    "Administrator": {**_CUSTOM, **_MANAGER},
    "User": _CUSTOM,
    "Guest": {**_CUSTOM, "CreateRoom": "false"},
}
"""What a missing row of a seeded role is given (greenlight db/data); any other role gets what app/models/role.rb gives it."""

OWN_OPTIONS = frozenset({"record", "muteOnStart", "guestPolicy", "serverTag", "serverTagRequired"})
"""Greenlight's own meeting options beside those that begin with gl."""
_COMPUTED = """
    name meetingID moderatorOnlyMessage loginURL logoutURL meta_endCallbackUrl meta_bbb-recording-ready-url meta_bbb-origin
    meta_bbb-origin-server-name meta_bbb-origin-version meta_bbb-context-name meta_bbb-context-id meta_server-tag
    """
COMPUTED_OPTIONS = frozenset(_COMPUTED.split())
"""What Greenlight computes for each meeting (greenlight app/services/meeting_starter.rb)."""
_RESERVED = frozenset({"checksum", "attendeePW", "moderatorPW"})

CONFIGURATIONS = ("true", "false", "optional", "default_enabled")
"""Values the model allows (greenlight app/models/rooms_configuration.rb)."""


@dataclass(frozen=True)
class Limits:
    """What shall hold. None and absent keys are left alone."""

    rooms: int | None = None
    """Rooms an account may own, for every role without its own number."""
    rooms_by_role: Mapping[str, int] = field(default_factory=dict)
    lock_roles: bool = False
    permissions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Permissions by role, and for each role named here all rows that are missing."""
    options: Mapping[str, str | None] = field(default_factory=dict)
    """Meeting options by BigBlueButton's name; None removes the option from all rooms."""
    configurations: Mapping[str, str] = field(default_factory=dict)
    """Room configuration of Greenlight's own options."""
    record: bool | None = None

    @property
    def empty(self) -> bool:
        return not (
            self.rooms is not None or self.rooms_by_role or self.lock_roles or self.permissions or self.options or self.configurations
        ) and (self.record is None)


@dataclass
class RoomCount:
    """How the rooms stand to one meeting option."""

    missing: int = 0
    stale: int = 0
    rows: int = 0
    duplicated: int = 0


@dataclass
class ObservedLimits:
    roles: dict[str, Any] = field(default_factory=dict)
    permissions: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    role_permissions: dict[tuple[str, str], list[tuple[Any, Any]]] = field(default_factory=dict)
    options: dict[str, tuple[Any, str | None]] = field(default_factory=dict)
    configurations: dict[str, list[tuple[Any, str, str]]] = field(default_factory=dict)
    """Option name to rows of (id, provider, value), all providers."""
    rooms: int = 0
    counts: dict[str, RoomCount] = field(default_factory=dict)


def option_problem(name: str, value: object) -> str | None:
    """Why this meeting option cannot be set, or None."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.\-]*", name):
        return "is no name of a BigBlueButton create parameter"
    if name.lower().startswith("gl"):
        return "begins with gl: Greenlight keeps such options for itself and never sends them"
    if name in OWN_OPTIONS:
        return "is Greenlight's own option, set by room owners: use rooms_configurations to force or forbid it"
    if name in COMPUTED_OPTIONS or name in _RESERVED:
        return "is computed by Greenlight for each meeting and cannot be set"
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        return "must be one text, number or boolean"
    if name in (DURATION, PARTICIPANTS) and (isinstance(value, bool) or not re.fullmatch(r"[0-9]+", str(value), re.ASCII)):
        return f"must be a whole number of digits only, not {value!r}"
    if "\0" in str(value):
        return "must not hold a NUL character"
    return None


def observe(conn: psycopg.Connection[Any], limits: Limits) -> ObservedLimits:
    """Read everything the limits touch, in six small queries whatever the number of rooms."""
    seen = ObservedLimits()
    names = list(limits.options)
    for role_id, name in conn.execute("SELECT id, name FROM public.roles WHERE provider = %s ORDER BY name", (PROVIDER,)):
        seen.roles[name] = role_id
    for permission_id, name in conn.execute("SELECT id, name FROM public.permissions ORDER BY created_at, id"):
        seen.permissions.setdefault(name, []).append((permission_id, name))
    for role, permission, row_id, value in conn.execute(
        """
        SELECT r.name, p.name, rp.id, rp.value FROM public.role_permissions rp
          JOIN public.roles r ON r.id = rp.role_id JOIN public.permissions p ON p.id = rp.permission_id
         WHERE r.provider = %s ORDER BY rp.created_at, rp.id
        """,
        (PROVIDER,),
    ):
        seen.role_permissions.setdefault((role, permission), []).append((row_id, value))
    for option_id, name, default in conn.execute("SELECT id, name, default_value FROM public.meeting_options"):
        seen.options[name] = (option_id, default)
    for name, row_id, provider, value in conn.execute(
        """
        SELECT o.name, c.id, c.provider, c.value FROM public.rooms_configurations c
          JOIN public.meeting_options o ON o.id = c.meeting_option_id ORDER BY c.provider, c.id
        """
    ):
        seen.configurations.setdefault(name, []).append((row_id, provider, value))
    row = conn.execute("SELECT count(*) FROM public.rooms").fetchone()
    seen.rooms = row[0] if row else 0
    if names:
        for name, rows, stale, missing, duplicated in conn.execute(
            """
            WITH wanted AS (SELECT * FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS w(name, value)),
            held AS (
                SELECT o.name, m.room_id, count(*) AS rows, count(*) FILTER (WHERE m.value IS DISTINCT FROM w.value) AS stale
                  FROM wanted w JOIN public.meeting_options o ON o.name = w.name
                  JOIN public.room_meeting_options m ON m.meeting_option_id = o.id GROUP BY o.name, m.room_id)
            SELECT w.name, coalesce(sum(h.rows), 0)::int, coalesce(sum(h.stale), 0)::int,
                   (SELECT count(*) FROM public.rooms r WHERE NOT EXISTS (
                        SELECT 1 FROM held x WHERE x.name = w.name AND x.room_id = r.id))::int,
                   (count(*) FILTER (WHERE h.rows > 1))::int
              FROM wanted w LEFT JOIN held h ON h.name = w.name GROUP BY w.name
            """,
            (names, [limits.options[name] for name in names]),
        ):
            seen.counts[name] = RoomCount(missing=missing, stale=stale, rows=rows, duplicated=duplicated)
    return seen


def check(seen: ObservedLimits, limits: Limits) -> list[str]:
    """Everything that makes a plan impossible, one sentence each."""
    problems: list[str] = []
    touched = [ROOM_LIMIT] if limits.rooms is not None or limits.rooms_by_role else []
    if limits.lock_roles:
        touched.append(MANAGE_ROLES)
    touched += sorted({name for granted in limits.permissions.values() for name in granted} - set(touched))
    if limits.permissions and ROOM_LIMIT not in touched:
        touched.append(ROOM_LIMIT)
    for name in touched:
        if name not in seen.permissions:
            problems.append(f"table permissions has no row {name}: Greenlight's data migrations are not finished or were tampered with")
    if touched:
        for name, rows in seen.permissions.items():
            exactly_one(problems, "permissions", f"permission {name}", rows, "name")
        for (role, permission), rows in seen.role_permissions.items():
            exactly_one(problems, "role_permissions", f"role {role}, permission {permission}", rows)
    for role in limits.rooms_by_role:
        if role not in seen.roles:
            problems.append(f"rooms_by_role: there is no role {role!r}; there are {', '.join(seen.roles) or 'none'}")
    for name, count in seen.counts.items():
        if count.duplicated:
            problems.append(
                f"table room_meeting_options has several rows of option {name} for {count.duplicated} room(s)."
                " Keep one of each: DELETE FROM room_meeting_options a USING room_meeting_options b, meeting_options o"
                f" WHERE o.name = '{name}' AND a.meeting_option_id = o.id AND b.meeting_option_id = o.id AND a.room_id = b.room_id"
                " AND a.id > b.id;"
            )
    for name in _wanted_configurations(seen, limits):
        if name not in seen.options:
            problems.append(f"rooms_configurations: this Greenlight has no meeting option {name!r}")
    return problems


def _wanted_configurations(seen: ObservedLimits, limits: Limits) -> dict[str, str]:
    wanted = dict(limits.configurations)
    if limits.record is False:
        wanted["record"] = "false"
    elif limits.record is True and "record" not in wanted:
        now = next((value for _id, provider, value in seen.configurations.get("record", []) if provider == PROVIDER), None)
        if now in (None, "false") or now not in CONFIGURATIONS:
            wanted["record"] = "default_enabled"
    return wanted


def diff(seen: ObservedLimits, limits: Limits, plan: Plan) -> None:
    """Add to ``plan`` what differs. Call ``check`` first."""
    _diff_permissions(seen, limits, plan)
    for name, value in sorted(limits.options.items()):
        _diff_option(seen, name, value, plan)
    for name, value in sorted(_wanted_configurations(seen, limits).items()):
        rows = [(row_id, have) for row_id, provider, have in seen.configurations.get(name, []) if provider == PROVIDER]
        key = f"rooms_configurations.{name}"
        if not rows:
            plan.add(
                key,
                None,
                value,
                f"""
                INSERT INTO public.rooms_configurations (id, meeting_option_id, provider, value, created_at, updated_at)
                SELECT pg_catalog.gen_random_uuid(), o.id, %(provider)s, %(value)s, {NOW}, {NOW}
                  FROM public.meeting_options o WHERE o.name = %(name)s
                """,
                {"provider": PROVIDER, "value": value, "name": name},
            )
        elif rows[0][1] != value:
            sql = f"UPDATE public.rooms_configurations SET value = %(value)s, updated_at = {NOW} WHERE id = %(id)s"
            plan.add(key, rows[0][1], value, sql, {"value": value, "id": rows[0][0]})


def _diff_permissions(seen: ObservedLimits, limits: Limits, plan: Plan) -> None:
    limited = limits.rooms is not None or bool(limits.rooms_by_role)
    if not limited and not limits.lock_roles and not limits.permissions:
        return
    for role, role_id in seen.roles.items():
        forced: dict[str, str] = dict(limits.permissions.get(role, {}))
        number = limits.rooms_by_role.get(role, limits.rooms)
        if number is not None:
            forced[ROOM_LIMIT] = str(number)
        if limits.lock_roles:
            forced[MANAGE_ROLES] = "false"
        for permission, default in PERMISSIONS.get(role, _CUSTOM).items():
            if permission not in seen.permissions:
                continue
            rows = seen.role_permissions.get((role, permission), [])
            key = f"role_permissions.{role}.{permission}"
            if not rows:
                value = forced.get(permission, default)
                plan.add(
                    key,
                    None,
                    value,
                    f"""
                    INSERT INTO public.role_permissions (id, role_id, permission_id, value, created_at, updated_at)
                    SELECT pg_catalog.gen_random_uuid(), %(role)s, %(permission)s, %(value)s, {NOW}, {NOW}
                     WHERE NOT EXISTS (
                         SELECT 1 FROM public.role_permissions x WHERE x.role_id = %(role)s AND x.permission_id = %(permission)s)
                    """,
                    {"role": role_id, "permission": seen.permissions[permission][0][0], "value": value},
                )
            elif permission in forced and rows[0][1] != forced[permission]:
                sql = f"UPDATE public.role_permissions SET value = %(value)s, updated_at = {NOW} WHERE id = %(id)s"
                plan.add(key, rows[0][1], forced[permission], sql, {"value": forced[permission], "id": rows[0][0]})


def _diff_option(seen: ObservedLimits, name: str, value: str | None, plan: Plan) -> None:
    known = seen.options.get(name)
    count = seen.counts.get(name, RoomCount())
    configured = seen.configurations.get(name, [])
    here = "(SELECT o.id FROM public.meeting_options o WHERE o.name = %(name)s)"
    if configured:
        plan.add(
            f"rooms_configurations.{name}",
            ", ".join(f"{provider}: {have}" for _id, provider, have in configured),
            None,
            f"DELETE FROM public.rooms_configurations WHERE meeting_option_id = {here}",
            {"name": name},
            len(configured),
        )
    if value is None:
        if known is None:
            return
        if count.rows:
            sql = f"DELETE FROM public.room_meeting_options WHERE meeting_option_id = {here}"
            plan.add(f"rooms.{name}.set", count.rows, 0, sql, {"name": name}, None)
        sql = "DELETE FROM public.meeting_options WHERE id = %(id)s"
        plan.add(f"meeting_options.{name}", known[1], None, sql, {"id": known[0]})
        return
    if known is None:
        sql = f"""
            INSERT INTO public.meeting_options (id, name, default_value, created_at, updated_at)
            VALUES (pg_catalog.gen_random_uuid(), %(name)s, %(value)s, {NOW}, {NOW})
            """
        plan.add(f"meeting_options.{name}", None, value, sql, {"name": name, "value": value})
    elif known[1] != value:
        sql = f"UPDATE public.meeting_options SET default_value = %(value)s, updated_at = {NOW} WHERE id = %(id)s"
        plan.add(f"meeting_options.{name}", known[1], value, sql, {"value": value, "id": known[0]})
    if count.missing:
        sql = f"""
            INSERT INTO public.room_meeting_options (id, room_id, meeting_option_id, value, created_at, updated_at)
            SELECT pg_catalog.gen_random_uuid(), r.id, o.id, %(value)s, {NOW}, {NOW}
              FROM public.rooms r JOIN public.meeting_options o ON o.name = %(name)s
             WHERE NOT EXISTS (SELECT 1 FROM public.room_meeting_options x WHERE x.room_id = r.id AND x.meeting_option_id = o.id)
            """
        plan.add(f"rooms.{name}.missing", count.missing, 0, sql, {"name": name, "value": value}, None)
    if count.stale:
        sql = f"""
            UPDATE public.room_meeting_options SET value = %(value)s, updated_at = {NOW}
             WHERE meeting_option_id = {here} AND value IS DISTINCT FROM %(value)s
            """
        plan.add(f"rooms.{name}.stale", count.stale, 0, sql, {"name": name, "value": value}, None)


def preview(limits: Limits) -> dict[str, Any]:
    """What a database that does not exist yet will be given."""
    after: dict[str, Any] = {}
    if limits.rooms is not None:
        after["role_permissions.*.RoomLimit"] = str(limits.rooms)
    for role, number in limits.rooms_by_role.items():
        after[f"role_permissions.{role}.RoomLimit"] = str(number)
    if limits.lock_roles:
        after["role_permissions.*.ManageRoles"] = "false"
    for role, granted in limits.permissions.items():
        after.update({f"role_permissions.{role}.{name}": value for name, value in granted.items()})
    for name, value in limits.options.items():
        if value is not None:
            after[f"meeting_options.{name}"] = value
    after.update({f"rooms_configurations.{name}": value for name, value in limits.configurations.items()})
    if limits.record is False:
        after["rooms_configurations.record"] = "false"
    return after


def lock(conn: psycopg.Connection[Any], limits: Limits) -> None:
    """Let no room be made while existing rooms get their rows.

    Greenlight makes a room and its option rows in one transaction, room first, and gives it a row for each meeting option it
    then sees (greenlight app/models/room.rb). A transaction already past its INSERT is waited for, and back-filled; one that
    comes later waits for us, and sees our meeting option. Reading is not held up.
    """
    if limits.options:
        conn.execute("LOCK TABLE public.rooms IN SHARE ROW EXCLUSIVE MODE")
