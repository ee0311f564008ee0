# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: signed calls as a content management system's plugin makes them, and what its credential must not be able to do."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from xml.etree.ElementTree import Element

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.api import BigBlueButtonError, parse, signed_query
from ansible_collections.meet.coop.plugins.module_utils._cms.kinds import PUBLIC_SERVERS, Kind, kind_of
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._outside import Answer, Names, Site

CHECKS = ("address", "signature", "meeting", "guarded", "apart")


@dataclasses.dataclass(frozen=True)
class Credential:
    """What was handed over: the address as it stands in the system's settings, and its secret."""

    name: str
    kind: str
    url: str
    secret: str = dataclasses.field(repr=False)
    #: C(server) for the secret of a whole BigBlueButton server, which sees everything there.
    access: str = "tenant"


@dataclasses.dataclass
class Outcome:
    """One check of one credential: C(ok), C(failed) or C(skipped), and what was seen. Holds no secret and no checksum."""

    credential: str
    check: str
    result: str
    detail: str


class Refused(CoopError):
    """What a check found wrong."""


class _Skipped(Exception):
    """A check that does not apply."""


@dataclasses.dataclass
class _Meeting:
    """A meeting made for the checks."""

    meeting_id: str
    moderator_password: str


class _Plugin:
    """Calls as the plugin of one kind makes them."""

    def __init__(self, credential: Credential, names: Names, ca_file: str | None, timeout: float) -> None:
        self.credential = credential
        self.kind: Kind = kind_of(credential.kind)
        parts = urllib.parse.urlsplit(credential.url)
        if parts.scheme != "https" or not parts.hostname:
            raise Refused(f"the address is {credential.url or 'empty'}; it has to begin with https:// and a host name")
        if parts.hostname in PUBLIC_SERVERS or parts.hostname.endswith(".blindsidenetworks.com"):
            raise Refused(f"the address leads to {parts.hostname}, somebody else's public test server; set {self.kind.url} to ours")
        if parts.port not in (None, 443) or parts.query or parts.fragment:
            raise Refused("the address holds a port or a query; write the host name and the path alone")
        self.path = urllib.parse.urlsplit(self.kind.call_base(credential.url)).path
        self.site = Site(parts.hostname, names, ca_file, timeout)

    def get(self, path: str) -> Answer:
        return self.site.request("GET", path, headers={"Accept": "*/*"})

    def url(self, call: str, parameters: Mapping[str, object], algorithm: str, secret: str | None = None) -> str:
        return f"{self.path}{call}?{signed_query(call, parameters, secret or self.credential.secret, algorithm)}"

    def call(
        self, call: str, parameters: Mapping[str, object] | None = None, algorithm: str | None = None, secret: str | None = None
    ) -> tuple[str, Element]:
        """The messageKey of a failure, or an empty text, and the whole answer. Raises Refused when it is no answer of the API."""
        answer = self.get(self.url(call, parameters or {}, algorithm or self.kind.algorithms[0], secret))
        return _read(answer, call)

    def must(self, call: str, parameters: Mapping[str, object] | None = None, algorithm: str | None = None) -> Element:
        key, root = self.call(call, parameters, algorithm)
        if key == "checksumError":
            raise Refused(
                f"{call} signed with {algorithm or self.kind.algorithms[0]} is refused (checksumError): the secret is not the one in force "
                "there, or that checksum is not accepted"
            )
        if key:
            raise Refused(f"{call} is refused: {key} ({(root.findtext('message') or '')[:120]})")
        return root


def _read(answer: Answer, call: str) -> tuple[str, Element]:
    if answer.status != 200:
        raise Refused(f"{call or 'the API'} is answered with HTTP status {answer.status}; is this the address of a BigBlueButton API?")
    try:
        root = parse(answer.body)
    except BigBlueButtonError as error:
        raise Refused(f"{call or 'the API'}: {error}") from None
    return ("" if root.findtext("returncode") == "SUCCESS" else root.findtext("messageKey") or "unknown"), root


