# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hours from timedot, with the real hledger as judge of what a file says, and from plain and Kimai's CSV."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import hours
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Hours, Period
from tests.support.examples import examples

MARCH = Period(2026, 3)
oracle = pytest.mark.skipif(not shutil.which("hledger"), reason="hledger is not installed (Debian package hledger)")


def read(folder: pathlib.Path, text: str, name: str = "agaric.timedot") -> tuple[tuple[Hours, ...], list[str]]:
    """The records of one file, and what is said about it, without its folder."""
    path = folder / "hours" / "2026-03" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    found, problems = hours.read(str(folder), MARCH)
    return found, [str(problem).partition("hours/")[2].removeprefix("2026-03/") for problem in problems]


def hledger(text: str) -> tuple[int, dict[tuple[str, str], float], str]:
    """Exit code, hours by day and account, and errors of the real hledger."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.timedot"
        path.write_bytes(text.encode())
        done = subprocess.run(["hledger", "-f", str(path), "print", "-O", "json"], capture_output=True, text=True, check=False)
    found: Counter[tuple[str, str]] = Counter()
    for transaction in json.loads(done.stdout) if done.returncode == 0 else []:
        for posting in transaction["tpostings"]:
            amount = sum(one["aquantity"]["floatingPoint"] for one in posting["pamount"])
            found[(transaction["tdate"], posting["paccount"])] += amount
    return done.returncode, dict(found), done.stderr


def ours(found: tuple[Hours, ...]) -> dict[tuple[str, str], float]:
    sums: Counter[tuple[str, str]] = Counter()
    for one in found:
        account = ":".join(part for part in (one.producer, one.circle, one.task) if part)
        sums[(str(one.date), account)] += one.hours
    return {key: float(value) for key, value in sums.items()}


def version() -> tuple[int, int]:
    """That of the real hledger, such as (1, 25)."""
    shown = subprocess.run(["hledger", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"hledger ([0-9]+)\.([0-9]+)", shown)
    assert found is not None, shown
    return int(found[1]), int(found[2])


def agrees(judged: dict[tuple[str, str], float], found: tuple[Hours, ...]) -> bool:
    """Whether hledger has the same hours. Newer ones (seen with 1.32) round each entry to hundredths; Debian 12's does not, nor do we."""
    exact = ours(found)
    entries = Counter((str(one.date), ":".join(part for part in (one.producer, one.circle, one.task) if part)) for one in found)
    rounded = 0.0 if version() == (1, 25) else 0.005
    return judged.keys() == exact.keys() and all(abs(judged[key] - exact[key]) <= rounded * entries[key] + 1e-9 for key in exact)


# -- timedot

WHOLE = """\
# What we did in March.
2026-03-02 weekly call ; kind: membership, person: ana
agaric:organisation  ....

2026-03-03
agaric:admin:backups  2.5h  ; person: ana, restored one to see
agaric:admin          90m   ; person: bo
  agaric:web  .... ..       ; kind: gift, person: bo
* 2026-03-04 a sprint
; nothing else
agaric:web:#12  4
"""


def test_a_timedot_file(tmp_path: pathlib.Path) -> None:
    found, said = read(tmp_path, WHOLE)
    assert said == []
    assert [(str(one.date)[-2:], one.hours, one.kind, one.person, one.circle, one.task, one.description) for one in found] == [
        ("02", Fraction(1), "membership", "ana", "organisation", None, "weekly call"),
        ("03", Fraction(5, 2), "paid", "ana", "admin", "backups", "restored one to see"),
        ("03", Fraction(3, 2), "paid", "bo", "admin", None, None),
        ("03", Fraction(3, 2), "gift", "bo", "web", None, None),
        ("04", Fraction(4), "paid", "agaric", "web", "#12", "a sprint"),
    ]
    assert found[1].source.file == "hours/2026-03/agaric.timedot" and found[1].source.line == 6
    assert [one.source.id for one in found][:2] == ["2026-03/agaric:3", "2026-03/agaric:6"]


