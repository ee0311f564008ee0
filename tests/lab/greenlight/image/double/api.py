# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers: greenlight config/routes.rb, app/controllers/**. Each function names what it answers; rules sit next to their line."""

from __future__ import annotations

import datetime as dt
import html
import re
import sys
import time
import traceback
import typing as t
from urllib.parse import quote, urlencode

from . import accounts, assets, bbb, checks, config, cookies, mail, openid, rooms
from .accounts import PROVIDER, RecordInvalid, RecordNotFound, ServerError, allowed, as_uuid, blank, text
from .db import Connection, Row, now
from .server import Application, Request, Response, Upload, error_page, json_response, wrapper_key

# greenlight config/application.rb custom_error_msgs
INVALID_PARAMS, NOT_FOUND, SERVER_ERROR = "InvalidParams", "RecordNotFound", "SomethingWentWrong"
EMAIL_EXISTS, RECORD_INVALID, INVITE_INVALID = "EmailAlreadyExists", "RecordInvalid", "InviteInvalid"
ROOM_LIMIT, PENDING, BANNED, UNVERIFIED, UNAUTHORIZED = "RoomLimitError", "PendingUser", "BannedUser", "UnverifiedUser", "Unauthorized"
HCAPTCHA_INVALID, WRONG_PASSWORD, EXTERNAL_SIGNUP = "HCaptchaInvalid", "IncorrectOldPassword", "SignupError"
FORBIDDEN_SETTINGS = {"RoleMapping", "ResyncOnLogin", "DefaultRole"}  # app/controllers/api/v1/site_settings_controller.rb
INVITATION_DAYS = 7
PAGE = 10  # config/initializers/pagy.rb
GONE = "Thu, 01 Jan 1970 00:00:00 GMT"


class Halt(Exception):
    """An answer given before the action's end (a before_action that renders)."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class ParameterMissing(Exception):
    """params.require without the key."""


class Context:
    """One request in a controller: session, cookies, current user, parameters."""

    def __init__(self, app: Application, request: Request, db: Connection, captured: dict[str, str]) -> None:
        self.app, self.request, self.db = app, request, db
        self.params: dict[str, t.Any] = captured
        self.session: dict[str, t.Any] = cookies.unseal("session", request.cookies.get(cookies.SESSION)) or {}
        self._session_before = dict(self.session)
        self.out: list[tuple[str, str, str]] = []
        self._user: Row | None = None

    # application_controller.rb

    @property
    def provider(self) -> str:
        """ "greenlight", or the tenant named by the host while LOADBALANCER_ENDPOINT is set."""
        if not config.present("LOADBALANCER_ENDPOINT"):
            return PROVIDER
        tenant = self.request.host_with_port.split(":")[0].split(".")[0]
        if not self.db.one("SELECT 1 FROM tenants WHERE name = %s", tenant):
            raise ServerError("Invalid domain")
        return tenant

    @property
    def user(self) -> Row | None:
        """current_user. Without a session the token is nil, and find_by(session_token: nil) matches a user whose token is NULL."""
        if self._user is not None:
            return self._user
        extended = cookies.unseal("extended", self.request.cookies.get(cookies.EXTENDED))
        if extended and not self.session.get("session_token"):
            self.session["session_token"] = extended.get("session_token")
        token = self.session.get("session_token")
        user = self.db.one("SELECT * FROM users WHERE session_token IS NOT DISTINCT FROM %s ORDER BY created_at, id LIMIT 1", token)
        if user is None:
            return None
        expired = user["session_expiry"] is not None and now() > user["session_expiry"]
        if expired or (not accounts.super_admin(self.db, user) and user["provider"] != self.provider):
            self.session["session_token"] = None
            self.delete_cookie(cookies.EXTENDED)
            return None
        self._user = user
        return user

    @property
    def base_url(self) -> str:
        """The request's own scheme and host: links are built from it."""
        return self.request.base_url

    @property
    def root_url(self) -> str:
        """Rails' root_url."""
        return f"{self.base_url}{self.request.script}/"

    def delete_cookie(self, name: str) -> None:
        """Expire a cookie."""
        self.out.append((name, "", f"; expires={GONE}"))

    def finish(self, response: Response) -> Response:
        """Write the session cookie when there is something to keep."""
        path = config.env("RELATIVE_URL_ROOT") or "/"
        if self.session != self._session_before:
            kept = {name: value for name, value in self.session.items() if value is not None}
            response.cookie(cookies.SESSION, cookies.seal("session", kept), path, "; httponly; samesite=lax; secure")
        for name, value, extra in self.out:
            response.cookie(name, value, "/", extra)
        return response

    # api_controller.rb

    def current(self) -> Row:
        """current_user where an action cannot go on without one (nil raises upstream)."""
        if self.user is None:
            raise ServerError("undefined method for nil")
        return self.user

    def require(self, name: str) -> dict[str, t.Any]:
        """params.require(name)."""
        value = self.params.get(name)
        if not isinstance(value, dict) or not value:
            raise ParameterMissing(name)
        return value

    def authorize(self, *names: str, user_id: t.Any = None, friendly_id: str | None = None) -> None:
        """ensure_authorized (app/controllers/concerns/authorizable.rb)."""
        if not allowed(self.db, self.user, list(names), self.provider, user_id=user_id, friendly_id=friendly_id):
            raise Halt(error(403))


def error(status: int = 400, errors: t.Any = (), data: t.Any = None) -> Response:
    """render_error."""
    value = {"data": data, "errors": list(errors) if isinstance(errors, tuple) else errors}
    return json_response(status, {name: item for name, item in value.items() if item is not None})


def data(value: t.Any = None, status: int = 200, meta: dict[str, t.Any] | None = None, *, nil: bool = False) -> Response:
    """render_data: everything under "data"; a nil value is the bare text null."""
    if value is None:
        if nil:
            return json_response(status, None)
        value = {}
    return json_response(status, {"data": value, **({"meta": meta} if meta else {})})


Action = t.Callable[[Context], Response]
ROUTES: list[tuple[str, re.Pattern[str], Action, bool, bool]] = []


def route(methods: str, path: str, *, public: bool = False, csrf: bool = True) -> t.Callable[[Action], Action]:
    """Register an API action: `public` skips ensure_authenticated, csrf=False skips verify_authenticity_token."""
    pattern = re.compile(r"/api/v1/" + re.sub(r":(\w+)", r"(?P<\1>[^/.]+)", path) + r"(?:\.(?P<format>\w+))?")

    def register(action: Action) -> Action:
        for method in methods.split():
            ROUTES.append((method, pattern, action, public, csrf))
        return action

    return register


# -- dispatch


def dispatch(app: Application, request: Request, db: Connection) -> Response:
    """Find the action, run the callbacks in upstream's order, turn exceptions into upstream's answers."""
    if re.fullmatch(r"/health_check(\.\w+)?", request.path) and request.method in ("GET", "HEAD"):
        return _health(db)
    method = "GET" if request.method == "HEAD" else request.method
    for wanted, pattern, action, public, csrf in ROUTES:
        if wanted == method and (match := pattern.fullmatch(request.path)):
            return _api(Context(app, request, db, {k: v for k, v in match.groupdict().items() if v is not None}), action, public, csrf)
    context = Context(app, request, db, {})
    try:
        external = {("GET", "/meeting_ended"): _meeting_ended, ("POST", "/recording_ready"): _recording_ready}.get(
            (method, request.path.removesuffix(".json"))
        )
        if external:
            context.params = request.parameters()
            return context.finish(external(context))
        if request.path.startswith("/rails/active_storage/"):
            return _blob(context)
        # GET of the strategy's own path, and all of /auth/ without an issuer, is the page's.
        strategy = {("POST", openid.STRATEGY): _openid_start, ("GET", openid.CALLBACK): _openid_callback}.get((method, request.path))
        if strategy and openid.enabled():
            context.params = request.parameters()
            return context.finish(strategy(context))
        return _page(context)
    except ValueError:
        return error_page(request, 400)
    except Exception as failure:
        _log(failure)
        return error_page(request, 500)


