# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cms_access
short_description: The tenants and credentials of a service's content management systems
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Says which tenants there are to be for the systems of a service, with which secrets, and which are to go.
  - The result holds secrets; set C(no_log) on tasks that use it.
positional: _input
options:
  _input:
    description: The service as the inventory plugin P(meet.coop.members#inventory) gives it (C(coop_service)).
    type: dict
    required: true
  kept:
    description: What M(meet.coop.instance_secrets) returned; its C(secrets) and C(next) are used.
    type: dict
    required: true
  pool_domain:
    description: The balancer's name.
    type: str
    required: true
  server_secret:
    description: The secret of the service's own server, for systems with C(access=server).
    type: str
    default: ""
"""

EXAMPLES = r"""
---
- name: Keep the tenants of a service's systems
  meet.coop.pool_tenant:
    tenants: "{{ (coop_service | meet.coop.cms_access(kept, 'pool.example.org')).tenants }}"
  no_log: true
"""

RETURN = r"""
_value:
  description:
    - C(tenants), C(credentials), C(proofs), C(forget) (names of secrets), C(rotating) (names of systems), and C(former) (their old
      secrets).
  type: dict
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.meet.coop.plugins.module_utils._cms.plan import plan
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def cms_access(
    service: Mapping[str, Any], kept: Mapping[str, Any], pool_domain: str, server_secret: str = ""
) -> dict[str, Any]:  # fmt: skip
    """See module_utils/_cms/plan.py."""
    try:
        return asdict(plan(service, kept.get("secrets") or {}, kept.get("next") or {}, pool_domain, server_secret))
    except CoopError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cms_access": cms_access}
