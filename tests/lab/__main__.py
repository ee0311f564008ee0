# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.lab up|down|status|images``: the lab from the command line."""

from __future__ import annotations

import argparse
import sys
import time

from . import lifecycle, receipts
from .config import HOSTS, Lab
from .engine import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev lab", description="Throwaway hosts with real parts, in Docker containers on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the lab (or some of its hosts) up; does only what is missing")
    up.add_argument("hosts", nargs="*", metavar="HOST", help=f"some of: {', '.join(HOSTS)}; default: {', '.join(lifecycle.DEFAULT_HOSTS)}")
    up.add_argument("--greenlight-image", metavar="NAME", help="also load this Greenlight image into the container hosts")
    down = commands.add_parser("down", help="remove the lab's containers, volumes and network")
    down.add_argument("--images", action="store_true", help="remove the lab's images and what it cached too")
    commands.add_parser("status", help="show every host and what works on it; ends with 1 when something does not")
    commands.add_parser("images", help="build the containers' images and load them into the container hosts")
    commands.add_parser("inventory", help="print the path of the inventory of the lab's hosts and members")
    commands.add_parser("receipts", help="say what the last verification found, and where to look")
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
            done = lifecycle.up(lab, arguments.hosts or lifecycle.DEFAULT_HOSTS, say, arguments.greenlight_image)
            say(f"up ({', '.join(done)})" if done else "up, nothing to do")
        elif arguments.command == "down":
            lifecycle.down(lab, images_too=arguments.images, say=say)
        elif arguments.command == "images":
            done = lifecycle.up(lab, [name for name in lifecycle.DEFAULT_HOSTS if HOSTS[name].containers], say)
            say(", ".join(done) if done else "images are there already")
        elif arguments.command == "inventory":
            print(lab.inventory)
        elif arguments.command == "receipts":
            print(receipts.report(lab))
        else:
            rows, good = lifecycle.status(lab)
            table = [("HOST", "STATE", "ADDRESS", "SERVICES"), *rows]
            widths = [max(len(row[column]) for row in table) for column in range(3)]
            for row in table:
                print("  ".join([*(row[column].ljust(widths[column]) for column in range(3)), row[3]]).rstrip())
            return 0 if good else 1
    except LabError as error:
        print(f"lab {lab.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
