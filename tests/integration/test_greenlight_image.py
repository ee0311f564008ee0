# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""greenlight_image on a container host: a fork is built once, says where it comes from, serves what was overridden, and survives kills."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ansible
from tests.support.containers import HOST, IMAGE, KILLER, OLDER, REDIS, Instance
from tests.support.lab import RunningLab
from tests.support.roles import apply_role

EXAMPLE = ansible.ROOT / "inventories" / "example" / "overrides" / "sunflower"
MODULE = "meet.coop.greenlight_image"
REGISTRY = "127.0.0.1:5003"  # Docker needs no certificate of a registry on loopback
PASSWORD = "registry-PASSWORD-4711"


class Forge:
    """The module's runs on the container host, and what they leave there."""

    def __init__(self, lab: RunningLab, run_module: Callable[..., dict[str, Any]], folder: Path) -> None:
        self.lab, self.run_module, self.folder = lab, run_module, folder

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {"name": "t-sun", "upstream": IMAGE, "overrides": str(self.folder), "pull": "never", **more}

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        return self.run_module(HOST, MODULE, self.arguments(**more), check=check)

    def good(self, **more: Any) -> dict[str, Any]:
        result = self.run(**more)
        assert not result.get("failed"), (result.get("msg"), result.get("log"))
        return result

    def docker(self, *argv: str, check: bool = True) -> str:
        done = self.lab.exec(HOST, ["docker", *argv])
        assert done.returncode == 0 or not check, done
        return done.stdout.strip()

    def left(self) -> list[str]:
        """Images and containers of the fork."""
        images = self.docker("images", "--filter", "label=coop.meet.image=t-sun", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        return sorted([*images, *self.docker("ps", "--all", "--filter", "name=greenlight-image-", "--format", "{{.Names}}").splitlines()])

    def clear(self) -> None:
        for name in self.left():
            self.docker("rm" if name.startswith("greenlight-image-") else "rmi", "--force", name, check=False)


@pytest.fixture(scope="module")
def container_host(lab: RunningLab) -> RunningLab:
    if lab.exec(
        HOST, ["sh", "-c", "nft list table inet meet_coop_isolation && docker info && ss -ltn | grep -q 10.213.0.1:5432"]
    ).returncode:
        done = apply_role("container_host", HOST)
        assert done.returncode == 0, done.stdout[-4000:]
    return lab


@pytest.fixture
def forge(container_host: RunningLab, run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Iterator[Forge]:
    folder = tmp_path / "sunflower"
    shutil.copytree(EXAMPLE, folder)
    (folder / "favicon.ico").write_bytes(b"\0\0\1\0sunflower")
    (folder / "files" / "public" / "coop").mkdir(parents=True)
    (folder / "files" / "public" / "coop" / "hours.txt").write_text("Tuesdays\n")
    one = Forge(container_host, run_module, folder)
    one.clear()
    yield one
    one.clear()


def test_a_fork_is_built_once_and_serves_what_was_overridden(
    forge: Forge, run_module: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    predicted = forge.good(check=True)
    assert predicted["changed"] and forge.left() == []
    built = forge.good()
    assert {key: predicted[key] for key in ("changed", "image", "actions", "files", "diff", "revision", "base_digest")} == {
        key: built[key] for key in ("changed", "image", "actions", "files", "diff", "revision", "base_digest")
    }
    assert built["actions"] == [f"build image {built['image']}"] and forge.left() == [built["image"]]
    again, asked = forge.good(), forge.good(check=True)
    for one in (again, asked):
        assert (one["changed"], one["actions"], one["image"], one["image_id"]) == (False, [], built["image"], built["image_id"])
    # The same overrides in another place are the same image.
    shutil.copytree(forge.folder, tmp_path / "elsewhere")
    assert forge.good(overrides=str(tmp_path / "elsewhere"))["changed"] is False

    image = json.loads(forge.docker("image", "inspect", built["image"]))[0]
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == IMAGE
    assert labels["org.opencontainers.image.base.digest"] == built["base_digest"] == forge.docker("inspect", "--format", "{{.Id}}", IMAGE)
    assert labels["org.opencontainers.image.revision"] == built["revision"]
    assert labels["org.opencontainers.image.title"] == "Sunflower meetings"
    assert "org.opencontainers.image.created" not in labels
    upstream = json.loads(forge.docker("image", "inspect", IMAGE))[0]["Config"]
    assert {key: image["Config"].get(key) for key in ("Entrypoint", "Cmd", "WorkingDir", "User", "ExposedPorts")} == {
        key: upstream.get(key) for key in ("Entrypoint", "Cmd", "WorkingDir", "User", "ExposedPorts")
    }
    assert set(image["Config"]["Env"]) - set(upstream["Env"]) == {"SKIP_CSS_BUILD=1", "SKIP_JS_BUILD=1", "SKIP_YARN_INSTALL=1"}

    instance = Instance(forge.lab, run_module, "t-fork", (47900, 47909))
    instance.remove()
    try:
        instance.provide_database()
        port = instance.good(image=IMAGE)["port"]
        assert [row["what"] for row in forge.good(instance="t-fork")["behind"]] == ["fork"]
        changed = instance.good(image=built["image"])
        assert changed["version"] == "v3.8.2.4"
        assert f"rehearse image {built['image']} on a copy of database {instance.database}" in changed["actions"], changed["actions"]
        assert instance.good(image=built["image"])["changed"] is False
        served = instance.lab.exec(HOST, ["sh", "-c", PAGES.format(port=port, host=f"{instance.name}.meet.test")]).stdout
        assert "<title>Sunflower meetings</title>" in served
        assert 'og:title" content="Sunflower meetings"' in served
        assert '"footer": "Sunflower Housing Co-operative"' in served and '"link": "https://sunflower.example/"' in served
        assert "4px solid #e8a200" in served and "whitesmoke" in served
        assert "Willkommen bei Sunflower." in served and "Eine Konferenz starten" in served
        assert "Tuesdays" in served and "sunflower\n--" in served
        asked = "from double.assets import text; print(text('email.reset.password_reset'), text('email.reset.link_expires'))"
        assert instance.inside(f'python3 -c "{asked}"').stdout == "Your password at Sunflower The link will expire in 1 hour.\n"
        # Its start compiled nothing.
        assert "yarn" not in forge.docker("logs", instance.container)

        assert forge.good(instance="t-fork")["behind"] == []
        (forge.folder / "locales" / "de.json").write_text('{"start": "Los"}')
        assert [row["what"] for row in forge.good(check=True, instance="t-fork")["behind"]] == ["overrides"]
        lag = forge.good(check=True, instance="t-fork", upstream=OLDER)["behind"]
        assert {row["what"]: (row["is"], row["wanted"]) for row in lag}["version"] == (IMAGE, OLDER)
        assert {row["what"] for row in lag} == {"version", "upstream", "overrides"}
        assert forge.left() == [built["image"]]
    finally:
        instance.remove()


#: Page, script, styles, texts and files as a browser would ask for them.
PAGES = """
get() {{ curl -s -m 10 -H "Host: {host}" -H "X-Forwarded-Proto: https" "http://127.0.0.1:{port}$1"; }}
page=$(get /)
echo "$page"
for asset in $(echo "$page" | grep -o '/assets/[^"]*'); do get "$asset"; done
german=$(curl -s -m 10 -o /dev/null -w '%{{redirect_url}}' -H "Host: {host}" -H "X-Forwarded-Proto: https" \
  -H "Accept: application/json" "http://127.0.0.1:{port}/api/v1/locales/de.json")
get "/assets/${{german##*/}}"
get /coop/hours.txt
get /favicon.ico | tr -d '\\0\\1'
echo; echo --
"""


def test_what_does_not_fit_is_told_before_anything_is_built(forge: Forge) -> None:
    (forge.folder / "locales" / "de.json").write_text('{\n  "homepage": {\n    "welcom_bbb": "Hallo"\n  }\n}\n')
    (forge.folder / "mails" / "en.yml").write_text("en:\n  email:\n    reset:\n      password_reset: For %{mail}\n")
    moved = forge.folder / "files" / "app" / "views" / "mailers"
    moved.mkdir(parents=True)
    (moved / "reset_password_email.html.erb").write_text("<p>")
    for check in (True, False):
        failed = forge.run(check=check)
        assert failed["failed"], failed
        told = failed["msg"].splitlines()
        assert len(told) == 3 and "Traceback" not in json.dumps(failed)
        assert told[0].endswith(
            "there is app/views/user_mailer/reset_password_email.html.erb now; compare yours with it, then move yours there"
        )
        assert "files/app/views/mailers/reset_password_email.html.erb: " in told[0]
        assert told[1].endswith(f"/locales/de.json:3: homepage.welcom_bbb is unknown to {IMAGE}; did you mean homepage.welcome_bbb?")
        assert "/mails/en.yml:4: email.reset.password_reset names the value mail" in told[2]
    assert forge.left() == []


def test_a_build_that_fails_or_is_killed_leaves_nothing_behind(forge: Forge) -> None:
    (forge.folder / "styles.scss").write_text("#navbar { color: red;\n")
    failed = forge.run()
    assert failed["failed"] and "cannot be built: compiling the assets ended with 1" in failed["msg"] and "coop.scss" in failed["msg"]
    assert forge.left() == []

    (forge.folder / "styles.scss").write_text("#navbar { color: red; }\n")
    killed(forge, "container start greenlight-image-t-sun.build")
    assert forge.left() == ["greenlight-image-t-sun.build"]
    predicted = forge.good(check=True)
    assert predicted["actions"][0] == "remove container greenlight-image-t-sun.build"
    result = forge.good()
    assert (result["actions"], result["diff"]) == (predicted["actions"], predicted["diff"])
    assert forge.left() == [result["image"]]
    assert forge.good()["changed"] is False


def killed(forge: Forge, event: str) -> None:
    """A run that is killed with SIGKILL when Docker reports an event; it is told by the lock that it holds."""
    since = forge.lab.exec(HOST, ["sh", "-c", "mkdir -p -m 700 /run/meet-coop-images/t-sun; date +%s.%N"]).stdout.strip()
    playbook = forge.folder.parent / "killed.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": HOST, "gather_facts": False, "tasks": [{"name": "Build", MODULE: forge.arguments()}]}]))
    play = subprocess.Popen(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(ansible.INVENTORY / "hosts.yml"), str(playbook)],
        cwd=ansible.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ansible.environment(),
    )  # fmt: skip
    seen = forge.lab.exec(HOST, ["python3", "-c", KILLER, "/run/meet-coop-images/t-sun", event, since])
    output = play.communicate(timeout=60)[0]
    assert seen.returncode == 0 and seen.stdout and play.returncode != 0, (seen, output)


