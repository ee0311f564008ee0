# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: is it our edge that answers for a name on port 80, where an authority will knock."""

from __future__ import annotations

import errno
import http.client
import secrets
import socket
from collections.abc import Sequence

CHECK_PATH = "/.well-known/coop-check/"
"""The edge answers below this path with its own token and the last part of the path (_edge/base.py)."""
_NO_ROUTE = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def fault(name: str, addresses: Sequence[str], token: str, timeout: float, port: int = 80) -> str | None:
    """Why port 80 of a name isn't our edge, None when it is at each address. Addresses this machine has no route to are left out."""
    for address in addresses:
        nonce = secrets.token_urlsafe(12)
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        try:
            connection.request("GET", CHECK_PATH + nonce, headers={"Host": name, "User-Agent": "meet.coop domain_check"})
            answer = connection.getresponse()
            body = answer.read(512).decode("utf-8", "replace").strip()
        except OSError as error:
            if error.errno in _NO_ROUTE:
                continue
            why = "nothing in time" if isinstance(error, socket.timeout) else error.strerror or str(error)
            return f"{address} does not answer on port 80 ({why})"
        except http.client.HTTPException as error:
            return f"{address} does not speak HTTP on port 80 ({type(error).__name__})"
        finally:
            connection.close()
        if body != f"{token} {nonce}":
            return f"something else than our web server answers on port 80 of {address} (status {answer.status})"
    return None
