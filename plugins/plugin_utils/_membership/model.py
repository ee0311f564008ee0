# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the membership file as plain values with every default filled in.

What comes out is JSON: dicts, lists, text, numbers, true, false, null. Nothing in it is run as a template by anyone here.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name

from . import defaults, mail_records
from .errors import MembershipError, Problem
from .names import balancer_domain, hostname, inside, light, server_host
from .reader import Map, Seq, files_of, merge, parse, read_text
from .register import Record, Reference, record, records, references
from .rules import check_meaning, default_layers, host_of, layers, mailing, mapping, own_smtp_layers, smtp_layers
from .shape import check_shape


@dataclass
class Membership:
    """A membership file without problems, as plain values.

    ``services`` holds what roles read as C(coop_service), ``owners`` members and clients as C(coop_owner), each by id.
    """

    cooperative: dict[str, Any]
    container_hosts: dict[str, dict[str, Any]]
    owners: dict[str, dict[str, Any]]
    services: dict[str, dict[str, Any]]
    warnings: list[str] = field(default_factory=list)


def _plain(value: Any) -> Any:
    """A copy without the reader's own types, so that it can go through JSON and Ansible."""
    if isinstance(value, Map):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Seq):
        return [_plain(item) for item in value]
    return value


def _overlaid(found: Sequence[dict[str, Any]], base: dict[str, Any]) -> dict[str, Any]:
    """The base with the given mappings laid over it, the first of them strongest."""
    result = dict(base)
    for layer in reversed(found):
        result.update(layer)
    return result


def _canonical(address: str | None) -> str | None:
    """An address as name servers and our own checks show it."""
    return None if address is None else str(ipaddress.ip_address(address))


def _limits(found: Sequence[dict[str, Any]], tier: str) -> dict[str, Any]:
    """The limits of the nearest layers, over those of the tier."""
    return _overlaid([mapping(layer.get("limits")) for layer in found], defaults.LIMITS[tier])


def _dns(name: str) -> str:
    return hostname(name)[0] or name


def _beside(node: Any, key: str) -> str | None:
    """Full path of a file that the membership file names relative to itself."""
    if key not in node:
        return None
    return os.path.abspath(os.path.join(os.path.dirname(node.at(key)[0]), node[key]))


