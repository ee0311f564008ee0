# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BBBLB as the pool runs it: ``uvicorn coop_bbblb:app``. Mends four defects of the pinned version, lets a tenant have
several secrets and limits to what it has at once, and refuses any other version."""

from __future__ import annotations

import copy
import datetime
import logging
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import bbblb
import sqlalchemy
from bbblb import model
from bbblb.lib.bbb import make_error
from bbblb.services.bbb import BBBHelper
from bbblb.services.poller import MeetingPoller
from bbblb.services.tenants import TenantCache
from bbblb.web import bbbapi
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

if bbblb.__version__ != "0.0.18":
    raise SystemExit(f"coop_bbblb mends BBBLB 0.0.18 and this is {bbblb.__version__}: run role pool again, it installs the pinned version")


def strict_clamp(original):
    """A clamped value leaves as plain digits.

    bbblb/model.py, TenantOverride.apply compares ``int(value)`` but forwards what the client wrote. Python's int() reads "1_0" and " 10",
    BigBlueButton's Integer.parseInt does not and takes the node's default, which is "no limit": a way around duration and maxParticipants.
    """

    def apply(self, params):
        original(self, params)
        if self.op == model.OPERATOR_MAX:
            params[self.param] = str(int(params[self.param]))

    return apply


def select_meetings(original):
    """A tenant's getMeetings (bbblb/web/bbbapi.py) asks ``Meeting.select(Meeting.server_fk)`` for one column; select() takes that for
    a filter and answers 500 to every call."""

    def select(cls, *filters, **named):
        if len(filters) == 1 and filters[0] is model.Meeting.server_fk:
            return sqlalchemy.select(model.Meeting.server_fk)
        return original.__func__(cls, *filters, **named)

    return classmethod(select)


def twin(instance):
    """A copy of a cached row that belongs to no session yet."""
    mapper = sqlalchemy.inspect(instance).mapper
    made = mapper.class_manager.new_instance()
    for column in mapper.column_attrs:
        set_committed_value(made, column.key, getattr(instance, column.key))
    make_transient_to_detached(made)
    return made


def tenant_of_its_own(original):
    """Each call has its own copy of the tenant.

    bbblb/services/tenants.py gives the same cached object to all calls, and a create ties it to its session (bbblb/web/bbbapi.py,
    Meeting(tenant=tenant)): of two creates of a tenant at a time one answers internalError, "already attached to session".
    """

    async def get_tenant_by_realm(self, realm):
        cached = await original(self, realm)
        if cached is None:
            return None
        tenant = twin(cached)
        set_committed_value(tenant, "overrides", [twin(override) for override in cached.overrides])
        return tenant

    return get_tenant_by_realm


class StillTrusted(Exception):
    """A poll has failed and the node is not given up yet."""


class Judged:
    """Stands in for BBBHelper: lets a poll go on with the node's answer, or with none once the node is OFFLINE."""

    def __init__(self, poller, server_id):
        self.poller, self.server_id = poller, server_id

    @asynccontextmanager
    async def connect(self, server, secret):
        async with self.poller.bbb.connect(server, secret) as self.client:
            yield self

    async def action(self, endpoint, timeout=None):
        answer = await self.client.action(endpoint, timeout=timeout)
        if not answer.success:
            async with self.poller.db.session() as session:
                server = (await session.execute(model.Server.select(id=self.server_id))).scalar_one()
                if server.health is not model.ServerHealth.OFFLINE:
                    server.mark_error(self.poller.maxerror)
                    await session.commit()
                if server.health is not model.ServerHealth.OFFLINE:
                    raise StillTrusted
        return answer


def patient_poll(original):
    """A node's meetings are forgotten when it is OFFLINE, as the documentation says (docs/config.rst, POLL_FAIL).

    bbblb/services/poller.py, MeetingPoller.poll_one deletes all meetings of a node after a single failed poll: the meeting goes on there,
    joins answer notFound, and the next create opens a second one elsewhere. What it does before it asks the node stays before: a meeting
    that is created while the node answers is in neither list, so it is not missed.
    """

    async def poll_one(self, server_id):
        poller = copy.copy(self)
        poller.bbb = Judged(self, server_id)
        with suppress(StillTrusted):
            await original(poller, server_id)

    return poll_one


