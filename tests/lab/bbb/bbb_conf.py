# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bbb-conf of a BigBlueButton 3.0 node, with its traps: it ends with 0 also when units have failed and when its check finds problems,
--start restarts, and every call may write files. Standard library and PyYAML only, one file; it runs on the node.

    bbb_conf.py conf [OPTION]          bbb-conf itself
    bbb_conf.py unit NAME FILE...      what a unit does when it starts: read its files, or fail
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

ETC = "/etc/bigbluebutton"
WEB = f"{ETC}/bbb-web.properties"
WEB_PACKAGE = "/usr/share/bbb-web/WEB-INF/classes/bigbluebutton.properties"
AKKA = f"{ETC}/bbb-apps-akka.conf"
SFU = f"{ETC}/bbb-webrtc-sfu/production.yml"
TARGET = "bigbluebutton.target"
UNITS = ("bbb-apps-akka", "bbb-fsesl-akka", "bbb-graphql-middleware", "bbb-webrtc-sfu", "bbb-webrtc-recorder", "bbb-web",
         "bbb-rap-resque-worker")  # fmt: skip
USAGE = """BigBlueButton Configuration Utility

   bbb-conf [options]

Configuration: --version --setip <IP/hostname> --setsecret <secret>
Monitoring: --check --debug --watch --network --secret --lti
Administration: --restart --stop --start --clean --status --zip
"""


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def value(key: str) -> str:
    """What shell scripts make of a property: the last line that begins with it, in the operator's file or else the package's."""
    for path in (WEB, WEB_PACKAGE):
        found = re.findall(rf"^{re.escape(key)}[ \t]*=[ \t]*(.*)$", read(path), re.MULTILINE)
        if found:
            return str(found[-1]).strip()
    return ""


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def systemctl(*arguments: str) -> str:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def status() -> None:
    for unit in UNITS:
        state = systemctl("is-active", f"{unit}.service")
        print(f"{unit} ——► [{'✔' if state == 'active' else '✘'} - {state}]")


def start() -> None:
    """apply-config.sh, whose exit status is ignored, then a restart, whatever was asked."""
    script = f"{ETC}/bbb-conf/apply-config.sh"
    if os.access(script, os.X_OK):
        subprocess.run([script], check=False)
    print("Starting BigBlueButton")
    systemctl("restart", TARGET)


def check() -> None:
    secret, url = value("securitySalt"), value("bigbluebutton.web.serverURL")
    print(f"\nBigBlueButton Server {read(ETC + '/bigbluebutton-release').strip()}\n\n{WEB} (override for bbb-web)")
    print(f"       bigbluebutton.web.serverURL: {url}\n")
    # It waits for the API, 80 times of up to 2 s on the real one.
    for _attempt in range(10):
        if systemctl("is-active", "bbb-web.service") == "active":
            break
        time.sleep(0.2)
    print("\n# Potential problems described below\n")
    akka = re.findall(r'sharedSecret[ ]*=[ ]*"?([^"\n]*)"?', read(AKKA))
    if not akka or akka[-1] != secret:
        print(f"# Error: The shared secret in {AKKA}\n#   does not match that of {WEB}\n")
    if not url.startswith("https://"):
        print("# Warning: BigBlueButton is not served by HTTPS\n")
    for unit in UNITS:
        state = systemctl("is-active", f"{unit}.service")
        if state != "active":
            print(f"# Error: Detected that {unit} is not running ({state})\n")


def setsecret(secret: str) -> None:
    write(WEB, re.sub(r"^securitySalt=.*$", f"securitySalt={secret}", read(WEB), flags=re.MULTILINE))
    write(AKKA, re.sub(r'sharedSecret[ ]*=[ ]*"[^"]*"', f'sharedSecret="{secret}"', read(AKKA)))
    print("\nBigBlueButton's shared secret is now set. You must restart BigBlueButton for it to take effect.\n")


def setip(host: str) -> None:
    write(WEB, re.sub(r"^bigbluebutton\.web\.serverURL=.*$", f"bigbluebutton.web.serverURL=https://{host}", read(WEB), flags=re.MULTILINE))
    write(AKKA, re.sub(r'bbbWebAPI[ ]*=[ ]*"[^"]*"', f'bbbWebAPI="https://{host}/bigbluebutton/api"', read(AKKA)))
    systemctl("stop", TARGET)
    start()


def conf(arguments: list[str]) -> int:
    if os.geteuid() != 0:
        print("bbb-conf must be run as root")
        return 1
    if not os.path.exists(f"{ETC}/bigbluebutton-release"):
        print("# BigBlueButton does not appear to be installed.")
        return 1
    if not os.path.exists(SFU):
        os.makedirs(os.path.dirname(SFU), exist_ok=True)
        write(SFU, "")
    if not value("bigbluebutton.web.logoutURL"):
        with open(WEB, "a", encoding="utf-8") as stream:
            stream.write("bigbluebutton.web.logoutURL=default\n")
    option, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if option == "--version":
        print(read(f"{ETC}/bigbluebutton-release").strip())
    elif option == "--status":
        status()
    elif option == "--secret":
        print(f"\n    URL: {value('bigbluebutton.web.serverURL')}/bigbluebutton/\n    Secret: {value('securitySalt')}\n")
    elif option == "--setsecret" and rest:
        setsecret(rest[0])
    elif option == "--setip" and rest:
        setip(rest[0])
    elif option == "--check":
        if not value("bigbluebutton.web.serverURL"):
            return 1
        check()
    elif option == "--stop":
        systemctl("stop", TARGET)
    elif option in ("--start", "--restart", "--clean"):
        if option != "--start":
            print("Stopping BigBlueButton")
            systemctl("stop", TARGET)
        start()
        if option == "--restart":
            check()
    elif option in ("--debug", "--network", "--zip"):
        print("nothing to tell")
    else:
        print(USAGE)
        return 1
    return 0


def unit(name: str, paths: list[str]) -> int:
    """Start as a unit, as its own user: a file it may not read or that is broken ends it. Tests break it by /run/bbb-double-fails-NAME."""
    if os.path.exists(f"/run/bbb-double-fails-{name}"):
        print(f"{name} fails on purpose", file=sys.stderr)
        return 1
    for path in paths:
        try:
            text = read(path)
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            return 1
        if path.endswith(".yml"):
            import yaml

            yaml.safe_load(text)
        elif text.count("{") != text.count("}") or text.count('"') % 2:
            print(f"{path}: braces or quotation marks do not match", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(conf(sys.argv[2:]) if sys.argv[1] == "conf" else unit(sys.argv[2], sys.argv[3:]))
