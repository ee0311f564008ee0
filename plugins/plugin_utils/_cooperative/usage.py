# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: reads C(usage/<yyyy-mm>.csv): what each tenant used, and how much of the month was measured."""

from __future__ import annotations

import os
import re
from collections import defaultdict

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import Problem, show

from .ledger import Period, Source, Usage
from .money_files import Files

COLUMNS = ("member", "tenant", "metric", "value", "source", "sampled_from", "sampled_to", "samples_expected", "samples_got")
NEEDED = tuple(name for name in COLUMNS if name != "source")


def read(folder: str, period: Period) -> tuple[tuple[Usage, ...], list[Problem]]:
    """The use of a month, and what is wrong with its file. Values are whole units of the metric, such as participant-minutes."""
    files = Files(folder, "usage", period)
    files.months(".csv")
    parts = (f"{period}.csv",)
    if not os.path.exists(files.path(*parts)):
        return (), files.problems
    text = files.text(*parts)
    rows = [] if text is None else files.table(parts, text, COLUMNS, NEEDED)
    found: list[Usage] = []
    same: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    for line, cells in rows:
        before = len(files.problems)
        member = files.id(parts, line, "member", cells["member"])
        tenant = files.id(parts, line, "tenant", cells["tenant"])
        metric = cells["metric"]
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", metric):
            files.bad(
                parts, line, f"metric {show(metric)} is no name of one; write lower-case letters and '_', such as participant_minutes"
            )
        value, expected, got = (files.whole(parts, line, name, cells[name]) for name in ("value", "samples_expected", "samples_got"))
        first, last = (files.day(parts, line, name, cells[name]) for name in ("sampled_from", "sampled_to"))
        if first and last and last < first:
            files.bad(parts, line, f"sampled_to {last} is before sampled_from {first}; mend one of the two")
        if expected == 0:
            files.bad(
                parts,
                line,
                "samples_expected is 0, so nothing could be measured; write how many there should have been, or remove the line",
            )
        elif expected is not None and got is not None and got > expected:
            files.bad(parts, line, f"samples_got {got} is more than samples_expected {expected}; mend one of the two")
        if got == 0 and value:
            files.bad(parts, line, f"value is {value} without a single sample; write 0, or how many samples there were")
        if len(files.problems) > before or member is None or tenant is None or value is None:
            continue
        if first is None or last is None or expected is None or got is None:
            continue
        record = Usage(Source(files.name(*parts), line, f"{period}:{line}"), member, tenant, metric, value, first, last, expected, got)
        for other in same[tenant, metric]:
            if other.member != member:
                said = f"tenant {show(tenant)} is of {show(other.member)} on line {other.source.line}; a tenant is of one member, mend one"
                files.bad(parts, line, said)
            elif other.sampled_from <= last and first <= other.sampled_to:
                said = (
                    f"{metric} of {show(tenant)} is counted on line {other.source.line} for some of these days already; keep one of the two"
                )
                files.bad(parts, line, said)
        found.append(record)
        same[tenant, metric].append(record)
    return (() if files.problems else tuple(found)), files.problems
