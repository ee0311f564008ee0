# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Timings, side by side in one run: what we do against what cannot be avoided and against what the field does.

Ansible's own import hook comes first, before any of them imports from the collection: plugins can then be loaded by name.
"""

from __future__ import annotations

import sys

from ansible.plugins.loader import init_plugin_loader

if "ansible_collections" not in sys.modules:
    init_plugin_loader()
