# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: wait until every name server of a zone shows a TXT record, as an authority may ask any of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._dns.authority import Authorities, NoAuthority, make_resolver
from ansible_collections.meet.coop.plugins.module_utils._dns.names import ascii_name
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "values": {"type": "list", "elements": "str", "required": True},
    "resolver": {"type": "str"},
    "resolver_port": {"type": "int", "default": 53},
    "timeout": {"type": "int", "default": 120},
}
QUERY_TIMEOUT = 5.0
PAUSE = 1.0


def run(params: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """The result for Ansible. Raises CoopError when time is up."""
    if check_mode:
        return {"changed": False, "seconds": 0.0}
    authorities = Authorities(make_resolver(params.get("resolver"), params["resolver_port"], QUERY_TIMEOUT), QUERY_TIMEOUT)
    name, wanted = ascii_name(params["name"].strip()).rstrip("."), set(params["values"])
    begun = time.monotonic()
    while True:
        try:
            found = authorities.lookup(name, "TXT")
            shown = {b"".join(record.strings).decode("utf-8", "replace") for record in found.values}
            missing = wanted - shown
            why = found.disagree or (f"{len(missing)} of {len(wanted)} values are not there" if missing else "")
        except NoAuthority as error:
            why = str(error)
        if not why:
            return {"changed": False, "seconds": round(time.monotonic() - begun, 2)}
        if time.monotonic() - begun > params["timeout"]:
            raise CoopError(f"{name} TXT is not shown by all name servers of its zone after {params['timeout']} s: {why}")
        time.sleep(PAUSE)
