# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content management systems: their tenants, and what is handed over to them."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.filter.cms_access import cms_access
from ansible_collections.meet.coop.plugins.module_utils._cms import handover, kinds
from ansible_collections.meet.coop.plugins.module_utils._cms.handover import Credential, converge
from ansible_collections.meet.coop.plugins.module_utils._cms.plan import PREFIX, plan, secret_names
from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._pool.model import Tenant, check_all
from ansible_collections.meet.coop.plugins.module_utils._pool.names import tenant_name

ENDPOINT = "https://pool.example.org/t/abc/bigbluebutton/api/"
CLOUD = Credential("cloud", "nextcloud", ENDPOINT, "s" * 40)
BLOG = Credential("blog", "wordpress", ENDPOINT, "t" * 40)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


def service(names: Any, state: str = "present", access: str = "tenant") -> dict[str, Any]:
    cms = [{"name": name, "kind": "moodle", "access": access, "tenant": tenant_name(f"rosa.{name}")} for name in names]
    limits = {"meeting_minutes": 60, "participants": 25}
    return {
        "id": "rosa",
        "state": state,
        "cms": cms,
        "limits": limits,
        "fair_use": {"participants": 40, "meetings": 3, "policy": "soft_limit"},
        "server": {"endpoint": "https://bbb.rosa.example/bigbluebutton/api/"},
    }


# -- the plan


@given(st.sets(NAMES), st.sets(NAMES), st.sets(NAMES), st.sampled_from(["present", "stopped", "absent"]))
def test_whoever_has_a_secret_is_either_let_in_or_locked_out(listed: set[str], known: set[str], staged: set[str], state: str) -> None:
    kept = {PREFIX + name: f"secret-of-{name}-0123456789" for name in known}
    new = {PREFIX + name: f"next-for-{name}-0123456789" for name in staged & known}
    found = plan(service(sorted(listed), state), {**kept, "pool_secret": "x" * 40}, new, "pool.example.org")
    tenants = {one["name"]: one for one in found.tenants}
    assert set(tenants) == {tenant_name(f"rosa.{name}") for name in known}
    check_all([Tenant(**one) for one in found.tenants], "tenant", "name")
    for name in known:
        one = tenants[tenant_name(f"rosa.{name}")]
        gone = name not in listed or state == "absent"
        assert (one.get("state") == "absent") is gone is (PREFIX + name in found.forget)
        if not gone:
            both = [new[PREFIX + name], kept[PREFIX + name]] if name in staged else [kept[PREFIX + name]]
            assert one["secret"].split(":") == both and one["enabled"] is (state == "present")
            assert (one["duration_max"], one["participants_max"], one["record"]) == (60, 25, False)
            assert (one["meetings_at_once"], one["participants_at_once"]) == (3, 40)
    assert {one["name"] for one in found.credentials} == (listed & known if state == "present" else set())
    for one, proof in zip(found.credentials, found.proofs, strict=True):
        assert one["secret"] == proof["secret"] == new.get(PREFIX + one["name"], kept[PREFIX + one["name"]])
        tenant = tenant_name("rosa." + one["name"])
        assert one["endpoint"] == proof["url"] + "api/" == f"https://pool.example.org/t/{tenant}/bigbluebutton/api/"


def test_the_servers_own_secret_is_no_tenant() -> None:
    found = plan(service(["a"], access="server"), {"cms_a": "old-secret-of-a-tenant"}, {}, "pool.example.org", "server-secret-000")
    assert [one.get("state") for one in found.tenants] == ["absent"], "what it had as a tenant is taken back"
    assert [(one["endpoint"], one["secret"]) for one in found.credentials] == [
        ("https://bbb.rosa.example/bigbluebutton/api/", "server-secret-000")
    ]
    assert secret_names(service(["a"], access="server")) == [] == secret_names(service(["a"], "stopped"))
    assert secret_names(service(["a"])) == ["cms_a"]
    with pytest.raises(CoopError, match="rosa: a is to use the server's own secret, and that is empty"):
        plan(service(["a"], access="server"), {}, {}, "pool.example.org")


