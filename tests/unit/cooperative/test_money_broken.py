# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Money files damaged in every way: either they still make sense, or a line says what is wrong; nothing else ever happens."""

from __future__ import annotations

import os
import pathlib
import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.support.examples import examples

from .year import MONTHS, Year

PIECES = [
    "",
    " ",
    "\t",
    "\n",
    ":",
    "-",
    "x",
    "0",
    "9" * 30,
    "-1",
    "1.005",
    "2025-13-01",
    "null",
    "[",
    "{",
    '"',
    ",",
    "\x00",
    "é",
    "\ud7ff",
    "!!int",
    "*a",
    "1e9",
]


@pytest.fixture(scope="module")
def year(tmp_path_factory) -> Year:
    folder = tmp_path_factory.mktemp("broken")
    year = Year(folder)
    year.close(*MONTHS[:2])
    # What the open month, March, rests on.
    year.add(
        "corrections/2025-03.yml",
        "---\ncorrections:\n  - {corrects: 2025-01, member: daisy, what: contribution, amount: -6.00, reason: x}\n",
    )
    return year


FILES = (
    "rules/2.yml",
    "accounts.yml",
    "sales/2025-03.yml",
    "corrections/2025-03.yml",
    "bills/2025-03/hetzner.yml",
    "usage/2025-03.csv",
    "hours/2025-03/agaric.timedot",
    "hours/2025-03/clover.csv",
    "payments/2025-03.csv",
)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_told_with_its_file(year, data):
    name = data.draw(st.sampled_from(FILES))
    path: pathlib.Path = year.money / name
    whole = path.read_bytes()
    text = whole.decode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    changed = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    before = year.tree()
    try:
        path.write_bytes(changed.encode(errors="surrogatepass"))
        result = year.run(check=True)
    except CoopError as error:
        for line in str(error).splitlines():
            found = re.match(r"([^:]+?)(?::[0-9]+)?: .{10,}", line)
            assert found and (os.path.exists(found[1]) or os.path.exists(os.path.dirname(found[1]))), line
            assert ";" in line or line.endswith("check this line and the one above it"), f"what to do instead: {line}"
    else:
        pool = {key: int(amount.replace(".", "")) for key, amount in result["pool"].items()}
        assert sum(int(one["due"].replace(".", "")) for one in result["members"]) == pool["total"]
    finally:
        path.write_bytes(whole)
    assert year.tree() == before
