# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance is lost with all that was its own, and comes back by one playbook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import Play

INSTANCE, DATABASE = "cafe", "greenlight_cafe"
DIRECTORY = f"/var/lib/meet-coop/instances/{INSTANCE}"
LOSE = f"""
docker rm --force greenlight-{INSTANCE} greenlight-{INSTANCE}-redis
docker volume rm greenlight-{INSTANCE}-storage
dropdb -U postgres --force {DATABASE}
dropuser -U postgres {DATABASE}
rm -r {DIRECTORY}
"""


def test_a_lost_instance_is_restored_and_serves(onboarded: Play, lab: Any, play: Callable[..., Play]) -> None:
    def on_host(script: str) -> str:
        done = lab.exec("host1", ["sh", "-ec", script])
        assert done.returncode == 0, done
        return str(done.stdout)

    def known() -> str:
        people = on_host(f"psql -U postgres -d {DATABASE} -Atc 'SELECT id, email, password_digest FROM users ORDER BY id'")
        return people + on_host(f"sha256sum {DIRECTORY}/secrets.json {DIRECTORY}/accounts.json")

    backed_up = play("backup.yml", "-l", INSTANCE)
    assert backed_up.code == 0 and set(backed_up.changed) == {INSTANCE}, backed_up.output[-4000:]
    before = known()
    on_host(LOSE)

    restored = play("restore.yml", "-l", INSTANCE)
    assert restored.code == 0, restored.output[-6000:]
    assert known() == before
    on_host(
        f"curl --fail --silent --show-error --cacert /etc/meet-coop/ca-bundle.pem --connect-to ::127.0.0.1: -o /dev/null"
        f" https://{INSTANCE}.meet.test/api/v1/env.json"
    )
    again = play("restore.yml", "-l", INSTANCE)
    assert again.code == 0 and again.changed == {}, again.output[-4000:]
    refused = play("restore.yml", "-l", INSTANCE, "-e", "restore_force=true")
    assert refused.failed == {INSTANCE} and "give replace: true" in refused.output and known() == before
