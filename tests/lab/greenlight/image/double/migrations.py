# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schema and data migrations: the exact versions of greenlight db/migrate and db/data, with the net effect of each.

Versions before 3.0.0 share one step, because no release ever had them apart.
"""

from __future__ import annotations

import hashlib
import typing as t

import psycopg2

VISIBILITIES = '["Published", "Unpublished", "Protected", "Public", "Public/Protected"]'
LOGO_PATH = "/assets/bbb_logo-8d1f2a9c4b7e60315fd2a88e31c59b0647aa2d9efc130b7582e4d6910f3b5c72.png"
NOW = "(now() AT TIME ZONE 'UTC')"

BEFORE_3_0 = (
    "20220229174948",
    "20220314184634",
    "20220315151617",
    "20220317142349",
    "20220411192122",
    "20220412180711",
    "20220418171035",
    "20220418171152",
    "20220421185735",
    "20220505192018",
    "20220531180853",
    "20220531182239",
    "20220609103801",
    "20220614120002",
    "20220615145721",
    "20220616175700",
    "20220711200055",
    "20220712202439",
    "20220713143235",
    "20220721131241",
    "20220721143652",
    "20220721144137",
    "20220914190934",
    "20220928193827",
    "20221012200427",
    "20221019201841",
    "20221025184305",
)

_ID = "id uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY"
_STAMPS = "created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL"


def _fk(table: str, column: str, target: str) -> str:
    """A foreign key with the name Rails derives (activerecord foreign_key_name); no ON DELETE action."""
    digest = hashlib.sha256(f"{table}_{column}_fk".encode()).hexdigest()[:10]
    return f"ALTER TABLE {table} ADD CONSTRAINT fk_rails_{digest} FOREIGN KEY ({column}) REFERENCES {target} (id);"


def _index(table: str, columns: str, unique: bool = False, name: str | None = None) -> str:
    name = name or f"index_{table}_on_" + "_and_".join(c.strip() for c in columns.split(","))
    return f"CREATE {'UNIQUE ' if unique else ''}INDEX {name} ON {table} ({columns});"


# greenlight db/schema.rb as of version 20221025184305. Column defaults users.language, recordings.visibility, length and participants:
# greenlight db/migrate/20220609103801 and 20220412180711 as edited for 3.7.0 (#6160); db/schema.rb does not show them.
_BASELINE = "\n".join(
    (
        "CREATE EXTENSION IF NOT EXISTS pgcrypto;",
        f"CREATE TABLE roles ({_ID}, name varchar NOT NULL, color varchar NOT NULL DEFAULT '', provider varchar NOT NULL, {_STAMPS});",
        _index("roles", "name, provider", unique=True),
        f"""CREATE TABLE users ({_ID}, name varchar NOT NULL, email varchar NOT NULL, external_id varchar, provider varchar NOT NULL,
        password_digest varchar, last_login timestamp(6) without time zone, {_STAMPS}, role_id uuid,
        language varchar NOT NULL DEFAULT 'en', reset_digest varchar, reset_sent_at timestamp(6) without time zone,
        verified boolean DEFAULT false, verification_digest varchar, verification_sent_at timestamp(6) without time zone,
        session_token varchar, session_expiry timestamp(6) without time zone, status integer DEFAULT 0);""",
        _index("users", "email, provider", unique=True),
        _index("users", "reset_digest", unique=True),
        _index("users", "role_id"),
        _index("users", "session_token", unique=True),
        _index("users", "verification_digest", unique=True),
        _fk("users", "role_id", "roles"),
        f"""CREATE TABLE rooms ({_ID}, user_id uuid, name varchar NOT NULL, friendly_id varchar NOT NULL, meeting_id varchar NOT NULL,
        last_session timestamp(6) without time zone, {_STAMPS}, recordings_processing integer DEFAULT 0, online boolean DEFAULT false);""",
        _index("rooms", "friendly_id", unique=True),
        _index("rooms", "meeting_id", unique=True),
        _index("rooms", "user_id"),
        _fk("rooms", "user_id", "users"),
        f"""CREATE TABLE recordings ({_ID}, room_id uuid, name varchar NOT NULL, record_id varchar NOT NULL, {_STAMPS},
        visibility varchar NOT NULL DEFAULT 'published', length integer NOT NULL DEFAULT 0, participants integer NOT NULL DEFAULT 0,
        protectable boolean);""",
        _index("recordings", "room_id"),
        _fk("recordings", "room_id", "rooms"),
        f"CREATE TABLE formats ({_ID}, recording_id uuid, recording_type varchar NOT NULL, url varchar NOT NULL, {_STAMPS});",
        _index("formats", "recording_id"),
        _fk("formats", "recording_id", "recordings"),
        f"CREATE TABLE meeting_options ({_ID}, name varchar, default_value varchar, {_STAMPS});",
        _index("meeting_options", "name", unique=True),
        f"CREATE TABLE room_meeting_options ({_ID}, room_id uuid, meeting_option_id uuid, value varchar, {_STAMPS});",
        _index("room_meeting_options", "meeting_option_id"),
        _index("room_meeting_options", "room_id"),
        _fk("room_meeting_options", "room_id", "rooms"),
        _fk("room_meeting_options", "meeting_option_id", "meeting_options"),
        f"""CREATE TABLE active_storage_blobs ({_ID}, key varchar NOT NULL, filename varchar NOT NULL, content_type varchar, metadata text,
        service_name varchar NOT NULL, byte_size bigint NOT NULL, checksum varchar, created_at timestamp(6) without time zone NOT NULL);""",
        _index("active_storage_blobs", "key", unique=True),
        f"""CREATE TABLE active_storage_attachments ({_ID}, name varchar NOT NULL, record_type varchar NOT NULL, record_id uuid NOT NULL,
        blob_id uuid NOT NULL, created_at timestamp(6) without time zone NOT NULL);""",
        _index("active_storage_attachments", "blob_id"),
        _index(
            "active_storage_attachments",
            "record_type, record_id, name, blob_id",
            unique=True,
            name="index_active_storage_attachments_uniqueness",
        ),
        _fk("active_storage_attachments", "blob_id", "active_storage_blobs"),
        f"CREATE TABLE active_storage_variant_records ({_ID}, blob_id uuid NOT NULL, variation_digest varchar NOT NULL);",
        _index(
            "active_storage_variant_records",
            "blob_id, variation_digest",
            unique=True,
            name="index_active_storage_variant_records_uniqueness",
        ),
        _fk("active_storage_variant_records", "blob_id", "active_storage_blobs"),
        f"CREATE TABLE shared_accesses ({_ID}, user_id uuid NOT NULL, room_id uuid NOT NULL, {_STAMPS});",
        _index("shared_accesses", "room_id"),
        _index("shared_accesses", "user_id, room_id", unique=True),
        _index("shared_accesses", "user_id"),
        _fk("shared_accesses", "user_id", "users"),
        _fk("shared_accesses", "room_id", "rooms"),
        f"CREATE TABLE settings ({_ID}, name varchar, {_STAMPS});",
        _index("settings", "name", unique=True),
        f"CREATE TABLE site_settings ({_ID}, setting_id uuid, value varchar NOT NULL, provider varchar NOT NULL, {_STAMPS});",
        _index("site_settings", "setting_id"),
        _fk("site_settings", "setting_id", "settings"),
        f"CREATE TABLE rooms_configurations ({_ID}, meeting_option_id uuid, provider varchar NOT NULL, value varchar NOT NULL, {_STAMPS});",
        _index("rooms_configurations", "meeting_option_id, provider", unique=True),
        _index("rooms_configurations", "meeting_option_id"),
        _fk("rooms_configurations", "meeting_option_id", "meeting_options"),
        f"CREATE TABLE permissions ({_ID}, name varchar NOT NULL, {_STAMPS});",
        f"CREATE TABLE role_permissions ({_ID}, role_id uuid, permission_id uuid, value varchar NOT NULL, {_STAMPS});",
        _index("role_permissions", "permission_id"),
        _index("role_permissions", "role_id"),
        _fk("role_permissions", "role_id", "roles"),
        _fk("role_permissions", "permission_id", "permissions"),
        f"""CREATE TABLE invitations (id bigserial PRIMARY KEY, email varchar NOT NULL, provider varchar NOT NULL,
            token varchar NOT NULL, {_STAMPS});""",
        _index("invitations", "email, provider", unique=True),
        _index("invitations", "token", unique=True),
    )
)

# (versions done by the step, SQL), greenlight db/migrate
SCHEMA: tuple[tuple[tuple[str, ...], str], ...] = (
    (BEFORE_3_0, _BASELINE),
    (("20230227213252",), "ALTER TABLE recordings ADD COLUMN recorded_at timestamp(6) without time zone;"),
    (
        ("20230301203522",),
        f"CREATE TABLE tenants (id bigserial PRIMARY KEY, name varchar NOT NULL, client_secret varchar NOT NULL, {_STAMPS});"
        + _index("tenants", "name", unique=True),
    ),
    (
        ("20230307184209",),  # the id moves behind the other columns
        """ALTER TABLE tenants ADD COLUMN uuid uuid NOT NULL DEFAULT gen_random_uuid();
        ALTER TABLE tenants DROP COLUMN id;
        ALTER TABLE tenants RENAME COLUMN uuid TO id;
        ALTER TABLE tenants ADD PRIMARY KEY (id);""",
    ),
    (("20230705183745",), "ALTER TABLE active_storage_blobs ALTER COLUMN service_name SET NOT NULL;"),
    (("20230705183746",), ""),
    (("20230705183747",), "ALTER TABLE active_storage_blobs ALTER COLUMN checksum DROP NOT NULL;"),
    (("20260109153256",), "ALTER TABLE tenants ADD COLUMN region varchar;"),
    (("20260402000000",), "ALTER TABLE invitations ADD COLUMN name varchar;"),
)


def _setting(name: str, value: str) -> str:
    return f"""INSERT INTO settings (name, created_at, updated_at) VALUES ('{name}', {NOW}, {NOW}) ON CONFLICT (name) DO NOTHING;
        INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
        SELECT s.id, '{value}', p.provider, {NOW}, {NOW} FROM settings s, (SELECT 'greenlight' AS provider UNION SELECT name FROM tenants) p
        WHERE s.name = '{name}' AND NOT EXISTS (SELECT 1 FROM site_settings x WHERE x.setting_id = s.id AND x.provider = p.provider);"""


def _option(name: str, default: str, configuration: str | None) -> str:
    sql = f"INSERT INTO meeting_options (name, default_value, created_at, updated_at) VALUES ('{name}', '{default}', {NOW}, {NOW});"
    return sql + (_configuration(name, configuration) if configuration else "")


def _configuration(option: str, value: str) -> str:
    return f"""INSERT INTO rooms_configurations (meeting_option_id, provider, value, created_at, updated_at)
        SELECT id, 'greenlight', '{value}', {NOW}, {NOW} FROM meeting_options WHERE name = '{option}';"""


def _permission(name: str, values: dict[str, str], default: str) -> str:
    """A permission with one row for each role there is; roles not named get `default`."""
    cases = "".join(f"WHEN '{role}' THEN '{value}' " for role, value in values.items()) or "WHEN NULL THEN '' "
    return f"""INSERT INTO permissions (name, created_at, updated_at) VALUES ('{name}', {NOW}, {NOW});
        INSERT INTO role_permissions (role_id, permission_id, value, created_at, updated_at)
        SELECT r.id, p.id, CASE r.name {cases}ELSE '{default}' END, {NOW}, {NOW} FROM roles r, permissions p WHERE p.name = '{name}';"""


def _role(name: str, color: str, provider: str = "greenlight") -> str:
    return f"INSERT INTO roles (name, color, provider, created_at, updated_at) VALUES ('{name}', '{color}', '{provider}', {NOW}, {NOW});"


_OPTIONS = (
    ("record", "false"),
    ("muteOnStart", "false"),
    ("guestPolicy", "ALWAYS_ACCEPT"),
    ("glAnyoneCanStart", "false"),
    ("glAnyoneJoinAsModerator", "false"),
    ("glRequireAuthentication", "false"),
    ("glModeratorAccessCode", ""),
    ("glViewerAccessCode", ""),
)
_SETTINGS = (
    ("PrimaryColor", "#467fcf"),
    ("PrimaryColorLight", "#e8eff9"),
    ("PrimaryColorDark", "#316cbe"),
    ("BrandingImage", LOGO_PATH),
    ("Terms", ""),
    ("PrivacyPolicy", ""),
    ("RegistrationMethod", "open"),
    ("ShareRooms", "true"),
    ("PreuploadPresentation", "true"),
    ("RoleMapping", ""),
)
_MANAGE = ("ManageUsers", "ManageRooms", "ManageRecordings", "ManageSiteSettings", "ManageRoles")
_PLAIN_SETTING = """INSERT INTO settings (name, created_at, updated_at) VALUES ('{0}', {2}, {2});
    INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
    SELECT id, '{1}', 'greenlight', {2}, {2} FROM settings WHERE name = '{0}';"""


def _super_admin() -> str:
    return (
        _role("SuperAdmin", "#9b1c3f", "bn")
        + f"""
        INSERT INTO role_permissions (role_id, permission_id, value, created_at, updated_at)
        SELECT r.id, p.id, CASE p.name WHEN 'SharedList' THEN 'false' WHEN 'RoomLimit' THEN '100' ELSE 'true' END, {NOW}, {NOW}
        FROM roles r, permissions p WHERE r.name = 'SuperAdmin' AND r.provider = 'bn';"""
    )


def _server_tags() -> str:
    return (
        _option("serverTag", "", "optional")
        + _option("serverTagRequired", "false", "optional")
        + f"""
        INSERT INTO room_meeting_options (room_id, meeting_option_id, value, created_at, updated_at)
        SELECT r.id, o.id, CASE o.name WHEN 'serverTagRequired' THEN 'false' END, {NOW}, {NOW}
        FROM rooms r, meeting_options o WHERE o.name IN ('serverTag', 'serverTagRequired');"""
    )


# (version, SQL), greenlight db/data; the older ones create without looking, so a row of that name made by hand makes them fail
DATA: tuple[tuple[str, str], ...] = (
    ("20220421162907", "".join(_option(name, default, None) for name, default in _OPTIONS)),
    (
        "20220531182437",
        _role("Administrator", "#228B22") + _role("User", "#4169E1") + _role("Guest", "#FFA500"),
    ),  # app/models/role.rb colours
    (
        "20220712202649",
        "".join(f"INSERT INTO settings (name, created_at, updated_at) VALUES ('{n}', {NOW}, {NOW});" for n, _v in _SETTINGS),
    ),
    (
        "20220713143528",
        "".join(
            f"""INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
        SELECT id, '{value}', 'greenlight', {NOW}, {NOW} FROM settings WHERE name = '{name}';"""
            for name, value in _SETTINGS
        ),
    ),
    ("20220721131636", "".join(_configuration(name, "optional") for name, _default in _OPTIONS)),
    ("20220721145016", ""),
    (
        "20220721145933",
        _permission("CreateRoom", {"Guest": "false"}, "true")
        + "".join(_permission(name, {"Administrator": "true"}, "false") for name in _MANAGE)
        + _permission("SharedList", {}, "true")
        + _permission("CanRecord", {}, "true"),
    ),
    ("20220929144051", _PLAIN_SETTING.format("ResyncOnLogin", "true", NOW)),
    ("20220930022007", _permission("RoomLimit", {}, "100")),
    ("20221003201116", _PLAIN_SETTING.format("DefaultRole", "User", NOW)),
    ("20221115190918", "UPDATE users SET verified = true WHERE external_id IS NOT NULL;"),
    ("20221116010619", _super_admin()),
    (
        "20230123174546",
        """UPDATE rooms_configurations SET value = 'default_enabled' WHERE provider = 'greenlight'
        AND meeting_option_id = (SELECT id FROM meeting_options WHERE name = 'record');""",
    ),
    ("20230228193705", "UPDATE recordings SET recorded_at = created_at;"),
    ("20231030185844", "UPDATE users SET email = lower(email) WHERE email <> lower(email);"),
    ("20231117151542", _permission("EmailOnSignup", {"Administrator": "true"}, "false")),
    ("20231210154647", _permission("AccessToVisibilities", {}, VISIBILITIES)),
    ("20231213203353", _PLAIN_SETTING.format("DefaultRecordingVisibility", "Published", NOW)),
    (
        "20240123184213",
        f"""UPDATE role_permissions SET value = '{VISIBILITIES}' WHERE value = 'false'
        AND permission_id = (SELECT id FROM permissions WHERE name = 'AccessToVisibilities');""",
    ),
    ("20240125154727", _setting("HelpCenter", "")),
    ("20240205160221", _setting("Maintenance", "")),
    ("20240209155229", _setting("SessionTimeout", "1")),
    ("20240423162700", _server_tags()),
    ("20240812210436", _setting("AllowedDomains", "")),
    ("20250130160334", _setting("SignInOnRoomJoin", "true")),
    (
        "20250501185954",
        """UPDATE rooms_configurations SET value = 'default_enabled' WHERE value = 'optional' AND provider = 'greenlight'
        AND meeting_option_id = (SELECT id FROM meeting_options WHERE name = 'muteOnStart');""",
    ),
    ("20260119170745", _setting("AccessibilityStatement", "")),
    ("20260402000001", _setting("AllowNameUpdate", "true")),
)

# A release that never was: its first migration goes through, its second fails, its data migration stays pending.
_BROKEN_SCHEMA = (
    (("20260901000000",), "ALTER TABLE rooms ADD COLUMN archived_at timestamp(6) without time zone;"),
    (("20260901000001",), "ALTER TABLE rooms ADD CONSTRAINT rooms_archive_fk FOREIGN KEY (archive_id) REFERENCES room_archives (id);"),
)
_BROKEN_DATA = (("20260901000002", _setting("ArchiveRooms", "false")),)
# More that never were, each as the end of its tag says; made by `docker commit` with another VERSION_TAG, from any of these images.
_OTHERS: dict[str, tuple[tuple[tuple[tuple[str, ...], str], ...], tuple[tuple[str, str], ...]]] = {
    # A migration that never ends.
    "-hangs": (((("20261001000001",), "SELECT pg_sleep(86400);"),), ()),
    # One outside a transaction (disable_ddl_transaction!) that fails halfway: repeated, it fails at its first half.
    "-halves": (((("20261001000002",), "ALTER TABLE rooms ADD COLUMN archived_at date; COMMIT; SELECT 1/0;"),), ()),
    # One that an older release cannot live with.
    "-drops": (((("20261001000003",), "ALTER TABLE recordings RENAME COLUMN participants TO attendees;"),), ()),
    # The mistake of greenlight #5697: a setting that is there already.
    "-twice": (
        (),
        (
            (
                "20261001000004",
                f"""INSERT INTO site_settings (setting_id, value, provider, created_at, updated_at)
                SELECT id, '', 'greenlight', {NOW}, {NOW} FROM settings WHERE name = 'HelpCenter';""",
            ),
        ),
    ),
    # One that is fine.
    "-fine": (((("20261001000005",), "ALTER TABLE rooms ADD COLUMN archived_at date;"),), ()),
}


class MigrationError(Exception):
    """A migration failed; the message is what is printed."""


def lists(tag: str) -> tuple[tuple[tuple[tuple[str, ...], str], ...], tuple[tuple[str, str], ...]]:
    """(schema steps, data steps) of the release `tag`."""
    if tag.startswith("v3.7."):  # before 3.8.0: no AccessibilityStatement, AllowNameUpdate, invitations.name
        return tuple(s for s in SCHEMA if s[0][-1] <= "20260109153256"), tuple(d for d in DATA if d[0] <= "20250501185954")
    if tag.endswith("-broken"):
        return SCHEMA + _BROKEN_SCHEMA, DATA + _BROKEN_DATA
    for end, (schema, data) in _OTHERS.items():
        if tag.endswith(end):
            return SCHEMA + schema, DATA + data
    return SCHEMA, DATA


def _versions(cursor: t.Any, table: str) -> set[str]:
    cursor.execute("SELECT to_regclass(%s)", (table,))
    if cursor.fetchone()[0] is None:
        return set()
    cursor.execute(f"SELECT version FROM {table}")
    return {row[0] for row in cursor.fetchall()}


def pending_schema(cursor: t.Any, tag: str) -> list[str]:
    """Schema versions of the release that schema_migrations does not hold."""
    done = _versions(cursor, "schema_migrations")
    return [version for versions, _sql in lists(tag)[0] for version in versions if version not in done]


def pending_data(cursor: t.Any, tag: str) -> list[str]:
    """Data versions of the release that data_migrations does not hold."""
    done = _versions(cursor, "data_migrations")
    return [version for version, _sql in lists(tag)[1] if version not in done]


def run(connection: t.Any, tag: str, with_data: bool) -> list[str]:
    """Do what is pending, each step in its own transaction, in order of version; stops at the first failure.

    Rails' db:migrate does the schema only; data_migrate's db:migrate:with_data does both, merged by version.
    """
    cursor = connection.cursor()
    # One migrator at a time (activerecord lib/active_record/migration.rb takes an advisory lock too).
    cursor.execute("SELECT pg_advisory_lock(2053462845)")
    connection.commit()
    try:
        return _run(connection, cursor, tag, with_data)
    finally:
        connection.rollback()
        cursor.execute("SELECT pg_advisory_unlock(2053462845)")
        connection.commit()


def _run(connection: t.Any, cursor: t.Any, tag: str, with_data: bool) -> list[str]:
    cursor.execute("""CREATE TABLE IF NOT EXISTS schema_migrations (version varchar NOT NULL PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS ar_internal_metadata (key varchar NOT NULL PRIMARY KEY, value varchar,
            created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL);
        INSERT INTO ar_internal_metadata VALUES ('environment', 'production', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
            ON CONFLICT (key) DO NOTHING;""")
    if with_data:
        cursor.execute("CREATE TABLE IF NOT EXISTS data_migrations (version varchar NOT NULL PRIMARY KEY)")
    connection.commit()
    schema, data = lists(tag)
    schema_done, data_done = _versions(cursor, "schema_migrations"), _versions(cursor, "data_migrations")
    steps: list[tuple[str, str, tuple[str, ...], str]] = []
    for versions, sql in schema:
        if missing := tuple(v for v in versions if v not in schema_done):
            steps.append((missing[0], "schema_migrations", missing, sql))
    if with_data:
        steps += [(version, "data_migrations", (version,), sql) for version, sql in data if version not in data_done]
    printed = []
    for version, table, versions, sql in sorted(steps, key=lambda step: step[0]):
        try:
            if sql:
                cursor.execute(sql)
            for done in versions:
                cursor.execute(f"INSERT INTO {table} (version) VALUES (%s)", (done,))
            connection.commit()
        except psycopg2.Error as error:
            connection.rollback()
            raise MigrationError(
                "bin/rails aborted!\nStandardError: An error has occurred, this and all later migrations canceled:\n\n"
                f"{type(error).__name__}: {str(error).strip()}\n(migration {version})"
            ) from error
        printed.append(f"== {version}: migrated ({table}) =======")
    return printed
