# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of people that a member sends: from the file beside the membership file to accounts in the member's Greenlight."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

from .conftest import Play

INSTANCE, DATABASE = "cafe", "greenlight_cafe"
TABLE = "people/cafe.csv"
KIM = "        - {name: Kim Lee, email: kim@mail.lab.test}"
HEADER = "email;name;state\n"


def test_people_of_a_table_get_and_lose_their_accounts(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    inventory = other_inventory(lambda text: text.replace(KIM, f"{KIM}\n      people_file: {TABLE}"))
    table = inventory / TABLE
    table.parent.mkdir()

    def accounts() -> str:
        query = "SELECT string_agg(email || ' ' || status, ', ' ORDER BY email) FROM users WHERE email LIKE 'table-%'"
        answer = lab.exec("host1", ["psql", "-U", "postgres", "-d", DATABASE, "-Atc", query])
        return str(answer.stdout.strip())

    def run(*options: str) -> Play:
        return play("services.yml", "-l", INSTANCE, *options, inventory=inventory)

    try:
        table.write_text(f"{HEADER}table-ada@mail.lab.test;Ada Moor;\ntable-bo@mail.lab.test;Bo\nnobody;;frozen\n")
        refused = run()
        assert refused.failed == {INSTANCE} and refused.changed == {} and accounts() == ""
        assert "cafe.csv:4: " in refused.output and "Traceback" not in refused.output, refused.output[-3000:]

        table.write_text(f"{HEADER}table-ada@mail.lab.test;Ada Moor;\ntable-bo@mail.lab.test;Bo;\n")
        foretold = run("--check", "--diff")
        assert accounts() == "" and set(foretold.changed) == {INSTANCE}, foretold.output[-3000:]
        made = run()
        assert made.code == 0 and accounts() == "table-ada@mail.lab.test 0, table-bo@mail.lab.test 0", made.output[-3000:]
        again = run()
        assert again.code == 0 and again.changed == {}, again.output[-3000:]

        table.write_text(f"{HEADER}table-ada@mail.lab.test;Ada Moor;disabled\n")
        outcome = run()
        assert outcome.code == 0 and accounts() == "table-ada@mail.lab.test 2, table-bo@mail.lab.test 0", outcome.output[-3000:]
    finally:
        lab.exec("host1", ["psql", "-U", "postgres", "-d", DATABASE, "-c", "DELETE FROM users WHERE email LIKE 'table-%'"])