def test_earlier_images_go_but_for_one_and_those_in_use(forge: Forge) -> None:
    """Each release of a member's texts leaves an image of half a gigabyte behind."""
    small = small_upstream(forge)
    wanted = {"upstream": small}
    made = []
    try:
        for colour in ("red", "green", "blue"):
            (forge.folder / "styles.scss").write_text(f"#navbar {{ color: {colour}; }}\n")
            made.append(forge.good(**wanted)["image"])
            if colour == "red":
                forge.docker("create", "--name", "t-image-user", "--entrypoint", "true", made[0])
        # One is used by a container that does not even run, one is the one before, one is wanted.
        assert forge.left() == sorted(made)
        (forge.folder / "styles.scss").write_text("#navbar { color: black; }\n")
        predicted, done = forge.good(check=True, **wanted), forge.good(**wanted)
        assert predicted["actions"] == done["actions"] == [f"build image {done['image']}", f"remove image {made[1]}"]
        assert predicted["diff"] == done["diff"]
        assert forge.left() == sorted([made[0], made[2], done["image"]])
        assert forge.good(**wanted)["changed"] is False
        forge.docker("rm", "t-image-user")
        assert forge.good(**wanted, keep=0)["actions"] == [f"remove image {name}" for name in (made[2], made[0])]
        assert forge.left() == [done["image"]]
    finally:
        forge.docker("rm", "--force", "t-image-user", check=False)
        forge.docker("rmi", "--force", small, check=False)


