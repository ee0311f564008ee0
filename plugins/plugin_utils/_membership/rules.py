# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: what a membership file has to mean, beyond its shape.

Every rule here takes a file whose shape may be wrong elsewhere: it looks at what has the right shape and leaves the rest to
C(shape.py), so that one run names everything there is to mend.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils import _age

from . import defaults, mail_records, numbers
from .currencies import MINOR_UNITS
from .errors import Problem, short, show
from .names import balancer_domain, day, hostname, inside, server_host
from .reader import Map, Seq, where
from .register import Record, record
from .shape import label, problem
from .tax import flaw, percent

Path = tuple[object, ...]

_NAMES_TAKEN = ("all", "ungrouped", "localhost", "members", "clients")
_FOR_ACCOUNTS = ("tier", "member", "client", "title", "state", "instance", "accounts", "limits", "term", "price", "notes")
_PEOPLE_OF_ACCOUNTS = ("users", "people_file")
_SECRET_CONNECTION = re.compile(r"pass(word|wd|phrase)?$|secret|token")


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """The value if it is text, else None."""
    return value if isinstance(value, str) else None


def default_layers(root: dict[str, Any], tier: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The places in the file that hold defaults for a tier, strongest first."""
    own = mapping(root.get("defaults"))
    if tier:
        yield ("defaults", "tiers", tier), mapping(mapping(own.get("tiers")).get(tier))
    yield ("defaults",), own


def layers(root: dict[str, Any], service_id: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The places in the file that say something about a service, strongest first."""
    service = mapping(mapping(root.get("services")).get(service_id))
    yield ("services", service_id), service
    yield from default_layers(root, text(service.get("tier")))


def smtp_layers(root: dict[str, Any], service_id: str) -> list[tuple[Path, dict[str, Any]]]:
    """The SMTP mappings that make up a service's account, strongest first. Empty: no mail."""
    return _account_layers(layers(root, service_id))


def own_smtp_layers(root: dict[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """The SMTP mappings that make up the co-operative's own account, strongest first. Empty: it has none."""
    return _account_layers([(("cooperative",), mapping(root.get("cooperative"))), *default_layers(root, None)])


def _account_layers(places: Iterable[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
    """The SMTP mappings of these places, down to the first that names a server.

    So one co-operative's password never goes to another's server.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    for path, layer in places:
        if "smtp" not in layer:
            continue
        if layer["smtp"] is None:
            return []
        smtp = mapping(layer["smtp"])
        found.append(((*path, "smtp"), smtp))
        if "server" in smtp:
            break
    return found


def mailing(root: dict[str, Any]) -> dict[str, Any]:
    """What the co-operative mails to contacts: whether C(welcome) packs, and every C(pages) the pages of members (None: never)."""
    stated = mapping(mapping(root.get("cooperative")).get("mailing"))
    return {"welcome": stated.get("welcome", False), "pages": stated.get("pages")}


AUTO = "auto"
"""In place of a container host: the one that the section placement names."""


def stated_host(root: dict[str, Any], service_id: str) -> str | None:
    """What the file says of a service's container host, C(auto) included; None where it says nothing and there are several."""
    found = next((layer["container_host"] for _path, layer in layers(root, service_id) if "container_host" in layer), None)
    return text(found) or only_host(root)


def host_of(root: dict[str, Any], service_id: str) -> str | None:
    """The container host of a service that has a site; None while it has no place."""
    stated = stated_host(root, service_id)
    return text(mapping(root.get("placement")).get(service_id)) if stated == AUTO else stated


def only_host(root: dict[str, Any]) -> str | None:
    """The container host, when there is just one."""
    hosts = list(mapping(root.get("container_hosts")))
    return hosts[0] if len(hosts) == 1 else None


class Checker:
    """Collects problems and warnings about one file.

    Without C(services) nobody's service, supporter or seller is refused for who was a member on the day: a day long past is looked at.
    """

    def __init__(self, root: Map, today: datetime.date, services: bool = True) -> None:
        self.root = root
        self.today = today
        self.by_day = services
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.cooperative = mapping(root.get("cooperative"))
        self.hosts = mapping(root.get("container_hosts"))
        self.members = mapping(root.get("members"))
        self.clients = mapping(root.get("clients"))
        self.services = mapping(root.get("services"))
        domain = text(self.cooperative.get("domain"))
        self.domain = hostname(domain)[0] if domain else None
        self.records: dict[tuple[str, str], Record] = {
            (kind, name): record(kind, name, mapping(owner))
            for kind, owners in (("member", self.members), ("client", self.clients))
            for name, owner in owners.items()
        }
        self.alone: dict[tuple[str, str], Path] = {}
        self.sold: dict[str, dict[str, str]] = {}
        for name, service in self.services.items():
            instance = text(mapping(service).get("instance"))
            if instance and mapping(service).get("tier") == "accounts":
                self.sold.setdefault(instance, {})[str(name).lower()] = name

    def bad(self, path: Sequence[object], said: str) -> None:
        self.problems.append(problem(self.root, path, said))

    def warn(self, path: Sequence[object], said: str) -> None:
        self.warnings.append(problem(self.root, path, said))

    def check(self) -> None:
        """All rules."""
        self.check_cooperative()
        self.check_defaults()
        self.check_hosts()
        self.check_placement()
        self.check_members()
        self.check_clients()
        for service_id, service in self.services.items():
            if isinstance(service, dict):
                self.check_service(service_id, service)
        self.check_names()
        self.check_mail_records()
        self.check_people_of_instances()

    # -- one place at a time

    def check_host_name(self, path: Path, value: object) -> str | None:
        """The host name in DNS form; what is wrong with it is noted."""
        if not isinstance(value, str) or not value:
            return None
        name, wrong = hostname(value)
        if name is None:
            self.bad(path, f"{show(value)} {wrong}")
        return name

    def check_day(self, path: Path, value: object) -> datetime.date | None:
        found = day(value)
        if found is None and isinstance(value, str) and re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", value):
            self.bad(path, f"{show(value)} is not a day of the calendar; write year-month-day, such as 2021-03-01")
        return found

    def check_cooperative(self) -> None:
        self.check_host_name(("cooperative", "domain"), self.cooperative.get("domain"))
        self.check_vat(("cooperative",), self.cooperative)
        path, smtp = ("cooperative", "smtp"), mapping(self.cooperative.get("smtp"))
        self.check_smtp_names(path, smtp)
        if "dns" in smtp:
            self.bad((*path, "dns"), "is for accounts that services send with; remove it, and make these records yourselves")
        mailed = [key for key, value in mailing(self.root).items() if value]
        found = own_smtp_layers(self.root)
        if mailed and not found:
            advice = "write the account it goes out through as smtp: below cooperative, with server: and sender_email:"
            self.bad(("cooperative", "mailing", mailed[0]), f"needs a mail account; {advice}")
        elif smtp or mailed:
            self.check_account(path, found)

    def check_defaults(self) -> None:
        for tier in (*defaults.TIERS, None):
            path, layer = next(default_layers(self.root, tier))
            self.check_smtp_names((*path, "smtp"), mapping(layer.get("smtp")))
            self.check_image((*path, "image"), layer.get("image"))
            self.check_host_known((*path, "container_host"), layer.get("container_host"))
            self.check_overrides((*path, "branding", "overrides"), layer.get("branding"))
            self.check_participants((*path, "limits", "participants"), mapping(layer.get("limits")).get("participants"))

    def check_hosts(self) -> None:
        groups: dict[str, str] = {}
        for name, host in self.hosts.items():
            path = ("container_hosts", name)
            if name == AUTO:
                self.bad(path, "is what services write that have their place from placement; call the host something else")
            group = re.sub(r"[^a-z0-9]", "_", name)
            if group in groups:
                self.bad(path, f"its group on_{group} is also that of {show(groups[group])}; rename one of the two hosts")
            groups.setdefault(group, name)
            host = mapping(host)
            for key, kind, example in (
                ("address", ipaddress.IPv4Address, "203.0.113.10"),
                ("address6", ipaddress.IPv6Address, "2001:db8::10"),
            ):
                value = text(host.get(key))
                if value is None:
                    continue
                try:
                    kind(value)
                except ValueError:
                    self.bad(
                        (*path, key), f"{show(value)} is not an IPv{'4' if key == 'address' else '6'} address; write one such as {example}"
                    )
            self.check_connection((*path, "connection"), host.get("connection"))

    def check_placement(self) -> None:
        for name, host in mapping(self.root.get("placement")).items():
            path = ("placement", name)
            service = mapping(self.services.get(name))
            if name not in self.services:
                self.bad(path, f"there is no service {show(name)}; remove the line")
            elif service.get("tier") == "accounts":
                self.bad(path, f"service {show(name)} has no site of its own, it is where its instance is; remove the line")
            elif stated_host(self.root, name) != AUTO:
                self.bad(path, f"service {show(name)} says itself where it is; write container_host: auto there, or remove this line")
            if host == AUTO or (isinstance(host, str) and host not in self.hosts):
                self.bad(path, f"container host {show(host)} is not among container_hosts; {self.choose(list(self.hosts))}")
        for name, service in self.services.items():
            sited = mapping(service).get("tier") != "accounts" and mapping(service).get("state") != "absent"
            if sited and stated_host(self.root, name) == AUTO and host_of(self.root, name) is None:
                self.warn(("services", name), "has no place yet, and is left out until it has: ansible-playbook meet.coop.placement")

    def check_person_dates(self, path: Path, owner: dict[str, Any]) -> None:
        joined = self.check_day((*path, "joined"), owner.get("joined"))
        left = self.check_day((*path, "left"), owner.get("left"))
        if joined and left and left < joined:
            self.bad((*path, "left"), f"{left} is before the day it joined, {joined}; mend one of the two dates")

    def check_export_key(self, path: Path, owner: dict[str, Any]) -> None:
        """Each key is whole: on the day it is needed nobody may be there to ask. What is written is never repeated; it may be a secret."""
        keys = owner.get("export_key")
        for place, key in [((), keys)] if isinstance(keys, str) else [((index,), key) for index, key in enumerate(items(keys))]:
            wrong = _age.problem(key) if isinstance(key, str) else None
            if wrong:
                self.bad((*path, "export_key", *place), wrong)

    def check_members(self) -> None:
        registered: dict[tuple[str, str], str] = {}
        for name, member in self.members.items():
            if not isinstance(member, dict):
                continue
            path = ("members", name)
            self.check_person_dates(path, member)
            self.check_export_key(path, member)
            self.check_history(path, member, self.records["member", name])
            if not self.has_left("member", name):
                self.check_producer((*path, "supported_by"), member.get("supported_by"), "supports others")
                if self.by_day and "support" in member and self.classes(name) == {"consumer"}:
                    said = "only a producer supports others; write producer under classes, or supported_by: instead"
                    self.bad((*path, "support"), said)
            evidence = mapping(member.get("evidence"))
            self.check_day((*path, "evidence", "checked"), evidence.get("checked"))
            self.check_day((*path, "evidence", "review_by"), evidence.get("review_by"))
            self.check_numbers(path, member, evidence)
            if evidence and not evidence.get("number") and not evidence.get("document"):
                self.bad(
                    (*path, "evidence"), 'nothing to look it up by; write number: "its number in the register", or document: https://...'
                )
            number, register = text(evidence.get("number")), text(evidence.get("register"))
            if number and register:
                other = registered.setdefault((register.lower(), number.lower()), name)
                if other != name:
                    self.warn(
                        (*path, "evidence", "number"),
                        f"{show(number)} is also the number of member {show(other)}; one co-operative is one member",
                    )

    def check_clients(self) -> None:
        for name, client in self.clients.items():
            path = ("clients", name)
            if name in self.members:
                self.bad(
                    path,
                    "a member has the same id ({}:{}); choose another id for one of the two".format(*where(self.root, ("members", name))),
                )
            if not isinstance(client, dict):
                continue
            self.check_person_dates(path, client)
            self.check_export_key(path, client)
            self.check_vat(path, client)
            if not self.has_left("client", name):
                self.check_producer((*path, "sold_by"), client.get("sold_by"), "sells to clients")

    def check_history(self, path: Path, member: dict[str, Any], its: Record) -> None:
        """The days of a membership come in an order that can have been, and nothing in it overlaps."""
        days = {key: self.check_day((*path, key), member.get(key)) for key in ("applied", "leaving", "renew_by")}
        joined, left = day(member.get("joined")), day(member.get("left"))
        if not member.get("joined"):
            for key in ("left", "leaving", "left_by", "renew_by"):
                if member.get(key) is not None and "applied" in member:
                    self.bad((*path, key), "stands here without joined, and who never joined cannot leave; write joined:, or remove this")
        if days["applied"] and joined and days["applied"] > joined:
            self.bad((*path, "applied"), f"{days['applied']} is after the day it joined, {joined}; mend one of the two dates")
        if days["leaving"] and joined and days["leaving"] < joined:
            self.bad((*path, "leaving"), f"{days['leaving']} is before the day it joined, {joined}; mend one of the two dates")
        if days["leaving"] and left and days["leaving"] > left:
            self.bad((*path, "leaving"), f"{days['leaving']} is after the day it left, {left}; mend one of the two dates")
        if member.get("left_by") and not member.get("left"):
            self.bad((*path, "left_by"), "stands here without left; write left: and the day the membership ended, or remove it")
        first = next((span.start for span in its.spans), None)
        last_end: datetime.date | None = None
        for index, entry in enumerate(items(member.get("earlier"))):
            place = (*path, "earlier", index)
            start, end = (self.check_day((*place, key), mapping(entry).get(key)) for key in ("joined", "left"))
            if start and end and end <= start:
                self.bad((*place, "left"), f"{end} is not after the day it joined, {start}; mend one of the two dates")
            elif start and last_end and start < last_end:
                self.bad((*place, "joined"), f"{start} is before {last_end}, when the membership above ended; write the oldest first")
            elif end and joined and end > joined:
                self.bad((*place, "left"), f"{end} is after {joined}, when it joined again; mend one of the two dates")
            last_end = end or last_end
        last_end, above = None, True
        for index, entry in enumerate(items(member.get("suspended"))):
            place = (*path, "suspended", index)
            start, end = (self.check_day((*place, key), mapping(entry).get(key)) for key in ("from", "until"))
            if start and end and end <= start:
                self.bad((*place, "until"), f"{end} is not after {start}, when it began; write the first day on which it is over")
            elif start and (not above or (last_end and start < last_end)):
                self.bad((*place, "from"), f"{start} is before the suspension above is over; end that one, and write the oldest first")
            elif start and not its.member(start):
                self.bad((*place, "from"), f"it was no member on {start}; mend the day")
            above = end is not None or start is None
            last_end = end or last_end
        last: datetime.date | None = None
        for index, entry in enumerate(items(member.get("changes"))):
            place = (*path, "changes", index)
            entry = mapping(entry)
            start = self.check_day((*place, "from"), entry.get("from"))
            self.check_day((*place, "review_by"), entry.get("review_by"))
            if entry and not {"classes", "weight", "tax", "vat_id"} & set(entry):
                self.bad(place, 'says nothing that changed; write classes:, weight:, tax: or vat_id:, such as weight: "1/2"')
            self.check_vat(place, entry)
            if start and "tax" in entry and start.day != 1:
                said = f"{start} is within a month, and a month is taxed as a whole; write the first of one, such as {start.replace(day=1)}"
                self.bad((*place, "from"), said)
            if start and first and start <= first:
                self.bad((*place, "from"), f"{start} is not after the day it joined, {first}; write what it was then beside joined")
            elif start and last and start <= last:
                self.bad((*place, "from"), f"{start} is not after {last} above; write the oldest first, and one entry for each day")
            last = start or last

    def check_numbers(self, path: Path, member: dict[str, Any], evidence: dict[str, Any]) -> None:
        """Check digits, where a check exists and is named."""
        number, scheme, country = text(evidence.get("number")), text(evidence.get("scheme")), text(evidence.get("country"))
        if scheme and re.match(r"[a-z]{2}\.[a-z][a-z0-9_]*\Z", scheme):
            wrong, key, certain = numbers.flaw(number, scheme, country)
            if wrong:
                (self.bad if certain else self.warn)((*path, "evidence", key), wrong)
        self.check_vat(path, member)

    def check_vat(self, path: Path, owner: dict[str, Any]) -> None:
        """Check digits of the VAT number, and a tax treatment that can be."""
        tax = mapping(owner.get("tax"))
        if text(tax.get("category")):
            rate = percent(self.root, (*path, "tax", "rate"))
            wrong = flaw(tax["category"], rate, text(tax.get("reason")))
            if "rate" in tax and rate is None:
                wrong = "rate", f"{show(tax['rate'])} is not a percentage; write figures with a point, such as 5.5"
            if wrong:
                self.bad((*path, "tax", wrong[0]), wrong[1])
        vat = text(owner.get("vat_id"))
        if vat and re.match(r"[A-Z]{2}[A-Z0-9+*]{2,13}\Z", vat):
            wrong, certain = numbers.vat_flaw(vat)
            if wrong:
                (self.bad if certain else self.warn)((*path, "vat_id"), wrong)

    def has_left(self, kind: str, name: str) -> bool:
        left = self.records[kind, name].left
        return left is not None and left <= self.today

    def check_producer(self, path: Path, name: object, does: str) -> None:
        """The name has to be that of an active producer member."""
        if not isinstance(name, str):
            return
        member = self.members.get(name)
        if member is None:
            self.bad(path, f"{show(name)} is not a member; {self.name_producers()}")
            return
        if not isinstance(member, dict):
            return
        its = self.records["member", name]
        if self.by_day and self.classes(name) == {"consumer"}:
            self.bad(
                path,
                f"member {show(name)} is not a producer, and only a producer {does}; "
                f"add producer to its classes, or {self.name_producers()}",
            )
        elif not its.suspension(self.today) and (wrong := self.not_active(its)):
            # A suspension takes vote and services from a member, and nothing from those it looks after.
            self.bad(path, f"member {show(name)} {wrong}; {self.name_producers()}")

    def not_active(self, its: Record) -> str | None:
        """Why somebody is not an active member, or client, on the day; None when it is."""
        status = its.status(self.today) if self.by_day else "active"
        if status == "left":
            return f"left on {next(span.end for span in reversed(its.spans) if span.end and span.end <= self.today)}"
        if status == "suspended":
            suspension = its.suspension(self.today)
            return f"is suspended since {suspension.start if suspension else self.today}"
        if status == "none" or (status == "applied" and its.joined):
            return f"joins only on {its.joined or its.applied}"
        if status == "applied":
            return f"has applied on {its.applied}, and has not joined"
        return None

    def name_producers(self) -> str:
        """Advice that names the active producers."""
        found = [name for name in self.members if "producer" in self.classes(name) and self.records["member", name].active(self.today)]
        return self.choose(found, "there is no active producer yet, add one first")

    def classes(self, name: str) -> frozenset[str]:
        """A member's classes on the day; empty unless each is one we know, so that a misspelt one is complained about once."""
        return self.records["member", name].classes_on(self.today)

    @staticmethod
    def choose(names: Sequence[str], none: str = "there is none to name yet, add it first") -> str:
        """Advice that names what can be written."""
        if not names:
            return none
        shown = ", ".join(short(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        return f"write {shown}" if len(names) == 1 else f"write one of {shown}"

    def check_host_known(self, path: Path, name: object) -> None:
        if isinstance(name, str) and name not in self.hosts and name != AUTO:
            self.bad(path, f"container host {show(name)} is not among container_hosts; {self.choose(list(self.hosts))}")

    def check_image(self, path: Path, image: object) -> None:
        if not isinstance(image, str) or "@sha256:" in image or "//" in image:
            return
        last = image.rsplit("/", 1)[-1]
        tag = last.partition(":")[2]
        base = image.removesuffix(":" + tag) if tag else image
        if not tag:
            self.bad(path, f"{show(image)} has no tag; write the version, such as {short(base)}:v3.8.2.4")
        elif tag == "latest":
            self.bad(path, f"{show(image)} moves by itself; write the version, such as {short(base)}:v3.8.2.4")

    def check_overrides(self, path: Path, branding: object) -> None:
        """The folder is there: without it every run of the service would fail, late and far from this file."""
        named = text(mapping(branding).get("overrides"))
        if named and not named.startswith("/") and ".." not in named:
            beside = os.path.dirname(where(self.root, path)[0])
            if not os.path.isdir(os.path.join(beside, named)):
                self.bad(path, f"there is no folder {show(named)} beside this file; make it as docs/image.md says, or remove the line")

    def check_participants(self, path: Path, value: object) -> None:
        if value == 1 and not isinstance(value, bool):
            self.bad(path, "a meeting has at least 2 participants; write a number such as 25")

    def check_smtp_names(self, path: Path, smtp: dict[str, Any]) -> None:
        """What can be said about an SMTP mapping by itself."""
        self.check_host_name((*path, "server"), smtp.get("server"))
        self.check_host_name((*path, "helo_domain"), smtp.get("helo_domain"))
        for below, said in mail_records.problems(mapping(smtp.get("dns"))):
            self.bad((*path, "dns", *below), said)
        username, password = smtp.get("username"), smtp.get("password_var")
        if username and not password and not {"password_var", "password"} & set(smtp):
            self.bad(
                (*path, "username"), "there is a user name but no password; write password_var: and the name of the variable that holds it"
            )
        elif password and not username and "username" not in smtp:
            self.bad((*path, "password_var"), "there is a password but no user name; write username: as the mail server knows it")

    # -- services

    def check_service(self, name: str, service: dict[str, Any]) -> None:
        path: Path = ("services", name)
        tier = text(service.get("tier"))
        tier = tier if tier in defaults.TIERS else None
        if name in _NAMES_TAKEN or name in self.hosts:
            self.bad(
                path,
                f"{show(name)} is already the name of a {'host' if name in self.hosts else 'host or group'} in the inventory; "
                "choose another id",
            )
        self.check_owner(path, service, tier)
        accounts = mapping(service.get("accounts"))
        self.check_people((*path, "accounts", "administrators"), accounts.get("administrators"))
        self.check_people((*path, "accounts", "users"), accounts.get("users"))
        self.check_price(path, service, tier)
        if tier == "accounts":
            self.check_accounts_tier(path, service)
            return
        if "term" in service:
            self.bad(
                (*path, "term"), "is for tier accounts only; remove it, and write state: stopped or state: absent when the time has come"
            )
        if "instance" in service:
            self.bad((*path, "instance"), "is for tier accounts only; remove it")
        if "users" in accounts:
            self.bad((*path, "accounts", "users"), "is for tier accounts only; write people who run the site as administrators")
        self.check_image((*path, "image"), service.get("image"))
        self.check_overrides((*path, "branding", "overrides"), service.get("branding"))
        self.check_participants((*path, "limits", "participants"), mapping(service.get("limits")).get("participants"))
        if tier and not any("image" in layer for _path, layer in layers(self.root, name)):
            self.bad(
                (*path, "image"),
                "is missing; write it here, or for all services under defaults, such as image: bigbluebutton/greenlight:v3.8.2.4",
            )
        self.check_host_known((*path, "container_host"), service.get("container_host"))
        if not any("container_host" in layer for _path, layer in layers(self.root, name)) and not only_host(self.root):
            advice = self.choose(list(self.hosts)) if self.hosts else "write the machine under container_hosts first"
            self.bad(
                (*path, "container_host"), f"is missing, and container_hosts {'names several' if self.hosts else 'names none'}; {advice}"
            )
        if tier == "consumer":
            self.check_consumer(path, name, service)
        self.check_server(path, name, service, tier)
        self.check_cms(path, service, tier)
        self.check_mail(path, name, service)
        self.check_roles(path, name, accounts)
        if service.get("state", "present") == "present":
            self.check_way_in(path, accounts)

    def check_owner(self, path: Path, service: dict[str, Any], tier: str | None) -> None:
        member, client = service.get("member"), service.get("client")
        if "member" in service and "client" in service:
            self.bad((*path, "client"), "names both a member and a client; keep the one that has the service")
            return
        if "member" not in service and "client" not in service:
            self.bad(path, "belongs to nobody; write member: or client: and the id of the one that has it")
            return
        kind, owners, owner_id = ("member", self.members, member) if "member" in service else ("client", self.clients, client)
        if not isinstance(owner_id, str):
            return
        owner = owners.get(owner_id)
        if owner is None:
            other = self.clients if kind == "member" else self.members
            if owner_id in other:
                advice = (
                    f"it is a {'client' if kind == 'member' else 'member'}, write {'client' if kind == 'member' else 'member'}: {owner_id}"
                )
            else:
                advice = f"add it under {kind}s, or {self.choose(list(owners))}" if owners else f"add it under {kind}s first"
            self.bad((*path, kind), f"{show(owner_id)} is not a {kind}; {advice}")
            return
        if not isinstance(owner, dict):
            return
        if kind == "client" and tier == "consumer":
            self.bad(
                (*path, "tier"),
                "the consumer tier is for members; write tier: dedicated_container, dedicated_server or accounts for a client",
            )
        if kind == "member" and tier == "consumer" and self.by_day and self.classes(owner_id) == {"producer"}:
            self.bad(
                (*path, "member"),
                f"member {show(owner_id)} is not of class consumer; add consumer to its classes, or choose a dedicated tier",
            )
        wrong = self.not_active(self.records[kind, owner_id])
        if wrong and service.get("state", "present") == "present":
            said = "write state: stopped (data kept) or state: absent (removed)"
            self.bad((*path, "state"), f"{kind} {show(owner_id)} {wrong}, so its service cannot be present; {said}")

    def check_people(self, path: Path, people: object) -> None:
        seen: set[str] = set()
        for index, person in enumerate(items(people)):
            email = text(mapping(person).get("email"))
            if email is None:
                continue
            if email.lower() in seen:
                self.bad((*path, index, "email"), f"{show(email)} is named twice; keep one entry (capitals make no difference)")
            seen.add(email.lower())

    def check_accounts_tier(self, path: Path, service: dict[str, Any]) -> None:
        for key in service:
            if key not in _FOR_ACCOUNTS:
                self.bad((*path, key), "does not go with tier accounts, which has no site of its own; remove it")
        accounts = service.get("accounts")
        for key in mapping(accounts):
            if key not in _PEOPLE_OF_ACCOUNTS:
                self.bad((*path, "accounts", key), "does not go with tier accounts; write the people under accounts.users")
        if not set(_PEOPLE_OF_ACCOUNTS) & set(mapping(accounts)) and (accounts is None or isinstance(accounts, dict)):
            self.bad(
                (*path, "accounts", "users"),
                "is missing; write the people who get an account, each with name: and email:, or accounts.people_file",
            )
        elif mapping(accounts).get("users") == [] and "people_file" not in mapping(accounts):
            self.bad((*path, "accounts", "users"), "the list is empty; write at least one entry, or state: absent to close all accounts")
        for key in mapping(service.get("limits")):
            if key in ("meeting_minutes", "participants"):
                self.bad((*path, "limits", key), "is the same for all meetings of an instance; remove it: the accounts have that of theirs")
        self.check_term((*path, "term"), mapping(service.get("term")), service)
        if "instance" not in service:
            self.bad((*path, "instance"), "is missing; write the id of the service whose Greenlight holds the accounts")
            return
        instance = service["instance"]
        if not isinstance(instance, str):
            return
        target = self.services.get(instance)
        if target is None:
            self.bad((*path, "instance"), f"{show(instance)} is not a service; write the id of the one whose Greenlight holds the accounts")
        elif isinstance(target, dict):
            if target.get("tier") == "accounts":
                self.bad(
                    (*path, "instance"),
                    f"service {show(instance)} is of tier accounts itself; write the id of one that has a site of its own",
                )
                return
            if "client" in target:
                self.bad((*path, "instance"), f"service {show(instance)} belongs to a client; write the id of one that a member runs")
            elif target.get("state", "present") != "present" and service.get("state", "present") == "present":
                self.bad(
                    (*path, "instance"), f"service {show(instance)} is {show(target.get('state'))[1:-1]}; accounts need one that is present"
                )
            self.check_seller(path, service, instance, target)
            self.check_rooms(path, instance)
            oidc = mapping(mapping(target.get("accounts")).get("oidc"))
            if oidc.get("match_email") is False:
                self.bad(
                    (*path, "instance"),
                    f"people sign in to service {show(instance)} at its issuer, and accounts.oidc.match_email: false keeps those "
                    "who are written here out; remove that line, or choose another service",
                )

    def check_seller(self, path: Path, service: dict[str, Any], instance: str, target: dict[str, Any]) -> None:
        """Who sells accounts is the member that runs the instance."""
        runs = text(target.get("member"))
        sells = text(mapping(self.clients.get(text(service.get("client")) or "")).get("sold_by"))
        if runs is None or sells is None or runs == sells or "member" in service:
            return
        own = [
            name
            for name, other in self.services.items()
            if mapping(other).get("member") == sells and mapping(other).get("tier") not in ("accounts", None)
        ]
        advice = self.choose(own, f"member {show(sells)} runs no service yet")
        self.bad(
            (*path, "instance"),
            f"service {show(instance)} is run by member {show(runs)}, but client {show(service['client'])} is served by {show(sells)}; "
            f"{advice}, or write sold_by: {short(runs)} at the client",
        )

    def check_rooms(self, path: Path, instance: str) -> None:
        """Accounts on an instance have no more rooms than an account of that instance may have."""
        most = self.rooms_of(instance)
        for place, layer in ((path, mapping(self.services.get(path[1]))), next(default_layers(self.root, "accounts"))):
            rooms = mapping(layer.get("limits")).get("rooms_per_account")
            if isinstance(rooms, int) and not isinstance(rooms, bool):
                self.check_at_most((*place, "limits", "rooms_per_account"), rooms, most, instance)
                return

    def check_at_most(self, path: Path, rooms: int, most: int | None, instance: str) -> None:
        if most is not None and rooms > most:
            said = f"{rooms} is more than an account of service {show(instance)} may have; write at most {most}, or raise the limit there"
            self.bad(path, said)

    def rooms_of(self, service_id: str) -> int | None:
        """The room limit of a service with a site; None when it cannot be told."""
        tier = mapping(self.services.get(service_id)).get("tier")
        for _place, layer in layers(self.root, service_id):
            found = mapping(layer.get("limits"))
            if "rooms_per_account" in found:
                rooms = found["rooms_per_account"]
                return rooms if isinstance(rooms, int) and not isinstance(rooms, bool) else None
        return defaults.LIMITS[tier]["rooms_per_account"] if isinstance(tier, str) and tier in defaults.LIMITS else None

    def check_term(self, path: Path, term: dict[str, Any], service: dict[str, Any]) -> None:
        begins = self.check_day((*path, "from"), term.get("from"))
        ends = self.check_day((*path, "until"), term.get("until"))
        if begins and ends and ends < begins:
            self.bad((*path, "until"), f"{ends} is before the day it begins, {begins}; mend one of the two dates")
        elif ends and ends < self.today and service.get("state", "present") == "present":
            self.warn(
                (*path, "until"), f"{ends} is over, so the accounts are closed; write state: absent, or a later day to open them again"
            )

    def check_price(self, path: Path, service: dict[str, Any], tier: str | None) -> None:
        price = service.get("price")
        if not isinstance(price, dict):
            return
        if "member" in service and tier is not None and tier != "accounts":
            self.bad((*path, "price"), "is for what is sold; members pay by the co-operative's rules, so remove it")
        amount, currency = text(price.get("amount")), text(price.get("currency"))
        places = MINOR_UNITS.get(currency or "", 2)
        if amount and re.fullmatch(r"[0-9]+[.][0-9]+", amount) and len(amount.partition(".")[2]) > places:
            kind = f"{short(currency)} has {places or 'no'} decimal places" if currency else "an amount has two decimal places"
            rounded = amount.partition(".")[0] + (f".{amount.partition('.')[2][:places]}" if places else "")
            self.bad((*path, "price", "amount"), f'{show(amount)} cannot be paid: {kind}; write an amount such as "{rounded}"')

    # -- roles and people of an instance

    def check_roles(self, path: Path, service_id: str, accounts: dict[str, Any]) -> None:
        """Roles have one meaning each, no more than the service has, and a way for somebody to get them."""
        sold = self.sold.get(service_id, {})
        known: dict[str, tuple[str, int]] = {}
        present = {name.lower(): name for name in defaults.SEEDED_ROLES}
        domains: dict[str, int] = {}
        for index, role in enumerate(items(accounts.get("roles"))):
            here = (*path, "accounts", "roles", index)
            role = mapping(role)
            name = text(role.get("name"))
            if name is None:
                continue
            lower = name.lower()
            if lower in known:
                self.bad((*here, "name"), f"{show(name)} is named twice; keep one entry (capitals make no difference)")
                continue
            known[lower] = (name, index)
            seeded = next((one for one in defaults.SEEDED_ROLES if one.lower() == lower), None)
            if lower == "superadmin":
                self.bad((*here, "name"), "SuperAdmin passes every limit and is not for an instance's people; write another name")
            elif seeded and name != seeded:
                self.bad((*here, "name"), f"{show(name)} differs from Greenlight's own role only in its capitals; write {seeded}")
            elif lower in sold:
                self.bad(
                    (*here, "name"), f"{show(name)} is the role of service {show(sold[lower])}, whose people have it; write another name"
                )
            if role.get("state", "present") == "absent":
                if seeded:
                    self.bad((*here, "state"), f"{seeded} is Greenlight's own and cannot be removed; remove the line state")
                continue
            present[lower] = name
            rooms = role.get("rooms_per_account")
            if isinstance(rooms, int) and not isinstance(rooms, bool):
                self.check_at_most((*here, "rooms_per_account"), rooms, self.rooms_of(service_id), service_id)
            permissions = mapping(role.get("permissions"))
            if permissions.get("ManageRoles") is True:
                said = "stays false, since whoever may manage roles can raise every limit; remove the line, or write false"
                self.bad((*here, "permissions", "ManageRoles"), said)
            if seeded == "Administrator":
                for key in ("permissions", "mail_domains"):
                    if key in role:
                        said = "keeps what it may" if key == "permissions" else "is given by name only"
                        self.bad((*here, key), f"Administrator {said}; remove {key}, or write a role of your own")
            for number, domain in enumerate(items(role.get("mail_domains"))):
                if not isinstance(domain, str):
                    continue
                plain = domain.removeprefix("@").lower()
                if domains.setdefault(plain, index) != index:
                    said = f"{show(domain)} leads to role {show(self.role_name(accounts, domains[plain]))} already; keep one of the two"
                    self.bad((*here, "mail_domains", number), said)
        default = text(accounts.get("default_role"))
        if default:
            if default == "Administrator":
                said = "would make everybody who signs up an administrator; write another role"
                self.bad((*path, "accounts", "default_role"), said)
            elif default not in present.values():
                names = [name for name in present.values() if name != "Administrator"]
                self.bad((*path, "accounts", "default_role"), f"{show(default)} is not a role of this service; {self.choose(names)}")

    @staticmethod
    def role_name(accounts: dict[str, Any], index: int) -> str:
        return str(mapping(items(accounts.get("roles"))[index]).get("name"))

    def check_people_of_instances(self) -> None:
        """Nobody is written for one instance twice: as its administrator and as a buyer of accounts, or by two buyers."""
        taken: dict[tuple[str, str], Path] = {}
        entries: list[tuple[str, Path, list[Any]]] = []
        for name, service in self.services.items():
            service = mapping(service)
            accounts = mapping(service.get("accounts"))
            if service.get("tier") != "accounts":
                entries.append((name, ("services", name, "accounts", "administrators"), items(accounts.get("administrators"))))
        for name, service in self.services.items():
            service = mapping(service)
            instance = text(service.get("instance"))
            if service.get("tier") == "accounts" and instance and service.get("state", "present") == "present":
                users = items(mapping(service.get("accounts")).get("users"))
                entries.append((instance, ("services", name, "accounts", "users"), users))
        for instance, path, people in entries:
            for index, person in enumerate(people):
                email = text(mapping(person).get("email"))
                if email is None:
                    continue
                other = taken.setdefault((instance, email.lower()), (*path, index))
                if other[:2] != path[:2]:
                    at = "{}:{}".format(*where(self.root, other))
                    said = f"{show(email)} has an account on service {show(instance)} by {label(other[:2])} already ({at})"
                    self.bad((*path, index, "email"), f"{said}; keep one of the two")

    def check_consumer(self, path: Path, name: str, service: dict[str, Any]) -> None:
        if service.get("record") is True:
            self.bad((*path, "record"), "the consumer tier has no recordings; remove the line, or choose a dedicated tier")
        for key, example in (("meeting_minutes", 120), ("participants", 25)):
            for place, layer in layers(self.root, name):
                limits = mapping(layer.get("limits"))
                if key not in limits:
                    continue
                if limits[key] == 0 and not isinstance(limits[key], bool):
                    said = (
                        f"0 means no limit, which the consumer tier does not have: members share one pool; write a number such as {example}"
                    )
                    self.bad((*place, "limits", key), said)
                break

    def check_server(self, path: Path, name: str, service: dict[str, Any], tier: str | None) -> None:
        """A server of one's own is one service's alone, and so is the balancer before it."""
        if tier == "dedicated_server" and "server" not in service:
            self.bad(
                (*path, "server"),
                "is missing; write server: with domain: (the BigBlueButton server's name) and secret_var: (the variable with its secret)",
            )
        elif tier not in ("dedicated_server", None) and "server" in service:
            self.bad((*path, "server"), "is for tier dedicated_server only; remove it, or write tier: dedicated_server")
        server = mapping(service.get("server"))
        if not server or tier != "dedicated_server":
            return
        here = (*path, "server")
        domain = self.check_host_name((*here, "domain"), server.get("domain"))
        balancer = text(server.get("balancer"))
        for key, value, said in (
            ("domain", domain, "is the server of {other} already ({at}); a server of its own is one service's alone, write another"),
            ("balancer", balancer, "is the balancer of {other} already ({at}); each server has one of its own, write another host"),
        ):
            other = self.alone.setdefault((key, value), (*here, key)) if value and service.get("state", "present") != "absent" else None
            if other and other != (*here, key):
                at = "{}:{}".format(*where(self.root, other))
                self.bad((*here, key), f"{show(value)} {said.format(other=label(other[:2]), at=at)}")
        if balancer in self.services or balancer in _NAMES_TAKEN:
            self.bad((*here, "balancer"), f"{show(balancer)} is a service or a group, not a machine; write an inventory host such as host1")
        if "balancer_domain" in server and "balancer" not in server:
            self.bad((*here, "balancer_domain"), "stands here without balancer; write balancer: and the host that runs it, or remove this")
        address = text(server.get("address"))
        if address is not None:
            try:
                ipaddress.IPv4Address(address)
            except ValueError:
                self.bad((*here, "address"), f"{show(address)} is not an IPv4 address; write one such as 203.0.113.20")
            host = server_host(name)
            if host in self.services or host in self.hosts:
                self.bad(
                    (*here, "address"),
                    f"the server would be the inventory host {host}, which is a {'service' if host in self.services else 'container host'} "
                    "already; choose another id for one of the two",
                )
        elif "connection" in server:
            self.bad((*here, "connection"), "stands here without address; write address: and where the machine is, or remove this")
        self.check_connection((*here, "connection"), server.get("connection"))
        if "recordings" in server and service.get("record") is not True:
            self.bad((*here, "recordings"), "stands here although nothing is recorded; write record: true for the service, or remove this")

    def check_cms(self, path: Path, service: dict[str, Any], tier: str | None) -> None:
        """Who has the server's own secret sees and can end everything there."""
        balancer = "balancer" in mapping(service.get("server"))
        direct = []
        for name, one in mapping(service.get("cms")).items():
            access = mapping(one).get("access")
            if access == "server" and tier in ("consumer", "dedicated_container"):
                said = "would open the whole pool; write access: tenant, or remove the line"
                self.bad((*path, "cms", name, "access"), said)
            elif access == "tenant" and tier == "dedicated_server" and not balancer:
                said = "needs a balancer; write server.balancer: and an inventory host that runs it, or remove the line"
                self.bad((*path, "cms", name, "access"), said)
            elif tier == "dedicated_server" and (access == "server" or not balancer):
                direct.append(name)
        if len(direct) > 1:
            self.warn(
                (*path, "cms"),
                f"{', '.join(short(name) for name in direct)} share the server's own secret: each sees and can end the meetings and "
                "recordings of the others; write server.balancer: to give each a secret of its own",
            )

    def check_connection(self, path: Path, connection: object) -> None:
        for key, value in mapping(connection).items():
            if _SECRET_CONNECTION.search(key):
                self.bad((*path, key), f"secrets never stand in this file; set {key} in a vaulted file of group_vars")
            elif isinstance(value, str) and ("{{" in value or "{%" in value):
                self.bad((*path, key), "templates are not run in this file; write the value itself, or set it in another inventory file")

    def check_mail(self, path: Path, name: str, service: dict[str, Any]) -> None:
        self.check_smtp_names((*path, "smtp"), mapping(service.get("smtp")))
        found = smtp_layers(self.root, name)
        if not found or not all(layer or place[0] == "defaults" for place, layer in found):
            if isinstance(service.get("smtp"), dict) and not service["smtp"]:
                self.bad(
                    (*path, "smtp"),
                    "is empty; write the account, or smtp: null for no mail at all, or remove the line to use defaults.smtp",
                )
            return
        self.check_account(found[0][0], found)

    def check_account(self, place: Path, found: Sequence[tuple[Path, dict[str, Any]]]) -> None:
        """What can be said about an account as a whole, made up of SMTP mappings; what is missing is missed at C(place)."""
        smtp: dict[str, Any] = {}
        for _place, layer in reversed(found):
            smtp.update(layer)
        if "server" not in smtp:
            self.bad(
                (*place, "server"),
                "is missing, and defaults.smtp names none either; write the mail server's name, such as smtp.sunflower.example",
            )
        if "sender_email" not in smtp:
            self.bad((*place, "sender_email"), "is missing; write the address mails come from, such as meet@sunflower.example")
        if (
            smtp.get("auth")
            and not (smtp.get("username") and smtp.get("password_var"))
            and not (smtp.get("username") or smtp.get("password_var"))
        ):
            self.bad(
                (*place, "auth"), "signing in needs username: and password_var:; write both, or auth: null for a relay without sign-in"
            )
        if "auth" in smtp and smtp["auth"] is None and smtp.get("username"):
            self.bad((*place, "auth"), "null means no sign-in, yet there is a user name; remove the line auth, or the account")
        security, port = smtp.get("security", "starttls"), smtp.get("port")
        if security == "starttls" and port == 465:
            self.warn((*place, "port"), "port 465 usually speaks TLS from the first byte; if mails fail, write security: tls")
        elif security == "tls" and port in (25, 587):
            self.warn((*place, "port"), f"port {port} usually begins in clear and changes to TLS; if mails fail, write security: starttls")
        elif security == "none" and smtp.get("username"):
            self.warn(
                (*place, "security"),
                "the password crosses the network in clear; write security: starttls unless the relay is on the same machine",
            )

    def check_way_in(self, path: Path, accounts: dict[str, Any]) -> None:
        registration = accounts.get("registration", defaults.REGISTRATION)
        oidc, administrators = accounts.get("oidc"), accounts.get("administrators")
        if oidc:
            self.warn(
                (*path, "accounts", "oidc"),
                "turns sign-in by password off for everyone, administrators too: they sign in at the issuer (only a "
                "SuperAdmin made with Greenlight's own rake task still can)",
            )
            if mapping(oidc).get("match_email") is False and (administrators or "people_file" in accounts):
                self.bad(
                    (*path, "accounts", "oidc", "match_email"),
                    "false keeps the people out who are written here: the issuer's sign-in would find their address taken; remove the line",
                )
        if registration in ("invite", "approval") and not administrators and (administrators is None or isinstance(administrators, Seq)):
            does = "invite" if registration == "invite" else "approve"
            self.bad(
                (*path, "accounts", "administrators"),
                f"is missing: with registration {registration} nobody could ever {does} anyone; "
                "write at least one administrator with name: and email:",
            )

    # -- names of all services

    def check_names(self) -> None:
        reserved = self.cooperative.get("reserved_subdomains")
        reserved = [str(name).lower() for name in reserved] if isinstance(reserved, list) else list(defaults.RESERVED_SUBDOMAINS)
        taken: dict[str, Path] = {}
        for name, service in self.services.items():
            if not isinstance(service, dict) or service.get("tier") == "accounts":
                continue
            path: Path = ("services", name)
            claims: list[tuple[Path, str]] = []
            label_ = service.get("subdomain", name)
            if isinstance(label_, str) and self.domain:
                place = (*path, "subdomain") if "subdomain" in service else path
                if label_ in reserved:
                    said = "is kept for the co-operative itself"
                    self.bad((*path, "subdomain"), f"{show(label_)} {said}; write another one, such as subdomain: {label_}-meet")
                claims.append((place, f"{label_}.{self.domain}"))
            server = mapping(service.get("server"))
            if isinstance(label_, str) and self.domain and "balancer" in server:
                written = text(server.get("balancer_domain"))
                place = (*path, "server", "balancer_domain" if written else "balancer")
                own = self.check_host_name(place, written) if written else balancer_domain(f"{label_}.{self.domain}")
                if own:
                    claims.append((place, own))
            own_names = [(key, *found) for key in ("domains", "former_domains") for found in enumerate(items(service.get(key)))]
            for key, index, value in own_names:
                place = (*path, key, index)
                own = self.check_host_name(place, value)
                if own is None:
                    continue
                if own == self.domain:
                    self.bad(place, f"{show(value)} is the co-operative's own domain; write a name of the member's, or remove the line")
                elif self.domain and inside(own, self.domain) and key == "domains":
                    part = own.removesuffix("." + self.domain).replace(".", "-")
                    self.bad(place, f"{show(value)} lies inside the co-operative's domain; write subdomain: {short(part)} instead")
                else:
                    claims.append((place, own))
            if service.get("state", "present") == "absent":
                continue
            for place, claimed in claims:
                other = taken.setdefault(claimed, place)
                if other == place:
                    continue
                if other[1] == name:
                    self.bad(place, f"{show(claimed)} stands twice; keep one")
                else:
                    at = "{}:{}".format(*where(self.root, other))
                    said = "a name leads to one service only, choose another"
                    self.bad(place, f"{show(claimed)} is already the name of {label(other[:2])} ({at}); {said}")

    # -- mail records of all services

    def check_mail_records(self) -> None:
        """Who sends in one name states the same records for it, and a name of ours is a sub-domain that serves the same owner."""
        stated: dict[tuple[str, ...], tuple[str, Path]] = {}
        homes = {
            f"{service.get('subdomain', name)}.{self.domain}": service
            for name, service in self.services.items()
            if isinstance(service, dict) and service.get("tier") != "accounts" and service.get("state", "present") != "absent"
        }
        for name, service in self.services.items():
            if not isinstance(service, dict) or service.get("tier") == "accounts" or service.get("state", "present") == "absent":
                continue
            found = smtp_layers(self.root, name)
            place, dns = next(((place, mapping(layer["dns"])) for place, layer in found if "dns" in layer), ((), {}))
            sender_place, sender = next(((place, layer["sender_email"]) for place, layer in found if "sender_email" in layer), ((), None))
            domain = hostname(sender.rpartition("@")[2])[0] if isinstance(sender, str) else None
            if not dns or domain is None or self.domain is None:
                continue
            if domain == self.domain or inside(domain, self.domain):
                home = homes.get(domain)
                if home is None or any(home.get(key) != service.get(key) for key in ("member", "client")):
                    said = (
                        f"{show(sender)} is in our domain but not at a sub-domain that a service of the same owner has; "
                        f"its mail records cannot be kept: write a sender such as meet@{service.get('subdomain', name)}.{self.domain}, "
                        "or leave smtp.dns out"
                    )
                    self.bad((*sender_place, "sender_email"), said)
                    continue
            entries = [((key,), dns.get(key)) for key in ("spf", "dmarc")]
            entries += [(("dkim", str(selector).lower()), value) for selector, value in mapping(dns.get("dkim")).items()]
            written = {("dkim", str(selector).lower()): selector for selector in mapping(dns.get("dkim"))}
            for key, value in entries:
                if not isinstance(value, str):
                    continue
                at: Path = (*place, "dns", *(("dkim", written[key]) if key in written else key))
                other, first = stated.setdefault((domain, *key), (value, at))
                if other.split() != value.split():
                    line = "{}:{}".format(*where(self.root, first))
                    said = "one name has one such record, so write the same in both"
                    self.bad(at, f"is not what {label(first[:2])} states for mail from {show(domain)} ({line}); {said}")


def check_meaning(root: Map, today: datetime.date, services: bool = True) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings of a file whose shape has been looked at; C(services) as Checker has it."""
    checker = Checker(root, today, services)
    checker.check()
    return checker.problems, checker.warnings
