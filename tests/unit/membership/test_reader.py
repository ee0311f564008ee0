# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading: what YAML means here, where things stand, several files."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._membership import model, reader
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem
from tests.unit.membership.base import BASE, TODAY


def parsed(text: str) -> Any:
    problems: list[Problem] = []
    root = reader.parse(text, "members.yml", problems)
    assert problems == []
    return root


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("2021-03-01", "2021-03-01"),
        ("12:30", "12:30"),
        ("0123", 123),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("", None),
        ("1.5", 1.5),
        ("-3", -3),
        ('"25"', "25"),
        ("'null'", "null"),
        ("!!str 25", "25"),
        ("! 25", "25"),
        (".inf", ".inf"),
        ("9" * 30, "9" * 30),
    ],
)
def test_scalars_mean_what_editors_think(written: str, meant: object) -> None:
    value = parsed(f"a: {written}\n")["a"]
    assert value == meant and type(value) is type(meant)


def test_places() -> None:
    root = parsed("---\na:\n  b: 1\n  c:\n    - x\n    - {d: 1,\n       e: 2}\n")
    assert reader.where(root, ()) == ("members.yml", 2)
    assert reader.where(root, ("a", "c")) == ("members.yml", 4)
    assert reader.where(root, ("a", "c", 1, "e")) == ("members.yml", 7)
    assert reader.where(root, ("a", "c", 1, "missing")) == ("members.yml", 6)
    assert reader.where(root, ("nowhere", "at", "all")) == ("members.yml", 2)


def test_anchors_and_merges() -> None:
    root = parsed(
        "x-base: &base {a: 1, b: 2}\nx-more: &more {b: 3, c: 4}\none: {<<: *base, a: 9}\ntwo:\n  <<: [*more, *base]\nthree: *base\n"
    )
    assert root["one"] == {"a": 9, "b": 2}
    assert root["two"] == {"b": 3, "c": 4, "a": 1}
    assert root["three"] == {"a": 1, "b": 2}
    assert reader.where(root, ("one", "b")) == ("members.yml", 1)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), plain, min_size=1, max_size=4))
def test_agrees_with_pyyaml_where_both_versions_of_yaml_do(data: dict[str, Any]) -> None:
    # Quoting every text keeps YAML 1.1's own ideas (yes, 12:30) out of the comparison.
    text = yaml.safe_dump(data, default_style='"', allow_unicode=True)
    assert parsed(text) == yaml.safe_load(text) == data


def write(folder: pathlib.Path, **files: Any) -> None:
    for name, data in files.items():
        path = folder / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")


def of(folder: pathlib.Path) -> model.Membership:
    return model.build(model.read_files([(str(folder), "members")]), TODAY)


def test_a_folder_is_one_membership(tmp_path: pathlib.Path) -> None:
    services = {name: {"services": {name: service}} for name, service in BASE["services"].items()}
    (tmp_path / "services").mkdir()
    (tmp_path / ".hidden").mkdir()
    write(tmp_path, coop={key: value for key, value in BASE.items() if key != "services"})
    write(tmp_path / "services", **services)
    write(tmp_path / ".hidden", other="- not read\n")
    (tmp_path / "README.md").write_text("not read")
    whole = model.build({"members.yml": yaml.safe_dump(BASE, sort_keys=False)}, TODAY)
    found = of(tmp_path)
    assert found.services == whole.services and found.owners == whole.owners


def test_twice_in_two_files(tmp_path: pathlib.Path) -> None:
    write(tmp_path, a=BASE, b={"members": {"rosa": BASE["members"]["rosa"]}, "cooperative": BASE["cooperative"]})
    with pytest.raises(MembershipError) as caught:
        of(tmp_path)
    first = yaml.safe_dump(BASE, sort_keys=False).splitlines().index("  rosa:") + 1
    assert caught.value.lines == [
        f'members/b.yml:2: member "rosa" also stands in members/a.yml:{first}; keep one of the two',
        'members/b.yml:16: section "cooperative" also stands in members/a.yml:1; keep one of the two',
    ]


def test_problems_of_all_files_at_once(tmp_path: pathlib.Path) -> None:
    write(tmp_path, a=BASE, b="a: [", c="members: {rosa: }\n")
    (tmp_path / "d.yml").write_bytes(b"\xff")
    with pytest.raises(MembershipError) as caught:
        of(tmp_path)
    assert [line.split(": ")[0] for line in caught.value.lines] == ["members/b.yml:1", "members/d.yml:1"]


def test_a_problem_in_the_second_file_names_that_file(tmp_path: pathlib.Path) -> None:
    write(tmp_path, a=BASE, b={"services": {"late": {"tier": "consumer", "member": "nobody", "accounts": {"registration": "open"}}}})
    with pytest.raises(MembershipError) as caught:
        of(tmp_path)
    assert caught.value.lines == [
        'members/b.yml:4: service "late", field member: "nobody" is not a member; add it under members, or write one of agaric, rosa'
    ]


def test_paths_that_lead_nowhere(tmp_path: pathlib.Path) -> None:
    for path, said in (
        (tmp_path / "gone.yml", "members: cannot be read: no such file or directory; check the path and its permissions"),
        (tmp_path, "members: holds no .yml or .yaml file; put the membership file there"),
    ):
        with pytest.raises(MembershipError) as caught:
            of(path)
        assert caught.value.lines == [said]


def test_byte_order_mark_is_no_problem(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bom.yml").write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(BASE).encode())
    assert set(of(tmp_path).services) == {"rosa", "cafe"}
