# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: whether an OpenID Connect provider can be signed in at, asked as Greenlight will ask it.

Greenlight turns sign-in by password off as soon as it has an issuer, and asks the issuer only when somebody signs in
(greenlight config/initializers/omniauth.rb): one that does not answer locks everybody out, and nobody sees it before.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

WELL_KNOWN = ".well-known/openid-configuration"
SCOPES = ("openid", "email", "profile")
"""What Greenlight asks for."""
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
REQUIRED_LISTS = ("response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported")
"""Lists that the gem openid_connect wants in the document (lib/openid_connect/discovery/provider/config/response.rb)."""
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})
MAX_BYTES = 1_000_000
_PROBE = "meet-coop-preflight"

ARGUMENTS: dict[str, dict[str, Any]] = {
    "oidc": {
        "type": "dict",
        "required": True,
        "options": {
            "issuer": {"type": "str", "required": True},
            "client_id": {"type": "str", "required": True},
            "client_secret": {"type": "str", "required": True, "no_log": True},
        },
    },
    "redirect": {"type": "str", "required": True},
    "ca_file": {"type": "path"},
    "timeout": {"type": "int", "default": 10},
}
"""Argument spec of oidc_check."""


class ProviderError(CoopError):
    """The provider cannot be used as it is written."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The gem follows none either."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Provider:
    """One issuer, asked over https. ``timeout`` in seconds, for each answer."""

    def __init__(self, issuer: str, ca_file: str | None = None, timeout: float = 10) -> None:
        self.issuer, self.timeout = issuer, timeout
        if not issuer.startswith("https://") or not urlsplit(issuer).hostname:
            raise ProviderError(f"oidc.issuer {issuer}: is not an https address; write the issuer's address in full")
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ProviderError(f"ca_file {ca_file}: cannot be read: {error}") from None
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
        )

    def bad(self, said: str) -> ProviderError:
        """An error that names the issuer."""
        return ProviderError(f"oidc.issuer {self.issuer}: {said}")

    def _ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """Status and body. Raises ProviderError when nothing answers."""
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                body = answer.read(MAX_BYTES + 1)
                status = answer.status
        except urllib.error.HTTPError as error:
            body, status = error.read(MAX_BYTES), error.code
            if status in (301, 302, 303, 307, 308):
                target = str(error.headers.get("Location") or "another address")[:200]
                raise self.bad(f"{request.full_url} leads to {target}; write the issuer as the provider itself names it") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise self.bad(f"{request.full_url} does not answer: {' '.join(str(reason).split())}") from None
        except Exception as error:  # what speaks no HTTP (http.client)
            raise self.bad(f"{request.full_url} gives no HTTP answer: {type(error).__name__}") from None
        if len(body) > MAX_BYTES:
            raise self.bad(f"{request.full_url} answers with more than {MAX_BYTES} bytes; that is no such document")
        return status, body

    def _json(self, url: str) -> dict[str, Any]:
        status, body = self._ask(urllib.request.Request(url, headers={"Accept": "application/json"}))
        if status != 200:
            raise self.bad(f"{url} answers {status}; see that the issuer is written as the provider itself names it")
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise self.bad(f"{url} answers with something that is no JSON object; is it really the issuer?")
        return value

    def discover(self) -> dict[str, Any]:
        """The discovery document, held to what Greenlight needs. Raises ProviderError naming all that is missing."""
        document = self._json(f"{self.issuer.rstrip('/')}/{WELL_KNOWN}")
        named = document.get("issuer")
        if named != self.issuer:
            raise self.bad(f"calls itself {str(named)[:200]!r} in its discovery document; write exactly that")
        problems = [
            f"{key} is {'no https address' if document.get(key) else 'missing'}"
            for key in ENDPOINTS
            if not str(document.get(key) or "").startswith("https://")
        ]
        problems += [f"{key} is missing" for key in REQUIRED_LISTS if not isinstance(document.get(key), list) or not document[key]]
        if not problems:
            if "code" not in document["response_types_supported"]:
                problems.append("response_types_supported has no code")
            if not ALGORITHMS & set(map(str, document["id_token_signing_alg_values_supported"])):
                problems.append("id_token_signing_alg_values_supported has no algorithm with a public key, such as RS256")
            scopes = document.get("scopes_supported")
            lacking = [scope for scope in SCOPES if isinstance(scopes, list) and scope not in scopes]
            problems += [f"scopes_supported has no {', '.join(lacking)}"] if lacking else []
            ways = document.get("token_endpoint_auth_methods_supported")
            if isinstance(ways, list) and "client_secret_basic" not in ways:
                problems.append("token_endpoint_auth_methods_supported has no client_secret_basic, which Greenlight uses")
        if problems:
            raise self.bad(f"its discovery document does not do for Greenlight: {'; '.join(problems)}; change that at the provider")
        return document

    def keys(self, document: dict[str, Any]) -> int:
        """How many public keys the provider shows for its signatures. Raises ProviderError for none."""
        shown = self._json(document["jwks_uri"]).get("keys")
        usable = [key for key in shown if isinstance(key, dict) and key.get("kty") in ("RSA", "EC")] if isinstance(shown, list) else []
        if not usable:
            raise self.bad(f"{document['jwks_uri']} shows no RSA or EC key, so that no sign-in could be trusted")
        return len(usable)

    def client_known(self, document: dict[str, Any], client_id: str, secret: str, redirect_uri: str) -> bool | None:
        """Whether the provider accepts id and secret of the client; None when its answer leaves that open.

        A code that nobody was given is handed in: who is not the client is refused before the code is looked at (RFC 6749, 5.2).
        """
        login = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()
        form = urlencode({"grant_type": "authorization_code", "code": _PROBE, "redirect_uri": redirect_uri}).encode()
        headers = {"Authorization": f"Basic {login}", "Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        status, body = self._ask(urllib.request.Request(document["token_endpoint"], form, headers, method="POST"))
        try:
            error = json.loads(body).get("error")
        except (ValueError, AttributeError):
            error = None
        if error in ("invalid_client", "unauthorized_client") or status == 401:
            return False
        return True if error == "invalid_grant" else None

    def logout_path(self, document: dict[str, Any]) -> str | None:
        """What Greenlight appends to the issuer to sign out there (greenlight app/controllers/api/v1/sessions_controller.rb)."""
        end = str(document.get("end_session_endpoint") or "")
        base = self.issuer.rstrip("/")
        return end.removeprefix(base) if end.startswith(f"{base}/") and not urlsplit(end).query else None


def check(oidc: dict[str, Any], redirect: str, ca_file: str | None, timeout: float) -> dict[str, Any]:
    """What was seen of the provider: C(key_count), C(logout_path), C(client). Raises ProviderError."""
    provider = Provider(oidc["issuer"], ca_file, timeout)
    document = provider.discover()
    count = provider.keys(document)
    known = provider.client_known(
        document, oidc["client_id"], oidc["client_secret"], f"{redirect.rstrip('/')}/auth/openid_connect/callback"
    )
    if known is False:
        raise ProviderError(
            f"oidc.client_id {oidc['client_id']}: {oidc['issuer']} does not accept it with this secret; "
            "see that the client exists there, confidential and with this secret"
        )
    return {"key_count": count, "logout_path": provider.logout_path(document), "client": "accepted" if known else "unknown"}
