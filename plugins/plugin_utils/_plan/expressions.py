# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the expressions of our roles for hundreds of hosts at once.

The same Jinja2, with Ansible's own filters, tests and lookups. Ansible's engine compiles every expression anew each time it meets it: some
200 for one instance, 0.17 s, so a minute and a half for five hundred. Here each is compiled once, and each variable rendered once a host.
As there, a text is a template only when Ansible trusts it as one; what the membership file says never is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MappingView, MutableMapping
from typing import Any

from jinja2 import ChainableUndefined, StrictUndefined
from jinja2.nativetypes import NativeEnvironment, NativeTemplate
from jinja2.runtime import Undefined

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

#: Stands for an option that is left out (Ansible's `omit`).
OMIT = object()
#: Set by the inventory plugin: data through and through.
DATA = frozenset({"coop_service", "coop_owner", "coop_cooperative", "groups", "hostvars", "omit"})
_MARKS = ("{{", "{%", "{#")
_OF_UNDEFINED = frozenset({"default", "d", "defined", "undefined"})


class Unrenderable(CoopError):
    """An expression cannot be evaluated, with its reason."""


class _Missing(ChainableUndefined, StrictUndefined):
    """As in Ansible: what is asked of a variable that is not there is not there either, so that a default may stand for both."""


def _concat(values: Iterable[Any]) -> Any:
    """One expression keeps its type, several pieces are a text (as in Ansible, and never guessed at as in Jinja2's own)."""
    pieces = list(values)
    if not pieces:
        return ""
    if len(pieces) == 1:
        return pieces[0]
    for piece in pieces:
        if isinstance(piece, Undefined):
            piece._fail_with_undefined_error()
    return "".join(str(piece) for piece in pieces)


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with a list in place of a generator, as Ansible has it."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        value = function(*arguments, **options)
        return list(value) if isinstance(value, Generator) else value

    return call


class _Plugins(MutableMapping[str, Callable[..., Any]]):
    """Jinja2's own filters or tests, and Ansible's by whichever name a template gives."""

    def __init__(self, own: Mapping[str, Callable[..., Any]], find: Callable[[str], Callable[..., Any] | None]) -> None:
        self._own, self._find = dict(own), find
        self._found: dict[str, Callable[..., Any] | None] = {}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._found:
            # Ansible's first: its `unique` and others of a name that Jinja2 has too are the ones that roles mean. But what is said of
            # variables that are not there is Jinja2's, since those here are Jinja2's.
            found = self._own.get(name) if name in _OF_UNDEFINED else None
            found = found or self._find(name) or self._own.get(name)
            self._found[name] = _listing(found) if found else None
        found = self._found[name]
        if found is None:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, value: Callable[..., Any]) -> None:
        self._own[name] = value
        self._found.pop(name, None)

    def __delitem__(self, name: str) -> None:
        del self._own[name]
        self._found.pop(name, None)

    def __iter__(self) -> Any:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class Expressions:
    """Compiled expressions, shared by all hosts.

    `is_template` says whether a text is one; `find_filter` and `find_test` give Ansible's plugins.
    """

    def __init__(
        self,
        is_template: Callable[[str], bool],
        find_filter: Callable[[str], Callable[..., Any] | None],
        find_test: Callable[[str], Callable[..., Any] | None],
    ) -> None:
        self._is_template = is_template
        self._compiled: dict[str, NativeTemplate] = {}
        environment = NativeEnvironment(
            undefined=_Missing, trim_blocks=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]
        )
        environment.filters = _Plugins(environment.filters, find_filter)  # type: ignore[assignment]
        environment.tests = _Plugins(environment.tests, find_test)  # type: ignore[assignment]
        environment.globals.pop("lipsum", None)
        environment.concat = _concat  # type: ignore[method-assign]
        self._environment = environment

    def is_template(self, text: str) -> bool:
        return any(mark in text for mark in _MARKS) and self._is_template(text)

    def compile(self, source: str) -> NativeTemplate:
        """The template, compiled once."""
        found = self._compiled.get(source)
        if found is None:
            found = self._compiled[source] = self._environment.from_string(source)
        return found

    def render(self, source: str, variables: Variables) -> Any:
        """The value of a template. Raises Unrenderable."""
        template = self.compile(source)
        context = template.new_context(vars=_Lazy(variables, self._environment.globals), shared=True)
        value = _concat(template.root_render_func(context))
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        return value


