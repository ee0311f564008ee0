# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: may our certificate authority issue for a name (CAA: RFC 8659, with the parameters of RFC 8657)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KNOWN_TAGS = frozenset({"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"})
CRITICAL = 128


@dataclass(frozen=True)
class Issuance:
    """How we ask for certificates: the names our authority knows itself by in CAA, our account's URL, the methods we validate with."""

    identities: tuple[str, ...]
    account_uri: str | None = None
    methods: tuple[str, ...] = ("http-01", "tls-alpn-01")


@dataclass(frozen=True)
class Property:
    """One issue or issuewild property taken apart; an empty issuer allows nobody."""

    issuer: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.parameters if key == name), None)


def climb(name: str) -> list[str]:
    """The names where the relevant record set is looked for, nearest first (RFC 8659 section 3)."""
    labels = name.removeprefix("*.").rstrip(".").split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]


def parse(value: bytes) -> Property:
    """C(letsencrypt.org; validationmethods=http-01) taken apart (RFC 8659 section 4.2)."""
    issuer, *parts = value.decode("ascii", "replace").split(";")
    pairs = (part.partition("=") for part in parts if part.strip())
    return Property(issuer.strip().lower().rstrip("."), tuple((key.strip().lower(), text.strip()) for key, _equals, text in pairs))


def objection(records: Sequence[Any], ours: Issuance, wildcard: bool = False) -> str | None:
    """Why these CAA records keep our authority from issuing, None when they do not."""
    for record in records:
        tag = record.tag.decode("ascii", "replace").lower()
        if record.flags & CRITICAL and tag not in KNOWN_TAGS:
            return f"a critical property '{tag}' forbids every authority that does not know it"
    by_tag = {
        tag: [parse(record.value) for record in records if record.tag.decode("ascii", "replace").lower() == tag]
        for tag in ("issue", "issuewild")
    }
    properties = (by_tag["issuewild"] if wildcard else []) or by_tag["issue"]
    if not properties:
        return None
    reasons = []
    for entry in properties:
        if entry.issuer not in ours.identities:
            reasons.append(f"only {entry.issuer} may issue" if entry.issuer else "nobody may issue")
            continue
        account, methods = entry.get("accounturi"), entry.get("validationmethods")
        if account is not None and account != ours.account_uri:
            reasons.append(f"only the account {account} at {entry.issuer} may ask, ours is {ours.account_uri or 'not told to this check'}")
        elif methods is not None and not set(ours.methods) & {method.strip().lower() for method in methods.split(",")}:
            reasons.append(f"only validation by {methods} is allowed, we validate by {' or '.join(ours.methods)}")
        else:
            return None
    return "; ".join(dict.fromkeys(reasons))
