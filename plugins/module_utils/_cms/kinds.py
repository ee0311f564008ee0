# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how content management systems are told about a BigBlueButton API, each in its own words.

Sources: Nextcloud littleredbutton/cloud_bbb (README, "Configuration"), Moodle mod/bigbluebuttonbn (classes/local/config.php, settings.php),
WordPress plugin bigbluebutton (includes/helpers/class-bigbluebutton-api.php), Drupal module bigbluebutton (config/install,
src/Form/BigBlueButtonSettingsForm.php); Nextcloud's and Drupal's calls are made by littleredbutton/bigbluebutton-api-php.
"""

from __future__ import annotations

import shlex
import typing as t
from dataclasses import dataclass, field

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError

SECRET = "$BBB_SECRET"
"""Stands for the secret in what may be shown; in commands it is the shell variable that holds it."""

READ_SECRET = "read -rs BBB_SECRET   # then paste the secret; it stays out of the shell's history"
PUBLIC_SERVERS = ("test-install.blindsidenetworks.com", "test-moodle.blindsidenetworks.com", "bbb.blindsidenetworks.com")
"""Where Moodle and WordPress send meetings as long as nobody tells them otherwise."""


@dataclass(frozen=True)
class Kind:
    """One content management system.

    ``algorithms`` are those it may sign with as it is handed over; several where its library decides. ``secret`` and ``url`` name the
    settings that hold them.
    """

    title: str
    url: str
    secret: str
    algorithms: tuple[str, ...]
    #: Settings beside address and secret, with their values.
    more: t.Mapping[str, str] = field(default_factory=dict)
    #: What to run; {url} and {secret} are filled in, quoted for a shell.
    commands: tuple[str, ...] = ()
    #: How its address has to end, and how it makes the address of a call from it.
    ending: str = "/bigbluebutton/"
    notes: tuple[str, ...] = ()

    def call_base(self, url: str) -> str:
        """What the plugin puts the name of a call behind. Raises CoopError for an address that the plugin would get wrong."""
        if self.ending and not url.endswith(self.ending):
            raise CoopError(f"the address for {self.title} has to end in {self.ending}, since it appends api/ to it as it stands")
        if not self.ending:
            # mod_bigbluebuttonbn takes it with or without /api and slash (classes/local/proxy/proxy_base.php).
            url = url.rstrip("/").removesuffix("/api") + "/"
        return url + "api/"


KINDS: dict[str, Kind] = {
    "nextcloud": Kind(
        title="Nextcloud",
        url="api.url",
        secret="api.secret",
        algorithms=("sha1", "sha256"),
        commands=(
            "occ app:install bbb",
            "occ config:app:set bbb api.url --value {url}",
            "occ config:app:set bbb api.secret --value {secret}",
        ),
        notes=("The app has no setting for the checksum: its library chooses, and all that it may choose are accepted here.",),
    ),
    "moodle": Kind(
        title="Moodle",
        url="bigbluebuttonbn_server_url",
        secret="bigbluebuttonbn_shared_secret",
        algorithms=("sha256",),
        more={"bigbluebuttonbn_checksum_algorithm": "SHA256", "bigbluebuttonbn_default_dpa_accepted": "1"},
        commands=(
            "php admin/cli/cfg.php --name=bigbluebuttonbn_server_url --set={url}",
            "php admin/cli/cfg.php --name=bigbluebuttonbn_shared_secret --set={secret}",
            "php admin/cli/cfg.php --name=bigbluebuttonbn_checksum_algorithm --set=SHA256",
            "php admin/cli/cfg.php --name=bigbluebuttonbn_default_dpa_accepted --set=1",
        ),
        ending="",
        notes=(
            "Without these settings Moodle sends meetings to a public test server of somebody else's.",
            "Exit status 4 of cfg.php means that config.php has the setting: change it there.",
        ),
    ),
    "wordpress": Kind(
        title="WordPress",
        url="bigbluebutton_url",
        secret="bigbluebutton_salt",
        algorithms=("sha1",),
        commands=(
            "wp plugin install bigbluebutton --activate",
            "wp option update bigbluebutton_url {url}",
            "wp option update bigbluebutton_salt {secret}",
        ),
        notes=(
            "Without these settings WordPress sends meetings to a public test server of somebody else's.",
            "The address has to end in bigbluebutton/, with the slash.",
        ),
    ),
    "drupal": Kind(
        title="Drupal",
        url="hostname",
        secret="secret",
        algorithms=("sha1", "sha256"),
        commands=(
            "composer require drupal/bigbluebutton",
            "drush en bigbluebutton -y",
            "drush config:set bigbluebutton.settings hostname {url} -y",
            "drush config:set bigbluebutton.settings secret {secret} -y",
        ),
        notes=(
            "Exported configuration holds the secret: set it in settings.php instead where the export is shared "
            "($config['bigbluebutton.settings']['secret']).",
        ),
    ),
}


def kind_of(name: str) -> Kind:
    """The system of that name. Raises CoopError."""
    try:
        return KINDS[name]
    except KeyError:
        raise CoopError(f"{name!r} is no content management system known here; write one of {', '.join(KINDS)}") from None


def address(endpoint: str) -> str:
    """The address that is handed over, from an API's endpoint (C(https://HOST/.../bigbluebutton/api/)). Raises CoopError."""
    base = endpoint.rstrip("/").removesuffix("/api") + "/"
    if not base.startswith("https://") or not base.endswith("/bigbluebutton/"):
        raise CoopError(f"{endpoint} is no BigBlueButton API; write its address, such as https://bbb.example.org/bigbluebutton/api/")
    return base


def settings(kind: Kind, url: str, secret: str = SECRET) -> dict[str, str]:
    """All settings with their values, in the system's own names; without ``secret`` its place is only marked."""
    return {kind.url: url, kind.secret: secret, **kind.more}


def commands(kind: Kind, url: str) -> list[str]:
    """What to run on the system's own machine. The secret is read from the keyboard, so that no history keeps it."""
    return [READ_SECRET, *(line.format(url=shlex.quote(url), secret=f'"{SECRET}"') for line in kind.commands)]
