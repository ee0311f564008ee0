# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: may a name in somebody else's zone be served by us, and if not, what should be written there."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns import caa, reach
from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import dns
from ansible_collections.meet.coop.plugins.module_utils._dns._publicsuffixlist import PublicSuffixList
from ansible_collections.meet.coop.plugins.module_utils._dns.authority import Authorities, Lookup, NoAuthority, make_resolver
from ansible_collections.meet.coop.plugins.module_utils._dns.names import RecordError, ascii_name
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

READY = "ready"
PROBLEMS = ("conflict", "dnssec", "wrong_target", "unverified", "caa", "unreachable")
"""What a name can be instead of ready; with several problems, the first of these is its status."""
PASSING = frozenset({"dnssec", "caa", "unreachable"})
"""Problems that do not take a name away from visitors who reach it: a name that is served already goes on being served."""
CHECKS = ("name", "target", "dnssec", "caa", "port80", "control")
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
VERIFY_LABEL = "_coop-verify"
VERIFY_PREFIX = "coop-verify="
WORKERS = 8

ARGUMENT_SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True, "aliases": ["name"]},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "target": {"type": "str"},
    "ours": {"type": "list", "elements": "str", "default": []},
    "taken": {"type": "dict", "default": {}},
    "verification": {"type": "str"},
    "control": {"type": "str", "choices": ["txt", "txt_or_cname", "none"], "default": "txt_or_cname"},
    "edge_token": {"type": "str", "no_log": False},
    "caa_identities": {"type": "list", "elements": "str", "default": ["letsencrypt.org"]},
    "account_uri": {"type": "str"},
    "validation_methods": {
        "type": "list",
        "elements": "str",
        "choices": ["http-01", "tls-alpn-01", "dns-01"],
        "default": ["http-01", "tls-alpn-01"],
    },
    "served": {"type": "list", "elements": "str", "default": []},
    "allowance": {"type": "int"},
    "allowance_wait": {"type": "int", "default": 0},
    "checks": {"type": "list", "elements": "str", "choices": list(CHECKS), "default": list(CHECKS)},
    "resolver": {"type": "str"},
    "resolver_port": {"type": "int", "default": 53},
    "timeout": {"type": "int", "default": 5},
    "fail": {"type": "bool", "default": False},
}


@dataclass
class Finding:
    """What one name leads to. C(addresses) in the order A, AAAA; C(chain) the names its CNAMEs went through."""

    name: str
    addresses: list[str] = field(default_factory=list)
    chain: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)
    create: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        kinds = {kind for kind, _reason, _advice in self.problems}
        return next((kind for kind in PROBLEMS if kind in kinds), READY)

    def bad(self, kind: str, reason: str, advice: str) -> None:
        self.problems.append((kind, reason, advice))

    def as_dict(self) -> dict[str, Any]:
        told = sorted(self.problems, key=lambda problem: PROBLEMS.index(problem[0]))
        return {
            "name": self.name,
            "status": self.status,
            "addresses": self.addresses,
            "chain": self.chain,
            "records": self.records,
            "create": list(dict.fromkeys(self.create)),
            "remove": list(dict.fromkeys(self.remove)),
            "reason": "; ".join(dict.fromkeys(reason for _kind, reason, _advice in told)),
            "advice": " ".join(dict.fromkeys(advice for _kind, _reason, advice in told if advice)),
        }


