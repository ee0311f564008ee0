# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: marks of ownership, one TXT record per name, readable by people.

C(_coop.meet TXT "heritage=meet.coop,owner=ourcoop,member=sunflower,types=A+AAAA,v=1") says that the A and AAAA
records of C(meet) were made by the deployment C(ourcoop) for C(sunflower). Whatever carries no mark is somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns.records import RecordError, RRset, Snapshot, absolute_name, make_rdata

PREFIX = "_coop"
HERITAGE = "meet.coop"
VERSION = "1"
TTL = 3600
_WILDCARD = "_wildcard"


@dataclass(frozen=True)
class Mark:
    """Whose the records of one name are. C(readable) is false for something else standing where a mark would."""

    label: str
    owner: str = ""
    member: str = ""
    types: frozenset[str] = frozenset()
    readable: bool = True

    def rrset(self) -> RRset:
        text = f"heritage={HERITAGE},owner={self.owner},member={self.member},types={'+'.join(sorted(self.types))},v={VERSION}"
        return RRset(mark_name(self.label), "TXT", TTL, frozenset({make_rdata("TXT", text)}))


def mark_name(label: str) -> str:
    """The relative name of the mark of a relative name."""
    if label == "@":
        return PREFIX
    first, dot, rest = label.partition(".")
    return f"{PREFIX}.{_WILDCARD if first == '*' else first}{dot}{rest}"


def is_mark_name(name: str) -> bool:
    return name == PREFIX or name.startswith(PREFIX + ".")


def marked_label(name: str) -> str:
    """The inverse of mark_name()."""
    if name == PREFIX:
        return "@"
    first, dot, rest = name[len(PREFIX) + 1 :].partition(".")
    return f"{'*' if first == _WILDCARD else first}{dot}{rest}"


def check_markable(label: str, origin: Any) -> None:
    """Names that can't carry a mark can't be managed."""
    if is_mark_name(label):
        raise RecordError(f"'{label}': names under {PREFIX} are the marks of this tool; choose another name")
    if label.split(".", 1)[0] == _WILDCARD:
        raise RecordError(f"'{label}': the name {_WILDCARD} is reserved for the marks of wildcards")
    try:
        absolute_name(mark_name(label), origin)
    except dns.name.NameTooLong as error:
        raise RecordError(f"'{label}' is too long: with the {PREFIX} of its mark it exceeds the 255 octets of a DNS name") from error


def parse_mark(name: str, rrset: RRset) -> Mark:
    """The mark that a TXT record set at a mark's name means; unreadable when it is none, or more than one."""
    label = marked_label(name)
    unreadable = Mark(label, readable=False)
    if len(rrset.rdatas) != 1:
        return unreadable
    (rdata,) = rrset.rdatas
    if rdata.rdtype != dns.rdatatype.TXT:
        return unreadable
    try:
        text = b"".join(rdata.strings).decode("utf-8")
    except UnicodeDecodeError:
        return unreadable
    fields = dict(field.partition("=")[::2] for field in text.split(","))
    if fields.get("heritage") != HERITAGE or fields.get("v") != VERSION or not fields.get("owner") or not fields.get("member"):
        return unreadable
    return Mark(label, fields["owner"], fields["member"], frozenset(filter(None, fields.get("types", "").split("+"))))


def read_marks(snapshot: Snapshot) -> dict[str, Mark]:
    """All marks of a zone by the name they speak of."""
    marks = {}
    for (name, rtype), rrset in snapshot.items():
        if rtype == "TXT" and is_mark_name(name):
            mark = parse_mark(name, rrset)
            marks[mark.label] = mark
    return marks