@oracle
def test_hledger_reads_the_same(tmp_path: pathlib.Path) -> None:
    code, judged, _errors = hledger(WHOLE)
    assert code == 0 and agrees(judged, read(tmp_path, WHOLE)[0]), judged


# Lines below a day, what we say about them, and what hledger 1.25 makes of them: hours, or None when it refuses them too.
TRAPS: dict[str, tuple[str, str, float | None]] = {
    "one space": (
        "agaric:admin 4",
        "one space before 4: hledger takes it as part of the account, with no hours; write two spaces: agaric:admin  4",
        0,
    ),
    "one space, dots": ("agaric:admin ....", "one space before ....: hledger takes it as part of the account", 0),
    "one space, unit": ("agaric:admin 1.5h ; kind: paid", "write two spaces: agaric:admin  1.5h", 0),
    "one space, minutes": ("agaric:admin 90m", "write two spaces: agaric:admin  90m", 0),
    "a tab": ("agaric:admin\t4", "a tab is used for spacing", 0),
    "nothing": ("agaric:admin", '"agaric:admin" has no hours; write them after two spaces', 0),
    "none": ("agaric:admin  0", "0 hours; write how long it was, or remove the line", 0),
    "a headline": ("* admin", "a headline is read by hledger as an account", 0),
    "less than nothing": ("agaric:admin  -2", '"-2" is no time', -2),
    "a comma": ("agaric:admin  1,5", '"1,5" is no time; write dots (one is a quarter of an hour), or such as 1.5, 1.5h or 90m', 1.5),
    "a day": ("agaric:admin  1d", '"1d" is no time', 24),
    "a week": ("agaric:admin  1w", '"1w" is no time', 168),
    "a thousand": ("agaric:admin  1 000", '"1 000" is no time', 1000),
    "an exponent": ("agaric:admin  1e1", '"1e1" is no time', 10),
    "a blank unit": ("agaric:admin  1.5 h", '"1.5 h" is no time', None),
    "no unit": ("agaric:admin  2x", '"2x" is no time', None),
    "letters": ("agaric:admin  ccss", '"ccss" is no time', None),
    "a hash": ("agaric:admin  2  # call", '"2  # call" is no time', None),
    "a blank in the account": ("agaric:ad min  2", 'account "agaric:ad min" holds a blank', 2),
    "somebody else": ("rosa:admin  2", '"rosa" stands in the file of "agaric"; write agaric:, or move the line', 2),
    "no circle": ("agaric  2", "is not producer and circle", 2),
    "too deep": ("agaric:a:b:c  2", "is not producer and circle", 2),
    "a misspelt tag": ("agaric:admin  2 ; knd: gift", 'tag "knd" is unknown; did you mean kind:?', 2),
    "a capital tag": ("agaric:admin  2 ; Kind: gift", 'tag "Kind" is unknown; did you mean kind:?', 2),
    "no tag": ("agaric:admin  2 ; kind gift", '"kind gift" is no tag; write kind: gift', 2),
    "no kind": ("agaric:admin  2 ; kind: free", 'kind "free" is unknown; write one of paid, gift, membership', 2),
    "kind and text": (
        "agaric:admin  2 ; kind: gift for all",
        'kind "gift for all" is unknown; write one of paid, gift, membership, and a comma',
        2,
    ),
    "no comma": ("agaric:admin  2 ; kind: gift person: bo", "and a comma before the next tag", 2),
    "kind twice": ("agaric:admin  2 ; kind: gift, kind: paid", "tag kind stands twice", 2),
    "task twice": ("agaric:admin:x  2 ; task: y", 'task "y" stands beside task "x" of the account', 2),
    "too long a day": (
        "agaric:admin  30",
        'with this "agaric" has 30 hours on 2026-03-02, and a day has 24; write who did it, person: ana',
        30,
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    line, wanted, _hours = TRAPS[name]
    found, said = read(tmp_path, f"2026-03-02\n{line}\n")
    assert found == () and len(said) == 1, said
    assert said[0].startswith("agaric.timedot:2: ") and wanted in said[0], said


# What later ones read as time: from 1.32 on, letters are quarters of an hour like dots (its manual, timedot, "Letters").
FROM_1_32: dict[str, float] = {"letters": 1}


@oracle
@pytest.mark.parametrize("name", TRAPS)
def test_what_hledger_makes_of_a_trap(name: str) -> None:
    """Why each is refused. Debian's 1.25 makes exactly this of it; a later one may refuse what that took, and must not find other hours."""
    line, _said, of_1_25 = TRAPS[name]
    number = version()
    code, judged, errors = hledger(f"2026-03-02\n{line}\n")
    hours = sum(judged.values()) if code == 0 else None
    assert hours is not None or "x.timedot:2" in errors, errors
    if number == (1, 25):
        assert hours == of_1_25
    else:
        assert hours in (of_1_25, None) or (number >= (1, 32) and hours == FROM_1_32.get(name))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("agaric:admin  2\n", 'agaric.timedot:1: "agaric:admin  2" stands before any day'),
        (
            "3/2\nagaric:admin  2\n",
            'agaric.timedot:1: "3/2" does not begin with a day; write year-month-day at the start, such as 2026-03-15',
        ),
        ("2026/03/02\nagaric:admin  2\n", "does not begin with a day"),
        ("2026-3-2\nagaric:admin  2\n", "does not begin with a day"),
        ("2026-03-32\nagaric:admin  2\n", 'the day "2026-03-32" is not a day; write year-month-day, such as 2026-03-15'),
        (
            "2026-04-02\nagaric:admin  2\n",
            "the day 2026-04-02 is not in 2026-03, the month of this file; mend it, or move it to that month",
        ),
    ],
)
def test_days(tmp_path: pathlib.Path, text: str, wanted: str) -> None:
    found, said = read(tmp_path, text)
    assert found == () and len(said) == 1 and wanted in said[0]


