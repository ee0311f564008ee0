# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One list of jobs as systemd's units, in AWX and as a project of Semaphore: what each of them is told is the same."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml
from dateutil.rrule import rrulestr

from tests.support import ansible

pytestmark = pytest.mark.programs

DATA = pathlib.Path(__file__).resolve().parent / "data"
SECRET = "correct-horse-battery"
# Actions, since each module would be a process of its own; what they take is looked at as modules look at it.
STAND_IN = """from __future__ import annotations
import json
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
kinds = json.loads({kinds!r})
spec = {{name: {{"type": "str", "choices": kind}} if isinstance(kind, list) else {{"type": kind}} for name, kind in kinds.items()}}


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        checked = ArgumentSpecValidator(spec).validate(dict(self._task.args))
        if checked.error_messages:
            return {{"failed": True, "msg": "; ".join(checked.error_messages)}}
        given = {{key: value for key, value in checked.validated_parameters.items() if value is not None}}
        with open({record!r}, "a") as stream:
            stream.write(json.dumps(["{module}", given]) + "\\n")
        return {{"changed": False}}
"""


def play(path: pathlib.Path, tasks: list[dict[str, Any]], variables: dict[str, Any], **env: str) -> tuple[int, str]:
    """Exit code and output, on one line."""
    book, given = path / "play.json", path / "given.json"
    book.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
    given.write_text(json.dumps(variables))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", f"@{given}", str(book)]
    done = ansible.run_playbook(command, cwd=path, env=ansible.environment(**env), timeout=300, together=True)
    assert "Traceback" not in done.stdout
    return done.returncode, " ".join(done.stdout.split())


def role(name: str) -> dict[str, Any]:
    return {"ansible.builtin.include_role": {"name": "meet.coop.scheduler", "tasks_from": f"{name}.yml", "public": True}}


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """All units and the environment, as the role's templates write them."""
    path = tmp_path_factory.mktemp("units")
    templates = ansible.ROOT / "roles" / "scheduler" / "templates"
    # Rendered on the controller and written at once: a task of its own for each file would take half a minute.
    tasks: list[dict[str, Any]] = [role("jobs")]
    for name in ("run.service", "run.timer"):
        text = f"{{{{ lookup('ansible.builtin.template', '{templates}/{name}.j2') }}}}"
        kind = name.partition(".")[2]
        tasks.append({"ansible.builtin.set_fact": {"text": text}, "loop": "{{ __scheduler_timed }}", "register": f"every_{kind}"})
    tasks += [
        {"ansible.builtin.copy": {"content": "{{ {'service': every_service.results, 'timer': every_timer.results} | to_json }}",
                                  "dest": f"{path}/rendered.json"}},
        {"ansible.builtin.template": {"src": f"{templates}/failed.service.j2", "dest": f"{path}/meet-coop-run-failed@.service"}},
        {"ansible.builtin.template": {"src": f"{templates}/environment.j2", "dest": f"{path}/environment"}},
    ]  # fmt: skip
    given = {
        "scheduler_program": "/bin/true", "scheduler_user": "root", "scheduler_time_zone": "Europe/Madrid",
        "scheduler_before": ["/usr/bin/git", "-C", "/srv/meet coop", "pull"], "scheduler_writable": ["/srv/meet-coop"],
        "scheduler_mail_to": ["ana@meet.example", "mo@meet.example"], "scheduler_smtp": {"server": "smtp.meet.example", "password": SECRET},
        "scheduler_environment": {"RELAY_SMTP_PASSWORD": 'qu"o\\te $HOME 100%'},
        "scheduler_jobs": {"site": {"when": {"every": "day", "at": "01:15"}}, "nodes": {"enabled": False},
                           "own": {"playbook": "verify", "when": {"every": "hour", "at": ":40"}}},
    }  # fmt: skip
    code, output = play(path, tasks, given)
    assert code == 0, output
    for kind, results in json.loads((path / "rendered.json").read_text()).items():
        for result in results:
            (path / f"meet-coop-run-{result['item']}.{kind}").write_text(result["ansible_facts"]["text"])
    return path


