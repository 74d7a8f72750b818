"""
Tokens as GitHub and SPIRE make them, with the checkers that the manual shows for them:
who that is in the record, and what the rules let it reach.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.live import raw
from tests.live.running import LOOPBACK, Running, running
from tests.live.servers import Destination, echo
from tests.tools.tokens import Issuer, setOf

ACTIONS = "https://token.actions.githubusercontent.com"
AUDIENCE = "https://gw.corp.example"
TEXT = (
    f"""
[[listen]]
name = "main"
address = ["127.0.0.1:0"]
protocols = ["socks5", "http"]
[auth]
throttle = {{ per_user = 0, per_source = 0 }}   # these tests fail often
[[auth.choose]]
methods = ["token", "userpass"]
[[auth.checker]]
name = "github"
kind = "jwt"
issuer = "{ACTIONS}"
audience = "{AUDIENCE}"
keys = "github.json"
algorithms = ["RS256"]
require = [{{ claim = "repository_owner", is = ["corp"] }}]
prefix = "github:"
[[auth.checker]]
name = "spire"
kind = "jwt"
issuer = "spiffe://corp.example"
audience = "gw"
keys = "bundle.json"
[[rule]]
id = "deploy"
allow = ["connect"]
who = ["github:repo:corp/shop:environment:production"]
[[rule]]
id = "payments"
allow = ["connect"]
who = ["spiffe://corp.example/payments/*"]
"""
    + LOOPBACK
)
GITHUB = Issuer("RS256", "actions")
SPIRE = Issuer("ES256", "svid")
#: A key of the bundle that is for certificates alone.
OTHER = Issuer("ES256", "x509")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("issuers")
    # SPIFFE Trust Domain and Bundle, section 4.
    bundle = {
        "keys": [
            {**OTHER.public, "use": "x509-svid"},
            {**SPIRE.public, "use": "jwt-svid"},
        ],
        "spiffe_sequence": 3,
        "spiffe_refresh_hint": 300,
    }
    for name, octets in (
        ("github.json", setOf(GITHUB)),
        ("bundle.json", json.dumps(bundle).encode()),
    ):
        (directory / name).write_bytes(octets)
        (directory / name).chmod(0o644)
    yield from running(directory, TEXT)


@pytest.fixture(scope="module")
def server() -> Iterator[Destination]:
    with Destination(echo) as serving:
        yield serving


def job(subject: str, **claims: Any) -> bytes:
    """
    A token of a job of GitHub's, with the claims that its documentation lists.
    """
    return GITHUB.token(
        {"typ": "JWT", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"},
        **{
            "jti": "6f1b0a4c-9d11-4d29-a3b7-9e8f7c6d5b13", "sub": subject,
            "iss": ACTIONS, "aud": AUDIENCE, "environment": "production",
            "ref": "refs/heads/main", "sha": "c" * 40, "repository": "corp/shop",
            "repository_owner": "corp", "actor_id": "12", "actor": "alice",
            "repository_visibility": "private", "repository_id": "74",
            "repository_owner_id": "65", "run_id": "1000000001", "run_number": "10",
            "run_attempt": "2", "runner_environment": "github-hosted",
            "workflow": "deploy", "head_ref": "", "base_ref": "",
            "event_name": "workflow_dispatch", "ref_type": "branch",
            "job_workflow_ref": "corp/ci/.github/workflows/x.yml@refs/heads/main",
            **claims,
        },
    )  # fmt: skip


def svid(issuer: Issuer, subject: str) -> bytes:
    """A JWT-SVID, with the claims that its standard wants (section 3)."""
    exp = int(time.time()) + 300
    return issuer.sign({"aud": ["gw"], "exp": exp, "sub": subject}, {"kid": issuer.kid})


def asked(gateway: Running, token: bytes, to: int) -> int:
    """The status of the answer to a request for a tunnel."""
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(
            b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Proxy-Authorization: Bearer %b\r\n\r\n" % (to, to, token)
        )
        return int(raw.exactly(client, 12).split(b" ")[1])


def test_github(gateway: Running, server: Destination) -> None:
    """A job by its repository and environment; others reach nothing, or are nobody."""
    who = "repo:corp/shop:environment:production"
    assert asked(gateway, job(who), server.port) == 200
    line = gateway.journal("decision")[-1]
    assert (line["user"], line["rule"]) == (f"github:{who}", "deploy")
    assert asked(gateway, job("repo:corp/shop:pull_request"), server.port) == 403
    line = gateway.journal("decision")[-1]
    assert line["user"] == "github:repo:corp/shop:pull_request"
    assert line["rule"] == "default"
    # Another's job has the same name, or its own: GitHub signs for everybody.
    for subject in (who, "repo:stranger/shop:environment:production"):
        token = job(subject, repository_owner="stranger")
        assert asked(gateway, token, server.port) == 407
        assert gateway.journal("login-failed")[-1]["reason"] == "bad-token"


def test_svid(gateway: Running, server: Destination) -> None:
    """A workload in HTTP and, with a token that fits, in SOCKS."""
    who = "spiffe://corp.example/payments/7"
    token = svid(SPIRE, who)
    assert len(token) <= 255
    assert asked(gateway, token, server.port) == 200
    line = gateway.journal("decision")[-1]
    assert (line["user"], line["method"], line["rule"]) == (who, "token", "payments")
    with closing(raw.dial(gateway.port)) as client:
        client.sendall(raw.GREETING_LOGIN + raw.login(b"token", token))
        assert raw.exactly(client, 4) == b"\x05\x02\x01\x00"
        client.sendall(raw.request5("127.0.0.1", server.port))
        assert raw.reply5(client)[0] == 0
    line = gateway.journal("decision")[-1]
    assert (line["user"], line["method"], line["rule"]) == (who, "userpass", "payments")
    assert asked(gateway, svid(SPIRE, who.replace("ts/", "tsx/")), server.port) == 403
    for wrong in (
        svid(SPIRE, "spiffe://other.example/payments/7"),
        svid(SPIRE, "spiffe://corp.example/payments/../ops"),
        svid(OTHER, who),
    ):
        assert asked(gateway, wrong, server.port) == 407
