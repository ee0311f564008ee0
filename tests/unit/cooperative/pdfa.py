# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of PDF/A-3a (ISO 19005-3) can be looked at with pypdf and fontTools.

No validator is a package of Debian, PyPI or npm (veraPDF is a Java program with its own installer), so this is a part of what one
asks: each finding names its clause. It is not a proof of conformance.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pypdf
from fontTools.ttLib import TTFont
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, StreamObject

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
PDFAID = "{http://www.aiim.org/pdfa/ns/id/}"
FILTERS = {"/FlateDecode", "/DCTDecode", "/ASCIIHexDecode", "/ASCII85Decode", "/RunLengthDecode", "/CCITTFaxDecode"}
ACTIONS = {"/GoTo", "/GoToR", "/GoToE", "/URI", "/Named", "/Thread", "/SubmitForm"}
BLENDS = {
    "/Normal", "/Compatible", "/Multiply", "/Screen", "/Overlay", "/Darken", "/Lighten", "/ColorDodge", "/ColorBurn", "/HardLight",
    "/SoftLight", "/Difference", "/Exclusion", "/Hue", "/Saturation", "/Color", "/Luminosity",
}  # fmt: skip


def flaws(data: bytes) -> list[str]:
    """What is found in a PDF that PDF/A-3a does not allow, or that it asks for and does not find."""
    found: list[str] = []
    if not re.match(rb"%PDF-1\.[0-7]\r?\n%[\x80-\xff]{4}", data):
        found.append("6.1.2: header, with four bytes above 127 in a comment after it")
    reader = pypdf.PdfReader(io.BytesIO(data))
    if "/ID" not in reader.trailer or "/Encrypt" in reader.trailer:
        found.append("6.1.3: trailer with an ID and without encryption")
    catalog = reader.trailer["/Root"].get_object()
    objects = list(everything(catalog))
    found += [flaw for each in objects for flaw in _object(each)]
    found += [*_catalog(catalog), *_metadata(catalog), *_files(catalog), *_pages(reader)]
    found += [flaw for each in objects if isinstance(each, DictionaryObject) and each.get("/Type") == "/Font" for flaw in _font(each)]
    return found


def everything(root: Any) -> Iterator[Any]:
    """Every object that can be reached, once."""
    seen: set[object] = set()
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if isinstance(each, IndirectObject):
            if each.idnum in seen:
                continue
            seen.add(each.idnum)
            each = each.get_object()
        if isinstance(each, DictionaryObject):
            yield each
            # Back to where it came from leads nowhere new.
            waiting += [value for key, value in dict.items(each) if key not in ("/Parent", "/P")]
        elif isinstance(each, ArrayObject):
            waiting += list(each)


def _object(each: DictionaryObject) -> Iterator[str]:
    if isinstance(each, StreamObject):
        if {"/F", "/FFilter", "/FDecodeParms"} & set(each) and each.get("/Type") != "/EmbeddedFile":
            yield "6.1.7.1: no stream lies in another file"
        filters = each.get("/Filter", [])
        if not {str(one) for one in (filters if isinstance(filters, ArrayObject) else [filters])} <= FILTERS:
            yield f"6.1.7.2: filter {filters}"
    if "/AA" in each or "/JS" in each or (each.get("/S") in ("/JavaScript", "/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData")):
        yield "6.5.1: no script and no action that starts by itself"
    if each.get("/Type") == "/Action" and each.get("/S") not in ACTIONS:
        yield f"6.5.1: action {each.get('/S')}"
    if each.get("/Subtype") == "/Image" and (each.get("/Interpolate") or "/Alternates" in each):
        yield "6.2.8: image with interpolation or alternates"
    if "/TR" in each or "/HTP" in each or str(each.get("/BM", "/Normal")) not in BLENDS:
        yield "6.2.5: graphics state"
    if each.get("/Type") == "/Annot" and (
        int(each.get("/F", 0)) & 0b100011 or not int(each.get("/F", 0)) & 0b100 or each.get("/Subtype") in ("/Sound", "/Movie", "/3D")
    ):
        yield "6.3: annotation that is not printed, or of a kind that is not allowed"


def _catalog(catalog: DictionaryObject) -> Iterator[str]:
    if {"/OCProperties", "/Requirements", "/NeedsRendering", "/AcroForm", "/OpenAction"} & set(catalog):
        yield "6.1.11, 6.4, 6.5, 6.9: nothing in the catalog that acts or is optional"
    intents = [one.get_object() for one in catalog.get("/OutputIntents", [])]
    profiles = [one["/DestOutputProfile"].get_object() for one in intents if one.get("/S") == "/GTS_PDFA1" and "/DestOutputProfile" in one]
    if len(profiles) != 1 or profiles[0].get("/N") != 3 or profiles[0].get_data()[12:20] != b"mntrRGB ":
        yield "6.2.3: one output intent with an RGB profile"
    if not catalog.get("/Lang") or not catalog.get("/MarkInfo", {}).get("/Marked") or "/StructTreeRoot" not in catalog:
        yield "6.7: marked content, its structure, and the language"


