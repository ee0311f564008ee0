# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: overrides of Greenlight's image, held against the files of one image and turned into changed files. Pure functions.

Where things stand in Greenlight's source (bigbluebutton/greenlight at release-3.8.2.4): the title in
app/views/layouts/application.html.erb, app/helpers/application_helper.rb and app/javascript/App.jsx, the footer in
app/javascript/components/shared_components/Footer.jsx, texts of the site in app/assets/locales, those of mails in config/locales, styles
below app/assets/stylesheets/application.bootstrap.scss. Nothing of that is promised to stay: each change says what it looks for, and an
image without it is refused by name.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import html
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

READ = ("app", "config/locales", "public")
"""Folders of the image that overrides can concern."""
LAYOUT = "app/views/layouts/application.html.erb"
HELPER = "app/helpers/application_helper.rb"
APP = "app/javascript/App.jsx"
FOOTER = "app/javascript/components/shared_components/Footer.jsx"
STYLES = "app/assets/stylesheets/application.bootstrap.scss"
OWN_STYLES = "app/assets/stylesheets/coop.scss"
SITE_TEXTS = "app/assets/locales"
MAIL_TEXTS = "config/locales"
REFERENCE = "en"
"""The language that has every text (config.i18n.fallbacks, and i18n.js of the front end)."""
OPEN = ("app/assets/", "app/javascript/", "app/views/", "config/locales/", "public/")
BUILT = ("app/assets/builds/", "public/assets/")
OWN = "public/coop/"
"""The one place for files that Greenlight does not have; served as /coop/... ."""
_FOOTER_LINK = re.compile(r"<a\b[^>]*>\s*Greenlight\s*</a>")
_JSX_VALUES = re.compile(r"{{-?\s*([\w.]+)")
_RUBY_VALUES = re.compile(r"%{(\w+)}")
_YAML_LINE = re.compile(r"""( *)(?:"([^"]+)"|'([^']+)'|([\w.-]+)):(?:\s+(.*))?$""")


class OverridesError(CoopError):
    """Overrides that do not fit an image; one line for each problem, each beginning with its place."""


@dataclass(frozen=True)
class Upstream:
    """The image's own files: their paths below the application's folder, and how to read one."""

    image: str
    paths: frozenset[str]
    read: Callable[[str], bytes]