def test_a_day_has_24_hours_for_each_person(tmp_path: pathlib.Path) -> None:
    day = "2026-03-02\nagaric:admin  20 ; person: ana\nagaric:web  4 ; person: ana\nagaric:web  20 ; person: bo\n"
    assert read(tmp_path, day)[1] == []
    found, said = read(tmp_path, day + "2026-03-03\nagaric:web  24 ; person: ana\n2026-03-02\nagaric:web  . ; person: ana\n")
    assert found == ()
    assert said == ['agaric.timedot:8: with this "ana" has 24.25 hours on 2026-03-02, and a day has 24; mend the hours or the day']


def test_all_is_said_at_once_and_nothing_is_half_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hours" / "2026-03").mkdir(parents=True)
    (tmp_path / "hours" / "2026-03" / "rosa.timedot").write_text("2026-03-02\nrosa:web  2\nrosa:web 3\n")
    found, said = read(tmp_path, "2026-03-02\nagaric:web 2\nagaric:web  2\nagaric:web  x\n")
    assert found == () and [line.split(" ")[0] for line in said] == ["agaric.timedot:2:", "agaric.timedot:4:", "rosa.timedot:3:"]


def test_names_that_would_be_passed_over(tmp_path: pathlib.Path) -> None:
    month = tmp_path / "hours" / "2026-03"
    month.mkdir(parents=True)
    for name in ("Agaric.timedot", "rosa.timeclock", "rosa.TIMEDOT", "notes.md", ".rosa.timedot.swp"):
        (month / name).write_text("2026-03-02\nagaric:web  2\n")
    (tmp_path / "hours" / "2026-3").mkdir()
    (month / "agaric.csv").write_text("date,hours,person,circle\n2026-03-02,1,ana,web\n")
    found, said = read(tmp_path, "2026-03-02\nagaric:web  2\n")
    assert found == ()
    assert sorted(said) == sorted([
        "2026-3: is not the name of a month; rename it to year-month, such as 2026-03",
        "Agaric.timedot: is not named after a producer; rename it to its id, such as agaric.timedot",
        "agaric.timedot: is beside agaric.csv; one file for each producer: put the lines of both into one",
        "rosa.TIMEDOT: is not read; hours are in rosa.timedot or rosa.csv, see docs/money-files.md",
        "rosa.timeclock: is not read; hours are in rosa.timedot or rosa.csv, see docs/money-files.md",
    ])  # fmt: skip