def small_upstream(forge: Forge) -> str:
    """An upstream image with Greenlight's files and nothing to run them, quick to push: what it holds is no matter to a registry."""
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode="w") as archive:
        for name in ("app", "config", "public"):
            archive.add(ansible.ROOT / "tests" / "lab" / "greenlight" / "image" / name, f"usr/src/app/{name}")
    rails = "#!/bin/sh\\nmkdir -p public/assets && echo {} >public/assets/.sprockets-manifest-1.json\\n"
    script = (
        f"rm -rf /tmp/t-small; mkdir -p /tmp/t-small/usr/bin; tar -C /tmp/t-small -xf -; printf '{rails}' >/tmp/t-small/usr/bin/rails;"
        f" chmod 755 /tmp/t-small/usr/bin/rails; id=$(docker create {REDIS}); docker cp -q /tmp/t-small/usr/src $id:/usr/;"
        " docker cp -q /tmp/t-small/usr/bin/rails $id:/usr/bin/rails;"
        " docker commit -c 'ENTRYPOINT [\"./bin/start\"]' -c 'ENV RAILS_ROOT=/usr/src/app' $id t-small:v3.8.2.4; docker rm $id;"
        " rm -rf /tmp/t-small"
    )
    done = forge.lab.exec(HOST, ["sh", "-ec", script], files.getvalue())
    assert done.returncode == 0, done
    return "t-small:v3.8.2.4"


