# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a fast yes to what a JSON Schema allows.

jsonschema finds what is wrong and says where, and takes half of the time of an inventory of 10,000 services to find nothing. Here a schema
becomes one function that answers True only for what jsonschema has nothing against; whatever else is looked at by jsonschema. So nothing
is allowed here that is not allowed there, and no mistake is described here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

_DESCRIBING = frozenset({"title", "description", "examples", "default", "$schema", "$id", "$comment", "patternErrorMessage"})
_OF_KEYS = frozenset({"properties", "patternProperties", "additionalProperties"})
_TYPES: Mapping[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


class Unknown(Exception):
    """The schema has a keyword that is not known here."""


def compiled(schema: Mapping[str, Any]) -> Check:
    """The schema, without references, as a function. Raises Unknown."""
    checks = [_keyword(keyword, value) for keyword, value in schema.items() if keyword not in _DESCRIBING and keyword not in _OF_KEYS]
    if not _OF_KEYS.isdisjoint(schema):
        checks.append(_properties(schema))
    if len(checks) == 1:
        return checks[0]

    def every(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 - all() with a generator takes twice as long
            if not check(value):
                return False
        return True

    return every


def _keyword(keyword: str, value: Any) -> Check:
    match keyword:
        case "type":
            kinds = [_TYPES[name] for name in ([value] if isinstance(value, str) else value)]
            return kinds[0] if len(kinds) == 1 else lambda found: any(kind(found) for kind in kinds)
        case "required":
            return lambda found: not isinstance(found, dict) or all(name in found for name in value)
        case "propertyNames":
            name_check = compiled(value)
            return lambda found: not isinstance(found, dict) or all(map(name_check, found))
        case "items":
            item_check = compiled(value)
            return lambda found: not isinstance(found, list) or all(map(item_check, found))
        case "minItems":
            return lambda found: not isinstance(found, list) or len(found) >= value
        case "maxItems":
            return lambda found: not isinstance(found, list) or len(found) <= value
        case "uniqueItems":
            return lambda found: not isinstance(found, list) or not value or all(found.index(one) == at for at, one in enumerate(found))
        case "pattern":
            search = re.compile(value).search
            return lambda found: not isinstance(found, str) or search(found) is not None
        case "minLength":
            return lambda found: not isinstance(found, str) or len(found) >= value
        case "maxLength":
            return lambda found: not isinstance(found, str) or len(found) <= value
        case "minimum":
            return lambda found: not isinstance(found, int | float) or found >= value
        case "maximum":
            return lambda found: not isinstance(found, int | float) or found <= value
        case "enum":
            return lambda found: any(found == one and isinstance(found, bool) == isinstance(one, bool) for one in value)
        case "const":
            return lambda found: found == value and isinstance(found, bool) == isinstance(value, bool)
        case "anyOf":
            alternatives = [compiled(one) for one in value]
            return lambda found: any(check(found) for check in alternatives)
    raise Unknown(keyword)


def _properties(schema: Mapping[str, Any]) -> Check:
    """`properties`, `patternProperties` and `additionalProperties` in one walk over the keys."""
    named = {name: compiled(one) for name, one in schema.get("properties", {}).items()}
    patterns = [(re.compile(pattern).search, _or_boolean(one)) for pattern, one in schema.get("patternProperties", {}).items()]
    rest = _or_boolean(schema.get("additionalProperties", True))

    def check(found: Any) -> bool:
        if not isinstance(found, dict):
            return True
        for key, value in found.items():
            known = named.get(key)
            if known is not None and not known(value):
                return False
            matching = [one for search, one in patterns if not isinstance(key, str) or search(key)] if patterns else []
            if not all(one(value) for one in matching):
                return False
            if known is None and not matching and not rest(value):
                return False
        return True

    return check


def _or_boolean(schema: Any) -> Check:
    return (lambda _value: schema) if isinstance(schema, bool) else compiled(schema)
