# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scheduled playbooks as AWX runs them: by ansible-runner, from a project that nothing is written to, with an empty home."""

from __future__ import annotations

import copy
import hashlib
import json
import pathlib
import shutil
import sys
from typing import Any

import ansible_runner
import pytest

from tests.support import ansible

pytestmark = pytest.mark.programs

SHIPPED, EXAMPLE = ansible.ROOT / "docs" / "example-year", ansible.ROOT / "inventories" / "example"
ON_CONTROLLER = ["decide", "register", "support", "status", "month"]
# The hour of the tests; what depends on the clock would change with every run.
NOW = {
    "decision_log_as_of": "2026-01-15", "register_as_of": "2026-01-15", "month_close_as_of": "2026-01-15",
    "support_rota_at": "2026-01-15T00:00:00Z", "status_page_at": "2026-01-15T00:00:00Z",
}  # fmt: skip
RECORDS = ("decisions", "support", "money")


def prints(*folders: pathlib.Path) -> dict[str, str]:
    """What lies in the folders."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Coop:
    """A project as the role writes it, records that live elsewhere, and the jobs with their variables."""

    def __init__(self, path: pathlib.Path) -> None:
        self.project, self.records, self.output = path / "project", path / "records", path / "output"
        shutil.copytree(SHIPPED, self.project)
        for name in ("support", "incidents", "maintenance"):
            shutil.copytree(EXAMPLE / name, self.project / name)
        for name in RECORDS:
            shutil.copytree(self.project / name, self.records / name)
        self.output.mkdir()
        play = path / "play.yml"
        role = {"ansible.builtin.include_role": {"name": "meet.coop.scheduler", "tasks_from": "project.yml", "public": True}}
        dump = {"ansible.builtin.copy": {"content": "{{ __scheduler_all }}", "dest": str(path / "jobs.json"), "mode": "0644"}}
        play.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [role, dump]}]))
        given = {"scheduler_project": str(self.project), "scheduler_output": str(self.output), "scheduler_records": str(self.records)}
        command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", json.dumps(given), str(play)]
        done = ansible.run_playbook(command, cwd=path, env=ansible.environment(), timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        self.jobs: dict[str, dict[str, Any]] = json.loads((path / "jobs.json").read_text())

    def run(self, path: pathlib.Path, job: str, options: str = "", **more: Any) -> ansible_runner.Runner:
        """One job of AWX: a private copy of nothing but its variables, and the project where it lies."""
        home = path / "home"
        home.mkdir(parents=True, exist_ok=True)
        env = {
            "HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": "", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.project / "ansible.cfg"),
        }  # fmt: skip
        variables = {**NOW, "awx_job_id": 81, **self.jobs[job].get("variables", {})}
        return ansible_runner.run(
            private_data_dir=str(path), project_dir=str(self.project), inventory=str(self.project / "members.yml"),
            playbook=f"runs/{job}.yml", extravars=variables, envvars=env, cmdline=options or None, quiet=True, **more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def coop(tmp_path_factory: pytest.TempPathFactory) -> Coop:
    return Coop(tmp_path_factory.mktemp("coop"))


def said(run: ansible_runner.Runner) -> str:
    assert run.stdout is not None
    return run.stdout.read()


@pytest.mark.thorough
def test_jobs_foretell_run_and_are_quiet_then(coop: Coop, tmp_path: pathlib.Path) -> None:
    playbooks = ansible.ROOT / "playbooks"
    before, project, ours = prints(coop.records, coop.output), prints(coop.project), prints(playbooks)
    foretold, changed = {}, {}
    for job in ON_CONTROLLER:
        check = coop.run(tmp_path / f"check-{job}", job, "--check --diff")
        assert check.status == "successful", said(check)
        foretold[job] = check.stats["changed"].get("localhost", 0)
    assert prints(coop.records, coop.output) == before
    for job in ON_CONTROLLER:
        run = coop.run(tmp_path / f"run-{job}", job)
        assert run.status == "successful", said(run)
        changed[job] = run.stats["changed"].get("localhost", 0)
    assert changed == foretold and all(changed.values())
    after = prints(coop.records, coop.output)
    for job in ON_CONTROLLER:
        again = coop.run(tmp_path / f"again-{job}", job)
        assert again.status == "successful" and not again.stats["changed"], said(again)
    assert prints(coop.records, coop.output) == after != before
    assert (prints(coop.project), prints(playbooks)) == (project, ours)
    assert [path for path in prints(tmp_path) if "/home/" in path] == []


def test_a_job_that_cannot_do_its_work_fails_with_one_line(coop: Coop, tmp_path: pathlib.Path) -> None:
    broken = copy.copy(coop)
    broken.project = tmp_path / "project"
    shutil.copytree(coop.project, broken.project)
    file = broken.project / "members.yml"
    file.write_text(file.read_text().replace("classes:", "klasses:", 1))
    run = broken.run(tmp_path / "run", "register")
    assert run.status == "failed" and "klasses" in said(run) and "Traceback" not in said(run)


def test_every_job_can_be_started_and_what_changes_an_instance_locks_it(coop: Coop) -> None:
    books = {job: coop.project / "runs" / f"{job}.yml" for job in coop.jobs}
    assert all(path.exists() for path in books.values())
    env = ansible.environment(ANSIBLE_CONFIG=str(coop.project / "ansible.cfg"))

    def listed(what: str, jobs: list[str], *options: str) -> dict[str, str]:
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(coop.project / "members.yml"), what, *options]
        done = ansible.run_playbook([*command, *(str(books[job]) for job in jobs)], cwd=coop.project, env=env, timeout=300)
        assert done.returncode == 0, done.stderr
        return {pathlib.Path(part.splitlines()[0]).stem: part for part in done.stdout.split("\nplaybook: ")[1:]}

    found = listed("--list-tasks", list(books))
    assert set(found) == set(coop.jobs)
    locking = {"site", "onboard", "restore", "rotate", "upgrade", "offboard", "move"}
    assert {job for job, tasks in found.items() if "Keep other runs away from it" in tasks} == locking
    # AWX' field for the limit: one service and nobody else.
    limited = [job for job, told in coop.jobs.items() if told.get("limit", "none") != "none"]
    for job, hosts in listed("--list-hosts", limited, "-l", "clover").items():
        assert "clover" in hosts and "agaric" not in hosts, job
