# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page, its feed and calendar, announcements on sites, and errors that say where."""

from __future__ import annotations

import datetime
import json
import pathlib
import re
from typing import Any
from xml.etree import ElementTree

import hypothesis
import icalendar
import pytest
from babel.messages import extract, mofile, pofile
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.modules import maintenance_notices, status_page
from ansible_collections.meet.coop.plugins.plugin_utils._support import pages
from ansible_collections.meet.coop.plugins.plugin_utils._support.banner import BEGIN, END, banner
from ansible_collections.meet.coop.plugins.plugin_utils._support.status_task import NoticesTask, StatusTask
from tests.support.ansible import ROOT
from tests.unit.cooperative.coop import dump
from tests.unit.membership.base import changed

AT = "2026-03-04T12:00:00Z"
PLACES = re.compile(r"%\([a-z]+\)s")
ATOM = "{http://www.w3.org/2005/Atom}"
PLAN: dict[str, Any] = {
    "title": {"en": "New <servers> & more", "es": "Servidores nuevos"},
    "text": "Meetings go on.",
    "from": "2026-03-05T22:00+01:00",
    "until": "2026-03-06T02:00+01:00",
}
INCIDENT: dict[str, Any] = {
    "title": "No sound",
    "severity": "down",
    "services": ["rosa"],
    "began": "2026-03-04T09:00+01:00",
    "updates": [{"at": "2026-03-04T09:30+01:00", "text": "A node has failed."}],
}


