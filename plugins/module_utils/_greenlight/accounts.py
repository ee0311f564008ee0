# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the accounts of one Greenlight as desired state: observe, diff, apply.

Rules that are Greenlight's (greenlight app/models/user.rb unless named): mail addresses are stored in lower case, because sign-in
looks them up so; a user always has a session token, because without one every anonymous visitor *is* that user
(app/controllers/application_controller.rb, current_user); a ban ends sessions (app/controllers/api/v1/admin/users_controller.rb);
a user with an external id has no password, and a reset is silently ignored for it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import database, passwords, remembrance
from ansible_collections.meet.coop.plugins.module_utils._greenlight.database import (
    NOW,
    PROVIDER,
    SUPER_PROVIDER,
    DatabaseError,
    DuplicateRows,
    Plan,
    Schema,
)

if TYPE_CHECKING:
    import psycopg

TABLES = (
    "active_storage_attachments",
    "active_storage_blobs",
    "formats",
    "invitations",
    "recordings",
    "roles",
    "room_meeting_options",
    "rooms",
    "shared_accesses",
    "users",
)

ACTIVE, PENDING, BANNED = 0, 1, 2
STATUS = {ACTIVE: "active", PENDING: "pending", BANNED: "banned"}
SUPER_ROLE = "SuperAdmin"
STATES = ("present", "disabled", "absent")
RESET_LINKS = ("never", "on_create", "always")
RESET_VALIDITY_MINUTES = 60
"""RESET_TOKEN_VALIDITY_PERIOD of greenlight app/models/user.rb."""
_ALPHANUMERIC = string.ascii_letters + string.digits
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


class AccountError(CoopError):
    """The wish itself cannot be granted."""


@dataclass(frozen=True)
class Account:
    """One account as it shall be. ``email`` is in lower case already."""

    email: str
    name: str | None = None
    role: str = "User"
    state: str = "present"
    password: str | None = field(default=None, repr=False)
    language: str = "en"
    verified: bool = True

    @property
    def provider(self) -> str:
        return SUPER_PROVIDER if self.role == SUPER_ROLE else PROVIDER


@dataclass(frozen=True)
class Desired:
    accounts: Sequence[Account] = ()
    update_password: str = "on_create"
    reset_link: str = "never"
    remove_rooms: bool = False
    repair_session_tokens: bool = True
    remembered: frozenset[str] = frozenset()
    """Digests (``remembrance.digest``) of addresses that had an account once: a person deleted since is not made again."""
    close_others_of: str | None = None
    """Role whose other accounts, those not named, are disabled."""
    take_from: frozenset[str] | None = None
    """Roles an account found may have before it is moved to the one wished for; None: any."""
    release_external: bool = False
    """Whether accounts of an identity provider become accounts with a password."""
    expected_roles: frozenset[str] = frozenset()
    """Roles that are made before this is carried out; for predictions only."""


@dataclass
class User:
    """A row of ``users`` and what hangs on it."""

    id: Any
    name: str
    email: str
    provider: str
    external_id: str | None
    digest: str | None = field(repr=False)
    role: str | None
    language: str
    verified: bool
    status: int
    session: bool
    """Whether a session could still be going on."""
    tokens: bool
    """Whether a reset or activation link could still work."""
    mailed: bool
    """Whether a reset link was sent and is not used up."""
    rooms: list[Any] = field(default_factory=list)
    room_names: list[str] = field(default_factory=list)
    recordings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    invitations: int = 0


@dataclass
class Observed:
    schema: Schema
    roles: dict[tuple[str, str], Any] = field(default_factory=dict)
    """(provider, name) to id."""
    users: dict[tuple[str, str], list[User]] = field(default_factory=dict)
    """(provider, lower-case mail) to rows."""
    without_token: list[tuple[Any, str]] = field(default_factory=list)
    """(id, mail) of users whose session_token is NULL."""
    total: int = 0


@dataclass
class Outcome:
    """What became of one account."""

    email: str
    action: str = "none"
    """none, created, changed, disabled or removed."""
    external: bool = False
    reset_link: bool = False
    """Whether a reset link is due; its token is made when the plan is carried out."""
    waiting: bool = False
    """Whether the account can sign in by no password yet, and no reset link is under way."""
    token: str | None = field(default=None, repr=False)
    user_id: str | None = None
    recordings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    skipped: str | None = None
    deleted: bool = False
    """Whether somebody deleted this account in Greenlight, so that it is not made again."""


