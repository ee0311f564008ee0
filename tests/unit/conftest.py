# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets Ansible's own import hook find the collection, before any test imports from it: plugins can then be loaded by name."""

from __future__ import annotations

import sys

from ansible.plugins.loader import init_plugin_loader

if "ansible_collections" not in sys.modules:
    init_plugin_loader()
