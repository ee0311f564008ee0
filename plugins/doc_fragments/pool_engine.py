# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine:
    description: What runs the pool, as C(pool_engine) of role P(meet.coop.pool#role) says.
    type: str
    choices: [bbblb, scalelite]
    default: bbblb
  bbblb_command:
    description: Path of the C(bbblb) command.
    type: path
    default: /opt/bbblb/venv/bin/bbblb
  bbblb_config:
    description: Path of its configuration.
    type: path
    default: /etc/bbblb/bbblb.conf
  bbblb_user:
    description: System user that runs it, known to PostgreSQL by peer authentication. Used when the module runs as root.
    type: str
    default: bbblb
  scalelite_container:
    description: Name of the container that runs Scalelite's API.
    type: str
    default: scalelite-api
requirements:
  - BBBLB 0.0.18 or Scalelite 1.8.5, as role P(meet.coop.pool#role) installs them
"""
