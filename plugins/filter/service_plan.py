# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(meet.coop.service_plan)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_plan
short_description: Puts what was seen of services together into one plan
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Joins the result of M(meet.coop.instance_plan) with those of M(meet.coop.pool_tenant) in check mode for its tenants.
  - A service that is not proven in sync is due.
positional: pools
options:
  _input:
    description: The result of M(meet.coop.instance_plan).
    type: dict
    required: true
  pools:
    description: Results of M(meet.coop.pool_tenant), one for each entry of the input's C(tenants), in that order.
    type: list
    elements: dict
    default: []
seealso:
  - module: meet.coop.instance_plan
"""

EXAMPLES = r"""
- name: Tell what there is to do
  ansible.builtin.debug:
    msg: "{{ (seen | meet.coop.service_plan(pools.results)).lines }}"
"""

RETURN = r"""
_value:
  description: "The plan: C(planned), C(in_sync), C(due) and, for people, C(lines)."
  type: dict
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._plan.summary import merge


class FilterModule:
    """The filter for Ansible."""

    def filters(self) -> dict[str, Any]:
        """Name and function."""
        return {"service_plan": service_plan}


def service_plan(seen: Mapping[str, Any], pools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """See the documentation of the filter."""
    return merge(seen, pools)
