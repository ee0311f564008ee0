#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bbb_config
short_description: Brings a BigBlueButton server's own configuration files to what is asked
version_added: 0.1.0
description:
  - Changes only the files in C(/etc/bigbluebutton) and C(/etc/default) that BigBlueButton leaves to operators, never a package's file.
  - Settings are merged in. What is not named stays as it is, with its comments and its order; V(null) takes a setting away, so that the
    package's own value is in force again.
  - A setting that the installed release does not know is refused, with the nearest one that it knows. What it knows is read from the
    packages' own files on the host, so that a setting which an upgrade has removed is noticed too.
  - The server's URL and secret are written to all the files that repeat them.
  - Nothing is restarted, since a restart ends every meeting on the server. RV(needs_restart) tells what has to be, also after a run that
    was killed; role P(meet.coop.node_maintenance#role) does it on a node without meetings.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the settings that change. Secrets are masked.
  idempotent:
    support: full
requirements:
  - python3-yaml on the server
options:
  server_url:
    description: The server's own URL, such as C(https://bbb1.example.org); written wherever it or its host name is repeated.
    type: str
  secret:
    description: The API's shared secret, 16 or more letters and digits; written wherever it is repeated.
    type: str
  web:
    description: Settings of C(bbb-web.properties), by their full name. Lists are joined by commas.
    type: dict
    default: {}
  html5:
    description: Settings of C(bbb-html5.yml), nested as there.
    type: dict
    default: {}
  apps_akka:
    description: Settings of C(bbb-apps-akka.conf), nested as there.
    type: dict
    default: {}
  fsesl_akka:
    description: Settings of C(bbb-fsesl-akka.conf).
    type: dict
    default: {}
  webrtc_sfu:
    description: Settings of C(bbb-webrtc-sfu/production.yml).
    type: dict
    default: {}
  webrtc_recorder:
    description: Settings of C(bbb-webrtc-recorder.yml).
    type: dict
    default: {}
  graphql_middleware:
    description: Settings of C(bbb-graphql-middleware.yml).
    type: dict
    default: {}
  webhooks:
    description: Settings of C(bbb-webhooks/production.yml).
    type: dict
    default: {}
  recording:
    description: Settings of C(recording/recording.yml).
    type: dict
    default: {}
  presentation:
    description: Settings of C(recording/presentation.yml).
    type: dict
    default: {}
  video:
    description: Settings of C(recording/video.yml).
    type: dict
    default: {}
  secret_values:
    description:
      - Further settings whose values are secret, by section and name, such as C(fsesl_akka.freeswitch.esl.password).
      - Settings that look like secrets are refused anywhere else, where they would be logged.
    type: dict
    default: {}
  recording_formats:
    description: Formats that recordings are made into, such as V(presentation) and V(video). Their packages have to be installed.
    type: list
    elements: str
  turn_servers:
    description:
      - TURN servers. With O(turn_servers) or O(stun_servers) the whole of C(turn-stun-servers.xml) is written, in place of the package's.
    type: list
    elements: dict
    suboptions:
      url:
        description: URL, such as C(turns:turn.example.org:443?transport=tcp).
        type: str
        required: true
      secret:
        description: Secret shared with that server.
        type: str
        required: true
      ttl:
        description: Seconds for which a user's credentials hold.
        type: int
        default: 86400
  stun_servers:
    description: URLs of STUN servers, such as C(stun:stun.example.org).
    type: list
    elements: str
  cron:
    description:
      - Days in C(/etc/default/bigbluebutton-cron-config), for C(history), C(unrecorded_days), C(published_days) and C(log_history).
    type: dict
    default: {}
  apply_config:
    description: The whole of C(bbb-conf/apply-config.sh), which C(bbb-conf) runs before it starts the units.
    type: str
  also_known:
    description: Settings to accept though the package's file does not have them, by section and name, such as C(web.someNewSetting).
    type: list
    elements: str
    default: []
seealso:
  - module: meet.coop.bbb_node_info
  - module: meet.coop.bbb_node_drain
"""

EXAMPLES = r"""
- name: Configure a server of the pool
  meet.coop.bbb_config:
    server_url: https://bbb1.example.org
    secret: "{{ vault_bbb1_secret }}"
    web:
      disableRecordingDefault: true
      allowStartStopRecording: false
      autoStartRecording: false
      supportedChecksumAlgorithms: [sha1, sha256]
    webrtc_sfu:
      mediaThresholds:
        global: 1000
  register: config

- name: Tell what a restart is due for
  ansible.builtin.debug:
    var: config.needs_restart
"""

RETURN = r"""
release:
  description: The installed release of BigBlueButton.
  returned: success
  type: str
  sample: 3.0.34
files:
  description: The files that were changed.
  returned: success
  type: list
  elements: str
changes:
  description: The settings that were changed, with their section.
  returned: success
  type: list
  elements: str
  sample: [web.defaultMaxUsers]
needs_restart:
  description: Units that do not run with what their files say, and why. Empty when all do.
  returned: success
  type: list
  elements: dict
  contains:
    unit:
      description: The unit, without C(.service).
      type: str
    why:
      description: Settings that changed, or files that are newer than the unit's start.
      type: list
      elements: str
cuts_meetings:
  description: Whether people in meetings would notice these restarts.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import config
from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton.turn import Servers, Turn
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

ARGUMENT_SPEC: dict[str, Any] = {
    "server_url": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    **{section: {"type": "dict", "default": {}} for section in config.SETTINGS},
    "secret_values": {"type": "dict", "default": {}, "no_log": True},
    "recording_formats": {"type": "list", "elements": "str"},
    "turn_servers": {
        "type": "list",
        "elements": "dict",
        "options": {
            "url": {"type": "str", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
            "ttl": {"type": "int", "default": 86400},
        },
    },
    "stun_servers": {"type": "list", "elements": "str"},
    "cron": {"type": "dict", "default": {}},
    "apply_config": {"type": "str"},
    "also_known": {"type": "list", "elements": "str", "default": []},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The server's files from options to result. Raises CoopError."""
    servers = None
    if params["turn_servers"] is not None or params["stun_servers"] is not None:
        servers = Servers(
            tuple(params["stun_servers"] or ()),
            tuple(Turn(one["url"], one["secret"], one["ttl"]) for one in params["turn_servers"] or ()),
        )
    wanted = config.Wanted(
        server_url=params["server_url"],
        secret=params["secret"],
        sections={section: params[section] for section in config.SETTINGS},
        secrets={str(name): str(value) for name, value in params["secret_values"].items()},
        formats=None if params["recording_formats"] is None else tuple(params["recording_formats"]),
        servers=servers,
        cron=params["cron"],
        apply_config=params["apply_config"],
        also_known=frozenset(params["also_known"]),
    )
    with config.locked():
        observed = config.observe()
        plan = config.diff(observed, wanted)
        if plan.changed and not check_mode:
            config.apply(plan, observed)
    return {
        "changed": plan.changed,
        "release": observed.release,
        "files": [config.FILES[section].path for section in dict.fromkeys((*plan.texts, *plan.doors))],
        "changes": [f"{change.section}.{change.name}".rstrip(".") for change in plan.changes],
        "needs_restart": [{"unit": unit, "why": why} for unit, why in plan.restarts.items()],
        "cuts_meetings": plan.cuts_meetings,
        "diff": [_shown(plan, section) for section in dict.fromkeys((*plan.texts, *plan.doors))],
        "warnings": plan.warnings,
    }


def _shown(plan: config.Plan, section: str) -> dict[str, str]:
    file = config.FILES[section]
    own = [change for change in plan.changes if change.section == section]

    def lines(side: str) -> str:
        return "".join(f"{change.name or section}: {getattr(change, side)}\n" for change in own)

    if section in plan.doors:
        return {"before_header": file.path, "after_header": file.path, "before": "", "after": f"{file.group} {file.mode:04o}\n"}
    return {"before_header": file.path, "after_header": file.path, "before": lines("before"), "after": lines("after")}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except CoopError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
