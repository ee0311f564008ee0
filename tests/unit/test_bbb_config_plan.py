# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plan for all files of a BigBlueButton server: what is unknown is refused, secrets are masked, a killed run is gone on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._bigbluebutton import config, host, turn
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from tests.lab.bbb import disk

SECRET, OTHER = "0123456789abcdef0123", "fedcba98765432100000"
Wanted = config.Wanted


class Server:
    """A server's disk below a directory, and units that started at a given time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started = 2_000_000_000.0
        for path, text in {**disk.PACKAGE, **disk.operator(SECRET, "bbb1.example.org")}.items():
            self.write(path, text)
            self.at(path).chmod(0o640)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)

    def units(self, names: Iterable[str]) -> dict[str, host.Unit]:
        return {name: host.Unit(name, "active", self.started) for name in names}

    def observe(self) -> config.Observed:
        return config.observe(str(self.root), self.units)

    def plan(self, **wanted: Any) -> config.Plan:
        return config.diff(self.observe(), Wanted(**wanted))

    def converge(self, **wanted: Any) -> config.Plan:
        observed = self.observe()
        plan = config.diff(observed, Wanted(**wanted))
        config.apply(plan, observed, str(self.root))
        return plan

    def tree(self) -> dict[str, tuple[str, int]]:
        return {str(path): (path.read_text(), path.stat().st_mode) for path in sorted(self.root.rglob("*")) if path.is_file()}


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


FULL: dict[str, Any] = {
    "server_url": "https://bbb1.example.org",
    "secret": OTHER,
    "sections": {
        "web": {"disableRecordingDefault": True, "supportedChecksumAlgorithms": ["sha1", "sha256"], "defaultMaxUsers": "150"},
        "html5": {"public": {"app": {"clientTitle": "Meet"}}},
        "apps_akka": {"voiceConf": {"muteOnStartThreshold": 20}},
        "webrtc_sfu": {"mediaThresholds": {"global": 1000}},
    },
    "secrets": {"fsesl_akka.freeswitch.esl.password": "Gh0stword"},
    "formats": ("presentation",),
    "servers": turn.Servers(("stun:stun.example.org",), (turn.Turn("turns:turn.example.org:443", "turnsecret"),)),
    "cron": {"published_days": 7},
    "apply_config": "#!/bin/bash\ntrue\n",
}


def test_all_files_in_one_plan_and_nothing_the_second_time(server: Server) -> None:
    before = server.tree()
    predicted = server.plan(**FULL)
    assert server.tree() == before, "a plan touches nothing"
    plan = server.converge(**FULL)
    assert plan == predicted and plan.cuts_meetings
    assert set(plan.texts) == {"web", "html5", "apps_akka", "fsesl_akka", "webrtc_sfu", "recording", "cron", "turn", "apply_config"}
    assert set(plan.restarts) == {"bbb-web", "bbb-apps-akka", "bbb-fsesl-akka", "bbb-webrtc-sfu", "bbb-rap-resque-worker", host.TARGET}
    assert "web.defaultMaxUsers" in plan.restarts["bbb-web"] and plan.restarts[host.TARGET] == ["apply_config"]
    assert f"securitySalt={OTHER}\n" in server.at(disk.WEB).read_text() and f'sharedSecret="{OTHER}"' in server.at(disk.AKKA).read_text()
    again = server.converge(**FULL)
    assert not again.changed and not again.restarts and not again.changes
    modes = {path.name: path.stat().st_mode & 0o777 for path in server.at("/etc").rglob("*") if path.is_file()}
    assert modes["bbb-web.properties"] == modes["turn-stun-servers.xml"] == 0o640
    assert modes["apply-config.sh"] == 0o750 and modes["bigbluebutton-cron-config"] == 0o644


def test_secrets_are_masked(server: Server) -> None:
    plan = server.plan(**FULL)
    shown = repr((plan.changes, plan.restarts, plan.warnings))
    assert not [word for word in (SECRET, OTHER, "Gh0stword", "ClueCon", "turnsecret") if word in shown]
    assert ("securitySalt", "******** (old)", "******** (new)") in [(one.name, one.before, one.after) for one in plan.changes]


def test_what_is_taken_away_is_the_packages_again(server: Server) -> None:
    server.converge(sections={"web": {"defaultMaxUsers": 10, "muteOnStart": False}})
    server.converge(sections={"web": {"defaultMaxUsers": None}})
    assert "defaultMaxUsers" not in server.at(disk.WEB).read_text() and "muteOnStart=false" in server.at(disk.WEB).read_text()
    server.converge(formats=("presentation",))
    server.write("/usr/local/bigbluebutton/core/scripts/process/video.rb", "")
    server.converge(formats=("presentation", "video"))
    assert "publish:video" in server.at("/etc/bigbluebutton/recording/recording.yml").read_text()
    server.converge(formats=("presentation",))
    assert "video" not in server.at("/etc/bigbluebutton/recording/recording.yml").read_text()


@pytest.mark.parametrize("wanted, expected", [
    ({"sections": {"web": {"defaultMaxUser": 5}}}, f"web.defaultMaxUser is no setting of BigBlueButton 3.0.34 ({disk.WEB_PACKAGE} has none "
     "of this name); did you mean defaultMaxUsers?"),
    ({"sections": {"html5": {"public": {"kurento": {"clientTitle": "x"}}}}}, "did you mean public.app.clientTitle?"),
    ({"sections": {"apps_akka": {"services": {"bbbWebApi": "x"}}}}, "did you mean services.bbbWebAPI?"),
    ({"sections": {"webrtc_sfu": {"mediaThreshold": {"global": 1}}}}, "did you mean mediaThresholds.global?"),
    ({"sections": {"web": {"muteOnStart": "yes"}}}, "web.muteOnStart is 'yes', and the package's own value is true or false (True)"),
    ({"sections": {"web": {"defaultMaxUsers": "many"}}}, "web.defaultMaxUsers is 'many', and the package's own value is a number (0)"),
    ({"sections": {"webrtc_sfu": {"mediaThresholds": 5}}}, "the package's own value is a section of settings"),
    ({"sections": {"web": {"defaultMaxUsers": {"a": 1}}}}, "web.defaultMaxUsers is a mapping; write one value"),
    ({"sections": {"web": {"redisPassword": "x"}}}, "web.redisPassword looks like a secret and would be logged; write it below"),
    ({"secrets": {"wbe.redisPassword": "x"}}, "secret_values names wbe.redisPassword; begin with one of web, html5"),
    ({"secret": "short"}, "secret is no secret of a BigBlueButton server"),
    ({"server_url": "bbb1.example.org"}, "server_url is bbb1.example.org; write https://"),
    ({"server_url": "https://a.example/", "sections": {"web": {"bigbluebutton.web.serverURL": "https://b"}}}, "is given twice with"),
    ({"formats": ("video",)}, "recording_formats has video, for which nothing is installed; install bbb-playback-video"),
    ({"cron": {"publish_days": 3}}, "cron.publish_days is unknown to /etc/default/bigbluebutton-cron-config; did you mean published_days?"),
    ({"cron": {"history": -1}}, "cron.history is -1; write a number of days"),
    ({"servers": turn.Servers(("turn:x",))}, "turn:x is no stun: URL"),
    ({"servers": turn.Servers((), (turn.Turn("turn:x", "s", 1),))}, "ttl of turn:x is 1"),
    ({"apply_config": "true"}, "apply_config has no first line such as #!/bin/bash"),
    ({"sections": {"video": {"audio_offset": 1}}}, "video: this host has no /usr/local/bigbluebutton/core/scripts/video.yml"),
])  # fmt: skip
def test_what_cannot_be_is_one_clear_line_and_nothing_is_written(server: Server, wanted: dict[str, Any], expected: str) -> None:
    before = server.tree()
    with pytest.raises(CoopError) as error:
        server.converge(**{"cron": {"history": 9}, **wanted})
    assert expected in str(error.value) and "\n" not in str(error.value)
    assert server.tree() == before


def test_an_upgrade_that_drops_a_setting_is_noticed(server: Server) -> None:
    wanted = {"sections": {"web": {"learningDashboardCleanupDelayInMinutes": 0}}}
    server.converge(**wanted)
    server.write(disk.WEB_PACKAGE, disk.WEB_DEFAULTS.replace("learningDashboardCleanupDelayInMinutes=2\n", ""))
    server.write(disk.RELEASE_FILE, "BIGBLUEBUTTON_RELEASE=3.0.35\n")
    with pytest.raises(CoopError, match=r"web.learningDashboardCleanupDelayInMinutes is no setting of BigBlueButton 3\.0\.35"):
        server.plan(**wanted)
    assert not server.plan(**wanted, also_known=frozenset({"web.learningDashboardCleanupDelayInMinutes"})).changed
    plan = server.plan(sections={"web": {"muteOnStart": False}})
    assert plan.warnings == ["/etc/bigbluebutton/bbb-web.properties has learningDashboardCleanupDelayInMinutes, which BigBlueButton 3.0.35 "
                             "does not know; it is left there"]  # fmt: skip
    server.converge(sections={"web": {"learningDashboardCleanupDelayInMinutes": None}})
    assert "learningDashboard" not in server.at(disk.WEB).read_text()


@pytest.mark.parametrize("step", range(1, 12))
def test_a_run_killed_at_any_point_is_repaired(server: Server, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Killed before the first, second ... call that changes the disk; then everything gets there, and restarts are not forgotten."""
    calls = 0

    class Killed(BaseException):
        pass

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Killed
            return call(*arguments, **options)

        return instead

    server.started = 1.0
    with monkeypatch.context() as patch:
        for name in ("replace", "fsync", "fchmod"):
            patch.setattr(config.os, name, counted(getattr(os, name)))
        with pytest.raises(Killed):
            server.converge(**FULL)
    plan = server.converge(**FULL)
    assert set(plan.restarts) == {"bbb-web", "bbb-apps-akka", "bbb-fsesl-akka", "bbb-webrtc-sfu", "bbb-rap-resque-worker", host.TARGET}
    assert not list(server.at("/etc").rglob("*meet-coop-new"))
    after = server.plan(**FULL)
    assert not after.changed and set(after.restarts) == set(plan.restarts), "nobody has restarted them yet"
    server.started = 4_000_000_000.0
    assert not server.plan(**FULL).restarts