def _api(context: Context, action: Action, public: bool, csrf: bool) -> Response:
    """api_controller.rb: CSRF, then ensure_valid_request, then ensure_authenticated; every StandardError is a 500 in JSON."""
    request = context.request
    try:
        context.params = {**request.parameters(wrapper_key(request.path)), **context.params}  # broken JSON: 500 as any exception
        if csrf and request.method not in ("GET", "HEAD"):
            _verify_csrf(context)
        if not (request.json_format and "application/json" in request.header("Accept")):
            return context.finish(_html(context))
        if not public and context.user is None:
            return context.finish(error(401))
        return context.finish(action(context))
    except Halt as halt:
        return context.finish(halt.response)
    except ParameterMissing as failure:
        _log(failure)
        return context.finish(error(400, [INVALID_PARAMS]))
    except RecordNotFound as failure:
        _log(failure)
        return context.finish(error(404, [NOT_FOUND]))
    except Exception as failure:
        _log(failure)
        return context.finish(error(500, [SERVER_ERROR]))


def _log(failure: Exception) -> None:
    print(f"E, ERROR -- : {type(failure).__name__}: {failure}", flush=True)
    if not isinstance(failure, (ServerError, RecordInvalid, RecordNotFound, ParameterMissing, bbb.BBBError)):
        traceback.print_exc(file=sys.stdout)


def _verify_csrf(context: Context) -> None:
    """actionpack request_forgery_protection.rb: Origin must be ours if sent; token by header or parameter."""
    origin = context.request.header("Origin")
    if origin and origin != context.base_url:
        raise ServerError("Can't verify CSRF token authenticity: HTTP Origin header didn't match request.base_url")
    tokens = (context.request.header("X-CSRF-Token"), context.params.get("authenticity_token"))
    if not any(isinstance(token, str) and cookies.csrf_valid(context.session, token) for token in tokens):
        raise ServerError("Can't verify CSRF token authenticity.")


def _health(db: Connection) -> Response:
    """health_checks_controller.rb."""
    try:
        return Response(200, checks.health(db), "text/plain; charset=utf-8")
    except checks.HealthError as failure:
        print(f"E, ERROR -- : Health check failed: {failure}", flush=True)
        return Response(500, str(failure), "text/plain; charset=utf-8")


def _page(context: Context) -> Response:
    """Every other path is the single-page application (config/routes.rb, last line); there is no JSON of it."""
    if context.request.method not in ("GET", "HEAD"):
        try:
            _verify_csrf(context)
        except ServerError as failure:
            _log(failure)
            return error_page(context.request, 422)
    if context.request.json_format:
        return error_page(context.request, 406)
    return context.finish(_html(context))


def _html(context: Context) -> Response:
    """app/views/layouts/application.html.erb: reads the branding image, so it needs the database; carries the CSRF token."""
    image = accounts.setting(context.db, "BrandingImage", context.provider)
    title = assets.page_title()
    if found := re.search(r"/rooms/(\w{3}-\w{3}-\w{3}-\w{3})", context.request.path):
        title = context.db.value("SELECT name FROM rooms WHERE friendly_id = %s", found[1]) or title
    root = context.request.script
    try:
        script, styles = assets.path("main.js"), assets.path("application.css")
    except assets.AssetError as failure:
        raise ServerError(str(failure)) from failure
    return Response(
        200,
        f"""<!DOCTYPE html>
<html>
  <head>
    <title>{assets.title()}</title>
    <meta name="viewport" content="width=device-width,initial-scale=1">
    <meta property="og:title" content="{html.escape(title)}" />
    <meta property="og:description" content="{html.escape(assets.text("opengraph.description"))}" />
    <meta property="og:image" content="{html.escape(text(image))}" />
    <meta name="csrf-param" content="authenticity_token" />
<meta name="csrf-token" content="{cookies.csrf_token(context.session)}" />
    <link rel="stylesheet" href="{root}{styles}" />
    <script src="{root}{script}" defer="defer" data-root="{root}"></script>
  </head>
  <body>
    <div id="root"></div>
  </body>
</html>
""",
    )


# -- outside /api (app/controllers/external_controller.rb)


def _meeting_ended(context: Context) -> Response:
    """No check of who calls."""
    meeting = context.params.get("meetingID")
    if not isinstance(meeting, str):
        raise ServerError("undefined method 'end_with?' for nil")
    if meeting.endswith("_"):
        meeting = meeting.split("_")[0]
    room = context.db.one("SELECT * FROM rooms WHERE meeting_id = %s", meeting)
    if room:
        more = 1 if context.params.get("recordingmarks") == "true" else 0
        context.db.update("rooms", room["id"], recordings_processing=room["recordings_processing"] + more, online=False)
    return json_response(200, {})


def _recording_ready(context: Context) -> Response:
    """JWT HS256 signed with the BigBlueButton secret, else 401. What a valid one brings is not stored by the double."""
    import base64
    import hashlib
    import hmac

    head, _other, signature = text(context.params.get("signed_parameters")).rpartition(".")
    made = base64.urlsafe_b64encode(hmac.new(config.bbb_secret().encode(), head.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    return json_response(200 if head and hmac.compare_digest(made, signature) else 401, {})


def _found(location: str) -> Response:
    """redirect_to."""
    response = Response(302, "")
    response.headers["location"] = location
    return response


def _root(context: Context, **query: str) -> Response:
    """redirect_to root_path(...)."""
    return _found(f"{context.root_url}{'?' + urlencode(query) if query else ''}")


def _openid_failure(context: Context, failure: openid.Failure) -> Response:
    """OmniAuth::FailureEndpoint in production: a page that says no more than the message."""
    print(f"E, ERROR -- : (openid_connect) Authentication failure! {failure}", flush=True)
    return _found(f"{context.request.script}/auth/failure?{urlencode({'message': str(failure), 'strategy': 'openid_connect'})}")


def _openid_start(context: Context) -> Response:
    """The request phase takes POST with a CSRF token only (omniauth 2, omniauth-rails_csrf_protection)."""
    try:
        _verify_csrf(context)
    except ServerError:
        return _openid_failure(context, openid.Failure("authenticity_error"))
    try:
        return _found(openid.start(context.session))
    except openid.Failure as failure:
        return _openid_failure(context, failure)


def _openid_callback(context: Context) -> Response:
    """external_controller.rb create_user: whatever goes wrong in it is the same SignupError."""
    try:
        claims = openid.finish(context.session, context.params)
    except openid.Failure as failure:
        return _openid_failure(context, failure)
    try:
        return _openid_user(context, claims)
    except Exception as failure:
        _log(failure)
        return _root(context, error=EXTERNAL_SIGNUP)


def _openid_user(context: Context, claims: openid.Claims) -> Response:
    """Find or make the user: by external id; by mail with the fallback, as the provider writes it; by registration method and domains."""
    db, provider = context.db, context.provider
    user = db.one("SELECT * FROM users WHERE external_id = %s AND provider = %s", claims.uid, provider)
    if user is None and config.env("USE_EMAIL_AS_EXTERNAL_ID_FALLBACK", "false") == "true":
        user = db.one("SELECT * FROM users WHERE email = %s AND provider = %s", claims.email, provider)
        if user is not None:
            accounts.update_user(db, user, external_id=claims.uid)
    new = user is None
    method = accounts.setting(db, "RegistrationMethod", provider)
    if claims.email is None:
        raise ServerError("undefined method 'downcase' for nil")
    if new and method == "invite" and not _openid_invited(context, claims.email):
        return _root(context, error=INVITE_INVALID)
    domains = accounts.setting(db, "AllowedDomains", provider)
    if new and not blank(domains) and not any(claims.email.endswith(domain) for domain in str(domains).split(",")):
        return _root(context, error=BANNED)
    told = {"name": claims.name, "email": claims.email, "external_id": claims.uid, "verified": True}
    if user is None:
        found = re.match("[a-z]{2}", claims.locale or "")
        told["language"] = found[0] if found else config.env("DEFAULT_LOCALE", "en")
        user = {**accounts.build_user(db, told, provider, accounts.default_role(db, provider)), "external_id": claims.uid, "verified": True}
        errors = accounts.save_new_user(db, user, None)
        if errors:
            raise RecordInvalid(f"Validation failed: {', '.join(errors)}")
        rooms.create_default_room(db, user, provider)
        if config.present("SMTP_SERVER"):
            panel = f"{context.root_url}admin/users"
            mail.deliver_later(context.app.pool, mail.new_signup(user, panel, provider), panel)
    elif accounts.setting(db, "ResyncOnLogin", provider):
        accounts.update_user_or_raise(db, user, **told)
    if method == "approval":
        if new:
            accounts.update_user_or_raise(db, user, status=accounts.STATUS["pending"])
        if user["status"] == accounts.STATUS["pending"]:
            return _found(f"{context.root_url}pending")
    days = accounts.setting(db, "SessionTimeout", provider)
    accounts.new_session_token(db, user, extended=bool(days))
    accounts.update_user(db, user, last_login=now())
    if days:
        later = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=accounts.ruby_int(str(days)))).strftime("%a, %d %b %Y %H:%M:%S GMT")
        sealed = cookies.seal("extended", {"session_token": user["session_token"]})
        context.out.append((cookies.EXTENDED, sealed, f"; expires={later}; secure; httponly"))
    context.session["session_token"] = user["session_token"]
    if config.present("OPENID_CONNECT_LOGOUT_PATH"):
        context.session["oidc_id_token"] = claims.id_token
    back = context.request.cookies.get("location")
    if back:
        context.delete_cookie("location")
        if re.search(r"/rooms/\w{3}-\w{3}-\w{3}(-\w{3})?/join\Z", back) and back.startswith("/"):
            return _found(back)
    return _root(context)