def test_through_a_registry_it_is_built_once_for_all_hosts(forge: Forge) -> None:
    configuration = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": "/var/lib/test-registry"}},
        "http": {"addr": REGISTRY},
        "auth": {"htpasswd": {"realm": "coop", "path": "/run/test-registry.htpasswd"}},
    }
    # The registry checks the password at each of its many requests: the cheapest hash there is.
    cheap = f"import bcrypt; print(bcrypt.hashpw(b'{PASSWORD}', bcrypt.gensalt(4)).decode())"
    start = (
        f'echo "builder:$(docker run --rm --network none --entrypoint python3 {IMAGE} -c "{cheap}")" >/run/test-registry.htpasswd;'
        " cat >/run/test-registry.yml; systemd-run --quiet --unit test-registry docker-registry serve /run/test-registry.yml"
    )
    small = small_upstream(forge)
    wanted = {
        "repository": f"{REGISTRY}/coop/t-sun",
        "upstream": small,
        "push": True,
        "registry": {"username": "builder", "password": PASSWORD},
    }
    try:
        assert forge.lab.exec(HOST, ["sh", "-ec", start], json.dumps(configuration)).returncode == 0
        forge.lab.wait_for(HOST, f"curl -s -o /dev/null http://{REGISTRY}/v2/")
        refused = forge.run(**{**wanted, "registry": {"username": "builder", "password": "another-PASSWORD"}})
        assert refused["failed"] and "refuses the user name or password" in refused["msg"] and "another-PASSWORD" not in json.dumps(refused)
        predicted = forge.good(check=True, **wanted)
        pushed = forge.good(**wanted)
        assert predicted["actions"] == pushed["actions"] == [f"{verb} image {pushed['image']}" for verb in ("build", "push")]
        assert predicted["diff"] == pushed["diff"] and PASSWORD not in json.dumps([predicted, pushed])
        assert forge.good(**wanted)["changed"] is False
        # As another host would find it.
        forge.clear()
        pulled = forge.good(**wanted)
        assert pulled["actions"] == [f"pull image {pushed['image']}"] and pulled["image_id"] == pushed["image_id"]
        assert forge.good(**wanted)["changed"] is False
    finally:
        forge.docker("rmi", "--force", small, check=False)
        forge.lab.exec(HOST, ["sh", "-c", "systemctl stop test-registry; rm -rf /var/lib/test-registry /run/test-registry.*"])
