# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: welcome packs and pages of members by mail, each when there is something new in it. No clock is read.

The record of C(welcome/SERVICE.json) holds every pack that a service's coordinators got, with what it was about and its number: one goes
out when it is about something else than the last one. That of C(pages/2026-03/OWNER.json) holds one page a month, week or quarter.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.files import digest
from ansible_collections.meet.coop.plugins.plugin_utils._mailing import Letter, Outbox, outcome
from ansible_collections.meet.coop.plugins.plugin_utils._membership.errors import show

from . import pages
from .files import option_instant

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")


class PageMailTask:
    """The work of one call of page_mail."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.kind: str = params["kind"]
        self.at = option_instant("at", params["at"])
        self.cooperative: Mapping[str, Any] = params["cooperative"]
        missing = [key for key in ("id", "name", "domain", "contact") if key not in self.cooperative]
        if missing:
            said = "write what the inventory plugin meet.coop.members gives as coop_cooperative"
            raise CoopError(f"cooperative: {missing[0]} is missing; {said}")
        seen: set[str] = set()
        for page in params["pages"]:
            if not _ID.match(page["id"]):
                raise CoopError(f"pages: {show(page['id'])} is no id of the membership file; write one such as sunflower")
            if page["id"] in seen:
                raise CoopError(f"pages: {show(page['id'])} is there twice; give each page once")
            seen.add(page["id"])
            if not page["for"]:
                raise CoopError(f"pages: {page['id']} is for nobody; write at least one address, of a contact in the membership file")
            if self.kind == "welcome" and not page["about"]:
                raise CoopError(f"pages: {page['id']} says nothing of what it is about; write what welcome_page returned as page")

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Result of the module; mails go out unless in check mode."""
        ready = [page for page in self.params["pages"] if page["verified"]]
        waits = [page["id"] for page in self.params["pages"] if not page["verified"]]
        folder = os.path.join(self.params["record"], "welcome" if self.kind == "welcome" else "pages")
        if self.kind == "welcome":
            # Runs of several services go side by side.
            base, locks = folder, [os.path.join(folder, f".{page['id']}.lock") for page in ready]
        else:
            base, locks = os.path.join(folder, self.period), [os.path.join(folder, ".lock")]
        outbox = Outbox(
            base, locks, self.params["smtp"], self.params["ca_file"], self.params["timeout"], self.cooperative["name"], str(self.at.date())
        )
        letters = [letter for page in ready for letter in self.letters(outbox, page, check_mode)]
        became = outbox.post(letters, check_mode)
        found = outcome("id", "welcome packs" if self.kind == "welcome" else f"pages of {self.period}", letters, became)
        found["summary"] += [f"{name}: not verified yet, so nothing goes out" for name in waits]
        return {**found, "waits": waits}

    @property
    def period(self) -> str:
        """The week, month or quarter of the time."""
        day: datetime.date = self.at.astimezone(datetime.UTC).date()
        if self.params["every"] == "week":
            year, week, _weekday = day.isocalendar()
            return f"{year}-W{week:02}"
        if self.params["every"] == "quarter":
            return f"{day.year}-Q{(day.month + 2) // 3}"
        return f"{day.year}-{day.month:02}"

    def letters(self, outbox: Outbox, page: Mapping[str, Any], check_mode: bool) -> list[Letter]:
        """A mail to each whom a page is for, as it is now."""
        said = pages.catalogue(pages.nearest(page["language"])).gettext
        name, contact = self.cooperative["name"], self.cooperative["contact"]
        file = f"{self.cooperative['id']}-{'welcome' if self.kind == 'welcome' else self.period}-{page['id']}.html"
        # In check mode the page need not be there yet.
        files = ((file, b"" if check_mode else _content(page["path"])),)
        asking = said("Questions: %(name)s, %(email)s") % {"name": contact["name"], "email": contact["email"]}
        found = []
        for address in dict.fromkeys(page["for"]):
            number, more = 0, ()
            if self.kind == "welcome":
                number = _number(outbox.record(page["id"]), address, page["about"])
                more = (("about", page["about"]), ("number", number))
                subject = said("Welcome, %(title)s") % {"title": page["title"]}
                lines = [
                    said(
                        "The page that comes with this mail says where your meeting rooms are, how you sign in, and what your limits are."
                    ),
                    *([said("It takes the place of the one that we sent you before: something in it has changed.")] if number > 1 else []),
                ]
            else:
                subject = said("How your meetings are: %(title)s") % {"title": page["title"]}
                lines = [
                    said("The page that comes with this mail says how your services are, what your limits are and what you used."),
                    said("It is for you alone; please do not publish it."),
                ]
            what = (address, page["about"], number) if self.kind == "welcome" else (address, self.period)
            ident = f"<{self.kind}.{page['id']}.{digest(what)[:24]}@{self.cooperative['domain']}>"
            text = "\n\n".join([page["title"], " ".join(lines), asking, name]) + "\n"
            found.append(Letter(page["id"], address, f"{name}: {subject}", text, ident, files, more))
        return found


def _number(record: Mapping[str, Mapping[str, Any]], address: str, about: str) -> int:
    """Which pack it is that goes to an address: that of the last one when it is about the same, else the one after it.

    So what is taken back is told again, with a Message-ID that no mail program has seen yet.
    """
    last = max((one for one in record.values() if one.get("address") == address), key=lambda one: one.get("number", 0), default=None)
    if last is None:
        return 1
    return int(last.get("number", 0)) + (last.get("about") != about)


def _content(path: str) -> bytes:
    """What a page holds."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise CoopError(f"{os.path.relpath(path)}: cannot be read: {said}; write the page first, by welcome_page or member_page") from error
