# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: our part of Greenlight's maintenance banner. The banner is HTML, and a member may have a text of its own in it."""

from __future__ import annotations

import datetime
import html
import re
import zoneinfo

from .notices import Maintenance
from .pages import catalogue, local

BEGIN, END = "<!--meet.coop-->", "<!--/meet.coop-->"
_OURS = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


def banner(current: str | None, ours: str) -> str:
    """The whole banner: C(ours), then what was in it that is not ours. Either may be empty."""
    theirs = _OURS.sub("", current or "")
    return f"{BEGIN}{ours}{END}{theirs}" if ours else theirs


def announcement(one: Maintenance, at: datetime.datetime, language: str, zone: zoneinfo.ZoneInfo) -> str:
    """What is said of planned maintenance on a site, as HTML in its language."""
    said = catalogue(language).gettext
    text = (
        said("Maintenance under way, until %(end)s (%(zone)s) at the latest: %(title)s")
        if one.state(at) == "under_way"
        else said("Planned maintenance, %(begin)s to %(end)s (%(zone)s): %(title)s")
    )
    shown = text % {"begin": local(one.begin, zone), "end": local(one.end, zone), "zone": str(zone), "title": one.title.say(language)}
    return f"<span>{html.escape(' '.join(shown.split()), quote=False)}</span>"
