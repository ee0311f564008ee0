# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, roles, permissions and site settings: the rules of greenlight app/models and app/services."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets
import string
import sys
import typing as t
import uuid

from . import config
from .db import Connection, Row, now

PROVIDER = "greenlight"
ALPHANUMERIC = string.ascii_letters + string.digits
# greenlight app/models/user.rb: password and e-mail formats
PASSWORD = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[`@%~!#£$\\^&*()\]\[+={}/|:;\"'<>\-,.?_ ]).{8,}", re.ASCII)
EMAIL = re.compile(r"[\w\-.+]+@[\w\-.]+\.[a-z]+", re.ASCII | re.IGNORECASE)
STATUS = {"active": 0, "pending": 1, "banned": 2}
STATUS_NAME = {number: name for name, number in STATUS.items()}
VISIBILITIES = '["Published", "Unpublished", "Protected", "Public", "Public/Protected"]'


class RecordInvalid(Exception):
    """Rails' save! or update! on an invalid record."""


class RecordNotFound(Exception):
    """Rails' find or find_by! without a row."""


class ServerError(Exception):
    """Stands for any exception upstream's code would run into (NoMethodError on nil and the like)."""


def random_text(length: int) -> str:
    """SecureRandom.alphanumeric."""
    return "".join(secrets.choice(ALPHANUMERIC) for _other in range(length))


def digest(token: str) -> str:
    """greenlight app/models/user.rb generate_digest."""
    return hashlib.sha256(token.encode()).hexdigest()


def as_uuid(value: t.Any) -> str | None:
    """Rails casts what is no UUID to nil, which matches no row."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        return None


def blank(value: t.Any) -> bool:
    """Ruby's blank?."""
    return (
        value is None or value is False or (isinstance(value, str) and not value.strip()) or (isinstance(value, (list, dict)) and not value)
    )


def text(value: t.Any) -> str:
    """Ruby's to_s of a JSON value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else text(item) for item in value) + "]"
    return str(value)


# -- site settings and roles


def setting(db: Connection, names: t.Any, provider: str = PROVIDER) -> t.Any:
    """greenlight app/services/setting_getter.rb: None for the whole query unless as many rows are found as names were asked for."""
    wanted = names if isinstance(names, list) else [] if names is None else [names]
    rows = db.all(
        """SELECT s.name, x.id, x.value FROM site_settings x JOIN settings s ON s.id = x.setting_id
        WHERE x.provider = %s AND s.name = ANY(%s)""",
        provider,
        [text(name) for name in wanted],
    )
    if len(rows) != len(wanted):
        return None
    values: dict[str, t.Any] = {}
    for row in rows:
        values[row["name"]] = _image_path(db, row) or {"true": True, "false": False}.get(row["value"], row["value"])
    return next(iter(values.values())) if len(values) == 1 else values


def _image_path(db: Connection, row: Row) -> str | None:
    """An attached image wins over the value (same file)."""
    if row["name"] != "BrandingImage":
        return None
    blob = attached(db, "SiteSetting", row["id"], "image")
    return blob_path(blob) if blob else None


def attached(db: Connection, record_type: str, record_id: str, name: str) -> Row | None:
    """The blob attached under that name (Active Storage)."""
    return db.one(
        """SELECT b.* FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id
        WHERE a.record_type = %s AND a.record_id = %s AND a.name = %s""",
        record_type,
        record_id,
        name,
    )


def blob_path(blob: Row) -> str:
    """Path of the redirecting Active Storage URL."""
    from urllib.parse import quote

    from .cookies import seal

    return f"{config.relative_root()}/rails/active_storage/blobs/redirect/{seal('blob', {'id': blob['id']})}/{quote(blob['filename'])}"


def role(db: Connection, name: str | None, provider: str = PROVIDER) -> Row | None:
    """Role.find_by name and provider."""
    return db.one("SELECT * FROM roles WHERE name = %s AND provider = %s", name, provider)


def default_role(db: Connection, provider: str) -> Row | None:
    """greenlight app/controllers/application_controller.rb default_role."""
    return role(db, text(setting(db, "DefaultRole", provider)), provider) or role(db, "User", provider)


def permission(db: Connection, role_id: str | None, name: str) -> str | None:
    """Value of the first matching row; None without one."""
    return t.cast(
        "str | None",
        db.value(
            """SELECT x.value FROM role_permissions x JOIN permissions p ON p.id = x.permission_id
        WHERE x.role_id = %s AND p.name = %s ORDER BY x.created_at LIMIT 1""",
            role_id,
            name,
        ),
    )


def create_role(db: Connection, name: str, provider: str) -> list[str]:
    """greenlight app/models/role.rb: a custom role gets every permission; returns validation errors."""
    errors = role_errors(db, name, provider)
    if errors:
        return errors
    taken = {row["color"] for row in db.all("SELECT color FROM roles WHERE provider = %s", provider)}
    color = next(c for c in iter(lambda: f"#{secrets.token_hex(3)}", "") if c not in taken)
    with db.transaction():
        row = db.insert("roles", name=name, color=color, provider=provider)
        for item in db.all("SELECT id, name FROM permissions"):
            value = {
                "CreateRoom": "true",
                "SharedList": "true",
                "CanRecord": "true",
                "RoomLimit": "100",
                "AccessToVisibilities": VISIBILITIES,
            }
            db.insert("role_permissions", role_id=row["id"], permission_id=item["id"], value=value.get(item["name"], "false"))
    return []


def role_errors(db: Connection, name: str, provider: str, own_id: str | None = None) -> list[str]:
    """greenlight app/models/role.rb validations."""
    if blank(name):
        return ["Name can't be blank"]
    if db.one("SELECT 1 FROM roles WHERE lower(name) = lower(%s) AND provider = %s AND id IS DISTINCT FROM %s", name, provider, own_id):
        return ["Name has already been taken"]
    return []


# -- permissions


def super_admin(db: Connection, user: Row) -> bool:
    """greenlight app/models/user.rb super_admin?."""
    found = db.one("SELECT name, provider FROM roles WHERE id = %s", user["role_id"])
    if found is None:
        raise ServerError("undefined method 'name' for nil")
    return bool(found["name"] == "SuperAdmin" and found["provider"] == "bn")


def allowed(
    db: Connection, user: Row | None, names: list[str], provider: str, *, user_id: t.Any = None, friendly_id: str | None = None
) -> bool:
    """greenlight app/services/permissions_checker.rb, its order and its trap included.

    The trap: any of the names stored as 'true' for the caller's own role passes, so a RoomLimit of 'true' is no limit.
    """
    if user is not None:
        if super_admin(db, user):
            return True
        if not _same_provider(db, user, provider, user_id, friendly_id) or user["status"] != STATUS["active"]:
            return False
        if db.one(
            """SELECT 1 FROM role_permissions x JOIN permissions p ON p.id = x.permission_id
                WHERE x.role_id = %s AND p.name = ANY(%s) AND x.value = 'true'""",
            user["role_id"],
            names,
        ):
            return True
    return any(_special(db, user, name, user_id, friendly_id) for name in names)


def _special(db: Connection, user: Row | None, name: str, user_id: t.Any, friendly_id: str | None) -> bool:
    if name == "RoomLimit":
        return _below_room_limit(db, user_id)
    if user is None:
        return False
    if name == "ManageUsers":
        return not blank(user_id) and user["id"] == str(user_id)
    if name == "ManageRooms":
        return db.one("SELECT 1 FROM rooms WHERE user_id = %s AND friendly_id = %s", user["id"], friendly_id) is not None
    if name == "SharedRoom":
        return (
            db.one(
                """SELECT 1 FROM shared_accesses s JOIN rooms r ON r.id = s.room_id
            WHERE s.user_id = %s AND r.friendly_id = %s""",
                user["id"],
                friendly_id,
            )
            is not None
        )
    return False


def _below_room_limit(db: Connection, user_id: t.Any) -> bool:
    if blank(user_id):
        return False
    owner = find_user(db, user_id)
    value = permission(db, owner["role_id"], "RoomLimit")
    if value is None:  # the value of nil is read: 500
        raise ServerError("undefined method 'value' for nil")
    rooms = db.value("SELECT count(*) FROM rooms WHERE user_id = %s", owner["id"])
    return ruby_int(value) > rooms


def ruby_int(value: str) -> int:
    """String#to_i: leading digits, else 0."""
    found = re.match(r"\s*[-+]?\d+", value)
    return int(found.group()) if found else 0


def _same_provider(db: Connection, user: Row, provider: str, user_id: t.Any, friendly_id: str | None) -> bool:
    if blank(user["provider"]) or user["provider"] != provider:
        return False
    if not blank(user_id) and find_user(db, user_id)["provider"] != user["provider"]:
        return False
    if not blank(friendly_id):
        owner = db.value("SELECT u.provider FROM rooms r JOIN users u ON u.id = r.user_id WHERE r.friendly_id = %s", friendly_id)
        if owner is None:
            raise ServerError("undefined method 'user' for nil")
        return bool(owner == user["provider"])
    return True


# -- users


def find_user(db: Connection, user_id: t.Any) -> Row:
    """User.find."""
    found = db.one("SELECT * FROM users WHERE id = %s", as_uuid(user_id))
    if found is None:
        raise RecordNotFound(f"Couldn't find User with 'id'={user_id}")
    return found


def authenticate(user: Row, password: t.Any) -> bool:
    """has_secure_password: any 60-character bcrypt hash; bcrypt sees 72 bytes."""
    import bcrypt

    hashed = (user["password_digest"] or "").encode()
    if not hashed:
        return False
    try:
        return bool(bcrypt.checkpw(text(password).encode()[:72], hashed))
    except ValueError as error:  # BCrypt::Errors::InvalidHash
        raise ServerError("invalid hash") from error


def hash_password(password: str) -> str:
    """bcrypt-ruby's default: cost 12, $2a$."""
    import bcrypt

    return str(bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(12, b"2a")).decode())


def user_errors(db: Connection, user: Row, password: str | None, *, create: bool, role_changed: bool) -> list[str]:
    """greenlight app/models/user.rb validations, as full messages. `password`: the new one, None when unchanged."""
    errors = []
    name, email = user.get("name") or "", user.get("email") or ""
    found = db.one("SELECT provider FROM roles WHERE id = %s", user.get("role_id")) if user.get("role_id") else None
    if found is None:
        errors.append("Role must exist")
    errors += ["Name can't be blank"] * blank(name) + ["Name is too short (minimum is 1 character)"] * (not name)
    errors += ["Name is too long (maximum is 255 characters)"] * (len(name) > 255)
    errors += ["Email is invalid"] * (not EMAIL.fullmatch(email)) + ["Email can't be blank"] * blank(email)
    if db.one(
        "SELECT 1 FROM users WHERE lower(email) = lower(%s) AND provider = %s AND id IS DISTINCT FROM %s",
        email,
        user.get("provider"),
        user.get("id"),
    ):
        errors.append("Email has already been taken")
    errors += ["Email is too short (minimum is 5 characters)"] * (len(email) < 5)
    errors += ["Email is too long (maximum is 255 characters)"] * (len(email) > 255)
    external = not blank(user.get("external_id"))
    if create and not external:
        errors += ["Password can't be blank"] * blank(password) + ["Password is too long (maximum is 255 characters)"] * (
            len(password or "") > 255
        )
    if password and not external and not PASSWORD.fullmatch(password):
        errors.append("Password is invalid")
    errors += ["Session token can't be blank"] * blank(user.get("session_token"))
    errors += ["Session expiry can't be blank"] * (user.get("session_expiry") is None)
    errors += ["Language can't be blank"] * blank(user.get("language"))
    if role_changed and found is not None and found["provider"] != user.get("provider"):
        errors.append("User provider has to be the same as the Role provider")
    return errors


def update_user(db: Connection, user: Row, **values: t.Any) -> list[str]:
    """user.update(values): validates the whole record, so an account SQL left half-filled cannot be changed. Returns errors."""
    password = values.pop("password", None) or None  # an empty password is no change
    changed = {**user, **values}
    errors = user_errors(db, changed, password, create=False, role_changed=changed["role_id"] != user["role_id"])
    if errors:
        return errors
    if password:
        values["password_digest"] = hash_password(password)
    if values:
        db.update("users", user["id"], **values)
        user.update(values)
    return []


def update_user_or_raise(db: Connection, user: Row, **values: t.Any) -> None:
    """user.update!."""
    errors = update_user(db, user, **values)
    if errors:
        raise RecordInvalid(f"Validation failed: {', '.join(errors)}")


def new_session_token(db: Connection, user: Row, extended: bool = False) -> None:
    """greenlight app/models/user.rb generate_session_token!: 7 days or 24 hours."""
    update_user_or_raise(
        db, user, session_token=digest(random_text(40)), session_expiry=now() + dt.timedelta(hours=168 if extended else 24)
    )


def new_token(db: Connection, user: Row, kind: t.Literal["reset", "verification"]) -> str:
    """A reset or activation token; only its digest is kept."""
    token = random_text(40)
    update_user_or_raise(db, user, **{f"{kind}_digest": digest(token), f"{kind}_sent_at": now()})
    return token


def by_token(db: Connection, token: t.Any, kind: t.Literal["reset", "verification"]) -> Row | None:
    """The user of a token of 1 hour (reset) or 24 hours (activation); an expired one is forgotten."""
    user = db.one(f"SELECT * FROM users WHERE {kind}_digest = %s", digest(text(token)))
    if user is None or user[f"{kind}_sent_at"] is None:
        return None
    if now() > user[f"{kind}_sent_at"] + dt.timedelta(hours=1 if kind == "reset" else 24):
        forget_token(db, user, kind)
        return None
    return user


def forget_token(db: Connection, user: Row, kind: t.Literal["reset", "verification"]) -> bool:
    """invalidate_reset_token / invalidate_activation_token."""
    return not update_user(db, user, **{f"{kind}_digest": None, f"{kind}_sent_at": None})


def build_user(db: Connection, values: dict[str, t.Any], provider: str, fallback: Row | None) -> Row:
    """greenlight app/services/user_creator.rb: lower-case mail; role by RoleMapping on the mail's end, else the default role."""
    email = text(values.get("email")).lower()
    chosen = fallback
    for rule in text(setting(db, "RoleMapping", provider)).split(","):
        name, _other, suffix = rule.partition("=")
        if suffix and email.endswith(suffix):
            chosen = role(db, name, provider) or fallback
            break
    return {
        "id": None,
        "provider": provider,
        "name": values.get("name"),
        "email": email,
        "language": values.get("language"),
        "role_id": chosen["id"] if chosen else None,
        "external_id": None,
        "verified": False,
        "status": STATUS["active"],
        "session_token": digest(random_text(40)),
        "session_expiry": now() + dt.timedelta(hours=24),
    }


def save_new_user(db: Connection, user: Row, password: str | None) -> list[str]:
    """user.save of a new record; returns errors."""
    errors = user_errors(db, user, password, create=True, role_changed=True)
    if errors:
        return errors
    values = {name: value for name, value in user.items() if name != "id"}
    user.update(db.insert("users", **values, password_digest=None if user.get("external_id") else hash_password(password or "")))
    return []


def serialize_role(db: Connection, role_id: str) -> dict[str, t.Any] | None:
    """greenlight app/serializers/role_serializer.rb."""
    return db.one("SELECT id, name, color FROM roles WHERE id = %s", role_id)


def serialize_user(db: Connection, user: Row) -> dict[str, t.Any]:
    """greenlight app/serializers/user_serializer.rb."""
    return {
        "id": user["id"],
        "name": user["name"],
        "email": user["email"],
        "provider": user["provider"],
        "language": user["language"].replace("_", "-"),
        "avatar": avatar(db, user),
        "verified": user["verified"],
        "created_at": user["created_at"],
        "external_account": not blank(user["external_id"]),
        "role": serialize_role(db, user["role_id"]),
    }


def serialize_current_user(db: Connection, user: Row) -> dict[str, t.Any]:
    """greenlight app/serializers/current_user_serializer.rb."""
    rows = db.all(
        """SELECT p.name, x.value FROM role_permissions x JOIN permissions p ON p.id = x.permission_id
        WHERE x.role_id = %s""",
        user["role_id"],
    )
    return {
        **serialize_user(db, user),
        "signed_in": True,
        "permissions": {row["name"]: row["value"] for row in rows},
        "status": STATUS_NAME.get(user["status"]),
        "super_admin": super_admin(db, user),
    }


def avatar(db: Connection, user: Row) -> str:
    """greenlight app/controllers/concerns/avatarable.rb."""
    blob = attached(db, "User", user["id"], "avatar")
    return blob_path(blob) if blob else "/assets/default-avatar.png"


def rake_set_admin_role(email: str | None) -> int:
    """greenlight lib/tasks/user.rake user:set_admin_role."""
    db = Connection()
    user = db.one("SELECT * FROM users WHERE email = %s AND provider = %s", email, PROVIDER)
    chosen = role(db, "Administrator")
    if user is None or chosen is None:
        print(f"User with email: {email} not found", file=sys.stderr)
        return 1
    update_user(db, user, role_id=chosen["id"])
    print(f"User role set to Administrator for email: {email}")
    return 0


def rake_user_create(name: str | None, email: str | None, password: str | None, role_name: str | None, provider: str = PROVIDER) -> int:
    """greenlight lib/tasks/user.rake: mail stored as typed, password printed, no room, exit 0 or 1."""
    db = Connection()
    chosen = role(db, role_name, provider)
    if chosen is None:
        print(f"Unable to create user: '{name}'", file=sys.stderr)
        print(f"   Role '{role_name}' does not exist, maybe you have not run the DB migrations?", file=sys.stderr)
        return 1
    user = {
        "id": None,
        "provider": provider,
        "name": name,
        "email": email,
        "language": config.env("DEFAULT_LOCALE", "en"),
        "role_id": chosen["id"],
        "external_id": None,
        "verified": True,
        "status": STATUS["active"],
        "session_token": digest(random_text(40)),
        "session_expiry": now() + dt.timedelta(hours=24),
    }
    errors = save_new_user(db, user, password)
    if errors:
        print(f"Unable to create user: '{name}'\n   Failed to pass the following validations:\n    {errors}", file=sys.stderr)
        return 1
    print(f"User account was created successfully!\n  Name: {name}\n  Email: {email}\n  Password: {password}\n  Role: {role_name}")
    return 0
