# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a YAML file into which settings are merged without touching a line that is not meant.

PyYAML (python3-yaml) tells where each node stands, and the text is changed there. ruamel.yaml would keep comments too, but writes the
whole file anew in its own indentation.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def _yaml() -> t.Any:
    try:
        import yaml
    except ImportError as error:
        raise CoopError("Python's yaml is missing on this host; install the package python3-yaml") from error
    return yaml


def parse(text: str, where: str) -> dict[str, t.Any]:
    """The file's mapping. Raises CoopError, with the line, when it is no YAML or no mapping."""
    yaml = _yaml()
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise CoopError(f"{where}{line} is no YAML: {getattr(error, 'problem', None) or error}; correct it by hand") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CoopError(f"{where} holds no settings (its top is a {type(found).__name__}); correct it by hand")
    return found


def merged(before: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Deep merge: mappings are merged, everything else is replaced, None takes away."""
    after = dict(before)
    for key, value in wanted.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, dict) and isinstance(after.get(key), dict):
            after[key] = merged(after[key], value)
        elif isinstance(value, dict):
            if not _removes(value):
                after[key] = merged({}, value)
        else:
            after[key] = value
    return after


def merge(text: str, wanted: t.Mapping[str, t.Any], where: str) -> str:
    """The text with ``wanted`` merged in. Other lines, comments and their order stay. Raises CoopError where that cannot be done."""
    yaml = _yaml()
    expected = merged(parse(text, where), wanted)
    if same(parse(text, where), expected):
        return text
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None or not root.value:
        kept = "" if root is not None else text
        result = kept + ("\n" if kept and not kept.endswith("\n") else "") + _block(expected, 0)
    elif root.flow_style:
        result = text[: root.start_mark.index] + _block(expected, 0).rstrip("\n") + text[root.end_mark.index :]
    else:
        edits: list[tuple[int, int, str]] = []
        _merge(text, root, wanted, edits)
        parts, at = [], 0
        for start, end, new in sorted(edits, key=lambda edit: (edit[0], edit[1])):
            if start < at:
                raise _tangled(where)
            if start == len(text) and new and text and not text.endswith("\n") and not new.startswith((":", " ")):
                new = "\n" + new
            parts += [text[at:start], new]
            at = end
        result = "".join(parts) + text[at:]
    # What was written has to mean what was asked, and everything else what it meant before.
    try:
        right = same(parse(result, where), expected)
    except CoopError:
        right = False
    if not right:
        raise _tangled(where)
    return result


def same(one: t.Any, other: t.Any) -> bool:
    """Equal with the same types: True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _tangled(where: str) -> CoopError:
    return CoopError(f"{where} is written in a way that cannot be changed safely (with anchors, or several documents); "
                     "write the wanted settings there by hand, or start from an empty file")  # fmt: skip


def _removes(value: t.Mapping[str, t.Any]) -> bool:
    return bool(value) and all(one is None or (isinstance(one, dict) and _removes(one)) for one in value.values())


def _merge(text: str, mapping: t.Any, wanted: t.Mapping[str, t.Any], edits: list[tuple[int, int, str]]) -> None:
    """Edits of one mapping in block style."""
    yaml = _yaml()
    column = mapping.value[0][0].start_mark.column
    by_name = {key.value: (key, value) for key, value in mapping.value if isinstance(key, yaml.ScalarNode)}
    new: dict[str, t.Any] = {}
    for name, value in wanted.items():
        if name not in by_name:
            if value is not None and not (isinstance(value, dict) and _removes(value)):
                new[name] = value
            continue
        key, old = by_name[name]
        if value is None:
            edits.append((_line_start(text, key.start_mark.index), _after_line(text, _end(old)), ""))
            continue
        nested = isinstance(old, yaml.MappingNode)
        # One that would be left empty has to be written as {}: nothing behind a colon is null.
        if nested and isinstance(value, dict) and not old.flow_style and old.value and merged(_load(text, old), value):
            _merge(text, old, value, edits)
            continue
        loaded = _load(text, old)
        if isinstance(value, dict) and not isinstance(loaded, dict) and _removes(value):
            continue
        after = merged(loaded if isinstance(loaded, dict) else {}, value) if isinstance(value, dict) else value
        if same(loaded, after):
            continue
        colon = text.index(":", key.end_mark.index)
        end = max(_end(old), colon + 1)
        line_end = "\n" if end <= len(text) and text[end - 1 : end] == "\n" else ""
        edits.append((colon + 1, end, _inline(after, column) + line_end))
    if new:
        at = _after_line(text, _end(mapping))
        edits.append((at, at, _block(merged({}, new), column)))


def _load(text: str, node: t.Any) -> t.Any:
    yaml = _yaml()
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _end(node: t.Any) -> int:
    """Where the last thing of a node ends; PyYAML counts what follows a block as part of it."""
    yaml = _yaml()
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return max(last[0].end_mark.index + 1, _end(last[1])) if isinstance(last, tuple) else _end(last)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _after_line(text: str, at: int) -> int:
    """The beginning of the next line; ``at`` itself when it is one already, as after a literal text."""
    if at and text[at - 1 : at] == "\n":
        return at
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _block(values: t.Mapping[str, t.Any], column: int) -> str:
    """A mapping in block style, indented, with a line end after it."""
    return _indented(_dump(dict(values)), column)


def _dump(value: t.Any) -> str:
    return str(_yaml().safe_dump(value, default_flow_style=False, allow_unicode=False, sort_keys=False, width=10**6))


def _indented(text: str, column: int) -> str:
    return "".join(" " * column + line for line in text.splitlines(keepends=True))


def _inline(value: t.Any, column: int) -> str:
    """What stands behind the colon of a key at ``column``, without a line end."""
    if isinstance(value, (dict, list)) and value:
        return "\n" + _indented(_dump(value), column + 2).rstrip("\n")
    if isinstance(value, str):
        # JSON's strings are YAML's double-quoted ones.
        return " " + json.dumps(value, ensure_ascii=True)
    return " " + json.dumps(value)
