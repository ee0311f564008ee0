# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: banner
short_description: A maintenance banner with our announcement in it
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Puts an announcement before what a member has in the maintenance banner of its Greenlight, in place of the one that stood there.
  - Our part is known again by the HTML comments around it. With an empty announcement only what the member wrote itself is left.
positional: _input, announcement
options:
  _input:
    description: The banner as it is.
    type: str
    required: true
  announcement:
    description: What is to be announced, as HTML; empty for nothing.
    type: str
    required: true
seealso:
  - module: meet.coop.maintenance_notices
"""

EXAMPLES = r"""
---
- name: Say that there is nothing to announce any more
  ansible.builtin.debug:
    msg: "{{ current | meet.coop.banner('') }}"
"""

RETURN = r"""
_value:
  description: The whole banner.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._support.banner import banner


class FilterModule:
    """Filters of meet.coop."""

    def filters(self) -> dict[str, Callable[[Any, Any], str]]:
        return {"banner": banner}
