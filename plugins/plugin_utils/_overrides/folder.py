# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: a folder of overrides of Greenlight's image, read on the controller.

    image.yml        title of the site, footer
    favicon.ico      and apple-touch-icon.png
    styles.scss      after Greenlight's own styles
    locales/de.json  texts of the site, merged key by key into app/assets/locales/de.json
    mails/de.yml     texts of mails and of the chat, merged into what config/locales/de.yml says
    files/...        whole files, at their own paths in the image

What is read here says for itself whether it is well formed. Whether it fits an image is asked on the container host, where the image is
(module_utils/_greenlight/image_overrides.py): each piece therefore keeps the file and line it comes from.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import MembershipError, Problem, short, show
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, decode, parse, read_bytes

PAGE = "docs/image.md"
MAX_BYTES = 10_000_000
"""Of a whole folder, in octets: what is larger belongs on a web server, not in every copy of an image."""
ICONS = {
    "favicon.ico": ("public/favicon.ico",),
    "apple-touch-icon.png": ("public/apple-touch-icon.png", "public/apple-touch-icon-precomposed.png"),
}
_LOCALE = re.compile(r"([a-z]{2,3}(?:_[A-Z]{2})?)\.(json|yml)")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LINK = re.compile(r"https?://[^\s\"'<>\\^`{|}]+|mailto:[^\s\"'<>\\^`{|}]+@[^\s\"'<>\\^`{|}]+")
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
"""A character beyond U+FFFF as JSON may write it (RFC 8259 section 7). All else in JSON is YAML too."""
_PLACES = "image.yml, favicon.ico, apple-touch-icon.png, styles.scss, locales/, mails/ or files/"
_IMAGE_KEYS = ("title", "footer", "made_from")
_FOOTER_KEYS = ("text", "link")


def _whole(found: re.Match[str]) -> str:
    return found[1] + chr(0x10000 + ((int(found[2], 16) & 0x3FF) << 10) + (int(found[3], 16) & 0x3FF))


class OverridesError(MembershipError):
    """A folder that cannot be used. The message has one line for each problem, each with its file and, where there is one, its line."""


def read(path: str, shown: str | None = None) -> dict[str, Any]:
    """What a folder of overrides holds, as the option C(content) of the module greenlight_image.

    ``shown`` is how messages call the folder. Raises OverridesError with everything that is wrong.
    """
    reading = _Reading(path, os.path.normpath(shown or path))
    content = reading.read()
    if reading.problems:
        raise OverridesError(reading.problems)
    return content


