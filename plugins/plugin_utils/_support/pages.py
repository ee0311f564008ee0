# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the templates of this folder, and the texts that people read, in their language."""

from __future__ import annotations

import datetime
import functools
import gettext
import os
import zoneinfo
from collections.abc import Mapping
from typing import Any

import jinja2

DOMAIN = "meet_coop_support"
LANGUAGES = ("en", "es", "ca", "de", "fr")
"""Languages that there are texts in; English stands in the code, the others in locale/."""
_FOLDER = os.path.dirname(__file__)


def nearest(code: str) -> str:
    """The language that there are texts in for a locale such as C(pt_BR) or C(de-AT); English where there are none."""
    found = code.replace("-", "_").partition("_")[0].lower()
    return found if found in LANGUAGES else "en"


@functools.cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The texts of a language; English where there is none."""
    return gettext.translation(DOMAIN, os.path.join(_FOLDER, "locale"), languages=[language], fallback=True)


@functools.cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.join(_FOLDER, "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    return environment


def render(name: str, language: str, values: Mapping[str, Any]) -> str:
    """A page from its template."""
    return _environment(language).get_template(f"{name}.html.j2").render(language=language, **values)


def style(accent: str = "") -> str:
    """The style of every page, as an element; C(accent) is a colour of whose page it is."""
    return _environment("en").get_template("style.html.j2").render(accent=accent)


def local(value: datetime.datetime, zone: zoneinfo.ZoneInfo) -> str:
    """A time as every language can read it: 2026-11-30 22:00."""
    return value.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def stamp(value: datetime.datetime, zone: zoneinfo.ZoneInfo) -> dict[str, str]:
    """A time for the element time: what machines read, and what people read."""
    return {"machine": value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ"), "people": local(value, zone)}
