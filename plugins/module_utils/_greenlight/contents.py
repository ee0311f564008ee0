# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a Greenlight holds, in open formats. Reads only, in the caller's snapshot.

Rows are read whole and picked from by name, because releases differ in columns (greenlight db/schema.rb). No password digest, session
token or other secret of an account is ever picked; access codes of rooms are, since they are the owner's own.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight import database
from ansible_collections.meet.coop.plugins.module_utils._greenlight.accounts import STATUS
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import Schema

if TYPE_CHECKING:
    import psycopg

TABLES = (
    "active_storage_attachments",
    "active_storage_blobs",
    "formats",
    "invitations",
    "meeting_options",
    "permissions",
    "recordings",
    "role_permissions",
    "roles",
    "room_meeting_options",
    "rooms",
    "rooms_configurations",
    "settings",
    "shared_accesses",
    "site_settings",
    "users",
)

USER_COLUMNS: Mapping[str, str] = {
    "id": "Greenlight's own id of the account (UUID)",
    "name": "name",
    "email": "mail address, with which the person signs in",
    "role": "name of the role, as in roles.json",
    "status": "active, pending (waits for approval) or banned (cannot sign in)",
    "verified": "yes when the mail address was confirmed",
    "language": "language of the pages",
    "external_id": "id at your own identity provider; empty for an account with a password",
    "rooms": "number of rooms the account owns",
    "created_at": "when the account was made (UTC)",
    "last_sign_in": "when the person last signed in (UTC); empty for never, or when not known",
}
"""Header of users.csv, and what the README says about each column."""

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Blob:
    """One uploaded file: where Active Storage keeps it, and what it is called in an export."""

    key: str
    path: str
    size: int
    md5: str | None
    service: str


@dataclass(frozen=True)
class Contents:
    """The documents of an export by file name, its uploads, and what the manifest says of the database."""

    documents: dict[str, bytes]
    blobs: list[Blob]
    schema: Schema
    data_migrations: list[str]
    tables: dict[str, int]
    postgresql: str
    fingerprint: str


def read(conn: psycopg.Connection[Any]) -> Contents:
    """Everything but the dump and the uploaded files, inside the caller's transaction. Raises DatabaseError."""
    schema = database.inspect(conn, TABLES)
    rows = {table: _rows(conn, table) for table in TABLES}
    tables, fingerprint = _fingerprint(conn)
    blobs = _blobs(rows)
    version = conn.execute("SELECT pg_catalog.current_setting('server_version')").fetchone()
    return Contents(
        documents={
            "users.csv": users_csv(rows),
            "rooms.json": _json(_rooms(rows, blobs)),
            "settings.json": _json(_settings(rows, blobs)),
            "roles.json": _json(_roles(rows)),
            "recordings.json": _json(_recordings(rows)),
        },
        blobs=list(blobs.values()),
        schema=schema,
        data_migrations=sorted(schema.data),
        tables=tables,
        postgresql=str(version[0]).split()[0] if version else "",
        fingerprint=fingerprint,
    )


def _rows(conn: psycopg.Connection[Any], table: str) -> list[dict[str, Any]]:
    """A table whole, in an order that does not change from run to run."""
    from psycopg.rows import dict_row

    if table not in TABLES:
        raise ValueError(table)
    with conn.cursor(row_factory=dict_row) as cursor:
        return sorted(cursor.execute(f"SELECT * FROM public.{table}").fetchall(), key=lambda row: str(row.get("id")))


def _fingerprint(conn: psycopg.Connection[Any]) -> tuple[dict[str, int], str]:
    """Number of rows of every plain table, and a digest that any changed row changes.

    A row goes through format(), which calls its type's own output function: a cast that the database's owner has made is never called.
    """
    from psycopg import sql

    counts: dict[str, int] = {}
    total = hashlib.sha256()
    names = conn.execute(
        """
        SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY c.relname
        """
    ).fetchall()
    for (name,) in names:
        found = conn.execute(
            sql.SQL(
                "SELECT count(*), coalesce(sum(('x' || substr(md5(format('%%s', t)), 1, 15))::bit(60)::bigint), 0)::numeric::varchar"
                " FROM public.{} t"
            ).format(sql.Identifier(name)),
            (),
        ).fetchone()
        counts[name] = int(found[0]) if found else 0
        total.update(f"{name}\0{found}\n".encode())
    return counts, total.hexdigest()


