# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: host names, and what a value has to be beyond its shape."""

from __future__ import annotations

import datetime
import re

from .errors import short, show

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
# IDNA 2003 (Python's own) and 2008 (browsers, registries) disagree about these: the xn-- form has to be written out.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d\u1e9e")


def hostname(text: str) -> tuple[str | None, str]:
    """A name as DNS compares it (lower case, xn-- labels, no final dot), or None and what is wrong with it."""
    name = text.strip()
    if "://" in name or "/" in name:
        inner = name.split("://", 1)[-1].split("/", 1)[0].partition(":")[0]
        advice = f"write only {short(inner)}" if inner else "write one such as meet.rosa.example"
        return None, f"is an address, not a host name; {advice}"
    if name.startswith("*."):
        return None, f"is a wildcard; write each name in full, such as meet.{short(name[2:])}"
    if ":" in name:
        return None, "holds a ':'; write the host name alone, without a port"
    if "@" in name:
        return None, f"is a mail address; write only the host name, such as {short(name.rsplit('@', 1)[1])}"
    if not name.isascii():
        if _DEVIATIONS & set(name):
            return None, "can be read as two different names; write it in its xn-- form"
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None, "cannot be turned into a DNS name; write it in its xn-- form"
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253:
        return None, "is longer than the 253 characters DNS allows; choose a shorter one"
    if len(labels) < 2:
        return None, "is not a full host name; write it with its domain, such as meet.rosa.example"
    for part in labels:
        if not _LABEL.match(part):
            said = f"part {show(part)}" if part else "an empty part"
            return None, f"holds {said}; write parts of 1 to 63 letters, digits or '-' that neither begin nor end with '-'"
    if labels[-1].isdigit():
        return None, "is an IP address, or ends in a number; write a host name such as meet.rosa.example"
    return name, ""


def server_host(service_id: str) -> str:
    """The inventory host of a service's own BigBlueButton server."""
    return f"{service_id}-bbb"


def balancer_domain(subdomain: str) -> str:
    """The name of a server's own balancer where none is written: beside the service's, so that one wildcard certificate holds both."""
    label, _point, domain = subdomain.partition(".")
    return f"{label}-api.{domain}"


def inside(name: str, domain: str) -> bool:
    """Whether a name lies below a domain."""
    return name.endswith("." + domain)


def day(value: object) -> datetime.date | None:
    """A date written as year-month-day, or None."""
    if not isinstance(value, str) or len(value) != 10:
        return None
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        return None


def light(colour: str) -> str:
    """The light companion of a colour, mixed with white as Greenlight's own pair is (#467fcf, #e8eff9)."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * 0.124):02x}" for part in parts)