def _people(people: Sequence[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """People with their mail in lower case, as Greenlight stores it."""
    return [{"name": person["name"], "email": person["email"].lower()} for person in people or ()]


def _owner(kind: str, owner_id: str, raw: dict[str, Any], today: datetime.date) -> dict[str, Any]:
    return {
        "id": owner_id,
        "kind": kind,
        "name": raw["name"],
        "classes": sorted(record(kind, owner_id, raw).classes_on(today)),
        "contacts": [
            {"name": contact["name"], "email": contact["email"], "role": contact.get("role", "coordinator")} for contact in raw["contacts"]
        ],
        "joined": raw.get("joined"),
        "leaving": raw.get("leaving"),
        "left": raw.get("left"),
        "export_keys": [raw["export_key"]] if isinstance(raw.get("export_key"), str) else list(raw.get("export_key") or ()),
        "supported_by": raw.get("supported_by"),
        "support": None,
        "sold_by": raw.get("sold_by"),
        "website": raw.get("website"),
        "language": raw.get("language"),
        "evidence": {
            key: raw["evidence"].get(key) for key in ("country", "form", "register", "number", "document", "checked", "checked_by")
        }
        if kind == "member"
        else {},
    }


def _support(root: Map, owner: dict[str, Any]) -> dict[str, Any] | None:
    """Who looks after an owner, and where it finds help: what is stated, else a producer looks after itself. None: nobody yet."""
    by = owner["sold_by"] or owner["supported_by"] or (owner["id"] if "producer" in owner["classes"] else None)
    producer = mapping(root.get("members")).get(by)
    if producer is None:
        return None
    stated = producer.get("support", {})
    return {
        "producer": by,
        "name": producer["name"],
        "page": stated.get("page", producer.get("website")),
        "email": stated.get("email"),
        "hours": stated.get("hours"),
    }


class _Normaliser:
    """Fills in defaults; the file has passed all checks."""

    def __init__(self, root: Map, today: datetime.date) -> None:
        self.root = root
        self.today = today
        self.domain = _dns(root["cooperative"]["domain"])
        self.hosts = mapping(root.get("container_hosts"))
        self.targets: dict[str, dict[str, Any]] = {}
        self.sold: dict[str, list[str]] = {}
        for name, service in mapping(root.get("services")).items():
            if service["tier"] == "accounts":
                self.sold.setdefault(service["instance"], []).append(name)

    def first(self, found: Sequence[dict[str, Any]], key: str, otherwise: Any) -> Any:
        return next((layer[key] for layer in found if key in layer), otherwise)

    def service(self, service_id: str, raw: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
        """C(coop_service) as roles read it."""
        if raw["tier"] == "accounts":
            return self.accounts(service_id, raw, owner)
        tier = raw["tier"]
        found = [layer for _path, layer in layers(self.root, service_id)]
        host = host_of(self.root, service_id)
        subdomain = f"{raw.get('subdomain', service_id)}.{self.domain}"
        domains = [_dns(name) for name in raw.get("domains", ())]
        former = [_dns(name) for name in raw.get("former_domains", ())]
        names = [*domains, subdomain]
        title = raw.get("title", owner["name"])
        accounts = raw.get("accounts", {})
        oidc = accounts.get("oidc")
        return {
            "id": service_id,
            "tier": tier,
            "member": raw.get("member"),
            "client": raw.get("client"),
            "sold_by": owner["sold_by"],
            "title": title,
            "state": raw.get("state", "present"),
            "instance": None,
            **self.place(host),
            "subdomain_fqdn": subdomain,
            "own_domains": domains,
            "former_domains": former,
            "hostname": names[0],
            "hostnames": [*names, *former],
            "image": self.first(found, "image", None),
            "smtp": self.smtp(smtp_layers(self.root, service_id), title, names[0]),
            "mail_records": [],
            "mail_records_offered": [],
            "accounts": {
                "registration": accounts.get("registration", defaults.REGISTRATION),
                # Greenlight compares the end of the address (app/controllers/api/v1/users_controller.rb): without the @,
                # coop.example would let people of notcoop.example in.
                "allowed_domains": ["@" + name.removeprefix("@").lower() for name in accounts.get("allowed_domains", ())],
                "administrators": _people(accounts.get("administrators")),
                "people_file": _beside(accounts, "people_file"),
                "users": [],
                "roles": [self.role(role) for role in accounts.get("roles", ())],
                "default_role": accounts.get("default_role"),
                "sold_roles": self.sold_roles(service_id),
                "oidc": {
                    key: oidc.get(key, default)
                    for key, default in (
                        ("issuer", None),
                        ("client_id", None),
                        ("client_secret_var", None),
                        ("redirect", None),
                        ("uid_field", "sub"),
                        ("match_email", True),
                        ("logout_path", None),
                    )
                }
                if oidc
                else None,
            },
            "term": None,
            "price": self.price(raw),
            "limits": {key: value for key, value in _limits(found, tier).items() if key != "decided_by"},
            "fair_use": _overlaid([mapping(layer.get("fair_use")) for layer in found], defaults.FAIR_USE),
            "record": raw.get("record", False),
            "server": self.server(service_id, raw, subdomain) if "server" in raw else None,
            "cms": self.cms(service_id, raw),
            "branding": self.branding([mapping(layer.get("branding")) for layer in found], owner, self.consent(raw)),
            "resources": self.resources([mapping(layer.get("resources")) for layer in found], tier),
        }

    def accounts(self, service_id: str, raw: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
        """A service without a site of its own: where its people's accounts stand, and nothing else."""
        instance = raw["instance"]
        if instance not in self.targets:
            self.targets[instance] = self.service(instance, self.root["services"][instance], owner)
        target = self.targets[instance]
        return {
            **target,
            "id": service_id,
            "tier": "accounts",
            "member": raw.get("member"),
            "client": raw.get("client"),
            "sold_by": owner["sold_by"],
            "title": raw.get("title", owner["name"]),
            "state": raw.get("state", "present"),
            "instance": raw["instance"],
            "own_domains": [],
            "former_domains": [],
            "hostnames": [],
            "smtp": None,
            "mail_records": [],
            "mail_records_offered": [],
            "record": False,
            "server": None,
            "cms": [],
            "accounts": {
                "registration": target["accounts"]["registration"],
                "allowed_domains": [],
                "administrators": [],
                "people_file": _beside(raw["accounts"], "people_file"),
                "users": _people(raw["accounts"].get("users")),
                "roles": [],
                "default_role": None,
                "sold_roles": [{"name": service_id, "rooms_per_account": self.sold_rooms(service_id)}],
                "oidc": None,
            },
            "limits": {**target["limits"], "rooms_per_account": self.sold_rooms(service_id)},
            "term": self.term(raw.get("term", {})),
            "price": self.price(raw),
        }

    def server(self, service_id: str, raw: dict[str, Any], subdomain: str) -> dict[str, Any]:
        """The BigBlueButton server of a service's own. C(host) is its inventory host, None for one that Ansible does not look after."""
        server = raw["server"]
        domain = _dns(server["domain"])
        own = None
        if "balancer" in server:
            own = _dns(server["balancer_domain"]) if "balancer_domain" in server else balancer_domain(subdomain)
        place = mapping(self.hosts.get(server.get("balancer")))
        return {
            "domain": domain,
            "endpoint": f"https://{domain}/bigbluebutton/api/",
            "secret_var": server["secret_var"],
            "host": server_host(service_id) if "address" in server else None,
            "address": server.get("address"),
            "connection": _plain(server.get("connection", {})),
            "balancer": server.get("balancer"),
            "balancer_domain": own,
            # For our own zone; elsewhere, and for a balancer that is no container host, whoever keeps the zone does it.
            "records": [
                {"name": f"{own}.", "type": kind, "values": [_canonical(place[key])]}
                for kind, key in (("A", "address"), ("AAAA", "address6"))
                if own and inside(own, self.domain) and place.get(key)
            ],
            "recordings": _overlaid([_plain(mapping(server.get("recordings")))], defaults.RECORDINGS) if raw.get("record", False) else None,
        }

    @staticmethod
    def cms(service_id: str, raw: dict[str, Any]) -> list[dict[str, Any]]:
        """The content management systems that may make meetings, each with the tenant that it is at the balancer."""
        server = raw.get("server")
        usual = "server" if server is not None and "balancer" not in server else "tenant"
        return [
            {
                "name": name,
                "kind": one["kind"],
                "url": one.get("url"),
                "access": one.get("access", usual),
                # A point is in no service's id, so that no service has this tenant.
                "tenant": tenant_name(f"{service_id}.{name}"),
            }
            for name, one in mapping(raw.get("cms")).items()
        ]

    @staticmethod
    def role(raw: dict[str, Any]) -> dict[str, Any]:
        """A role of an instance; None where nothing is said."""
        return {
            "name": raw["name"],
            "color": raw["color"].lower() if "color" in raw else None,
            "state": raw.get("state", "present"),
            "rooms_per_account": raw.get("rooms_per_account"),
            "permissions": dict(raw.get("permissions", {})),
            "mail_domains": ["@" + name.removeprefix("@").lower() for name in raw.get("mail_domains", ())],
        }

    def sold_roles(self, instance: str) -> list[dict[str, Any]]:
        """The roles that hold the accounts sold on an instance, one for each service of tier accounts, called as it."""
        return [{"name": name, "rooms_per_account": self.sold_rooms(name)} for name in self.sold.get(instance, ())]

    def sold_rooms(self, service_id: str) -> int:
        """Rooms of one sold account: what is written for it, else what the instance's own accounts have."""
        own = self.root["services"][service_id]
        found = [own, next(default_layers(self.root, "accounts"))[1]]
        rooms = self.first([mapping(layer.get("limits")) for layer in found], "rooms_per_account", None)
        if rooms is not None:
            return rooms
        instance = own["instance"]
        tier = self.root["services"][instance]["tier"]
        return _limits([layer for _path, layer in layers(self.root, instance)], tier)["rooms_per_account"]

    def term(self, raw: dict[str, Any]) -> dict[str, Any]:
        """From when until when, both days included, and what that means today: C(ahead), C(running) or C(over)."""
        begins, ends = raw.get("from"), raw.get("until")
        now = self.today.isoformat()
        return {"from": begins, "until": ends, "now": "ahead" if begins and now < begins else "over" if ends and now > ends else "running"}

    @staticmethod
    def price(raw: dict[str, Any]) -> dict[str, Any] | None:
        """What the owner pays; C(currency) is None for the co-operative's own."""
        if "price" not in raw:
            return None
        return {"amount": raw["price"]["amount"], "currency": raw["price"].get("currency"), "per": raw["price"].get("per", "month")}

    def place(self, host: str | None) -> dict[str, Any]:
        """Where it is, and the addresses that its names lead to; nothing while it has no place."""
        if host is None:
            return {"container_host": None, "address": None, "address6": None}
        return {"container_host": host, "address": self.hosts[host]["address"], "address6": _canonical(self.hosts[host].get("address6"))}

    @staticmethod
    def smtp(layered: Sequence[tuple[Any, dict[str, Any]]], title: str, own_name: str) -> dict[str, Any] | None:
        """The account that SMTP mappings make up, the strongest first; None without any, and without an address that mails come from."""
        account = _overlaid([layer for _path, layer in layered], {})
        if "sender_email" not in account:
            return None
        security = account.get("security", "starttls")
        username = account.get("username")
        return {
            "server": _dns(account["server"]),
            "port": account.get("port", defaults.PORTS[security]),
            "security": security,
            "auth": account.get("auth", "plain" if username else None),
            "username": username,
            "password_var": account.get("password_var"),
            "sender_email": account["sender_email"],
            "sender_name": account.get("sender_name", title),
            "helo_domain": _dns(account["helo_domain"]) if "helo_domain" in account else own_name,
        }

    def mail_records(self, services: dict[str, dict[str, Any]]) -> None:
        """Gives each sender's domain the records that were stated for it: to the service whose sub-domain it is, else to the senders.

        So one service alone keeps the records of one name, however many send with it. A service that is absent publishes nothing, and
        is told of those in its own domain, which it may want to drop.
        """
        homes = {
            service["subdomain_fqdn"]: service
            for service in services.values()
            if service["tier"] != "accounts" and service["state"] != "absent"
        }
        for service_id, service in services.items():
            if service["smtp"] is None:
                continue
            stated = _overlaid([layer for _path, layer in smtp_layers(self.root, service_id)], {}).get("dns", {})
            domain = _dns(service["smtp"]["sender_email"].rpartition("@")[2])
            if service["state"] == "absent" and (domain == self.domain or inside(domain, self.domain)):
                continue
            home = homes.get(domain)
            kept = home["mail_records"] if home else service["mail_records_offered"]
            kept.extend(record for record in mail_records.records(domain, stated) if record not in kept)

    @staticmethod
    def consent(raw: dict[str, Any]) -> str | None:
        """What people read who enter a meeting that may be recorded."""
        return mapping(mapping(raw.get("server")).get("recordings")).get("consent") if raw.get("record", False) else None

    def branding(self, found: Sequence[dict[str, Any]], owner: dict[str, Any], consent: str | None = None) -> dict[str, Any]:
        """Colours in lower case; a light colour made from the primary one unless one as near or nearer is written.

        The help link is that of the producer that looks after the owner, unless something else is written.
        Greenlight has one text for everybody who enters a meeting, so what is said about recordings goes there too.
        """
        support = owner["support"] or {}
        branding = _overlaid(found, {**defaults.BRANDING, "help_center": support.get("page") or defaults.BRANDING["help_center"]})
        branding["welcome"] = " ".join(text for text in (branding["welcome"], consent) if text) or branding["welcome"]
        for layer in found:
            if "primary_color_light" in layer:
                break
            if "primary_color" in layer:
                branding["primary_color_light"] = light(layer["primary_color"])
                break
        for key in ("primary_color", "primary_color_light"):
            branding[key] = branding[key].lower()
        branding["overrides"] = next((_beside(layer, "overrides") for layer in found if "overrides" in layer), None)
        return branding

    @staticmethod
    def resources(found: Sequence[dict[str, Any]], tier: str) -> dict[str, Any]:
        resources = _overlaid(found, defaults.RESOURCES[tier])
        resources["cpus"] = float(resources["cpus"])
        return resources


def _normalise(root: Map, warnings: list[Problem], today: datetime.date) -> Membership:
    raw = root["cooperative"]
    normaliser = _Normaliser(root, today)
    owners: dict[str, dict[str, Any]] = {}
    for section, kind in (("members", "member"), ("clients", "client")):
        for owner_id, owner in mapping(root.get(section)).items():
            owners[owner_id] = _plain(_owner(kind, owner_id, owner, today))
    for owner in owners.values():
        owner["support"] = _support(root, owner)
    services: dict[str, dict[str, Any]] = {}
    for service_id, service in mapping(root.get("services")).items():
        owner = owners[service.get("member") or service["client"]]
        services[service_id] = normaliser.service(service_id, service, owner)
    normaliser.mail_records(services)
    return Membership(
        cooperative={
            "id": raw["id"],
            "name": raw["name"],
            "domain": normaliser.domain,
            "decisions": raw.get("decisions"),
            "contact": {"name": raw["contact"]["name"], "email": raw["contact"]["email"]},
            "smtp": normaliser.smtp(own_smtp_layers(root), raw["name"], normaliser.domain),
            "mailing": mailing(root),
        },
        container_hosts={
            name: {
                "address": host["address"],
                "address6": _canonical(host.get("address6")),
                "connection": _plain(host.get("connection", {})),
            }
            for name, host in normaliser.hosts.items()
        },
        owners=owners,
        services=services,
        warnings=[str(warning) for warning in sorted(set(warnings))],
    )


def read_files(paths: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The text of all files behind the given (path, name to show) pairs, by shown name.

    Raises MembershipError.
    """
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    for path, name in paths:
        for found, shown in files_of(path, name, problems):
            text = read_text(found, shown, problems)
            if text is not None:
                texts[shown] = text
    if not texts or problems:
        # Say what is wrong in the readable files too: all problems at once.
        if texts:
            problems.extend(_problems_of(texts, datetime.date.today())[0])
        raise MembershipError(problems)
    return texts


def _problems_of(
    texts: dict[str, str], today: datetime.date, services: bool = True
) -> tuple[list[Problem], list[Problem], Map | None]:  # fmt: skip
    problems: list[Problem] = []
    roots = [root for file, text in texts.items() if (root := parse(text, file, problems)) is not None]
    if len(roots) < len(texts):
        # A file that cannot be read would make everything that refers to it look wrong.
        return problems, [], None
    root = merge(roots, problems)
    # A value that could not be read is complained about once.
    unread = {(problem.file, problem.line) for problem in problems}
    found, warnings = check_meaning(root, today, services)
    problems.extend(problem for problem in check_shape(root) + found if (problem.file, problem.line) not in unread)
    return problems, warnings, root


@dataclass(frozen=True)
class Register:
    """Who is and was a member: C(membership) as of the day asked for, C(records) over time by id, and the decisions they rest on."""

    membership: Membership
    records: dict[str, Record]
    references: list[Reference]
    root: Map


def _checked(texts: dict[str, str], today: datetime.date, services: bool = True) -> tuple[Map, Membership]:
    problems, warnings, root = _problems_of(texts, today, services)
    if problems or root is None:
        raise MembershipError(problems)
    return root, _normalise(root, warnings, today)


def build(texts: dict[str, str], today: datetime.date | None = None) -> Membership:
    """The membership that texts (by file name) describe.

    Raises MembershipError with every problem there is.
    """
    return _checked(texts, today or datetime.date.today())[1]


def load(*paths: str, today: datetime.date | None = None) -> Membership:
    """The membership that files or folders describe.

    Raises MembershipError with every problem there is.
    """
    return build(_texts(paths), today)


def load_register(*paths: str, today: datetime.date, services: bool = False) -> Register:
    """The members over time of files or folders; C(today) may be any day.

    Services stand in the file as they are wanted now. With C(services) one is refused whose owner is not active on the day; without, the
    day may be long past. Raises MembershipError with every problem there is.
    """
    root, membership = _checked(_texts(paths), today, services)
    return Register(membership, records(root), references(root), root)


def _texts(paths: Sequence[str]) -> dict[str, str]:
    return read_files([(path, os.path.relpath(path)) for path in paths])


def as_dict(membership: Membership) -> dict[str, Any]:
    """The membership as one dict that survives JSON; lists where order is to survive a cache that sorts keys."""
    return {**vars(membership), "owners": list(membership.owners.values()), "services": list(membership.services.values())}


def fingerprint(texts: dict[str, str], today: datetime.date) -> str:
    """Changes whenever the answer could: with a file's name or text, with this code, and with the day (memberships begin and end)."""
    digest = hashlib.sha256(str(today).encode())
    folder = os.path.dirname(__file__)
    for name in sorted(os.listdir(folder)):
        if name.endswith((".py", ".json")):
            with open(os.path.join(folder, name), "rb") as stream:
                digest.update(stream.read())
    for file, text in sorted(texts.items()):
        digest.update(f"\0{file}\0{len(text)}\0{text}".encode())
    return digest.hexdigest()