# -- documents


def users_csv(rows: Rows) -> bytes:
    """The accounts as CSV (RFC 4180, UTF-8), with a header."""
    roles = {role["id"]: role["name"] for role in rows["roles"]}
    owned: dict[Any, int] = {}
    for room in rows["rooms"]:
        owned[room["user_id"]] = owned.get(room["user_id"], 0) + 1
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(USER_COLUMNS))
    writer.writeheader()
    for user in sorted(rows["users"], key=lambda user: (str(user["email"]).lower(), str(user["id"]))):
        status = user["status"] or 0
        writer.writerow(
            {
                "id": user["id"],
                "name": user["name"],
                "email": user["email"],
                "role": roles.get(user["role_id"], ""),
                "status": STATUS.get(status, str(status)),
                "verified": "yes" if user["verified"] else "no",
                "language": user["language"],
                "external_id": user["external_id"] or "",
                "rooms": owned.get(user["id"], 0),
                "created_at": _time(user["created_at"]) or "",
                "last_sign_in": _time(user["last_login"]) or "",
            }
        )
    return out.getvalue().encode("utf-8", "surrogatepass")


def _rooms(rows: Rows, blobs: Mapping[Any, Blob]) -> list[dict[str, Any]]:
    mails = {user["id"]: user["email"] for user in rows["users"]}
    names = {option["id"]: option["name"] for option in rows["meeting_options"]}
    options: dict[Any, dict[str, Any]] = {}
    for row in rows["room_meeting_options"]:
        options.setdefault(row["room_id"], {})[names.get(row["meeting_option_id"], "?")] = row["value"]
    shared: dict[Any, list[str]] = {}
    for row in rows["shared_accesses"]:
        shared.setdefault(row["room_id"], []).append(mails.get(row["user_id"], ""))
    presentations = {place[1]: blob.path for place, blob in blobs.items() if (place[0], place[2]) == ("Room", "presentation")}
    told = []
    for room in sorted(rows["rooms"], key=lambda room: (str(mails.get(room["user_id"], "")).lower(), room["name"], room["friendly_id"])):
        own = dict(sorted(options.get(room["id"], {}).items()))
        codes = {key: own.pop(option, None) or None for key, option in _CODES.items()}
        told.append(
            {
                "name": room["name"],
                "friendly_id": room["friendly_id"],
                "path": f"/rooms/{room['friendly_id']}/join",
                "meeting_id": room.get("meeting_id"),
                "owner": mails.get(room["user_id"]),
                "shared_with": sorted(shared.get(room["id"], [])),
                "access_codes": codes,
                "options": own,
                "presentation": presentations.get(room["id"]),
                "created_at": _time(room["created_at"]) if "created_at" in room else None,
                "last_session": _time(room["last_session"]),
            }
        )
    return told


_CODES = {"moderator": "glModeratorAccessCode", "viewer": "glViewerAccessCode"}


def _settings(rows: Rows, blobs: Mapping[Any, Blob]) -> dict[str, Any]:
    names = {setting["id"]: setting["name"] for setting in rows["settings"]}
    options = {option["id"]: option["name"] for option in rows["meeting_options"]}
    site: dict[str, Any] = {}
    for row in sorted(rows["site_settings"], key=lambda row: (str(names.get(row["setting_id"])), row["provider"])):
        if row["provider"] == database.PROVIDER:
            site[names.get(row["setting_id"], "?")] = row["value"]
    return {
        "site": site,
        "room_defaults": {
            option["name"]: option["default_value"] for option in sorted(rows["meeting_options"], key=lambda row: str(row["name"]))
        },
        "room_configuration": {
            options.get(row["meeting_option_id"], "?"): row["value"]
            for row in sorted(rows["rooms_configurations"], key=lambda row: str(options.get(row["meeting_option_id"])))
            if row["provider"] == database.PROVIDER
        },
        "invitations": [
            {"email": row["email"], "name": row.get("name")} for row in sorted(rows["invitations"], key=lambda row: str(row["email"]))
        ],
        "images": sorted(blob.path for place, blob in blobs.items() if place[0] == "SiteSetting"),
    }


