# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped JSON Schema: valid, helpful to editors, and of one mind with the examples, the page and the defaults."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from ansible_collections.meet.coop.plugins.plugin_utils._membership import defaults, shape

ROOT = pathlib.Path(__file__).parents[3]
SCHEMA = shape.load_schema()
PAGE = (ROOT / "docs" / "membership-file.md").read_text(encoding="utf-8")


def fields(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that a user can write, with its schema."""
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}.{name}", inner
        for key, inner in schema.items():
            yield from fields(inner, f"{path}.{key}")


FIELDS = dict(fields(SCHEMA))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {**SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], **schema}
    return schema


def test_it_is_a_schema_of_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_an_editor_can_explain_each_field(name: str) -> None:
    field = resolved(FIELDS[name])
    assert field.get("title") and field.get("description")
    kinds = {field["type"]} if isinstance(field.get("type"), str) else set(field.get("type", ()))
    simple = not {"object", "array"} & kinds and "const" not in field
    if simple and not name.endswith(".notes"):
        assert field.get("examples")


@pytest.mark.parametrize("name", sorted(name for name in FIELDS if "examples" in resolved(FIELDS[name])))
def test_examples_follow_their_own_rule(name: str) -> None:
    field = resolved(FIELDS[name])
    rule = {"$defs": SCHEMA["$defs"], **{key: value for key, value in field.items() if key not in ("$ref", "default")}}
    for example in field["examples"]:
        jsonschema.Draft202012Validator(rule).validate(example)


def test_a_pattern_says_in_words_what_it_wants() -> None:
    def silent(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            if isinstance(schema.get("pattern"), str) and "patternErrorMessage" not in schema:
                yield schema["pattern"]
            for inner in schema.values():
                yield from silent(inner)
        elif isinstance(schema, list):
            for inner in schema:
                yield from silent(inner)

    assert list(silent(SCHEMA)) == []


@pytest.mark.parametrize("place", ["example", "lab"])
def test_an_editor_finds_nothing_wrong_with_our_files(place: str) -> None:
    """The schema as editors use it: with its references, on values as YAML 1.2 reads them."""
    file = ROOT / "inventories" / place / "members.yml"
    text = file.read_text(encoding="utf-8")
    loader = type(
        "Yaml12",
        (yaml.SafeLoader,),
        {
            "yaml_implicit_resolvers": {
                first: [(tag, rule) for tag, rule in rules if "timestamp" not in tag]
                for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
            }
        },
    )
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.load(text, Loader=loader))
    link = re.search(r"yaml-language-server: \$schema=(\S+)", text)
    assert link and (file.parent / link[1]).samefile(shape.SCHEMA_FILE)


def test_the_example_shows_every_field() -> None:
    text = (ROOT / "inventories" / "example" / "members.yml").read_text(encoding="utf-8")
    names = {name.rsplit(".", 1)[1] for name in FIELDS}
    assert {name for name in names if not re.search(rf"\b{name}:", text)} <= {"decisions", "redirect", "uid_field", "dedicated_server"}


def test_the_page_names_every_field() -> None:
    names = {name.rsplit(".", 1)[1] for name in FIELDS}
    assert {name for name in names if f"`{name}" not in PAGE and f".{name}" not in PAGE} <= set(defaults.TIERS) | {"plugin"}


def test_the_page_shows_the_defaults() -> None:
    table = PAGE.split("<!-- defaults: begin -->")[1].split("<!-- defaults: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    assert rows == [
        [
            tier,
            *(str(limits[key] or "no limit") for key in ("rooms_per_account", "meeting_minutes", "participants")),
            *(str(defaults.RESOURCES[tier][key]) for key in ("memory", "cpus", "pids")),
        ]
        for tier, limits in defaults.LIMITS.items()
    ]


def test_the_schemas_own_defaults_are_the_ones_used() -> None:
    branding = SCHEMA["$defs"]["branding"]["properties"]
    assert branding["language"]["default"] == defaults.BRANDING["language"]
    assert SCHEMA["$defs"]["accounts"]["properties"]["registration"]["default"] == defaults.REGISTRATION
    assert set(SCHEMA["$defs"]["service"]["properties"]["tier"]["enum"]) == set(defaults.TIERS)
    assert set(SCHEMA["$defs"]["smtp"]["properties"]["security"]["enum"]) == set(defaults.PORTS)


def test_a_final_line_break_does_not_slip_through_a_pattern() -> None:
    validator = shape._validator()
    rule = validator.schema["properties"]["services"]["additionalProperties"]["properties"]["image"]
    assert jsonschema.Draft202012Validator(rule).is_valid("a/b:v1")
    assert not jsonschema.Draft202012Validator(rule).is_valid("a/b:v1\n")
