# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: host names as people write them, in the form that DNS, certificates and web servers use. Needs no library."""

from __future__ import annotations

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


class RecordError(CoopError):
    """A record as the user wrote it can't be a DNS record. What it quotes of that may hold line ends, the message does not."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


def ascii_name(name: str) -> str:
    """C(Bücher.example) -> C(xn--bcher-kva.example), lower case; wildcards and underscores pass.

    Names outside ASCII follow IDNA 2008 (UTS 46 mapping), for which the Python library idna is needed.
    """
    if name.isascii():
        return name.lower()
    try:
        import idna
    except ImportError as error:
        raise RecordError(f"'{name}' is written outside ASCII: install the Python library idna, or write its xn-- form") from error
    labels = []
    for label in name.replace("。", ".").split("."):
        if label.isascii():
            labels.append(label.lower())
            continue
        try:
            labels.append(idna.encode(label, uts46=True).decode("ascii"))
        except idna.IDNAError as error:
            raise RecordError(f"'{name}' is not a valid internationalised name: {error}") from error
    return ".".join(labels)
