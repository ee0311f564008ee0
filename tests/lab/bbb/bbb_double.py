#!/usr/bin/env python3
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A BigBlueButton node as its HTTP API shows it: real checksums, meetings that live and end, limits on join.

Standard library only, one file. What the real node refuses, this refuses; rules follow BigBlueButton 3.0's documentation
(development/api.md) and bbb-common-web. A second port on loopback, without checksum, lets tests look and interfere.

    bbb_double.py serve CONFIG.json            run a node
    bbb_double.py control METHOD PATH [JSON]   talk to the control side of a running node (--port, default 8099)

CONFIG: secret, certificate, key; in place of the secret "properties", the files of bbb-web's properties, the package's first, which are
read when the node starts for the secret, the checksums and the defaults of meetings. Optional: recordings (a directory, as
/var/bigbluebutton), recording_formats, ca_file (authorities for callbacks), release (the release file), host, listen, port, control_port,
checksums, default_duration, default_max_users, minute_seconds (how long a minute lasts, for tests that wait for the end of a meeting),
end_delay (seconds).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import random
import re
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Any

ALGORITHMS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""The length of the hexadecimal checksum tells the algorithm (bbb-web.properties, supportedChecksumAlgorithms)."""

FORM = "application/x-www-form-urlencoded"
XML_TYPES = ("text/xml", "application/xml")
CONTENT_TYPES = {
    "create": (FORM, "multipart/form-data", *XML_TYPES),
    "insertDocument": XML_TYPES,
}
"""Content types a POST may have, by call; every other call takes the two form types."""

JAVA_INT = re.compile(r"[+-]?[0-9]{1,10}\Z")
"""Integer.parseInt takes a sign and digits: no space, no underscore, no decimal point."""

MEETING_NAME = re.compile(r"[^,]*\Z")
METADATA = re.compile(r"meta_([A-Za-z0-9_-]+)\Z")
MAX_LOG = 20000


class Refusal(Exception):
    """An answer with returncode FAILED."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def java_int(value: str | None, default: int) -> int:
    """What bbb-web's ParamsProcessorUtil makes of a number: anything Integer.parseInt refuses becomes the server's default."""
    if value is None or not JAVA_INT.match(value):
        return default
    number = int(value)
    return number if -(2**31) <= number < 2**31 else default


def java_bool(name: str, value: str | None) -> bool:
    """bbb-web's IsBooleanValidator: empty, true, false, 0 or 1; only "true" means true (Boolean.parseBoolean)."""
    if value and value.lower() not in ("true", "false", "0", "1"):
        raise Refusal("validationError", f"{name} must be a boolean value (true or false)")
    return (value or "").lower() == "true"


def from_properties(config: dict[str, Any]) -> dict[str, Any]:
    """The part of the configuration that bbb-web takes from its properties; a later file takes the place of an earlier one."""
    found: dict[str, str] = {}
    for path in config.get("properties", ()):
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith(("#", "!")):
                    found[name.strip()] = value.strip()
    if not found:
        return {}
    return {
        "secret": found["securitySalt"],
        "checksums": [name.strip() for name in found["supportedChecksumAlgorithms"].split(",")],
        "default_duration": java_int(found.get("defaultMeetingDuration"), 0),
        "default_max_users": java_int(found.get("defaultMaxUsers"), 0),
        "expire_unjoined": java_int(found.get("meetingExpireIfNoUserJoinedInMinutes"), 5),
        "expire_empty": java_int(found.get("meetingExpireWhenLastUserLeftInMinutes"), 1),
        "no_recording": found.get("disableRecordingDefault") == "true",
        "reveal_version": found.get("allowRevealOfBBBVersion") == "true",
    }


@dataclass
class Attendee:
    user_id: str
    name: str
    role: str
    voice: bool = False
    video: bool = False


@dataclass
class Meeting:
    meeting_id: str
    internal_id: str
    name: str
    attendee_pw: str
    moderator_pw: str
    created: float
    duration: int
    max_users: int
    recording: bool
    voice_bridge: str
    metadata: dict[str, str]
    parameters: dict[str, str]
    ended_url: str | None
    expire_unjoined: int
    expire_empty: int
    parent: str | None = None
    attendees: dict[str, Attendee] = field(default_factory=dict)
    joined: bool = False
    empty_since: float | None = None
    ending_at: float | None = None
    started: float = 0.0
    marked: bool = False  # somebody pressed record, or recording began by itself
    ahead: float = 0.0  # seconds that the node's clock was ahead when it was made

    @property
    def create_time(self) -> int:
        """Milliseconds, as everywhere in the API."""
        return int((self.created + self.ahead) * 1000)


