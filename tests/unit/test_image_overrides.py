# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of overrides: what is read, what is refused with file and line, and what becomes of an image's files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._greenlight import image_overrides, images
from ansible_collections.meet.coop.plugins.plugin_utils._overrides import folder

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = ROOT / "tests" / "lab" / "greenlight" / "image"
EXAMPLE = ROOT / "inventories" / "example" / "overrides" / "sunflower"
IMAGE = "greenlight:v3"


def upstream(**changes: str | None) -> image_overrides.Upstream:
    """The double's files, with some put in, changed or (None) taken out."""
    files = {
        path.relative_to(DOUBLE).as_posix(): path.read_bytes()
        for name in image_overrides.READ
        for path in (DOUBLE / name).rglob("*")
        if path.is_file()
    }
    for path, text in changes.items():
        if text is None:
            del files[path]
        else:
            files[path] = text.encode()
    return image_overrides.Upstream(IMAGE, frozenset(files), files.__getitem__)


def folder_of(tmp_path: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = tmp_path / "overrides" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path / "overrides"


def refused(tmp_path: Path, **files: str | bytes) -> list[str]:
    with pytest.raises(CoopError) as caught:
        folder.read(str(folder_of(tmp_path, **files)), "o")
    return str(caught.value).splitlines()


def unfit(tmp_path: Path, image: image_overrides.Upstream | None = None, **files: str | bytes) -> list[str]:
    content = folder.read(str(folder_of(tmp_path, **files)), "o")
    with pytest.raises(CoopError) as caught:
        image_overrides.changed_files(content, image or upstream())
    return str(caught.value).splitlines()


def made(tmp_path: Path, **files: str | bytes) -> dict[str, bytes]:
    return image_overrides.changed_files(folder.read(str(folder_of(tmp_path, **files)), "o"), upstream())


def test_the_example_fits() -> None:
    changed = image_overrides.changed_files(folder.read(str(EXAMPLE)), upstream())
    assert "<title>Sunflower meetings</title>" in changed[image_overrides.LAYOUT].decode()
    assert json.loads(changed["app/assets/locales/de.json"])["homepage"] == {
        "welcome_bbb": "Willkommen bei Sunflower.",
        "meeting_title": "Eine Konferenz starten",
    }
    assert changed[image_overrides.STYLES].decode().endswith("@import 'coop';\n")
    texts = yaml.safe_load(changed["config/locales/zz-coop.en.yml"])
    assert set(texts["en"]["email"]["reset"]) == {"password_reset", "password_reset_requested"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"image.yml": "titel: x\n"}, 'o/image.yml:1: "titel" is unknown; write one of title, footer, made_from, or remove it'),
        ({"image.yml": "title: [a]\n"}, "o/image.yml:1: title a list is not a text of one line"),
        ({"image.yml": "title: yes it is\nfooter: Sun\n"}, 'o/image.yml:2: "Sun" is no footer; write text:'),
        ({"image.yml": "footer:\n  text: Sun\n  link: javascript:alert(1)\n"}, 'o/image.yml:3: "javascript:alert(1)" is no address'),
        ({"image.yml": "footer: {link: 'https://a.example'}\n"}, "o/image.yml:1: has no text; write footer:"),
        ({"image.yml": "made_from:\n  public/favicon.ico: abc\n"}, 'o/image.yml:2: "abc" is no SHA-256'),
        ({"image.yml": "title: a\ntitle: b\n"}, "o/image.yml:2: "),
        ({"locales/de.json": '{"a": "b"'}, "o/locales/de.json:1: "),
        ({"locales/de.json": '{\n"a": 1}'}, "o/locales/de.json:2: a: 1 is no text"),
        ({"locales/german.json": "{}"}, "o/locales/german.json: is not named by its language; write locales/de.json"),
        ({"mails/de.json": "{}"}, "o/mails/de.json: is not named by its language; write mails/de.yml"),
        ({"mails/de.yml": "en:\n  a: b\n"}, 'o/mails/de.yml:1: begins with "en"; write de:'),
        ({"mails/de.yml": b"de:\n  a: \xe4\n"}, "o/mails/de.yml:2: byte 0xe4 is not UTF-8"),
        ({"logo.png": b"x"}, "o/logo.png: has no meaning here; write image.yml, favicon.ico"),
        ({"favicon.ico": b"x" * 10_000_001}, "o: holds more than 10 MB"),
    ],
)
def test_what_is_not_well_formed(tmp_path: Path, files: dict[str, str | bytes], said: str) -> None:
    told = refused(tmp_path, **files)
    assert len(told) == 1 and told[0].startswith(said), told