def _openid_invited(context: Context, email: str) -> bool:
    """valid_invite_token: the cookie that the invitation's page sets; a right one is used up."""
    token = context.request.cookies.get("inviteToken")
    if blank(token):
        return False
    sql = "DELETE FROM invitations WHERE email = %s AND provider = %s AND token = %s RETURNING id"
    return context.db.one(sql, email.lower(), context.provider, token) is not None


def _blob(context: Context) -> Response:
    """Active Storage: a lasting link leads to a disk link that is good for five minutes (config/storage.yml, service "local")."""
    from .storage import read

    found = re.fullmatch(r"/rails/active_storage/(blobs/redirect|disk)/([^/]+)/([^/]+)", context.request.path)
    purpose = "blob" if found and found[1] == "blobs/redirect" else "disk"
    value = cookies.unseal(purpose, found[2]) if found else None
    blob = context.db.one("SELECT * FROM active_storage_blobs WHERE id = %s", as_uuid(value["id"])) if value else None
    if found is None or value is None or blob is None:
        return error_page(context.request, 404)
    if purpose == "blob":
        link = cookies.seal("disk", {"id": blob["id"], "until": time.time() + 300})
        response = Response(302, "")
        response.headers["location"] = f"{context.base_url}{context.request.script}/rails/active_storage/disk/{link}/{quote(found[3])}"
        return response
    content = read(blob) if value["until"] > time.time() else None
    return (
        error_page(context.request, 404) if content is None else Response(200, content, blob["content_type"] or "application/octet-stream")
    )


# -- public API


@route("GET", "env", public=True)
def env_index(context: Context) -> Response:
    """env_controller.rb: never touches the database, so it is no proof of one."""
    return data(
        {
            "EXTERNAL_AUTH": external_auth(context),
            "HCAPTCHA_KEY": config.env("HCAPTCHA_SITE_KEY"),
            "VERSION_TAG": config.env("VERSION_TAG", ""),
            "CURRENT_PROVIDER": context.provider,
            "SMTP_ENABLED": config.present("SMTP_SERVER"),
        }
    )


def external_auth(context: Context) -> bool:
    """api_controller.rb external_auth?."""
    if not config.present("LOADBALANCER_ENDPOINT"):
        return config.present("OPENID_CONNECT_ISSUER")
    return context.db.one("SELECT 1 FROM tenants WHERE name = %s AND client_secret = 'local'", context.provider) is None


def _captcha(context: Context) -> None:
    """With hCaptcha on, no scripted client gets in: the double cannot verify a token, so none is right."""
    if config.present("HCAPTCHA_SITE_KEY") and config.present("HCAPTCHA_SECRET_KEY"):
        raise Halt(error(400, HCAPTCHA_INVALID))


@route("GET", "sessions", public=True)
def sessions_index(context: Context) -> Response:
    """sessions_controller.rb index."""
    if context.user:
        return data(accounts.serialize_current_user(context.db, context.user))
    return data({"signed_in": False, "default_locale": config.env("DEFAULT_LOCALE")})


@route("POST", "sessions", public=True)
def sessions_create(context: Context) -> Response:
    """sessions_controller.rb create: provider, external sign-in, password, verified, pending, banned, in this order."""
    if context.user is not None:  # ensure_unauthenticated
        return error(401)
    _captcha(context)
    given = context.require("session")
    if not isinstance(given.get("email"), str):
        raise ServerError("undefined method 'downcase' for nil")
    email = given["email"].lower()
    user = None
    for provider in (context.provider, "bn"):
        user = user or context.db.one("SELECT * FROM users WHERE email = %s AND provider = %s ORDER BY created_at LIMIT 1", email, provider)
    if user is None:
        return error()
    if not accounts.super_admin(context.db, user) and (user["provider"] != context.provider or external_auth(context)):
        return error(403)
    if not accounts.authenticate(user, given.get("password")):
        return error()
    if not user["verified"]:
        return error(400, UNVERIFIED, user["id"])
    if user["status"] in (accounts.STATUS["pending"], accounts.STATUS["banned"]):
        return error(400, PENDING if user["status"] == accounts.STATUS["pending"] else BANNED)
    extend = given.get("extend_session") not in (None, False)
    accounts.new_session_token(context.db, user, extended=extend)
    accounts.update_user(context.db, user, last_login=now())
    if extend:
        later = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=7)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        context.out.append(
            (cookies.EXTENDED, cookies.seal("extended", {"session_token": user["session_token"]}), f"; expires={later}; secure; httponly")
        )
    context.session["session_token"] = user["session_token"]
    return data(accounts.serialize_current_user(context.db, context.current()))


@route("DELETE", "sessions/signout")
def sessions_destroy(context: Context) -> Response:
    """sessions_controller.rb destroy: the token is replaced, so every other session of the user ends too. Maybe on to the provider's."""
    id_token = context.session.pop("oidc_id_token", None)
    accounts.new_session_token(context.db, context.current())
    context.session["session_token"] = None
    context.delete_cookie(cookies.EXTENDED)
    if config.present("OPENID_CONNECT_LOGOUT_PATH") and id_token and external_auth(context):
        return data(openid.logout_url(id_token, context.root_url))
    return data()


@route("GET", "site_settings", public=True)
def site_settings_index(context: Context) -> Response:
    """site_settings_controller.rb: three settings are never shown; null for all unless each name has exactly one row."""
    names = context.params.get("names")
    if FORBIDDEN_SETTINGS.intersection(names if isinstance(names, list) else [names]):
        return error(403)
    return data(accounts.setting(context.db, names, context.provider), nil=True)


@route("GET", "rooms_configurations/:name", public=True)
def rooms_configuration_show(context: Context) -> Response:
    """rooms_configurations_controller.rb show."""
    value = context.db.value(
        """SELECT c.value FROM rooms_configurations c JOIN meeting_options o ON o.id = c.meeting_option_id
        WHERE c.provider = %s AND o.name = %s""",
        context.provider,
        context.params["name"],
    )
    return error(404) if value is None else data(value)


@route("GET", "rooms_configurations")
def rooms_configurations_index(context: Context) -> Response:
    """rooms_configurations_controller.rb index."""
    context.authorize("CreateRoom", "ManageSiteSettings", "ManageRoles", "ManageRooms")
    rows = context.db.all(
        """SELECT o.name, c.value FROM rooms_configurations c JOIN meeting_options o ON o.id = c.meeting_option_id
        WHERE c.provider = %s""",
        context.provider,
    )
    return data({row["name"]: row["value"] for row in rows})