def test_the_co_operative_changes_adds_and_takes_away_jobs(units: pathlib.Path) -> None:
    assert "OnCalendar=*-*-* 01:15:00 Europe/Madrid" in (units / "meet-coop-run-site.timer").read_text()
    assert "OnCalendar=*-*-* *:40:00 Europe/Madrid" in (units / "meet-coop-run-own.timer").read_text()
    assert not (units / "meet-coop-run-nodes.timer").exists() and not (units / "meet-coop-run-upgrade.timer").exists()
    site = (units / "meet-coop-run-site.service").read_text()
    assert "TimeoutStartSec=14400" in site and "OnFailure=meet-coop-run-failed@site.service" in site
    assert "ExecStartPre=/usr/bin/git -C '/srv/meet coop' pull" in site


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_understands_every_unit(units: pathlib.Path) -> None:
    files = sorted(str(path) for path in units.glob("meet-coop-run-*") if "@" not in path.name)
    assert len(files) > 20
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], text=True, capture_output=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{units}:"},
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "meet-coop" in line]
    assert ours == [], done.stderr


def test_secrets_are_in_the_environment_alone(units: pathlib.Path) -> None:
    assert [path.name for path in units.iterdir() if path.suffix != ".json" and SECRET in path.read_text()] == ["environment"]
    text = (units / "environment").read_text()
    assert 'MEET_COOP_REPORT_MAIL_TO="ana@meet.example,mo@meet.example"' in text
    # As systemd reads such a file: quotes and backslashes are escaped, and a dollar is a dollar.
    assert 'RELAY_SMTP_PASSWORD="qu\\"o\\\\te $HOME 100%"' in text and "HOOK_URL" not in text


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ({"site": {"when": {"every": "night", "at": "02:00"}}}, "scheduler_jobs.site.when: every is 'night'"),
        ({"offboard": {"when": {"every": "day", "at": "02:00"}}}, "what must have a limit waits to be asked for"),
        ({"my job": {"playbook": "site"}}, "scheduler_jobs.my job: a job needs a name"),
        ({"mine": {"about": "no playbook"}}, "scheduler_jobs.mine: a job needs a name and a playbook"),
        ({"site": {"limit": "sunflower"}}, "and limit: none, may or must"),
    ],
)
def test_a_bad_job_is_refused_before_anything_is_written(jobs: dict[str, Any], said: str, tmp_path: pathlib.Path) -> None:
    project = tmp_path / "project"
    code, output = play(tmp_path, [role("project")], {"scheduler_jobs": jobs, "scheduler_project": str(project)})
    assert code == 2 and said in output and not project.exists(), output


def test_a_relative_path_begins_where_the_command_is_typed(tmp_path: pathlib.Path) -> None:
    """And not beside the playbook, which for a reader is the installed collection."""
    here = tmp_path / "here"
    here.mkdir()
    repository = "git@git.meet.example:meet/coop.git"
    given = {"scheduler_project": ".", "scheduler_semaphore_file": "meet.json", "scheduler_awx_repository": repository}
    code, output = play(tmp_path, [role("project"), role("semaphore")], given, PWD=str(here))
    assert code == 0, output
    assert sorted(path.name for path in here.iterdir()) == ["ansible.cfg", "meet.json", "runs"] and (here / "runs" / "site.yml").exists()