def test_a_folder_that_is_not_there_empty_or_a_link(tmp_path: Path) -> None:
    with pytest.raises(CoopError, match=r"^o: is no folder; make it, see docs/image.md$"):
        folder.read(str(tmp_path / "nowhere"), "o")
    (tmp_path / "overrides").mkdir()
    assert refused(tmp_path)[0].startswith("o: holds nothing; put image.yml")
    (tmp_path / "overrides" / "favicon.ico").symlink_to("/etc/shadow")
    assert any(line == "o/favicon.ico: is a symbolic link; put the file itself there" for line in refused(tmp_path))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"locales/de.json": '{"homepage": "x"}'}, "o/locales/de.json:1: homepage is a group of texts in greenlight:v3"),
        ({"locales/de.json": '{"homepage": {"x": {"y": "z"}}}'}, "o/locales/de.json:1: homepage.x.y is unknown to greenlight:v3"),
        ({"locales/nl.json": '{"start": "x"}'}, "o/locales/nl.json:1: greenlight:v3 has no app/assets/locales/nl.json"),
        (
            {"locales/de.json": '{"no_result_search_input": "{{ searchinput }}"}'},
            "o/locales/de.json:1: no_result_search_input names the value",
        ),
        ({"mails/de.yml": "de:\n  email:\n    resett: x\n"}, "o/mails/de.yml:3: email.resett is unknown to greenlight:v3"),
        ({"mails/nl.yml": "nl:\n  a: x\n"}, "o/mails/nl.yml:2: greenlight:v3 has no config/locales/nl.yml"),
        ({"files/bin/start": "x"}, "o/files/bin/start: bin/start is no file that may be overridden"),
        ({"files/app/controllers/a.rb": "x"}, "o/files/app/controllers/a.rb: app/controllers/a.rb is no file that may be overridden"),
        ({"files/public/assets/main.js": "x"}, "o/files/public/assets/main.js: public/assets/main.js is made from other files"),
        (
            {"files/app/javascript/App.tsx": "x"},
            "o/files/app/javascript/App.tsx: app/javascript/App.tsx is not in greenlight:v3; the nearest",
        ),
    ],
)
def test_what_does_not_fit_the_image(tmp_path: Path, files: dict[str, str], said: str) -> None:
    told = unfit(tmp_path, **files)
    assert len(told) == 1 and told[0].startswith(said), told


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    told = unfit(tmp_path, **{"locales/de.json": '{"a": "x",\n"b": "y"}', "files/public/icon.ico": "x", "mails/de.yml": "de:\n  c: z\n"})
    assert [line.split(": ")[0] for line in told] == [
        "o/files/public/icon.ico",
        "o/locales/de.json:1",
        "o/locales/de.json:2",
        "o/mails/de.yml:2",
    ]


def test_upstream_moved_or_changed_what_is_put_in_place(tmp_path: Path) -> None:
    title = {"image.yml": "title: Sun\n"}
    told = unfit(tmp_path, upstream(**{image_overrides.APP: "<Title>Greenlight</Title>"}), **title)
    assert len(told) == 1
    assert told[0].startswith("o/image.yml:1: app/javascript/App.jsx of greenlight:v3 has no title BigBlueButton any more; override")
    told = unfit(tmp_path, upstream(**{image_overrides.HELPER: None, "app/lib/application_helper.rb": "x"}), **title)
    assert told == [
        "o/image.yml:1: app/helpers/application_helper.rb is not in greenlight:v3; there is app/lib/application_helper.rb now; "
        "compare yours with it, then move yours there"
    ]


