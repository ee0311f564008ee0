# Copyright: (c) 2026, meet.coop members
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""oidc_check at a provider that is right, and at each kind of one that would lock a member's people out."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.meet.coop.plugins.module_utils._errors import CoopError
from ansible_collections.meet.coop.plugins.module_utils._openid import check
from tests.support.identity_provider import LOGOUT, IdentityProvider, certificate

SITE = "https://meet.sunflower.test"
SECRET = "s3cret+of/greenlight"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    made = IdentityProvider("localhost", *certificate(tmp_path_factory.mktemp("provider"), ["localhost"]))
    made.register("greenlight", SECRET, SITE)
    yield made
    made.close()


@pytest.fixture
def provider(running: IdentityProvider) -> Iterator[IdentityProvider]:
    yield running
    running.faults = {}


def asked(provider: IdentityProvider, **changes: Any) -> dict[str, Any]:
    oidc = {"issuer": provider.issuer, "client_id": "greenlight", "client_secret": SECRET, **changes}
    ca_file = oidc.pop("ca_file", str(provider.ca_file))
    return check(oidc, SITE, ca_file, oidc.pop("timeout", 5))


def refused(provider: IdentityProvider, **changes: Any) -> str:
    with pytest.raises(CoopError) as caught:
        asked(provider, **changes)
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    return str(caught.value)


def test_a_provider_that_will_do(provider: IdentityProvider) -> None:
    assert asked(provider) == {"key_count": 1, "logout_path": LOGOUT, "client": "accepted"}


@pytest.mark.parametrize("end", ["https://elsewhere.test/logout", None, "https://localhost/realms/coop/logout"])
def test_a_logout_page_elsewhere_cannot_be_used(provider: IdentityProvider, end: str | None) -> None:
    provider.faults = {"document": {"end_session_endpoint": end}}
    assert asked(provider)["logout_path"] is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"issuer": "https://localhost/realms/other"}, "calls itself 'https://localhost/realms/other' in its discovery"),
        ({"token_endpoint": None, "jwks_uri": "http://localhost/keys"}, "token_endpoint is missing; jwks_uri is no https address"),
        ({"response_types_supported": ["id_token"]}, "response_types_supported has no code"),
        ({"subject_types_supported": None}, "subject_types_supported is missing"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "no algorithm with a public key"),
        ({"scopes_supported": ["openid"]}, "scopes_supported has no email, profile"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "has no client_secret_basic"),
    ],
)  # fmt: skip
def test_a_document_that_will_not_do(provider: IdentityProvider, document: dict[str, Any], words: str) -> None:
    provider.faults = {"document": document}
    assert words in refused(provider)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"status": 404}, "answers 404; see that the issuer is written as the provider itself names it"),
        ({"status": 503}, "answers 503"),
        ({"status": 301, "headers": {"Location": "https://id.new.test/"}}, "leads to https://id.new.test/; write the issuer"),
        ({"status": 200, "body": b"<html>"}, "is no JSON object"),
        ({"status": 200, "body": b"[1]"}, "is no JSON object"),
        ({"status": 200, "body": b" " * 1_000_100}, "more than 1000000 bytes"),
        ({"keys": {"keys": []}}, "shows no RSA or EC key"),
        ({"keys": {"keys": [{"kty": "oct", "k": "x"}]}}, "shows no RSA or EC key"),
    ],
)
def test_a_provider_that_is_broken(provider: IdentityProvider, faults: dict[str, Any], words: str) -> None:
    provider.faults = faults
    assert words in refused(provider)


def test_a_client_that_the_provider_does_not_know(provider: IdentityProvider) -> None:
    assert "oidc.client_id other" in refused(provider, client_id="other")
    assert "confidential and with this secret" in refused(provider, client_secret="wrong")
    assert asked(provider, issuer=provider.issuer)["client"] == "accepted", "asking used nothing up"


def test_a_provider_that_cannot_be_trusted_or_reached(provider: IdentityProvider, tmp_path: Path) -> None:
    stranger, _context = certificate(tmp_path, ["localhost"])
    assert "certificate verify failed" in refused(provider, ca_file=str(stranger))
    assert "certificate verify failed" in refused(provider, issuer=provider.issuer.replace("localhost", "127.0.0.1"))
    assert "is not an https address" in refused(provider, issuer=provider.issuer.replace("https", "http"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert "does not answer" in refused(provider, issuer=f"https://localhost:{closed.getsockname()[1]}/realms/coop")
    assert "cannot be read" in refused(provider, ca_file=str(tmp_path / "none.pem"))


def test_a_provider_that_is_silent(provider: IdentityProvider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept: list[socket.socket] = []
        threading.Thread(target=lambda: kept.append(silent.accept()[0]), daemon=True).start()
        said = refused(provider, issuer=f"https://localhost:{silent.getsockname()[1]}/x", timeout=0.5)
    assert "does not answer" in said


@pytest.mark.programs
@pytest.mark.parametrize("right", [True, False])
def test_the_module_shows_no_secret(provider: IdentityProvider, right: bool) -> None:
    oidc = {"issuer": provider.issuer, "client_id": "greenlight", "client_secret": SECRET if right else SECRET + "x"}
    arguments = {"oidc": oidc, "redirect": SITE, "ca_file": str(provider.ca_file), "_ansible_check_mode": True}
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.meet.coop.plugins.modules.oidc_check"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), text=True, capture_output=True, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert SECRET not in done.stdout + done.stderr
    assert result.get("failed", False) is not right and result.get("changed", False) is False
    assert result.get("client") == ("accepted" if right else None)
