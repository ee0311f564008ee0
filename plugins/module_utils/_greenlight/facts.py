# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what one Greenlight holds, in figures. Reads only, in one consistent snapshot, and no secret.

Greenlight has no mark for a deleted account or room: it removes the row, so only what still exists is counted.
Recordings' length is in minutes, as BigBlueButton tells it (greenlight app/services/recording_creator.rb).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, limits
from ansible_collections.meet.coop.plugins.module_utils._greenlight.accounts import STATUS
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import NOW, PROVIDER, Login
from ansible_collections.meet.coop.plugins.module_utils._greenlight.settings import SETTINGS

if TYPE_CHECKING:
    import psycopg

TABLES = (
    "meeting_options",
    "permissions",
    "recordings",
    "role_permissions",
    "roles",
    "room_meeting_options",
    "rooms",
    "settings",
    "shared_accesses",
    "site_settings",
    "users",
)

_TIME = """pg_catalog.to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
PERSONAL_SETTINGS = ("role_mapping",)
"""Settings whose text may hold people's mail addresses."""


def read(login: Login, personal: bool = False) -> dict[str, Any]:
    """Everything about one database, as the module returns it. ``personal`` adds names and mail addresses.

    Raises DatabaseError.
    """
    with database.connect(login, "meet.coop greenlight_info") as conn:
        return database.snapshot(conn, lambda conn: _read(conn, personal))