class _Reading:
    """One folder, and what is wrong with it."""

    def __init__(self, path: str, shown: str) -> None:
        self.path, self.shown = path, shown
        self.problems: list[Problem] = []
        self.size = 0

    def bad(self, file: str, line: int, said: str) -> None:
        self.problems.append(Problem(file, line, said))

    def read(self) -> dict[str, Any]:
        content: dict[str, Any] = {"title": None, "footer": None, "made_from": [], "texts": [], "mails": [], "styles": [], "files": []}
        if not os.path.isdir(self.path):
            self.bad(self.shown, 0, f"is no folder; make it, see {PAGE}")
            return content
        found = 0
        for name in self.names():
            found += 1
            data = read_bytes(os.path.join(self.path, name), self.called(name), self.problems)
            if data is None:
                continue
            self.size += len(data)
            self.one(name, data, content)
        if not found:
            self.bad(self.shown, 0, f"holds nothing; put {_PLACES} there, see {PAGE}")
        if self.size > MAX_BYTES:
            self.bad(self.shown, 0, f"holds more than {MAX_BYTES // 1_000_000} MB; put large pictures and films on a web server")
        return content

    def called(self, name: str) -> str:
        return f"{self.shown}/{name}"

    def names(self) -> Iterator[str]:
        """Files below the folder, as relative paths in a fixed order; those of editors and of version control are passed over."""
        for folder, folders, names in os.walk(self.path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in [*folders, *names]:
                full = os.path.join(folder, name)
                if os.path.islink(full):
                    self.bad(self.called(os.path.relpath(full, self.path)), 0, "is a symbolic link; put the file itself there")
            for name in sorted(names):
                full = os.path.join(folder, name)
                if not name.startswith(".") and not name.endswith("~") and not os.path.islink(full):
                    yield os.path.relpath(full, self.path)

    def one(self, name: str, data: bytes, content: dict[str, Any]) -> None:
        """Sort one file into the content."""
        called = self.called(name)
        place, _slash, rest = name.partition("/")
        if not rest and name.startswith(("README", "LICENSE")):
            return
        if name == "image.yml":
            self.image(called, data, content)
        elif name in ICONS:
            content["files"] += [self.file(called, target, data) for target in ICONS[name]]
        elif name == "styles.scss":
            if (text := decode(data, called, self.problems)) is not None:
                content["styles"].append({"text": text, "at": called})
        elif place in ("locales", "mails") and rest:
            self.texts(called, place, rest, data, content)
        elif place == "files" and rest:
            content["files"].append(self.file(called, rest, data))
        else:
            self.bad(called, 0, f"has no meaning here; write {_PLACES}")

    @staticmethod
    def file(called: str, target: str, data: bytes) -> dict[str, str]:
        return {"path": target, "content": base64.b64encode(data).decode(), "at": called}

    def image(self, called: str, data: bytes, content: dict[str, Any]) -> None:
        """image.yml."""
        root = self.mapping(called, data, "title")
        if root is None:
            return
        self.known(root, _IMAGE_KEYS)
        if "title" in root:
            content["title"] = self.line_of_text(root, "title", 100)
        footer = root.get("footer")
        if isinstance(footer, Map):
            self.known(footer, _FOOTER_KEYS)
            content["footer"] = {key: self.line_of_text(footer, key, 300) for key in _FOOTER_KEYS if key in footer}
            link = content["footer"].get("link")
            if link and not _LINK.fullmatch(link["text"]):
                self.bad(*footer.at("link"), f"{show(link['text'])} is no address; write one such as https://sunflower.example/imprint")
            if "text" not in footer:
                self.bad(
                    *root.at("footer"), 'has no text; write footer: {text: "Sunflower Co-operative", link: "https://sunflower.example"}'
                )
        elif "footer" in root:
            self.bad(*root.at("footer"), f"{show(footer)} is no footer; write text: and, where wanted, link: below it")
        made_from = root.get("made_from")
        if isinstance(made_from, Map):
            for path, digest in made_from.items():
                file, line = made_from.at(path)
                if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
                    self.bad(file, line, f"{show(digest)} is no SHA-256; write the 64 hexadecimal digits that sha256sum shows")
                content["made_from"].append({"path": str(path), "sha256": str(digest), "at": f"{file}:{line}"})
        elif "made_from" in root:
            self.bad(*root.at("made_from"), "is no mapping; write the path of a file of the image and its SHA-256 on each line below it")

    def texts(self, called: str, place: str, rest: str, data: bytes, content: dict[str, Any]) -> None:
        """A file of locales/ or of mails/."""
        ending = "json" if place == "locales" else "yml"
        match = _LOCALE.fullmatch(rest)
        if not match or match[2] != ending:
            self.bad(called, 0, f"is not named by its language; write {place}/de.{ending} or {place}/pt_BR.{ending}")
            return
        locale = match[1]
        root = self.mapping(called, data, '"homepage"' if place == "locales" else locale)
        if root is None:
            return
        if place == "mails":
            # As in Rails' own files, everything stands below the name of the language.
            if list(root) != [locale]:
                self.bad(root.file, root.line, f"begins with {show(next(iter(root), ''))}; write {locale}: and all texts below it")
                return
            below = root[locale]
            if not isinstance(below, Map):
                self.bad(*root.at(locale), f"{show(below)} stands where texts are expected; write keys and texts below {locale}:")
                return
            root = below
        entries = content["texts" if place == "locales" else "mails"]
        for keys, text, at in self.leaves(root, ()):
            entries.append({"locale": locale, "keys": list(keys), "text": text, "at": at})

    def leaves(self, node: Map, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, str]]:
        """Every text below a mapping with its keys and the place it stands at."""
        for key, value in node.items():
            file, line = node.at(key)
            keys = (*above, str(key))
            if isinstance(value, Map):
                yield from self.leaves(value, keys)
            elif isinstance(value, str):
                yield keys, value, f"{file}:{line}"
            else:
                self.bad(file, line, f"{short('.'.join(keys))}: {show(value)} is no text; write the text in quotes")

    def mapping(self, called: str, data: bytes, first: str) -> Map | None:
        text = decode(data, called, self.problems)
        if text is not None and called.endswith(".json"):
            text = _PAIR.sub(_whole, text)
        return None if text is None else parse(text, called, self.problems, first, PAGE)

    def known(self, node: Map, keys: tuple[str, ...]) -> None:
        for key in node:
            if key not in keys:
                self.bad(*node.at(key), f"{show(key)} is unknown; write one of {', '.join(keys)}, or remove it")

    def line_of_text(self, node: Map, key: str, limit: int) -> dict[str, str]:
        """A short text on one line, with its place."""
        file, line = node.at(key)
        value = node[key]
        if not isinstance(value, str) or not value.strip() or len(value) > limit or "\n" in value:
            self.bad(file, line, f"{key} {show(value)} is not a text of one line with at most {limit} characters; write it in quotes")
        return {"text": str(value), "at": f"{file}:{line}"}
