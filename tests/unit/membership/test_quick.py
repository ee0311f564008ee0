# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fast yes allows nothing that jsonschema refuses, and says yes to what is right."""

from __future__ import annotations

import copy
import datetime
import pathlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import quick, shape

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "inventories" / "example" / "members.yml"
RIGHT = yaml.safe_load(EXAMPLE.read_text())
VALUES = (
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats(allow_nan=False) | st.text(max_size=9) | st.lists(st.integers(0, 2))
    | st.dictionaries(st.text(max_size=5), st.none()) | st.sampled_from(["2021-13-01", "a\n", "GB", "x-y", [], {}, ["a", "a"], [1, True]])
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, entry in inner for one in places(entry, (*path, key)))]


def texts(value: Any) -> Any:
    """Dates as the membership file's own reader gives them."""
    if isinstance(value, dict):
        return {key: texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [texts(entry) for entry in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


RIGHT = texts(RIGHT)
PLACES = [path for path in places(RIGHT) if path]


def test_the_example_is_allowed_at_once() -> None:
    assert shape._quick()(RIGHT)


@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add"]), VALUES, st.text(max_size=6)), min_size=1, max_size=3
    )
)
def test_what_is_allowed_at_once_is_allowed(changes: list[tuple[tuple[Any, ...], str, Any, str]]) -> None:
    document = copy.deepcopy(RIGHT)
    for path, what, value, key in changes:
        holder: Any = document
        try:
            for step in path[:-1]:
                holder = holder[step]
            if what == "set":
                holder[path[-1]] = value
            elif what == "drop":
                del holder[path[-1]]
            elif isinstance(holder[path[-1]], dict):
                holder[path[-1]][key] = value
            elif isinstance(holder[path[-1]], list):
                holder[path[-1]].append(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    if shape._quick()(document):
        assert shape._validator().is_valid(document)
    else:
        # Only what it cannot tell apart may be left to jsonschema although it is right.
        assert not shape._validator().is_valid(document) or "1.0" in repr(document) or ".0" in repr(document)


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"patternProperties": {"^x-": {"type": "string"}}}, {"x-a": "b", "c": 1}, {"x-a": 1}),
        ({"properties": {"a": {"const": True}}}, {"a": True, "b": 0}, {"a": 1}),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": True}),
        ({"enum": [1, "a", None]}, None, True),
        ({"uniqueItems": True}, [1, 2], [1, 1]),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}, {}),
        ({"propertyNames": {"maxLength": 2}, "minimum": 3}, {"ab": 1}, {"abc": 1}),
        ({"minimum": 3, "maximum": 4}, 3, 5),
        ({"type": ["string", "null"], "minLength": 1, "pattern": "^a"}, "ab", "b"),
        ({"items": {"type": "number"}, "minItems": 1, "maxItems": 2}, [1.5], [1, 2, 3]),
    ],
)
def test_each_keyword(schema: dict[str, Any], right: Any, wrong: Any) -> None:
    check = quick.compiled(schema)
    assert check(right) and not check(wrong)


def test_a_keyword_that_is_not_known_is_told() -> None:
    with pytest.raises(quick.Unknown):
        quick.compiled({"properties": {"a": {"if": {}}}})