@dataclass
class AccountPlan(Plan):
    outcomes: list[Outcome] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    """Addresses not named that are disabled because of their role."""
    without_token: list[str] = field(default_factory=list)


def desired(
    users: Iterable[Mapping[str, Any]],
    update_password: str = "on_create",
    reset_link: str = "never",
    remove_rooms: bool = False,
    allow_super_admin: bool = False,
    repair_session_tokens: bool = True,
    remembered: frozenset[str] = frozenset(),
    close_others_of: str | None = None,
    take_from: Iterable[str] | None = None,
    release_external: bool = False,
    expected_roles: Iterable[str] = (),
) -> Desired:
    """Check a wish. Raises AccountError naming everything that is wrong, in one line and without any password."""
    problems: list[str] = []
    accounts: list[Account] = []
    seen: set[tuple[str, str]] = set()
    for index, user in enumerate(users):
        email = str(user.get("email") or "").strip().lower()
        where = f"users[{index}] ({email})" if email else f"users[{index}]"
        state = user.get("state") or "present"
        role = user.get("role") or "User"
        found = [("email", passwords.email_problem(email))]
        if state not in STATES:
            found.append(("state", f"must be one of {', '.join(STATES)}, not {state!r}"))
        name = user.get("name")
        if name is not None:
            found.append(("name", passwords.name_problem(name)))
        elif state == "present":
            found.append(("name", "is required"))
        password = user.get("password") or None
        if password is not None and state == "present":
            found.append(("password", passwords.password_problem(password)))
        language = user.get("language") or "en"
        if not _LANGUAGE.fullmatch(language):
            found.append(("language", f"must be a language code such as en or pt_BR, not {language!r}"))
        if role == SUPER_ROLE and not allow_super_admin:
            found.append(("role", "SuperAdmin passes every limit of the instance; set allow_super_admin to mean it"))
        problems += [f"{where}: {key} {problem}" for key, problem in found if problem]
        verified = user.get("verified")
        account = Account(email, name, role, state, password, language, True if verified is None else bool(verified))
        if (account.provider, email) in seen:
            problems.append(f"{where}: is named twice")
        seen.add((account.provider, email))
        accounts.append(account)
    if close_others_of in ("Administrator", "User", "Guest", SUPER_ROLE):
        problems.append(f"close_others_of: {close_others_of} is Greenlight's own role, which people have whom nobody names")
    if problems:
        raise AccountError("; ".join(problems))
    return Desired(
        tuple(accounts),
        update_password,
        reset_link,
        remove_rooms,
        repair_session_tokens,
        remembered,
        close_others_of or None,
        None if take_from is None else frozenset(take_from),
        release_external,
        frozenset(expected_roles),
    )


