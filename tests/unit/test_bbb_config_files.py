# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of BigBlueButton are changed where it is meant and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import assignments, hocon, properties, turn, yaml_file
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.lab.bbb import disk

KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,12}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WANTED = st.dictionaries(KEYS, st.none() | TEXTS, min_size=1, max_size=4)
FILLERS = st.sampled_from(["# a comment = no key", "! another", "", "   ", "\t# indented"])


# --- properties ------------------------------------------------------------------------------------------------------


@st.composite
def property_files(draw: st.DrawFn) -> str:
    lines = []
    for _line in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            lines.append(draw(FILLERS))
        else:
            value = draw(st.from_regex(r"[A-Za-z0-9,.:/ =$#{}-]{0,15}", fullmatch=True))
            lines.append(draw(KEYS) + draw(st.sampled_from(["=", " = ", ":", " "])) + value.strip())
            if draw(st.booleans()):
                lines[-1] += "\\\n   more"
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@given(property_files(), WANTED)
def test_properties_become_what_is_asked_and_nothing_else(text: str, wanted: dict[str, str | None]) -> None:
    before = properties.parse(text, "f")
    result = properties.merge(text, wanted, "f")
    after = properties.parse(result, "f")
    assert after == {**{key: value for key, value in before.items() if key not in wanted},
                     **{key: value for key, value in wanted.items() if value is not None}}  # fmt: skip
    assert properties.merge(result, wanted, "f") == result, "merging twice is merging once"
    kept = {line for entry in properties.entries(text, "f") if entry.key in wanted for line in range(entry.first, entry.end)}
    lines, left = text.splitlines(), result.splitlines()
    for number, line in enumerate(lines):
        if number not in kept:
            assert line in left
            left = left[left.index(line) + 1 :]


def test_properties_are_read_as_java_reads_them() -> None:
    text = "a = 1 \n! c\n b:2\nlong=one,\\\n      two\nuni=\\u00e9\\t!\nempty\na=3\n"
    assert properties.parse(text, "f") == {"a": "3", "b": "2", "long": "one,two", "uni": "é\t!", "empty": ""}
    assert properties.merge(text, {"a": "4"}, "f").count("a=") == 1, "of two the last counts, and is the only one afterwards"
    with pytest.raises(CoopError, match=r"f:2 has \\u without"):
        properties.parse("a=1\nb=\\u12", "f")


def test_windows_line_ends_stay() -> None:
    assert properties.merge("a=1\r\nb=2\r\n", {"a": "3", "c": "4"}, "f") == "a=3\r\nb=2\r\nc=4\r\n"


# --- HOCON -----------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,6}", fullmatch=True)
SCALARS = st.booleans() | st.integers(-(10**6), 10**6) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: st.SearchStrategy[Any] = SCALARS | st.lists(SCALARS, max_size=3)
PATHS = st.tuples(NAMES) | st.tuples(NAMES, NAMES)
HOCON_TEXT = disk.operator("0123456789abcdef", "node1.lab.test")[disk.AKKA]


@given(st.dictionaries(PATHS, VALUES, min_size=1, max_size=4))
def test_hocon_becomes_what_is_asked_and_nothing_else(wanted: dict[tuple[str, ...], Any]) -> None:
    roots = {path for path in wanted if len(path) == 1}
    wanted = {path: value for path, value in wanted.items() if path in roots or path[:1] not in roots}
    wanted = {path: value for path, value in wanted.items() if path != ("services",)} or {("x",): 1}
    before = hocon.parse(HOCON_TEXT, "f")
    result = hocon.merge(HOCON_TEXT, wanted, "f")
    after = hocon.parse(result, "f")
    assert all(yaml_file.same(after[path], value) for path, value in wanted.items())
    assert all(after[path] == value for path, value in before.items() if path not in wanted)
    assert result.startswith(HOCON_TEXT.partition("services")[0])
    assert hocon.merge(result, wanted, "f") == result
    assert hocon.merge(result, dict.fromkeys(wanted), "f") == hocon.merge(HOCON_TEXT, dict.fromkeys(wanted), "f")


@given(VALUES)
def test_a_hocon_value_is_read_as_it_was_written(value: Any) -> None:
    assert yaml_file.same(hocon.decode(hocon.render(value)), value)


def test_hocon_is_changed_where_shell_scripts_look_for_it() -> None:
    """bbb-conf and others find the secret with grep and sed, so it stays in its line."""
    result = hocon.merge(HOCON_TEXT, {("services", "sharedSecret"): "fedcba9876543210"}, "f")
    assert result == HOCON_TEXT.replace("0123456789abcdef", "fedcba9876543210")


def test_hocon_of_the_packages_is_understood() -> None:
    found = hocon.parse(disk.AKKA_DEFAULTS, "f")
    assert found["http", "port"] == "${?PORT}" and found["voiceConf", "recordCodec"] == "opus" and found["redis", "password"] == ""
    text = 'a { b = [1, "x, y" # c\n true], c: """raw " text""" }\nproperties = { d = 60s }, e += 3 // f\n'
    text += 'g.h.i = ${x}"z"\n"k.l" = null\n/m/n { o = 1 }'
    assert hocon.parse(text, "f") == {
        ("a",): {}, ("a", "b"): [1, "x, y", True], ("a", "c"): 'raw " text', ("properties",): {}, ("properties", "d"): "60s", ("e",): 3,
        ("g", "h", "i"): '${x}"z"', ("k.l",): None, ("/m/n",): {}, ("/m/n", "o"): 1,
    }  # fmt: skip
    assert hocon.merge(text, {("a", "c"): None}, "f") == text.replace(', c: """raw " text"""', ", ")
    assert hocon.parse(hocon.merge(text, {("e",): [1]}, "f"), "f")["e",] == [1]