@route("GET", "locales")
def locales_index(_context: Context) -> Response:
    """locales_controller.rb index."""
    return data({name: assets.NAMES[name] for name in assets.languages() if name in assets.NAMES})


@route("GET", "locales/:name", public=True)
def locales_show(context: Context) -> Response:
    """locales_controller.rb show: a redirect to the asset; 406 for a language that is not there."""
    try:
        found = assets.locale(context.params["name"])
    except assets.AssetError:
        return Response(406, "")
    response = Response(302, "")
    response.headers["location"] = f"{context.base_url}{context.request.script}{found}"
    return response


@route("GET", "invitations/:token", public=True)
def invitations_show(context: Context) -> Response:
    """invitations_controller.rb: shown for seven days. Since 3.8.1 (before, the path is the page's)."""
    if (config.env("VERSION_TAG") or "").startswith("v3.7."):
        return error_page(context.request, 406)
    found = context.db.one("SELECT * FROM invitations WHERE token = %s AND provider = %s", context.params["token"], context.provider)
    if found is None or found["updated_at"] <= now() - dt.timedelta(days=INVITATION_DAYS):
        return error(404)
    return data(_invitation(found))


def _invitation(row: Row) -> dict[str, t.Any]:
    valid = row["updated_at"] > now() - dt.timedelta(days=INVITATION_DAYS)
    return {"id": row["id"], "email": row["email"], "name": row.get("name"), "updated_at": row["updated_at"], "valid": valid}


# -- password reset and activation


@route("POST", "reset_password", public=True)
def reset_password_create(context: Context) -> Response:
    """reset_password_controller.rb create: 200 whatever happens to the mail, and for unknown or external users too."""
    given = context.params.get("user")
    if given is None:
        return error()
    if not isinstance(given, dict) or not isinstance(given.get("email"), str):
        raise ServerError("undefined method 'downcase' for nil")
    user = context.db.one("SELECT * FROM users WHERE email = %s AND provider = %s", given["email"].lower(), context.provider)
    if user and blank(user["external_id"]):
        link = f"{context.root_url}reset_password/{accounts.new_token(context.db, user, 'reset')}"
        mail.deliver_later(context.app.pool, mail.reset_password(user, link), link)
    return data()


def _reset_user(context: Context) -> Row:
    given = context.params.get("user")
    if blank(given) or not isinstance(given, dict) or blank(given.get("token")):
        raise Halt(error(400))
    user = accounts.by_token(context.db, given["token"], "reset")
    if user is None:
        raise Halt(error(403))
    return user


@route("POST", "reset_password/verify", public=True)
def reset_password_verify(context: Context) -> Response:
    """reset_password_controller.rb verify."""
    _reset_user(context)
    return data()


@route("POST", "reset_password/reset", public=True)
def reset_password_reset(context: Context) -> Response:
    """reset_password_controller.rb reset: the token is spent before the new password is looked at; a weak one is then a 500."""
    user = _reset_user(context)
    password = context.params["user"].get("new_password")
    if blank(password):
        return error(400)
    if not accounts.forget_token(context.db, user, "reset"):
        return error(500)
    accounts.update_user_or_raise(context.db, user, password=text(password))
    return data()


@route("POST", "verify_account", public=True)
def verify_account_create(context: Context) -> Response:
    """verify_account_controller.rb create."""
    given = context.params.get("user")
    if not isinstance(given, dict):
        return error(400)
    user = context.db.one("SELECT * FROM users WHERE id = %s AND provider = %s", as_uuid(given.get("id")), context.provider)
    if user and not user["verified"]:
        link = f"{context.root_url}activate_account/{accounts.new_token(context.db, user, 'verification')}"
        mail.deliver_later(context.app.pool, mail.activate_account(user, link), link)
    return data()


@route("POST", "verify_account/activate", public=True)
def verify_account_activate(context: Context) -> Response:
    """verify_account_controller.rb activate."""
    given = context.params.get("user")
    if blank(given) or not isinstance(given, dict) or blank(given.get("token")):
        return error(400)
    user = accounts.by_token(context.db, given["token"], "verification")
    if user is None:
        return error(403)
    if not accounts.forget_token(context.db, user, "verification"):
        return error(500)
    accounts.update_user_or_raise(context.db, user, verified=True)
    return data()


# -- users


@route("POST", "users", public=True)
def users_create(context: Context) -> Response:
    """users_controller.rb create."""
    if external_auth(context):
        return error(403)
    db, caller = context.db, context.user
    admin = caller is not None and allowed(db, caller, ["ManageUsers"], context.provider)
    if caller is not None and not admin:
        return error(403)
    given = {
        name: value for name, value in context.require("user").items() if name in ("name", "email", "password", "language", "invite_token")
    }
    method = accounts.setting(db, "RegistrationMethod", context.provider)
    if not isinstance(given.get("email"), str):
        raise ServerError("undefined method 'downcase' for nil")
    invited = (
        not blank(given.get("invite_token"))
        and db.one(
            "DELETE FROM invitations WHERE email = %s AND provider = %s AND token = %s RETURNING id",
            given["email"].lower(),
            context.provider,
            given["invite_token"],
        )
        is not None
    )
    if method == "invite" and not invited and not admin:
        return error(400, INVITE_INVALID)
    if not admin:
        _captcha(context)
    if blank(given.get("language")):
        given["language"] = caller["language"] if caller else config.env("DEFAULT_LOCALE", "en")
    domains = accounts.setting(db, "AllowedDomains", context.provider)
    if not blank(domains) and not any(given["email"].endswith(domain) for domain in str(domains).split(",")):
        return error(403, BANNED)
    user = accounts.build_user(db, given, context.provider, accounts.default_role(db, context.provider))
    smtp = config.present("SMTP_SERVER")
    # verify! and pending! are update! on the new record: they save it, and an invalid one is a 500 instead of a 400
    strict = not smtp or invited or (not admin and method == "approval")
    user["verified"] = not smtp or invited
    if not admin and method == "approval":
        user["status"] = accounts.STATUS["pending"]
    errors = accounts.save_new_user(db, user, given.get("password") if isinstance(given.get("password"), str) else None)
    if errors and strict:
        raise RecordInvalid(f"Validation failed: {', '.join(errors)}")
    if errors:
        return error(400, EMAIL_EXISTS if errors == ["Email has already been taken"] else RECORD_INVALID)
    if smtp:
        if not invited:
            link = f"{context.root_url}activate_account/{accounts.new_token(db, user, 'verification')}"
            mail.deliver_later(context.app.pool, mail.activate_account(user, link), link)
        panel = f"{context.root_url}admin/users"
        mail.deliver_later(context.app.pool, mail.new_signup(user, panel, context.provider), panel)
    rooms.create_default_room(db, user, context.provider)
    if user["verified"]:
        accounts.new_session_token(db, user)
        if not admin:
            context.session["session_token"] = user["session_token"]
    return data(accounts.serialize_current_user(db, user), 201)


@route("POST", "users/change_password")
def users_change_password(context: Context) -> Response:
    """users_controller.rb change_password."""
    user = context.current()
    if not blank(user["external_id"]):
        return error(403)
    given = context.require("user")
    if blank(given.get("new_password")) or blank(given.get("old_password")):
        return error(400)
    if not accounts.authenticate(user, given["old_password"]):
        return error(400, WRONG_PASSWORD)
    accounts.update_user_or_raise(context.db, user, password=text(given["new_password"]))
    return data()


@route("GET", "users/:id")
def users_show(context: Context) -> Response:
    """users_controller.rb show."""
    context.authorize("ManageUsers", user_id=context.params["id"])
    return data(accounts.serialize_user(context.db, accounts.find_user(context.db, context.params["id"])))


