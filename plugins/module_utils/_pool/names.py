# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the name under which a pool knows an instance."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 16
_HASH = 7
_FITS = re.compile(r"[a-z0-9]{1,16}\Z")


def tenant_name(service_id: str) -> str:
    """The pool tenant of a service: its id where that fits, else nine of its letters and seven hexadecimal digits of its SHA-256.

    Engines take 1 to 16 letters and digits (bbblb/utils.py, RE_TENANT_NAME); the name also stands in URLs and meeting IDs. Two ids
    share a name only when their first letters and 28 bits of hash agree, or when one id spells the other's name; the membership file is
    checked for that.
    """
    if not service_id:
        raise ValueError("a service id is needed to name its tenant")
    if _FITS.match(service_id):
        return service_id
    digest = hashlib.sha256(service_id.encode("utf-8")).hexdigest()
    kept = re.sub(r"[^a-z0-9]", "", service_id.lower())
    return kept[: MAX_LENGTH - _HASH] + digest[:_HASH]
