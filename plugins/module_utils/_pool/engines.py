# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the engine that a module's options name."""

from __future__ import annotations

import typing as t

from ansible_collections.meet.coop.plugins.module_utils._pool.bbblb import Bbblb
from ansible_collections.meet.coop.plugins.module_utils._pool.plan import Engine
from ansible_collections.meet.coop.plugins.module_utils._pool.scalelite import Scalelite

ENGINE_ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "engine": {"type": "str", "choices": ["bbblb", "scalelite"], "default": "bbblb"},
    "bbblb_command": {"type": "path", "default": "/opt/bbblb/venv/bin/bbblb"},
    "bbblb_config": {"type": "path", "default": "/etc/bbblb/bbblb.conf"},
    "bbblb_user": {"type": "str", "default": "bbblb"},
    "scalelite_container": {"type": "str", "default": "scalelite-api"},
}
"""Argument spec of the engine's options (doc fragment ``meet.coop.pool_engine``)."""


def engine_of(options: t.Mapping[str, t.Any], *, check_mode: bool, name: str = "") -> Engine:
    """The engine that a module's options name, or the one of this ``name`` with the same options."""
    if (name or options["engine"]) == "scalelite":
        return Scalelite(options["scalelite_container"], check_mode=check_mode)
    return Bbblb(options["bbblb_command"], options["bbblb_config"], options["bbblb_user"], check_mode=check_mode)
