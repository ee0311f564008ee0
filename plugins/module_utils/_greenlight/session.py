# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: signing in to a Greenlight of this host by its port on loopback, as a person's browser does through the edge.

greenlight app/controllers/api/v1/sessions_controller.rb; the CSRF token stands in the page (app/views/layouts/application.html.erb).
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_TOKEN = re.compile(r'<meta\s+name="csrf-token"\s+content="([^"]+)"')
_SESSIONS = "/api/v1/sessions.json"
LARGEST = 1 << 20


class SignInFailed(CoopError):
    """The instance did not let the account in; the message says at which step."""


def sign_in(address: tuple[str, int], hostname: str, email: str, password: str, timeout: float = 20.0) -> str:
    """Sign in and ask who is signed in, as the next page would. Returns the account's id; raises SignInFailed."""
    cookies: dict[str, str] = {}

    def ask(method: str, path: str, body: Any = None, **more: str) -> tuple[int, str]:
        headers = {"Host": hostname, "X-Forwarded-Proto": "https", "Accept": "application/json", "Connection": "close", **more}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(*address, timeout=timeout)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            response = connection.getresponse()
            text = response.read(LARGEST).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise SignInFailed(f"{method} {path} is not answered: {error or type(error).__name__}") from error
        finally:
            connection.close()
        for value in response.headers.get_all("Set-Cookie") or ():
            name, _equals, content = value.split(";", 1)[0].partition("=")
            cookies[name.strip()] = content
        return response.status, text

    status, page = ask("GET", "/", Accept="text/html")
    token = _TOKEN.search(page)
    if status != 200 or token is None:
        raise SignInFailed(f"the start page answers {status}{'' if token else ' and holds no CSRF token'}")
    wish = {"session": {"email": email, "password": password, "extend_session": False}}
    csrf = token.group(1).replace("&amp;", "&").replace("&#43;", "+")
    status, answer = ask("POST", _SESSIONS, wish, **{"X-CSRF-Token": csrf})
    if status != 200:
        raise SignInFailed(f"signing in answers {status} {' '.join(answer.split())[:120]}")
    status, answer = ask("GET", _SESSIONS)
    user = _data(answer)
    if status != 200 or user.get("signed_in") is not True or user.get("email") != email:
        raise SignInFailed(f"after signing in, {_SESSIONS} answers {status} and not that {email} is signed in")
    return str(user.get("id"))


def _data(answer: str) -> Mapping[str, Any]:
    try:
        found = json.loads(answer)["data"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
