#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: status_page
short_description: A public page of how the services are, from files
version_added: 0.1.0
description:
  - Writes a folder that any web server can serve. It holds a page in each language, C(status.json), the feed C(incidents.atom) and the
    calendar C(maintenance.ics) of planned maintenance.
  - How a service is comes from the receipt that role C(verify) keeps of it, from incidents that go on, and from maintenance that is under
    way. A receipt that is too old says nothing.
  - Incidents and maintenance are files beside the membership file; docs/status.md explains every field. One that names a person of the
    membership file, or a mail address that is not meant for everybody, is refused with file and line.
  - Depends on the files and on O(at), on nothing else. The pages hold no time of their making.
  - Works on the controller, as an action plugin. The host the task runs for is not used.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
  - meet.coop.members_at
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - the tz database on the controller (Debian package tzdata, or tzdata of PyPI)
options:
  directory:
    description:
      - Folder on the controller to write to; made when it is not there.
      - Pages in languages that are not in O(languages) are removed from it. Other files stay.
    type: path
    required: true
  receipts:
    description: Folder on the controller in which role C(verify) keeps its receipts.
    type: path
    required: true
  incidents:
    description: Folder of the incidents. Left out, C(incidents) beside the membership file. It need not exist.
    type: path
  maintenance:
    description: Folder of planned maintenance. Left out, C(maintenance) beside the membership file. It need not exist.
    type: path
  languages:
    description: Languages of the pages. The first is that of C(index.html), of the feed and of the calendar.
    type: list
    elements: str
    choices: [en, es, ca, de, fr]
    default: [en]
  time_zone:
    description: Time zone of the times on the pages, by its name in the tz database.
    type: str
    default: UTC
  url:
    description: Address at which the folder is served, for the feed. Left out, the feed has no links.
    type: str
  stale_hours:
    description: How many hours a receipt is believed.
    type: int
    default: 48
  incident_days:
    description: How many days the pages show an incident after something was last said of it.
    type: int
    default: 90
  hidden:
    description: Ids of services that are not published.
    type: list
    elements: str
    default: []
seealso:
  - module: meet.coop.maintenance_notices
  - module: meet.coop.greenlight_verify
"""

EXAMPLES = r"""
- name: Write the status page
  meet.coop.status_page:
    membership: [inventories/ourcoop/members.yml]
    receipts: receipts
    directory: public/status
    at: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
    languages: [es, ca, en]
    time_zone: Europe/Madrid
    url: https://status.ourcoop.example/
"""

RETURN = r"""
at:
  description: The time, in UTC.
  returned: success
  type: str
  sample: "2026-03-04T12:00:00Z"
services:
  description: The services that are published, by title.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the service.
      type: str
    state:
      description: V(ok), V(unknown), V(maintenance), V(degraded) or V(down).
      type: str
    checked:
      description: When it was last verified, in UTC, or null.
      type: str
    hostname:
      description: The name it is linked by.
      type: str
counts:
  description: How many are in each state.
  returned: success
  type: dict
  sample: {"ok": 12, "unknown": 0, "maintenance": 0, "degraded": 1, "down": 0}
maintenance:
  description: All maintenance in the files, with C(id), C(title), C(from), C(until), C(state) and C(services).
  returned: success
  type: list
  elements: dict
incidents_open:
  description: Ids of the incidents that go on.
  returned: success
  type: list
  elements: str
files:
  description: Files that were written or removed, or would be.
  returned: success
  type: list
  elements: str
summary:
  description: What the page says in a few lines, and a line for each receipt that cannot be used.
  returned: success
  type: list
  elements: str
  sample: ["Services: 12 ok, 1 degraded"]
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "membership": {"type": "list", "elements": "path", "required": True},
    "directory": {"type": "path", "required": True},
    "receipts": {"type": "path", "required": True},
    "incidents": {"type": "path"},
    "maintenance": {"type": "path"},
    "at": {"type": "str", "required": True},
    "languages": {"type": "list", "elements": "str", "choices": ["en", "es", "ca", "de", "fr"], "default": ["en"]},
    "time_zone": {"type": "str", "default": "UTC"},
    "url": {"type": "str"},
    "stale_hours": {"type": "int", "default": 48},
    "incident_days": {"type": "int", "default": 90},
    "hidden": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    """Never reached through Ansible: the action plugin of the same name does the work on the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(msg="meet.coop.status_page runs on the controller; call it as a task, not as a module file")


if __name__ == "__main__":
    main()
