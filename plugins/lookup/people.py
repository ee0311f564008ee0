# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: people
short_description: The people of a CSV table, for greenlight_user
version_added: 0.1.0
author: The meet.coop members (@meet-coop)
description:
  - Reads a table of people as a member sends it and gives the list that O(meet.coop.greenlight_user#module:users) takes.
  - The first line names the columns, in any order. C(name) and C(email) are required; C(role), C(state) (V(present) or V(disabled))
    and C(language) may be left out or left empty.
  - The file is UTF-8, with or without byte order mark, and separated by comma, semicolon or tab. Empty lines and columns at the end
    are passed over, and a line break inside a cell becomes a blank.
  - Everything that is wrong is told at once, each with file and line and what to write instead, and then nothing is returned.
options:
  _terms:
    description: CSV files on the controller, absolute or relative as in P(ansible.builtin.file#lookup).
    type: list
    elements: str
    required: true
  roles:
    description: Roles that the column C(role) may name. Left out, any but C(SuperAdmin); a role that does not exist is then found later.
    type: list
    elements: str
notes:
  - A person who is not in the table any more keeps the account. Write V(disabled) in column C(state) to close one.
seealso:
  - module: meet.coop.greenlight_user
"""

EXAMPLES = r"""
---
- name: Keep the accounts of the table that Sunflower sent
  meet.coop.greenlight_user:
    login_db: greenlight_sunflower
    users: "{{ query('meet.coop.people', 'sunflower-people.csv', roles=['User', 'Board']) }}"
"""

RETURN = r"""
_raw:
  description: One entry for each person, in the order of the table; C(role), C(state) and C(language) only where the table gives them.
  type: list
  elements: dict
  sample: [{name: Ada Lovelace, email: ada@sunflower.example, role: Administrator, state: present}]
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.plugin_utils._people import table


class LookupModule(LookupBase):
    """People of CSV tables."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """All people of all tables; AnsibleLookupError has one line for each problem."""
        self.set_options(var_options=variables, direct=kwargs)
        roles: list[str] | None = kwargs.get("roles")
        people: list[dict[str, str]] = []
        for term in terms:
            path = self.find_file_in_search_path(variables, "files", term, ignore_missing=True)
            if not path:
                raise AnsibleLookupError(f"{term}: there is no such file; name the CSV table, absolute or below files/")
            try:
                with open(path, "rb") as file:
                    people += table.read(file.read(table.MAX_BYTES + 1), term, roles)
            except OSError as error:
                raise AnsibleLookupError(f"{term}: cannot be read: {error.strerror}") from None
            except CoopError as error:
                raise AnsibleLookupError(str(error)) from None
        return people
