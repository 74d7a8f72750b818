"""
A look at a user's credentials.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from socksgw.agent.credentials import isMissing, troubleWith
from socksgw.agent.settings import Settings
from tests.live.kerberos import Realm, within
from tests.live.servers import package
from tests.tools.certificates import Authority
from tests.tools.tokens import encoded, part

NOW = 1_800_000_000.0


def token(claims: object) -> bytes:
    """Return a token that nobody has signed: the agent does not verify."""
    return b".".join([encoded({"alg": "RS256"}), encoded(claims), part(b"signature")])


def kindOf(settings: Settings, now: float = NOW) -> str | None:
    """Return the kind of what is wrong."""
    found = troubleWith(settings, now)
    return None if found is None else found.kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"opaque-token\n", None),
        (token({"exp": NOW + 1}), None),
        (token({"exp": NOW}), "token-expired"),
        (token({"exp": -1e300}), "token-expired"),
        (token({"nbf": NOW + 1, "exp": NOW + 2}), "token-early"),
        (token({"exp": "tomorrow"}), None),
        (token([1]), None),
        (b"a.b.c", None),
        (b"e30.e30.", None),
        (b"a.gAAAA.c", None),
        (b"\n", "no-token"),
        (None, "no-token"),
    ],
)
def test_token(tmp_path: Path, content: bytes | None, kind: str | None) -> None:
    """A token tells its times if it is a JWT; one that does not may be good."""
    file = tmp_path / "token"
    if content is not None:
        file.touch(0o600)
        file.write_bytes(content)
    settings = Settings(gateway="g:1", token_file=str(file))
    assert kindOf(settings) == kind
    found = troubleWith(settings, NOW)
    assert found is None or isMissing(found) is (kind == "no-token")


def test_othersCanRead(tmp_path: Path) -> None:
    """The line has the remedy, and not the secret."""
    file = tmp_path / "password"
    file.write_bytes(b"sesame")
    file.chmod(0o644)
    settings = Settings(gateway="g:1", user="alice", password_file=str(file))
    assert str(troubleWith(settings, NOW)) == (
        f"{file}: others can read it: chmod o-rwx {file}"
    )
    file.chmod(0o600)
    assert troubleWith(settings, NOW) is None
    file.unlink()
    file.mkdir()
    assert kindOf(settings) == "password-unreadable"


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [(-1, 1, None), (-2, -1, "certificate-expired"), (1, 2, "certificate-early")],
)
def test_certificate(tmp_path: Path, before: int, after: int, kind: str | None) -> None:
    """Its times; those of who signed it are the gateway's business."""
    hour = timedelta(hours=1)
    issued = Authority().issue(before=before * hour, after=after * hour)
    file, key = issued.write(tmp_path, "me")
    settings = Settings(gateway="g:1", certificate=str(file), key=str(key))
    assert kindOf(settings, time.time()) == kind
    found = troubleWith(settings, time.time())
    assert found is None or str(file) in str(found)


def test_noCertificate(tmp_path: Path) -> None:
    """Each file is named."""
    file, key = Authority().issue().write(tmp_path, "me")
    settings = Settings(gateway="g:1", certificate=str(file), key=str(key))
    key.unlink()
    assert kindOf(settings, time.time()) == "no-key"
    file.write_text("-----BEGIN NOTHING-----")
    assert kindOf(settings) == "no-certificate"
    file.unlink()
    found = str(troubleWith(settings, NOW))
    assert found == f"{file}: there is no such file: put the certificate there"


def test_tickets(tmp_path: Path) -> None:
    """A real ticket, its end, and none: the remedy is kinit."""
    package("gssapi")
    realm = Realm(tmp_path / "realm", "CORP.EXAMPLE")
    realm.user("alice")
    settings = Settings(gateway="gw.example:1443")
    with within(realm.environment):
        found = troubleWith(settings, NOW)
        assert found is not None
        assert found.kind == "no-ticket"
        assert str(found) == (
            f"there is no Kerberos ticket in FILE:{realm.directory}/nobody: "
            "get one with kinit"
        )
    with realm.running():
        good, short = realm.tickets(), realm.tickets(life="1s")
    with within(good):
        assert troubleWith(settings, NOW) is None
    with within(short):
        while (found := troubleWith(settings, NOW)) is None:
            time.sleep(0.1)
        assert found.kind == "ticket-expired"
        assert "kinit" in found.remedy