def several_secrets(original):
    """A tenant's secret may be several, divided by a colon, each of which signs, as Scalelite has it (docs/tenants-README.md): with one
    alone, a system would be shut out from the moment its secret is changed here until somebody changes it there too.

    bbblb/web/bbbapi.py, require_bbb_query gives the whole text as the only secret.
    """

    def verify(action, query, secrets):
        return original(action, query, [one for secret in secrets for one in secret.split(":") if one])

    return verify


def first_secret_signs(original):
    """Callbacks are signed with the first of several secrets (bbblb/services/bbb.py would take the whole text for the key)."""

    async def fire(self, callback, *arguments, **named):
        known = SimpleNamespace(forward=callback.forward, tenant=SimpleNamespace(secret=callback.tenant.secret.partition(":")[0]))
        await original(self, known, *arguments, **named)

    return fire


MEETINGS, PARTICIPANTS = "coopMeetings", "coopParticipants"
"""Overrides of a tenant that are no parameters: how many meetings, and people in all of them, it may have when it begins another one."""


def no_parameters(original):
    """What a tenant may have at once is for this program, and for no node."""

    def apply(self, params):
        if self.param not in (MEETINGS, PARTICIPANTS):
            original(self, params)

    return apply


def at_once(original):
    """A tenant that has as much at once as it may begins no other meeting. Whoever joins one is never refused, and a meeting that is there
    is created again as ever. It is soft: meetings begun in the same moment do not see each other, and people are those of the last poll.
    """

    async def handle_create(ctx):
        tenant = await ctx.require_tenant()
        limits = {one.param: int(one.value) for one in tenant.overrides if one.param in (MEETINGS, PARTICIPANTS)}
        if limits:
            await ctx.require_bbb_query()  # the checksum first
            await refuse_too_much(ctx, tenant, limits)
        return await original(ctx)

    return handle_create


async def refuse_too_much(ctx, tenant, limits):
    # Columns, no objects: a loaded meeting brings its tenant along, and the session takes no second one.
    asked = sqlalchemy.select(model.Meeting.uuid, model.Meeting.external_id).where(model.Meeting.tenant_fk == tenant.id)
    meetings = {row.uuid: row.external_id for row in await ctx.session.execute(asked)}
    if await ctx.require_param("meetingID") in meetings.values():
        return
    if len(meetings) >= limits.get(MEETINGS, len(meetings) + 1):
        raise make_error("meetingLimitReached", f"There are {len(meetings)} meetings already; end one of them, or wait until one is over.")
    if PARTICIPANTS in limits:
        stats = model.MeetingStats
        recent = model.utcnow() - datetime.timedelta(seconds=3 * ctx.config.POLL_INTERVAL)
        asked = sqlalchemy.select(stats.uuid, stats.users).where(stats.tenant_fk == tenant.id, stats.ts >= recent).order_by(stats.ts)
        latest = {uuid: users for uuid, users in await ctx.session.execute(asked) if uuid in meetings}
        people = sum(latest.values())
        if people >= limits[PARTICIPANTS]:
            raise make_error("participantLimitReached", f"There are {people} people in meetings already; wait until some have left.")


model.TenantOverride.apply = no_parameters(strict_clamp(model.TenantOverride.apply))
model.Meeting.select = select_meetings(model.Meeting.select)
TenantCache.get_tenant_by_realm = tenant_of_its_own(TenantCache.get_tenant_by_realm)
MeetingPoller.poll_one = patient_poll(MeetingPoller.poll_one)
bbbapi.verify_checksum_query = several_secrets(bbbapi.verify_checksum_query)
BBBHelper.fire_signed_callback = first_secret_signs(BBBHelper.fire_signed_callback)
BBBHelper.fire_analytics_callback = first_secret_signs(BBBHelper.fire_analytics_callback)
# The route holds the function itself: a new one takes its place.
bbbapi.api_routes[:] = [route for route in bbbapi.api_routes if route.path != "/create"]
bbbapi.handle_create = bbbapi.api("create")(at_once(bbbapi.handle_create.__wrapped__))
# Two lines per node and poll say nothing; changes of a node's health are warnings and stay.
logging.getLogger("bbblb.services.poller").setLevel(logging.WARNING)

from bbblb.web import make_app  # after the corrections

app = make_app()
