# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the DNS records that let a sender's domain send mail: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from .errors import show

SPF_LOOKUPS = 10
"""Terms that make a receiver ask DNS again; with more, SPF fails for every mail (RFC 7208, 4.6.4)."""

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)+\Z")
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")
_MACRO_NAME = re.compile(r"[a-z0-9_.%{}+=/-]+\Z", re.IGNORECASE)
_CIDR = re.compile(r"(?:/(?:[0-9]|[12][0-9]|3[0-2]))?(?://(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?\Z")
_ADDRESS = {"ip4": ipaddress.IPv4Network, "ip6": ipaddress.IPv6Network}


class MailRecordError(ValueError):
    """What is wrong with a mail record as stated, and what to write instead."""


def _domain(term: str, name: str) -> None:
    if not (_MACRO_NAME.match(name) if "%" in name else _NAME.match(name.lower().removesuffix("."))):
        raise MailRecordError(f"{show(term)} names no whole domain; write one such as include:_spf.relay.example")


def _spf_kind(term: str) -> str:
    """The kind of an SPF term (C(include), C(ip4), C(all), C(redirect)...). Raises MailRecordError."""
    if term.lower().startswith("redirect="):
        _domain(term, term.partition("=")[2])
        return "redirect"
    bare = term[1:] if term[0] in "+-~?" else term
    kind = re.split(r"[:/]", bare, maxsplit=1)[0].lower()
    rest = bare[len(kind) :]
    if kind == "all" and not rest:
        if term[0] not in "-~?":
            raise MailRecordError(f"{show(term)} lets everybody send in this name; write ~all or -all")
    elif kind in _ADDRESS and rest.startswith(":"):
        try:
            _ADDRESS[kind](rest[1:], strict=False)
        except ValueError:
            example = "ip4:203.0.113.10" if kind == "ip4" else "ip6:2001:db8::/32"
            raise MailRecordError(f"{show(term)} holds no such address; write one such as {example}") from None
    elif kind in ("include", "exists") and rest.startswith(":"):
        _domain(term, rest[1:])
    elif kind in ("a", "mx"):
        name, slash, cidr = rest.partition("/")
        if not _CIDR.match(slash + cidr) or (name and name[0] != ":"):
            raise MailRecordError(f"{show(term)} is no SPF term; write one such as a:mail.relay.example/28")
        if name:
            _domain(term, name[1:])
    else:
        raise MailRecordError(f"{show(term)} is no SPF term; write such as include:_spf.relay.example, ip4:203.0.113.10, a, mx")
    return kind


def spf(terms: str) -> str:
    """The text of an SPF record from its terms; C(~all) ends it where they do not say how it ends. Raises MailRecordError."""
    words = terms.split()
    if not words:
        raise MailRecordError("is empty; write the terms of your relay, such as include:_spf.relay.example")
    if any(word.lower() == "v=spf1" for word in words):
        raise MailRecordError("v=spf1 is put in front by itself; write only the terms, such as include:_spf.relay.example")
    kinds = [_spf_kind(word) for word in words]
    ends = [kind for kind in kinds if kind in ("all", "redirect")]
    if len(ends) > 1 or (ends and kinds[-1] not in ends):
        raise MailRecordError("what ends it (~all, -all or redirect=) may stand once, at the end; remove what follows")
    lookups = sum(kind in ("include", "a", "mx", "exists", "redirect") for kind in kinds)
    if lookups > SPF_LOOKUPS:
        raise MailRecordError(
            f"has {lookups} terms that ask DNS again (include, a, mx, exists, redirect); receivers follow {SPF_LOOKUPS}, "
            "so leave some out or write addresses (ip4:, ip6:)"
        )
    return " ".join(["v=spf1", *words, *([] if ends else ["~all"])])


def dkim_selector(selector: str) -> str:
    """A selector as DNS compares it. Raises MailRecordError."""
    if not _SELECTOR.match(selector.lower()):
        raise MailRecordError(f"{show(selector)} is no DKIM selector; write it as your relay names it, such as s1, without ._domainkey")
    return selector.lower()


def dkim(value: str) -> tuple[str, str]:
    """Type and value of a DKIM record: C(CNAME) to the relay's own, or C(TXT) with a public key. Raises MailRecordError."""
    if "=" not in value:
        target = value.strip().lower().removesuffix(".")
        if not _NAME.match(target) or target.rpartition(".")[2].isdigit():
            raise MailRecordError(
                f"{show(value)} is neither a whole name nor a key; write one such as s1.dkim.relay.example, or k=rsa; p=MIIB..."
            )
        return "CNAME", target + "."
    tags: dict[str, str] = {}
    for part in value.strip().strip(";").split(";"):
        tag, equals, content = part.partition("=")
        tag = tag.strip().lower()
        if not equals or not re.match(r"[a-z][a-z0-9_]*\Z", tag) or tag in tags:
            raise MailRecordError(f"{show(part.strip())} is no tag of a DKIM key, or stands twice; write such as k=rsa; p=MIIB...")
        tags[tag] = content.strip()
    if tags.pop("v", "DKIM1") != "DKIM1":
        raise MailRecordError("v= is DKIM1 or left out; write such as k=rsa; p=MIIB...")
    key = re.sub(r"\s", "", tags.get("p", ""))
    try:
        decoded = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) < 32:
        raise MailRecordError("holds no whole public key after p=; write all of it, from p= to the end")
    tags["p"] = key
    return "TXT", "; ".join(["v=DKIM1", *(f"{tag}={content}" for tag, content in tags.items())])


def dmarc(policy: str) -> str:
    """The text of a DMARC record."""
    return f"v=DMARC1; p={policy}"


def problems(stated: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with C(smtp.dns), by the path below it."""
    found: list[tuple[tuple[str, ...], str]] = []

    def attempt(path: tuple[str, ...], make: Any, value: object) -> None:
        if isinstance(value, str) and value.isascii():
            try:
                make(value)
            except MailRecordError as error:
                found.append((path, str(error)))

    attempt(("spf",), spf, stated.get("spf"))
    keys = stated.get("dkim")
    for selector, value in (keys if isinstance(keys, dict) else {}).items():
        attempt(("dkim", selector), dkim_selector, selector)
        attempt(("dkim", selector), dkim, value)
    return found


def records(domain: str, stated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of a sender's domain, with whole names, which end in a dot: C(name), C(type), C(values). Raises MailRecordError."""
    made = []
    if stated.get("spf"):
        made.append({"name": f"{domain}.", "type": "TXT", "values": [spf(stated["spf"])]})
    for selector, value in sorted((stated.get("dkim") or {}).items()):
        rtype, content = dkim(value)
        made.append({"name": f"{dkim_selector(selector)}._domainkey.{domain}.", "type": rtype, "values": [content]})
    if stated.get("dmarc"):
        made.append({"name": f"_dmarc.{domain}.", "type": "TXT", "values": [dmarc(stated["dmarc"])]})
    return made
