# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/site makes of the pages. The whole site is built by the lint part of ./dev test, without a warning or a broken link."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from docs.site import build, picture, reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads(build.SCHEMA.read_text())


def properties(part: Any) -> Iterator[str]:
    """The name of every property anywhere in the schema."""
    if isinstance(part, dict):
        fields = part.get("properties")
        if isinstance(fields, dict):
            yield from fields
        for value in part.values():
            yield from properties(value)
    elif isinstance(part, list):
        for value in part:
            yield from properties(value)


def test_every_field_of_the_membership_file_has_an_anchor_of_its_own() -> None:
    anchors = reference.anchors(SCHEMA)
    assert len(anchors) == len(set(anchors)) > 150
    assert {
        "field-cooperative-domain",
        "field-services-limits-participants",
        "field-services-smtp-dns-dkim",
        "field-members-evidence-number",
    } <= set(anchors)
    written = set(re.findall(r"^#+ `(?:.*\.)?([\w…-]+)(?:\[\])?`$", reference.page(SCHEMA), re.MULTILINE))
    assert set(properties(SCHEMA)) - written == set()


def test_a_field_says_what_the_schema_says() -> None:
    schema = {
        "required": ["limits"],
        "properties": {"limits": {"$ref": "#/$defs/limits"}, "again": {"$ref": "#/$defs/limits", "title": "Again"}},
        "$defs": {
            "limits": {
                "title": "Limits",
                "type": "object",
                "properties": {
                    "minutes": {
                        "title": "Minutes", "description": "In <minutes>.", "type": ["integer", "null"],
                        "minimum": 1, "maximum": 9, "default": 5, "examples": [7],
                    }
                },
            }
        },
    }  # fmt: skip
    assert reference.page(schema).removeprefix(reference.HEAD).split("\n") == [
        "(field-limits)=", "## `limits`\n".strip(), "", "**Limits.**", "", "- required", "- type: fields", "",
        "(field-limits-minutes)=", "### `limits.minutes`", "", r"**Minutes.** In \<minutes\>.", "",
        "- type: whole number or `null`", "- from 1 to 9", "- default: `5`", "- example: `7`", "",
        "(field-again)=", "## `again`", "", "**Again.**", "", "- type: fields", "- fields: as [`limits`](#field-limits)", "", "",
    ]  # fmt: skip


def test_links_lead_to_pages_to_the_repository_or_are_refused() -> None:
    page = ROOT / "docs" / "some.md"
    repository = yaml.safe_load((ROOT / "galaxy.yml").read_text())["repository"]
    assert build.rewrite("[a](move.md#a-dead-host) [b](README.md)", page) == "[a](move.md#a-dead-host) [b](index.md)\n"
    assert (
        build.rewrite("[a](../inventories/example) [b](../dev)", page)
        == f"[a]({repository}/tree/main/inventories/example) [b]({repository}/blob/main/dev)\n"
    )
    assert build.rewrite("[a](https://example.org/x) [b](#here)\n```\n[c](nowhere.md)\n```", page).count("nowhere") == 1
    with pytest.raises(build.BrokenLink, match="docs/some.md: nowhere.md is not there"):
        build.rewrite("[a](nowhere.md)", page)
    with pytest.raises(build.BrokenLink):
        build.rewrite("[a](../../outside.md)", page)


def test_broken_links_of_the_site_are_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top">x</h1><a href="b.html#here">1</a><a href="b.html#gone">2</a><a href="c.html">3</a><a href="#top">4</a>'
    )
    (tmp_path / "b.html").write_text('<p id="here">x</p><a href="https://example.org/nowhere">5</a>')
    assert build.broken_links(tmp_path) == ["a.html: b.html#gone has no such anchor", "a.html: c.html is not there"]


def test_the_start_page_names_everything_there_is() -> None:
    """Pages by link, and modules, roles and playbooks by name; what is missing is named here."""
    text = (ROOT / "docs" / "README.md").read_text()
    named = set(re.findall(r"`([\w.]+)`", text))
    there = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    there |= {path.name for path in (ROOT / "roles").iterdir()} | {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert sorted(there - named) == []
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert sorted(pages - set(re.findall(r"\]\(([\w-]+\.md)", text))) == []
    trees = build.navigation(build.rewrite(text, ROOT / "docs" / "README.md"), sorted(pages))
    assert ":caption: More" not in trees and all(trees.count(f"\n{name}\n") == 1 for name in pages)


def test_the_picture_is_what_is_drawn() -> None:
    assert (ROOT / "docs" / "architecture.svg").read_text() == picture.drawing()
