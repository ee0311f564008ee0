# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the pages: python -m docs.site.build, or ./dev docs. The site is docs/build/site.

The pages of docs/ are laid out in docs/build/source as they are, with what is generated beside them: the reference of the membership file,
and of modules and roles by antsibull-docs. Links to files outside docs/ lead to the repository. Sphinx takes no warning for an answer, and
afterwards every link within the site is looked up in what was written.
"""

from __future__ import annotations

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import yaml
from sphinx_antsibull_ext import assets

from docs.site import reference

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCHEMA = ROOT / "plugins" / "plugin_utils" / "_membership" / "members.schema.json"
# Target of a Markdown link that is neither an address nor an anchor of the same page.
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")
KINDS = {
    "role": "Roles",
    "module": "Modules",
    "inventory": "Inventory",
    "lookup": "Lookups",
    "filter": "Filters",
    "callback": "Callbacks",
    "test": "Tests",
}
YEAR = "example-year"


class BrokenLink(Exception):
    """A link that leads nowhere: page and target."""


def lay_out(source: pathlib.Path) -> None:
    """Everything Sphinx reads but the pages of modules and roles."""
    source.mkdir(parents=True, exist_ok=True)
    shutil.copy(DOCS / "site" / "conf.py", source / "conf.py")
    shutil.copytree(DOCS / "site" / "static", source / "static")
    # The colours of tables of options follow the theme that the reader chose, as the rest does.
    with (source / "static" / "site.css").open("ab") as styles:
        for theme, scheme in (("light", "default"), ("dark", "default-dark")):
            styles.write(assets.get_color_scheme_content(scheme).replace(b":root", f'body[data-theme="{theme}"]'.encode()))
    pages = sorted(path.name for path in DOCS.glob("*.md"))
    for name in pages:
        text = rewrite((DOCS / name).read_text(), DOCS / name)
        if name == "README.md":
            # Where there are no pages of fields, the start page leads to what it says about them.
            (source / "index.md").write_text(text.replace("](#reference)", "](membership-reference.md)"))
        else:
            (source / name).write_text(text)
    (source / "membership-reference.md").write_text(reference.page(json.loads(SCHEMA.read_text())))
    shutil.copytree(DOCS / YEAR, source / "extra" / YEAR, ignore=shutil.ignore_patterns("README.md"))
    (source / YEAR).mkdir()
    (source / YEAR / "README.md").write_text(rewrite((DOCS / YEAR / "README.md").read_text(), DOCS / YEAR / "README.md"))
    (source / "playbooks.md").write_text(playbooks())
    index = source / "index.md"
    index.write_text(index.read_text() + navigation(index.read_text(), pages))


def rewrite(text: str, page: pathlib.Path) -> str:
    """A page with its links made for the site: to pages they stay, to other files they lead to the repository or to the copy."""
    repository = yaml.safe_load((ROOT / "galaxy.yml").read_text())["repository"]
    lines, fenced = [], False

    def target(match: re.Match[str]) -> str:
        before, path, anchor = match[1], urllib.parse.unquote(match[2]), match[3] or ""
        found = (page.parent / path).resolve()
        if not found.exists() or not found.is_relative_to(ROOT):
            raise BrokenLink(f"{page.relative_to(ROOT)}: {path} is not there")
        if before.startswith("!"):
            return f"\n{picture(found)}\n"
        year = DOCS / YEAR
        if found == DOCS / "README.md":
            path = os.path.relpath(DOCS / "index.md", page.parent)
        elif found == year:
            path = os.path.relpath(year / "README.md", page.parent)
        elif found.is_relative_to(year) and found.suffix != ".md":
            # Not a page but a file that is copied: Sphinx has nothing to do with it.
            label = before[1:-2]
            return f'<a href="{os.path.relpath(found, page.parent)}">{label}</a>'
        elif not (found.is_relative_to(DOCS) and found.suffix == ".md"):
            return f"{before}{repository}/{'tree' if found.is_dir() else 'blob'}/main/{found.relative_to(ROOT)}{anchor})"
        return f"{before}{path}{anchor})"

    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        lines.append(line if fenced else LINK.sub(target, line))
    return "\n".join(lines) + "\n"


def picture(path: pathlib.Path) -> str:
    """A drawing as part of the page, so that its colours follow the theme that the reader chose."""
    return '<div class="drawing">' + re.sub(r"<!--.*?-->\s*", "", path.read_text(), flags=re.DOTALL).strip() + "</div>"


def playbooks() -> str:
    """A page with every playbook, in the words of its own comment and of its plays."""
    lines = ["# Playbooks\n", "`ansible-playbook -i inventories/example meet.coop.<name>`; every one takes `--check --diff`.\n"]
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        lines.append(f"## `{path.stem}`\n")
        text = path.read_text()
        said = re.search(r"\A---\n# SPDX[^\n]*\n((?:#[^\n]*\n)*)", text)
        comment = [line.removeprefix("#").removeprefix(" ") for line in said[1].splitlines()] if said else []
        plain = [line for line in comment if not line.startswith(" ")]
        commands = [line.strip() for line in comment if line.startswith(" ")]
        lines += [re.sub(r"([*_<>])", r"\\\1", line) for line in plain]
        if commands:
            lines += ["\n```console", *commands, "```"]
        lines += ["", *(f"- {play['name']}" for play in yaml.safe_load(text) if play.get("name")), ""]
    return "\n".join(lines)


def navigation(start: str, pages: list[str]) -> str:
    """Trees for the side bar: the start page's own sections with the pages they link to, then what is generated."""
    trees: dict[str, list[str]] = {}
    seen: set[str] = set()
    section = ""
    for line in start.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip()
        for match in LINK.finditer(line):
            name = match[2]
            if name.endswith(".md") and section and name not in seen and name != "index.md":
                seen.add(name)
                trees.setdefault(section, []).append(name)
    generated = ["membership-reference.md", "playbooks.md"]
    rest = [name for name in [*pages, f"{YEAR}/README.md"] if name not in seen and name != "README.md"]
    trees.setdefault("Reference", []).extend(name for name in generated if name not in seen)
    trees["Reference"].extend(f"reference/{kind}" for kind in KINDS if (DOCS / "build" / "source" / "reference" / f"{kind}.rst").exists())
    if rest:
        trees["More"] = rest
    blocks = []
    for caption, names in trees.items():
        blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```", ""]))
    return "\n" + "\n".join(blocks)


def collection_pages(folder: pathlib.Path) -> None:
    """Pages of every role, module and plugin, by antsibull-docs, with a list of our own for each kind."""
    folder.mkdir(parents=True)
    subprocess.run(
        [
            "antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error", "--no-add-antsibull-docs-version",
            "--dest-dir", str(folder), "meet.coop",
        ],
        check=True,
    )  # fmt: skip
    # Its index speaks of a site of many collections.
    for name in ("index.rst", "environment_variables.rst"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("*.rst"):
        # The theme has a table of contents beside each page, and refuses a second one, in red.
        path.write_text(re.sub(r"^\.\. contents::\n(?: +.*\n)*", "", path.read_text(), flags=re.MULTILINE))
    for kind, title in KINDS.items():
        names = sorted(path.stem for path in folder.glob(f"*_{kind}.rst"))
        if names:
            lines = [title, "=" * len(title), "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {name}" for name in names), ""]
            (folder / f"{kind}.rst").write_text("\n".join(lines))


class _Page(html.parser.HTMLParser):
    """Anchors and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_links(site: pathlib.Path) -> list[str]:
    """Links within the site that lead nowhere, a line each."""
    pages: dict[pathlib.Path, _Page] = {}
    for path in site.rglob("*.html"):
        pages[path] = _Page()
        pages[path].feed(path.read_text())
    broken = []
    for path, found in sorted(pages.items()):
        for link in found.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link} is not there")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} has no such anchor")
    return broken


def main() -> int:
    build = DOCS / "build"
    shutil.rmtree(build, ignore_errors=True)
    source, site = build / "source", build / "site"
    try:
        collection_pages(source / "reference")
        lay_out(source)
        # In one process: shared out between two, it takes a third more of a processor's time.
        subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(source), str(site)], check=True)
    except (BrokenLink, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    shutil.rmtree(site / ".doctrees", ignore_errors=True)
    broken = broken_links(site)
    print(
        "\n".join(broken) if broken else f"The site is {site.relative_to(ROOT)}; begin with index.html",
        file=sys.stderr if broken else sys.stdout,
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
