# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a service gets that neither says itself nor finds under C(defaults), per tier.

The only place for these figures; docs/membership-file.md shows them, and a test holds the two equal.
"""

from __future__ import annotations

from typing import Any

TIERS = ("consumer", "dedicated_container", "dedicated_server", "accounts")
RESERVED_SUBDOMAINS = ("pool", "www", "mail", "ns", "ns1", "ns2")

LIMITS: dict[str, dict[str, int]] = {
    "consumer": {"rooms_per_account": 5, "meeting_minutes": 120, "participants": 50},
    "dedicated_container": {"rooms_per_account": 20, "meeting_minutes": 240, "participants": 100},
    "dedicated_server": {"rooms_per_account": 100, "meeting_minutes": 0, "participants": 0},
}
# 0: nothing is said about it.
FAIR_USE = {"participants": 0, "meetings": 0, "policy": "notify"}
RESOURCES: dict[str, dict[str, Any]] = {
    "consumer": {"memory": "1g", "cpus": 1.0, "pids": 512},
    "dedicated_container": {"memory": "2g", "cpus": 2.0, "pids": 1024},
    "dedicated_server": {"memory": "2g", "cpus": 2.0, "pids": 1024},
}
BRANDING: dict[str, Any] = {
    "primary_color": "#467fcf",
    "primary_color_light": "#e8eff9",
    "logo": None,
    "terms": "",
    "privacy_policy": "",
    "accessibility_statement": "",
    "help_center": "",
    "welcome": None,
    "language": "en",
    "overrides": None,
}
PORTS = {"starttls": 587, "tls": 465, "none": 25}
REGISTRATION = "invite"
RECORDINGS: dict[str, Any] = {
    "formats": ["presentation"],
    "published_days": 14,
    "unrecorded_days": 14,
    "history": 5,
    "delete_after_days": 0,
    "consent": None,
}
"""BigBlueButton's own retention (bigbluebutton-cron-config) and what a new server makes of a recording."""
SEEDED_ROLES = ("Administrator", "User", "Guest")
"""Roles that every Greenlight has (greenlight db/data/20220712202649, 20220721145933)."""
