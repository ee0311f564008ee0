# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  repository:
    description:
      - Address of the repository as restic writes it, such as V(/srv/restic), V(sftp:backup@host.example:/srv/restic),
        V(rest:https://host.example/coop) or V(s3:https://s3.example/bucket).
      - Left out, the one that role backup has configured on the host, with its key and all that belongs to it (O(config)).
    type: str
  config:
    description: The configuration that role backup wrote; read where O(repository) is left out.
    type: path
    default: /etc/meet-coop/backup.json
  password_file:
    description: File on the host with the repository's key, readable by root alone. With O(repository), this or O(password) is needed.
    type: path
  password:
    description: The repository's key.
    type: str
  environment:
    description:
      - Credentials of the repository's target as restic reads them from its environment, such as C(AWS_ACCESS_KEY_ID) and
        C(AWS_SECRET_ACCESS_KEY), or C(RESTIC_REST_USERNAME) and C(RESTIC_REST_PASSWORD).
    type: dict
    default: {}
  ssh_key:
    description: File on the host with the private key for an sftp target; left out, as root's own ssh configuration says.
    type: path
  known_hosts:
    description: File on the host with the public key of an sftp target's host, which then must be that one.
    type: path
  cache:
    description: Directory of restic's cache.
    type: path
    default: /var/cache/meet-coop/restic
  lock_wait:
    description: Seconds to wait for another run that works on the repository, or on this host's backups.
    type: int
    default: 120
requirements:
  - restic >= 0.14 (Debian package restic)
"""
