# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: page_style
short_description: The style that all pages of the co-operative share
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Gives an HTML element C(style) for the head of a page made by M(ansible.builtin.template). It has light and dark colours, and prints.
  - Nothing in it comes from elsewhere.
options:
  _terms:
    description: A colour such as C(#b3123f) for the line under the head of the page. Left out, that of other lines.
    type: list
    elements: str
"""

EXAMPLES = r"""
---
- name: Write a page
  ansible.builtin.copy:
    content: "<!DOCTYPE html><html lang='en'><title>Us</title>{{ lookup('meet.coop.page_style', '#b3123f') }}<h1>Us</h1></html>"
    dest: us.html
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: The element.
  type: list
  elements: str
"""

import re
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.meet.coop.plugins.plugin_utils._support import pages


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        accent = str(terms[0]) if terms else ""
        if accent and not re.fullmatch(r"#[0-9A-Fa-f]{6}", accent):
            raise AnsibleLookupError(f"page_style: {accent!r} is not a colour; write # and six hexadecimal digits, such as #b3123f")
        return [pages.style(accent)]
