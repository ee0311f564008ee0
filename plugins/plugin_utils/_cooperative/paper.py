# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: an invoice on paper, by WeasyPrint, alone or with its CII inside (Factur-X, profile EN 16931).

A PDF/A-3a. Its dates are the day of the invoice and its identifier is the sum of what is in it, so that the same invoice gives the same
bytes as long as fonts and WeasyPrint are the same.
"""

from __future__ import annotations

import datetime
from typing import Any

from .files import sha256
from .invoices import Invoice
from .pages import render, taxed_in_words

ATTACHED = "factur-x.xml"
VARIANT = "pdf/a-3a"
_FIELDS = (
    ("DocumentFileName", "The name of the embedded XML document"),
    ("DocumentType", "The type of the hybrid document in capital letters, e.g. INVOICE or ORDER"),
    ("Version", "The actual version of the standard applying to the embedded XML document"),
    ("ConformanceLevel", "The conformance level of the embedded XML document"),
)
# What a PDF/A has to say of metadata that it does not know by itself (Factur-X 1.0, section 6.2.2).
_XMP = """<rdf:Description xmlns:fx="urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#" rdf:about="">
<fx:DocumentType>INVOICE</fx:DocumentType><fx:DocumentFileName>{attached}</fx:DocumentFileName><fx:Version>1.0</fx:Version>
<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>
</rdf:Description>
<rdf:Description xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"
 xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#" rdf:about="">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>fx</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq>{fields}</rdf:Seq></pdfaSchema:property>
</rdf:li></rdf:Bag></pdfaExtension:schemas>
</rdf:Description>
"""
_FIELD = """<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{}</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType>
<pdfaProperty:category>external</pdfaProperty:category><pdfaProperty:description>{}</pdfaProperty:description></rdf:li>"""


def paper(invoice: Invoice, inside: bytes | None = None) -> bytes:
    """The PDF of an invoice; with C(inside), its CII, a Factur-X. Needs WeasyPrint."""
    import weasyprint

    title = f"{'Credit note' if invoice.credit else 'Invoice'} {invoice.number}"
    page = render("invoice", one=invoice, title=title, taxed=taxed_in_words(invoice.tax))
    made = datetime.datetime(invoice.issued.year, invoice.issued.month, invoice.issued.day, tzinfo=datetime.UTC)
    more = {}
    if inside is not None:
        attached = weasyprint.Attachment(
            string=inside, name=ATTACHED, description="Invoice data", created=made, modified=made, relationship="Alternative"
        )
        more = {"attachments": [attached], "finisher": _say_factur_x}
    ident = sha256(page.encode() + (inside or b"")).encode()
    document = weasyprint.HTML(string=page, url_fetcher=weasyprint.URLFetcher(allowed_protocols=()))
    return document.write_pdf(pdf_variant=VARIANT, pdf_identifier=ident, **more)


def _say_factur_x(_document: object, pdf: Any) -> None:
    """Adds to the metadata what is inside. WeasyPrint's own way would make a second rdf:RDF, and XMP knows only one."""
    fields = "".join(_FIELD.format(*field) for field in _FIELDS)
    said = _XMP.format(attached=ATTACHED, fields=fields).encode()
    number = int(pdf.catalog["Metadata"].split()[0])
    metadata = next(one for one in pdf.objects if one.number == number)
    # WeasyPrint 70 lists an attachment twice.
    pdf.catalog["AF"][:] = dict.fromkeys(pdf.catalog["AF"])
    metadata.stream = [b"".join(metadata.stream).replace(b"</rdf:RDF>", said + b"</rdf:RDF>", 1)]
