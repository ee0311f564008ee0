# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: incidents as an Atom feed (RFC 4287). The same incidents give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from .files import zulu
from .notices import Incident

MOST = 50
_ATOM = "http://www.w3.org/2005/Atom"


def render(title: str, name: str, domain: str, url: str | None, incidents: Sequence[Incident], language: str, over: str) -> str:
    """The feed of the latest incidents; C(over) is the word for one that is over, C(name) who speaks."""
    shown = incidents[:MOST]
    feed = ElementTree.Element("feed", {"xmlns": _ATOM, "xml:lang": language})
    _child(feed, "title", title)
    _child(feed, "id", f"tag:{domain},2026:incidents")
    # Without any incident nothing has ever been changed.
    _child(feed, "updated", zulu(max(one.changed for one in shown)) if shown else "2026-01-01T00:00:00Z")
    _child(_child(feed, "author"), "name", name)
    if url:
        _child(feed, "link", rel="self", href=f"{url}incidents.atom")
        _child(feed, "link", rel="alternate", type="text/html", href=url)
    for one in shown:
        entry = _child(feed, "entry")
        _child(entry, "title", one.title.say(language))
        _child(entry, "id", f"tag:{domain},2026:incident/{one.id}")
        _child(entry, "published", zulu(one.begin))
        _child(entry, "updated", zulu(one.changed))
        _child(entry, "category", term=one.severity)
        if url:
            _child(entry, "link", rel="alternate", type="text/html", href=f"{url}#incident-{one.id}")
        parts = [f"{zulu(update.at)} {update.text.say(language)}" for update in one.updates]
        _child(entry, "content", "\n".join([*parts, *([f"{zulu(one.end)} {over}"] if one.end else [])]) or one.title.say(language))
    ElementTree.indent(feed)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(feed, encoding="unicode") + "\n"


def _child(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name, attributes)
    # XML 1.0 has no place for other control characters; what reads the files refuses them.
    element.text = text
    return element