STATES = ("published", "unpublished", "deleted")
PLAYBACK = {"presentation": "/playback/presentation/2.3/{id}", "video": "/playback/video/{id}/"}


@dataclass
class Record:
    """One recording as its metadata.xml files say; ``formats`` holds (format, link)."""

    record_id: str
    state: str
    meeting_id: str
    name: str
    started: int
    ended: int
    participants: int
    meta: dict[str, str]
    formats: list[tuple[str, str]]

    def describe(self) -> list[tuple[str, Any]]:
        minutes = (self.ended - self.started) // 60000
        return [
            ("recordID", self.record_id), ("meetingID", self.meeting_id), ("internalMeetingID", self.record_id), ("name", self.name),
            ("isBreakout", False), ("published", self.state == "published"), ("state", self.state), ("startTime", self.started),
            ("endTime", self.ended), ("participants", self.participants), ("metadata", list(self.meta.items())),
            ("playback", [("format", [("type", kind), ("url", link), ("processingTime", 1000), ("length", minutes)])
                          for kind, link in self.formats]),
        ]


class Recordings:
    """Recordings on disk, as bbb-web finds them: {published,unpublished,deleted}/FORMAT/ID/metadata.xml, raw data in recording/raw/ID.

    Read anew for each call: what is laid there by other means is listed too (bbb-common-web, RecordingServiceFileImpl).
    """

    def __init__(self, root: str | None, formats: list[str]) -> None:
        self.temporary = None if root else tempfile.TemporaryDirectory(prefix="bbb-double-")
        self.root = pathlib.Path(root or (self.temporary.name if self.temporary else ""))
        self.formats = formats

    def files(self) -> list[tuple[str, str, pathlib.Path]]:
        return [
            (state, path.parent.parent.name, path)
            for state in STATES for path in sorted((self.root / state).glob("*/*/metadata.xml"))
        ]

    def all(self) -> list[Record]:
        found: dict[str, Record] = {}
        for state, kind, path in self.files():
            root = ET.parse(path).getroot()
            record_id = root.findtext("id") or path.parent.name
            meta = {element.tag: element.text or "" for element in root.iterfind("meta/*")}
            record = found.setdefault(record_id, Record(
                record_id, state, meta.get("meetingId", ""), meta.get("meetingName", ""), int(root.findtext("start_time") or 0),
                int(root.findtext("end_time") or 0), int(root.findtext("participants") or 0), meta, []))
            record.formats.append((kind, (root.findtext("playback/link") or "").strip()))
        return sorted(found.values(), key=lambda record: record.started)

    def process(self, meeting: Meeting, host: str) -> None:
        raw = self.root / "recording" / "raw" / meeting.internal_id
        raw.mkdir(parents=True, exist_ok=True)
        (raw / "events.xml").write_text("<recording/>")
        meta = {"meetingId": meeting.meeting_id, "meetingName": meeting.name, "isBreakout": "false", **meeting.metadata}
        for kind in self.formats:
            place = self.root / "published" / kind / meeting.internal_id
            place.mkdir(parents=True, exist_ok=True)
            root = fill(ET.Element("recording"), [
                ("id", meeting.internal_id), ("state", "published"), ("published", True), ("start_time", meeting.create_time),
                ("end_time", int((time.time() + meeting.ahead) * 1000)), ("participants", len(meeting.attendees)),
                ("meta", list(meta.items())),
                ("playback", [("format", kind), ("link", f"https://{host}{PLAYBACK[kind].format(id=meeting.internal_id)}"),
                              ("processing_time", 1000), ("duration", 60000)]),
            ])
            (place / "metadata.xml").write_bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
            (place / "media.bin").write_bytes(b"media of " + meeting.internal_id.encode())

    def move(self, record_id: str, state: str) -> None:
        for old, kind, path in self.files():
            if path.parent.name == record_id and old != state:
                root = ET.parse(path)
                for name, value in (("state", state), ("published", text(state == "published"))):
                    element = root.find(name)
                    if element is not None:
                        element.text = value
                root.write(path, encoding="utf-8", xml_declaration=True)
                target = self.root / state / kind / record_id
                target.parent.mkdir(parents=True, exist_ok=True)
                path.parent.rename(target)

    def update(self, record_id: str, meta: dict[str, str]) -> None:
        for _state, _kind, path in self.files():
            if path.parent.name == record_id:
                root = ET.parse(path)
                place = root.find("meta")
                for name, value in meta.items() if place is not None else ():
                    element = place.find(name)
                    element = ET.SubElement(place, name) if element is None else element
                    element.text = value
                root.write(path, encoding="utf-8", xml_declaration=True)


