# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BBBLB as the pool runs it: ``uvicorn coop_bbblb:app``. Mends three defects of the pinned version and refuses any other."""

from __future__ import annotations

import copy
import logging
from contextlib import asynccontextmanager

import bbblb
import sqlalchemy
from bbblb import model
from bbblb.services.poller import MeetingPoller

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


class Answered:
    """Stands in for BBBHelper where the node's answer is already known."""

    def __init__(self, answer):
        self.answer = answer

    @asynccontextmanager
    async def connect(self, server, secret):
        yield self

    async def action(self, endpoint, timeout=None):
        return self.answer


def patient_poll(original):
    """A node's meetings are forgotten when it is OFFLINE, as the documentation says (docs/config.rst, POLL_FAIL).

    bbblb/services/poller.py, MeetingPoller.poll_one deletes all meetings of a node after a single failed poll: the meeting goes on there,
    joins answer notFound, and the next create opens a second one elsewhere.
    """

    async def load(session, server_id):
        return (await session.execute(model.Server.select(id=server_id))).scalar_one()

    async def poll_one(self, server_id):
        async with self.db.session() as session:
            server = await load(session, server_id)
            if not server.enabled and not await server.awaitable_attrs.meetings:
                return
        async with self.bbb.connect(server.api_base, server.secret) as client:
            answer = await client.action("getMeetings", timeout=self.timeout)
        if not answer.success and server.health is not model.ServerHealth.OFFLINE:
            async with self.db.session() as session:
                server = await load(session, server_id)
                server.mark_error(self.maxerror)
                await session.commit()
                if server.health is not model.ServerHealth.OFFLINE:
                    return
        poller = copy.copy(self)
        poller.bbb = Answered(answer)
        await original(poller, server_id)

    return poll_one


model.TenantOverride.apply = strict_clamp(model.TenantOverride.apply)
model.Meeting.select = select_meetings(model.Meeting.select)
MeetingPoller.poll_one = patient_poll(MeetingPoller.poll_one)
# Two lines per node and poll say nothing; changes of a node's health are warnings and stay.
logging.getLogger("bbblb.services.poller").setLevel(logging.WARNING)

from bbblb.web import make_app  # after the corrections

app = make_app()
