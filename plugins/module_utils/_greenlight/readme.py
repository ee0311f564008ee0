# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: the page that goes with an export, for people who have never seen a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.meet.coop.plugins.module_utils._greenlight.contents import USER_COLUMNS

_TEXT = """\
Your Greenlight, taken out whole
================================

Instance:    {instance}
Names:       {names}
Taken out:   {made_at} (UTC), at one moment: all parts fit together
Greenlight:  {greenlight_version} or a later release with the same tables; PostgreSQL {postgresql}

Keep this safe. It holds the names and mail addresses of your people, the
access codes of rooms and, in greenlight.dump only, passwords as bcrypt
digests. Nobody can read a password out of a digest, but weak ones can be
guessed.


What is in it
-------------

users.csv        {users} accounts, one a line, UTF-8, comma separated. In a
                 spreadsheet import it with every column as text: a name
                 somebody chose for himself may begin with = and would be run
                 as a formula.
{columns}
rooms.json       {rooms} rooms: owner, people it is shared with, options of its
                 meetings, access codes, presentation. "path" is the end of
                 the address people have been given.
settings.json    Settings of the site, what new rooms begin with, and which
                 options a room's owner may change ("optional": off at first,
                 "default_enabled": on at first, "true" and "false": forced).
                 People invited who have not come yet.
roles.json       Roles and what each may do.
recordings.json  {recordings} recordings: name, room, length in minutes, and the addresses
                 where they are played. The films themselves are on the
                 BigBlueButton servers, not in Greenlight: fetch those you
                 want to keep from these addresses in time.
files/           What was uploaded: presentations by room, avatars by
                 account, images of the site.
greenlight.dump  The whole database, for another Greenlight (below).
manifest.json    Every file with its size and sha256, and the number of rows
                 of every table.

{missing}
How to check that nothing is missing or changed
-----------------------------------------------

    python3 - <<'END'
    import hashlib, json
    for path, known in json.load(open("manifest.json"))["files"].items():
        found = hashlib.sha256(open(path, "rb").read()).hexdigest()
        print("ok     " if found == known["sha256"] else "CHANGED", path)
    END


How to bring it back to life
----------------------------

At a co-operative that uses the Ansible collection meet.coop: give them the
decrypted archive. They write you into their membership file and run

    ansible-playbook meet.coop.import -l {instance} -e instance_archive=FILE.tar

On any other Greenlight 3 of the same or a later release:

1. Make an empty database, owned by the role that Greenlight connects as, and
   as that role:

       pg_restore --no-owner --no-privileges --exit-on-error \\
           --single-transaction --dbname=NEW_DATABASE greenlight.dump

2. Bring the uploads back. "uploads" in manifest.json gives for each key its
   file; key abcdef... belongs in Greenlight's storage as ab/cd/abcdef...
3. Start Greenlight with a SECRET_KEY_BASE of its own. It need not be the old
   one: passwords do not depend on it. Your people sign in with the passwords
   they have; whoever was signed in signs in once more.
4. Rooms keep the end of their address. Under another host name, tell people
   the new beginning.
"""


def readme(about: Mapping[str, Any], tables: Mapping[str, int], missing: Sequence[Mapping[str, Any]]) -> str:
    """The page as plain text."""
    width = max(len(name) for name in USER_COLUMNS)
    columns = "\n".join(f"                 {name.ljust(width)}  {meaning}" for name, meaning in USER_COLUMNS.items())
    lost = ""
    if missing:
        lines = "\n".join(f"    {entry['path']}: {entry['why']}" for entry in missing)
        lost = f"Uploads that Greenlight knows of but that could not be taken along:\n\n{lines}\n\n"
    return _TEXT.format(
        **about,
        names=", ".join(about["hostnames"]) or "-",
        users=tables.get("users", 0),
        rooms=tables.get("rooms", 0),
        recordings=tables.get("recordings", 0),
        columns=columns,
        missing=lost,
    )