def test_the_filter_says_what_is_wrong_in_one_line() -> None:
    kept = {"secrets": {"cms_a": "secret-of-a-0123456789"}, "changed": False}
    found = cms_access(service(["a"]), kept, "pool.example.org")
    assert [one["secret"] for one in found["tenants"]] == ["secret-of-a-0123456789"] and found["rotating"] == []
    with pytest.raises(AnsibleFilterError, match="is to use the server's own secret, and that is empty; set it"):
        cms_access(service(["a"], access="server"), kept, "pool.example.org")


# -- each system's own words


@pytest.mark.parametrize("name", sorted(kinds.KINDS))
def test_the_address_is_completed_to_the_api(name: str) -> None:
    kind = kinds.kind_of(name)
    url = kinds.address(ENDPOINT)
    assert kind.call_base(url) == ENDPOINT
    assert kinds.settings(kind, url, "secret")[kind.url] == url and kinds.settings(kind, url, "secret")[kind.secret] == "secret"
    commands = kinds.commands(kind, url)
    assert any(url in line for line in commands) and sum('"$BBB_SECRET"' in line for line in commands) == 1
    assert set(kind.algorithms) <= {"sha1", "sha256"}


def test_an_address_that_a_plugin_would_get_wrong_is_refused() -> None:
    for name in ("nextcloud", "wordpress", "drupal"):
        for url in ("https://pool.example.org/t/abc/bigbluebutton", ENDPOINT):
            with pytest.raises(CoopError, match="has to end in /bigbluebutton/"):
                kinds.kind_of(name).call_base(url)
    moodle = kinds.kind_of("moodle")
    for url in ("https://h/bigbluebutton", "https://h/bigbluebutton/", "https://h/bigbluebutton/api", "https://h/bigbluebutton/api/"):
        assert moodle.call_base(url) == "https://h/bigbluebutton/api/"
    with pytest.raises(CoopError, match="write one of nextcloud, moodle, wordpress, drupal"):
        kinds.kind_of("typo3")
    with pytest.raises(CoopError, match="is no BigBlueButton API"):
        kinds.address("http://h/bigbluebutton/api/")


def test_a_shell_gets_the_address_as_one_word(tmp_path: pathlib.Path) -> None:
    """Whatever stands in an address, the commands that are handed over do no more than set it."""
    wicked = "https://h/$(touch pwned)/`touch pwned`/bigbluebutton/"
    for kind in kinds.KINDS.values():
        for line in kinds.commands(kind, wicked)[1:]:
            program = line.split()[0]
            script = f'{program}() {{ printf "%s\\n" "$@"; }}\nBBB_SECRET=hush\n{line}\n'
            done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
            assert "$BBB_SECRET" not in done.stdout and not list(tmp_path.iterdir())
            assert "touch pwned" not in line or wicked in done.stdout


# -- files


def test_files_are_for_root_alone_and_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "cms"
    foretold = converge(str(place), [CLOUD, BLOG], [], check_mode=True)
    assert foretold.changed and not place.exists()
    done = converge(str(place), [CLOUD, BLOG], [], check_mode=False)
    assert (done.before, done.after) == (foretold.before, foretold.after)
    assert CLOUD.secret not in json.dumps(done.entries) and CLOUD.secret not in repr(CLOUD)
    assert json.loads((place / "cloud.json").read_text())["settings"]["api.secret"] == CLOUD.secret
    assert [path.stat().st_mode & 0o777 for path in (place, *sorted(place.iterdir()))] == [0o700, 0o600, 0o600]
    assert not converge(str(place), [CLOUD, BLOG], [], check_mode=False).changed
    # Opened by hand, changed by hand: both are put right, and both are foretold.
    place.chmod(0o755)
    (place / "blog.json").write_text("{}")
    foretold = converge(str(place), [CLOUD, BLOG], [], check_mode=True)
    assert foretold.after == {"blog.json": "present (new)", "permissions": "root alone"}
    assert converge(str(place), [CLOUD, BLOG], [], check_mode=False).after == foretold.after
    assert not converge(str(place), [CLOUD, BLOG], [], check_mode=True).changed
    # Gone is gone.
    assert converge(str(place), [BLOG], [], check_mode=False).after == {"cloud.json": "absent"}
    assert [path.name for path in place.iterdir()] == ["blog.json"]


