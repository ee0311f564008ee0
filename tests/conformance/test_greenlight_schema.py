# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, columns, indexes, foreign keys, versions and seeds of a fresh 3.8.2.4 (greenlight db/schema.rb, db/migrate, db/data)."""

from __future__ import annotations

import pytest

from tests.conformance import greenlight_kit as kit

STAMPS = "created_at timestamp(6)! updated_at timestamp(6)!"
# name type, "!" for NOT NULL, "=default"; greenlight db/schema.rb, plus the column defaults of the edited migrations (#6160)
COLUMNS = {
    "active_storage_attachments": "id uuid!=gen_random_uuid() name varchar! record_type varchar! record_id uuid! blob_id uuid! "
    "created_at timestamp(6)!",
    "active_storage_blobs": "id uuid!=gen_random_uuid() key varchar! filename varchar! content_type varchar metadata text "
    "service_name varchar! "
    "byte_size bigint! checksum varchar created_at timestamp(6)!",
    "active_storage_variant_records": "id uuid!=gen_random_uuid() blob_id uuid! variation_digest varchar!",
    "data_migrations": "version varchar!",
    "formats": f"id uuid!=gen_random_uuid() recording_id uuid recording_type varchar! url varchar! {STAMPS}",
    "invitations": f"id bigint!=nextval email varchar! provider varchar! token varchar! {STAMPS} name varchar",
    "meeting_options": f"id uuid!=gen_random_uuid() name varchar default_value varchar {STAMPS}",
    "permissions": f"id uuid!=gen_random_uuid() name varchar! {STAMPS}",
    "recordings": f"id uuid!=gen_random_uuid() room_id uuid name varchar! record_id varchar! {STAMPS} visibility varchar!='published' "
    "length integer!=0 participants integer!=0 protectable boolean recorded_at timestamp(6)",
    "role_permissions": f"id uuid!=gen_random_uuid() role_id uuid permission_id uuid value varchar! {STAMPS}",
    "roles": f"id uuid!=gen_random_uuid() name varchar! color varchar!='' provider varchar! {STAMPS}",
    "room_meeting_options": f"id uuid!=gen_random_uuid() room_id uuid meeting_option_id uuid value varchar {STAMPS}",
    "rooms": f"id uuid!=gen_random_uuid() user_id uuid name varchar! friendly_id varchar! meeting_id varchar! "
    f"last_session timestamp(6) {STAMPS} "
    "recordings_processing integer=0 online boolean=false",
    "rooms_configurations": f"id uuid!=gen_random_uuid() meeting_option_id uuid provider varchar! value varchar! {STAMPS}",
    "schema_migrations": "version varchar!",
    "settings": f"id uuid!=gen_random_uuid() name varchar {STAMPS}",
    "shared_accesses": f"id uuid!=gen_random_uuid() user_id uuid! room_id uuid! {STAMPS}",
    "site_settings": f"id uuid!=gen_random_uuid() setting_id uuid value varchar! provider varchar! {STAMPS}",
    "tenants": f"id uuid!=gen_random_uuid() name varchar! client_secret varchar! {STAMPS} region varchar",
    "users": "id uuid!=gen_random_uuid() name varchar! email varchar! external_id varchar provider varchar! password_digest varchar "
    f"last_login timestamp(6) {STAMPS} role_id uuid language varchar!='en' reset_digest varchar reset_sent_at timestamp(6) "
    "verified boolean=false verification_digest varchar verification_sent_at timestamp(6) session_token varchar "
    "session_expiry timestamp(6) status integer=0",
}
UNIQUE = {
    "active_storage_attachments(record_type,record_id,name,blob_id)",
    "active_storage_blobs(key)",
    "active_storage_variant_records(blob_id,variation_digest)",
    "invitations(email,provider)",
    "invitations(token)",
    "meeting_options(name)",
    "roles(name,provider)",
    "rooms(friendly_id)",
    "rooms(meeting_id)",
    "rooms_configurations(meeting_option_id,provider)",
    "settings(name)",
    "shared_accesses(user_id,room_id)",
    "tenants(name)",
    "users(email,provider)",
    "users(reset_digest)",
    "users(session_token)",
    "users(verification_digest)",
}
FOREIGN = {
    "active_storage_attachments.blob_id>active_storage_blobs",
    "active_storage_variant_records.blob_id>active_storage_blobs",
    "formats.recording_id>recordings",
    "recordings.room_id>rooms",
    "role_permissions.permission_id>permissions",
    "role_permissions.role_id>roles",
    "room_meeting_options.meeting_option_id>meeting_options",
    "room_meeting_options.room_id>rooms",
    "rooms.user_id>users",
    "rooms_configurations.meeting_option_id>meeting_options",
    "shared_accesses.room_id>rooms",
    "shared_accesses.user_id>users",
    "site_settings.setting_id>settings",
    "users.role_id>roles",
}
SCHEMA_VERSIONS = """20220229174948 20220314184634 20220315151617 20220317142349 20220411192122 20220412180711 20220418171035 20220418171152
20220421185735 20220505192018 20220531180853 20220531182239 20220609103801 20220614120002 20220615145721 20220616175700 20220711200055
20220712202439 20220713143235 20220721131241 20220721143652 20220721144137 20220914190934 20220928193827 20221012200427 20221019201841
20221025184305 20230227213252 20230301203522 20230307184209 20230705183745 20230705183746 20230705183747 20260109153256 20260402000000"""
DATA_VERSIONS = """20220421162907 20220531182437 20220712202649 20220713143528 20220721131636 20220721145016 20220721145933 20220929144051
20220930022007 20221003201116 20221115190918 20221116010619 20230123174546 20230228193705 20231030185844 20231117151542 20231210154647
20231213203353 20240123184213 20240125154727 20240205160221 20240209155229 20240423162700 20240812210436 20250130160334 20250501185954
20260119170745 20260402000001"""
VISIBILITIES = '["Published", "Unpublished", "Protected", "Public", "Public/Protected"]'
SETTINGS = {
    "PrimaryColor": "#467fcf",
    "PrimaryColorLight": "#e8eff9",
    "PrimaryColorDark": "#316cbe",
    "Terms": "",
    "PrivacyPolicy": "",
    "RegistrationMethod": "open",
    "ShareRooms": "true",
    "PreuploadPresentation": "true",
    "RoleMapping": "",
    "ResyncOnLogin": "true",
    "DefaultRole": "User",
    "DefaultRecordingVisibility": "Published",
    "HelpCenter": "",
    "Maintenance": "",
    "SessionTimeout": "1",
    "AllowedDomains": "",
    "SignInOnRoomJoin": "true",
    "AccessibilityStatement": "",
    "AllowNameUpdate": "true",
}
OPTIONS = {
    "record": ("false", "default_enabled"),
    "muteOnStart": ("false", "default_enabled"),
    "guestPolicy": ("ALWAYS_ACCEPT", "optional"),
    "glAnyoneCanStart": ("false", "optional"),
    "glAnyoneJoinAsModerator": ("false", "optional"),
    "glRequireAuthentication": ("false", "optional"),
    "glModeratorAccessCode": ("", "optional"),
    "glViewerAccessCode": ("", "optional"),
    "serverTag": ("", "optional"),
    "serverTagRequired": ("false", "optional"),
}


