# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a browser would ask of a Greenlight that nobody is routed to yet.

The health check sees neither a page that is blank for want of one setting nor a sign-in that fails.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

COLOURS = ("PrimaryColor", "PrimaryColorLight")
"""The page asks for these two at once, and is blank when one is missing or stands twice (greenlight app/javascript/App.jsx)."""
_CSRF = re.compile(r'<meta\s+name="csrf-token"\s+content="([^"]+)"')


class Visitor:
    """One visitor with a cookie jar, asking as the edge would."""

    def __init__(self, address: tuple[str, int], hostname: str, timeout: float = 20.0) -> None:
        self.address, self.hostname, self.timeout = address, hostname, timeout
        self._cookies: dict[str, str] = {}
        self._csrf = ""

    def ask(self, method: str, path: str, accept: str = "application/json", body: Any = None) -> tuple[int, str]:
        """One request: (status, body). Status 0: nobody answers, and the body says why."""
        headers = {"Host": self.hostname, "Accept": accept, "X-Forwarded-Proto": "https", "Connection": "close"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if body is not None:
            headers |= {"Content-Type": "application/json", "X-CSRF-Token": self._csrf, "Origin": f"https://{self.hostname}"}
        connection = http.client.HTTPConnection(*self.address, timeout=self.timeout)
        try:
            connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
            response = connection.getresponse()
            for name, value in response.getheaders():
                if name.lower() == "set-cookie":
                    key, _equals, content = value.partition(";")[0].partition("=")
                    self._cookies[key.strip()] = content
            return response.status, response.read(1024**2).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error) or type(error).__name__
        finally:
            connection.close()

    def look(self) -> str:
        """What is wrong with what everybody sees, empty when nothing is."""
        status, page = self.ask("GET", "/", accept="text/html")
        tag = _CSRF.search(page)
        if status != 200 or not tag:
            return f"the start page answers {status or 'nothing'}{'' if tag else ' and is not the application'}"
        self._csrf = tag.group(1).replace("&amp;", "&").replace("&#43;", "+")
        query = "&".join(f"names[]={name}" for name in COLOURS)
        status, text = self.ask("GET", f"/api/v1/site_settings.json?{query}")
        try:
            values = json.loads(text)["data"]
            lacking = [name for name in COLOURS if not values[name]]
        except (ValueError, KeyError, TypeError):
            lacking = list(COLOURS)
        if status != 200 or lacking:
            return (
                f"the page would be blank: the settings {' and '.join(COLOURS)} answer {status or 'nothing'} without {', '.join(lacking)}"
            )
        status, text = self.ask("GET", "/api/v1/sessions.json")
        try:
            stranger = json.loads(text)["data"]["signed_in"]
        except (ValueError, KeyError, TypeError):
            stranger = None
        if status != 200 or stranger is not False:
            return f"a stranger's session answers {status or 'nothing'} with signed_in {stranger!r}"
        return ""

    def sign_in(self, email: str, password: str) -> str:
        """Sign in after `look`; what is wrong, empty when nothing is (greenlight app/controllers/api/v1/sessions_controller.rb)."""
        credentials = {"session": {"email": email, "password": password, "extend_session": False}}
        status, text = self.ask("POST", "/api/v1/sessions.json", body=credentials)
        if status != 200:
            return f"signing in answers {status or 'nothing'} ({' '.join(text.split())[:120]})"
        status, text = self.ask("GET", "/api/v1/sessions.json")
        try:
            signed_in = json.loads(text)["data"]["signed_in"]
        except (ValueError, KeyError, TypeError):
            signed_in = None
        return "" if status == 200 and signed_in is True else f"after signing in the session says signed_in {signed_in!r}"
