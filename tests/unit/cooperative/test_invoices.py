# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""E-invoices: every document of random months holds by the rules of EN 16931, and its sums are those of the journal."""

from __future__ import annotations

import dataclasses
import datetime
import io
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from xml.etree import ElementTree

import facturx
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.modules.statement_documents import ARGUMENT_SPEC
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import documents, journals
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.cii import cii
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.documents import DocumentsTask
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.invoices import Desk, Invoice, Line, Party
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ledger import Treatment, Vat
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.paper import paper
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.settlement import settle
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.terms import Account, Accounts
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative.ubl import ubl
from ansible_collections.meet.coop.plugins.plugin_utils._membership.reader import Map, parse
from tests.support.ansible import ROOT
from tests.support.examples import examples

from . import pdfa
from .einvoice import broken, sums
from .money import NAMES, months
from .year import MONTHS, Year

MAKE = {"ubl": ubl, "cii": cii}
IBAN = "DE02120300000000202051"
LEGAL = '{street: "1 Weaver St & Co <x>", postcode: "LS1", city: Leeds, country: GB, endpoint: "0208:0123456749"}'
TREATMENTS = [
    Treatment("S", Fraction(20)),
    Treatment("S", Fraction(11, 2)),
    Treatment("Z"),
    Treatment("E", reason="Small business"),
    Treatment("AE", reason="Reverse charge"),
    Treatment("O", reason="Not registered for VAT"),
]


def root() -> Map:
    """A membership file, as far as invoices look at it, in which everybody asks for invoices."""
    lines = [f"cooperative: {{id: meet, name: meet.coop, vat_id: GB980780684, legal: {{number: RS1, {LEGAL[1:]}}}", "members:"]
    for name in NAMES:
        evidence = f"evidence: {{number: RS-{name}}}"
        lines.append(
            f"  {name}: {{name: {name.title()}, vat_id: DE136695976, legal: {LEGAL}, {evidence}, invoices: {{formats: [ubl, cii]}}}}"
        )
    lines.append(f"clients:\n  cafe: {{name: Café, vat_id: DE136695976, legal: {LEGAL}, invoices: {{formats: [cii], reference: PO 1}}}}")
    problems: list = []
    found = parse("\n".join(lines), "members.yml", problems)
    assert found is not None and not problems
    return found


ROOTED = root()
ACCOUNTS = Accounts(Account("meet.coop", IBAN, "BYLADEM1001"), {name: Account(name, IBAN) for name in NAMES})


@pytest.mark.programs
@examples(15)
@given(months(), st.sampled_from(TREATMENTS), st.lists(st.sampled_from([None, *TREATMENTS[2:]]), min_size=7, max_size=7))
def test_every_document_of_a_month_holds_and_agrees_with_the_journal(one, charged, own):
    members = tuple(dataclasses.replace(member, tax=tax) for member, tax in zip(one.members, own, strict=False))
    sales = tuple(dataclasses.replace(sale, tax=charged) for sale in one.sales)
    rules = dataclasses.replace(one.rules, vat=Vat(charged, Fraction(0), "hmrc"))
    settled = settle(dataclasses.replace(one, members=members, rules=rules, sales=sales))
    desk = Desk(ROOTED, ACCOUNTS, "money", ["MEET-2026-01-AGARIC"])
    wanted = desk.wanted(settled)
    assert desk.problems == []
    charges: dict[str, int] = defaultdict(int)
    for entry in journals.entries(settled, first=False):
        if entry.kind in ("statement", "sale", "correction"):
            for account, amount in entry.postings:
                # A payment whose sender was found is no charge.
                if account[:2] == ("assets", "receivable") and (journals.UNMATCHED, -amount) not in entry.postings:
                    charges[account[2]] += amount
    billed: dict[str, int] = {}
    for found in wanted:
        invoice = found.invoice
        assert invoice is not None and Invoice.from_json(invoice.to_json()) == invoice
        for kind, make in MAKE.items():
            xml = make(invoice)
            assert xml == make(invoice)
            assert broken(kind, xml) == [], xml.decode()
            said = sums(kind, xml)
            assert sum(said["lines"]) == said["net"] == Decimal(invoice.net) / 100
            assert said["gross"] == said["net"] + said["vat"] == Decimal(invoice.gross) / 100
        if invoice.seller.id == "meet":
            billed[found.owner] = -invoice.gross if invoice.credit else invoice.gross
        else:
            assert invoice.net == abs(next(sale.net.minor for sale in sales if sale.seller == invoice.seller.id))
    assert {name: amount for name, amount in billed.items() if amount} == {name: amount for name, amount in charges.items() if amount}
    assert len({found.number for found in wanted}) == len(wanted)