@pytest.fixture(scope="module")
def fresh(stage: kit.Stage, greenlight: kit.Instance) -> kit.Rows:
    """The common database; this module only reads what no other test leaves changed."""
    return kit.Rows(stage.sql("common"))


def test_tables(fresh: kit.Rows) -> None:
    """No more and no fewer tables (Rails' own ar_internal_metadata apart)."""
    found = {name for (name,) in fresh.all("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")}
    assert found - {"ar_internal_metadata"} == set(COLUMNS)


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_columns(fresh: kit.Rows, table: str) -> None:
    """Names, types, NOT NULL, defaults; the order of columns is no contract."""
    short = {"character varying": "varchar", "timestamp without time zone": "timestamp"}
    found = []
    for name, kind, precision, nullable, default in fresh.all(
        """SELECT column_name, data_type, datetime_precision, is_nullable, column_default
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position""",
        table,
    ):
        text = f"{name} {short.get(kind, kind)}" + (f"({precision})" if precision is not None else "") + ("!" if nullable == "NO" else "")
        plain = (default or "").replace("::character varying", "")
        found.append(text + (f"={'nextval' if plain.startswith('nextval') else plain}" if default is not None else ""))
    words = COLUMNS[table].split()
    assert sorted(found) == sorted(f"{name} {kind}" for name, kind in zip(words[::2], words[1::2], strict=True))


