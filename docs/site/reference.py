# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of the membership file, as one Markdown page, from the JSON Schema that the plugin checks with.

Every field has a heading's worth of its own: an anchor (``field-services-limits-participants``), what it means, type, bounds, default
and examples. What is described once in the schema and used in several places is written once, and linked to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

HEAD = """\
# Reference of the membership file

Made from the JSON Schema that checks the file, `plugins/plugin_utils/_membership/members.schema.json`.
[The membership file](membership-file.md) says how the parts hang together, and what is checked beyond single fields.
`<id>` stands for a name that you choose.

"""
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "null": "`null`"}


def page(schema: Schema) -> str:
    """The whole page."""
    return HEAD + "\n".join(_sections(schema)) + "\n"


def anchors(schema: Schema) -> list[str]:
    """The anchor of every field, in the order of the page."""
    return re.findall(r"^\(([\w-]+)\)=$", page(schema), re.MULTILINE)


def _sections(schema: Schema) -> Iterator[str]:
    written: dict[str, tuple[str, ...]] = {}
    # What is shared is described where it belongs, at members and services: the co-operative links to it, and so do the defaults, the last.
    parts = sorted(schema["properties"].items(), key=lambda entry: entry[0] == "defaults")
    made: dict[str, list[str]] = {}
    for name, part in sorted(parts, key=lambda entry: entry[0] in ("cooperative", "defaults")):
        made[name] = list(_field(schema, (name,), part, name in schema.get("required", ()), written))
    for name, _part in parts:
        yield from made[name]
    for pattern, part in schema.get("patternProperties", {}).items():
        yield from _field(schema, (f"{pattern.removeprefix('^')}…",), part, False, written)


def _resolved(schema: Schema, part: Schema) -> tuple[dict[str, Any], str]:
    """A part with what it refers to, and the name of that, if it refers to something; what stands beside the reference comes first."""
    name = str(part.get("$ref", "")).removeprefix("#/$defs/")
    if not name:
        return dict(part), ""
    return {**schema["$defs"][name], **{key: value for key, value in part.items() if key != "$ref"}}, name


def _anchor(path: tuple[str, ...]) -> str:
    steps = [step for step in path if step not in ("<id>", "[]")] + (["entry"] if path[-1] == "<id>" else [])
    return "field-" + re.sub(r"[^a-z0-9_]+", "-", "-".join(steps).lower()).strip("-")


def _name(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".[]", "[]")


def _field(schema: Schema, path: tuple[str, ...], part: Schema, required: bool, written: dict[str, tuple[str, ...]]) -> Iterator[str]:
    field, shared = _resolved(schema, part)
    if "items" in field:
        field["items"], _name_of_items = _resolved(schema, field["items"])
    # Three depths of headings carry the navigation; what is deeper has its whole name anyway.
    depth = min(len([step for step in path if step != "[]"]) + 1, 4)
    yield f"({_anchor(path)})="
    yield f"{'#' * depth} `{_name(path)}`\n"
    yield " ".join(filter(None, (f"**{field['title']}.**" if "title" in field else "", _text(field.get("description", ""))))) + "\n"
    yield from (f"- {fact}" for fact in _facts(field, required))
    inner = list(_inner(schema, path, field))
    if inner and shared and shared in written:
        yield f"- fields: as [`{_name(written[shared])}`](#{_anchor(written[shared])})"
        inner = []
    elif inner and shared:
        written[shared] = path
    yield ""
    for below, schema_below, is_required in inner:
        yield from _field(schema, below, schema_below, is_required, written)


def _inner(schema: Schema, path: tuple[str, ...], field: Schema) -> Iterator[tuple[tuple[str, ...], Schema, bool]]:
    """The fields of a field: its own, those of each entry of a map, those of each item of a list."""
    for name, part in field.get("properties", {}).items():
        yield (*path, name), part, name in field.get("required", ())
    for step, part in (("<id>", field.get("additionalProperties")), ("[]", field.get("items"))):
        if not isinstance(part, Mapping):
            continue
        entry, _name = _resolved(schema, part)
        if entry.get("properties") or isinstance(entry.get("additionalProperties"), Mapping):
            # The entry itself is nothing to write; its fields are. A list's item that is described gets its line all the same.
            if step == "<id>":
                yield (*path, step), part, False
            else:
                for name, below in entry.get("properties", {}).items():
                    yield (*path, step, name), below, name in entry.get("required", ())


def _facts(field: Schema, required: bool) -> Iterator[str]:
    if required:
        yield "required"
    if kind := _kind(field):
        yield f"type: {kind}"
    if "const" in field:
        yield f"value: `{field['const']}`"
    values = field.get("enum") or (field.get("items") or {}).get("enum")
    if values:
        yield "values: " + ", ".join(_value(value) for value in values)
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None or high is not None:
        yield f"from {low} to {high}" if None not in (low, high) else f"at least {low}" if high is None else f"at most {high}"
    if field.get("maxLength", 255) != 255:
        yield f"at most {field['maxLength']} characters"
    if "maxItems" in field:
        yield f"at most {field['maxItems']} items"
    if "default" in field:
        yield f"default: {_value(field['default'])}"
    if field.get("examples"):
        yield "example: " + ", ".join(_value(example) for example in field["examples"])


def _kind(field: Schema) -> str:
    kinds = field.get("type", [])
    names = []
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array":
            items = field.get("items", {})
            inside = _kind(items)
            names.append(f"list of {inside}" if inside else "list")
        elif kind == "object":
            names.append("fields" if field.get("properties") else "fields by a name of your own")
        else:
            names.append(KINDS[kind])
    return " or ".join(dict.fromkeys(names))


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else "empty"


def _text(text: str) -> str:
    """Prose of the schema as Markdown: nothing in it is markup."""
    return re.sub(r"([\\*_`<>\[\]{}])", r"\\\1", text)