def invoice(**given_) -> Invoice:
    who = Party("meet", "meet.coop", "1 Weaver Street", None, "LS1", "Leeds", "GB", "GB980780684", None, "RS1", None)
    return Invoice(**{
        "number": "MEET-2026-04-DAISY", "credit": False, "issued": datetime.date(2026, 5, 1), "due": datetime.date(2026, 5, 14),
        "start": datetime.date(2026, 4, 1), "end": datetime.date(2026, 4, 30), "currency": "EUR", "seller": who,
        "buyer": dataclasses.replace(who, id="daisy", name="Daisy"), "lines": (Line("Contribution", 1001), Line("Correction", -300)),
        "tax": Treatment("S", Fraction(20)), "account": Account("meet.coop", IBAN), "reference": "DAISY-2026-04", **given_,
    })  # fmt: skip


@pytest.mark.parametrize("kind", MAKE)
def test_the_rules_see_what_is_wrong(kind):
    """The oracle is a real one: a sum that is a cent off, and a category without its reason, are refused."""
    xml = MAKE[kind](invoice())
    assert broken(kind, xml) == [] and xml.count(b"8.41") == 2
    assert "BR-CO-15" in broken(kind, xml.replace(b"8.41", b"8.42"))
    assert "BR-E-10" in broken(kind, MAKE[kind](invoice(tax=Treatment("E"))))


def test_half_cents_go_up_once_for_the_whole():
    one = invoice(lines=tuple(Line(f"Part {number}", 5) for number in range(3)), tax=Treatment("S", Fraction(10)))
    # 0.15 at 10 % is 0.015; each line alone would round to 0.01.
    assert (one.net, one.vat, one.gross) == (15, 2, 17)
    assert broken("ubl", ubl(one)) == broken("cii", cii(one)) == []


def test_yen_have_no_decimals():
    one = invoice(currency="JPY")
    assert b">701<" in ubl(one) and broken("ubl", ubl(one)) == broken("cii", cii(one)) == []


@pytest.mark.programs
def test_a_factur_x_holds_its_xml_and_says_so():
    one = invoice()
    data = cii(one)
    made = paper(one, data)
    assert made == paper(one, data) != paper(dataclasses.replace(one, reference="OTHER"), data)
    assert facturx.get_xml_from_pdf(made) == ("factur-x.xml", data)
    reader = pypdf.PdfReader(io.BytesIO(made))
    catalog = reader.trailer["/Root"]
    assert [file.get_object()["/AFRelationship"] for file in catalog["/AF"]] == ["/Alternative"]
    packet = catalog["/Metadata"].get_object().get_data().decode()
    meta = ElementTree.fromstring(re.sub(r"<\?xpacket[^>]*\?>", "", packet))
    rdf = meta.findall("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF")
    assert len(rdf) == 1
    fields = "{urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#}"
    assert [rdf[0].find(f"*/{fields}{name}").text for name in ("DocumentType", "DocumentFileName", "Version", "ConformanceLevel")] == [
        "INVOICE", "factur-x.xml", "1.0", "EN 16931",
    ]  # fmt: skip
    assert 'pdfaid:part="3"' in packet and 'pdfaid:conformance="A"' in packet
    assert reader.metadata["/CreationDate"] == "D:20260501"
    text = reader.pages[0].extract_text()
    for word in ("Invoice MEET-2026-04-DAISY", "8.41", "1.40", "20 % VAT", IBAN, "DAISY-2026-04"):
        assert word in text


@pytest.mark.programs
@pytest.mark.parametrize("inside", [False, True])
def test_a_pdf_has_what_pdf_a_asks_for(inside):
    lines = tuple(
        Line(f"Part {number} of the contribution, with a text that is long enough for more than one line of it", 5) for number in range(60)
    )
    for one in (invoice(lines=lines), invoice(credit=True, account=None)):
        made = paper(one, cii(one) if inside else None)
        assert pdfa.flaws(made) == []
    assert len(pypdf.PdfReader(io.BytesIO(paper(invoice(lines=lines)))).pages) > 1


