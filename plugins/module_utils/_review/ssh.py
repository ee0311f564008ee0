# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Private to meet.coop: how people sign in by SSH, as ``sshd -T`` tells."""

from __future__ import annotations

from ansible_collections.meet.coop.plugins.module_utils._review.model import Finding


def options(text: str) -> dict[str, list[str]]:
    """Values by option, in lower case."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _space, value = line.strip().lower().partition(" ")
        if value:
            found.setdefault(name, []).append(value)
    return found


def ports(text: str) -> list[int]:
    """Ports that the server is told to listen on."""
    found = options(text)
    named = {value.rpartition(":")[2] for value in found.get("listenaddress", [])}
    return sorted({int(value) for value in [*found.get("port", []), *named] if value.isdigit()})


def judge(text: str) -> list[Finding]:
    """Whether somebody gets in by something that can be guessed."""
    found = {name: values[0] for name, values in options(text).items()}
    by_password = found.get("passwordauthentication") == "yes"
    # Behind it stands PAM, which asks for the same password.
    by_questions = found.get("kbdinteractiveauthentication", found.get("challengeresponseauthentication")) == "yes"
    by_questions = by_questions and found.get("usepam") == "yes"
    way = "PasswordAuthentication" if by_password else "KbdInteractiveAuthentication"
    findings = []
    if by_password or by_questions:
        todo = f"Write {way} no into a file of /etc/ssh/sshd_config.d, once everybody signs in by key, and reload ssh"
        findings.append(Finding("ssh-password", "sshd", f"{way} yes", todo))
        if found.get("permitrootlogin") == "yes":
            todo = "Write PermitRootLogin prohibit-password, and reload ssh"
            findings.append(Finding("ssh-root-password", "sshd", f"PermitRootLogin yes with {way} yes", todo))
    if found.get("permitemptypasswords") == "yes":
        todo = "Write PermitEmptyPasswords no, and reload ssh"
        findings.append(Finding("ssh-empty-password", "sshd", "PermitEmptyPasswords yes", todo))
    return findings