def observe(conn: psycopg.Connection[Any], wish: Desired, lock: bool = False) -> Observed:
    """Read the accounts named, and every account without session token. With ``lock`` their rows stay locked until the commit."""
    seen = Observed(schema=database.inspect(conn, TABLES))
    if not lock:
        seen.roles = {(PROVIDER, name): None for name in wish.expected_roles}
    for role_id, provider, name in conn.execute(
        "SELECT id, provider, name FROM public.roles WHERE provider IN (%s, %s) ORDER BY name", (PROVIDER, SUPER_PROVIDER)
    ):
        seen.roles[provider, name] = role_id
    row = conn.execute("SELECT count(*) FROM public.users").fetchone()
    seen.total = row[0] if row else 0
    sql = "SELECT id, email FROM public.users WHERE session_token IS NULL ORDER BY email" + (" FOR UPDATE" if lock else "")
    seen.without_token = list(conn.execute(sql))
    emails = [account.email for account in wish.accounts]
    users: dict[Any, User] = {}
    for row in conn.execute(
        f"""
        SELECT u.id, u.name, u.email, u.provider, u.external_id, u.password_digest, r.name, u.language, coalesce(u.verified, false),
               coalesce(u.status, 0), coalesce(u.session_expiry > {NOW}, true),
               u.reset_digest IS NOT NULL OR u.verification_digest IS NOT NULL, u.reset_sent_at IS NOT NULL
          FROM public.users u LEFT JOIN public.roles r ON r.id = u.role_id
         WHERE (pg_catalog.lower(u.email) = ANY(%s) OR (r.name = %s AND r.provider = %s)) AND u.provider IN (%s, %s)
         ORDER BY u.created_at, u.id
        """
        + (" FOR UPDATE OF u" if lock else ""),
        (emails, wish.close_others_of, PROVIDER, PROVIDER, SUPER_PROVIDER),
    ):
        user = User(*row)
        users[user.id] = user
        seen.users.setdefault((user.provider, user.email.lower()), []).append(user)
    ids = list(users)
    if not ids:
        return seen
    by_room: dict[Any, User] = {}
    for room_id, user_id, name in conn.execute(
        "SELECT id, user_id, name FROM public.rooms WHERE user_id = ANY(%s) ORDER BY name, id" + (" FOR UPDATE" if lock else ""), (ids,)
    ):
        users[user_id].rooms.append(room_id)
        users[user_id].room_names.append(name)
        by_room[room_id] = users[user_id]
    for room_id, record_id in conn.execute(
        "SELECT room_id, record_id FROM public.recordings WHERE room_id = ANY(%s) ORDER BY record_id", (list(by_room),)
    ):
        by_room[room_id].recordings.append(record_id)
    for record_id, key in conn.execute(
        """
        SELECT a.record_id, b.key FROM public.active_storage_attachments a JOIN public.active_storage_blobs b ON b.id = a.blob_id
         WHERE (a.record_type = 'User' AND a.record_id = ANY(%s)) OR (a.record_type = 'Room' AND a.record_id = ANY(%s)) ORDER BY b.key
        """,
        (ids, list(by_room)),
    ):
        (by_room.get(record_id) or users[record_id]).files.append(key)
    for email, provider, count in conn.execute(
        """
        SELECT pg_catalog.lower(email), provider, count(*) FROM public.invitations
         WHERE pg_catalog.lower(email) = ANY(%s) GROUP BY 1, 2
        """,
        (emails,),
    ):
        for user in seen.users.get((provider, email), []):
            user.invitations = count
    return seen


@dataclass
class Hashes:
    """bcrypt takes a quarter of a second: made before the transaction, and only for those who need it."""

    made: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    checked: dict[tuple[str, str, str], bool] = field(default_factory=dict, repr=False)

    def digest(self, account: Account) -> str | None:
        if account.password is None:
            return None
        key = (account.provider, account.email)
        if key not in self.made:
            self.made[key] = passwords.hash_password(account.password)
            self.checked[(*key, self.made[key])] = True
        return self.made[key]

    def matches(self, account: Account, user: User) -> bool:
        if account.password is None or user.digest is None:
            return False
        key = (account.provider, account.email, user.digest)
        if key not in self.checked:
            self.checked[key] = passwords.verify_password(account.password, user.digest)
        return self.checked[key]


def session_token() -> str:
    """64 hexadecimal digits nobody knows, as long as Greenlight's own."""
    return secrets.token_hex(32)


def reset_token() -> str:
    """A token as generate_reset_token! makes it."""
    return "".join(secrets.choice(_ALPHANUMERIC) for _other in range(40))