def _read(conn: psycopg.Connection[Any], personal: bool) -> dict[str, Any]:
    schema = database.inspect(conn, TABLES)
    facts: dict[str, Any] = {
        "versions": {
            "release": schema.release,
            "schema": schema.newest_schema,
            "data": schema.newest_data,
            "unknown_migrations": list(schema.unknown),
        },
        "duplicates": duplicates(conn),
        "settings": _settings(conn, personal),
        "limits": _limits(conn),
        "users": _users(conn),
        "rooms": _rooms(conn),
        "shared_accesses": _value(conn, "SELECT count(*) FROM public.shared_accesses"),
        "recordings": _recordings(conn),
        "last_use": {
            "sign_in": _value(conn, f"SELECT {_TIME.format('max(last_login)')} FROM public.users"),
            "meeting": _value(conn, f"SELECT {_TIME.format('max(last_session)')} FROM public.rooms"),
        },
        "size_bytes": _value(conn, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"),
    }
    if personal:
        facts["people"] = _people(conn)
    return facts


def _value(conn: psycopg.Connection[Any], sql: str) -> Any:
    row = conn.execute(sql).fetchone()
    return row[0] if row else None


def _counts(conn: psycopg.Connection[Any], sql: str) -> dict[str, int]:
    """Rows of (text, number) as a dictionary."""
    return {str(key): int(number) for key, number in conn.execute(sql)}


def duplicates(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Natural keys that several rows hold where Greenlight expects one (it has no unique index over them)."""
    found = conn.execute(
        """
        SELECT 'site_settings', s.name || ', provider ' || v.provider, count(*)
          FROM public.site_settings v JOIN public.settings s ON s.id = v.setting_id GROUP BY s.name, v.provider HAVING count(*) > 1
        UNION ALL
        SELECT 'permissions', name, count(*) FROM public.permissions GROUP BY name HAVING count(*) > 1
        UNION ALL
        SELECT 'role_permissions', r.name || ', ' || p.name || ', provider ' || r.provider, count(*) FROM public.role_permissions x
          JOIN public.roles r ON r.id = x.role_id JOIN public.permissions p ON p.id = x.permission_id
         GROUP BY r.name, p.name, r.provider HAVING count(*) > 1
        UNION ALL
        SELECT 'room_meeting_options', o.name || ', room ' || t.friendly_id, count(*) FROM public.room_meeting_options x
          JOIN public.meeting_options o ON o.id = x.meeting_option_id JOIN public.rooms t ON t.id = x.room_id
         GROUP BY o.name, t.friendly_id HAVING count(*) > 1
        UNION ALL
        SELECT 'users', 'account ' || pg_catalog.min(id::text), count(*) FROM public.users
         GROUP BY pg_catalog.lower(email), provider HAVING count(*) > 1
         ORDER BY 1, 2
        """
    )
    return [{"table": table, "key": key, "rows": rows} for table, key, rows in found]


def _settings(conn: psycopg.Connection[Any], personal: bool) -> dict[str, str | None]:
    """Option name of greenlight_settings to stored text; None for a duplicate, because Greenlight then reads nothing either."""
    stored: dict[str, list[str]] = {}
    for name, value in conn.execute(
        """
        SELECT s.name, v.value FROM public.site_settings v JOIN public.settings s ON s.id = v.setting_id WHERE v.provider = %s
        """,
        (PROVIDER,),
    ):
        stored.setdefault(name, []).append(value)
    told: dict[str, str | None] = {}
    for option, setting in SETTINGS.items():
        values = stored.get(setting.name)
        if values and (personal or option not in PERSONAL_SETTINGS):
            told[option] = values[0] if len(values) == 1 else None
    return told


def _number(text: str | None) -> int | str | None:
    """Digits as a number, anything else as it is stored."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else text


def _limits(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    by_role: dict[str, list[str | None]] = {}
    for role, value in conn.execute(
        """
        SELECT r.name, x.value FROM public.roles r
          LEFT JOIN (SELECT rp.role_id, rp.value FROM public.role_permissions rp
                       JOIN public.permissions p ON p.id = rp.permission_id AND p.name = %s) x ON x.role_id = r.id
         WHERE r.provider = %s ORDER BY r.name
        """,
        (limits.ROOM_LIMIT, PROVIDER),
    ):
        by_role.setdefault(role, []).append(value)
    told: dict[str, Any] = {"rooms_by_role": {role: _number(rows[0]) if len(rows) == 1 else None for role, rows in by_role.items()}}
    for key, name in (("meeting_minutes", limits.DURATION), ("participants", limits.PARTICIPANTS)):
        row = conn.execute(
            """
            SELECT o.default_value, (SELECT count(*) FROM public.rooms t WHERE NOT EXISTS (
                       SELECT 1 FROM public.room_meeting_options x
                        WHERE x.room_id = t.id AND x.meeting_option_id = o.id AND x.value IS NOT DISTINCT FROM o.default_value))
              FROM public.meeting_options o WHERE o.name = %s
            """,
            (name,),
        ).fetchone()
        told[key] = _number(row[0]) if row else None
        told[f"rooms_without_{key}"] = row[1] if row else 0
    return told


def _users(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    row = conn.execute(
        f"""
        SELECT count(*), count(*) FILTER (WHERE coalesce(verified, false)), count(*) FILTER (WHERE external_id IS NOT NULL),
               count(*) FILTER (WHERE session_token IS NULL), count(*) FILTER (WHERE session_expiry > {NOW}) FROM public.users
        """
    ).fetchone()
    total, verified, external, tokenless, signed_in = row if row else (0, 0, 0, 0, 0)
    by_status = _counts(conn, "SELECT coalesce(status, 0), count(*) FROM public.users GROUP BY 1")
    named = {name: by_status.pop(str(number), 0) for number, name in STATUS.items()}
    return {
        "total": total,
        "by_role": _counts(
            conn,
            """
            SELECT coalesce(r.name, ''), count(*) FROM public.users u LEFT JOIN public.roles r ON r.id = u.role_id GROUP BY 1 ORDER BY 1
            """,
        ),
        "by_status": {**named, **by_status},
        "verified": verified,
        "external": external,
        "signed_in": signed_in,
        "without_session_token": tokenless,
    }


def _rooms(conn: psycopg.Connection[Any]) -> dict[str, int]:
    row = conn.execute("SELECT count(*), count(*) FILTER (WHERE online), count(DISTINCT user_id) FROM public.rooms").fetchone()
    return dict(zip(("total", "online", "owners"), row or (0, 0, 0), strict=True))


def _recordings(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    by_visibility: dict[str, dict[str, int]] = {}
    for visibility, number, minutes in conn.execute(
        "SELECT visibility, count(*), coalesce(sum(length), 0)::bigint FROM public.recordings GROUP BY 1 ORDER BY 1"
    ):
        by_visibility[visibility] = {"total": number, "minutes": minutes}
    return {
        "total": sum(entry["total"] for entry in by_visibility.values()),
        "minutes": sum(entry["minutes"] for entry in by_visibility.values()),
        "by_visibility": by_visibility,
    }


def _people(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    people = []
    for name, email, role, status, verified, external, sign_in, meeting in conn.execute(
        f"""
        SELECT u.name, u.email, r.name, coalesce(u.status, 0), coalesce(u.verified, false), u.external_id IS NOT NULL,
               {_TIME.format("u.last_login")},
               (SELECT {_TIME.format("max(t.last_session)")} FROM public.rooms t WHERE t.user_id = u.id)
          FROM public.users u LEFT JOIN public.roles r ON r.id = u.role_id ORDER BY u.email, u.id
        """
    ):
        people.append(
            {
                "name": name,
                "email": email,
                "role": role,
                "status": STATUS.get(status, str(status)),
                "verified": verified,
                "external": external,
                "last_use": {"sign_in": sign_in, "meeting": meeting},
            }
        )
    return people
