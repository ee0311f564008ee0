# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Days on which something is down, killed, taken or changed by hand: one clear line, the others go on, the next run heals."""

from __future__ import annotations

import pathlib
import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Play

CHAIN = (
    "Publish the instance's name",
    "Keep the instance's secrets",
    "Provide the database",
    "Admit the instance as a tenant",
    "Run the Greenlight container",
    "Lay the member's logo",
    "Set registration, branding and limits",
    "Provide the first administrators",
    "Open the instance's names",
)

# Caddy 2.6 accepts an empty Host header on its socket, and no other.
CADDY = ("curl", "-sf", "-H", "Host;", "--unix-socket", "/run/caddy/admin.sock")
LONGER = "UPDATE meeting_options SET default_value = '999' WHERE name = 'duration'"
CAFE = r"(\n  cafe:\n(?:    .*\n)*?    tier: dedicated_container\n)"


def test_a_run_killed_in_any_task_is_finished_by_the_next(
    onboarded: Play, lab: Any, play: Callable[..., Play], play_killed_at: Callable[..., bool]
) -> None:
    instance = "sunflower-training"
    for argv in (
        ["docker", "rm", "-f", f"greenlight-{instance}", f"greenlight-{instance}-redis"],
        ["docker", "network", "rm", f"greenlight-{instance}"],
        ["docker", "volume", "rm", f"greenlight-{instance}-storage"],
        ["dropdb", "-U", "postgres", "--force", "greenlight_sunflower_training"],
        [*CADDY, "-X", "DELETE", f"http://caddy/id/route-{instance}"],
        ["rm", "-rf", f"/var/lib/meet-coop/instances/{instance}"],
    ):
        done = lab.exec("host1", argv)
        assert done.returncode == 0, done
    for number, task in enumerate(CHAIN):
        # Each time a little later within the task, so that some die before, some amid and some after the change.
        assert play_killed_at(task, 0.2 + 0.2 * (number % 4), "services.yml", "-l", instance), task
    outcome = play("services.yml", "-l", instance)
    assert outcome.code == 0, outcome.output[-6000:]
    again = play("services.yml", "-l", instance)
    assert again.code == 0 and again.changed == {}, again.output[-4000:]
    verified = play("verify.yml", "-l", instance)
    assert verified.code == 0, verified.output[-6000:]


POSTGRESQL = "postgresql postgresql@17-main"

# what is down: host, how it goes down, how it comes back, what is said
DOWN: dict[str, tuple[str, str, str, str]] = {
    "DNS": ("services", "systemctl stop knot", "systemctl start knot", r"(?i)(name server|dns|refused)"),
    "pool": ("pool", f"systemctl stop {POSTGRESQL}", f"systemctl start {POSTGRESQL}", r"(?i)(bbblb|pool|database)"),
    "PostgreSQL": ("host1", f"systemctl stop {POSTGRESQL}", f"systemctl start {POSTGRESQL}", r"(?i)postgresql"),
    "Docker": ("host1", "systemctl stop docker.socket docker", "systemctl start docker.socket docker", r"(?i)docker"),
    "edge": ("host1", "systemctl stop caddy", "systemctl start caddy", r"(?i)caddy"),
}


@pytest.mark.parametrize("part", sorted(DOWN))
def test_a_part_that_is_down_gives_one_clear_line_and_the_next_run_heals(
    onboarded: Play, lab: Any, play: Callable[..., Play], part: str
) -> None:
    host, stop, start, said = DOWN[part]
    lab.exec(host, ["sh", "-c", stop])
    try:
        outcome = play("services.yml", "-l", "cafe")
    finally:
        lab.exec(host, ["sh", "-c", start])
    assert outcome.failed == {"cafe"}, outcome.output[-4000:]
    assert "Traceback" not in outcome.output
    lines = re.findall(r"(?:\[ERROR\]: |msg: |\"msg\": ).*", outcome.output)
    assert any(re.search(said, line) for line in lines), outcome.output[-4000:]
    lab.wait_for("host1", "docker info && psql -U postgres -c 'select 1'")
    healed = play("services.yml", "-l", "cafe")
    assert healed.code == 0, healed.output[-4000:]
    verified = play("verify.yml", "-l", "cafe")
    assert verified.code == 0, verified.output[-4000:]