class Proof:
    """Tries credentials one by one, and each against the meetings of the others. What it makes it ends again."""

    def __init__(self, names: Names, ca_file: str | None, timeout: float = 20.0, patience: float = 30.0) -> None:
        self._names = names
        self._ca_file = ca_file
        self._timeout = timeout
        self._patience = patience

    def run(self, credentials: Sequence[Credential], checks: Sequence[str] = CHECKS) -> list[Outcome]:
        """An outcome for each credential and check, in order."""
        outcomes: list[Outcome] = []
        plugins: dict[str, _Plugin] = {}
        meetings: dict[str, _Meeting] = {}

        def attempt(credential: Credential, check: str, work: Callable[[], str]) -> bool:
            if check not in checks and check != "address":
                return True
            try:
                detail, result = work(), "ok"
            except _Skipped as reason:
                detail, result = str(reason), "skipped"
            except CoopError as error:
                detail, result = str(error), "failed"
            outcomes.append(Outcome(credential.name, check, result, detail))
            return result != "failed"

        for credential in credentials:

            def address(credential: Credential = credential) -> str:
                plugins[credential.name] = _Plugin(credential, self._names, self._ca_file, self._timeout)
                return self.address(plugins[credential.name])

            if not attempt(credential, "address", address):
                plugins.pop(credential.name, None)
                continue
            plugin = plugins[credential.name]
            attempt(credential, "signature", lambda plugin=plugin: self.signature(plugin))
            attempt(credential, "guarded", lambda plugin=plugin: self.guarded(plugin))
            attempt(credential, "meeting", lambda plugin=plugin: self.meeting(plugin))
        try:
            if "apart" in checks:
                self._make(plugins, meetings, outcomes)
                for credential in credentials:
                    if credential.name in meetings:
                        attempt(credential, "apart", lambda name=credential.name: self.apart(name, plugins, meetings))
        finally:
            for name, meeting in meetings.items():
                self._end_quietly(plugins[name], meeting)
            for plugin in plugins.values():
                plugin.site.close()
        order = {credential.name: place for place, credential in enumerate(credentials)}
        return sorted(outcomes, key=lambda outcome: (order[outcome.credential], CHECKS.index(outcome.check)))

    # -- the checks

    def address(self, plugin: _Plugin) -> str:
        """The address as the plugin completes it is that of an API."""
        key, _root = _read(plugin.get(plugin.path), "")
        if key:
            raise Refused(f"the API's own address is answered with {key}; is a path missing from the address?")
        return f"https://{plugin.site.hostname}{plugin.path} is an API"

    def signature(self, plugin: _Plugin) -> str:
        """Each checksum that the plugin may use is accepted."""
        for algorithm in plugin.kind.algorithms:
            plugin.must("getMeetings", {}, algorithm)
        return f"accepted with {' and '.join(plugin.kind.algorithms)}"

    def guarded(self, plugin: _Plugin) -> str:
        """A call signed with another secret is refused."""
        key, _root = plugin.call("getMeetings", {}, secret=secrets.token_hex(20))
        if key != "checksumError":
            became = f"refused for another reason, {key}" if key else "answered"
            raise Refused(f"a call signed with a secret that nobody has is {became}")
        return "another secret is refused"

    def meeting(self, plugin: _Plugin) -> str:
        """A meeting is made, listed, can be joined, and ends."""
        meeting = self._create(plugin)
        try:
            if not self._listed(plugin, meeting):
                raise Refused("getMeetings does not list the meeting that was just made")
            parameters = {"fullName": "Check", "meetingID": meeting.meeting_id, "password": meeting.moderator_password}
            # A browser would follow the redirect; it is read only, so that nobody enters.
            answer = plugin.get(plugin.url("join", parameters, plugin.kind.algorithms[0]))
            target = urllib.parse.urlsplit(answer.headers.get("location", ""))
            if answer.status not in (301, 302, 303, 307) or target.scheme != "https" or not target.hostname:
                key = "" if answer.status != 200 else _read(answer, "join")[0]
                raise Refused(f"joining leads nowhere: HTTP status {answer.status}{', ' + key if key else ''}")
        except BaseException:
            self._end_quietly(plugin, meeting)
            raise
        plugin.must("end", {"meetingID": meeting.meeting_id, "password": meeting.moderator_password})
        deadline = time.monotonic() + self._patience
        while self._listed(plugin, meeting):
            if time.monotonic() > deadline:
                raise Refused(f"the meeting is still listed {self._patience:.0f} s after its end was asked for")
            time.sleep(0.5)
        return f"made, listed, joined on {target.hostname}, ended"

    def apart(self, name: str, plugins: Mapping[str, _Plugin], meetings: Mapping[str, _Meeting]) -> str:
        """None of the other credentials sees this one's meeting, or can end it."""
        mine, plugin = meetings[name], plugins[name]
        if plugin.credential.access == "server":
            raise _Skipped("its secret is the server's own, which other secrets of that server would share")
        tried = []
        for other, theirs in plugins.items():
            # One that does not work itself proves nothing; what is wrong with it has been said.
            if other == name or other not in meetings or theirs.credential.access == "server":
                continue
            tried.append(other)
            if theirs.credential.secret == plugin.credential.secret:
                raise Refused(f"it has the same secret as {other}; give each a secret of its own")
            if self._listed(theirs, mine):
                raise Refused(f"{other} sees its meeting in getMeetings")
            if not theirs.call("getMeetingInfo", {"meetingID": mine.meeting_id})[0]:
                raise Refused(f"{other} can ask for its meeting")
            if not theirs.call("end", {"meetingID": mine.meeting_id, "password": mine.moderator_password})[0]:
                raise Refused(f"{other} can end its meeting")
        if not self._listed(plugin, mine):
            raise Refused(f"its meeting is gone after {', '.join(tried)} tried to end it")
        if not tried:
            raise _Skipped("there is no other credential with a secret of its own")
        return f"{', '.join(tried)} cannot see or end its meeting"

    # -- what they have in common

    def _create(self, plugin: _Plugin) -> _Meeting:
        meeting_id = "check-" + secrets.token_hex(8)
        wish = {"name": "Check of the access", "meetingID": meeting_id, "record": False, "meetingExpireIfNoUserJoinedInMinutes": 1}
        return _Meeting(meeting_id, plugin.must("create", wish).findtext("moderatorPW") or "")

    def _make(self, plugins: Mapping[str, _Plugin], meetings: dict[str, _Meeting], outcomes: Sequence[Outcome]) -> None:
        """A meeting for each credential that could make one before."""
        broken = {outcome.credential for outcome in outcomes if outcome.result == "failed"}
        for name, plugin in plugins.items():
            if name not in broken:
                meetings[name] = self._create(plugin)

    def _listed(self, plugin: _Plugin, meeting: _Meeting) -> bool:
        listed = plugin.must("getMeetings").iterfind("meetings/meeting")
        # A balancer adds its tenant to the ID (bbblb/utils.py, add_scope): whoever sees it so sees it all the same.
        return any((one.findtext("meetingID") or "").startswith(meeting.meeting_id) for one in listed)

    def _end_quietly(self, plugin: _Plugin, meeting: _Meeting) -> None:
        # It would end by itself within a minute: nobody has joined.
        with contextlib.suppress(CoopError):
            plugin.call("end", {"meetingID": meeting.meeting_id, "password": meeting.moderator_password})


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """One line per check, for people."""
    signs = {"ok": "ok     ", "failed": "FAILED ", "skipped": "skipped"}
    width = max((len(outcome.credential) for outcome in outcomes), default=0)
    return [f"{signs[outcome.result]} {outcome.credential:<{width}} {outcome.check:<9} {outcome.detail}" for outcome in outcomes]