@route("PATCH PUT", "users/:id")
def users_update(context: Context) -> Response:
    """users_controller.rb update: nobody changes their own role; AllowNameUpdate (since 3.8.1) binds all but user managers."""
    db, caller = context.db, context.current()
    context.authorize("ManageUsers", user_id=context.params["id"])
    user = accounts.find_user(db, context.params["id"])
    given = context.require("user")
    if not blank(given.get("role_id")) and caller["id"] == user["id"] and given["role_id"] != user["role_id"]:
        return error(403, UNAUTHORIZED)
    manager = allowed(db, caller, ["ManageUsers"], context.provider)
    permitted = {"name", "password", "language", "role_id", "avatar"}
    old = (config.env("VERSION_TAG") or "").startswith("v3.7.")
    if not manager and (external_auth(context) or (not old and not accounts.setting(db, "AllowNameUpdate", context.provider))):
        permitted.discard("name")
    values = {name: value for name, value in given.items() if name in permitted and isinstance(value, (str, type(None)))}
    if "role_id" in values:
        values["role_id"] = as_uuid(values["role_id"])
    errors = accounts.update_user(db, user, **values)
    if errors:
        return error(400, errors)
    if isinstance(given.get("avatar"), Upload):
        from .storage import attach

        attach(db, "User", user["id"], "avatar", given["avatar"])
    rooms.create_default_room(db, user, context.provider)
    return data()


@route("DELETE", "users/:id")
def users_destroy(context: Context) -> Response:
    """users_controller.rb destroy."""
    context.authorize("ManageUsers", user_id=context.params["id"])
    rooms.destroy_user(context.db, accounts.find_user(context.db, context.params["id"]))
    return data()


# -- rooms


def _room(context: Context, scoped: bool = True) -> Row:
    """find_room."""
    found = context.db.one(
        """SELECT r.*, u.name AS owner_name FROM rooms r JOIN users u ON u.id = r.user_id
        WHERE r.friendly_id = %s AND (NOT %s OR u.provider = %s)""",
        context.params["friendly_id"],
        scoped,
        context.provider,
    )
    if found is None:
        raise RecordNotFound("Couldn't find Room")
    return found


def _serialize_room(room: Row) -> dict[str, t.Any]:
    """room_serializer.rb."""
    shared = {"shared_owner": room["owner_name"]} if room.get("shared") else {}
    names = ("id", "name", "friendly_id", "online", "participants", "last_session")
    return {**{name: room.get(name) for name in names}, **shared}


@route("GET", "rooms")
def rooms_index(context: Context) -> Response:
    """rooms_controller.rb index: own and shared rooms."""
    user = context.current()
    search = context.params.get("search")
    found = context.db.all(
        """SELECT r.*, u.name AS owner_name FROM rooms r JOIN users u ON u.id = r.user_id
        WHERE (r.user_id = %s OR r.id IN (SELECT room_id FROM shared_accesses WHERE user_id = %s))
        AND (%s::text IS NULL OR r.name ILIKE %s) ORDER BY r.online DESC, r.last_session DESC NULLS LAST""",
        user["id"],
        user["id"],
        search,
        f"%{text(search)}%",
    )
    for room in found:
        room["shared"] = room["user_id"] != user["id"]
    rooms.check_running(context.db, found)
    return data([_serialize_room(room) for room in found])


@route("POST", "rooms")
def rooms_create(context: Context) -> Response:
    """rooms_controller.rb create: CreateRoom, ManageUsers unless for oneself, then RoomLimit with the target user."""
    context.authorize("CreateRoom")
    given = context.require("room")
    context.authorize("ManageUsers", user_id=given.get("user_id"))
    if not allowed(context.db, context.user, ["RoomLimit"], context.provider, user_id=given.get("user_id")):
        return error(400, ROOM_LIMIT)
    made = rooms.create_room(context.db, given.get("name"), as_uuid(given.get("user_id")))
    if isinstance(made, list):
        return error(400, made)
    return data(f"/rooms/{made['friendly_id']}", 201)


@route("GET", "rooms/:friendly_id")
def rooms_show(context: Context) -> Response:
    """rooms_controller.rb show."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    rooms.check_running(context.db, [room])
    shared = (
        context.db.one("SELECT 1 FROM shared_accesses WHERE user_id = %s AND room_id = %s", context.current()["id"], room["id"]) is not None
    )
    blob = accounts.attached(context.db, "Room", room["id"], "presentation")
    return data(
        {
            "id": room["id"],
            "name": room["name"],
            "presentation_name": blob["filename"] if blob else None,
            "thumbnail": None,
            "online": room["online"],
            "participants": room.get("participants"),
            "shared": shared,
            "owner_name": room["owner_name"],
            **({"last_session": room["last_session"]} if room["last_session"] else {}),
        }
    )


@route("GET", "rooms/:friendly_id/public", public=True)
def rooms_public(context: Context) -> Response:
    """rooms_controller.rb public_show."""
    room = _room(context)
    names = ["glRequireAuthentication", "glViewerAccessCode", "glModeratorAccessCode", "record", "glAnyoneJoinAsModerator"]
    found = rooms.settings(context.db, room["id"], context.user, context.provider, only=names)
    owner = accounts.find_user(context.db, room["user_id"])
    shared = context.db.all("SELECT user_id FROM shared_accesses WHERE room_id = %s", room["id"])
    return data(
        {
            "name": room["name"],
            "recording_consent": found.get("record"),
            "require_authentication": found.get("glRequireAuthentication"),
            "viewer_access_code": found.get("glViewerAccessCode"),
            "moderator_access_code": found.get("glModeratorAccessCode"),
            "anyone_join_as_moderator": found.get("glAnyoneJoinAsModerator"),
            "friendly_id": room["friendly_id"],
            "owner_name": owner["name"],
            "owner_id": owner["id"],
            "owner_avatar": accounts.avatar(context.db, owner),
            "shared_user_ids": [row["user_id"] for row in shared],
        }
    )


@route("PATCH PUT", "rooms/:friendly_id")
def rooms_update(context: Context) -> Response:
    """rooms_controller.rb update: name and presentation, never the owner."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    given = context.require("room")
    if "name" in given:
        try:
            rooms.rename_room(context.db, room, given["name"])
        except RecordInvalid as failure:
            return error(400, [str(failure)])
    if isinstance(given.get("presentation"), Upload):
        from .storage import PRESENTATIONS, attach

        if not given["presentation"].filename.lower().endswith(PRESENTATIONS):
            return error(400, ["Presentation has an invalid content type"])
        attach(context.db, "Room", room["id"], "presentation", given["presentation"])
    return data()


@route("DELETE", "rooms/:friendly_id")
def rooms_destroy(context: Context) -> Response:
    """rooms_controller.rb destroy."""
    room = _room(context)
    context.authorize("ManageRooms", friendly_id=context.params["friendly_id"])
    rooms.destroy_room(context.db, room)
    return data()


@route("GET", "rooms/:friendly_id/recordings_processing")
def rooms_recordings_processing(context: Context) -> Response:
    """rooms_controller.rb recordings_processing."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    return data(room["recordings_processing"])


@route("GET", "room_settings/:friendly_id")
def room_settings_show(context: Context) -> Response:
    """room_settings_controller.rb show: options without a configuration row are shown too."""
    room = _room(context, scoped=False)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    return data(rooms.settings(context.db, room["id"], context.user, context.provider, show_codes=True, only_enabled=True))


@route("PATCH PUT", "room_settings/:friendly_id")
def room_settings_update(context: Context) -> Response:
    """room_settings_controller.rb update: 400 without a configuration row, 403 when forced; any value otherwise."""
    room = _room(context, scoped=False)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    given = context.require("room_setting")
    name, value = given.get("settingName"), text(given.get("settingValue"))
    configured = context.db.value(
        """SELECT c.value FROM rooms_configurations c JOIN meeting_options o ON o.id = c.meeting_option_id
        WHERE c.provider = %s AND o.name = %s""",
        context.provider,
        name,
    )
    if configured is None:
        return error(400)
    code = name in rooms.ACCESS_CODES
    if configured not in ("optional", "default_enabled") and not (configured == "true" and code and value != "false"):
        return error(403)
    if code:
        value = "" if value == "false" else rooms.access_code()
    row = context.db.one(
        """SELECT x.id FROM room_meeting_options x JOIN meeting_options o ON o.id = x.meeting_option_id
        WHERE x.room_id = %s AND o.name = %s ORDER BY x.created_at LIMIT 1""",
        room["id"],
        name,
    )
    if row is None:
        return error(400)
    context.db.update("room_meeting_options", row["id"], value=value)
    return data()


# -- meetings


@route("POST", "meetings/:friendly_id/start")
def meetings_start(context: Context) -> Response:
    """meetings_controller.rb start."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    user = context.current()
    try:
        rooms.start_meeting(context.db, room, user, context.base_url, context.provider)
    except bbb.BBBError as failure:
        if failure.key != "idNotUnique":
            return error(400, failure.key)
    return data(rooms.join_url(room, user["name"], f"gl-{user['id']}", "Moderator"), 201)