@pytest.mark.parametrize("text, expected", [
    ("a {\n b = 1\n", "f:3 cannot be understood: a { is not closed"),
    ("a = 1\n}", "f:2 cannot be understood: a } closes nothing"),
    ("a = 1\nb \"x", "f:2 cannot be understood: = is expected after b"),
    ("a = \"x\nb = 1", "f:1 cannot be understood: a quotation mark is not closed"),
    ("a =\nb = 1\nc = [1", "f:3 cannot be understood"),
])  # fmt: skip
def test_broken_hocon_is_one_line_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(CoopError) as error:
        hocon.parse(text, "f")
    assert expected in str(error.value) or "c = [1" in text and "f:" in str(error.value)


# --- YAML ------------------------------------------------------------------------------------------------------------

TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.none() | st.lists(SCALARS, max_size=3), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
MAPPINGS = st.dictionaries(NAMES, TREES, max_size=4)


@given(MAPPINGS, MAPPINGS, st.sampled_from([None, False]))
def test_yaml_becomes_what_is_asked(before: dict[str, Any], wanted: dict[str, Any], flow: bool | None) -> None:
    text = yaml.safe_dump(before, default_flow_style=flow, sort_keys=False)
    result = yaml_file.merge(text, wanted, "f")
    assert yaml_file.same(yaml_file.parse(result, "f"), yaml_file.merged(before, wanted))
    assert yaml_file.merge(result, wanted, "f") == result


COMMENTED = """\
# of the operator
redisHost: 127.0.0.1   # not another
mediasoup:
  # about ports
  worker: {rtcMinPort: 24577, rtcMaxPort: 32768}

  list:
    - one   # first
    - two
text: |
  a
  b

last: 'x'
# the end
"""


@pytest.mark.parametrize("wanted, expected", [
    ({"redisHost": "::1"}, COMMENTED.replace("127.0.0.1 ", '"::1" ')),
    ({"mediasoup": {"new": True}}, COMMENTED.replace("    - two\n", "    - two\n  new: true\n")),
    ({"mediasoup": {"worker": {"rtcMinPort": 20000}}},
     COMMENTED.replace(" {rtcMinPort: 24577, rtcMaxPort: 32768}", "\n    rtcMinPort: 20000\n    rtcMaxPort: 32768")),
    ({"mediasoup": {"list": ["three"]}}, COMMENTED.replace("    - one   # first\n    - two\n", "    - three\n")),
    ({"text": "c"}, COMMENTED.replace(" |\n  a\n  b\n\n", ' "c"\n')),
    ({"last": None}, COMMENTED.replace("last: 'x'\n", "")),
    ({"more": {"deep": [1]}}, COMMENTED.replace("last: 'x'\n", "last: 'x'\nmore:\n  deep:\n  - 1\n")),
    ({"mediasoup": {"absent": None}}, COMMENTED),
])  # fmt: skip
def test_other_lines_of_yaml_stay(wanted: dict[str, Any], expected: str) -> None:
    assert yaml_file.merge(COMMENTED, wanted, "f") == expected


def test_yaml_that_cannot_be_changed_safely_is_refused() -> None:
    for text in ("a: &x {b: 1}\nc: *x\n", "a: &x\n  b: 1\nc: *x\n"):
        with pytest.raises(CoopError, match="f is written in a way that cannot be changed safely"):
            yaml_file.merge(text, {"a": {"b": 5}}, "f")
    with pytest.raises(CoopError, match="f:2 is no YAML"):
        yaml_file.parse("a: 1\n b: [", "f")
    with pytest.raises(CoopError, match="holds no settings"):
        yaml_file.parse("- a\n", "f")


# --- The others ------------------------------------------------------------------------------------------------------


@given(st.lists(FILLERS | st.sampled_from(["history=5", "history='3' # days", "export X=1", "log_history=28"]), max_size=6),
       st.dictionaries(st.sampled_from(["history", "published_days"]), st.none() | st.sampled_from(["7", "14"])))  # fmt: skip
def test_assignments_become_what_is_asked(lines: list[str], wanted: dict[str, str | None]) -> None:
    text = "\n".join(lines)
    result = assignments.merge(text, wanted)
    before, after = assignments.parse(text), assignments.parse(result)
    assert after == {**{name: value for name, value in before.items() if name not in wanted},
                     **{name: value for name, value in wanted.items() if value is not None}}  # fmt: skip
    assert assignments.merge(result, wanted) == result
    untouched = [line for line in lines if not line.startswith("history")]
    assert [line for line in result.splitlines() if line in untouched] == [line for line in text.splitlines() if line in untouched]


URLS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(st.lists(URLS, max_size=3), st.lists(st.tuples(URLS, URLS, st.integers(60, 10**6)), max_size=3))
def test_turn_servers_are_read_as_they_were_written(stun: list[str], servers: list[tuple[str, str, int]]) -> None:
    wanted = turn.Servers(tuple(stun), tuple(turn.Turn(*one) for one in servers))
    assert turn.parse(turn.render(wanted), "f") == wanted


def test_a_broken_turn_file_is_one_line() -> None:
    for text, expected in (("<beans", "f:1 is no XML"), ('<!DOCTYPE a [<!ENTITY b "c">]><a/>', "f has a document type")):
        with pytest.raises(CoopError, match=expected):
            turn.parse(text, "f")