def test_an_authority_that_is_down_holds_back_the_new_name_alone(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    """A name of the member's own, since those inside our domain have the wildcard; the site goes on under the name it has."""
    inventory = other_inventory(lambda text: re.sub(CAFE, r"\1    domains: [teahouse.rosa.test]\n", text))

    def serves(name: str) -> bool:
        url = [f"https://{name}/", "--resolve", f"{name}:443:127.0.0.1", "--cacert", "/etc/meet-coop/ca-bundle.pem"]
        return lab.exec("host1", ["curl", "-sf", "-o", "/dev/null", *url]).returncode == 0

    lab.update("rosa.test", "add teahouse 5 CNAME cafe.meet.test.")
    lab.exec("services", ["systemctl", "stop", "lab-acme"])
    try:
        outcome = play("services.yml", "-l", "cafe,sunflower", "-e", "instance_certificate_timeout=10", inventory=inventory)
        assert outcome.code == 0 and outcome.changed == {}, outcome.output[-4000:]
        told = " ".join(outcome.output.split())
        assert re.search(r"not opened: not served well after \d+ s: teahouse\.rosa\.test", told), outcome.output[-4000:]
        assert serves("cafe.meet.test") and not serves("teahouse.rosa.test")
        red = play("verify.yml", "-l", "cafe", "-e", '{"verify_checks": ["domains"]}', inventory=inventory)
        assert red.failed == {"cafe"} and "is ready, but not served yet" in " ".join(red.output.split()), red.output[-3000:]
    finally:
        lab.exec("services", ["systemctl", "start", "lab-acme"])
    for playbook in ("services.yml", "verify.yml"):
        healed = play(playbook, "-l", "cafe", inventory=inventory)
        assert healed.code == 0, healed.output[-4000:]
    assert serves("teahouse.rosa.test")
    lab.update("rosa.test", "del teahouse CNAME")
    assert play("services.yml", "-l", "cafe").code == 0


def test_a_mail_server_that_is_down_is_told_and_no_link_is_lost(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    """Greenlight would say yes and drop the mail: with the server down it is not asked, and the next run has the link sent."""
    person = f"late-{secrets.token_hex(3)}@mail.lab.test"
    inventory = other_inventory(
        lambda text: text.replace("- {name: Kim Lee, email: kim@mail.lab.test}", f"- {{name: Lee Late, email: {person}}}")
    )
    letters = f"grep -rl 'X-Lab-Recipients:.*{person}' /var/mail/lab || true"
    lab.exec("services", ["systemctl", "stop", "lab-smtp"])
    try:
        outcome = play("services.yml", "-l", "cafe,sunflower", inventory=inventory)
    finally:
        lab.exec("services", ["systemctl", "start", "lab-smtp"])
    assert outcome.failed == {"cafe"} and outcome.recap["sunflower"]["ok"] > 8, outcome.output[-4000:]
    assert re.search(r"SMTP server smtp\.lab\.test port 587 cannot be reached", outcome.output), outcome.output[-4000:]
    assert "Traceback" not in outcome.output and lab.exec("services", ["sh", "-c", letters]).stdout == ""
    lab.wait_for("services", "ss -ltn | grep -q :587")
    healed = play("services.yml", "-l", "cafe", inventory=inventory)
    assert healed.code == 0 and healed.changed == {"cafe": 1}, healed.output[-4000:]
    lab.wait_for("services", f"test -n \"$({letters})\"", seconds=20)
    assert play("services.yml", "-l", "cafe", inventory=inventory).changed == {}
    lab.exec("services", ["sh", "-c", f"{letters} | xargs -r rm"])


def test_one_member_fails_and_the_others_go_on(
    onboarded: Play, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    inventory = other_inventory(lambda text: text.replace("vault_rosa_smtp_password", "vault_nobody_set_this"))
    outcome = play("services.yml", inventory=inventory)
    assert outcome.failed == {"rosa"}, outcome.output[-4000:]
    assert "vault_nobody_set_this" in outcome.output and "Traceback" not in outcome.output
    assert {"sunflower", "sunflower-training", "cafe"} <= {host for host, numbers in outcome.recap.items() if numbers["ok"] > 8}


def test_two_members_with_one_domain_are_refused(
    onboarded: Play, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    inventory = other_inventory(
        lambda text: re.sub(CAFE, r"\1    domains: [meet.rosa.test]\n", text)
    )
    outcome = play("services.yml", inventory=inventory)
    assert outcome.code != 0
    assert "meet.rosa.test" in outcome.output and re.search(r"members\.yml:\d+", outcome.output), outcome.output[-3000:]
    assert "Traceback" not in outcome.output


def test_a_member_renamed_shows_its_new_name(
    onboarded: Play, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    inventory = other_inventory(lambda text: re.sub(r"(\n  rosa:\n    name: ).*", r"\1Rosa und Karl eG", text, count=1))
    for arguments in (("services.yml",), ("verify.yml", "-e", "verify_checks=page")):
        outcome = play(*arguments, "-l", "rosa", inventory=inventory)
        assert outcome.code == 0, outcome.output[-4000:]
    assert play("services.yml", "-l", "rosa").code == 0


def test_a_domain_moves(
    onboarded: Play, lab: Any, play: Callable[..., Play], other_inventory: Callable[..., pathlib.Path]
) -> None:
    """The new name serves with a certificate, the old one is neither in the zone nor at the edge."""
    inventory = other_inventory(lambda text: re.sub(CAFE, r"\1    subdomain: tearoom\n", text))
    for playbook in ("services.yml", "verify.yml"):
        outcome = play(playbook, "-l", "cafe", inventory=inventory)
        assert outcome.code == 0, outcome.output[-4000:]
    read = lab.exec("services", ["sh", "-c", "knotc zone-read meet.test"]).stdout
    assert "tearoom.meet.test." in read and "cafe.meet.test." not in read
    routes = lab.exec("host1", [*CADDY, "http://caddy/config/"]).stdout
    assert "tearoom.meet.test" in routes and "cafe.meet.test" not in routes
    for playbook in ("services.yml", "verify.yml"):
        outcome = play(playbook, "-l", "cafe")
        assert outcome.code == 0, outcome.output[-4000:]


def test_what_was_changed_by_hand_is_found_and_repaired(onboarded: Play, lab: Any, play: Callable[..., Play]) -> None:
    by_hand = (
        ["docker", "stop", "greenlight-sunflower"],
        ["psql", "-U", "postgres", "-d", "greenlight_sunflower", "-c", LONGER],
        [*CADDY, "-X", "DELETE", "http://caddy/id/route-sunflower"],
        ["psql", "-U", "postgres", "-c", "GRANT CONNECT ON DATABASE greenlight_sunflower TO PUBLIC"],
    )
    for argv in by_hand:
        done = lab.exec("host1", argv)
        assert done.returncode == 0, done
    foretold = play("services.yml", "-l", "sunflower", "--check", "--diff")
    assert foretold.code == 0, foretold.output[-4000:]
    outcome = play("services.yml", "-l", "sunflower")
    assert outcome.code == 0, outcome.output[-4000:]
    assert outcome.changed == foretold.changed == {"sunflower": 4}, (foretold.changed, outcome.changed)
    assert play("verify.yml", "-l", "sunflower").code == 0


def test_a_reboot_of_the_container_host_brings_everything_back(onboarded: Play, lab: Any, play: Callable[..., Play]) -> None:
    lab.reboot("host1")
    lab.wait_for("host1", "docker ps | grep -q greenlight-sunflower && psql -U postgres -c 'select 1'", seconds=90)
    outcome = play("services.yml")
    assert outcome.code == 0, outcome.output[-4000:]
    assert outcome.changed == {}, outcome.output[-4000:]
    assert play("verify.yml").code == 0