@route("POST", "meetings/:friendly_id/status", public=True)
def meetings_status(context: Context) -> Response:
    """meetings_controller.rb status: role by access code, start by who may."""
    room = _room(context)
    names = ["glRequireAuthentication", "glViewerAccessCode", "glModeratorAccessCode", "glAnyoneCanStart", "glAnyoneJoinAsModerator"]
    found = rooms.settings(context.db, room["id"], context.user, context.provider, only=names, show_codes=True)
    user = context.user
    if user is None and found.get("glRequireAuthentication") == "true":
        return error(401)
    given = context.params.get("access_code")
    viewer, moderator = found.get("glViewerAccessCode"), found.get("glModeratorAccessCode")
    anyone = found.get("glAnyoneJoinAsModerator") == "true"

    def matches(code: t.Any) -> bool:
        return not blank(code) and not blank(given) and bool(code == given)

    shared = (
        user is not None
        and context.db.one("SELECT 1 FROM shared_accesses WHERE user_id = %s AND room_id = %s", user["id"], room["id"]) is not None
    )
    own = user is not None and user["id"] == room["user_id"]
    if own or shared or matches(moderator) or (anyone and blank(viewer) and blank(moderator)) or (anyone and matches(viewer)):
        role = "Moderator"
    elif ((blank(viewer) and blank(given)) or matches(viewer)) and not anyone:
        role = "Viewer"
    else:
        return error(403)
    running = rooms.running(room)
    if not running and (found.get("glAnyoneCanStart") == "true" or own or shared or matches(moderator)):
        try:
            rooms.start_meeting(context.db, room, user, context.base_url, context.provider)
        except bbb.BBBError as failure:
            if failure.key != "idNotUnique":
                return error(400)
        running = True
    if not running:
        return data({"status": False})
    name = user["name"] if user else context.params.get("name")
    return data({"status": True, "joinUrl": rooms.join_url(room, name, _bbb_user_id(context), role)})


