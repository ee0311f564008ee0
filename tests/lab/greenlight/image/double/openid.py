# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign-in by OpenID Connect: the code flow of omniauth_openid_connect 0.8 as greenlight config/initializers/omniauth.rb sets it up.

Discovery at each sign-in, client_secret_basic, scopes openid, email and profile, state and nonce, the ID token proven by the provider's
keys (openid_connect 2.3, lib/openid_connect/response_object/id_token.rb), name and address from the userinfo endpoint.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import ssl
import typing as t
import urllib.error
import urllib.request
from urllib.parse import quote_plus, urlencode, urlsplit

from . import config

STRATEGY = "/auth/openid_connect"
CALLBACK = f"{STRATEGY}/callback"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
SECONDS = 10


class Failure(Exception):
    """OmniAuth's fail!: the visitor is led to /auth/failure with this message."""


class Claims(t.NamedTuple):
    """What a sign-in brings."""

    uid: str
    name: str | None
    email: str | None
    locale: str | None
    id_token: str


def enabled() -> bool:
    """Whether the strategy is there for the single tenant."""
    return config.present("OPENID_CONNECT_ISSUER") and not config.present("LOADBALANCER_ENDPOINT")


def redirect_uri() -> str:
    """File.join of OPENID_CONNECT_REDIRECT and the callback's path."""
    return (config.env("OPENID_CONNECT_REDIRECT") or "").rstrip("/") + CALLBACK


def _fetch(url: str, body: bytes | None = None, **headers: str) -> t.Any:
    """JSON from the provider, over https with a certificate that is trusted; no redirects."""
    if urlsplit(url).scheme != "https":
        raise Failure("discovery_failed")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()), urllib.request.ProxyHandler({}))
    opener.handlers = [handler for handler in opener.handlers if not isinstance(handler, urllib.request.HTTPRedirectHandler)]
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with opener.open(urllib.request.Request(url, body, {"Accept": "application/json", **sent}), timeout=SECONDS) as answer:
            if answer.status != 200:
                raise Failure("discovery_failed")
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        try:
            raise Failure(str(json.loads(error.read()).get("error") or "unknown")) from error
        except (ValueError, AttributeError):
            raise Failure("unknown") from error
    except (OSError, ValueError) as error:
        raise Failure("failed_to_connect") from error


def discover() -> dict[str, t.Any]:
    """OpenIDConnect::Discovery::Provider::Config.discover!: required fields, and the issuer has to be the one asked for."""
    issuer = config.env("OPENID_CONNECT_ISSUER") or ""
    document = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    wanted = ("issuer", "authorization_endpoint", "jwks_uri", "response_types_supported", "subject_types_supported",
              "id_token_signing_alg_values_supported")  # fmt: skip
    if not isinstance(document, dict) or any(not document.get(name) for name in wanted) or document["issuer"] != issuer:
        raise Failure("discovery_failed")
    return document


def start(session: dict[str, t.Any]) -> str:
    """The request phase: where the visitor is sent. State and nonce stay in the session."""
    document = discover()
    session["omniauth.state"], session["omniauth.nonce"] = secrets.token_hex(16), secrets.token_hex(16)
    query = {
        "client_id": config.fetch("OPENID_CONNECT_CLIENT_ID"),
        "nonce": session["omniauth.nonce"],
        "redirect_uri": redirect_uri(),
        "response_type": "code",
        "scope": "openid email profile",
        "state": session["omniauth.state"],
    }
    return f"{document['authorization_endpoint']}?{urlencode(query)}"


def finish(session: dict[str, t.Any], params: dict[str, t.Any]) -> Claims:
    """The callback phase. State and nonce are used up whatever comes of it."""
    state, nonce = session.pop("omniauth.state", None), session.pop("omniauth.nonce", None)
    given = params.get("state")
    if not isinstance(state, str) or not isinstance(given, str) or not hmac.compare_digest(state, given):
        raise Failure("csrf_detected")
    if params.get("error"):
        raise Failure(str(params["error"]))
    if not isinstance(params.get("code"), str) or not params["code"]:
        raise Failure("missing_code")
    document = discover()
    login = f"{quote_plus(config.fetch('OPENID_CONNECT_CLIENT_ID'))}:{quote_plus(config.fetch('OPENID_CONNECT_CLIENT_SECRET'))}"
    form = urlencode({"grant_type": "authorization_code", "code": params["code"], "redirect_uri": redirect_uri()}).encode()
    tokens = _fetch(
        document["token_endpoint"],
        form,
        Authorization="Basic " + base64.b64encode(login.encode()).decode(),
        Content_Type="application/x-www-form-urlencoded",
    )
    id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
    if not isinstance(id_token, str) or not isinstance(access_token, str):
        raise Failure("missing_id_token")
    proven = _proven(id_token, _fetch(document["jwks_uri"]), nonce)
    info = _fetch(document["userinfo_endpoint"], Authorization=f"Bearer {access_token}")
    uid = info.get(config.env("OPENID_CONNECT_UID_FIELD", "sub") or "sub") or info.get("sub") or proven["sub"]
    return Claims(str(uid), info.get("name"), info.get("email"), info.get("locale"), id_token)


def _proven(id_token: str, keys: t.Any, nonce: t.Any) -> dict[str, t.Any]:
    """The ID token's claims: signature, issuer, audience, expiry, nonce."""
    import jwt

    try:
        kid = jwt.get_unverified_header(id_token).get("kid")
        known = [key for key in jwt.PyJWKSet.from_dict(keys).keys if kid is None or key.key_id == kid]
        if len(known) != 1:
            raise Failure("invalid_id_token")
        claims: dict[str, t.Any] = jwt.decode(
            id_token,
            known[0].key,
            algorithms=ALGORITHMS,
            audience=config.fetch("OPENID_CONNECT_CLIENT_ID"),
            issuer=config.env("OPENID_CONNECT_ISSUER"),
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        print(f"E, ERROR -- : (openid_connect) {type(error).__name__}: {error}", flush=True)
        raise Failure("invalid_id_token") from error
    if not isinstance(nonce, str) or claims.get("nonce") != nonce:
        raise Failure("invalid_nonce")
    return claims


def logout_url(id_token: str, root_url: str) -> str:
    """greenlight app/controllers/api/v1/sessions_controller.rb destroy."""
    issuer, path = (config.env(name) or "" for name in ("OPENID_CONNECT_ISSUER", "OPENID_CONNECT_LOGOUT_PATH"))
    back = quote_plus(f"{root_url}?success=LogoutSuccessful")
    end_session = f"{issuer.rstrip('/')}/{path.lstrip('/')}"
    client = config.env("OPENID_CONNECT_CLIENT_ID")
    return f"{end_session}?client_id={client}&id_token_hint={id_token}&post_logout_redirect_uri={back}"
