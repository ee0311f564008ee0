# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that the pages show, as lists of words."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a reader puts in, and what of inventories/example stands for it here.
PLACEHOLDERS = {"<id>": "sunflower", "SERVICE": "sunflower", "HOST": "host1", "NODE": "bbb1.meet.example", "…": "sunflower"}
# Blocks whose every line is a command; $ before it is the prompt.
SHELLS = ("console", "bash", "sh")
# What begins a command of ours, in a block without a language or in the middle of a line.
OURS = re.compile(r"(?:[A-Z_]+=\S+ )*(?:ansible(-[a-z]+)? |\./dev |meet\.coop\.[a-z_]+ -)")


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: the page and line it begins on, and its words, variables before it taken away."""

    place: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.place}: {shlex.join(self.words)}"


def pages() -> list[pathlib.Path]:
    return [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "docs" / "example-year" / "README.md",
        *sorted((ROOT / "roles").glob("*/README.md")),
    ]


def shown() -> list[Command]:
    """The commands of all pages, each whole."""
    return [whole(command) for page in pages() for command in commands(page, str(page.relative_to(ROOT)))]


def whole(command: Command) -> Command:
    """A command with its playbook's program before it, and its placeholders filled in."""
    words = command.words if not command.words[0].startswith("meet.coop.") else ("ansible-playbook", *command.words)
    return Command(command.place, tuple(PLACEHOLDERS.get(word, word) for word in words))


def commands(page: pathlib.Path, name: str) -> Iterator[Command]:
    """The commands of a page. Raises ValueError, with place and line, for one that no shell could read."""
    fence, prose, lines = "", [], iter(enumerate(page.read_text().splitlines(), 1))
    for number, line in lines:
        text = line.strip()
        if text.startswith("```"):
            fence = "" if fence else text.removeprefix("```").split(" ")[0] or "plain"
            prose.append("")
            continue
        shown = bool(fence) or (line.startswith("    ") and bool(OURS.match(text.removeprefix("$ "))))
        prose.append("" if shown else line)
        if not shown or (fence not in SHELLS and not OURS.match(text.removeprefix("$ "))):
            continue
        while text.endswith("\\") or _open(text):
            following = next(lines, None)
            if following is None:
                break
            prose.append("")
            text = text.removesuffix("\\") + " " + following[1].strip()
        yield from _split(text.removeprefix("$ "), f"{name}:{number}")
    whole = "\n".join(prose)
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", whole):
        text = " ".join(found[1].split())
        if OURS.match(text + " "):
            yield from _split(text, f"{name}:{whole[: found.start()].count(chr(10)) + 1}")


def _open(text: str) -> bool:
    """Whether a quotation goes on in the next line."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def _split(text: str, place: str) -> Iterator[Command]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise ValueError(f"{place}: {text}: {error}") from error
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words:
        yield Command(place, tuple(words))