def test_unique_indexes_and_the_missing_ones(fresh: kit.Rows) -> None:
    """site_settings, role_permissions, room_meeting_options and permissions have no unique index over their natural key."""
    found = fresh.all("""SELECT t.relname, array_agg(a.attname ORDER BY k.n) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
        JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = 'public'
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE i.indisunique AND NOT i.indisprimary GROUP BY t.relname, i.indexrelid""")
    assert {f"{table}({','.join(columns)})" for table, columns in found} == UNIQUE


def test_foreign_keys_without_action(fresh: kit.Rows) -> None:
    """No cascade anywhere: children first."""
    found = fresh.all("""SELECT c.conrelid::regclass::text, a.attname, c.confrelid::regclass::text, c.confdeltype::text FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'""")
    assert {f"{table}.{column}>{target}" for table, column, target, _action in found} == FOREIGN
    assert {action for *_rest, action in found} == {"a"}


def test_extensions(fresh: kit.Rows) -> None:
    """pgcrypto and plpgsql."""
    assert {name for (name,) in fresh.all("SELECT extname FROM pg_extension")} == {"pgcrypto", "plpgsql"}


def test_versions(fresh: kit.Rows) -> None:
    """35 schema versions, 28 data versions."""
    assert [v for (v,) in fresh.all("SELECT version FROM schema_migrations ORDER BY 1")] == SCHEMA_VERSIONS.split()
    assert [v for (v,) in fresh.all("SELECT version FROM data_migrations ORDER BY 1")] == DATA_VERSIONS.split()


def test_roles(fresh: kit.Rows) -> None:
    """Four roles; SuperAdmin under provider bn."""
    found = dict(fresh.all("SELECT name, provider FROM roles WHERE name IN ('Administrator', 'User', 'Guest', 'SuperAdmin')"))
    assert found == {"Administrator": "greenlight", "User": "greenlight", "Guest": "greenlight", "SuperAdmin": "bn"}


def test_permissions_of_the_four_roles(stage: kit.Stage) -> None:
    """Eleven permissions for each, 44 rows, on an untouched database."""
    instance = stage.start(stage.database("seeds")).wait_listening()
    with stage.sql("seeds") as connection:
        rows = kit.Rows(connection)
        found = {
            (role, permission): value
            for role, permission, value in rows.all("""SELECT r.name, p.name, x.value FROM role_permissions x
            JOIN roles r ON r.id = x.role_id JOIN permissions p ON p.id = x.permission_id""")
        }
        settings = dict(
            rows.all("SELECT s.name, x.value FROM site_settings x JOIN settings s ON s.id = x.setting_id WHERE x.provider = 'greenlight'")
        )
        options = {
            name: (default, value)
            for name, default, value in rows.all("""SELECT o.name, o.default_value, c.value FROM meeting_options o
            JOIN rooms_configurations c ON c.meeting_option_id = o.id AND c.provider = 'greenlight'""")
        }
        counts = {
            table: rows.value(f"SELECT count(*) FROM {table}")
            for table in (
                "role_permissions",
                "permissions",
                "site_settings",
                "settings",
                "meeting_options",
                "rooms_configurations",
                "users",
                "tenants",
            )
        }
    stage.stop(instance)
    manage = {
        name: ("true", "false", "false", "true")
        for name in ("ManageUsers", "ManageRooms", "ManageRecordings", "ManageSiteSettings", "ManageRoles")
    }
    expected = {
        "CreateRoom": ("true", "true", "false", "true"),
        "SharedList": ("true", "true", "true", "false"),
        "CanRecord": ("true",) * 4,
        "RoomLimit": ("100",) * 4,
        "EmailOnSignup": ("true", "false", "false", "false"),
        "AccessToVisibilities": (VISIBILITIES,) * 4,
        **manage,
    }
    roles = ("Administrator", "User", "Guest", "SuperAdmin")
    assert found == {(role, name): values[i] for name, values in expected.items() for i, role in enumerate(roles)}
    logo = settings.pop("BrandingImage")
    assert settings == SETTINGS
    assert "bbb_logo" in logo
    assert options == OPTIONS
    assert counts == {
        "role_permissions": 44,
        "permissions": 11,
        "site_settings": 20,
        "settings": 20,
        "meeting_options": 10,
        "rooms_configurations": 10,
        "users": 0,
        "tenants": 0,
    }
