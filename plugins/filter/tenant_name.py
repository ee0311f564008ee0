# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: tenant_name
short_description: The pool tenant of a service
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Gives the name under which the pool knows a service. It is the service's id where that is 1 to 16 lower-case letters and digits,
    else nine of its letters and seven hexadecimal digits of its SHA-256.
positional: _input
options:
  _input:
    description: The service's id.
    type: str
    required: true
seealso:
  - module: meet.coop.pool_tenant
"""

EXAMPLES = r"""
---
- name: Say under which name the pool knows an instance
  ansible.builtin.debug:
    msg: "{{ 'sunflower-training' | meet.coop.tenant_name }}"
"""

RETURN = r"""
_value:
  description: 1 to 16 lower-case letters and digits.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name


def tenant_name_filter(service_id: Any) -> str:
    """Front door: a wrong input becomes the filter's own error."""
    try:
        return tenant_name(str(service_id))
    except ValueError as error:
        raise AnsibleFilterError(f"meet.coop.tenant_name: {error}") from error


class FilterModule:
    """Filters of meet.coop."""

    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"tenant_name": tenant_name_filter}