def digest_of(token: str) -> str:
    """generate_digest: SHA-256 in hexadecimal."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def reset_url(base_url: str, token: str) -> str:
    """The page that takes a new password (greenlight app/controllers/concerns/client_routable.rb)."""
    return f"{base_url.rstrip('/')}/reset_password/{token}"


def diff(seen: Observed, wish: Desired, hashes: Hashes, predict: bool = False) -> AccountPlan:
    """What differs. With ``predict`` nothing is hashed: the statements are placeholders and must not be run.

    Raises DuplicateRows or AccountError when the rows found allow no plan.
    """
    problems: list[str] = []
    duplicates: list[str] = []
    plan = AccountPlan(without_token=[email for _id, email in seen.without_token])
    if seen.without_token and wish.repair_session_tokens:
        plan.before["users_without_session_token"] = len(seen.without_token)
        plan.after["users_without_session_token"] = 0
        for user_id, _email in seen.without_token:
            sql = f"""
                UPDATE public.users SET session_token = %(token)s, session_expiry = {NOW}, updated_at = {NOW}
                 WHERE id = %(id)s AND session_token IS NULL
                """
            plan.steps.append(database.Step(sql, {"token": session_token(), "id": user_id}, 1))
    for account in wish.accounts:
        rows = seen.users.get((account.provider, account.email), [])
        if len(rows) > 1:
            duplicates.append(
                f"table users has {len(rows)} rows for {account.email}: {', '.join(user.email for user in rows)};"
                " remove or rename one, sign-in can only find the one in lower case"
            )
            continue
        outcome = Outcome(email=account.email)
        plan.outcomes.append(outcome)
        user = rows[0] if rows else None
        if user is not None:
            outcome.user_id = str(user.id)
            outcome.external = bool(user.external_id)
        elif account.state == "present" and seen.total and remembrance.digest(account.email) in wish.remembered:
            outcome.deleted = True
            outcome.skipped = "was deleted in Greenlight and is not made again; to give it back, run once with state absent"
            continue
        if account.state == "present" and (account.provider, account.role) not in seen.roles:
            known = [name for provider, name in seen.roles if provider == account.provider]
            problems.append(f"{account.email}: there is no role {account.role!r}; there are {', '.join(known) or 'none'}")
            continue
        if account.state == "absent":
            if user is not None:
                problem = _plan_absent(user, wish, plan, outcome)
                if problem:
                    problems.append(problem)
        elif account.state == "disabled":
            if user is not None:
                _plan_disabled(account, user, plan, outcome)
        elif user is not None and wish.take_from is not None and user.role not in {account.role, *wish.take_from}:
            problems.append(
                f"{account.email}: has an account of role {user.role!r} already, which is not taken over;"
                " give it another role in Greenlight first, or leave the address out"
            )
        elif user is None:
            _plan_create(account, seen, plan, outcome, hashes, predict)
        else:
            _plan_update(account, user, wish, seen, plan, outcome, hashes, predict)
        if account.state == "present" and not outcome.external and account.password is None:
            outcome.waiting = user is None or (user.digest is None and not user.mailed)
        if account.state == "present" and wish.release_external and outcome.external:
            outcome.external = False
            if account.password is None or wish.update_password != "always":
                outcome.waiting = user is not None and not user.mailed
        due = wish.reset_link == "always" or (wish.reset_link == "on_create" and outcome.action == "created")
        if due and account.state == "present":
            if outcome.external:
                outcome.skipped = "signs in through an identity provider: no password, no reset link"
            else:
                _plan_reset(account, plan, outcome)
    if wish.close_others_of:
        _plan_others(seen, wish, plan)
    if problems or duplicates:
        kind = DuplicateRows if duplicates and not problems else AccountError
        raise kind("; ".join(problems + duplicates))
    return plan


def _plan_others(seen: Observed, wish: Desired, plan: AccountPlan) -> None:
    """Disable who has the role without being named."""
    named = {(account.provider, account.email) for account in wish.accounts}
    for key, rows in seen.users.items():
        if key in named:
            continue
        for user in rows:
            if user.provider == PROVIDER and user.role == wish.close_others_of:
                outcome = Outcome(email=user.email)
                _plan_disabled(Account(user.email, role=user.role), user, plan, outcome)
                if outcome.action != "none":
                    plan.closed.append(user.email)
    plan.closed.sort()


def _write(plan: AccountPlan, sql: str, parameters: Mapping[str, Any], rows: int | None = 1) -> None:
    plan.steps.append(database.Step(sql, parameters, rows))


def _differ(plan: AccountPlan, account: Account, key: str, before: Any, after: Any) -> None:
    prefix = account.email if account.provider == PROVIDER else f"{account.provider}:{account.email}"
    plan.before[f"{prefix}.{key}"] = before
    plan.after[f"{prefix}.{key}"] = after


def _plan_create(account: Account, seen: Observed, plan: AccountPlan, outcome: Outcome, hashes: Hashes, predict: bool) -> None:
    outcome.action = "created"
    for key, value in (("state", "present"), ("name", account.name), ("role", account.role), ("verified", account.verified)):
        _differ(plan, account, key, "absent" if key == "state" else None, value)
    _differ(plan, account, "password", None, "given" if account.password else "none")
    _write(
        plan,
        f"""
        INSERT INTO public.users (id, name, email, provider, password_digest, role_id, language, verified, status,
                                  session_token, session_expiry, created_at, updated_at)
        VALUES (pg_catalog.gen_random_uuid(), %(name)s, %(email)s, %(provider)s, %(digest)s, %(role)s, %(language)s, %(verified)s,
                %(status)s, %(token)s, {NOW}, {NOW}, {NOW})
        """,
        {
            "name": account.name,
            "email": account.email,
            "provider": account.provider,
            "digest": None if predict else hashes.digest(account),
            "role": seen.roles[account.provider, account.role],
            "language": account.language,
            "verified": account.verified,
            "status": ACTIVE,
            "token": session_token(),
        },
    )


def _plan_update(
    account: Account, user: User, wish: Desired, seen: Observed, plan: AccountPlan, outcome: Outcome, hashes: Hashes, predict: bool
) -> None:
    changes: dict[str, Any] = {}
    # Greenlight takes name and address from the identity provider at each sign-in (app/controllers/external_controller.rb).
    theirs = ("name", "email") if user.external_id and not wish.release_external else ()
    for key, column, before, after in (
        ("email", "email", user.email, account.email),
        ("name", "name", user.name, account.name),
        ("role", "role_id", user.role, account.role),
        ("verified", "verified", user.verified, account.verified),
        ("status", "status", user.status, ACTIVE),
    ):
        if before != after and key not in theirs:
            shown = (STATUS.get(user.status, str(user.status)), STATUS[ACTIVE]) if key == "status" else (before, after)
            _differ(plan, account, key, *shown)
            changes[column] = seen.roles[account.provider, account.role] if key == "role" else after
    if user.external_id and wish.release_external:
        _differ(plan, account, "external", True, False)
        changes |= {"external_id": None, "session_token": session_token()}
    if account.password is not None and wish.update_password == "always":
        if user.external_id and not wish.release_external:
            outcome.skipped = "signs in through an identity provider: its password is not set"
        elif not hashes.matches(account, user):
            _differ(plan, account, "password", "other" if user.digest else "none", "given")
            changes["password_digest"] = None if predict else hashes.digest(account)
            # whoever knew the old password, or holds an old link, is out
            changes |= {"session_token": session_token(), "reset_digest": None, "reset_sent_at": None}
    if not changes:
        return
    outcome.action = "changed"
    assignments = ", ".join(f"{column} = %({column})s" for column in changes)
    if "session_token" in changes:
        assignments += f", session_expiry = {NOW}"
    _write(plan, f"UPDATE public.users SET {assignments}, updated_at = {NOW} WHERE id = %(id)s", {**changes, "id": user.id})


def _plan_disabled(account: Account, user: User, plan: AccountPlan, outcome: Outcome) -> None:
    if user.status == BANNED and not user.session and not user.tokens:
        return
    outcome.action = "disabled"
    if user.status != BANNED:
        _differ(plan, account, "status", STATUS.get(user.status, str(user.status)), STATUS[BANNED])
    if user.session:
        _differ(plan, account, "session", "open", "ended")
    if user.tokens:
        _differ(plan, account, "links", "valid", "withdrawn")
    _write(
        plan,
        f"""
        UPDATE public.users SET status = %(status)s, session_token = %(token)s, session_expiry = {NOW},
               reset_digest = NULL, reset_sent_at = NULL,
               verification_digest = NULL, verification_sent_at = NULL, updated_at = {NOW} WHERE id = %(id)s
        """,
        {"status": BANNED, "token": session_token(), "id": user.id},
    )


def _plan_reset(account: Account, plan: AccountPlan, outcome: Outcome) -> None:
    outcome.reset_link = True
    outcome.waiting = False
    outcome.token = reset_token()
    if outcome.action == "none":
        outcome.action = "changed"
    _differ(plan, account, "reset_link", None, "new")
    _write(
        plan,
        f"""
        UPDATE public.users SET reset_digest = %(digest)s, reset_sent_at = {NOW}, updated_at = {NOW}
         WHERE email = %(email)s AND provider = %(provider)s
        """,
        {"digest": digest_of(outcome.token), "email": account.email, "provider": account.provider},
    )


def _plan_absent(user: User, wish: Desired, plan: AccountPlan, outcome: Outcome) -> str | None:
    """Plan the removal, children first (no foreign key cascades). Returns why it may not be."""
    if user.rooms and not wish.remove_rooms:
        recordings = f" with {len(user.recordings)} recording(s)" if user.recordings else ""
        names = ", ".join(repr(name) for name in user.room_names[:3]) + (", ..." if len(user.rooms) > 3 else "")
        return (
            f"{user.email}: owns {len(user.rooms)} room(s){recordings} ({names});"
            " set remove_rooms to remove them too, or state=disabled to keep them"
        )
    outcome.action = "removed"
    outcome.recordings = list(user.recordings)
    outcome.files = list(user.files)
    account = Account(user.email.lower(), role=SUPER_ROLE if user.provider == SUPER_PROVIDER else "User")
    _differ(plan, account, "state", "present", "absent")
    for key, count in (
        ("rooms", len(user.rooms)),
        ("recordings", len(user.recordings)),
        ("files", len(user.files)),
        ("invitations", user.invitations),
    ):
        if count:
            _differ(plan, account, key, count, 0)
    mine = {"user": user.id, "rooms": user.rooms}
    for sql in (
        "DELETE FROM public.formats WHERE recording_id IN (SELECT id FROM public.recordings WHERE room_id = ANY(%(rooms)s))",
        "DELETE FROM public.recordings WHERE room_id = ANY(%(rooms)s)",
        "DELETE FROM public.room_meeting_options WHERE room_id = ANY(%(rooms)s)",
        "DELETE FROM public.shared_accesses WHERE room_id = ANY(%(rooms)s) OR user_id = %(user)s",
        "DELETE FROM public.active_storage_attachments WHERE (record_type = 'Room' AND record_id = ANY(%(rooms)s))"
        " OR (record_type = 'User' AND record_id = %(user)s)",
        "DELETE FROM public.rooms WHERE id = ANY(%(rooms)s)",
    ):
        _write(plan, sql, mine, None)
    if user.invitations:
        sql = "DELETE FROM public.invitations WHERE pg_catalog.lower(email) = %(email)s AND provider = %(provider)s"
        _write(plan, sql, {"email": account.email, "provider": user.provider}, None)
    _write(plan, "DELETE FROM public.users WHERE id = %(user)s", mine)
    return None


def apply(conn: psycopg.Connection[Any], wish: Desired, hashes: Hashes, wait: float = 30.0) -> tuple[AccountPlan, Observed]:
    """Make ``wish`` true in one transaction; the plan that was carried out and the state it found.

    Tokens of reset links stand in the outcomes; they are valid for RESET_VALIDITY_MINUTES and stored as digests only.
    """

    def work(conn: psycopg.Connection[Any]) -> tuple[AccountPlan, Observed]:
        database.freeze(conn, TABLES)
        seen = observe(conn, wish, lock=True)
        plan = diff(seen, wish, hashes)
        if plan.changed:
            plan.run(conn)
            _verify(conn, wish, plan, hashes)
        return plan, seen

    return database.change(conn, work, wait)


def _verify(conn: psycopg.Connection[Any], wish: Desired, plan: AccountPlan, hashes: Hashes) -> None:
    """Prove inside the transaction that a second run would change nothing, and name the new rows."""
    again = observe(conn, wish)
    rest = diff(again, replace(wish, reset_link="never"), hashes)
    if rest.changed:
        raise DatabaseError(
            f"database {database.database_name(conn)}: rows do not hold after writing them ({', '.join(rest.before)}):"
            " something rewrites them; nothing was kept"
        )
    for outcome, account in zip(plan.outcomes, wish.accounts, strict=True):
        rows = again.users.get((account.provider, account.email), [])
        if rows:
            outcome.user_id = str(rows[0].id)


def preview(wish: Desired) -> AccountPlan:
    """The plan for a database that does not exist yet (check mode on an empty host)."""
    roles = {(account.provider, account.role): None for account in wish.accounts if account.state == "present"}
    empty = Observed(schema=Schema("", "", "", frozenset(), ()), roles=roles)
    return diff(empty, wish, Hashes(), predict=True)
