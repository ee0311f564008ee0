# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  admin:
    description: Caddy's admin API, as a socket's path or a URL.
    type: str
    default: /run/caddy/admin.sock
  config_file:
    description: File that Caddy starts from. What changes the running configuration is written there too.
    type: path
    default: /etc/caddy/edge.json
"""
