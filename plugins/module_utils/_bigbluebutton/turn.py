# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: turn-stun-servers.xml, the Spring beans by which bbb-web knows STUN and TURN servers.

The operator's file takes the place of the package's as a whole, so it is written as a whole.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

_NAMESPACE = "http://www.springframework.org/schema/beans"
_CLASSES = "org.bigbluebutton.web.services.turn."


@dataclass(frozen=True)
class Turn:
    """One TURN server: turn: or turns: URL, its shared secret, and how many seconds a user's credentials hold."""

    url: str
    secret: str
    ttl: int = 86400


@dataclass(frozen=True)
class Servers:
    """What bbb-web tells browsers."""

    stun: tuple[str, ...] = ()
    turn: tuple[Turn, ...] = ()


def parse(text: str, where: str) -> Servers:
    """The servers of a file. Raises CoopError when it is none of bbb-web's."""
    if "<!DOCTYPE" in text:
        raise CoopError(f"{where} has a document type, which bbb-web's file has not; remove it")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CoopError(f"{where}:{error.position[0]} is no XML: {error}; correct or remove it") from None
    beans = {bean.get("id", ""): bean for bean in root.iter(f"{{{_NAMESPACE}}}bean")}
    stun, turn = [], []
    for bean in beans.values():
        given = {argument.get("index", ""): argument.get("value", "") for argument in bean.iter(f"{{{_NAMESPACE}}}constructor-arg")}
        if bean.get("class") == _CLASSES + "StunServer":
            stun.append(given.get("0", ""))
        elif bean.get("class") == _CLASSES + "TurnServer":
            ttl = given.get("2", "")
            turn.append(Turn(given.get("1", ""), given.get("0", ""), int(ttl) if ttl.isdecimal() else 0))
    return Servers(tuple(stun), tuple(turn))


def render(servers: Servers) -> str:
    """The file."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<beans xmlns="{_NAMESPACE}"',
        '       xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"',
        f'       xsi:schemaLocation="{_NAMESPACE} http://www.springframework.org/schema/beans/spring-beans-2.5.xsd">',
    ]

    def bean(name: str, kind: str, values: t.Iterable[str]) -> None:
        lines.append(f'  <bean id="{name}" class="{_CLASSES}{kind}">')
        lines.extend(f'    <constructor-arg index="{index}" value={quoteattr(value)}/>' for index, value in enumerate(values))
        lines.append("  </bean>")

    for number, url in enumerate(servers.stun):
        bean(f"stun{number}", "StunServer", [url])
    for number, one in enumerate(servers.turn):
        bean(f"turn{number}", "TurnServer", [one.secret, one.url, str(one.ttl)])
    lines.append(f'  <bean id="stunTurnService" class="{_CLASSES}StunTurnService">')
    for name, kind, count in (("stunServers", "stun", len(servers.stun)), ("turnServers", "turn", len(servers.turn))):
        lines.append(f'    <property name="{name}"><set>')
        lines.extend(f'      <ref bean="{kind}{number}"/>' for number in range(count))
        lines.append("    </set></property>")
    lines += ['    <property name="remoteIceCandidates"><set/></property>', "  </bean>", "</beans>", ""]
    return "\n".join(lines)
