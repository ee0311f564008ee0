# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of people: what every spreadsheet saves is read, and what is wrong is told by line, all of it and before anything is used."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.lookup.people import LookupModule
from ansible_collections.meet.coop.plugins.module_utils._greenlight import accounts
from ansible_collections.meet.coop.plugins.plugin_utils._people import table

ADA = {"name": "Ada Lovelace", "email": "ada@sunflower.test"}


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(table.TableError) as caught:
        table.read(text if isinstance(text, bytes) else text.encode(), "people.csv")
    return str(caught.value).splitlines()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_spreadsheets_save(delimiter: str, newline: str, mark: bytes) -> None:
    lines = [
        "Email|ROLE| name |state||",
        'Ada@Sunflower.test|Administrator|"Ada\nLovelace"|||',
        "bob@sunflower.test||Bób|Disabled||",
        "|||||",
        "",
        "",
    ]
    text = newline.join(line.replace("|", delimiter) for line in lines)
    assert table.read(mark + text.encode(), "people.csv") == [
        {**ADA, "role": "Administrator"},
        {"name": "Bób", "email": "bob@sunflower.test", "state": "disabled"},
    ]


def test_everything_wrong_is_told_at_once_by_line() -> None:
    found = problems(
        'name,email,state,language,role\n'
        'Ada,ada@sunflower.test,,,\n'
        '"Two\nlines",no mail,gone,,\n'
        ',ADA@sunflower.test,,,\n'
        'Eve,=cmd@sunflower.test,,english!,SuperAdmin\n'
        '\n'
        'Doe, Joe,joe@sunflower.test,,,\n'
        'Gus,,,,\n'
    )  # fmt: skip
    for start in (
        'people.csv:3: email "no mail"', 'people.csv:3: state "gone" is unknown; write present or disabled',
        "people.csv:5: name must not be empty", 'people.csv:5: email "ada@sunflower.test" is on line 2 already',
        'people.csv:6: email "=cmd@sunflower.test" looks like a formula', 'people.csv:6: language "english!"',
        "people.csv:6: role SuperAdmin", 'people.csv:8: email "joe"', "people.csv:9: email is empty",
    ):  # fmt: skip
        assert [line for line in found if line.startswith(start)], (start, found)
    assert not [line for line in found if line.startswith(("people.csv:2:", "people.csv:4:", "people.csv:7:"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "people.csv:1: is empty; write a header"),
        (b",,\n\n", "people.csv:1: is empty; write a header"),
        ("name,mail\nAda,ada@x.test\n", 'people.csv:1: there is no column "mail"'),
        ("name\nAda\n", "people.csv:1: column email is missing"),
        ("name,email,email\n", "people.csv:1: column email is there 2 times"),
        (b"name,email\nJos\xe9,j@x.test\n", "people.csv:2: is not UTF-8"),
        ("name,email\n".encode("utf-16-le"), "people.csv:1: holds a NUL byte"),
        (b"PK\x03\x04rest", "people.csv: is a spreadsheet"),
        ('name,email\nAda,a@x.test\n"Bob,b@x.test\n', "people.csv:3: is no CSV"),
        ("name,email\nAda,a@x.test,extra\n", 'people.csv:2: column 3 holds "extra"'),
        (b"x" * (table.MAX_BYTES + 1), "people.csv: is larger than 5 MB"),
    ],
)
def test_what_is_no_table(text: str | bytes, expected: str) -> None:
    assert problems(text)[0].startswith(expected)


def test_many_mistakes_are_counted_not_listed() -> None:
    found = problems("name,email\n" + "x,y\n" * 2000)
    assert len(found) == table.MAX_PROBLEMS + 1 and found[-1].startswith("people.csv: and ")


PLAIN = st.text(st.characters(categories=["L", "N"], include_characters=" .,;'\"\t\n"), min_size=1, max_size=30).filter(
    lambda text: bool(text.strip()) and not text.strip().startswith(("=", "+", "-", "@", "|"))
)
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {"name": PLAIN, "email": st.from_regex(r"[a-zA-Z0-9][a-z.+_]{0,8}@[a-z]{2,6}\.[a-z]{2,4}", fullmatch=True)},
        optional={
            "role": st.sampled_from(["User", "Administrator", "Chair; deputy"]),
            "state": st.sampled_from(["present", "disabled"]),
            "language": st.sampled_from(["en", "pt_BR"]),
        },
    ),
    max_size=8,
    unique_by=lambda person: person["email"].lower(),
)


@given(PEOPLE, st.permutations(table.COLUMNS), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read_and_accepted(people: list[dict[str, str]], columns: list[str], delimiter: str, newline: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows(people)
    read = table.read(out.getvalue().encode(), "people.csv")
    assert read == [{**person, "name": " ".join(person["name"].split()), "email": person["email"].lower()} for person in people]
    assert len(accounts.desired(read).accounts) == len(people), "the module refuses what the reader lets through"


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda data: b"name,email,state\n" + data),
        st.text(max_size=200).map(lambda text: ("email;name;role;language\n" + text).encode("utf-8", "replace")),
        st.text(alphabet='a@.,;"\n\r\t =é', max_size=120).map(lambda text: ("name,email\n" + text).encode()),
    )
)
def test_garbage_is_told_by_file_and_line(data: bytes) -> None:
    try:
        people = table.read(data, "people.csv")
    except table.TableError as error:
        for line in str(error).split("\n"):
            assert re.match(r"people\.csv(:\d+)?: .", line) and line.isprintable(), line
    else:
        accounts.desired(people)


def lookup(folder: Path, *terms: str) -> Any:
    plugin = LookupModule(loader=DataLoader())
    plugin._load_name = "meet.coop.people"  # as Ansible's loader does
    return plugin.run(list(terms), {"ansible_search_path": [str(folder)]})


def test_the_lookup_finds_files_and_tells_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "good.csv").write_text("email,name\nada@sunflower.test,Ada Lovelace\n")
    (tmp_path / "bad.csv").write_text("email,name\nada,\n")
    assert lookup(tmp_path, "good.csv") == [ADA]
    with pytest.raises(AnsibleError, match=r"bad\.csv:2: email.*\n?.*bad\.csv:2: name must not be empty"):
        lookup(tmp_path, "bad.csv")
    with pytest.raises(AnsibleError, match="none.csv: there is no such file"):
        lookup(tmp_path, "none.csv")


def test_a_role_that_the_service_does_not_have_is_told_by_line() -> None:
    text = b"name,email,role\nAda,ada@x.test,Board\nBob,bob@x.test,board\nCy,cy@x.test,\nDi,di@x.test,Chair\n"
    assert [person.get("role") for person in table.read(text, "people.csv")] == ["Board", "board", None, "Chair"]
    with pytest.raises(table.TableError) as caught:
        table.read(text, "people.csv", ["User", "Board"])
    assert str(caught.value).splitlines() == [
        f'people.csv:{line}: role "{role}" is no role of this service; write one of User, Board (capitals count), or leave it empty'
        for line, role in ((3, "board"), (5, "Chair"))
    ]
