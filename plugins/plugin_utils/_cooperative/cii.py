# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an invoice as CII by EN 16931, by drafthorse, which holds it against the schema it has with it."""

from __future__ import annotations

from decimal import Decimal

from .invoices import Invoice, Line, Party, clean, percent, scheme_and_id

GUIDELINE = "urn:cen.eu:en16931:2017"
SCHEMA = "FACTUR-X_EN16931"


def cii(invoice: Invoice) -> bytes:
    """The bytes of the document; the same for the same invoice. Needs drafthorse."""
    from drafthorse.models.accounting import ApplicableTradeTax
    from drafthorse.models.document import Document
    from drafthorse.models.payment import PaymentMeans, PaymentTerms

    def amount(minor: int) -> Decimal:
        return Decimal(invoice.shown(minor))

    document = Document()
    document.context.guideline_parameter.id = GUIDELINE
    document.header.id = invoice.number
    document.header.type_code = "381" if invoice.credit else "380"
    document.header.issue_date_time = invoice.issued
    agreement = document.trade.agreement
    if invoice.buyer_reference:
        agreement.buyer_reference = clean(invoice.buyer_reference)
    _party(agreement.seller, invoice.seller, True)
    _party(agreement.buyer, invoice.buyer, False)
    document.trade.delivery.event.occurrence = invoice.delivered
    settlement = document.trade.settlement
    settlement.currency_code = invoice.currency
    if invoice.account:
        settlement.payment_reference = clean(invoice.reference)
        means = PaymentMeans()
        means.type_code = "58" if invoice.currency == "EUR" else "30"
        means.payee_account.iban = invoice.account.iban
        means.payee_account.account_name = clean(invoice.account.name)
        if invoice.account.bic:
            means.payee_institution.bic = invoice.account.bic
        settlement.payment_means.add(means)
    group = ApplicableTradeTax()
    _tax(group, invoice)
    group.calculated_amount = amount(invoice.vat)
    group.basis_amount = amount(invoice.net)
    if invoice.tax.reason:
        group.exemption_reason = clean(invoice.tax.reason)
    settlement.trade_tax.add(group)
    if invoice.start and invoice.end:
        settlement.period.start = invoice.start
        settlement.period.end = invoice.end
    terms = PaymentTerms()
    terms.description = clean(invoice.terms)
    if not invoice.credit:
        terms.due = invoice.due
    settlement.terms.add(terms)
    sums = settlement.monetary_summation
    sums.line_total = amount(invoice.net)
    sums.tax_basis_total = amount(invoice.net)
    sums.tax_total = (amount(invoice.vat), invoice.currency)
    sums.grand_total = amount(invoice.gross)
    sums.due_amount = amount(invoice.gross)
    for number in invoice.corrects:
        settlement.invoice_referenced_document.issuer_assigned_id = number
    for index, line in enumerate(invoice.lines, 1):
        document.trade.items.add(_line(invoice, index, line))
    return document.serialize(schema=SCHEMA)


def _line(invoice: Invoice, index: int, line: Line):
    from drafthorse.models.tradelines import LineItem

    item = LineItem()
    item.document.line_id = str(index)
    item.product.name = clean(line.text)
    item.agreement.net.amount = Decimal(invoice.shown(abs(line.net)))
    item.delivery.billed_quantity = (Decimal(-1 if line.net < 0 else 1), "C62")
    _tax(item.settlement.trade_tax, invoice)
    item.settlement.monetary_summation.total_amount = Decimal(invoice.shown(line.net))
    return item


def _tax(tax, invoice: Invoice) -> None:
    tax.type_code = "VAT"
    tax.category_code = invoice.tax.category
    if invoice.tax.category != "O":
        tax.rate_applicable_percent = Decimal(percent(invoice.tax.rate))


def _party(element, party: Party, seller: bool) -> None:
    from drafthorse.models.party import TaxRegistration

    element.name = clean(party.name)
    if party.number:
        element.legal_organization.id = ("", clean(party.number))
    address = element.address
    for field, value in (
        ("line_one", party.street), ("line_two", party.more), ("postcode", party.postcode), ("city_name", party.city),
        ("country_id", party.country),
    ):  # fmt: skip
        if value:
            setattr(address, field, clean(value))
    if party.endpoint:
        element.electronic_address.uri_ID = scheme_and_id(party.endpoint)
    for ident, scheme in ((party.vat_id, "VA"), (party.tax_number if seller else None, "FC")):
        if ident:
            registration = TaxRegistration()
            registration.id = (scheme, clean(ident))
            element.tax_registrations.add(registration)
