# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  resolver:
    description: Address of the name server to ask; the controller's own when left out.
    type: str
  resolver_port:
    description: Port of O(resolver).
    type: int
    default: 53
  ca_file:
    description: PEM file with the authorities to trust; the controller's own when left out.
    type: path
  timeout:
    description: Seconds for one connection or answer.
    type: int
    default: 20
requirements:
  - dnspython >= 2.6 (on the controller)
"""