def revision(content: Mapping[str, Any]) -> str:
    """SHA-256 of what is overridden. The same overrides in another folder have the same."""
    return hashlib.sha256(json.dumps(_placeless(content), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _placeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _placeless(one) for key, one in value.items() if key != "at"}
    return [_placeless(one) for one in value] if isinstance(value, list) else value


def changed_files(content: Mapping[str, Any], upstream: Upstream) -> dict[str, bytes]:
    """The files that differ from the image's own, whole, by path. Raises OverridesError with everything that does not fit."""
    work = _Work(upstream)
    for one in content.get("files") or []:
        work.file(one)
    for one in content.get("made_from") or []:
        work.made_from(one)
    if content.get("title"):
        work.title(content["title"])
    if content.get("footer"):
        work.footer(content["footer"])
    work.site_texts(content.get("texts") or [])
    work.mail_texts(content.get("mails") or [])
    work.styles(content.get("styles") or [])
    if work.problems:
        raise OverridesError("\n".join(work.problems))
    return work.changed


class _Work:
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.changed: dict[str, bytes] = {}
        self.own: set[str] = set()
        self.problems: list[str] = []

    def bad(self, at: str, said: str) -> None:
        self.problems.append(f"{at}: {said}")

    def text(self, path: str) -> str:
        data = self.changed.get(path)
        return (self.upstream.read(path) if data is None else data).decode("utf-8", "replace")

    def there(self, path: str, at: str) -> bool:
        """Whether the image has a file; if not, the problem says what it has instead."""
        if path in self.upstream.paths:
            return True
        self.bad(at, f"{path} is not in {self.upstream.image}; {moved(path, self.upstream.paths)}")
        return False

    # --- whole files

    def file(self, one: Mapping[str, str]) -> None:
        path, at = one["path"], one["at"]
        if posixpath.normpath(path) != path or path.startswith(("/", "../")) or not path.startswith(OPEN):
            self.bad(at, f"{path} is no file that may be overridden; those below {', '.join(OPEN)} may")
        elif path.startswith(BUILT):
            self.bad(at, f"{path} is made from other files when the image is built; override those")
        elif path.startswith(OWN) or self.there(path, at):
            self.changed[path] = base64.b64decode(one["content"])
            self.own.add(path)

    def made_from(self, one: Mapping[str, str]) -> None:
        path, at = one["path"], one["at"]
        if path not in self.own:
            if path in self.upstream.paths:
                self.bad(at, f"{path} is not overridden; put the file under files/, or remove the line")
            elif not any(path in problem for problem in self.problems):
                self.there(path, at)
        elif path in self.upstream.paths:
            found = hashlib.sha256(self.upstream.read(path)).hexdigest()
            if found != one["sha256"]:
                self.bad(
                    at,
                    f"{path} of {self.upstream.image} is not the file that the override was made from; bring its changes into yours, "
                    f"then write {found}",
                )

    # --- title and footer

    def replace(self, path: str, pattern: re.Pattern[str], new: str, what: str, at: str) -> None:
        """Put text in place of what a file of the image has. A file that is overridden as a whole is its writer's matter."""
        if path in self.own or not self.there(path, at):
            return
        text, count = pattern.subn(lambda _match: new, self.text(path))
        if not count:
            self.bad(at, f"{path} of {self.upstream.image} has no {what} any more; override that file under files/ instead")
            return
        self.changed[path] = text.encode()

    def title(self, one: Mapping[str, str]) -> None:
        title, at = one["text"], one["at"]
        quoted = title.replace("\\", "\\\\").replace("'", "\\'")
        self.replace(LAYOUT, re.compile("<title>BigBlueButton</title>"), f"<title>{html.escape(title)}</title>", "title BigBlueButton", at)
        self.replace(HELPER, re.compile("'BigBlueButton'"), f"'{quoted}'", "title 'BigBlueButton'", at)
        self.replace(APP, re.compile(">BigBlueButton</Title>"), f">{{{_script(title)}}}</Title>", "title BigBlueButton", at)

    def footer(self, one: Mapping[str, Mapping[str, str]]) -> None:
        text = one["text"]
        shown = f"{{{_script(text['text'])}}}"
        if "link" in one:
            shown = f'<a href={{{_script(one["link"]["text"])}}} target="_blank" rel="noreferrer">{shown}</a>'
        else:
            shown = f"<span>{shown}</span>"
        self.replace(FOOTER, _FOOTER_LINK, shown, "link Greenlight", text["at"])

    # --- texts

    def languages(self, folder: str, ending: str) -> list[str]:
        return sorted(path[len(folder) + 1 : -len(ending)] for path in self.upstream.paths if re.fullmatch(rf"{folder}/\w+{ending}", path))

    def knows(self, folder: str, ending: str, locale: str, at: str) -> bool:
        found = self.languages(folder, ending)
        if locale in found and REFERENCE in found:
            return True
        missing = locale if locale not in found else REFERENCE
        self.bad(
            at, f"{self.upstream.image} has no {folder}/{missing}{ending}; {_nearest(missing, found)}, it has {', '.join(found) or 'none'}"
        )
        return False

    def by_locale(self, entries: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for one in entries:
            found.setdefault(one["locale"], []).append(one)
        return found

    def check(self, one: Mapping[str, Any], known: Mapping[tuple[str, ...], str], values: re.Pattern[str]) -> bool:
        """Whether a text has a place in the image, and names only values that the image fills in."""
        keys = tuple(one["keys"])
        name = ".".join(keys)
        if keys not in known:
            names = {".".join(path) for path in known}
            if any(path[: len(keys)] == keys for path in known):
                self.bad(one["at"], f"{name} is a group of texts in {self.upstream.image}; write its texts below it")
            else:
                self.bad(one["at"], f"{name} is unknown to {self.upstream.image}; {_nearest(name, names)}")
            return False
        strange = sorted(set(values.findall(one["text"])) - set(values.findall(known[keys])))
        if strange:
            usable = sorted(set(values.findall(known[keys])))
            self.bad(
                one["at"],
                f"{name} names the value {', '.join(strange)}, which {self.upstream.image} does not fill in there; "
                + (f"write only {', '.join(usable)}" if usable else "write the text without it"),
            )
        return not strange

    def site_texts(self, entries: Iterable[Mapping[str, Any]]) -> None:
        for locale, texts in self.by_locale(entries).items():
            path = f"{SITE_TEXTS}/{locale}.json"
            if not self.knows(SITE_TEXTS, ".json", locale, texts[0]["at"]):
                continue
            tree = self.tree(path)
            known = {**dict(leaves(self.tree(f"{SITE_TEXTS}/{REFERENCE}.json")))}
            known = {**dict(leaves(tree)), **known}
            for one in texts:
                if self.check(one, known, _JSX_VALUES):
                    put(tree, one["keys"], one["text"])
            self.changed[path] = (json.dumps(tree, ensure_ascii=False, indent=2) + "\n").encode()

    def tree(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.text(path))
        except ValueError as error:
            raise OverridesError(f"{path} of {self.upstream.image} is not JSON ({error}); texts cannot be merged into it") from error
        return found if isinstance(found, dict) else {}

    def mail_texts(self, entries: Iterable[Mapping[str, Any]]) -> None:
        for locale, texts in self.by_locale(entries).items():
            if not self.knows(MAIL_TEXTS, ".yml", locale, texts[0]["at"]):
                continue
            known = {**rails_texts(self.text(f"{MAIL_TEXTS}/{locale}.yml")), **rails_texts(self.text(f"{MAIL_TEXTS}/{REFERENCE}.yml"))}
            tree: dict[str, Any] = {}
            for one in texts:
                if self.check(one, known, _RUBY_VALUES):
                    put(tree, one["keys"], one["text"])
            # Rails reads all files of the folder in the order of their names and merges them (config/application.rb): this one is last.
            self.changed[f"{MAIL_TEXTS}/zz-coop.{locale}.yml"] = (json.dumps({locale: tree}, ensure_ascii=False, indent=2) + "\n").encode()

    # --- styles

    def styles(self, entries: Iterable[Mapping[str, str]]) -> None:
        for one in entries:
            if self.there(STYLES, one["at"]):
                self.changed[OWN_STYLES] = one["text"].encode()
                self.changed[STYLES] = f"{self.text(STYLES).rstrip()}\n\n@import 'coop';\n".encode()


def put(tree: dict[str, Any], keys: Iterable[str], text: str) -> None:
    """Set one text in nested mappings."""
    *above, last = keys
    for key in above:
        below = tree.get(key)
        if not isinstance(below, dict):
            below = tree[key] = {}
        tree = below
    tree[last] = text


def leaves(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], str]]:
    """All texts of nested mappings, each with its keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value if isinstance(value, str) else ""


def rails_texts(text: str) -> dict[tuple[str, ...], str]:
    """The texts of a file of config/locales by their keys, without the language.

    These files are nested mappings and nothing else (Transifex writes them), so that no YAML library has to be on a container host. What
    is kept of a text is its line, which is enough to see what values it names.
    """
    found: dict[tuple[str, ...], str] = {}
    above: list[tuple[int, str]] = []
    last: tuple[str, ...] = ()
    for line in text.splitlines():
        match = _YAML_LINE.match(line)
        depth = len(line) - len(line.lstrip(" "))
        if not match or (last and above and depth > above[-1][0] and found.get(last)):
            if last and not line.lstrip().startswith("#"):
                found[last] = f"{found.get(last, '')} {line.strip()}"
            continue
        while above and above[-1][0] >= depth:
            above.pop()
        keys = (*(key for _depth, key in above), match[2] or match[3] or match[4])
        above.append((depth, keys[-1]))
        value = (match[5] or "").strip()
        last = keys[1:] if value and not value.startswith("#") else ()
        if last:
            found[last] = value
    return found


def moved(path: str, paths: Iterable[str]) -> str:
    """Where a file that is not there may have gone."""
    every = sorted(paths)
    name = posixpath.basename(path)
    same = [one for one in every if posixpath.basename(one) == name]
    if same:
        return f"there is {' and '.join(same[:3])} now; compare yours with it, then move yours there"
    near = difflib.get_close_matches(path, every, 1, 0.75)
    if near:
        return f"the nearest there is now is {near[0]}; compare yours with it, then move yours there"
    folder = posixpath.dirname(path)
    beside = [one for one in every if posixpath.dirname(one) == folder]
    if beside:
        more = f" and {len(beside) - 8} more" if len(beside) > 8 else ""
        return f"that folder holds {', '.join(posixpath.basename(one) for one in beside[:8])}{more} now; remove yours or rename it"
    while folder and not any(one.startswith(f"{folder}/") for one in every):
        folder = posixpath.dirname(folder)
    return f"{f'of its folders only {folder} is there' if folder else 'none of its folders is there'}; remove yours or move it"


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), 1, 0.5)
    return f"did you mean {near[0]}?" if near else "remove it"


def _script(text: str) -> str:
    """A text as JavaScript has it."""
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
