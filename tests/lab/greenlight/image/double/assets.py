# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page is made of: scripts, styles and texts, built as at upstream's start, and read from upstream's own places.

greenlight bin/start runs assets:precompile: esbuild and sass write app/assets/builds (package.json; unless SKIP_JS_BUILD and
SKIP_CSS_BUILD, jsbundling-rails and cssbundling-rails), then Sprockets copies builds, images and locales to public/assets under names
with a digest (app/assets/config/manifest.js) and writes its manifest last. A page asks the manifest; what is not in it is an error
(config.assets.compile is false in config/environments/production.rb).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import typing as t
from functools import cache
from pathlib import Path

from . import config

ROOT = Path("/usr/src/app")
BUILDS = ROOT / "app/assets/builds"
ASSETS = ROOT / "public/assets"
LOCALES = ROOT / "app/assets/locales"
NAMES = {"de": "Deutsch", "en": "English"}  # gem i18n-language-mapping
_TITLE = re.compile(r'<Title\b[^\n]*?[^?]>(?:{("(?:[^"\\]|\\.)*")}|([^<{]*))</Title>')
_FOOTER = re.compile(
    r'<a href=(?:"([^"]*)"|{("(?:[^"\\]|\\.)*")})[^>]*>(?:{("(?:[^"\\]|\\.)*")}|([^<{]*))</a>|<span>{("(?:[^"\\]|\\.)*")}</span>'
)


class AssetError(Exception):
    """A source that does not compile, or an asset that is not there."""


def _source(path: str) -> str:
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except OSError as error:
        raise AssetError(f"{path}: {error.strerror}") from error


def _yarn_build() -> str:
    """esbuild: one script of all sources; the double's pages need title and footer only."""
    app, footer = _source("app/javascript/App.jsx"), _source("app/javascript/components/shared_components/Footer.jsx")
    for name, text in (("App.jsx", app), ("Footer.jsx", footer)):
        if "export default" not in text or text.count("{") != text.count("}"):
            raise AssetError(f"[ERROR] {name}: Unexpected end of file before a closing tag or brace")
    title = _TITLE.search(app)
    link = _FOOTER.search(footer)
    if not title or not link:
        raise AssetError("[ERROR] App.jsx or Footer.jsx: no title or no footer")
    site = {
        "title": json.loads(title[1]) if title[1] else title[2],
        "footer": json.loads(link[3] or link[5]) if link[3] or link[5] else link[4],
        "link": json.loads(link[2]) if link[2] else link[1],
    }
    return f"const SITE = {json.dumps(site)};\n{_source('app/javascript/main.jsx')}"


def _sass(name: str = "application.bootstrap") -> str:
    """sass: imports put in; what is not there or not closed is an error."""
    text = re.sub(r"^\s*//.*$", "", _source(f"app/assets/stylesheets/{name}.scss"), flags=re.MULTILINE)
    if text.count("{") != text.count("}"):
        raise AssetError(f'Error: expected "}}" in {name}.scss')
    return re.sub(r"^@import '([\w./-]+)';$", lambda found: _sass(found[1]), text, flags=re.MULTILINE)


def precompile() -> None:
    """Raises AssetError."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    if not config.present("SKIP_JS_BUILD"):
        print("yarn build" if config.present("SKIP_YARN_INSTALL") else "yarn install\nyarn build")
        (BUILDS / "main.js").write_text(_yarn_build(), encoding="utf-8")
    if not config.present("SKIP_CSS_BUILD"):
        print("yarn build:css")
        (BUILDS / "application.css").write_text(_sass(), encoding="utf-8")
    ASSETS.mkdir(parents=True, exist_ok=True)
    names = {}
    for path in sorted([*BUILDS.glob("[!.]*"), *LOCALES.glob("*.json")]):
        data = path.read_bytes()
        names[path.name] = f"{path.stem}-{hashlib.sha256(data).hexdigest()}{path.suffix}"
        if not (ASSETS / names[path.name]).exists():
            (ASSETS / names[path.name]).write_bytes(data)
    for old in ASSETS.glob(".sprockets-manifest-*.json"):
        old.unlink()
    whole = json.dumps({"assets": names})
    (ASSETS / f".sprockets-manifest-{hashlib.md5(whole.encode(), usedforsecurity=False).hexdigest()}.json").write_text(whole)


@cache
def _manifest() -> dict[str, str]:
    found = sorted(ASSETS.glob(".sprockets-manifest-*.json"))
    return t.cast(dict[str, str], json.loads(found[0].read_text())["assets"]) if found else {}


def path(name: str) -> str:
    """asset_path. Raises AssetError for what was not compiled."""
    try:
        return f"/assets/{_manifest()[name]}"
    except KeyError:
        raise AssetError(f'The asset "{name}" is not present in the asset pipeline.') from None


@cache
def title() -> str:
    """What stands between <title> and </title> in the layout, as it stands there."""
    found = re.search(r"<title>(.*)</title>", _source("app/views/layouts/application.html.erb"))
    return found[1] if found else ""


@cache
def page_title() -> str:
    """ApplicationHelper#page_title of a page that is no room's."""
    found = re.search(r"return '((?:[^'\\]|\\.)*)' if match", _source("app/helpers/application_helper.rb"))
    return re.sub(r"\\(['\\])", r"\1", found[1]) if found else ""


def languages() -> list[str]:
    """The languages of app/assets/locales."""
    return sorted(one.stem for one in LOCALES.glob("*.json"))


def locale(name: str) -> str:
    """locales_controller.rb show: the first file whose name begins so. Raises AssetError."""
    wanted = name.replace("-", "_")
    return path(f"{min((one for one in languages() if one.startswith(wanted)), default='')}.json")


@cache
def _texts() -> dict[str, str]:
    """config/locales/*.yml in the order of their names, later ones over earlier ones (config/application.rb); in English."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "config/locales").glob("*.yml")):
        text = file.read_text(encoding="utf-8")
        tree = json.loads(text) if text.startswith("{") else _plain(text)
        found.update(_leaves(tree.get("en") or {}))
    return found


def _plain(text: str) -> dict[str, t.Any]:
    """Nested mappings of one-line texts, which is all that these files are."""
    root: dict[str, t.Any] = {}
    open_: list[tuple[int, dict[str, t.Any]]] = [(-1, root)]
    for line in text.splitlines():
        if found := re.match(r'( *)(\w+):(?: (?:"(.*)"|(.*)))?$', line):
            while open_[-1][0] >= len(found[1]):
                open_.pop()
            value = found[3] if found[3] is not None else found[4]
            if value is None:
                below: dict[str, t.Any] = {}
                open_[-1][1][found[2]] = below
                open_.append((len(found[1]), below))
            else:
                open_[-1][1][found[2]] = value
    return root


def _leaves(tree: dict[str, t.Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


def text(key: str, **values: str) -> str:
    """Rails' t(): a missing text shows its key, a value that is not given is an error (I18n::MissingInterpolationArgument)."""

    def fill(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise AssetError(f"missing interpolation argument :{found[1]} in {key}")
        return values[found[1]]

    return re.sub(r"%{(\w+)}", fill, _texts().get(key, f"Translation missing: en.{key}"))


def task(_arguments: list[str]) -> int:
    """assets:precompile."""
    try:
        precompile()
    except (AssetError, OSError) as error:
        print(f"bin/rails aborted!\nCommand build failed, ensure `yarn build` runs without errors: {error}", file=sys.stderr)
        return 1
    return 0
