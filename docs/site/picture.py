# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws docs/architecture.svg: python -m docs.site.picture. Boxes and arrows are data, so that a change of the picture is one line."""

from __future__ import annotations

import html
import pathlib

WIDTH, HEIGHT = 860, 610
STYLE = """
.picture { --ink: #1d2433; --soft: #55617a; --line: #8793ab; --paper: #ffffff; --ours: #e3edfb; --run: #e6f4e8; --out: #fdf1dc; }
@media (prefers-color-scheme: dark) {
  .picture { --ink: #e8ecf4; --soft: #a9b4c8; --line: #76839c; --paper: #14171d; --ours: #1c2f4a; --run: #1b3524; --out: #413114; }
}
.picture text { fill: var(--ink); font: 15px system-ui, sans-serif; text-anchor: middle; }
.picture text.small { fill: var(--soft); font-size: 13px; }
.picture text.area { fill: var(--soft); font-size: 13px; text-anchor: start; letter-spacing: .04em; }
.picture rect { stroke: var(--line); stroke-width: 1.2; }
.picture rect.page { fill: var(--paper); stroke: none; }
.picture rect.area { fill: none; stroke-dasharray: 5 4; }
.picture .ours { fill: var(--ours); } .picture .run { fill: var(--run); } .picture .out { fill: var(--out); }
.picture path { fill: none; stroke: var(--line); stroke-width: 1.6; marker-end: url(#tip); }
.picture marker path { fill: var(--line); stroke: none; marker-end: none; }
"""
# x, y, width, height, kind, lines: the first is the name.
BOXES = [
    (40, 50, 190, 66, "ours", ("members.yml", "who is in, who has what")),
    (270, 50, 180, 66, "ours", ("inventory plugin", "one host per service")),
    (490, 50, 150, 66, "ours", ("plan", "what drifts")),
    (680, 50, 140, 66, "ours", ("roles", "observe, diff, apply")),
    (60, 215, 170, 56, "run", ("Caddy", "names, certificates")),
    (270, 215, 170, 56, "run", ("Greenlight + Redis", "a container for each")),
    (270, 330, 170, 56, "run", ("PostgreSQL", "a database for each")),
    (60, 330, 170, 56, "run", ("restic", "backups, restore drills")),
    (530, 210, 130, 66, "run", ("pool", "tenants, caps")),
    (690, 190, 130, 50, "run", ("BigBlueButton",)),
    (690, 255, 130, 50, "run", ("BigBlueButton",)),
    (530, 330, 290, 56, "run", ("Prometheus and meter", "alerts, participant-minutes")),
    (40, 480, 170, 66, "out", ("our zone", "DNS, marked as ours")),
    (240, 480, 170, 66, "out", ("receipts, welcome", "for the coordinator")),
    (440, 480, 170, 66, "out", ("status page", "for everybody")),
    (640, 480, 180, 66, "out", ("books, statements", "for the treasurer")),
]
AREAS = [
    (20, 20, 820, 116, "THE CONTROLLER: FILES IN GIT, AND PLAYS"),
    (40, 176, 420, 236, "CONTAINER HOST"),
    (510, 176, 330, 236, "POOL AND ITS NODES"),
    (20, 450, 820, 116, "WHAT COMES OUT"),
]
ARROWS = [
    "M230 83 H266", "M450 83 H486", "M640 83 H676",
    "M750 136 V172", "M710 136 V156 H250 V172",
    "M230 243 H266", "M355 271 V326", "M440 243 H526", "M660 232 H686", "M660 254 C675 258 672 278 686 280",
    "M270 358 H234", "M595 276 V326",
    "M125 412 V446", "M325 412 V446", "M560 412 V446", "M730 412 V446",
]  # fmt: skip
TITLE = "From the membership file to meetings, and what comes out"
DESCRIPTION = (
    "On the controller the membership file becomes an inventory, a plan and roles. They act on container hosts, with Caddy, Greenlight, "
    "PostgreSQL and restic, and on the pool with its BigBlueButton servers. Out come DNS records, receipts, the status page and the books."
)


def drawing() -> str:
    parts = [
        f'<svg class="picture" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT - 30}" role="img" aria-labelledby="pt pd">',
        "<!-- SPDX-License-Identifier: GPL-3.0-or-later; drawn by docs/site/picture.py -->",
        f'<title id="pt">{TITLE}</title><desc id="pd">{DESCRIPTION}</desc>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 1 L10 5 L0 9 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT - 30}"/>',
    ]
    for x, y, width, height, name in AREAS:
        parts.append(f'<rect class="area" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>')
        parts.append(f'<text class="area" x="{x + 14}" y="{y + 20}">{html.escape(name)}</text>')
    parts += [f'<path d="{arrow}"/>' for arrow in ARROWS]
    for x, y, width, height, kind, lines in BOXES:
        parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>')
        middle = y + height / 2 + (5 if len(lines) == 1 else -4)
        for number, line in enumerate(lines):
            small = ' class="small"' if number else ""
            parts.append(f'<text{small} x="{x + width / 2:g}" y="{middle + 20 * number:g}">{html.escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    (pathlib.Path(__file__).parents[1] / "architecture.svg").write_text(drawing())