def _roles(rows: Rows) -> list[dict[str, Any]]:
    permissions = {permission["id"]: permission["name"] for permission in rows["permissions"]}
    values: dict[Any, dict[str, str]] = {}
    for row in rows["role_permissions"]:
        values.setdefault(row["role_id"], {})[permissions.get(row["permission_id"], "?")] = row["value"]
    return [
        {
            "name": role["name"],
            "provider": role["provider"],
            "color": role.get("color"),
            "accounts": sum(user["role_id"] == role["id"] for user in rows["users"]),
            "permissions": dict(sorted(values.get(role["id"], {}).items())),
        }
        for role in sorted(rows["roles"], key=lambda role: (role["provider"], role["name"]))
    ]


def _recordings(rows: Rows) -> list[dict[str, Any]]:
    rooms = {room["id"]: room["friendly_id"] for room in rows["rooms"]}
    formats: dict[Any, list[dict[str, Any]]] = {}
    for row in rows["formats"]:
        formats.setdefault(row["recording_id"], []).append({"type": row.get("recording_type"), "url": row.get("url")})
    return [
        {
            "record_id": row["record_id"],
            "name": row.get("name"),
            "room": rooms.get(row["room_id"]),
            "visibility": row["visibility"],
            "length_minutes": row["length"],
            "participants": row.get("participants"),
            "recorded_at": _time(row.get("recorded_at")),
            "formats": sorted(formats.get(row["id"], []), key=lambda one: (str(one["type"]), str(one["url"]))),
        }
        for row in sorted(rows["recordings"], key=lambda row: (str(row.get("recorded_at")), row["record_id"]))
    ]


# -- uploaded files


def _blobs(rows: Rows) -> dict[Any, Blob]:
    """Uploads by (record type, record id, name, blob id), each with a path of its own that people understand."""
    attachments: dict[Any, dict[str, Any]] = {row["blob_id"]: row for row in rows["active_storage_attachments"]}
    rooms = {room["id"]: room["friendly_id"] for room in rows["rooms"]}
    settings = {row["id"]: row["name"] for row in rows["settings"]}
    owners = {row["id"]: settings.get(row["setting_id"], "") for row in rows["site_settings"]}
    found: dict[Any, Blob] = {}
    taken: set[str] = set()
    for row in rows["active_storage_blobs"]:
        attachment = attachments.get(row["id"], {})
        kind, record, name = attachment.get("record_type"), attachment.get("record_id"), attachment.get("name")
        label = {"Room": ("presentations", rooms.get(record)), "User": ("avatars", record), "SiteSetting": ("site", owners.get(record))}
        folder, part = label.get(str(kind), ("other", None))
        path = "/".join(["files", folder, *([plain_name(str(part))] if part else []), plain_name(str(row.get("filename") or "file"))])
        if path.lower() in taken or not part:
            head, _slash, tail = path.rpartition("/")
            path = f"{head}/{plain_name(str(row['key']))}-{tail}"
        taken.add(path.lower())
        size = row.get("byte_size")
        found[kind, record, name, row["id"]] = Blob(
            str(row["key"]), path, int(size) if size is not None else -1, row.get("checksum"), str(row.get("service_name") or "local")
        )
    return dict(sorted(found.items(), key=lambda item: item[1].path))


def plain_name(text: str) -> str:
    """A file name that every system can have, whatever somebody called the upload: no separator, no control character, not hidden."""
    name = re.sub(r"[^\w.()+, -]", "_", text, flags=re.UNICODE).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    while len(stem.encode("utf-8")) > 120:
        stem = stem[:-1]
    suffix = suffix if len(suffix) <= 12 else suffix[:12]
    return (f"{stem}.{suffix}" if suffix else stem) or "file"


# -- helpers


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n").encode("utf-8", "surrogatepass")


def _time(value: datetime.datetime | None) -> str | None:
    """A time of Rails, which is UTC without saying so."""
    return None if value is None else value.strftime("%Y-%m-%dT%H:%M:%SZ")
