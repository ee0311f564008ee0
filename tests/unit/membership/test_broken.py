# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hundred and more broken files, each with the clear lines it must give."""

from __future__ import annotations

import datetime
import json
import pathlib
import re

import pytest

from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError

FOLDER = pathlib.Path(__file__).parents[1] / "data" / "broken_members"
EXPECTED: dict[str, list[str]] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


def test_every_file_is_expected() -> None:
    assert {path.stem for path in FOLDER.glob("*.broken")} == set(EXPECTED)
    assert len(EXPECTED) >= 100


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_broken_file(name: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "members.yml"
    file.write_bytes((FOLDER / f"{name}.broken").read_bytes())
    with pytest.raises(MembershipError) as caught:
        model.build(model.read_files([(str(file), "members.yml")]), datetime.date(2026, 1, 1))
    assert caught.value.lines == EXPECTED[name]


def test_no_secret_is_repeated() -> None:
    said = " ".join(line for lines in EXPECTED.values() for line in lines)
    for secret in ("hunter2", "s3cr3t", "AES256"):
        assert secret not in said


def test_every_line_says_what_to_do() -> None:
    advice = re.compile(r"\b(write|did you mean|keep|remove|choose|save|put|close|begin|use|mend|add|check|indent|set|name a variable)\b")
    assert [line for lines in EXPECTED.values() for line in lines if not advice.search(line.split(": ", 1)[1])] == []