class Node:
    """The meetings of one node and the rules about them. All methods expect the lock to be held."""

    def __init__(self, config: dict[str, Any]) -> None:
        config = {**from_properties(config), **config}
        self.config = config
        self.secret: str = config["secret"]
        self.checksums: list[str] = config.get("checksums", list(ALGORITHMS.values()))
        self.host: str = config.get("host") or socket.getfqdn()
        self.minute = float(config.get("minute_seconds", 60))
        self.end_delay = float(config.get("end_delay", 0.5))
        self.lock = threading.RLock()
        self.meetings: dict[str, Meeting] = {}
        self.log: list[dict[str, Any]] = []
        self.callbacks: list[dict[str, Any]] = []
        self.store = Recordings(config.get("recordings"), config.get("recording_formats", ["presentation"]))
        self.mode = "ok"
        self.ahead = 0.0
        self.release = threading.Event()
        self.calls: dict[str, Any] = {
            "create": self.create, "join": self.join, "end": self.end, "getMeetings": self.get_meetings,
            "getMeetingInfo": self.get_meeting_info, "isMeetingRunning": self.is_meeting_running,
            "getRecordings": self.get_recordings, "publishRecordings": self.publish_recordings,
            "deleteRecordings": self.delete_recordings, "updateRecordings": self.update_recordings,
            "insertDocument": self.insert_document, "sendChatMessage": self.send_chat_message,
        }

    def clock(self) -> float:
        """What the node takes the time to be. How long a meeting lasts is counted by System.nanoTime instead (TimeUtil.scala of akka)."""
        return time.time() + self.ahead

    def version(self) -> str:
        """What the root tells of the release."""
        if not self.config.get("reveal_version"):
            return ""
        with open(self.config["release"], encoding="utf-8") as stream:
            return stream.read().strip().rpartition("=")[2]

    # -- checksum ------------------------------------------------------------------------------------------------------

    def verify(self, call: str, signed: str) -> tuple[dict[str, str], str]:
        """Parameters of a signed query and the algorithm that signed it; Refusal when the checksum is missing or wrong."""
        given = None
        kept = []
        for part in signed.split("&") if signed else []:
            if part.startswith("checksum="):
                given = part[len("checksum="):]
            else:
                kept.append(part)
        wrong = Refusal("checksumError", "Checksums do not match")
        algorithm = ALGORITHMS.get(len(given or ""))
        if not given or algorithm not in self.checksums:
            raise wrong
        expected = hashlib.new(algorithm, (call + "&".join(kept) + self.secret).encode()).hexdigest()
        if not hmac.compare_digest(expected, given):
            raise wrong
        parameters: dict[str, str] = {}
        for name, value in urllib.parse.parse_qsl("&".join(kept), keep_blank_values=True):
            parameters.setdefault(name, value)  # getParameter returns the first of several
        return parameters, algorithm

    # -- life of meetings ----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """End what is due: by its duration, because nobody came, because everybody left, or because it was asked to."""
        now = time.time()
        for meeting in list(self.meetings.values()):
            due = (
                (meeting.ending_at is not None and now >= meeting.ending_at)
                or (meeting.duration > 0 and now >= meeting.created + meeting.duration * self.minute)
                or (not meeting.joined and meeting.expire_unjoined > 0 and now >= meeting.created + meeting.expire_unjoined * self.minute)
                or (meeting.empty_since is not None and meeting.expire_empty > 0
                    and now >= meeting.empty_since + meeting.expire_empty * self.minute)
            )
            if due:
                del self.meetings[meeting.meeting_id]
                if meeting.recording and meeting.marked:
                    self.store.process(meeting, self.host)
                    self.tell_ready(meeting)
                if meeting.ended_url:
                    threading.Thread(target=self.call_back, args=(meeting.ended_url, meeting.meeting_id), daemon=True).start()

    def call_back(self, url: str, meeting_id: str) -> None:
        """Tell whoever asked that a meeting has ended (meetingEndedURL: GET with meetingID and recordingmarks)."""
        query = urllib.parse.urlencode({"meetingID": meeting_id, "recordingmarks": "false"})
        self.send_callback(url + ("&" if "?" in url else "?") + query, None)

    def send_callback(self, full: str, body: bytes | None) -> None:
        """GET, or POST of a form, and remember how it was answered."""
        try:
            # Read anew each time: a lab's authority changes when it starts.
            context = ssl.create_default_context(cafile=self.config.get("ca_file"))
            with urllib.request.urlopen(full, body, timeout=10, context=context) as answer:
                status: int | str = answer.status
        except Exception as error:
            status = str(error)
        with self.lock:
            self.callbacks.append({"time": time.time(), "url": full, "status": status})

    def tell_ready(self, meeting: Meeting) -> None:
        """The recording-ready callback: a form with a JWT (HS256) signed with the secret (post_publish_recording_ready_callback.rb)."""
        url = meeting.metadata.get("bbb-recording-ready-url")
        if url:
            claims = {"meeting_id": meeting.meeting_id, "record_id": meeting.internal_id}
            parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
            signature = hmac.digest(self.secret.encode(), b".".join(parts), "sha256")
            token = b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")])
            body = urllib.parse.urlencode({"signed_parameters": token.decode()}).encode()
            threading.Thread(target=self.send_callback, args=(url, body), daemon=True).start()

    def find(self, parameters: dict[str, str]) -> Meeting:
        meeting_id = parameters.get("meetingID", "")
        if not meeting_id:
            raise Refusal("missingParamMeetingID", "You must specify a meeting ID for the meeting.")
        meeting = self.meetings.get(meeting_id)
        if meeting is None:
            raise Refusal(
                "notFound", "We could not find a meeting with that meeting ID - perhaps the meeting is not yet running?")
        return meeting

    # -- calls ---------------------------------------------------------------------------------------------------------

    def create(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        meeting_id = parameters.get("meetingID", "")
        name = parameters.get("name", "")
        if not meeting_id:
            raise Refusal("missingParamMeetingID", "You must provide a meeting ID")
        if not 2 <= len(meeting_id) <= 256:
            raise Refusal("sizeError", "Meeting ID must be between 2 and 256 characters")
        if "," in meeting_id:
            raise Refusal("validationError", "Meeting ID cannot contain ','")
        if not name:
            raise Refusal("validationError", "You must provide a meeting name")
        if not 2 <= len(name) <= 64:
            raise Refusal("sizeError", "Meeting name must be between 2 and 64 characters")
        if not MEETING_NAME.match(name):
            raise Refusal("validationError", "Meeting name cannot contain ','")
        for role in ("attendeePW", "moderatorPW"):
            if role in parameters and not 2 <= len(parameters[role]) <= 64:
                raise Refusal("sizeError", "Password must be between 2 and 64 characters")
        bridge = parameters.get("voiceBridge")
        if bridge and not bridge.isdigit():
            raise Refusal("validationError", "Voice bridge must be an integral value")
        recording = java_bool("Record", parameters.get("record"))
        breakout = java_bool("isBreakout", parameters.get("isBreakout"))
        self.settle()
        existing = self.meetings.get(meeting_id)
        if existing is not None:
            for role, password in (("attendeePW", existing.attendee_pw), ("moderatorPW", existing.moderator_pw)):
                if role in parameters and parameters[role] != password:
                    raise Refusal("idNotUnique", "A meeting already exists with that meeting ID. Please use a different meeting ID.")
            return self.created(existing, "duplicateWarning", "This conference was already in existence and may currently be in progress.")
        parent = parameters.get("parentMeetingID") if breakout else None
        if breakout and not any(parent in (known.meeting_id, known.internal_id) for known in self.meetings.values()):
            raise Refusal("parentMeetingDoesNotExist", "No parent meeting exists for the breakout room.")
        now = time.time()
        metadata = {}
        for key, value in parameters.items():
            found = METADATA.match(key)
            if found:
                metadata[found[1].lower()] = value
        meeting = Meeting(
            meeting_id=meeting_id,
            internal_id=hashlib.sha1(meeting_id.encode()).hexdigest() + f"-{int((now + self.ahead) * 1000)}",
            name=name,
            attendee_pw=parameters.get("attendeePW") or secrets.token_urlsafe(8),
            moderator_pw=parameters.get("moderatorPW") or secrets.token_urlsafe(8),
            created=now,
            duration=java_int(parameters.get("duration"), int(self.config.get("default_duration", 0))),
            max_users=java_int(parameters.get("maxParticipants"), int(self.config.get("default_max_users", 0))),
            # disableRecordingDefault beats record=true (bigbluebutton.properties).
            recording=recording and not self.config.get("no_recording"),
            voice_bridge=bridge or str(random.randint(10000, 99999)),
            metadata=metadata,
            parameters=dict(parameters),
            ended_url=parameters.get("meetingEndedURL"),
            expire_unjoined=java_int(
                parameters.get("meetingExpireIfNoUserJoinedInMinutes"), int(self.config.get("expire_unjoined", 5))),
            expire_empty=java_int(
                parameters.get("meetingExpireWhenLastUserLeftInMinutes"), int(self.config.get("expire_empty", 1))),
            parent=parent,
            marked=recording and java_bool("autoStartRecording", parameters.get("autoStartRecording")),
            ahead=self.ahead,
        )
        self.meetings[meeting_id] = meeting
        return self.created(meeting, "", "")

    def created(self, meeting: Meeting, key: str, message: str) -> ET.Element:
        return success(
            meetingID=meeting.meeting_id, internalMeetingID=meeting.internal_id, parentMeetingID=meeting.parent or "bbb-none",
            attendeePW=meeting.attendee_pw, moderatorPW=meeting.moderator_pw, createTime=meeting.create_time,
            voiceBridge=meeting.voice_bridge, dialNumber="613-555-1234", createDate=date(meeting.create_time / 1000),
            hasUserJoined=meeting.joined, duration=meeting.duration, hasBeenForciblyEnded=False, messageKey=key, message=message,
        )

    def join(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        if not parameters.get("fullName"):
            raise Refusal("missingParamFullName", "You must specify a name for the attendee who will be joining the meeting.")
        meeting = self.find(parameters)
        if meeting.ending_at is not None:
            raise Refusal("meetingForciblyEnded", "You can not join the meeting: it has been ended.")
        wanted = parameters.get("role", "").upper()
        # Greenlight sends an empty password beside the role (bigbluebutton-api-ruby, join_meeting_url).
        password = parameters.get("password") or None
        if wanted in ("MODERATOR", "VIEWER") and password is None:
            role = wanted
        elif password == meeting.moderator_pw:
            role = "MODERATOR"
        elif password == meeting.attendee_pw:
            role = "VIEWER"
        else:
            raise Refusal(
                "invalidPassword",
                "You either did not supply a password or the password supplied is neither the attendee or moderator password.")
        stamp = parameters.get("createTime")
        if stamp and stamp != str(meeting.create_time):
            raise Refusal("mismatchCreateTimeParam", "The createTime parameter submitted mismatches with the current meeting.")
        user_id = parameters.get("userID") or "w_" + secrets.token_hex(6)
        if meeting.max_users > 0 and user_id not in meeting.attendees and len(meeting.attendees) >= meeting.max_users:
            raise Refusal("maxParticipantsReached", "The number of participants allowed for this meeting has been reached.")
        meeting.attendees[user_id] = Attendee(user_id, parameters["fullName"], role)
        self.present(meeting)
        token = secrets.token_urlsafe(12)
        return success(
            messageKey="successfullyJoined", message="You have joined successfully.", meeting_id=meeting.internal_id, user_id=user_id,
            auth_token=secrets.token_urlsafe(9), session_token=token, guestStatus="ALLOW",
            url=f"https://{self.host}/html5client/?sessionToken={token}",
        )

    def present(self, meeting: Meeting) -> None:
        """Bring the times of a meeting in line with who is in it."""
        if meeting.attendees:
            if not meeting.joined:
                meeting.started = self.clock()
            meeting.joined = True
            meeting.empty_since = None
        elif meeting.joined and meeting.empty_since is None:
            meeting.empty_since = time.time()

    def end(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        meeting = self.find(parameters)
        if parameters.get("password") not in (None, meeting.moderator_pw):
            raise Refusal("invalidPassword", "You must supply the moderator password.")
        meeting.ending_at = time.time() + self.end_delay
        return success(
            messageKey="sentEndMeetingRequest",
            message="A request to end the meeting was sent. Please wait a few seconds, and then use the getMeetingInfo or "
                    "isMeetingRunning API calls to verify that it was ended.",
        )

    def describe(self, meeting: Meeting, *, people: bool) -> list[tuple[str, Any]]:
        everyone = list(meeting.attendees.values())
        return [
            ("meetingName", meeting.name), ("meetingID", meeting.meeting_id), ("internalMeetingID", meeting.internal_id),
            ("createTime", meeting.create_time), ("createDate", date(meeting.create_time / 1000)), ("voiceBridge", meeting.voice_bridge),
            ("dialNumber", "613-555-1234"), ("attendeePW", meeting.attendee_pw), ("moderatorPW", meeting.moderator_pw),
            ("running", bool(everyone)), ("duration", meeting.duration), ("hasUserJoined", meeting.joined),
            ("recording", meeting.recording), ("hasBeenForciblyEnded", False), ("startTime", int(meeting.started * 1000)), ("endTime", 0),
            ("participantCount", len(everyone)), ("listenerCount", 0),
            ("voiceParticipantCount", sum(person.voice for person in everyone)),
            ("videoCount", sum(person.video for person in everyone)), ("maxUsers", meeting.max_users),
            ("moderatorCount", sum(person.role == "MODERATOR" for person in everyone)),
            ("attendees", [("attendee", [
                ("userID", person.user_id), ("fullName", person.name), ("role", person.role), ("isPresenter", False),
                ("isListeningOnly", False), ("hasJoinedVoice", person.voice), ("hasVideo", person.video), ("clientType", "HTML5"),
            ]) for person in everyone] if people else []),
            ("metadata", list(meeting.metadata.items())),
            ("isBreakout", meeting.parent is not None),
            *([("breakout", [("parentMeetingID", meeting.parent)])] if meeting.parent else []),
        ]

    def get_meetings(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        answer = success()
        listed = ET.SubElement(answer, "meetings")
        for meeting in self.meetings.values():
            fill(ET.SubElement(listed, "meeting"), self.describe(meeting, people=True))
        if not self.meetings:
            fill(answer, [("messageKey", "noMeetings"), ("message", "no meetings were found on this server")])
        return answer

    def get_meeting_info(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        return fill(success(), self.describe(self.find(parameters), people=True))

    def is_meeting_running(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        if not parameters.get("meetingID"):
            raise Refusal("missingParamMeetingID", "You must specify a meeting ID for the meeting.")
        meeting = self.meetings.get(parameters["meetingID"])
        return success(running=bool(meeting and meeting.attendees))

    def get_recordings(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        """Published and unpublished ones unless a state is asked for; a recordID may be the beginning of one (development/api.md)."""
        meetings = [one for one in parameters.get("meetingID", "").split(",") if one]
        records = [one for one in parameters.get("recordID", "").split(",") if one]
        states = [one for one in parameters.get("state", "").split(",") if one] or ["published", "unpublished"]
        meta = {key[5:].lower(): value for key, value in parameters.items() if key.startswith("meta_")}
        answer = success()
        listed = ET.SubElement(answer, "recordings")
        for record in self.store.all():
            if (
                (not meetings or record.meeting_id in meetings)
                and (not records or any(record.record_id.startswith(one) for one in records))
                and ("any" in states or record.state in states)
                and all(record.meta.get(key) == value for key, value in meta.items())
            ):
                fill(ET.SubElement(listed, "recording"), record.describe())
        if not len(listed):
            fill(answer, [("messageKey", "noRecordings"), ("message", "There are no recordings for the meeting(s).")])
        return answer

    def recordings_named(self, parameters: dict[str, str]) -> list[str]:
        wanted = [one for one in parameters.get("recordID", "").split(",") if one]
        if not wanted:
            raise Refusal("missingParamRecordID", "You must specify a recordID.")
        known = {record.record_id for record in self.store.all()}
        if not known & set(wanted):
            raise Refusal("notFound", "We could not find recordings")
        return [one for one in wanted if one in known]

    def publish_recordings(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        publish = parameters.get("publish", "")
        if not publish:
            raise Refusal("missingParamPublish", "You must specify a publish value true or false.")
        for record_id in self.recordings_named(parameters):
            self.store.move(record_id, "published" if publish.lower() == "true" else "unpublished")
        return success(published=publish.lower() == "true")

    def delete_recordings(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        for record_id in self.recordings_named(parameters):
            self.store.move(record_id, "deleted")
        return success(deleted=True)

    def update_recordings(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        meta = {key[5:].lower(): value for key, value in parameters.items() if key.startswith("meta_")}
        for record_id in self.recordings_named(parameters):
            self.store.update(record_id, meta)
        return success(updated=True)

    def insert_document(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        self.find(parameters)
        try:
            ET.fromstring(body)
        except ET.ParseError as error:
            raise Refusal("validationError", f"The document list is no XML: {error}") from error
        return success(message="Presentation is being uploaded")

    def send_chat_message(self, parameters: dict[str, str], body: bytes) -> ET.Element:
        self.find(parameters)
        if not parameters.get("message"):
            raise Refusal("validationError", "You must provide the message")
        return success(message="Message successfully sent to chat")


def text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def date(seconds: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(seconds))


def fill(parent: ET.Element, fields: list[tuple[str, Any]]) -> ET.Element:
    for name, value in fields:
        child = ET.SubElement(parent, name)
        if isinstance(value, list):
            fill(child, value)
        else:
            child.text = text(value)
    return parent


def success(**fields: Any) -> ET.Element:
    answer = ET.Element("response")
    return fill(answer, [("returncode", "SUCCESS"), *fields.items()])


def failed(key: str, message: str) -> ET.Element:
    return fill(ET.Element("response"), [("returncode", "FAILED"), ("messageKey", key), ("message", message)])


class ApiHandler(http.server.BaseHTTPRequestHandler):
    """The public side. HTTP status 200 always; success or failure stands in the XML."""

    protocol_version = "HTTP/1.1"
    server_version = "bbb-double"
    timeout = 60
    node: Node

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(10)
            self.request.do_handshake()
        super().setup()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The header Date, by the node's own clock."""
        return super().date_time_string(self.node.clock() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: Any) -> None:
        """Names of people are in the request line: nothing is written."""

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_GET

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/html5client"):
            return self.send(b"<!doctype html><title>BigBlueButton</title><p>Joined.</p>", "text/html")
        if not (url.path + "/").startswith("/bigbluebutton/api/"):
            return self.send(b"not found", "text/plain", 404)
        node = self.node
        if node.mode == "fail":
            return self.send(b"broken on purpose", "text/plain", 500)
        if node.mode == "hang":
            node.release.wait(600)
            self.close_connection = True
            return None
        call = url.path[len("/bigbluebutton/api"):].strip("/")
        entry: dict[str, Any] = {
            "time": time.time(), "call": call, "method": self.command, "query": url.query, "parameters": {}, "algorithm": None,
            "content_type": self.headers.get("Content-Type"), "body_length": len(body), "key": None,
        }
        location = None
        with node.lock:
            node.settle()
            try:
                answer = self.dispatch(call, url.query, body, entry)
                if call == "join" and entry["parameters"].get("redirect", "true").lower() != "false":
                    location = answer.findtext("url")
            except Refusal as refusal:
                answer = failed(refusal.key, refusal.message)
            entry["key"] = answer.findtext("messageKey")
            entry["returncode"] = answer.findtext("returncode")
            node.log.append(entry)
            del node.log[:-MAX_LOG]
        if node.mode == "busy" and call == "getMeetings":
            time.sleep(1)
        self.send(ET.tostring(answer, encoding="utf-8"), "text/xml;charset=utf-8", 302 if location else 200, location)
        return None

    def dispatch(self, call: str, query: str, body: bytes, entry: dict[str, Any]) -> ET.Element:
        node = self.node
        if node.mode == "refuse":
            raise Refusal("internalError", "broken on purpose")
        if call == "":
            # The root needs no checksum; the version is hidden while allowRevealOfBBBVersion is false (the default).
            return success(version="2.0", apiVersion="2.0", bbbVersion=node.version())
        handler = node.calls.get(call)
        if handler is None or (call == "join" and self.command != "GET"):
            raise Refusal("unsupportedRequest", "This request is not supported.")
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        signed = query
        if self.command == "POST" and (body or kind):
            if kind not in CONTENT_TYPES.get(call, (FORM, "multipart/form-data")):
                raise Refusal("unsupportedContentType", "POST request Content-Type is missing or unsupported")
            if kind == FORM and body:
                # The checksum of a form is over the body; a parameter in both places is refused.
                if query:
                    raise Refusal("checksumError", "Checksums do not match")
                signed = body.decode("utf-8", "replace")
        parameters, entry["algorithm"] = node.verify(call, signed)
        entry["parameters"] = parameters
        answer: ET.Element = handler(parameters, body)
        return answer

    def send(self, data: bytes, kind: str, status: int = 200, location: str | None = None) -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class ControlHandler(http.server.BaseHTTPRequestHandler):
    """The test's side, on loopback only: JSON in, JSON out, no checksum."""

    node: Node

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_DELETE = do_GET

    def answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, result = 200, None
        with self.node.lock:
            self.node.settle()
            try:
                result = self.handle_call(url.path, dict(urllib.parse.parse_qsl(url.query)), json.loads(raw or b"{}"))
            except (KeyError, ValueError, TypeError) as error:
                status, result = 400, {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(result).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_call(self, path: str, query: dict[str, str], given: dict[str, Any]) -> Any:
        node = self.node
        match self.command, path:
            case "GET", "/":
                return {"mode": node.mode, "meetings": len(node.meetings), "calls": len(node.log), "minute_seconds": node.minute}
            case "GET", "/log":
                since = float(query.get("since", 0))
                return [entry for entry in node.log if entry["time"] >= since and query.get("call", entry["call"]) == entry["call"]]
            case "DELETE", "/log":
                node.log.clear()
                node.callbacks.clear()
                return {}
            case "GET", "/callbacks":
                return node.callbacks
            case "GET", "/meetings":
                return [dict(node.describe(meeting, people=False), parameters=meeting.parameters) for meeting in node.meetings.values()]
            case "POST", "/users":
                meeting = node.meetings[given["meetingID"]]
                voice, video = int(given.get("voice", 0)), int(given.get("video", 0))
                meeting.attendees = {
                    f"set_{n}": Attendee(f"set_{n}", f"Person {n}", "VIEWER", n < voice, n < video) for n in range(int(given["users"]))
                }
                node.present(meeting)
                return {"participantCount": len(meeting.attendees)}
            case "POST", "/record":
                node.meetings[given["meetingID"]].marked = True
                return {}
            case "POST", "/end":
                node.meetings[given["meetingID"]].ending_at = 0.0
                node.settle()
                return {}
            case "POST", "/drop":
                dropped = sorted(node.meetings)
                node.meetings.clear()
                return {"dropped": dropped}
            case "POST", "/mode":
                if given["mode"] not in ("ok", "fail", "hang", "refuse", "busy"):
                    raise ValueError(given["mode"])
                node.mode = given["mode"]
                node.release.set()
                node.release = threading.Event()
                return {"mode": node.mode}
            case "POST", "/clock":
                node.minute = float(given.get("minute_seconds", node.minute))
                node.ahead = float(given.get("ahead", node.ahead))
                return {"minute_seconds": node.minute, "ahead": node.ahead}
        raise ValueError(f"{self.command} {path} is no control call")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away or speak no TLS are no news."""


def tls(config: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["certificate"], config["key"])
    return context


def serve(config: dict[str, Any]) -> tuple[Server, Server, Node]:
    """Bind both sides; the caller runs serve_forever. Port 0 takes a free one."""
    node = Node(config)
    api = Server((config.get("listen", "0.0.0.0"), int(config.get("port", 443))), type("Api", (ApiHandler,), {"node": node}))
    api.socket = tls(config).wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
    control = Server(("127.0.0.1", int(config.get("control_port", 8099))), type("Control", (ControlHandler,), {"node": node}))
    return api, control, node


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("serve", help="run a node")
    run.add_argument("config")
    ask = commands.add_parser("control", help="talk to the control side of a running node")
    ask.add_argument("--port", type=int, default=8099)
    ask.add_argument("method", choices=["GET", "POST", "DELETE"])
    ask.add_argument("path")
    ask.add_argument("body", nargs="?", default="")
    given = parser.parse_args(argv)
    if given.command == "control":
        connection = http.client.HTTPConnection("127.0.0.1", given.port, timeout=30)
        connection.request(given.method, given.path, given.body.encode())
        answer = connection.getresponse()
        print(answer.read().decode())
        return 0 if answer.status == 200 else 1
    with open(given.config, encoding="utf-8") as stream:
        config = json.load(stream)
    api, control, _node = serve(config)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    api.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
