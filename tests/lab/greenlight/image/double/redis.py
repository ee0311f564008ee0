# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of Redis that is needed: PING and PUBLISH at REDIS_URL."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import unquote, urlsplit

from . import config


class RedisError(Exception):
    """Redis cannot be reached or refuses."""


def command(*words: str, timeout: float = 5.0) -> str:
    """One command on a fresh connection, after AUTH and SELECT of the URL; returns the first line of the answer."""
    parts = urlsplit(config.env("REDIS_URL") or "redis://127.0.0.1:6379")
    commands = []
    if parts.password:
        commands.append(("AUTH", *((unquote(parts.username),) if parts.username else ()), unquote(parts.password)))
    if parts.path.strip("/"):
        commands.append(("SELECT", parts.path.strip("/")))
    answer = ""
    try:
        with (
            socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout) as connection,
            connection.makefile("rb") as stream,
        ):
            for arguments in (*commands, words):
                encoded = [word.encode() for word in arguments]
                connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
                answer = stream.readline().decode(errors="replace").strip()
                if answer.startswith("-"):
                    raise RedisError(answer[1:])
    except OSError as error:
        raise RedisError(f"Error connecting to Redis on {parts.hostname}:{parts.port or 6379} ({error})") from error
    return answer


def publish(channel: str, message: str) -> None:
    """ActionCable's broadcast; a missing listener is no error."""
    with contextlib.suppress(RedisError):
        command("PUBLISH", channel, message)
