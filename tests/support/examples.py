# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many examples the property tests draw.

A quarter of them in every run, so that ``./dev test unit`` is done in a minute; they are others each time. All of them with
``./dev test thorough``, which loads the profile of that name.
"""

from __future__ import annotations

from typing import Any

import hypothesis

ALL = 100
PLAIN = "meet.coop"
# A busy machine is no mistake of ours.
hypothesis.settings.register_profile(PLAIN, deadline=None, max_examples=ALL // 4)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=ALL)


def examples(most: int, **more: Any) -> hypothesis.settings:
    """Settings of a test that draws ``most`` examples when it is thorough, and otherwise its share of them, but 10 at the least."""
    share = hypothesis.settings().max_examples
    return hypothesis.settings(max_examples=min(most, max(10, most * share // ALL)), **more)