def test_an_override_knows_what_it_was_made_from(tmp_path: Path) -> None:
    template = "app/views/user_mailer/reset_password_email.html.erb"
    before = hashlib.sha256((DOUBLE / template).read_bytes()).hexdigest()
    files = {f"files/{template}": "<p>new</p>", "image.yml": f"made_from:\n  {template}: {before}\n"}
    assert made(tmp_path, **files)[template] == b"<p>new</p>"
    told = unfit(tmp_path, upstream(**{template: "<p>later</p>"}), **files)
    now = hashlib.sha256(b"<p>later</p>").hexdigest()
    assert told[0].startswith(f"o/image.yml:2: {template} of greenlight:v3 is not the file that") and told[0].endswith(f"then write {now}")


def test_titles_cannot_break_out_of_their_language(tmp_path: Path) -> None:
    changed = made(tmp_path, **{"image.yml": "title: \"O'Neil's <b> \\\\ #{1} <%= 2 %>\"\n"})
    assert "<title>O&#x27;Neil&#x27;s &lt;b&gt; \\ #{1} &lt;%= 2 %&gt;</title>" in changed[image_overrides.LAYOUT].decode()
    assert "'O\\'Neil\\'s <b> \\\\ #{1} <%= 2 %>'" in changed[image_overrides.HELPER].decode()
    assert ">{\"O'Neil's <b> \\\\ #{1} <%= 2 %>\"}</Title>" in changed[image_overrides.APP].decode()


def test_whole_files_come_first_and_texts_are_merged_into_them(tmp_path: Path) -> None:
    changed = made(
        tmp_path,
        **{"files/app/assets/locales/de.json": '{"start": "A", "search": "B"}', "locales/de.json": '{"start": "C \\ud83c\\udf3b"}',
           "files/public/coop/a.txt": "x", "apple-touch-icon.png": b"icon"},
    )  # fmt: skip
    assert json.loads(changed["app/assets/locales/de.json"]) == {"start": "C \U0001f33b", "search": "B"}
    assert changed["public/coop/a.txt"] == b"x"
    assert changed["public/apple-touch-icon.png"] == changed["public/apple-touch-icon-precomposed.png"] == b"icon"


_KEY = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("no", "off", "on", "yes", "true", "false", "null", "y", "n")
)
_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, blacklist_characters="\x7f\x85\xa0\xad"), min_size=1, max_size=30)
_TREE = st.recursive(_TEXT, lambda below: st.dictionaries(_KEY, below, min_size=1, max_size=4), max_leaves=12)


@given(st.dictionaries(_KEY, _TREE, min_size=1, max_size=4))
def test_rails_texts_have_the_keys_that_yaml_says(tree: dict[str, Any]) -> None:
    written = yaml.safe_dump({"en": tree}, allow_unicode=True, width=40)
    assert set(image_overrides.rails_texts(written)) == {keys for keys, _text in image_overrides.leaves(tree)}


@given(st.dictionaries(_KEY, _TREE, min_size=1, max_size=4))
def test_texts_put_one_by_one_make_the_same_tree(tree: dict[str, Any]) -> None:
    again: dict[str, Any] = {}
    for keys, text in image_overrides.leaves(tree):
        image_overrides.put(again, keys, text)
    assert again == tree


def spec(**changes: Any) -> images.Spec:
    return images.Spec(**{"name": "sun", "upstream": "greenlight:v3", "content": {}, "repository": "coop/sun", **changes})


def test_the_tag_follows_what_goes_in_and_nothing_else() -> None:
    one = spec(content={"title": {"text": "A", "at": "here:1"}})
    assert one.tag("sha256:1") == spec(content={"title": {"text": "A", "at": "there:9"}}).tag("sha256:1")
    others = {one.tag("sha256:2"), spec(content={"title": {"text": "B", "at": "here:1"}}).tag("sha256:1")}
    assert one.tag("sha256:1") not in others and len(others) == 2
    assert all(tag.startswith("v3-") for tag in others)


@pytest.mark.parametrize("name", ["greenlight", "registry.example:5000/greenlight"])
def test_an_upstream_image_has_a_tag(name: str) -> None:
    with pytest.raises(CoopError, match="has no tag"):
        images.split(name)
    assert images.split(f"{name}:v3") == (name, "v3")
    assert images.split(f"{name}@sha256:{'ab' * 32}") == (name, "sha256-abababababab")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"name": "Sun"}, "is no name"), ({"repository": "a:b"}, "without a tag"), ({"push": True, "repository": "sun"}, "no registry")],
)
def test_names_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CoopError, match=said):
        spec(**changes)
