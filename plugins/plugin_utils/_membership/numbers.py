# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: check digits of register and VAT numbers, by python-stdnum.

A number is only ever checked by the scheme it is said to be of; nothing is guessed from its country.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

from .errors import show

MISSING = "is not checked: python-stdnum is not installed on the controller; pip install python-stdnum there"


@functools.cache
def available() -> bool:
    """Whether python-stdnum is there."""
    try:
        importlib.import_module("stdnum")
    except ImportError:
        return False
    return True


def _package(country: str) -> str:
    # Two countries have the code of a Python keyword.
    return f"stdnum.{country}_" if country in ("in", "is") else f"stdnum.{country}"


@functools.cache
def schemes(country: str) -> tuple[str, ...]:
    """The checks that exist for a country, such as C(es.cif)."""
    try:
        package = importlib.import_module(_package(country))
    except ImportError:
        return ()
    return tuple(sorted(f"{country}.{found.name}" for found in pkgutil.iter_modules(package.__path__)))


def _refused(module: Any, number: str) -> str | None:
    """Why a check refuses a number; None when it accepts it."""
    from stdnum.exceptions import InvalidChecksum, InvalidFormat, InvalidLength, ValidationError

    try:
        module.validate(number)
    except InvalidChecksum:
        return "its check digit does not fit"
    except InvalidLength:
        return "it has the wrong length"
    except InvalidFormat:
        return "it has the wrong form"
    except ValidationError:
        return "a part of it cannot be"
    return None


def flaw(number: str | None, scheme: str, country: str | None) -> tuple[str | None, str, bool]:
    """What is wrong with a register number (None: nothing), which field says so, and whether that is certain."""
    if country and scheme[:2] != country.lower():
        return f"{show(scheme)} is of another country than {show(country)}; write one of that country, or remove it", "scheme", True
    if number is None:
        return "stands here without number; write the number, or remove it", "scheme", True
    if not available():
        return MISSING, "scheme", False
    if scheme not in schemes(scheme[:2]):
        known = ", ".join(schemes(scheme[:2]))
        advice = f"write one of {known}" if known else "there is none for this country, remove it"
        return f"{show(scheme)} is no check of python-stdnum; {advice}", "scheme", True
    module = importlib.import_module(f"{_package(scheme[:2])}.{scheme[3:]}")
    if not hasattr(module, "validate"):
        return f"{show(scheme)} checks no number; remove it", "scheme", True
    wrong = _refused(module, number)
    return (
        (f"{show(number)} is no number of {scheme}: {wrong}; mend it as the register has it", "number", True) if wrong else (None, "", True)
    )


def vat_flaw(number: str) -> tuple[str | None, bool]:
    """What is wrong with a VAT number (None: nothing), and whether that is certain."""
    if not available():
        return MISSING, False
    from stdnum.util import get_cc_module

    country = {"EL": "gr", "XI": "gb"}.get(number[:2], number[:2].lower())
    module = get_cc_module(country, "vat")
    if module is None:
        return f"there is no check for VAT numbers of {show(number[:2])}; it is taken as it is", False
    wrong = _refused(module, number)
    return (f"{show(number)} is no VAT number: {wrong}; mend it as the tax office has it", True) if wrong else (None, True)
