# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  smtp:
    description: The account that mails are sent through. Left out, Greenlight sends no mail and new users count as verified.
    type: dict
    suboptions:
      server:
        description: Name of the server.
        type: str
        required: true
      port:
        description: Port of the server, 587 for STARTTLS and 465 for TLS as a rule.
        type: int
        default: 587
      security:
        description: V(starttls) insists on STARTTLS, V(tls) encrypts from the start, V(none) does neither.
        type: str
        choices: [starttls, tls, none]
        default: starttls
      auth:
        description: How to log in; left out, the way is agreed on when there is a username.
        type: str
        choices: [plain, login, cram_md5, none]
      username:
        description: Login name.
        type: str
      password:
        description: Login password.
        type: str
      password_var:
        description: Ignored; lets a member's C(smtp) be handed over as it stands in the membership file.
        type: str
      sender_email:
        description: Address that mails come from.
        type: str
        required: true
      sender_name:
        description: Name that mails come from.
        type: str
      helo_domain:
        description: Domain to greet the server with; that of O(smtp.sender_email) when left out.
        type: str
      verify:
        description: Whether the server's certificate is checked.
        type: bool
        default: true
"""