def damaged(change) -> list[str]:
    one = invoice()
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(paper(one, cii(one))))
    change(writer)
    stream = io.BytesIO()
    writer.write(stream)
    return [flaw.partition(":")[0] for flaw in pdfa.flaws(stream.getvalue())]


@pytest.mark.programs
def test_a_pdf_that_is_no_pdf_a_is_seen():
    """The looks of above find what they are for."""
    root = pypdf.generic.NameObject
    as_written = set(damaged(lambda writer: None))
    assert not as_written - {"6.1.2", "6.1.3"}, "pypdf writes a header of its own"

    def font(writer):
        for each in pdfa.everything(writer.root_object):
            each.pop(root("/FontFile2"), None)

    def glyphs(writer):
        for each in pdfa.everything(writer.root_object):
            if "/W" in each:
                each["/W"][1][0] = pypdf.generic.NumberObject(1)

    def script(writer):
        action = {root("/S"): root("/JavaScript"), root("/JS"): pypdf.generic.TextStringObject("app.alert(1)")}
        writer.root_object[root("/OpenAction")] = pypdf.generic.DictionaryObject(action)

    bad = {
        "6.5.1": script,
        "6.2.3": lambda writer: writer.root_object.pop(root("/OutputIntents")),
        "6.7": lambda writer: writer.root_object.pop(root("/MarkInfo")),
        "6.6.2.1": lambda writer: writer.root_object.pop(root("/Metadata")),
        "6.8": lambda writer: writer.root_object.pop(root("/AF")),
        "6.2.11.4": font,
        "6.2.11.5": glyphs,
    }
    for clause, change in bad.items():
        assert clause in set(damaged(change)) - as_written, clause


# -- on disk


def bent(path, formats: str = "[ubl, cii]") -> Year:
    """The example year, with invoices in other formats and only three months of it closed."""
    year = Year(path / "coop")
    year.edit("members.yml", "formats: [ubl, cii]", f"formats: {formats}")
    year.close(*MONTHS[:3])
    return year


def run(year: Year, check: bool = False, **given_) -> dict:
    params = {name: option.get("default") for name, option in ARGUMENT_SPEC.items()}
    return DocumentsTask({**params, "membership": [str(year.path / "members.yml")], "as_of": "2026-01-20", **given_}).run(check)


def test_check_tells_run_does_and_a_second_run_changes_nothing(tmp_path):
    year = bent(tmp_path, "[facturx, pdf, ubl, cii]")
    before = year.tree()
    told = run(year, check=True)
    assert year.tree() == before and told["changed"]
    done = run(year)
    assert done == told
    new = year.tree()
    assert sorted(f"money/{name}" for name in done["files"]) == sorted(set(new) - set(before))
    assert all((year.money / name).stat().st_mode & 0o777 == 0o600 for name in done["files"] if "sha256" not in name)
    again = run(year)
    assert not again["changed"] and again["files"] == [] and year.tree() == new
    assert (
        subprocess.run(["sha256sum", "--quiet", "-c", "documents.sha256"], cwd=year.money / "documents" / "2025-03", check=False).returncode
        == 0
    )
    # What is told is what the documents say, and the statement.
    mine = next(one for one in done["documents"] if one["owner"] == "sunflower")
    assert mine["number"] == "MEET-2025-03-SUNFLOWER" and mine["kind"] == "invoice" and mine["vat"] == "0.00"
    page = (year.money / "closed" / "2025-03" / "statements" / "sunflower.html").read_text()
    assert f"{mine['gross']} EUR" in page
    sold = next(one for one in done["documents"] if one["owner"] == "cafe")
    assert (sold["number"], sold["seller"], sold["gross"]) == ("AGARIC-2025-03-CAFE-1", "agaric", "150.00")
    for one in done["documents"]:
        for name in one["files"]:
            kind = name.split(".")[-2]
            if kind in MAKE:
                xml = (year.money / name).read_bytes()
                assert broken(kind, xml) == [] and sums(kind, xml)["gross"] == Decimal(one["gross"])


def test_the_same_files_give_the_same_bytes_elsewhere(tmp_path):
    trees = []
    for name in ("one", "two"):
        year = bent(tmp_path / name, "[facturx]")
        run(year)
        trees.append({key: data for key, data in year.tree().items() if "/documents/" in key})
    assert trees[0] == trees[1] and any(name.endswith(".facturx.pdf") for name in trees[0])


