# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the options of greenlight_settings and greenlight_user as wishes, for the modules and for the plan of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts, database, settings


def settings_arguments() -> dict[str, Any]:
    """The options of greenlight_settings."""
    return {
        "login_db": {"type": "str", "required": True},
        **database.SERVER_ARGUMENTS,
        "settings": {
            "type": "dict",
            "default": {},
            "options": {
                "registration": {"type": "str", "choices": ["open", "invite", "approval"]},
                "allowed_domains": {"type": "list", "elements": "str"},
                "primary_color": {"type": "str"},
                "primary_color_light": {"type": "str"},
                "primary_color_dark": {"type": "str"},
                "branding_image": {"type": "str"},
                "terms": {"type": "str"},
                "privacy_policy": {"type": "str"},
                "accessibility_statement": {"type": "str"},
                "help_center": {"type": "str"},
                "maintenance": {"type": "str"},
                "default_role": {"type": "str"},
                "role_mapping": {"type": "str"},
                "resync_on_login": {"type": "bool"},
                "session_timeout": {"type": "int", "choices": [1, 7]},
                "sign_in_on_room_join": {"type": "bool"},
                "allow_name_update": {"type": "bool"},
                "share_rooms": {"type": "bool"},
                "preupload_presentation": {"type": "bool"},
                "default_recording_visibility": {
                    "type": "str",
                    "choices": ["Published", "Unpublished", "Protected", "Public", "Public/Protected"],
                },
            },
        },
        "limits": {
            "type": "dict",
            "default": {},
            "options": {
                "rooms_per_account": {"type": "int"},
                "rooms_by_role": {"type": "dict"},
                "meeting_minutes": {"type": "int"},
                "participants": {"type": "int"},
            },
        },
        "meeting_options": {"type": "dict", "default": {}},
        "rooms_configurations": {"type": "dict", "default": {}},
        "record": {"type": "bool"},
        "roles": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "color": {"type": "str"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "rooms_per_account": {"type": "int"},
                "permissions": {"type": "dict", "default": {}},
                "mail_domains": {"type": "list", "elements": "str"},
            },
        },
        "lock_roles": {"type": "bool", "default": True},
        **database.GUARD_ARGUMENTS,
    }


def settings_wish(params: Mapping[str, Any]) -> settings.Desired:
    """What the validated options of greenlight_settings wish for. Raises SettingsError."""
    return settings.desired(
        settings=params["settings"],
        room_limits=params["limits"],
        meeting_options=params["meeting_options"],
        rooms_configurations=params["rooms_configurations"],
        record=params["record"],
        lock_roles=params["lock_roles"],
        role_list=params["roles"],
    )


def user_arguments() -> dict[str, Any]:
    """The options of greenlight_user."""
    return {
        "login_db": {"type": "str", "required": True},
        **database.SERVER_ARGUMENTS,
        "users": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "email": {"type": "str", "required": True},
                "name": {"type": "str"},
                "role": {"type": "str", "default": "User"},
                "state": {"type": "str", "choices": ["present", "disabled", "absent"], "default": "present"},
                "password": {"type": "str", "no_log": True},
                "language": {"type": "str", "default": "en"},
                "verified": {"type": "bool", "default": True},
            },
        },
        "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
        "reset_link": {"type": "str", "choices": ["never", "on_create", "always"], "default": "never"},
        "base_url": {"type": "str"},
        "remove_rooms": {"type": "bool", "default": False},
        "allow_super_admin": {"type": "bool", "default": False},
        "remember": {"type": "path"},
        "close_others_of_role": {"type": "str"},
        "take_from_roles": {"type": "list", "elements": "str"},
        "external_accounts": {"type": "str", "choices": ["keep", "release"], "default": "keep"},
        "expected_roles": {"type": "list", "elements": "str", "default": []},
        "repair_session_tokens": {"type": "bool", "default": True, "no_log": False},
        **database.GUARD_ARGUMENTS,
    }


def user_wish(params: Mapping[str, Any], kept: frozenset[str], predict: bool) -> accounts.Desired:
    """What the validated options of greenlight_user wish for, with the addresses remembered. Raises AccountError."""
    return accounts.desired(
        params["users"],
        update_password=params["update_password"],
        reset_link=params["reset_link"],
        remove_rooms=params["remove_rooms"],
        allow_super_admin=params["allow_super_admin"],
        repair_session_tokens=params["repair_session_tokens"],
        remembered=kept,
        close_others_of=params["close_others_of_role"],
        take_from=params["take_from_roles"],
        release_external=params["external_accounts"] == "release",
        expected_roles=params["expected_roles"] if predict else (),
    )