def _bbb_user_id(context: Context) -> str:
    if context.user:
        return f"gl-{context.user['id']}"
    known = context.request.cookies.get("guest_id")
    if known:
        return known
    made = f"gl-guest-{accounts.random_text(24).lower()}"
    later = (dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    context.out.append(("guest_id", made, f"; expires={later}"))
    return made


@route("GET", "meetings/:friendly_id/running")
def meetings_running(context: Context) -> Response:
    """meetings_controller.rb running."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    return data(rooms.running(room))


# -- administration (app/controllers/api/v1/admin)


def _paged(context: Context, rows: list[t.Any], items: int = PAGE) -> tuple[list[t.Any], dict[str, t.Any]]:
    """pagy with overflow to the last page."""
    pages = max(1, -(-len(rows) // items))
    page = min(max(1, accounts.ruby_int(text(context.params.get("page")) or "1")), pages)
    part = rows[(page - 1) * items : page * items]
    start = (page - 1) * items
    return part, {
        "count": len(rows),
        "page": page,
        "items": items,
        "pages": pages,
        "last": pages,
        "from": start + 1 if part else 0,
        "to": start + len(part),
        "prev": page - 1 or None,
        "next": page + 1 if page < pages else None,
    }


def _users(context: Context, where: str) -> Response:
    context.authorize("ManageUsers")
    search = context.params.get("search")
    rows = context.db.all(
        f"""SELECT u.* FROM users u JOIN roles r ON r.id = u.role_id WHERE u.provider = %s AND {where}
        AND (%s::text IS NULL OR u.name ILIKE %s OR u.email ILIKE %s OR r.name ILIKE %s) ORDER BY u.created_at DESC""",
        context.provider,
        search,
        *[f"%{text(search)}%"] * 3,
    )
    part, meta = _paged(context, rows)
    return data([accounts.serialize_user(context.db, user) for user in part], meta=meta)


@route("GET", "admin/users/verified")
def admin_users_verified(context: Context) -> Response:
    """admin/users_controller.rb."""
    return _users(context, "u.status = 0 AND u.verified")


@route("GET", "admin/users/unverified")
def admin_users_unverified(context: Context) -> Response:
    """admin/users_controller.rb."""
    return _users(context, "u.verified = false")


@route("GET", "admin/users/pending")
def admin_users_pending(context: Context) -> Response:
    """admin/users_controller.rb."""
    return _users(context, "u.status = 1")


@route("GET", "admin/users/banned")
def admin_users_banned(context: Context) -> Response:
    """admin/users_controller.rb."""
    return _users(context, "u.status = 2")


@route("PATCH PUT", "admin/users/:id")
def admin_users_update(context: Context) -> Response:
    """admin/users_controller.rb update: banning an active user ends their sessions."""
    context.authorize("ManageUsers")
    user = accounts.find_user(context.db, context.params["id"])
    if user["provider"] != context.provider:
        raise RecordNotFound("Couldn't find User")
    given, before = context.require("user"), user["status"]
    values: dict[str, t.Any] = {}
    if "status" in given:
        values["status"] = rooms.set_status(context.db, user, given["status"])
    if "verified" in given:
        values["verified"] = text(given["verified"]).lower() not in ("false", "f", "0", "off", "")
    errors = accounts.update_user(context.db, user, **values)
    if errors:
        return error(400, errors)
    if user["status"] == accounts.STATUS["banned"] and before == accounts.STATUS["active"]:
        accounts.new_session_token(context.db, user)
    return data()


@route("GET", "admin/invitations")
def admin_invitations_index(context: Context) -> Response:
    """admin/invitations_controller.rb index."""
    context.authorize("ManageUsers")
    part, meta = _paged(context, context.db.all("SELECT * FROM invitations WHERE provider = %s ORDER BY updated_at DESC", context.provider))
    return data([_invitation(row) for row in part], meta=meta)


@route("POST", "admin/invitations")
def admin_invitations_create(context: Context) -> Response:
    """admin/invitations_controller.rb create: one mail for each address; names since 3.8.1."""
    context.authorize("ManageUsers")
    given = context.params.get("invitations")
    if not isinstance(given, dict) or not isinstance(given.get("emails"), str):
        return error(400)
    db, names = context.db, text(given.get("names")).split(",")
    named = not (config.env("VERSION_TAG") or "").startswith("v3.7.")
    for index, email in enumerate(given["emails"].split(",")):
        name = names[index].strip() if named and index < len(names) else ""
        row = db.one("SELECT * FROM invitations WHERE email = %s AND provider = %s", email.lower(), context.provider)
        extra = {"name": name} if name else {}
        if row is None:
            row = db.insert("invitations", email=email.lower(), provider=context.provider, token=accounts.random_text(24), **extra)
        else:
            db.update("invitations", row["id"], **extra)
        link = f"{context.root_url}?inviteToken={row['token']}"
        mail.deliver_later(context.app.pool, mail.invitation(email, context.current()["name"], link), link)
    return data()


@route("DELETE", "admin/invitations/:id")
def admin_invitations_destroy(context: Context) -> Response:
    """admin/invitations_controller.rb destroy."""
    context.authorize("ManageUsers")
    row = context.db.one(
        "DELETE FROM invitations WHERE id::text = %s AND provider = %s RETURNING id", context.params["id"], context.provider
    )
    return data() if row else error(404)


@route("GET", "admin/roles")
def admin_roles_index(context: Context) -> Response:
    """admin/roles_controller.rb index: ManageUsers suffices."""
    context.authorize("ManageUsers", "ManageRoles")
    return data(context.db.all("SELECT id, name, color FROM roles WHERE provider = %s ORDER BY created_at", context.provider))


def _role(context: Context) -> Row:
    found = context.db.one("SELECT * FROM roles WHERE id = %s AND provider = %s", as_uuid(context.params["id"]), context.provider)
    if found is None:
        raise RecordNotFound("Couldn't find Role")
    return found


@route("GET", "admin/roles/:id")
def admin_roles_show(context: Context) -> Response:
    """admin/roles_controller.rb show."""
    role = _role(context)
    context.authorize("ManageRoles")
    return data({name: role[name] for name in ("id", "name", "color")})


@route("POST", "admin/roles")
def admin_roles_create(context: Context) -> Response:
    """admin/roles_controller.rb create."""
    context.authorize("ManageRoles")
    errors = accounts.create_role(context.db, text(context.require("role").get("name")), context.provider)
    return error(400, errors) if errors else data(status=201)


@route("PATCH PUT", "admin/roles/:id")
def admin_roles_update(context: Context) -> Response:
    """admin/roles_controller.rb update."""
    role = _role(context)
    context.authorize("ManageRoles")
    name = text(context.require("role").get("name"))
    errors = accounts.role_errors(context.db, name, context.provider, role["id"])
    if errors:
        return error(400, errors)
    context.db.update("roles", role["id"], name=name)
    return data()


@route("DELETE", "admin/roles/:id")
def admin_roles_destroy(context: Context) -> Response:
    """admin/roles_controller.rb destroy: not the three defaults (405), not one with users (500)."""
    role = _role(context)
    context.authorize("ManageRoles")
    if role["name"] in ("User", "Administrator", "Guest"):
        return error(405)
    if context.db.one("SELECT 1 FROM users WHERE role_id = %s", role["id"]):
        raise ServerError("Cannot delete record because of dependent users")
    with context.db.transaction():
        context.db.execute("DELETE FROM role_permissions WHERE role_id = %s", [role["id"]])
        context.db.execute("DELETE FROM roles WHERE id = %s", [role["id"]])
    return data()


@route("GET", "admin/role_permissions")
def admin_role_permissions_index(context: Context) -> Response:
    """admin/role_permissions_controller.rb index."""
    context.authorize("ManageRoles")
    rows = context.db.all(
        """SELECT p.name, x.value FROM role_permissions x JOIN permissions p ON p.id = x.permission_id
        JOIN roles r ON r.id = x.role_id WHERE x.role_id = %s AND r.provider = %s""",
        as_uuid(context.params.get("role_id")),
        context.provider,
    )
    return data({row["name"]: row["value"] for row in rows})


@route("POST", "admin/role_permissions")
def admin_role_permissions_update(context: Context) -> Response:
    """admin/role_permissions_controller.rb update: any string is taken, digits or not."""
    context.authorize("ManageRoles")
    given = context.require("role")
    db = context.db
    row = db.one(
        """SELECT x.id FROM role_permissions x JOIN permissions p ON p.id = x.permission_id JOIN roles r ON r.id = x.role_id
        WHERE x.role_id = %s AND r.provider = %s AND p.name = %s ORDER BY x.created_at LIMIT 1""",
        as_uuid(given.get("role_id")),
        context.provider,
        given.get("name"),
    )
    if row is None:
        return error(404)
    value = text(given.get("value"))
    if blank(value):
        return error(400)
    db.update("role_permissions", row["id"], value=value)
    if given.get("name") == "CreateRoom" and given.get("value") is True:  # a room for everyone of the role who has none, past any limit
        for user in db.all(
            """SELECT * FROM users WHERE provider = %s AND role_id = %s
                AND id NOT IN (SELECT user_id FROM rooms WHERE user_id IS NOT NULL)""",
            context.provider,
            as_uuid(given["role_id"]),
        ):
            rooms.create_room(db, rooms.ROOM_NAME.format(user["name"]), user["id"])
    return data()


@route("GET", "admin/site_settings")
def admin_site_settings_index(context: Context) -> Response:
    """admin/site_settings_controller.rb index."""
    context.authorize("ManageSiteSettings")
    names = context.params.get("names")
    rows = context.db.all(
        """SELECT s.name, x.value FROM site_settings x JOIN settings s ON s.id = x.setting_id
        WHERE x.provider = %s AND s.name = ANY(%s)""",
        context.provider,
        [text(n) for n in (names if isinstance(names, list) else [names])],
    )
    return data({row["name"]: row["value"] for row in rows})


@route("PATCH PUT", "admin/site_settings/:name")
def admin_site_settings_update(context: Context) -> Response:
    """admin/site_settings_controller.rb update; BrandingImage is a file, and a text in its place raises (InvalidSignature)."""
    context.authorize("ManageSiteSettings")
    row = context.db.one(
        """SELECT x.id FROM site_settings x JOIN settings s ON s.id = x.setting_id
        WHERE x.provider = %s AND s.name = %s ORDER BY x.created_at LIMIT 1""",
        context.provider,
        context.params["name"],
    )
    if row is None:
        return error(404)
    given = context.params.get("site_setting")
    if not isinstance(given, dict):
        raise ServerError("undefined method '[]' for nil")
    if context.params["name"] == "BrandingImage":
        from .storage import IMAGE_TYPES, attach

        upload = given.get("value")
        if not isinstance(upload, Upload):
            raise ServerError("ActiveSupport::MessageVerifier::InvalidSignature")
        if upload.content_type not in IMAGE_TYPES:
            return error(400, ["Image has an invalid content type"])
        attach(context.db, "SiteSetting", row["id"], "image", upload)
        return data()
    context.db.update("site_settings", row["id"], value=text(given.get("value")))
    return data()


@route("DELETE", "admin/site_settings")
def admin_site_settings_purge(context: Context) -> Response:
    """admin/site_settings_controller.rb purge_branding_image."""
    context.authorize("ManageSiteSettings")
    row = context.db.one(
        """SELECT x.id FROM site_settings x JOIN settings s ON s.id = x.setting_id
        WHERE x.provider = %s AND s.name = 'BrandingImage' ORDER BY x.created_at LIMIT 1""",
        context.provider,
    )
    if row is None:
        raise ServerError("undefined method 'image' for nil")
    from .storage import purge

    purge(context.db, "SiteSetting", row["id"], "image")
    return data()


@route("PATCH PUT", "admin/rooms_configurations/:name")
def admin_rooms_configurations_update(context: Context) -> Response:
    """admin/rooms_configurations_controller.rb: 400 without a value, 404 without a row, 400 for a value the model refuses."""
    context.authorize("ManageSiteSettings")
    given = context.params.get("RoomsConfig")
    if not isinstance(given, dict) or given.get("value") in (None, False):
        return error(400)
    row = context.db.one(
        """SELECT c.id FROM rooms_configurations c JOIN meeting_options o ON o.id = c.meeting_option_id
        WHERE c.provider = %s AND o.name = %s""",
        context.provider,
        context.params["name"],
    )
    if row is None:
        return error(404)
    value = text(given["value"])
    if value not in ("default_enabled", "optional", "true", "false"):  # app/models/rooms_configuration.rb
        return error(400)
    context.db.update("rooms_configurations", row["id"], value=value)
    return data()


@route("GET", "admin/server_rooms")
def admin_server_rooms_index(context: Context) -> Response:
    """admin/server_rooms_controller.rb index."""
    context.authorize("ManageRooms")
    search = context.params.get("search")
    found = context.db.all(
        """SELECT r.*, u.name AS owner_name FROM rooms r JOIN users u ON u.id = r.user_id WHERE u.provider = %s
        AND (%s::text IS NULL OR r.name ILIKE %s OR u.name ILIKE %s OR r.friendly_id ILIKE %s)
        ORDER BY r.online DESC, r.last_session DESC NULLS LAST""",
        context.provider,
        search,
        *[f"%{text(search)}%"] * 3,
    )
    part, meta = _paged(context, found)
    rooms.check_running(context.db, part)
    return data([{**_serialize_room(room), "owner": room["owner_name"]} for room in part], meta=meta)


def _recordings(context: Context, where: str, *parameters: t.Any, items: int = PAGE) -> tuple[list[dict[str, t.Any]], dict[str, t.Any]]:
    """A page of recordings with their formats (app/serializers/recording_serializer.rb)."""
    rows = context.db.all(
        f"""SELECT c.*, u.name AS user_name FROM recordings c JOIN rooms r ON r.id = c.room_id JOIN users u ON u.id = r.user_id
        WHERE {where} ORDER BY c.recorded_at DESC""",
        *parameters,
    )
    part, meta = _paged(context, rows, items)
    names = ("id", "record_id", "name", "length", "participants", "visibility", "protectable", "created_at", "recorded_at")
    for row in part:
        row["formats"] = context.db.all("SELECT recording_type, url FROM formats WHERE recording_id = %s", row["id"])
    return [{**{name: row[name] for name in names}, "formats": row["formats"], "user_name": row["user_name"]} for row in part], meta


def _without(rows: list[dict[str, t.Any]], *names: str) -> list[dict[str, t.Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@route("POST", "admin/users/:id/create_server_room")
@route("DELETE", "admin/server_rooms/:friendly_id")
def dead_route(context: Context) -> Response:
    """Routed, but no action of that name exists."""
    return error_page(context.request, 404)


@route("GET", "recordings")
def recordings_index(context: Context) -> Response:
    """recordings_controller.rb index: one's own."""
    rows, meta = _recordings(context, "r.user_id = %s", context.current()["id"])
    return data(_without(rows, "user_name"), meta=meta)


@route("GET", "recordings/recordings_count")
def recordings_count(context: Context) -> Response:
    """recordings_controller.rb recordings_count."""
    sql = "SELECT count(*) FROM recordings c JOIN rooms r ON r.id = c.room_id WHERE r.user_id = %s"
    return data(context.db.value(sql, context.current()["id"]))


@route("GET", "rooms/:friendly_id/recordings")
def rooms_recordings(context: Context) -> Response:
    """rooms_controller.rb recordings."""
    room = _room(context)
    context.authorize("ManageRooms", "SharedRoom", friendly_id=context.params["friendly_id"])
    rows, meta = _recordings(context, "r.id = %s", room["id"], items=3)
    return data(_without(rows, "user_name"), meta=meta)


@route("GET", "rooms/:friendly_id/public_recordings", public=True)
def rooms_public_recordings(context: Context) -> Response:
    """rooms_controller.rb public_recordings."""
    rows, meta = _recordings(context, "r.id = %s AND c.visibility IN ('Public', 'Public/Protected')", _room(context)["id"])
    return data(_without(rows, "user_name", "participants", "visibility", "protectable", "created_at"), meta=meta)


@route("GET", "admin/server_recordings")
def admin_server_recordings(context: Context) -> Response:
    """admin/server_recordings_controller.rb."""
    context.authorize("ManageRecordings")
    rows, meta = _recordings(context, "u.provider = %s", context.provider)
    return data(rows, meta=meta)


@route("GET", "admin/server_rooms/:friendly_id/resync")
def admin_server_rooms_resync(context: Context) -> Response:
    """admin/server_rooms_controller.rb resync: forgets the room's recordings, then asks BigBlueButton (the double stores none)."""
    context.authorize("ManageRooms")
    room = _room(context, scoped=False)
    with context.db.transaction():
        context.db.execute("DELETE FROM formats WHERE recording_id IN (SELECT id FROM recordings WHERE room_id = %s)", [room["id"]])
        context.db.execute("DELETE FROM recordings WHERE room_id = %s", [room["id"]])
    bbb.call("getRecordings", {"meetingID": room["meeting_id"]})
    context.db.update("rooms", room["id"], recordings_processing=0)
    return data()


# -- shared rooms (app/controllers/api/v1/shared_accesses_controller.rb)


def _shared_room(context: Context, *names: str) -> Row:
    """find_room, then the permission; an unknown room raises in the permissions checker."""
    context.authorize(*names, friendly_id=context.params["friendly_id"])
    return _room(context, scoped=False)


def _shared_users(context: Context, rows: list[Row]) -> Response:
    return data([{"name": row["name"], "id": row["id"], "avatar": accounts.avatar(context.db, row)} for row in rows])


@route("GET", "shared_accesses/:friendly_id")
def shared_accesses_show(context: Context) -> Response:
    """Who shares the room."""
    room, search = _shared_room(context, "ManageRooms", "SharedRoom"), context.params.get("search")
    return _shared_users(
        context,
        context.db.all(
            """SELECT u.* FROM shared_accesses s JOIN users u ON u.id = s.user_id WHERE s.room_id = %s
            AND (%s::text IS NULL OR u.name ILIKE %s OR u.email ILIKE %s)""",
            room["id"],
            search,
            *[f"%{text(search)}%"] * 2,
        ),
    )


@route("GET", "shared_accesses/:friendly_id/shareable_users")
def shared_accesses_shareable(context: Context) -> Response:
    """Users whose role has SharedList, from three letters on."""
    room, search = _shared_room(context, "ManageRooms"), text(context.params.get("search"))
    if len(search) < 3:
        return data([])
    return _shared_users(
        context,
        context.db.all(
            """SELECT u.* FROM users u WHERE u.provider = %s AND u.id <> %s
            AND u.id NOT IN (SELECT user_id FROM shared_accesses WHERE room_id = %s) AND (u.name ILIKE %s OR u.email ILIKE %s)
            AND u.role_id IN (SELECT x.role_id FROM role_permissions x JOIN permissions p ON p.id = x.permission_id
                WHERE p.name = 'SharedList' AND x.value = 'true')""",
            context.provider,
            room["user_id"],
            room["id"],
            *[f"%{search}%"] * 2,
        ),
    )


@route("POST", "shared_accesses")
def shared_accesses_create(context: Context) -> Response:
    """Share with users of the instance."""
    context.params["friendly_id"] = text(context.params.get("friendly_id"))
    room = _shared_room(context, "ManageRooms")
    given = context.params.get("shared_users")
    wanted = [found for found in map(as_uuid, given if isinstance(given, list) else [given]) if found]
    for row in context.db.all("SELECT id FROM users WHERE provider = %s AND id = ANY(%s::uuid[])", context.provider, wanted):
        if not context.db.one("SELECT 1 FROM shared_accesses WHERE user_id = %s AND room_id = %s", row["id"], room["id"]):
            context.db.insert("shared_accesses", user_id=row["id"], room_id=room["id"])
    return data()


@route("DELETE", "shared_accesses/:friendly_id")
def shared_accesses_destroy(context: Context) -> Response:
    """Take one user's share back."""
    room = _shared_room(context, "ManageRooms")
    context.db.execute(
        "DELETE FROM shared_accesses WHERE user_id = %s AND room_id = %s", [as_uuid(context.params.get("user_id")), room["id"]]
    )
    return data()


@route("POST", "shared_accesses/:friendly_id/unshare_room")
def shared_accesses_unshare(context: Context) -> Response:
    """Leave a shared room."""
    room = _shared_room(context, "ManageRooms", "SharedRoom")
    context.db.execute("DELETE FROM shared_accesses WHERE user_id = %s AND room_id = %s", [context.current()["id"], room["id"]])
    return data()


# -- tenants (app/controllers/api/v1/admin/tenants_controller.rb)


def _super_admin(context: Context) -> None:
    if not accounts.super_admin(context.db, context.current()):
        raise Halt(error(403))


@route("GET", "admin/tenants")
def admin_tenants_index(context: Context) -> Response:
    """SuperAdmin only."""
    _super_admin(context)
    part, meta = _paged(context, context.db.all("SELECT id, name, client_secret, region FROM tenants ORDER BY created_at DESC"))
    return data(part, meta=meta)


# -- the migration API (app/controllers/api/v1/migrations/external_controller.rb)


def _migration(context: Context) -> Response:
    """No session, no CSRF. The double holds no v2 and reads no Ruby Marshal, so every message is one the key did not make: 400."""
    outer = context.require("v2")
    if blank(outer.get("encrypted_params")):
        raise ParameterMissing("encrypted_params")
    if isinstance(outer["encrypted_params"], str) and len(config.env("SECRET_KEY_BASE") or "") < 32:
        raise ServerError("key must be 32 bytes")
    return error(400, [INVALID_PARAMS])


for _name in ("roles", "users", "rooms", "settings"):
    route("POST", f"migrations/{_name}", public=True, csrf=False)(_migration)
