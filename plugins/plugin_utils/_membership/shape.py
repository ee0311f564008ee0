# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the shape of a membership file, by the JSON Schema that lies beside this file.

The schema is checked by jsonschema; what it finds is said in our own words, with file, line, whose field, and what to write.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from . import quick
from .errors import Problem, short, show
from .reader import ENTRY, Map, raw_text, where

SCHEMA_FILE = os.path.join(os.path.dirname(__file__), "members.schema.json")

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}
_SECRET = re.compile(r"(?:^|_)(?:password|passwd|pass|secret|token|key_base|api_key|private_key)$")
# What people write, and where the thing they mean stands.
_MEANT = {
    "domain": "domains",
    "own_domain": "domains",
    "own_domains": "domains",
    "hostname": "domains",
    "old_domains": "former_domains",
    "aliases": "former_domains",
    "host": "container_host",
    "name": "title",
    "owner": "member",
    "administrators": "accounts.administrators",
    "admins": "accounts.administrators",
    "registration": "accounts.registration",
    "allowed_domains": "accounts.allowed_domains",
    "oidc": "accounts.oidc",
    "roles": "accounts.roles",
    "on": "instance",
    "people": "accounts.users",
    "cost": "price",
    "rooms": "limits.rooms_per_account",
    "participants": "limits.participants",
    "users": "limits.participants",
    "minutes": "limits.meeting_minutes",
    "duration": "limits.meeting_minutes",
    "color": "branding.primary_color",
    "colour": "branding.primary_color",
    "logo": "branding.logo",
    "language": "branding.language",
    "locale": "branding.language",
    "memory": "resources.memory",
    "cpus": "resources.cpus",
    "mail": "smtp",
    "class": "classes",
    "contact": "contacts",
    "ip": "address",
    "ipv4": "address",
    "ipv6": "address6",
    "producer": "supported_by",
    "seller": "sold_by",
    "user": "username",
    "from": "sender_email",
    "sender": "sender_email",
    "tls": "security",
    "ssl": "security",
    "starttls": "security",
    "recording": "record",
    "enabled": "state",
}


def load_schema(file: str = SCHEMA_FILE) -> dict[str, Any]:
    """A schema as it is shipped."""
    with open(file, encoding="utf-8") as stream:
        return json.load(stream)


