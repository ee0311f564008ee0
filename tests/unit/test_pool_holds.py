# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds of nodes: lengthened by their holder alone, and in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool import holds
from ansible_collections.meet.coop.plugins.module_utils._pool.holds import Hold


def test_a_hold_is_lengthened_by_its_holder_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "held.json")
    there = {"a.example": Hold("me", 10, 20, enabled=False), "b.example": Hold("her", 11, 21)}
    holds.write(there, path)
    holds.lengthen("a.example", "me", 99, path)
    assert holds.read(path) == {**there, "a.example": Hold("me", 10, 99, enabled=False)}
    for domain, expected in (("b.example", "node b.example is held by her"), ("c.example", "node c.example is not held any more")):
        with pytest.raises(CoopError, match=expected):
            holds.lengthen(domain, "me", 99, path)
    assert holds.read(path)["b.example"] == there["b.example"] and [entry.name for entry in tmp_path.iterdir()] == ["held.json"]
