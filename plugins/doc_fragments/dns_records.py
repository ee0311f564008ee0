# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  zone:
    description: Name of the zone, such as V(meet.example.org).
    type: str
    required: true
  deployment:
    description:
      - Who runs this automation, for the marks. Letters, digits, V(.), V(_), V(-).
      - Two deployments writing the same zone need different names. Once used, do not change it, or its records become those of a stranger.
    type: str
    required: true
  member:
    description:
      - For whom the records are, for the marks. Only this one's names are seen, changed and pruned.
      - The roles of this collection give the id of the service here, so that a run for one service never touches the names of another.
    type: str
    required: true
  records:
    description: All records that O(member) should have in the zone. An empty list removes every one of them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name relative to the zone, V(@) for the zone's own name, or a whole name with a final dot.
          - Names outside ASCII may be written as they are.
        type: str
        required: true
      type:
        description:
          - One of V(A), V(AAAA), V(CAA), V(CNAME), V(MX), V(NS), V(SRV), V(TLSA), V(TXT).
          - V(NS) is for delegations, not for the zone's own name.
          - Only host names (letters, digits, hyphens) get V(A), V(AAAA) and V(MX), since servers differ about others.
        type: str
        required: true
      ttl:
        description: Seconds that resolvers may keep the record.
        type: int
        default: 300
      values:
        description:
          - All values of this name and type. Host names inside values are whole names, with or without the final dot.
          - A V(TXT) value is the text itself, of any length; one that begins with a quotation mark is taken as written in zone files.
            White space around it is dropped.
        type: list
        elements: str
        required: true
        aliases: [value]
  adopt:
    description:
      - Existing unmarked records that may be taken over, as V(name) or V(name/TYPE), for instance V(www/A).
      - They get a mark and the desired values, and are pruned later like any other.
    type: list
    elements: str
    default: []
  max_delete_share:
    description:
      - Largest share, between 0 and 1, of all names marked for O(deployment) that one run may remove. One name may always be removed.
      - It stops a run whose list of records came out empty by mistake.
    type: float
    default: 0.3
requirements:
  - idna on the controller, for names outside ASCII
"""