class Awx:
    """Stand-ins of awx.awx' modules, and what they were told."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path, self.record = path, path / "told.jsonl"
        actions = path / "collections" / "ansible_collections" / "awx" / "awx" / "plugins" / "action"
        actions.mkdir(parents=True)
        for name, kinds in yaml.safe_load((DATA / "awx_options.yml").read_text()).items():
            code = STAND_IN.format(kinds=json.dumps(kinds), record=str(self.record), module=name)
            (actions / f"{name}.py").write_text(code)

    def run(self, **more: Any) -> tuple[int, str]:
        self.record.write_text("")
        given = {"scheduler_awx_repository": "git@git.meet.example:meet/coop.git", "scheduler_inventory": "inventory", **more}
        own = ":".join([str(self.path / "collections"), *(path for path in sys.path if path.endswith("site-packages"))])
        return play(self.path, [role("awx")], given, ANSIBLE_COLLECTIONS_PATH=own)

    def told(self, module: str) -> dict[str, dict[str, Any]]:
        lines = [json.loads(line) for line in self.record.read_text().splitlines()]
        return {given["name"]: given for name, given in lines if name == module}


def test_awx_is_told_all_in_words_that_its_modules_take(tmp_path: pathlib.Path) -> None:
    awx = Awx(tmp_path)
    code, output = awx.run(scheduler_awx_secrets=["vault_relay_smtp_password"], scheduler_awx_image="registry.meet.example/ee:1",
                           scheduler_awx_credentials=["hosts", "vault"], scheduler_output="/srv/output")  # fmt: skip
    assert code == 0, output
    templates, schedules = awx.told("job_template"), awx.told("schedule")
    assert templates["site"]["playbook"] == "runs/site.yml" and templates["site"]["credentials"] == ["hosts", "vault"]
    assert templates["site"]["allow_simultaneous"] is False and templates["site"]["ask_limit_on_launch"] is True
    assert templates["status"]["extra_vars"]["status_page_directory"] == "/srv/output/status"
    assert not templates["decide"]["ask_limit_on_launch"] and not templates["restore"]["ask_job_type_on_launch"]
    # Who is meant must be said, and a schedule cannot say it.
    whom = {
        name for name, given in templates.items() if given["survey_enabled"] and given["survey_spec"]["spec"][0]["variable"] == "coop_hosts"
    }
    assert whom == {"onboard", "upgrade", "restore", "offboard"}
    assert all(templates[name]["survey_spec"]["spec"][0]["required"] for name in whom)
    assert {given["unified_job_template"] for given in schedules.values()} <= set(templates) - whom
    for given in schedules.values():
        assert rrulestr(given["rrule"].replace(" RRULE", "\nRRULE")) is not None and "INTERVAL=" in given["rrule"]
    assert awx.told("inventory_source")["Membership file"]["source_path"] == "inventory"
    secrets = awx.told("credential_type")["meet.coop secrets"]
    assert secrets["injectors"] == {"extra_vars": {"vault_relay_smtp_password": "{{vault_relay_smtp_password}}"}}
    assert secrets["inputs"]["fields"][0]["secret"] is True
    reports = awx.told("credential_type")["meet.coop reports"]
    assert reports["injectors"]["env"]["MEET_COOP_REPORT_SMTP_PASSWORD"] == "{{smtp_password}}"
    assert {field["id"] for field in reports["inputs"]["fields"] if field.get("secret")} == {"smtp_password", "hook_url", "hook_token"}
    [workflow] = awx.told("workflow_job_template").values()
    nodes = {node["identifier"]: node["related"]["success_nodes"] for node in workflow["schema"]}
    assert nodes == {"onboard": [{"identifier": "verify"}], "verify": []}


def test_awx_without_a_repository_is_one_line(tmp_path: pathlib.Path) -> None:
    awx = Awx(tmp_path)
    code, output = awx.run(scheduler_awx_repository="")
    assert code == 2 and "scheduler_awx_repository is empty" in output and awx.record.read_text() == ""


def test_semaphore_gets_a_whole_project(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "semaphore.json"
    given = {"scheduler_semaphore_file": str(file), "scheduler_awx_repository": "git@git.meet.example:meet/coop.git",
             "scheduler_inventory": "inventory", "scheduler_smtp": {"server": "smtp.meet.example", "password": SECRET}}  # fmt: skip
    code, output = play(tmp_path, [role("semaphore")], given)
    assert code == 0, output
    found = json.loads(file.read_text())
    # What a backup of Semaphore has (services/project/types.go); what refers to something by name finds it.
    assert set(found) == {"meta", "keys", "views", "repositories", "inventories", "environments", "templates", "schedules", "integrations",
                          "integration_aliases"}  # fmt: skip
    names = {
        kind: {entry.get("name", entry.get("title")) for entry in found[kind]}
        for kind in found
        if kind not in ("meta", "integration_aliases")
    }
    for template in found["templates"]:
        assert template["inventory"] in names["inventories"] and template["repository"] in names["repositories"]
        assert template["environment"] in names["environments"] and template["view"] in names["views"]
        assert {vault["vault_key"] for vault in template["vaults"]} <= names["keys"]
        assert all(asked["type"] in ("", "int", "enum", "secret") for asked in template["survey_vars"])
        assert all(bool(asked["values"]) == (asked["type"] == "enum") for asked in template["survey_vars"])
    assert {schedule["template"] for schedule in found["schedules"]} <= names["templates"]
    assert all(len(schedule["cron_format"].split()) == 5 for schedule in found["schedules"])
    assert all(isinstance(json.loads(environment["json"]), dict) for environment in found["environments"])
    assert SECRET not in file.read_text()
    code, output = play(tmp_path, [role("semaphore")], given)
    assert code == 0 and "changed=0" in output, output
