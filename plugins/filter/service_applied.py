# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(meet.coop.service_applied)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_applied
short_description: What M(meet.coop.instance_apply) did, in lines for people
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Joins the results of both parts of M(meet.coop.instance_apply). Names of each service what was done, or why it is left to its role.
positional: services
options:
  _input:
    description: Results of M(meet.coop.instance_apply), those that were skipped included.
    type: list
    elements: dict
    required: true
  services:
    description: All services that were meant.
    type: list
    elements: str
    required: true
seealso:
  - module: meet.coop.instance_apply
"""

EXAMPLES = r"""
- name: Tell what was done
  ansible.builtin.debug:
    msg: "{{ [before, after] | meet.coop.service_applied(['sunflower', 'rosa']) }}"
"""

RETURN = r"""
_value:
  description: A line for all, and one for each service of which something is to be told.
  type: list
  elements: str
  sample: ["2 services: 1 brought to their state together, 1 left to their roles", "rosa: left to its role: dns: the zone is refused"]
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._plan.summary import applied


class FilterModule:
    """The filter for Ansible."""

    def filters(self) -> dict[str, Any]:
        """Name and function."""
        return {"service_applied": service_applied}


def service_applied(results: Sequence[Mapping[str, Any]], services: Sequence[str]) -> list[str]:
    """See the documentation of the filter."""
    return applied(results, services)
