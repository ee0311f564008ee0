# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A curve as SVG: both axes logarithmic, a line for each way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 70, 40, 230, 50
COLORS = ("#1b7f5c", "#c0392b", "#7f8c8d", "#2c6fbb", "#8e44ad")


def svg(title: str, series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> str:
    """The picture of series of (number, seconds), all above 0."""
    points = [point for line in series.values() for point in line]
    low_x, high_x = min(x for x, _y in points), max(x for x, _y in points)
    low_y, high_y = (10 ** fit(math.log10(value)) for fit, value in
                     ((math.floor, min(y for _x, y in points)), (math.ceil, max(y for _x, y in points))))  # fmt: skip
    if high_y == low_y:
        high_y *= 10

    def place(x: float, y: float) -> tuple[float, float]:
        share = math.log(x / low_x) / math.log(high_x / low_x) if high_x > low_x else 0.5
        return (
            LEFT + share * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - math.log(y / low_y) / math.log(high_y / low_y) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{_text(title)}</text>',
    ]
    level = low_y
    while level <= high_y * 1.001:
        _x, y = place(low_x, level)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>')
        level *= 10
    for number in sorted({x for x, _y in points}):
        x, _y = place(number, low_y)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{number:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{_text(across)}</text>')
    parts.append(f'<text x="18" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 18 {HEIGHT / 2})">{_text(up)}</text>')
    labels: list[float] = []
    for color, (name, line) in zip(COLORS, sorted(series.items(), key=lambda one: -one[1][-1][1]), strict=False):
        drawn = [place(*point) for point in sorted(line)]
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in drawn]
        height = max([drawn[-1][1] + 4, *(label + 16 for label in labels)])
        labels.append(height)
        parts.append(f'<text x="{drawn[-1][0] + 10:.1f}" y="{height:.1f}" fill="{color}">{_text(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
