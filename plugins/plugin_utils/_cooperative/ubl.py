# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an invoice as UBL 2.1 by EN 16931. The business rules for it check it in the tests (EN16931-UBL-validation)."""

from __future__ import annotations

from xml.etree import ElementTree

from .invoices import Invoice, Line, Party, clean, percent, scheme_and_id

CUSTOMIZATION = "urn:cen.eu:en16931:2017"
_NAMESPACES = {
    "": "urn:oasis:names:specification:ubl:schema:xsd:{kind}-2",
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}


def ubl(invoice: Invoice) -> bytes:
    """The bytes of the document; the same for the same invoice."""
    return _Writer(invoice).document()


class _Writer:
    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        self.kind = "CreditNote" if invoice.credit else "Invoice"

    def document(self) -> bytes:
        one = self.invoice
        names = {f"xmlns:{key}" if key else "xmlns": value.format(kind=self.kind) for key, value in _NAMESPACES.items()}
        root = ElementTree.Element(self.kind, names)
        self.text(root, "CustomizationID", CUSTOMIZATION)
        self.text(root, "ID", one.number)
        self.text(root, "IssueDate", str(one.issued))
        if not one.credit:
            self.text(root, "DueDate", str(one.due))
        self.text(root, f"{self.kind}TypeCode", "381" if one.credit else "380")
        self.text(root, "DocumentCurrencyCode", one.currency)
        if one.buyer_reference:
            self.text(root, "BuyerReference", one.buyer_reference)
        if one.start and one.end:
            period = self.add(root, "InvoicePeriod")
            self.text(period, "StartDate", str(one.start))
            self.text(period, "EndDate", str(one.end))
        for number in one.corrects:
            self.text(self.add(self.add(root, "BillingReference"), "InvoiceDocumentReference"), "ID", number)
        self.party(root, "AccountingSupplierParty", one.seller, True)
        self.party(root, "AccountingCustomerParty", one.buyer, False)
        self.text(self.add(root, "Delivery"), "ActualDeliveryDate", str(one.delivered))
        if one.account:
            means = self.add(root, "PaymentMeans")
            self.text(means, "PaymentMeansCode", "58" if one.currency == "EUR" else "30")
            self.text(means, "PaymentID", one.reference)
            account = self.add(means, "PayeeFinancialAccount")
            self.text(account, "ID", one.account.iban)
            self.text(account, "Name", one.account.name)
            if one.account.bic:
                self.text(self.add(account, "FinancialInstitutionBranch"), "ID", one.account.bic)
        self.text(self.add(root, "PaymentTerms"), "Note", one.terms)
        total = self.add(root, "TaxTotal")
        self.amount(total, "TaxAmount", one.vat)
        group = self.add(total, "TaxSubtotal")
        self.amount(group, "TaxableAmount", one.net)
        self.amount(group, "TaxAmount", one.vat)
        self.category(group, "TaxCategory", True)
        sums = self.add(root, "LegalMonetaryTotal")
        for name, minor in (
            ("LineExtensionAmount", one.net),
            ("TaxExclusiveAmount", one.net),
            ("TaxInclusiveAmount", one.gross),
            ("PayableAmount", one.gross),
        ):
            self.amount(sums, name, minor)
        for index, line in enumerate(one.lines, 1):
            self.line(root, index, line)
        ElementTree.indent(root)
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="utf-8") + b"\n"

    def line(self, root: ElementTree.Element, index: int, line: Line) -> None:
        element = self.add(root, f"{self.kind}Line")
        self.text(element, "ID", str(index))
        quantity = self.text(element, "CreditedQuantity" if self.invoice.credit else "InvoicedQuantity", "-1" if line.net < 0 else "1")
        quantity.set("unitCode", "C62")
        self.amount(element, "LineExtensionAmount", line.net)
        item = self.add(element, "Item")
        self.text(item, "Name", line.text)
        self.category(item, "ClassifiedTaxCategory", False)
        self.amount(self.add(element, "Price"), "PriceAmount", abs(line.net))

    def category(self, parent: ElementTree.Element, name: str, with_reason: bool) -> None:
        taxed = self.invoice.tax
        element = self.add(parent, name)
        self.text(element, "ID", taxed.category)
        if taxed.category != "O":
            self.text(element, "Percent", percent(taxed.rate))
        if with_reason and taxed.reason:
            self.text(element, "TaxExemptionReason", taxed.reason)
        self.text(self.add(element, "TaxScheme"), "ID", "VAT")

    def party(self, root: ElementTree.Element, name: str, party: Party, seller: bool) -> None:
        element = self.add(self.add(root, name), "Party")
        if party.endpoint:
            scheme, ident = scheme_and_id(party.endpoint)
            self.text(element, "EndpointID", ident).set("schemeID", scheme)
        address = self.add(element, "PostalAddress")
        for tag, value in (
            ("StreetName", party.street), ("AdditionalStreetName", party.more), ("CityName", party.city), ("PostalZone", party.postcode),
        ):  # fmt: skip
            if value:
                self.text(address, tag, value)
        self.text(self.add(address, "Country"), "IdentificationCode", party.country)
        for ident, scheme in ((party.vat_id, "VAT"), (party.tax_number if seller else None, "TAX")):
            if ident:
                registered = self.add(element, "PartyTaxScheme")
                self.text(registered, "CompanyID", ident)
                self.text(self.add(registered, "TaxScheme"), "ID", scheme)
        legal = self.add(element, "PartyLegalEntity")
        self.text(legal, "RegistrationName", party.name)
        if party.number:
            self.text(legal, "CompanyID", party.number)

    def add(self, parent: ElementTree.Element, name: str) -> ElementTree.Element:
        return ElementTree.SubElement(parent, f"cac:{name}")

    def text(self, parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, f"cbc:{name}")
        element.text = clean(text)
        return element

    def amount(self, parent: ElementTree.Element, name: str, minor: int) -> None:
        self.text(parent, name, self.invoice.shown(minor)).set("currencyID", self.invoice.currency)
