# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pace of new certificates: never more than the limit in any window, and the next one as soon as it may come."""

from __future__ import annotations

import json
import os
import pathlib

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._edge.pace import ORDER_LIMIT, ORDER_WINDOW, orders, pace

NOW = 1_000_000.0


def test_the_default_stays_below_lets_encrypt() -> None:
    assert ORDER_LIMIT < 300 and ORDER_WINDOW == 3 * 3600
    assert pace([], NOW).as_dict() == {"limit": 270, "window": 10_800, "recent": 0, "allowance": 270, "wait": 0, "every": 40.0}


@given(st.lists(st.floats(NOW - 500, NOW + 100), max_size=40), st.integers(1, 10), st.integers(1, 200))
def test_after_the_wait_one_more_may_come_and_not_before(at: list[float], limit: int, window: int) -> None:
    found = pace(at, NOW, limit, window)
    assert 0 <= found.allowance <= limit and (found.wait == 0) == (found.allowance > 0)
    past = [entry for entry in at if entry <= NOW]
    assert pace(past, NOW + found.wait, limit, window).allowance >= 1
    if found.wait > 2:
        assert pace(past, NOW + found.wait - 2, limit, window).allowance == 0


@given(st.integers(1, 8), st.integers(5, 50), st.integers(1, 40))
def test_opening_what_is_allowed_never_passes_the_limit(limit: int, window: int, rounds: int) -> None:
    at: list[float] = []
    now = NOW
    for _round in range(rounds):
        found = pace(at, now, limit, window)
        at += [now] * found.allowance
        now += max(1, found.wait)
        assert all(sum(1 for entry in at if start <= entry < start + window) <= limit for start in at)


def test_orders_are_counted_from_the_log_or_the_files(tmp_path: pathlib.Path) -> None:
    for name in ("a.example", "b.example"):
        place = tmp_path / "certificates" / "ca.test-dir" / name
        place.mkdir(parents=True)
        for kind in ("crt", "key", "json"):
            (place / f"{name}.{kind}").write_text("x")
        os.utime(place / f"{name}.crt", (NOW, NOW))
    log = tmp_path / "acme.log"
    assert orders(str(tmp_path), str(log)) == [NOW, NOW]
    lines = [json.dumps({"ts": NOW + number, "msg": "obtaining certificate", "identifier": f"{number}.example"}) for number in range(3)]
    log.write_text("\n".join([*lines, '{"msg": "certificate obtained"}', "not JSON, obtaining certificate", ""]))
    assert orders(str(tmp_path), str(log)) == [NOW, NOW + 1, NOW + 2], "failures are only in the log"
    assert orders(str(tmp_path / "nowhere"), str(tmp_path / "none.log")) == []