class DomainCheck:
    """One run of domain_check: observes names, never changes anything."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.addresses = [_address(text) for text in params["addresses"]]
        if not self.addresses:
            raise CoopError("addresses is empty: write the addresses that the names should lead to")
        self.checks = frozenset(params["checks"])
        self.target = _hostname(params["target"]) if params.get("target") else None
        self.ours = [_hostname(name) for name in params["ours"]]
        self.taken = {_hostname(name): str(owner) for name, owner in params["taken"].items()}
        self.verification = params.get("verification")
        self.control = params["control"]
        self.edge_token = params.get("edge_token")
        identities = tuple(name.lower().rstrip(".") for name in params["caa_identities"])
        self.issuance = caa.Issuance(identities, params.get("account_uri"), tuple(params["validation_methods"]))
        self.names = list(dict.fromkeys(params["names"]))
        self.served = {name.lower().rstrip(".") for name in params["served"]}
        self.allowance = params.get("allowance")
        self.allowance_wait = int(params["allowance_wait"])
        self.fail = bool(params["fail"])
        self.timeout = float(params["timeout"])
        self.resolver = make_resolver(params.get("resolver"), params["resolver_port"], self.timeout)
        self.authorities = Authorities(self.resolver, self.timeout)
        self.suffixes = None
        if "name" in self.checks:
            if PublicSuffixList is None:
                raise CoopError("the Python library publicsuffixlist is missing on the controller: install it, or leave name out of checks")
            self.suffixes = PublicSuffixList()

    def run(self) -> dict[str, Any]:
        """Findings for Ansible. Raises CoopError when O(fail) asks for it and a name isn't ready."""
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            findings = list(pool.map(self.observe, self.names))
        bad = [finding.as_dict() for finding in findings if finding.status != READY]
        if bad and self.fail:
            raise CoopError("; ".join(f"{entry['name']} is not ready: {entry['reason']}. {entry['advice']}".strip() for entry in bad))
        opened, waiting = self._open(findings)
        return {
            "changed": False,
            "results": [finding.as_dict() for finding in findings],
            "ready": [finding.name for finding in findings if finding.status == READY],
            "not_ready": [finding["name"] for finding in bad],
            "open": opened,
            "waiting": waiting,
            "notes": self._notes(bad, opened, waiting),
        }

    def _notes(self, bad: list[dict[str, Any]], opened: list[str], waiting: list[str]) -> list[str]:
        """One line for each name that is not as it should be, to show or to forward."""
        notes = []
        for finding in bad:
            stays = ", and is served as before" if finding["name"] in opened else ""
            notes.append(f"{finding['name']} is not ready ({finding['status']}){stays}: {finding['reason']}. {finding['advice']}".strip())
        for name in waiting:
            minutes = max(1, -(-self.allowance_wait // 60))
            notes.append(f"{name} is ready and waits for the authority's limits; a run in {minutes} min or later opens it")
        return notes

    def _open(self, findings: list[Finding]) -> tuple[list[str], list[str]]:
        """Names that the edge may serve, and those that are ready but have to wait for the authority's limits."""
        opened, waiting = [], []
        left = self.allowance
        for finding in findings:
            if finding.name in self.served:
                if finding.status == READY or finding.status in PASSING:
                    opened.append(finding.name)
            elif finding.status == READY:
                if left is None or left > 0:
                    opened.append(finding.name)
                    left = None if left is None else left - 1
                else:
                    waiting.append(finding.name)
        return opened, waiting

    def observe(self, text: str) -> Finding:
        """What is to be said of one name today."""
        try:
            name = _hostname(text)
        except CoopError as error:
            finding = Finding(text)
            finding.bad("conflict", str(error), "Please write the whole name, such as meet.example.org.")
            return finding
        finding = Finding(name)
        if "name" in self.checks:
            self._name(finding)
        if finding.problems:
            return finding
        if "dnssec" in self.checks:
            self._dnssec(finding)
        if "target" in self.checks:
            self._lead(finding)
        if "control" in self.checks and self.control != "none" and self.verification:
            self._control(finding)
        if "caa" in self.checks:
            self._caa(finding)
        # Behind a wrong address a fault of port 80 would be somebody else's.
        if "port80" in self.checks and self.edge_token and finding.status in (READY, "unverified", "caa"):
            addresses = finding.addresses or [str(address) for address in self.addresses]
            why = reach.fault(name, addresses, self.edge_token, self.timeout)
            if why:
                advice = f"Please let port 80 (and 443) of {name} through to us, without a redirect, proxy or firewall before it."
                finding.bad("unreachable", why, advice)
        return finding

    def _name(self, finding: Finding) -> None:
        for own in self.ours:
            if finding.name == own or finding.name.endswith(f".{own}"):
                finding.bad("conflict", f"{finding.name} is ours, in {own}", "Please choose a name in a domain of your own.")
                return
        if finding.name in self.taken:
            told = f"{finding.name} already belongs to {self.taken[finding.name]}"
            finding.bad("conflict", told, "Please choose another name, or have it taken from there first.")
        elif self.suffixes is not None and self.suffixes.is_public(finding.name.removeprefix("*.")):
            told = f"{finding.name} is a public suffix, under which anybody registers names"
            finding.bad("conflict", told, f"Please choose a name below it that is yours, such as meet.example.{finding.name}.")

    def _dnssec(self, finding: Finding) -> None:
        """An answer that only comes when validation is off has a broken signature."""
        query = dns.message.make_query(finding.name.removeprefix("*."), "A", want_dnssec=True)
        answer = self._ask_resolver(query)
        if answer is None or answer.rcode() != dns.rcode.SERVFAIL:
            return
        query = dns.message.make_query(finding.name.removeprefix("*."), "A", want_dnssec=True)
        query.flags |= dns.flags.CD
        answer = self._ask_resolver(query)
        if answer is not None and answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            try:
                zone = self.authorities.zone(finding.name).name
            except NoAuthority:
                zone = finding.name
            finding.bad(
                "dnssec",
                f"the DNSSEC signatures of {zone} are broken, so careful resolvers and certificate authorities get no answer",
                f"Please have {zone} signed anew where the domain is kept, or have its DS record at the registry removed or corrected.",
            )

    def _ask_resolver(self, query: Any) -> Any:
        for address in self.resolver.nameservers:
            try:
                return dns.query.udp_with_fallback(query, str(address), timeout=self.timeout, port=self.resolver.port)[0]
            except (OSError, EOFError, dns.exception.DNSException):
                continue
        return None

    def _lead(self, finding: Finding) -> None:
        """Every A and AAAA at the end of the chain has to be ours."""
        found: list[Lookup] = []
        for kind in ("A", "AAAA"):
            try:
                found.append(self.authorities.lookup(finding.name, kind, until=self.target))
            except NoAuthority as error:
                finding.bad("unreachable", str(error), f"Please see to it that the name servers of {finding.name} answer.")
                return
        for lookup in found:
            finding.chain += [hop for hop in lookup.chain if hop not in finding.chain]
            finding.addresses += [record.address for record in lookup.values]
        if finding.chain:
            finding.records = [f"{finding.name}. CNAME {finding.chain[0]}."]
        else:
            finding.records = [_record(finding.name, address) for address in finding.addresses]
        if self.target and self.target in (finding.name, *finding.chain):
            # Where our own name leads is our own doing (dns_zone), in check mode before it is published.
            return
        strangers = [text for text in finding.addresses if _address(text) not in self.addresses]
        disagree = next((lookup.disagree for lookup in found if lookup.disagree), "")
        if strangers:
            told = f"{', '.join(strangers)} {'is' if len(strangers) == 1 else 'are'} not ours"
            finding.bad("wrong_target", told, self._wanted(finding, strangers))
        elif all(lookup.missing for lookup in found):
            told = "the name does not exist" if not finding.chain else f"it points to {finding.chain[-1]}, which does not exist"
            finding.bad("wrong_target", told, self._wanted(finding, []))
        elif not finding.addresses:
            finding.bad("wrong_target", "it has neither an A nor an AAAA record", self._wanted(finding, []))
        if disagree:
            finding.bad("wrong_target", disagree, f"Please see to it that all name servers of {finding.name} have the same records.")

    def _wanted(self, finding: Finding, strangers: list[str]) -> str:
        """The records to create and to remove, in words that a coordinator can forward to whoever keeps the domain."""
        direct = [_record(finding.name, str(address)) for address in self.addresses]
        wish = f"{finding.name}. CNAME {self.target}." if self.target else ""
        finding.create += [wish] if wish else direct
        text = f"Please create where the domain is kept: {wish or ' and '.join(direct)}"
        if wish:
            text += f" (or, where a CNAME is not possible: {' and '.join(direct)})"
        if strangers and not finding.chain:
            finding.remove += [_record(finding.name, address) for address in strangers]
            text += f"; and remove the record{'s' if len(strangers) > 1 else ''} with {', '.join(strangers)}"
        elif finding.chain and finding.chain[0] != self.target:
            finding.remove.append(f"{finding.name}. CNAME {finding.chain[0]}.")
            text += f"; and remove the one that points to {finding.chain[0]}"
        return text + "."

    def _control(self, finding: Finding) -> None:
        """Whoever keeps the domain has said that it is for this service: by a TXT record, or by a CNAME to this service's own name."""
        place = f"{VERIFY_LABEL}.{finding.name.removeprefix('*.')}"
        try:
            found = self.authorities.lookup(place, "TXT")
        except NoAuthority as error:
            finding.bad("unreachable", str(error), f"Please see to it that the name servers of {finding.name} answer.")
            return
        texts = [b"".join(record.strings).decode("utf-8", "replace") for record in found.values]
        said = {text.removeprefix(VERIFY_PREFIX).strip() for text in texts if text.startswith(VERIFY_PREFIX)}
        record = f'{place}. TXT "{VERIFY_PREFIX}{self.verification}"'
        if self.verification in said:
            return
        if said:
            told = f"{place} says that the name is for {' and '.join(sorted(said))}, not for {self.verification}"
            finding.create.append(record)
            finding.remove += [f'{place}. TXT "{VERIFY_PREFIX}{text}"' for text in sorted(said)]
            finding.bad("conflict", told, f"If it is to move here, please replace that record where the domain is kept by: {record}.")
        elif self.control == "txt" or self.target not in finding.chain:
            finding.create.append(record)
            told = f"nothing shows that whoever keeps {finding.name} wants it here"
            finding.bad("unverified", told, f"Please create where the domain is kept: {record}.")

    def _caa(self, finding: Finding) -> None:
        """The nearest record set counts; an authority that can't look it up may not issue."""
        for place in caa.climb(finding.name):
            try:
                found = self.authorities.lookup(place, "CAA")
            except NoAuthority as error:
                if "." in place and not any(kind == "unreachable" for kind, _reason, _advice in finding.problems):
                    finding.bad("caa", f"CAA can't be looked up: {error}", f"Please see to it that the name servers of {place} answer.")
                return
            if not found.values:
                continue
            why = caa.objection(found.values, self.issuance, wildcard=finding.name.startswith("*."))
            if why:
                tag = "issuewild" if finding.name.startswith("*.") else "issue"
                # Whoever lets certain accounts in alone does not want the whole authority.
                named = any(b"accounturi" in record.value.lower() for record in found.values)
                account = f"; accounturi={self.issuance.account_uri}" if named and self.issuance.account_uri else ""
                records = [f'{place}. CAA 0 {tag} "{identity}{account}"' for identity in self.issuance.identities[:1]]
                finding.create += records
                advice = f"Please create where the domain is kept, beside the CAA records that are there: {' and '.join(records)}"
                finding.bad("caa", f"the CAA records of {place} do not let our certificate authority in: {why}", advice + ".")
            return


def _record(name: str, address: str) -> str:
    return f"{name}. {'AAAA' if ':' in address else 'A'} {address}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise CoopError(f"'{text}' is not an IP address") from error


def _hostname(text: str) -> str:
    """A whole host name without its final dot, in A-labels; a wildcard keeps its first label."""
    try:
        name = ascii_name(text.strip()).rstrip(".")
        dns.name.from_text(name)
    except RecordError:
        raise
    except dns.exception.DNSException as error:
        raise CoopError(f"'{text}' is not a host name: {error}") from error
    plain = name.removeprefix("*.")
    labels = plain.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise CoopError(f"'{text}' is not a whole host name such as meet.example.org")
    return name