def test_a_month_without_hours(tmp_path: pathlib.Path) -> None:
    assert hours.read(str(tmp_path), MARCH) == ((), [])


pieces = st.sampled_from([
    "2026-03-02", "2026-03-05 call", "* 2026-03-06", "2026-03-07 ; kind:gift", "", "# note", "; note", "  # note", "* head",
    "agaric:a  2", "agaric:a 2", "agaric:b:c  ....", "agaric:b:c  .. ..", " agaric:a  1.5h", "agaric:a  90m", "agaric:a\t2", "agaric:a",
    "agaric:a  .", "agaric:a   2   ; kind: gift, person: x", "agaric:a  0.25;person:y", "agaric:a  2 h", "agaric:a  5.", "agaric:ä-ß  .5",
    "agaric:a . .", "agaric:a  2  3", "2026-03-02 agaric:a  2", "agaric:a  007",
]) | st.text("agric:.;#* 2026-03h\tm", max_size=14)  # fmt: skip


@oracle
@examples(60)
@given(st.lists(pieces, max_size=5))
def test_whatever_is_accepted_hledger_reads_the_same(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        found, said = read(pathlib.Path(folder), text)
    assert all(line.startswith("agaric.timedot:") for line in said)
    if said:
        assert found == ()
        return
    code, judged, errors = hledger(text)
    assert code == 0, errors
    assert agrees(judged, found), judged


good = st.builds(
    lambda circle, amount: f"agaric:{circle}  {amount}",
    st.sampled_from(["admin", "web:x", "tech:#12"]),
    st.integers(1, 8).map(lambda dots: "." * dots)
    | st.integers(1, 30).map(lambda tenths: f"{tenths / 10}h")
    | st.integers(1, 99).map(lambda n: f"{n}m"),
)


@oracle
@examples(25)
@given(st.dictionaries(st.integers(1, 31), st.lists(good, min_size=1, max_size=3), min_size=1, max_size=4))
def test_good_files_are_accepted_and_agree(days: dict[int, list[str]]) -> None:
    text = "".join(f"2026-03-{day:02}\n" + "".join(f"{line}\n" for line in lines) for day, lines in days.items())
    with tempfile.TemporaryDirectory() as folder:
        found, said = read(pathlib.Path(folder), text)
    assert said == [] and len(found) == sum(map(len, days.values()))
    judged = hledger(text)[1]
    assert agrees(judged, found), judged


# -- CSV


def test_a_plain_table(tmp_path: pathlib.Path) -> None:
    text = "date;hours;kind;person;circle;task;description\n2026-03-02;1.5;;ana;admin;;\n\n2026-03-03;0:20;gift;bo;web;#7;a page\n"
    found, said = read(tmp_path, text, "agaric.csv")
    assert said == []
    assert [(one.hours, one.kind, one.person, one.circle, one.task, one.description, one.source.line) for one in found] == [
        (Fraction(3, 2), "paid", "ana", "admin", None, None, 2),
        (Fraction(1, 3), "gift", "bo", "web", "#7", "a page", 4),
    ]


KIMAI = (
    '"Date","From","To","Duration","Currency","Rate","Alias","User",'
    '"Customer","Project","Activity","Description","Billable","Tags","Cost center"\n'
    '2026-03-02,09:00,10:30,1.50,EUR,30.00,Ana Costa,ana,meet.coop,Tech Circle,Server care,"Updates, and a restart",1,"nightly, gift",x\n'
    '"2026-03-03 00:00:00",09:00,09:20,0:20:00,EUR,0.00,Bo,,meet.coop,Product Circle,,,1,,\n'
)


def test_kimais_export(tmp_path: pathlib.Path) -> None:
    found, said = read(tmp_path, KIMAI, "agaric.csv")
    assert said == []
    assert [(str(one.date), one.hours, one.kind, one.person, one.circle, one.task, one.description) for one in found] == [
        ("2026-03-02", Fraction(3, 2), "gift", "ana", "tech-circle", "Server-care", "Updates, and a restart"),
        ("2026-03-03", Fraction(1, 3), "paid", "Bo", "product-circle", None, None),
    ]


def test_kimai_as_its_releases_wrote_it(tmp_path: pathlib.Path) -> None:
    """Days and durations of src/Export/Base/CsvRenderer.php: plain now, and before that as OpenSpout writes them by itself."""
    head = "Date,Duration,Username,Project,Activity,Billable,Tags\n"
    now = head + '2026-03-02,1:30,ana,Tech,Care,1,"x, gift"\n'
    before = head + '2026-03-02T00:00:00+01:00,P0Y0M0DT1H30M0S0F,ana,Tech,Care,1,"x, gift"\n'
    rows = []
    for text in (now, before):
        found, said = read(tmp_path, text, "agaric.csv")
        assert said == []
        rows.append([(one.date, one.hours, one.kind, one.person, one.circle) for one in found])
    assert rows[0] == rows[1] and rows[0][0][1:4] == (Fraction(3, 2), "gift", "ana")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "agaric.csv:1: is empty; write a first line such as date,hours,person,circle"),
        ("date,hours,person\n", "agaric.csv:1: column circle is missing"),
        ("date,hours,person,circle,knd\n", 'agaric.csv:1: there is no column "knd"; did you mean kind?'),
        ("date,hours,person,circle,hours\n", "agaric.csv:1: column hours is there twice; keep one"),
        ("date,hours,person,circle\n2026-03-02,1.5,ana,admin,x\n", "agaric.csv:2: has 5 cells, and there are 4 columns"),
        ("date,hours,person,circle\n2026-03-02,,ana,admin\n", 'agaric.csv:2: "" is no time above 0'),
        ("date,hours,person,circle\n2026-03-02,-1,ana,admin\n", '"-1" is no time above 0; write hours such as 1.5, or hours and minutes'),
        ('date;hours;person;circle\n2026-03-02;"1,5";ana;admin\n', '"1,5" is no time above 0'),
        ("date,hours,person,circle\n02.03.2026,1,ana,admin\n", 'date "02.03.2026" is not a day; write year-month-day, such as 2026-03-15'),
        ("date,hours,person,circle\n2026-02-28,1,ana,admin\n", "date 2026-02-28 is not in 2026-03"),
        ("date,hours,person,circle\n2026-03-02,1,,admin\n", "agaric.csv:2: person is empty; write who did it"),
        (
            "date,hours,person,circle\n2026-03-02,30,ana,admin\n",
            'with this "ana" has 30 hours on 2026-03-02, and a day has 24; mend the hours',
        ),
        ("date,hours,person,circle,kind\n2026-03-02,3,ana,admin,free\n", 'kind "free" is unknown; write one of paid, gift, membership'),
        ("date,hours,person,circle\n2026-03-02,3,=ana,admin\n", 'person "=ana" looks like a formula'),
        ('date,hours,person,circle\n2026-03-02,3,"ana,admin\n', "agaric.csv:2: is no CSV"),
        (KIMAI.replace("nightly, gift", "paid, gift"), "agaric.csv:2: is gift and paid at once; keep one of the tags"),
        (KIMAI.replace('1,"nightly, gift"', "0,"), "agaric.csv:2: is not billable and has neither tag gift nor membership"),
        (KIMAI.replace("2026-03-02,", "02/03/26,"), 'agaric.csv:2: date "02/03/26" is not a day'),
        ("date,hours,person,circle\n2026-03-02,3,ana,ad:min\n", 'circle "ad:min" holds a sign that does not belong there'),
    ],
)
def test_a_table_with_a_mistake(tmp_path: pathlib.Path, text: str, wanted: str) -> None:
    found, said = read(tmp_path, text, "agaric.csv")
    assert found == () and len(said) == 1 and wanted in said[0], said
