# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in C(check_mode)) when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second invocation indicates no change.
"""

    ACTIONGROUP_COOP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/meet.coop.coop) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - meet.coop.coop
"""
