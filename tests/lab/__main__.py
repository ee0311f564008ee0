# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.lab up|down|status|images``: the lab from the command line."""

from __future__ import annotations

import argparse
import sys
import time

from . import lifecycle
from .config import HOSTS, Lab
from .engine import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev lab", description="Throwaway hosts with real parts, in Docker containers on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the lab (or some of its hosts) up; does only what is missing")
    up.add_argument("hosts", nargs="*", metavar="HOST", help=f"some of: {', '.join(HOSTS)}; default all")
    down = commands.add_parser("down", help="remove the lab's containers, volumes and network")
    down.add_argument("--images", action="store_true", help="remove the lab's images and what it cached too")
    commands.add_parser("status", help="show every host and what works on it; ends with 1 when something does not")
    images = commands.add_parser("images", help="build the containers' images and load them into a host's own Docker")
    images.add_argument("host", choices=sorted(HOSTS), nargs="?", default="host1")
    arguments = parser.parse_args()
    lab = Lab.from_environment()
    started = time.monotonic()

    def say(message: str) -> None:
        print(f"lab {lab.name}: {message} [{time.monotonic() - started:.1f} s]", file=sys.stderr, flush=True)

    try:
        if arguments.command == "up":
            unknown = sorted(set(arguments.hosts) - set(HOSTS))
            if unknown:
                raise LabError(f"no such host: {', '.join(unknown)} (there are {', '.join(HOSTS)})")
            done = lifecycle.up(lab, arguments.hosts or list(HOSTS), say)
            say("up, nothing to do" if not done else f"up; did {len(done)} things")
        elif arguments.command == "down":
            lifecycle.down(lab, images=arguments.images, say=say)
        elif arguments.command == "images":
            loaded = lifecycle.load_images(lab, arguments.host, say)
            say(f"{', '.join(loaded)} loaded" if loaded else "images are there already")
        else:
            return lifecycle.status(lab)
    except LabError as error:
        print(f"lab {lab.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
