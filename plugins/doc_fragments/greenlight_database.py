# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  login_db:
    description: Name of the instance's database.
    type: str
    required: true
requirements:
  - psycopg >= 3.1 (Debian package python3-psycopg)
"""

    SERVER = r"""
options:
  login_unix_socket:
    description:
      - Directory of the server's unix socket. Wins over O(login_host).
      - With neither, the local socket where libpq looks for it.
    type: str
  login_host:
    description: Host name or address of the PostgreSQL server.
    type: str
  login_port:
    description: Port of the PostgreSQL server; also part of a unix socket's name.
    type: int
    default: 5432
  login_user:
    description:
      - The role to connect as.
      - The instance's own role is the narrowest choice. As a superuser the module refuses tables that hold triggers, rules
        or expressions, because they would run the instance's code with a superuser's rights.
    type: str
    default: postgres
  login_password:
    description: Password of O(login_user). Not needed where the server trusts the unix user (peer).
    type: str
"""

    GUARDS = r"""
options:
  unknown_version:
    description: What to do when the database has migrations of a Greenlight newer than this collection knows.
    type: str
    choices: [warn, fail]
    default: warn
  lock_wait:
    description: Seconds to try for locks that the running site or another run holds.
    type: int
    default: 30
"""
