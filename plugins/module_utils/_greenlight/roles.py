# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the roles of one Greenlight as desired state: observe, diff.

A role is a row of ``roles`` and one row of ``role_permissions`` for each permission: a missing one is a 500 in Greenlight
(app/services/permissions_checker.rb), so ``limits`` gives a new role all of them. Names are unique whatever their capitals
(greenlight app/models/role.rb). Accounts refer to their role, so a role that somebody has cannot go.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import NOW, PROVIDER, Plan, Step
from ansible_collections.meet.coop.plugins.module_utils._greenlight.limits import MANAGE_ROLES, PERMISSIONS

if TYPE_CHECKING:
    import psycopg

TABLES = ("roles", "role_permissions", "users")

SEEDED = tuple(PERMISSIONS)
SUPER_ROLE = "SuperAdmin"
GRANTS = (
    "CreateRoom",
    "SharedList",
    "CanRecord",
    "ManageUsers",
    "ManageRooms",
    "ManageRecordings",
    "ManageSiteSettings",
    MANAGE_ROLES,
    "EmailOnSignup",
)
"""Permissions that are yes or no (greenlight db/data); RoomLimit is a number, AccessToVisibilities a list."""
_COLOR = re.compile(r"#[0-9a-f]{6}")
_DOMAIN = re.compile(r"[@.](?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_NAME = re.compile(r"[^\s,=\x00-\x1f\x7f](?:[^,=\x00-\x1f\x7f]*[^\s,=\x00-\x1f\x7f])?")


@dataclass(frozen=True)
class Role:
    """One role as it shall be. What is None or not in ``permissions`` is left alone."""

    name: str
    color: str | None = None
    present: bool = True
    rooms: int | None = None
    permissions: Mapping[str, str] = field(default_factory=dict)
    mail_domains: tuple[str, ...] | None = None
    """Ends of addresses whose people get the role at sign-up."""


@dataclass
class Found:
    """A row of ``roles``."""

    id: Any
    name: str
    color: str
    users: int


@dataclass
class ObservedRoles:
    rows: dict[str, list[Found]] = field(default_factory=dict)
    """Lower-case name to rows."""
    default: list[str] = field(default_factory=list)
    """Values of the setting DefaultRole."""
    mapped: frozenset[str] = frozenset()
    """Roles that the setting RoleMapping names."""


def desired(roles: Iterable[Mapping[str, Any]], problems: list[str], lock_roles: bool) -> tuple[Role, ...]:
    """The roles wished for; what is wrong with them goes to ``problems``, one sentence each."""
    wanted: list[Role] = []
    seen: set[str] = set()
    for index, entry in enumerate(roles):
        name = str(entry.get("name") or "")
        where = f"roles[{index}] ({name})" if _NAME.fullmatch(name) else f"roles[{index}]"
        state = entry.get("state") or "present"
        seeded = next((one for one in SEEDED if one.lower() == name.lower()), None)
        if not _NAME.fullmatch(name) or len(name) > 255:
            problems.append(f"{where}: name must be one line without ',' and '=', not {name[:60]!r}")
        if name.lower() == SUPER_ROLE.lower():
            problems.append(f"{where}: SuperAdmin passes every limit of the instance and is not kept here")
        elif seeded and name != seeded:
            problems.append(f"{where}: differs from Greenlight's own role only in its capitals; write {seeded}")
        elif seeded and state == "absent":
            problems.append(f"{where}: is Greenlight's own and cannot be removed")
        if name.lower() in seen:
            problems.append(f"{where}: is named twice")
        seen.add(name.lower())
        color = str(entry["color"]).lower() if entry.get("color") else None
        if color is not None and not _COLOR.fullmatch(color):
            problems.append(f"{where}: color must be one such as #467fcf, not {color!r}")
        rooms = entry.get("rooms_per_account")
        if rooms is not None and (isinstance(rooms, bool) or not isinstance(rooms, int) or rooms < 0):
            problems.append(f"{where}: rooms_per_account must be a whole number, 0 or more, not {rooms!r}")
            rooms = None
        permissions: dict[str, str] = {}
        for key, value in (entry.get("permissions") or {}).items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if key not in GRANTS:
                problems.append(f"{where}: there is no permission {key!r} that can be granted; there are {', '.join(GRANTS)}")
            elif text not in ("true", "false"):
                problems.append(f"{where}: permission {key} must be true or false, not {value!r}")
            elif key == MANAGE_ROLES and text == "true" and lock_roles:
                problems.append(f"{where}: ManageRoles contradicts lock_roles: whoever has it can raise every limit")
            else:
                permissions[key] = text
        domains = entry.get("mail_domains")
        if domains is not None:
            domains = tuple(mail_domain(str(domain)) for domain in domains)
            wrong = [domain for domain in domains if not _DOMAIN.fullmatch(domain)]
            if wrong:
                problems.append(f"{where}: mail_domains must be ones such as board.example.org, not {', '.join(wrong)[:100]!r}")
        wanted.append(Role(name, color, state == "present", rooms, permissions, domains))
    return tuple(wanted)


def mail_domain(text: str) -> str:
    """The end of an address at a domain. Greenlight compares ends: without @ evil-example.org would match example.org."""
    text = text.strip().lower()
    return text if text.startswith(("@", ".")) else "@" + text


def mapping(roles: Iterable[Role]) -> str | None:
    """The setting RoleMapping (greenlight app/services/user_creator.rb); None when no role says anything of mail domains."""
    wanted = list(roles)
    if all(role.mail_domains is None for role in wanted):
        return None
    return ",".join(f"{role.name}={domain}" for role in wanted if role.present for domain in role.mail_domains or ())


def observe(conn: psycopg.Connection[Any]) -> ObservedRoles:
    """Read the roles of the instance, how many accounts have each, and which of them sign-up refers to."""
    seen = ObservedRoles()
    for row in conn.execute(
        """
        SELECT r.id, r.name, r.color, (SELECT count(*) FROM public.users u WHERE u.role_id = r.id)
          FROM public.roles r WHERE r.provider = %s ORDER BY r.name, r.id
        """,
        (PROVIDER,),
    ):
        found = Found(*row)
        seen.rows.setdefault(found.name.lower(), []).append(found)
    for name, value in conn.execute(
        """
        SELECT s.name, v.value FROM public.site_settings v JOIN public.settings s ON s.id = v.setting_id
         WHERE v.provider = %s AND s.name IN ('DefaultRole', 'RoleMapping')
        """,
        (PROVIDER,),
    ):
        if name == "DefaultRole":
            seen.default.append(value)
        else:
            seen.mapped |= {rule.partition("=")[0] for rule in value.split(",") if rule}
    return seen


def default_color(name: str) -> str:
    """A colour for a role without one, the same on every instance; neither too dark nor too light to be read on white."""
    return "#" + "".join(f"{48 + byte % 128:02x}" for byte in hashlib.sha256(name.encode()).digest()[:3])


def diff(seen: ObservedRoles, roles: Iterable[Role], settings: Mapping[str, str], plan: Plan, known: dict[str, Any]) -> list[str]:
    """Add to ``plan`` what differs, and to ``known`` (name to id) what that makes and removes; what makes a plan impossible.

    ``settings`` are the site settings that the same run writes.
    """
    problems: list[str] = []
    for role in roles:
        rows = seen.rows.get(role.name.lower(), [])
        other = next((found.name for found in rows if found.name != role.name), None)
        if other is not None:
            problems.append(f"role {role.name}: there is a role {other!r} already, which differs in its capitals only; write that name")
        elif role.present and not rows:
            new = uuid.uuid4()
            color = role.color or default_color(role.name)
            sql = f"""
                INSERT INTO public.roles (id, name, color, provider, created_at, updated_at)
                VALUES (%(id)s, %(name)s, %(color)s, %(provider)s, {NOW}, {NOW})
                """
            plan.add(f"roles.{role.name}", None, color, sql, {"id": new, "name": role.name, "color": color, "provider": PROVIDER})
            known[role.name] = new
        elif role.present:
            if role.color is not None and rows[0].color != role.color:
                sql = f"UPDATE public.roles SET color = %(color)s, updated_at = {NOW} WHERE id = %(id)s"
                plan.add(f"roles.{role.name}", rows[0].color, role.color, sql, {"color": role.color, "id": rows[0].id})
        elif rows:
            problems += _plan_removal(rows[0], seen, settings, plan)
            known.pop(role.name, None)
    ordered = dict(sorted(known.items()))
    known.clear()
    known.update(ordered)
    return problems


def _plan_removal(row: Found, seen: ObservedRoles, settings: Mapping[str, str], plan: Plan) -> list[str]:
    """Plan the removal of a role, or say why it has to stay."""
    problems: list[str] = []
    if row.users:
        problems.append(f"role {row.name}: {row.users} account(s) have it; give them another role before it is removed")
    if settings.get("DefaultRole") == row.name or (row.name in seen.default and "DefaultRole" not in settings):
        problems.append(f"role {row.name}: who signs up gets it (default_role); choose another one before it is removed")
    mapped = {rule.partition("=")[0] for rule in settings["RoleMapping"].split(",")} if "RoleMapping" in settings else seen.mapped
    if row.name in mapped:
        problems.append(f"role {row.name}: people of some mail domains get it (role_mapping); end that before it is removed")
    if not problems:
        # No foreign key cascades: permissions first.
        plan.steps.append(Step("DELETE FROM public.role_permissions WHERE role_id = %(id)s", {"id": row.id}))
        plan.add(f"roles.{row.name}", row.color, None, "DELETE FROM public.roles WHERE id = %(id)s", {"id": row.id})
    return problems


def preview(roles: Iterable[Role]) -> dict[str, Any]:
    """What a database that does not exist yet will be given."""
    return {
        f"roles.{role.name}": role.color or default_color(role.name)
        for role in roles
        if role.present and (role.color or role.name not in SEEDED)
    }