def test_what_was_issued_stays_and_more_formats_come_beside_it(tmp_path):
    year = bent(tmp_path, "[ubl]")
    run(year)
    before = year.tree()
    year.edit("members.yml", "formats: [ubl]", "formats: [cii, ubl]")
    year.edit("members.yml", "street: 7 Orchard Road", "street: 99 New Street")
    done = run(year)
    name = "money/documents/2025-03/MEET-2025-03-SUNFLOWER"
    assert [file for file in done["files"] if file.endswith(".xml")] == [f"{name}.cii.xml".removeprefix("money/")]
    after = year.tree()
    assert after[f"{name}.ubl.xml"] == before[f"{name}.ubl.xml"] and b"7 Orchard Road" in after[f"{name}.cii.xml"]
    # The member asks for none any more, and its data are gone: what was issued stays.
    text = (year.path / "members.yml").read_text()
    (year.path / "members.yml").write_text(re.sub(r"    legal:\n      street: 99.*?(?=    evidence:)", "", text, flags=re.S))
    assert not run(year)["changed"]
    # A changed file, and one that is gone, are named.
    (year.money / "documents/2025-03/MEET-2025-03-SUNFLOWER.ubl.xml").write_text("<x/>")
    (year.money / "documents/2025-03/MEET-2025-03-SUNFLOWER.json").unlink()
    with pytest.raises(Exception, match=r"SUNFLOWER\.json: is gone, and was issued; put it back") as failed:
        run(year)
    assert "SUNFLOWER.ubl.xml: was changed since it was issued" in str(failed.value)


@pytest.mark.programs
def test_a_killed_run_is_finished_by_the_next(tmp_path):
    """Killed for real, after each of its files in turn."""
    whole = bent(tmp_path / "whole", "[ubl, cii]")
    run(whole)
    wanted = {name: data for name, data in whole.tree().items() if "/documents/" in name}
    year = bent(tmp_path / "killed", "[ubl, cii]")
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from ansible_collections.meet.coop.plugins.plugin_utils._cooperative import documents
from tests.unit.cooperative.test_invoices import run
count, plain = 0, documents.write
def write(*given, **more):
    global count
    plain(*given, **more)
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
documents.write = write
class Here:
    import pathlib
    path = pathlib.Path({str(year.path)!r})