@pytest.mark.parametrize("name", ["Cloud", "../x", "encrypted", "a.b", ""])
def test_a_name_that_is_no_files_is_refused(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(CoopError, match="cannot be a credential's name"):
        converge(str(tmp_path), [Credential(name, "moodle", ENDPOINT, "s" * 40)], [], check_mode=False)
    with pytest.raises(CoopError, match="credential cloud is listed twice"):
        converge(str(tmp_path), [CLOUD, CLOUD], [], check_mode=False)
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_anywhere_is_put_right_by_the_next(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, [0]

    def killed(old: str, new: str) -> None:
        calls[0] -= 1
        if calls[0] < 0:
            raise KeyboardInterrupt
        real(old, new)

    for after in range(2):
        place = tmp_path / str(after)
        calls[0] = after
        monkeypatch.setattr(handover.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            converge(str(place), [CLOUD, BLOG], [], check_mode=False)
        monkeypatch.setattr(handover.os, "replace", real)
        assert [path.name for path in place.iterdir() if path.name.endswith(handover.NEW)], "the fault was injected"
        foretold = converge(str(place), [CLOUD, BLOG], [], check_mode=True)
        assert converge(str(place), [CLOUD, BLOG], [], check_mode=False).after == foretold.after
        assert sorted(path.name for path in place.iterdir()) == ["blog.json", "cloud.json"]
        assert not converge(str(place), [CLOUD, BLOG], [], check_mode=False).changed


@pytest.mark.skipif(not shutil.which("age"), reason="needs age")
def test_the_encrypted_file_is_for_its_owner(tmp_path: pathlib.Path) -> None:
    made = [subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout for _one in range(2)]
    identities = [text.splitlines()[-1] for text in made]
    recipients = [text.split("public key: ")[1].split()[0] for text in made]
    place = tmp_path / "cms"
    done = converge(str(place), [CLOUD], recipients[:1], check_mode=False)
    file = place / "cloud.json.age"
    assert done.entries[0]["encrypted_file"] == str(file) and CLOUD.secret.encode() not in file.read_bytes()

    def opened(identity: str) -> str | None:
        shown = subprocess.run(
            ["age", "--decrypt", "--identity", "-", str(file)], input=identity, capture_output=True, text=True, check=False
        )
        return json.loads(shown.stdout)["secret"] if shown.returncode == 0 else None

    assert (opened(identities[0]), opened(identities[1])) == (CLOUD.secret, None)
    before = file.read_bytes()
    assert not converge(str(place), [CLOUD], recipients[:1], check_mode=False).changed and file.read_bytes() == before
    # Another key, another secret: made anew. A lost index too, for nobody knows what is in the file.
    assert converge(str(place), [CLOUD], recipients, check_mode=False).after == {"cloud.json.age": "present (new)"}
    assert (opened(identities[0]), opened(identities[1])) == (CLOUD.secret, CLOUD.secret)
    (place / handover.INDEX).write_text("[")
    assert converge(str(place), [CLOUD], recipients, check_mode=False).changed
    assert not converge(str(place), [CLOUD], recipients, check_mode=True).changed
    # Without keys it goes.
    assert converge(str(place), [CLOUD], [], check_mode=False).after == {"cloud.json.age": "absent"}
    assert not file.exists() and not converge(str(place), [CLOUD], [], check_mode=True).changed