def _inline(schema: Any, defs: dict[str, Any]) -> Any:
    """The schema without references (three times faster to check) and with patterns that do not let a final line break pass."""
    if isinstance(schema, list):
        return [_inline(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = defs[schema["$ref"].rsplit("/", 1)[1]]
        return _inline({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, defs)
    inlined = {key: _inline(value, defs) for key, value in schema.items() if key != "$defs"}
    pattern = inlined.get("pattern")
    if isinstance(pattern, str) and pattern.endswith("$"):
        inlined["pattern"] = pattern[:-1] + r"\Z"
    return inlined


@functools.cache
def _validator(file: str = SCHEMA_FILE) -> Any:
    import jsonschema

    schema = load_schema(file)
    return jsonschema.Draft202012Validator(_inline(schema, schema.get("$defs", {})))


@functools.cache
def _quick(file: str = SCHEMA_FILE) -> Callable[[Any], bool]:
    """Says yes at once to most files; see there. A schema that it does not know gets no such help."""
    schema = load_schema(file)
    try:
        return quick.compiled(_inline(schema, schema.get("$defs", {})))
    except quick.Unknown:
        return lambda _root: False


def label(path: Sequence[object]) -> str:
    """Whose field a path names: C(service "sunflower", field limits.participants)."""
    steps = list(path)
    if steps and steps[0] in ENTRY:
        whose = f"{ENTRY[steps[0]]} {show(steps[1])}" if len(steps) > 1 else str(steps[0])
        steps = steps[2:]
    elif steps:
        whose, steps = short(steps[0]), steps[1:]
    else:
        return "the file"
    field = ""
    for step in steps:
        field += f"[{step}]" if isinstance(step, int) else f".{short(step)}" if field else short(step)
    return f"{whose}, field {field}" if field else whose


def problem(root: Map, path: Sequence[object], text: str) -> Problem:
    """A problem at a path, with its place and its label."""
    file, line = where(root, path)
    return Problem(file, line, f"{label(path)}: {text}")


def check_shape(root: Map, schema_file: str = SCHEMA_FILE) -> list[Problem]:
    """Everything the schema finds wrong."""
    if _quick(schema_file)(root):
        return []
    problems: list[Problem] = []
    seen: set[tuple[object, ...]] = set()
    for error in _validator(schema_file).iter_errors(root):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            problems.extend(_unknown_keys(root, path, error.instance, error.schema))
        elif error.validator == "required":
            problems.extend(_missing_keys(root, path, error, error.validator_value))
        elif error.validator == "anyOf":
            # Alternatives are keys one of which has to be there; the first is what most people want to write.
            problems.extend(_missing_keys(root, path, error, error.validator_value[0]["required"]))
        elif "propertyNames" in error.absolute_schema_path:
            problems.append(_bad_name(root, path, error))
        elif path not in seen:
            seen.add(path)
            problems.append(problem(root, path, _explain(root, path, error)))
    return list(dict.fromkeys(problems))


def _example(schema: dict[str, Any]) -> Any:
    examples = schema.get("examples") or schema.get("enum") or ["..."]
    return examples[0]


def _such_as(schema: dict[str, Any]) -> str:
    """C( such as 25), or nothing when the schema names no example that fits on a line."""
    example = _example(schema)
    if example == "..." or isinstance(example, list | dict):
        return ""
    return f" such as {str(example).lower() if isinstance(example, bool) else example}"


def _unknown_keys(root: Map, path: tuple[object, ...], instance: Map, schema: dict[str, Any]) -> Iterator[Problem]:
    known = list(schema.get("properties", {}))
    patterns = list(schema.get("patternProperties", {}))
    for key in instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        file, line = where(root, (*path, key))
        whose = label(path)
        yield Problem(file, line, f"{whose}: unknown key {show(key)}; {_meant(key, known, path, bool(patterns))}")


def _meant(key: str, known: list[str], path: tuple[object, ...], free: bool) -> str:
    lower = key.lower().replace("-", "_")
    if _SECRET.search(lower):
        named = next((name for name in known if name.endswith("_var") and name.startswith(lower)), None)
        named = named or next((name for name in known if name.endswith("_var")), None)
        if named:
            return f"secrets never stand in this file: name a variable with {named}: {_variable_for(path, named)}"
        return "secrets never stand in this file; keep it in a vaulted variables file"
    meant = _MEANT.get(lower)
    if meant and (meant in known or meant.split(".")[0] in known):
        return f"did you mean {meant}?"
    close = difflib.get_close_matches(lower, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    if not path:
        return "write one of " + ", ".join(known) + (", or begin its name with x-" if free else "")
    return "write one of " + ", ".join(known)


def _variable_for(path: Sequence[object], key: str) -> str:
    owner = next((str(step) for step in path[1:2]), "")
    owner = re.sub(r"[^a-z0-9_]", "_", owner.lower()) if path and path[0] == "services" else ""
    kind = "oidc" if "oidc" in path else "smtp" if "smtp" in path else ""
    return "_".join(part for part in ("vault", owner, kind, key.removesuffix("_var").removeprefix("client_")) if part)


def _missing_keys(root: Map, path: tuple[object, ...], error: Any, keys: Sequence[str]) -> Iterator[Problem]:
    for key in keys:
        if key in error.instance:
            continue
        schema = error.schema["properties"].get(key, {})
        example = _example(schema)
        if schema.get("type") == "array" or isinstance(example, list):
            write = (
                f"write {key}: [{', '.join(map(str, example))}]" if isinstance(example, list) else f"write {key}: and at least one entry"
            )
        elif schema.get("type") == "object":
            inner = ", ".join(f"{name}: {_example(schema['properties'][name])}" for name in schema.get("required", ()))
            write = (
                f"write {key}: and below it {inner}" if len(inner) < 160 else f"write {key}: and below it " + ", ".join(schema["required"])
            )
        else:
            write = f"write {key}: {example}"
        file, line = where(root, path)
        whose = label((*path, key)) if path else f"{'section' if schema.get('type') == 'object' else 'field'} {key}"
        yield Problem(file, line, f"{whose} is missing; {write}")


def _bad_name(root: Map, path: tuple[object, ...], error: Any) -> Problem:
    name = error.instance
    file, line = where(root, (*path, name))
    what = f"{ENTRY[path[0]]} {show(name)}" if len(path) == 1 and path[0] in ENTRY else f"{label(path)}: key {show(name)}"
    if error.validator == "maxLength":
        return Problem(file, line, f"{what} is too long; write at most {error.validator_value} characters")
    return Problem(file, line, f"{what} {error.schema.get('patternErrorMessage', 'is not a usable name')}")


def _explain(root: Map, path: tuple[object, ...], error: Any) -> str:
    value, schema, wanted = error.instance, error.schema, error.validator_value
    raw = raw_text(root, path)
    shown = show(value if raw is None else raw)
    if path and isinstance(path[-1], str) and path[-1].endswith("_var"):
        shown = "the value (not shown here)"
    match error.validator:
        case "type":
            return _wrong_type(value, raw, shown, [wanted] if isinstance(wanted, str) else list(wanted), schema)
        case "pattern":
            return f"{shown} {schema.get('patternErrorMessage', 'has the wrong form')}"
        case "enum":
            choices = [str(choice) for choice in wanted if choice is not None]
            close = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
            return f"{shown} is not one of {', '.join(choices)}; " + (f"did you mean {close[0]}?" if close else "write one of these")
        case "const":
            return f"{shown} is not possible here; write {wanted}"
        case "minimum" | "maximum":
            bounds = f"from {schema['minimum']} to {schema['maximum']}"
            return f"{short(value)} is too {'small' if error.validator == 'minimum' else 'large'}; write a number {bounds}"
        case "minItems":
            return "the list is empty; write at least one entry"
        case "uniqueItems":
            return "the list holds the same entry twice; keep one of the two"
        case "minLength" | "maxLength" if len(value) > wanted:
            return f"the text is {len(value)} characters long; write at most {wanted}"
        case "minLength" if not value:
            return f"is empty; write a text{_such_as(schema)}"
        case _:
            return f"{shown} is too short; write at least {wanted} characters{_such_as(schema).replace(' such as', ', such as')}"


def _wrong_type(value: object, raw: str | None, shown: str, wanted: list[str], schema: dict[str, Any]) -> str:
    kinds = [kind for kind in wanted if kind != "null"]
    kind = kinds[0]
    if kind == "string" and isinstance(value, int | float):
        text = raw if raw is not None else str(value).lower() if isinstance(value, bool) else str(value)
        what = "true-or-false value" if isinstance(value, bool) else "number"
        return f'{text} is a {what}, not text; put it in quotes: "{text}"'
    if value is None:
        shown = "nothing"
    said = " or ".join(_TYPES[name] for name in kinds)
    if kind in ("integer", "number") and isinstance(value, str) and value.isascii() and value.isdigit():
        advice = f"write it without quotes: {short(value)}"
    elif kind in ("integer", "number"):
        advice = f"write a number{_such_as(schema)}"
    elif kind == "boolean":
        advice = "write true or false"
    elif kind == "object":
        keys = list(schema.get("properties", {}))
        advice = "write lines of key: value below it" + (f", such as {keys[0]}: ..." if keys else "")
    elif kind == "array":
        advice = 'write items that begin with "- " below it, or [one, two]'
    elif str(_example(schema)).startswith("#"):
        advice = f'write it in quotes, such as "{_example(schema)}": without them, # begins a comment'
    else:
        advice = f"write a text{_such_as(schema)}"
    if value is None:
        return f"is empty where {said} is expected; {advice}"
    return f"{shown} is not {said}; {advice}"