class _Lazy(dict):  # type: ignore[type-arg]
    """What Jinja2 takes for a dictionary of variables: each is rendered when it is asked for."""

    def __init__(self, variables: Variables, own: Mapping[str, Any]) -> None:
        super().__init__(own)
        self._variables = variables

    def __contains__(self, name: object) -> bool:
        return name in self._variables or super().__contains__(name)

    def __getitem__(self, name: str) -> Any:
        return self._variables[name] if name in self._variables else super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


class Variables(Mapping[str, Any]):
    """The variables of one host, the nearest layer first; templates among them are rendered when they are asked for, once."""

    def __init__(self, expressions: Expressions, layers: Iterable[Mapping[str, Any]], functions: Mapping[str, Any]) -> None:
        self._expressions, self._layers, self._functions = expressions, list(layers), functions
        self._rendered: dict[str, Any] = {}
        self._open: set[str] = set()
        self._asked: set[str] = set()

    def with_layer(self, layer: Mapping[str, Any]) -> Variables:
        """The same with a nearer layer, rendered anew."""
        return Variables(self._expressions, [layer, *self._layers], self._functions)

    def set(self, name: str, value: Any) -> None:
        """What a task registers: what was rendered from it before is forgotten."""
        self._layers[0] = {**self._layers[0], name: value}
        if name in self._asked:
            self._rendered.clear()

    def raw(self) -> dict[str, Any]:
        """All as they stand, nearest layer winning."""
        return {name: value for layer in reversed(self._layers) for name, value in layer.items()}

    def __contains__(self, name: object) -> bool:
        self._asked.add(str(name))
        return name in self._functions or any(name in layer for layer in self._layers)

    def __iter__(self) -> Any:
        return iter(self.raw())

    def __len__(self) -> int:
        return len(self.raw())

    def __getitem__(self, name: str) -> Any:
        if name in self._rendered:
            return self._rendered[name]
        # First, since ansible-core 2.18 has a variable called omit.
        if name in self._functions:
            return self._functions[name](self)
        for layer in self._layers:
            if name in layer:
                break
        else:
            raise KeyError(name)
        if name in self._open:
            raise Unrenderable(f"variable {name} refers to itself")
        self._open.add(name)
        try:
            value = layer[name] if name in DATA else self.render(layer[name])
        finally:
            self._open.discard(name)
        self._rendered[name] = value
        return value

    def render(self, value: Any) -> Any:
        """A value with every template in it rendered; entries that are left out are gone."""
        if isinstance(value, str):
            return self._expressions.render(value, self) if self._expressions.is_template(value) else value
        if isinstance(value, Mapping):
            pairs = ((self.render(key), self.render(entry)) for key, entry in value.items())
            return {key: entry for key, entry in pairs if entry is not OMIT}
        if isinstance(value, (list, tuple)):
            return [entry for entry in (self.render(entry) for entry in value) if entry is not OMIT]
        return value

    def holds(self, condition: Any) -> bool:
        """Whether a condition is true, as in `when` and `that`: an expression without braces."""
        if isinstance(condition, bool):
            return condition
        source = str(condition)
        value = self._expressions.render(f"{{{{ {source} }}}}", self)
        if isinstance(value, str):
            return value.strip().lower() in ("true", "yes", "on", "1", "y", "t")
        return bool(value)


def plain(value: Any) -> Any:
    """A value of JSON's own kinds: what Ansible adds to texts and numbers is taken off."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, Iterator, MappingView)):
        return [plain(entry) for entry in value]
    return str(value)  # what Ansible keeps encrypted until it is used is a text too
