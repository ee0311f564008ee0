# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in the file: it is accepted, or refused with clear lines. Never anything else."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import re
import tempfile
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import model
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError
from tests.support.examples import examples
from tests.unit.membership.base import BASE, TODAY

ROOT = pathlib.Path(__file__).parents[3]
LAB = (ROOT / "inventories" / "lab" / "members.yml").read_text(encoding="utf-8")
CLEAR = re.compile(r"members\.yml(:[1-9][0-9]*)?: \S[^\n\r\x00-\x1f]{10,600}")


def judged(texts: dict[str, str]) -> model.Membership | list[str]:
    """The membership, or the lines it is refused with; both are checked for form."""
    try:
        found = model.build(texts, TODAY)
    except MembershipError as exc:
        assert exc.lines
        for line in exc.lines:
            assert CLEAR.fullmatch(line), line
        assert exc.problems == sorted(set(exc.problems))
        return exc.lines
    assert json.loads(json.dumps(model.as_dict(found))) == model.as_dict(found)
    return found


@examples(150)
@given(st.text(max_size=200) | st.text("-:[]{}&*!|>'\"%@#,? \n\tab0", max_size=60))
def test_any_text(text: str) -> None:
    assert isinstance(judged({"members.yml": "".join(c for c in text if not "\ud800" <= c <= "\udfff")}), list)


@examples(100)
@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "members.yml")
        with open(path, "wb") as stream:
            stream.write(data)
        try:
            judged(model.read_files([(path, "members.yml")]))
        except MembershipError as exc:
            assert exc.lines and all(CLEAR.fullmatch(line) for line in exc.lines)


LAB_LINES = LAB.splitlines(keepends=True)


@examples(60)
@given(st.data())
def test_the_lab_file_damaged(data: st.DataObject) -> None:
    lines = list(LAB_LINES)
    for _other in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        column = data.draw(st.integers(0, len(line)))
        lines[at] = data.draw(
            st.sampled_from(
                [
                    "",
                    line + line,
                    line[:column],
                    " " + line,
                    line[:column] + data.draw(st.text("-:[]{}&*!|>'\"%@#\t0a ", max_size=3)) + line[column:],
                ]
            )
        )
    judged({"members.yml": "".join(lines)})


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["rosa", "agaric", "cafe", "host1", "consumer", "accounts", "2021-02-30", "meet.example", "a@b.example", "{{ 1 }}", "x" * 300]
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "email", "tier", "smtp", "member", "x"]) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        found += places(value, (*path, key))
    return found


RICH = yaml.safe_load(LAB)
RICH["services"]["team"] = {
    "tier": "accounts",
    "client": "cafe",
    "instance": "agaric",
    "accounts": {"users": [{"name": "A", "email": "a@cafe.example"}], "people_file": "people/team.csv"},
    "limits": {"rooms_per_account": 1},
    "term": {"from": "2025-12-01", "until": "2026-12-31"},
    "price": {"amount": "12.50", "currency": "EUR", "per": "month"},
}
RICH["services"]["agaric"] = {
    "tier": "dedicated_container",
    "member": "agaric",
    "smtp": None,
    "accounts": {
        "registration": "open",
        "default_role": "Board",
        "roles": [
            {"name": "Board", "color": "#112233", "rooms_per_account": 3, "permissions": {"CanRecord": False}, "mail_domains": ["b.test"]},
            {"name": "Old", "state": "absent"},
        ],
    },
}
RICH["defaults"]["tiers"] = {"consumer": {"limits": {"participants": 20}}}
RICH["container_hosts"]["host1"]["connection"] = {"ansible_user": "root"}
RICH_PLACES = places(RICH)


def test_the_rich_file_is_good() -> None:
    assert isinstance(judged({"members.yml": yaml.safe_dump(RICH)}), model.Membership)


@examples(100)
@given(
    st.lists(st.tuples(st.sampled_from(RICH_PLACES), st.sampled_from(["replace", "remove", "rename", "add"]), junk), min_size=1, max_size=3)
)
def test_a_good_structure_damaged(damage: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    data = copy.deepcopy(RICH)
    for path, how, value in damage:
        node = data
        try:
            for step in path[:-1]:
                node = node[step]
            if how == "replace":
                node[path[-1]] = value
            elif how == "remove":
                del node[path[-1]]
            elif how == "rename" and isinstance(node, dict):
                node[str(value)] = node.pop(path[-1])
            elif isinstance(node[path[-1]], dict):
                node[path[-1]][str(value)] = value
        except (KeyError, IndexError, TypeError):
            continue
    judged({"members.yml": yaml.safe_dump(data, allow_unicode=True)})


@given(st.lists(st.sampled_from(sorted(BASE["services"])), unique=True))
def test_removing_services_never_makes_a_file_bad(gone: list[str]) -> None:
    data = copy.deepcopy(BASE)
    for name in gone:
        del data["services"][name]
    found = judged({"members.yml": yaml.safe_dump(data)})
    assert isinstance(found, model.Membership) and set(found.services) == set(BASE["services"]) - set(gone)