run(Here)
"""
    # The second finds one file there, and is killed before the list.
    for count in (1, len(wanted) - 2):
        done = subprocess.run([sys.executable, "-c", program, str(count)], cwd=ROOT, env={**os.environ}, check=False)
        assert done.returncode == -signal.SIGKILL
        assert not (year.money / "documents/2025-03/documents.sha256").exists()
    assert run(year)["changed"] and not run(year)["changed"]
    assert {name: data for name, data in year.tree().items() if "/documents/" in name} == wanted


AGARIC = "  agaric: {name: Agaric Technology Collective, iban: DE02500105170137075030}\n"


@pytest.mark.parametrize(
    ("file", "old", "wanted"),
    [
        (
            "members.yml",
            "      street: 7 Orchard Road\n",
            'members.yml:{line}: member "sunflower", field legal.street: is missing for the invoice MEET-2025-03-SUNFLOWER; write it',
        ),
        (
            "members.yml",
            "    country: GB\n    number: RS007001\n",
            "cooperative, field legal.country: is missing for the invoice MEET-2025-03-SUNFLOWER; write two letters such as GB",
        ),
        (
            "members.yml",
            "    number: RS007001\n",
            "cooperative, field legal.number: is missing for the invoice MEET-2025-03-SUNFLOWER; a seller is known by it",
        ),
        (
            "money/accounts.yml",
            AGARIC,
            "accounts.yml: parties.agaric is missing for the invoice AGARIC-2025-03-CAFE-1; write name and iban",
        ),
    ],
)
def test_what_is_missing_is_said_with_its_place(tmp_path, file, old, wanted):
    year = bent(tmp_path)
    path = year.path / file
    text = path.read_text()
    assert old in text
    line = text.partition("      street: 7 Orchard Road")[0].count("\n") + 1
    path.write_text(text.replace(old, "", 1))
    before = year.tree()
    with pytest.raises(Exception, match="is missing for the invoice") as failed:
        run(year)
    assert wanted.format(line=line) in str(failed.value)
    assert year.tree() == before


def test_tax_that_nobody_wrote_is_said_while_the_month_is_open(tmp_path):
    year = Year(tmp_path / "coop")
    members = (year.path / "members.yml").read_text()
    year.edit("rules/1.yml", "vat: {category: O, reason: Not registered for VAT}\n", "")
    year.edit("sales/2025-03.yml", "    category: O\n    reason: Not registered for VAT\n", "")
    with pytest.raises(Exception, match=r"rules/1.yml:[0-9]+: vat is missing, and sunflower asked for invoices; write vat:"):
        year.run()
    # Nobody asks, and three months are closed. Who asks then is told that there are none of these.
    (year.path / "members.yml").write_text(re.sub(r"    invoices:(?: \{.*\}\n|\n(?:      .*\n)+)", "", members))
    year.close(*MONTHS[:2])
    (year.path / "members.yml").write_text(members)
    with pytest.raises(Exception, match=r"sales/2025-03.yml:[0-9]+: category is missing, and cafe asked for invoices"):
        year.run()
    done = run(year)
    assert not done["changed"] and done["not_made"] == ["MEET-2025-02-SUNFLOWER: not made, as rules/1.yml says nothing of vat"]


def test_an_invoice_has_the_vat_number_of_its_time():
    root = parse(
        "cooperative: {id: meet, name: M}\n"
        f"members:\n  agaric: {{name: A, legal: {LEGAL}, vat_id: DE136695976, changes: [{{from: 2026-03-15, vat_id: ESF12345674}}]}}\n",
        "members.yml",
        [],
    )
    desk, days = Desk(root, None, "money"), [datetime.date(2026, 3, 14), datetime.date(2026, 3, 15)]
    found = [desk.party(("members", "agaric"), "N-1", False, TREATMENTS[0], on) for on in days]
    assert desk.problems == []
    assert [one and one.vat_id for one in found] == ["DE136695976", "ESF12345674"]


def test_what_the_parties_need_depends_on_the_tax():
    bare = parse(
        "cooperative: {id: meet, name: M, legal: {street: S, city: C, country: GB}}\n"
        "members:\n  agaric: {name: A, legal: {street: S, city: C, country: DE}, invoices: {formats: [ubl]}}\n",
        "members.yml",
        [],
    )
    said = {}
    for taxed in TREATMENTS:
        desk = Desk(bare, None, "money")
        desk.party(("cooperative",), "N-1", True, taxed, datetime.date(2026, 3, 31))
        desk.party(("members", "agaric"), "N-1", False, taxed, datetime.date(2026, 3, 31))
        desk.account(("cooperative",), "N-1")
        said[taxed.category] = [str(problem).partition(": ")[2] for problem in desk.problems]
    for category in ("S", "Z", "E", "AE"):
        assert f"cooperative, field vat_id: is missing for the invoice N-1; tax category {category} needs the seller's" in said[category][0]
    assert any("reverse charge needs the buyer's" in line for line in said["AE"])
    assert not any("vat_id" in line for line in said["O"]) and any("legal.number" in line for line in said["O"])
    assert all(any("cooperative is missing for the invoice" in line for line in lines) for lines in said.values())


@pytest.mark.parametrize(("formats", "library"), [("[cii]", "drafthorse"), ("[pdf]", "weasyprint")])
def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch, formats, library):
    year = bent(tmp_path, formats)
    plain = documents.importlib.util.find_spec
    monkeypatch.setattr(documents.importlib.util, "find_spec", lambda name: None if name == library else plain(name))
    before = year.tree()
    for check in (True, False):
        with pytest.raises(
            Exception, match=f"needs {library}, not installed on the controller; pip install {library}, or ask for format ubl"
        ):
            run(year, check=check)
    assert year.tree() == before


def test_only_closed_months_have_invoices(tmp_path):
    year = bent(tmp_path)
    with pytest.raises(Exception, match="2025-04 is not closed; close it first, or ask for one of 2025-01, 2025-02, 2025-03"):
        run(year, month="2025-04")
    year.edit("closed/2025-02/lines.csv", "date", "Date")
    with pytest.raises(Exception, match="lines.csv: was changed since the month was closed"):
        run(year, month="2025-02")
