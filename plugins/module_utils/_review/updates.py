# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: whether security updates of Debian and Ubuntu come by themselves."""

from __future__ import annotations

import re

from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding


def judge(settings: str, installed: bool, timer: str) -> list[Finding]:
    """By ``apt-config dump``, whether unattended-upgrades is installed, and what systemctl is-active says of apt-daily-upgrade.timer."""
    value = re.search(r'^APT::Periodic::Unattended-Upgrade "([^"]*)";', settings, re.MULTILINE)
    off = re.search(r'^APT::Periodic::Enable "0";', settings, re.MULTILINE)
    if not installed:
        seen, todo = "unattended-upgrades is not installed", "apt-get install unattended-upgrades"
    elif off or not value or value[1] in ("", "0"):
        seen, todo = "APT::Periodic does not run unattended-upgrades", "dpkg-reconfigure --priority=low unattended-upgrades"
    elif timer != "active":
        seen, todo = "apt-daily-upgrade.timer does not run", "systemctl enable --now apt-daily-upgrade.timer"
    else:
        return []
    return [Finding("no-security-updates", "apt", seen, f"{todo}; or accept this, with what installs them instead as the reason")]