class Coop:
    """A membership file, notices and receipts in a folder."""

    def __init__(self, path: pathlib.Path, **changes: Any) -> None:
        self.path = path
        self.out = path / "status"
        changes.setdefault("members__agaric__support", {"page": "https://agaric.example/help", "email": "help@agaric.example"})
        changes.setdefault("members__rosa__contacts", [{"name": "Rosa Lux", "email": "rosa@rosa.example"}])
        changes.setdefault("services__rosa__branding", {"language": "es"})
        self.write("members.yml", changed(**changes))
        (path / "receipts").mkdir(exist_ok=True)

    def write(self, name: str, data: Any) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else dump(data), encoding="utf-8")

    def receipt(self, name: str, at: str = "2026-03-04T03:00:00Z", ok: bool = True) -> None:
        self.write(f"receipts/{name}.json", json.dumps({"at": at, "ok": ok, "hostname": f"{name}.meet.example"}))

    def status(self, at: str = AT, check: bool = False, **options: Any) -> dict[str, Any]:
        params = {name: option.get("default") for name, option in status_page.ARGUMENT_SPEC.items()}
        given = {"membership": [str(self.path / "members.yml")], "directory": str(self.out), "receipts": str(self.path / "receipts")}
        return StatusTask({**params, **given, "at": at, **options}).run(check)

    def notices(self, at: str = AT, **options: Any) -> dict[str, Any]:
        params = {name: option.get("default") for name, option in maintenance_notices.ARGUMENT_SPEC.items()}
        return NoticesTask({**params, "membership": [str(self.path / "members.yml")], "at": at, **options}).run(False)

    def states(self, at: str = AT, **options: Any) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.status(at, check=True, **options)["services"]}

    def published(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


def test_it_tells_writes_and_then_is_quiet(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    coop.write("maintenance/2026-03-nodes.yml", PLAN)
    coop.write("incidents/2026-03-sound.yml", INCIDENT)
    coop.receipt("rosa")
    coop.receipt("cafe")
    options: dict[str, Any] = {"languages": ["en", "es"], "time_zone": "Europe/Madrid", "url": "https://status.meet.example"}
    told = coop.status(check=True, **options)
    assert told["changed"] and not coop.out.exists()
    done = coop.status(**options)
    assert done == told and set(coop.published()) == {
        "index.html", "index.es.html", "status.json", "incidents.atom", "maintenance.ics",
    }  # fmt: skip
    first = coop.published()
    later = coop.status("2026-03-04T13:00:00Z", **options)
    assert not later["changed"] and later["diff"] == [] and coop.published() == first
    assert done["counts"] == {"ok": 1, "unknown": 0, "maintenance": 0, "degraded": 0, "down": 1}
    assert done["incidents_open"] == ["2026-03-sound"]

    page = first["index.html"].decode()
    assert "New &lt;servers&gt; &amp; more" in page and "<servers>" not in page
    assert "2026-03-05 22:00" in page and 'datetime="2026-03-05T21:00Z"' in page
    assert 'href="https://agaric.example/help"' in page and "Something does not work." in page
    assert "Algo no funciona." in first["index.es.html"].decode() and "Servidores nuevos" in first["index.es.html"].decode()
    everything = b"".join(first.values()).decode()
    for private in ("Rosa Lux", "rosa@rosa.example", "Kim", "mo@agaric.example", str(tmp_path)):
        assert private not in everything

    facts = json.loads(first["status.json"])
    assert {one["id"]: one["state"] for one in facts["services"]} == {"cafe": "ok", "rosa": "down"}
    assert [one["id"] for one in facts["maintenance"]] == ["2026-03-nodes"]

    feed = ElementTree.fromstring(first["incidents.atom"])
    assert feed.tag == f"{ATOM}feed" and feed.findtext(f"{ATOM}updated") == "2026-03-04T08:30:00Z"
    (entry,) = feed.findall(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}id") == "tag:meet.example,2026:incident/2026-03-sound"
    assert "A node has failed." in (entry.findtext(f"{ATOM}content") or "")
    for element in (feed, entry):
        assert all(element.find(f"{ATOM}{name}") is not None for name in ("id", "title", "updated", "link"))

    (event,) = icalendar.Calendar.from_ical(first["maintenance.ics"]).walk("VEVENT")
    assert str(event["SUMMARY"]) == "New <servers> & more" and str(event["STATUS"]) == "CONFIRMED"
    assert event.decoded("DTSTART") == datetime.datetime(2026, 3, 5, 21, tzinfo=datetime.UTC)

    # One language less: its page would go on to say what was true once.
    less = coop.status(**{**options, "languages": ["en"]}, check=True)
    assert str(coop.out / "index.es.html") in less["files"] and (coop.out / "index.es.html").exists()
    coop.status(**{**options, "languages": ["en"]})
    assert "index.es.html" not in coop.published()


def test_states_come_from_receipts_incidents_and_maintenance(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    assert coop.states() == {"rosa": "unknown", "cafe": "unknown"}
    coop.receipt("rosa")
    coop.receipt("cafe", ok=False)
    assert coop.states() == {"rosa": "ok", "cafe": "degraded"}
    # A receipt is believed for two days, and what was seen then says nothing of now.
    assert coop.states("2026-03-06T03:00:00Z")["rosa"] == "ok"
    assert coop.states("2026-03-06T03:00:01Z") == {"rosa": "unknown", "cafe": "unknown"}
    coop.write("maintenance/m.yml", {**PLAN, "services": ["rosa"], "from": "2026-03-04T11:00Z", "until": "2026-03-04T13:00Z"})
    assert coop.states() == {"rosa": "maintenance", "cafe": "degraded"}
    assert coop.states("2026-03-04T13:00:00Z")["rosa"] == "ok"
    coop.write("incidents/i.yml", INCIDENT)
    assert coop.states()["rosa"] == "down"
    coop.write("incidents/i.yml", {**INCIDENT, "severity": "notice"})
    assert coop.states()["rosa"] == "maintenance"
    coop.write("incidents/i.yml", {**INCIDENT, "ended": "2026-03-04T11:59Z"})
    assert coop.states()["rosa"] == "maintenance"
    assert coop.states(hidden=["rosa"]) == {"cafe": "degraded"}
    for broken in ("{", "[]", '{"at": 3, "ok": true}', '{"at": "2026-03-04T03:00:00Z", "ok": "yes"}', "\0"):
        coop.write("receipts/cafe.json", broken)
        found = coop.status(check=True)
        assert {one["id"]: one["state"] for one in found["services"]}["cafe"] == "unknown"
        assert any("receipts/cafe.json: is no receipt of verification" in line for line in found["summary"])


def test_what_is_hidden_leaves_no_trace(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    coop.write("incidents/secret.yml", INCIDENT)
    coop.write("maintenance/secret.yml", {**PLAN, "services": ["rosa"]})
    coop.status(hidden=["rosa"])
    everything = b"".join(coop.published().values()).decode()
    assert "No sound" not in everything and "servers" not in everything and "rosa" not in everything.lower()


def test_a_run_that_was_killed_is_repaired(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    coop.status()
    whole = coop.published()
    (coop.out / "status.json").unlink()
    (coop.out / ".index.html.new").write_text("half")
    (coop.out / "index.html").write_text("old")
    assert coop.status()["changed"]
    assert {name: data for name, data in coop.published().items() if not name.startswith(".")} == whole
    assert not coop.status()["changed"]


# -- announcements


@pytest.mark.parametrize(
    ("at", "announced", "said"),
    [
        ("2026-03-02T20:59:59Z", False, ""),
        (
            "2026-03-02T21:00:00Z",
            True,
            "Mantenimiento previsto, del 2026-03-05 22:00 al 2026-03-06 02:00 (Europe/Madrid): Servidores nuevos",
        ),
        (
            "2026-03-05T21:00:00Z",
            True,
            "Mantenimiento en curso, hasta el 2026-03-06 02:00 (Europe/Madrid) como muy tarde: Servidores nuevos",
        ),
        ("2026-03-06T01:00:00Z", False, ""),
    ],
)
def test_a_site_announces_in_its_language_before_and_while(tmp_path: pathlib.Path, at: str, announced: bool, said: str) -> None:
    coop = Coop(tmp_path)
    coop.write("maintenance/nodes.yml", PLAN)
    found = coop.notices(at, time_zone="Europe/Madrid")
    assert found["announcements"]["rosa"] == ([{"id": "nodes", "html": f"<span>{said}</span>"}] if announced else [])
    if announced:
        assert "New &lt;servers&gt; &amp; more" in found["announcements"]["cafe"][0]["html"]
    for over in ({"cancelled": True}, {"ended": "2026-03-05T21:00:01Z"}, {"services": ["cafe"]}):
        coop.write("maintenance/nodes.yml", {**PLAN, **over})
        later = coop.notices("2026-03-05T23:00:00Z")
        assert later["announcements"]["rosa"] == []


HTML = st.text(st.characters(codec="utf-8"), max_size=40).filter(lambda text: BEGIN not in text and END not in text)


@hypothesis.given(HTML, HTML, HTML)
def test_a_banner_of_the_members_own_is_never_lost(theirs: str, ours: str, other: str) -> None:
    said = banner(theirs, ours)
    assert banner(said, ours) == said and said.endswith(theirs)
    assert banner(said, "") == theirs and banner(banner(said, other), "") == theirs
    assert (ours in said) and banner(None, "") == ""


# -- texts


def test_every_text_is_there_in_every_language() -> None:
    """What stands in the code is in each catalogue with its placeholders, nothing else is, and what runs is what is written."""
    folder = ROOT / "plugins" / "plugin_utils" / "_support"
    wanted: set[str] = set()
    for path in sorted([*folder.glob("*.py"), *folder.glob("templates/*.j2")]):
        method, words = ("python", {"said": None}) if path.suffix == ".py" else ("jinja2.ext:babel_extract", extract.DEFAULT_KEYWORDS)
        wanted |= {str(found[1]) for found in extract.extract_from_file(method, path, keywords=words)}
    assert len(wanted) > 20
    for language in pages.LANGUAGES[1:]:
        place = folder / "locale" / language / "LC_MESSAGES"
        with open(place / "meet_coop_support.po", "rb") as stream:
            written = pofile.read_po(stream)
        texts = {str(one.id): str(one.string) for one in written if one.id}
        assert set(texts) == wanted and all(texts.values())
        assert [list(one.check()) for one in written if one.id and list(one.check())] == []
        with open(place / "meet_coop_support.mo", "rb") as stream:
            assert {str(one.id): str(one.string) for one in mofile.read_mo(stream) if one.id} == texts
        # Each placeholder of the English text is in the other one, and no other: what is to be said is said in every language.
        assert [english for english, text in texts.items() if set(PLACES.findall(text)) != set(PLACES.findall(english))] == []


# -- bad input

BROKEN: dict[str, tuple[str, Any, str]] = {
    "maintenance backwards": (
        "maintenance/m.yml",
        {**PLAN, "until": PLAN["from"]},
        "m.yml:6: until: is not after from, 2026-03-05T22:00+01:00",
    ),
    "without an offset": (
        "maintenance/m.yml",
        {**PLAN, "from": "2026-03-05T22:00"},
        "is not a time with its offset from UTC; write one such as",
    ),
    "no such time": (
        "maintenance/m.yml",
        {**PLAN, "from": "2026-02-30T22:00Z"},
        'm.yml:5: from: "2026-02-30T22:00Z" is not a time of the calendar',
    ),
    "no such service": (
        "maintenance/m.yml",
        {**PLAN, "services": ["rosie"]},
        'm.yml:8: field services[0]: "rosie" is no service; write one of rosa, cafe',
    ),
    "ended before": (
        "maintenance/m.yml",
        {**PLAN, "ended": "2026-03-05T20:00Z"},
        "ended: is not after from, 2026-03-05T22:00+01:00; write cancelled: true",
    ),
    "a language of three letters": (
        "maintenance/m.yml",
        {**PLAN, "title": {"eng": "x"}},
        'key "eng" is not a language; write two letters, such as es',
    ),
    "a name that is none": ("maintenance/M 1.yml", PLAN, "M 1.yml: is not the name of a notice"),
    "no title": (
        "incidents/i.yml",
        {"began": "2026-03-04T09:00Z"},
        "i.yml:1: field title is missing; write title: Meetings end after a minute",
    ),
    "unknown severity": ("incidents/i.yml", {**INCIDENT, "severity": "bad"}, '"bad" is not one of down, degraded, notice'),
    "updates out of order": (
        "incidents/i.yml",
        {**INCIDENT, "updates": [{"at": "2026-03-04T10:00Z", "text": "x"}, {"at": "2026-03-04T09:00Z", "text": "y"}]},
        "updates, field [1].at: is before the update above; write the oldest first",
    ),
    "a person": (
        "incidents/i.yml",
        {**INCIDENT, "updates": [{"at": "2026-03-04T10:00Z", "text": "Fixed by rosa LUX, thanks"}]},
        'names "Rosa Lux", and this is published; write which co-operative, or nobody',
    ),
    "an address": (
        "incidents/i.yml",
        {**INCIDENT, "title": "Write to mo@agaric.example."},
        'i.yml:1: title: holds the address "mo@agaric.example"',
    ),
    "a control character": ("incidents/i.yml", 'title: "a\\u0007b"\nbegan: 2026-03-04T09:00Z\n', "holds a control character; remove it"),
    "not YAML": ("incidents/i.yml", "title: [", "i.yml:1: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_told_with_its_line_and_writes_nothing(name: str, tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    file, data, said = BROKEN[name]
    coop.write(file, data)
    with pytest.raises(CoopError) as caught:
        coop.status()
    assert said in str(caught.value)
    assert not coop.out.exists()
    if file.startswith("maintenance"):
        with pytest.raises(CoopError):
            coop.notices()


def test_an_address_for_everybody_may_be_named(tmp_path: pathlib.Path) -> None:
    coop = Coop(tmp_path)
    coop.write("incidents/i.yml", {**INCIDENT, "title": "Ask help@agaric.example, or OFFICE@meet.example."})
    assert coop.status(check=True)["incidents_open"] == ["i"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": "today"}, "at: "),
        ({"time_zone": "Mars/Olympus"}, "time_zone: "),
        ({"time_zone": "../etc/passwd"}, "time_zone: "),
        ({"languages": []}, "languages: "),
        ({"url": "status.example"}, "url: "),
        ({"hidden": ["nobody"]}, "hidden: "),
        ({"stale_hours": 0}, "stale_hours: "),
    ],
)
def test_bad_options_are_told(options: dict[str, Any], said: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CoopError) as caught:
        Coop(tmp_path).status(**options)
    assert str(caught.value).startswith(said) and "; write " in str(caught.value)
