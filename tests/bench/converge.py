# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converging many instances of which nothing has changed: with the plan, without it, by community modules, and the bare calls."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.meet.coop.plugins.module_utils._dns.marks import mark_name
from tests.support.ansible import INVENTORY, run_module

from .curve import svg
from .onboard import HOST, ROOT, container, on_host

SIZES = (10, 50)
WALKED = 5
"""Members that the ways which walk from one to the next are measured with; they cost the same for each."""
AGAIN = 3
HERE = pathlib.Path(__file__).parent
CONVERGE = ROOT / "playbooks" / "converge.yml"
THERE = "/var/cache/meet-coop-bench"
"""On the host; what lies in its /tmp, docker cp does not see."""


def names(number: int) -> list[str]:
    return [f"bench{index:04}" for index in range(number)]


def inventory(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The lab's inventory with the bench's members in place of its own."""
    place = folder / "inventories" / "lab"
    if not place.exists():
        shutil.copytree(INVENTORY, place)
        (folder / ".lab").symlink_to(ROOT / ".lab")
    head = (INVENTORY / "members.yml").read_text().split("\nmembers:\n")[0]
    member = """  {name}:
    name: Bench {name}
    classes: [consumer]
    joined: 2021-03-01
    contacts: [{{name: Ana Costa, email: ana@mail.lab.test}}]
    evidence: {{country: GB, form: community benefit society, register: FCA Mutuals Public Register, number: "{name}"}}
"""
    service = """  {name}:
    tier: consumer
    member: {name}
    title: Bench {name}
    smtp: {{username: sunflower@smtp.lab.test, password_var: vault_sunflower_smtp_password, sender_email: sunflower@smtp.lab.test}}
    accounts: {{registration: invite, administrators: [{{name: Ana Costa, email: ana@mail.lab.test}}]}}
    limits: {{rooms_per_account: 3, meeting_minutes: 60, participants: 25}}
    resources: {{memory: 192m, cpus: 1.0, pids: 128}}
    branding: {{primary_color: "#e8a200", help_center: "https://bench.example/help"}}
"""
    parts = ["members:\n", *(member.format(name=name) for name in names(number))]
    parts += ["services:\n", *(service.format(name=name) for name in names(number))]
    (place / "members.yml").write_text(head + "\n" + "".join(parts))
    return place


def desk(place: pathlib.Path) -> Any:
    from ansible_collections.meet.coop.plugins.action.instance_plan import Desk

    loader = DataLoader()
    sources = InventoryManager(loader=loader, sources=[str(place)])
    variables = VariableManager(loader=loader, inventory=sources)
    return Desk(loader, {"hostvars": HostVars(sources, variables, loader)})


class Fresh:
    """Writes what a plan would only compare."""

    def edge(self, arguments: Any) -> Any:
        raise AssertionError("no instance of the bench has a name of its own")

    domains = edge

    def of(self, _name: str) -> Fresh:
        return self

    def zone(self, _module: str, arguments: Any) -> list[str]:
        from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

        from ansible_collections.meet.coop.plugins.module_utils._dns.zone import ARGUMENT_SPEC, ZoneTask

        ZoneTask(ArgumentSpecValidator(ARGUMENT_SPEC).validate(arguments).validated_parameters).run()
        return []


def send_code() -> None:
    """The collection's domain code and what it needs of Ansible's, for the scripts on the host."""
    import ansible.release

    base = pathlib.Path(ansible.__file__).parent
    on_host(
        f"rm -rf {THERE}; mkdir -p {THERE}/ansible {THERE}/ansible_collections/meet/coop/plugins;"
        f" echo '__version__ = \"{ansible.release.__version__}\"' > {THERE}/ansible/release.py; : > {THERE}/ansible/__init__.py"
    )
    for source, target in (
        (base / "module_utils", "ansible/"),
        (ROOT / "plugins" / "module_utils", "ansible_collections/meet/coop/plugins/"),
        (HERE / "provision.py", ""),
        (HERE / "listing.py", ""),
    ):
        subprocess.run(["docker", "cp", "-q", str(source), f"{container(HOST)}:{THERE}/{target}"], check=True)


def there(script: str, data: Any) -> Any:
    command = ["docker", "exec", "-i", "-e", f"PYTHONPATH={THERE}", container(HOST), "python3", f"{THERE}/{script}"]
    done = subprocess.run(command, input=json.dumps(data), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {script} on {HOST}: {done.stderr[-3000:]}")
    return json.loads(done.stdout)


def provide(place: pathlib.Path, missing: Sequence[str]) -> None:
    """Bring instances into being, in bulk."""
    table = desk(place)
    plans = [table.plan(name, Fresh()) for name in missing]
    broken = [f"{plan.name}: {plan.broken}" for plan in plans if plan.broken]
    if broken:
        sys.exit(f"bench: {broken[0]}")
    instances = [{"name": plan.name, "steps": plan.steps, "tenants": plan.tenants} for plan in plans]
    tenants = there("provision.py", {"instances": instances, "part": "before"})
    run_module("pool", "meet.coop.pool_tenant", {"tenants": tenants})
    there("provision.py", {"instances": instances, "part": "after"})


def forget(instances: Sequence[str]) -> None:
    """Remove what the bench made of these, as if they had never been."""
    run_module(HOST, "meet.coop.caddy_routes", {"routes": [{"id": name, "state": "absent"} for name in instances]})
    statements = [f"drop database if exists greenlight_{name} with (force);" for name in instances]
    statements += [f"drop role if exists greenlight_{name};" for name in instances]
    script = f"""
        echo {" ".join(f"greenlight-{name} greenlight-{name}-redis" for name in instances)} | xargs -n 8 -P 8 docker rm -f
        docker network rm {" ".join(f"greenlight-{name}" for name in instances)}
        docker volume rm {" ".join(f"greenlight-{name}-storage" for name in instances)}
        cd /var/lib/meet-coop
        rm -rf {" ".join(f"instances/{name} branding/{name}" for name in instances)}
        psql -U postgres -qX <<'END'
{chr(10).join(statements)}
END
    """
    subprocess.run(["docker", "exec", "-i", container(HOST), "sh"], input=script.encode(), check=False, capture_output=True)
    run_module("pool", "meet.coop.pool_tenant", {"tenants": [{"name": name, "state": "absent"} for name in instances]})
    zone = "; ".join(f"knotc zone-unset meet.test {owner}" for name in instances for owner in (name, mark_name(name)))
    script = f"knotc zone-begin meet.test; {zone}; knotc zone-commit meet.test"
    subprocess.run(["docker", "exec", "-i", container("services"), "sh"], input=script.encode(), check=False, capture_output=True)


def run(place: pathlib.Path, playbook: pathlib.Path, *arguments: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds and end of a run that may change something, and may fail."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", str(place), str(playbook), *arguments]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return time.monotonic() - begun, done


def play(place: pathlib.Path, playbook: pathlib.Path, *arguments: str) -> tuple[float, str]:
    """Seconds and output of a run that has nothing to change."""
    seconds, done = run(place, playbook, *arguments)
    if done.returncode or re.search(r"changed=[1-9]", done.stdout):
        sys.exit(f"bench: {playbook.name} failed, or had something to change:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
    return seconds, done.stdout


def composed(place: pathlib.Path, number: int) -> float | None:
    """Seconds of `docker compose up -d` for one member, when nothing is to change: two idle containers of the same images, a network and a
    volume. Needs Debian's docker-compose on the host, which is left there; None where it cannot be had.
    """
    if "version" not in on_host("docker compose version || apt-get install -y -qq --no-install-recommends docker-compose"
                                " && docker compose version", check=False):  # fmt: skip
        return None
    image = re.search(r"image: (\S+)", (place / "members.yml").read_text())
    redis = on_host("docker inspect -f '{{.Config.Image}}' greenlight-bench0000-redis").strip()
    if image is None:
        return None
    idle = {"entrypoint": ["sleep", "infinity"], "stop_grace_period": "1s"}
    project = {"services": {"app": {"image": image[1], "volumes": ["storage:/storage"], **idle}, "redis": {"image": redis, **idle}}}
    text = json.dumps({**project, "volumes": {"storage": {}}})
    folders = [f"{THERE}/compose/bench-compose-{name}" for name in names(number)]
    try:
        for folder in folders:
            on_host(
                f"mkdir -p {folder}; cat > {folder}/compose.yaml <<'END'\n{text}\nEND\ncd {folder}; docker compose up -d --quiet-pull 2>&1"
            )
        begun = time.monotonic()
        on_host("; ".join(f"cd {folder}; docker compose up -d 2>&1" for folder in folders))
        return (time.monotonic() - begun) / number
    finally:
        on_host("; ".join(f"cd {folder} && docker compose down -v 2>&1" for folder in folders), check=False)


def in_sync(output: str, number: int) -> bool:
    return f"{number} services: {number} in sync" in " ".join(output.split())


def settle(place: pathlib.Path, number: int) -> None:
    """What was just made by the hundred still keeps the machine busy, and an answer that comes late makes its service due."""
    for _turn in range(AGAIN):
        _seconds, done = run(place, CONVERGE)
        if in_sync(done.stdout, number):
            return
    sys.exit(f"bench: not all come to rest:\n{done.stdout[:12000]}")


def one_size(place: pathlib.Path, number: int) -> dict[str, float]:
    """Seconds of each way for so many instances."""
    ours, empty, bare = [], [], []
    settle(place, number)
    for _turn in range(AGAIN):
        seconds, output = play(place, CONVERGE)
        if not in_sync(output, number):
            sys.exit(f"bench: not all are in sync:\n{output[:12000]}")
        ours.append(seconds)
        empty.append(play(place, HERE / "empty.yml")[0])
        bare.append(there("listing.py", names(number))["all"])
    return {"ours": statistics.median(ours), "empty": statistics.median(empty), "bare": statistics.median(bare)}


def one_changed(place: pathlib.Path, number: int) -> dict[str, float]:
    """A run over all of them when one got another limit, and what it costs to bring that one from nothing, alone."""
    members = place / "members.yml"
    as_it_was = members.read_text()
    name = names(1)[0]
    changed = yaml.safe_load(as_it_was)
    changed["services"][name]["limits"]["participants"] = 24
    members.write_text(yaml.safe_dump(changed, sort_keys=False))
    among, done = run(place, CONVERGE)
    output = done.stdout
    if re.findall(r"^(\S+) +: ok=.* changed=[1-9]", output, re.MULTILINE) != [name] or re.search(r"(?:failed|unreachable)=[1-9]", output):
        sys.exit(f"bench: one was changed, and not that one alone was:\n{output[-6000:]}")
    members.write_text(as_it_was)
    forget([name])
    alone, done = run(place, ROOT / "playbooks" / "services.yml", "-l", name)
    if done.returncode or not re.search(rf"^{name} .* changed=[1-9]", done.stdout, re.MULTILINE):
        sys.exit(f"bench: {name} was not brought from nothing:\n{done.stdout[-6000:]}")
    return {f"one changed among {number}, s": among, "that one from nothing, alone, s": alone, "one among all / alone": among / alone}


def with_three_broken(place: pathlib.Path, number: int) -> dict[str, Any]:
    """A run over all when three cannot be brought to their state: how long it takes, and what is said of each. They stay broken."""
    doubled, unset, unreadable = names(3)
    members = place / "members.yml"
    changed = yaml.safe_load(members.read_text())
    changed["services"][unset]["smtp"]["password_var"] = "vault_of_nobody"
    members.write_text(yaml.safe_dump(changed, sort_keys=False))
    twice = """INSERT INTO site_settings (setting_id, provider, value, created_at, updated_at)
        SELECT setting_id, provider, value, now(), now() FROM site_settings
        WHERE setting_id = (SELECT id FROM settings WHERE name = 'PrimaryColor')"""
    on_host(f'psql -U postgres -qX -v ON_ERROR_STOP=1 greenlight_{doubled} -c "{twice}"')
    on_host(f"echo '{{' > /var/lib/meet-coop/instances/{unreadable}/secrets.json")
    seconds, done = run(place, CONVERGE)
    output = " ".join(done.stdout.split())
    failed = sorted(re.findall(r"^(\S+) +: ok=.* (?:failed|unreachable)=[1-9]", done.stdout, re.MULTILINE))
    if f"{number} services: {number - 3} in sync" not in output or failed != [doubled, unset, unreadable]:
        sys.exit(f"bench: three were broken, and these failed: {failed}\n{done.stdout[-8000:]}")
    reasons = {name: re.findall(rf"- '({name}: .+?)'(?: - '| TASK)", output)[0] for name in failed}
    return {f"{number} of which 3 are broken, s": seconds, **reasons}


def measure(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """All ways side by side; the instances are made for it and removed again."""
    figures: dict[str, Any] = {}
    largest = max(sizes)
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        send_code()
        try:
            made = 0
            for number in sorted(sizes):
                place = inventory(pathlib.Path(folder), number)
                begun = time.monotonic()
                provide(place, names(number)[made:])
                figures[f"{number - made} instances made by the bench, s"] = time.monotonic() - begun
                made = number
                found[number] = one_size(place, number)
            walked = ",".join(names(min(WALKED, largest)))
            count = min(WALKED, largest)
            start = found[largest]["empty"]
            without = (play(place, ROOT / "playbooks" / "services.yml", "-l", walked)[0] - start) / count
            loop = (play(place, HERE / "community.yml", "-l", walked)[0] - start) / count
            compose = composed(place, count)
            figures |= one_changed(place, largest) | with_three_broken(place, largest)
        finally:
            forget(names(largest))
            on_host(f"rm -rf {THERE}")
    for number, seconds in found.items():
        figures |= {
            f"{number}: converge with the plan, s": seconds["ours"],
            f"{number}: playbook with one empty task, s": seconds["empty"],
            f"{number}: the bare calls, s": seconds["bare"],
            f"{number}: with the plan / (empty playbook + 3 x bare calls)": seconds["ours"] / (seconds["empty"] + 3 * seconds["bare"]),
            f"{number}: without the plan / with it": (seconds["empty"] + without * number) / seconds["ours"],
            f"{number}: loop of community modules / ours": (seconds["empty"] + loop * number) / seconds["ours"],
            f"{number}: the same, start of Ansible taken off": loop * number / max(0.01, seconds["ours"] - seconds["empty"]),
        }
    figures[f"without the plan, s for each (of {count})"] = without
    figures[f"loop of community modules, s for each (of {count})"] = loop
    if compose is not None:
        figures[f"docker compose up -d, containers alone, s for each (of {count})"] = compose
    smallest = min(sizes)
    ways = {
        "converge with the plan": {number: seconds["ours"] for number, seconds in found.items()},
        "playbook with one empty task": {number: seconds["empty"] for number, seconds in found.items()},
        "the bare calls": {number: seconds["bare"] for number, seconds in found.items()},
        f"each by its role (from {count})": {number: seconds["empty"] + without * number for number, seconds in found.items()},
        f"community modules (from {count})": {number: seconds["empty"] + loop * number for number, seconds in found.items()},
    }
    if compose is not None:
        ways[f"docker compose, containers alone (from {count})"] = {number: compose * number for number in found}
    picture = ROOT / ".bench" / "converge.svg"
    picture.parent.mkdir(exist_ok=True)
    title = "A converge with nothing to change"
    picture.write_text(svg(title, {way: sorted(points.items()) for way, points in ways.items()}, "instances", "seconds"))
    if largest > smallest:
        grown = [found[number]["ours"] - found[number]["empty"] for number in (smallest, largest)]
        figures["growth exponent, start of Ansible taken off"] = math.log(grown[1] / grown[0]) / math.log(largest / smallest)
    return figures