def _metadata(catalog: DictionaryObject) -> Iterator[str]:
    packet = catalog["/Metadata"].get_object().get_data().decode() if "/Metadata" in catalog else ""
    if not re.match(r'<\?xpacket begin="[^"]*" id="W5M0MpCehiHzreSzNTczkc9d"\?>', packet) or "bytes=" in packet or "encoding=" in packet:
        yield "6.6.2.1: metadata as one XMP packet"
        return
    described = ElementTree.fromstring(re.sub(r"<\?xpacket[^>]*\?>", "", packet)).findall(f"{RDF}RDF")
    said = [one.get(f"{PDFAID}{key}") or one.findtext(f"{PDFAID}{key}") for one in described[0] for key in ("part", "conformance")]
    if len(described) != 1 or [one for one in said if one] != ["3", "A"]:
        yield "6.6.4: part 3, conformance A"


def _files(catalog: DictionaryObject) -> Iterator[str]:
    listed = catalog.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", [])
    attached = [one.get_object() for one in listed[1::2]]
    if {id(one) for one in attached} != {id(one.get_object()) for one in catalog.get("/AF", [])} or len(catalog.get("/AF", [])) != len(
        attached
    ):
        yield "6.8: each file that is inside is associated with the document, once"
    for one in attached:
        inside = one.get("/EF", {}).get("/F")
        inside = inside.get_object() if inside else {}
        parameters = inside.get("/Params", {})
        if not one.get("/F") or one.get("/F") != one.get("/UF") or one.get("/AFRelationship") not in ("/Alternative", "/Data", "/Source"):
            yield "6.8: a file with F, UF and how it belongs to the document"
        if not inside or "/" not in str(inside.get("/Subtype", "/")).lstrip("/") or "/ModDate" not in parameters:
            yield "6.8: a file with its media type and date"
        elif (
            parameters.get("/Size") != len(inside.get_data())
            or parameters["/CheckSum"].original_bytes != hashlib.md5(inside.get_data()).digest()
        ):
            yield "6.8: size and sum of a file are its own"


def _pages(reader: pypdf.PdfReader) -> Iterator[str]:
    for page in reader.pages:
        if str(page.get("/Group", {}).get("/CS", "/DeviceRGB")) not in ("/DeviceRGB", "/DeviceGray"):
            yield "6.2.10: colours that blend are of the output intent"
        depth = 0
        for operands, operator in pypdf.generic.ContentStream(page["/Contents"], reader).operations:
            depth += {b"BDC": 1, b"BMC": 1, b"EMC": -1}.get(operator, 0)
            if operator in (b"k", b"K"):
                yield "6.2.4.3: CMYK, which is not that of the output intent"
            if operator in (b"Tj", b"TJ"):
                shown = list(operands[0] if isinstance(operands[0], ArrayObject) else operands)
                texts = [one.original_bytes for one in shown if hasattr(one, "original_bytes")]
                if any(text[place : place + 2] == b"\0\0" for text in texts for place in range(0, len(text), 2)):
                    yield "6.2.11.8: a character that no font here has"
                if depth < 1:
                    yield "6.7.2: text that is not marked"


def _font(font: DictionaryObject) -> Iterator[str]:
    if font.get("/Subtype") != "/Type0":
        if font.get("/Subtype") not in ("/CIDFontType0", "/CIDFontType2", "/Type3") and "/FontDescriptor" not in font:
            yield f"6.2.11.4: font {font.get('/BaseFont')} is not inside"
        return
    if "/ToUnicode" not in font:
        yield "6.2.11.7: no Unicode for its characters"
    (below,) = [one.get_object() for one in font["/DescendantFonts"]]
    inside = below["/FontDescriptor"].get_object()
    program = next((inside[key].get_object() for key in ("/FontFile2", "/FontFile3") if key in inside), None)
    if program is None:
        yield f"6.2.11.4: font {font.get('/BaseFont')} is not inside"
        return
    if below.get("/Subtype") == "/CIDFontType2" and "/CIDToGIDMap" not in below:
        yield "6.2.11.3.2: no map of its glyphs"
    glyphs = TTFont(io.BytesIO(program.get_data()))
    wide, order = glyphs["hmtx"].metrics, glyphs.getGlyphOrder()
    rest = list(below.get("/W", []))
    while rest:
        first, widths, rest = int(rest[0]), list(rest[1]), rest[2:]
        for number, width in enumerate(widths, first):
            if abs(wide[order[number]][0] * 1000 / glyphs["head"].unitsPerEm - float(width)) > 1:
                yield f"6.2.11.5: width of glyph {number} of {font.get('/BaseFont')}"
