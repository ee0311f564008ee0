#!/usr/bin/python
# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_check
short_description: Tells whether names may be served by us, and which records to create if not
version_added: 0.1.0
description:
  - Looks at each name as a certificate authority will, before any is asked, and says in one word what it is and in a few what to do.
  - V(ready) - everything below is as it should be.
  - V(conflict) - the name is ours, belongs to somebody else, is a public suffix or no whole host name, or its TXT record names another
    service.
  - V(dnssec) - its signatures are broken. Seen only through a validating O(resolver).
  - V(wrong_target) - the name servers of the zone themselves, all of them asked, do not lead every A and AAAA record to us. One stale
    AAAA record is enough to break certificates, since authorities prefer IPv6.
  - V(unverified) - nothing shows that whoever keeps the domain wants it here. A CNAME to O(target) shows it, since it names the service;
    an address does not, since addresses pass from one to the next. Then a TXT record does.
  - V(caa) - the nearest CAA records (RFC 8659) keep our authority out, or our account or way of validation (RFC 8657).
  - V(unreachable) - name servers do not answer, or something else than our edge answers on port 80.
  - Changes nothing, and fails for names that are not ready only when O(fail) asks for it, so that one bad name holds back nobody else.
  - Works on the controller, as an action plugin.
author: The meet.coop members (@meet-coop)
extends_documentation_fragment:
  - meet.coop.attributes
  - meet.coop.attributes.actiongroup_coop
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
requirements:
  - dnspython >= 2.3 on the controller
  - publicsuffixlist on the controller, for the check V(name)
  - idna on the controller, for names outside ASCII
options:
  names:
    description:
      - Whole host names to look at. A wildcard is looked at with O(checks=caa) and O(checks=dnssec) only in mind.
    type: list
    elements: str
    required: true
    aliases: [name]
  addresses:
    description: Our addresses, IPv4 and IPv6. Names must lead to these and to no other.
    type: list
    elements: str
    required: true
  target:
    description:
      - The service's own name in our zone. The advice proposes a CNAME to it, which then follows us when our addresses change.
      - A chain that reaches it counts as ours, since M(meet.coop.dns_zone) keeps where it leads.
    type: str
  ours:
    description: Domains of ours. No name may be one of them or lie inside.
    type: list
    elements: str
    default: []
  taken:
    description: Names that somebody else has, each with whose it is.
    type: dict
    default: {}
  verification:
    description:
      - What the TXT record C(_coop-verify.NAME) has to say after C(coop-verify=), by habit V(DEPLOYMENT/SERVICE). Left out, control is not
        looked at.
    type: str
  control:
    description:
      - What shows that the keeper of the domain wants it here. V(txt) asks for the TXT record always, V(txt_or_cname) only where there is
        no CNAME to O(target), V(none) never.
      - A TXT record that names another service is a conflict, unless this is V(none).
    type: str
    choices: [txt, txt_or_cname, none]
    default: txt_or_cname
  edge_token:
    description: The token of our edge, from M(meet.coop.caddy_info). Left out, port 80 is not looked at. It is no secret.
    type: str
  caa_identities:
    description: Names by which CAA records mean our certificate authority.
    type: list
    elements: str
    default: [letsencrypt.org]
  account_uri:
    description: URL of our account at the authority, for CAA records with C(accounturi).
    type: str
  validation_methods:
    description: How we prove control to the authority, for CAA records with C(validationmethods).
    type: list
    elements: str
    choices: [http-01, tls-alpn-01, dns-01]
    default: [http-01, tls-alpn-01]
  served:
    description:
      - Names that are served already. They stay in RV(open) with V(dnssec), V(caa) and V(unreachable), which may pass and do not keep all
        visitors away; a hiccup of a name server must not move a site.
    type: list
    elements: str
    default: []
  allowance:
    description:
      - How many names that are not served yet may be opened now, for the authority's limits; see M(meet.coop.caddy_info). Others that are
        ready come back in RV(waiting). Left out, all of them.
    type: int
  allowance_wait:
    description: In how many seconds one more name may be opened, for RV(notes).
    type: int
    default: 0
  checks:
    description: What to look at.
    type: list
    elements: str
    choices: [name, target, dnssec, caa, port80, control]
    default: [name, target, dnssec, caa, port80, control]
  resolver:
    description:
      - Address of the resolver that finds the name servers, and whose validation tells broken DNSSEC. Left out, those of the controller's
        C(/etc/resolv.conf).
    type: str
  resolver_port:
    description: Port of O(resolver).
    type: int
    default: 53
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 5
  fail:
    description: Whether to fail when a name is not ready.
    type: bool
    default: false
seealso:
  - module: meet.coop.dns_zone
    description: Keeps the names of our own zone.
"""

EXAMPLES = r"""
- name: Learn what the edge serves
  meet.coop.caddy_info:
    id: rosa
  register: edge

- name: See which of a member's own names may be opened
  meet.coop.domain_check:
    names: [meet.rosa.example, treffen.rosa.example]
    addresses: [192.0.2.80, "2001:db8::80"]
    target: rosa.meet.example.org
    ours: [meet.example.org]
    verification: ourcoop/rosa
    edge_token: "{{ edge.token }}"
    served: "{{ edge.hosts }}"
  register: domains

- name: Show what is to be written where
  ansible.builtin.debug:
    msg: "{{ domains.results | rejectattr('status', 'eq', 'ready') | map(attribute='advice') }}"

- name: Look only at what the authority may do for a wildcard
  meet.coop.domain_check:
    names: ["*.meet.example.org"]
    addresses: [192.0.2.80]
    validation_methods: [dns-01]
    checks: [caa, dnssec]
    fail: true
"""

RETURN = r"""
results:
  description: One finding for each name, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, in its ASCII form.
      type: str
    status:
      description:
        - V(ready), V(conflict), V(dnssec), V(wrong_target), V(unverified), V(caa) or V(unreachable). With several problems, the first in
          this order.
      type: str
    addresses:
      description: Addresses the name leads to, unless its chain ends at O(target).
      type: list
      elements: str
    chain:
      description: Names that its CNAMEs went through.
      type: list
      elements: str
    records:
      description: Records under the name itself that lead where it leads.
      type: list
      elements: str
    create:
      description: Records to create, as in a zone file.
      type: list
      elements: str
    remove:
      description: Records to remove.
      type: list
      elements: str
    reason:
      description: Why it is not ready, every problem.
      type: str
    advice:
      description: What to do, in words to forward.
      type: str
ready:
  description: Names that are ready.
  returned: success
  type: list
  elements: str
not_ready:
  description: Names that are not.
  returned: success
  type: list
  elements: str
open:
  description: Names that the edge may serve now.
  returned: success
  type: list
  elements: str
waiting:
  description: Names that are ready and wait for the authority's limits.
  returned: success
  type: list
  elements: str
notes:
  description: One line for each name that is not ready or waits, with what to do.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.meet.coop.plugins.module_utils._dns._dnspython import DNSPYTHON_IMPORT_ERROR
from ansible_collections.meet.coop.plugins.module_utils._dns.check import ARGUMENT_SPEC, DomainCheck
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    if DNSPYTHON_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_IMPORT_ERROR)
    try:
        result = DomainCheck(module.params).run()
    except CoopError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
