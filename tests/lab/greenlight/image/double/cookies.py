# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Session cookies and CSRF tokens. Ours are signed where Rails' are encrypted; outside, the same rules hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import typing as t

from . import config

SESSION = "_greenlight-3_0_session"  # greenlight config/initializers/session_store.rb
EXTENDED = "_extended_session"  # greenlight app/controllers/api/v1/sessions_controller.rb


def _key(purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose}:{config.env('SECRET_KEY_BASE')}".encode()).digest()


def seal(purpose: str, value: dict[str, t.Any]) -> str:
    """A cookie value only this secret can have made."""
    body = base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"{body}--{hmac.new(_key(purpose), body.encode(), hashlib.sha256).hexdigest()}"


def unseal(purpose: str, text: str | None) -> dict[str, t.Any] | None:
    """The value, or None when missing, altered or made with another secret."""
    body, _other, mac = (text or "").partition("--")
    if not hmac.compare_digest(mac.encode(), hmac.new(_key(purpose), body.encode(), hashlib.sha256).hexdigest().encode()):
        return None
    try:
        value = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def csrf_token(session: dict[str, t.Any]) -> str:
    """A masked token for the page; the real one lives in the session (actionpack request_forgery_protection.rb)."""
    session.setdefault("_csrf_token", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("="))
    real, pad = _decode(session["_csrf_token"]), secrets.token_bytes(32)
    return base64.urlsafe_b64encode(pad + bytes(a ^ b for a, b in zip(pad, real, strict=True))).decode().rstrip("=")


def csrf_valid(session: dict[str, t.Any], token: str | None) -> bool:
    """Masked or plain token against the session's."""
    if not token or not session.get("_csrf_token"):
        return False
    try:
        given = _decode(token.replace("+", "-").replace("/", "_").rstrip("="))
    except ValueError:
        return False
    real = _decode(session["_csrf_token"])
    if len(given) == 64:
        given = bytes(a ^ b for a, b in zip(given[:32], given[32:], strict=True))
    return hmac.compare_digest(given, real)