def test_a_file_that_was_changed_by_hand_is_due_for_a_restart(server: Server) -> None:
    os.utime(server.at(disk.AKKA), (server.started + 5, server.started + 5))
    plan = server.plan(sections={})
    assert not plan.changed and plan.restarts == {"bbb-apps-akka": [f"{disk.AKKA} is newer than its start"]}


def test_doors_are_shut_and_recordings_do_not_cut_meetings(server: Server) -> None:
    server.at(disk.WEB).chmod(0o644)
    plan = server.converge(sections={"web": {"muteOnStart": False}}, formats=("presentation",))
    assert plan.doors == [] and server.at(disk.WEB).stat().st_mode & 0o777 == 0o640
    server.at(disk.WEB).chmod(0o644)
    plan = server.converge(sections={"web": {"muteOnStart": False}})
    assert plan.doors == ["web"] and plan.changed and not plan.restarts and server.at(disk.WEB).stat().st_mode & 0o777 == 0o640
    plan = server.plan(sections={"recording": {"playback_host": "other.example.org"}})
    assert plan.restarts and not plan.cuts_meetings


def test_without_bigbluebutton_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CoopError, match="BigBlueButton is not installed here"):
        config.observe(str(tmp_path), lambda names: {})


def test_what_systemctl_and_bbb_conf_say_is_understood() -> None:
    said = ("Id=bbb-web.service\nLoadState=loaded\nActiveState=active\nActiveEnterTimestampMonotonic=5000000\n\n"
            "Id=nginx.service\nLoadState=not-found\nActiveState=inactive\nActiveEnterTimestampMonotonic=0\n\n"
            "Id=freeswitch.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=disabled\nActiveEnterTimestampMonotonic=0\n\n"
            "Id=bbb-webhooks.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n\n"
            "Id=bbb-pads.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n\n")  # fmt: skip
    units = host.units(["bbb-web", "nginx", "freeswitch", "bbb-webhooks", "bbb-pads"], lambda _argv, _timeout: said)
    assert {name: unit.works for name, unit in units.items()} == {
        "bbb-web": True, "freeswitch": False, "bbb-webhooks": True, "bbb-pads": False}  # fmt: skip
    assert units["bbb-web"].since is not None and units["freeswitch"].since is None
    said = "\x1b[1m# not this\x1b[0m\n\n# Potential problems described below\n\n# Error: one\n#   goes on\n\n# Warning: two\n"
    assert host.problems(lambda _argv, _timeout: said) == ["Error: one goes on", "Warning: two"]
    assert host.problems(lambda _argv, _timeout: "# Potential problems described below\n\n") == []
