"""
The files of TLS to a server, which are read again when they change.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from socksgw.system.tlsclient import ClientTLS, WrongFile
from tests.tools.certificates import Authority, email, pemOf

ROOT = Authority()
ME = ROOT.issue(email("gw@corp.example"))


def made(directory: Path) -> ClientTLS:
    """With all three files."""
    ca = directory / "ca.pem"
    if not ca.exists():
        ca.write_bytes(pemOf(ROOT.certificate))
        ME.write(directory, "me")
    return ClientTLS("gw.example", ca, directory / "me.pem", directory / "me.key")


@pytest.mark.parametrize(
    ("file", "octets", "key", "words"),
    [
        ("ca.pem", None, "ca", "No such file"),
        ("ca.pem", b"", "ca", "no certificate"),
        ("me.pem", b"x", "certificate", "no certificate"),
        ("me.key", None, "key", "No such file"),
        ("me.key", b"canary", "key", "no private key"),
    ],
    ids=["no CA", "empty CA", "no certificate", "no key", "bad key"],
)
def test_wrongFiles(
    tmp_path: Path, file: str, octets: bytes | None, key: str, words: str
) -> None:
    """Each is named by its key, with what is wrong, and nothing of what it holds."""
    made(tmp_path)
    if octets is None:
        (tmp_path / file).unlink()
        (tmp_path / "ca.pem").touch() if file != "ca.pem" else None
    else:
        (tmp_path / file).write_bytes(octets)
    with pytest.raises(WrongFile, match=words) as raised:
        ClientTLS(
            "gw.example",
            tmp_path / "ca.pem" if file.startswith("ca") else None,
            tmp_path / "me.pem",
            tmp_path / "me.key",
        )
    assert raised.value.key == key
    assert "canary" not in str(raised.value)


def test_aKeyThatOthersCanRead(tmp_path: Path) -> None:
    """It is refused, in a file of its own and with the certificate."""
    made(tmp_path)
    (tmp_path / "me.key").chmod(0o644)
    with pytest.raises(WrongFile, match="others can read it"):
        made(tmp_path)
    together = ME.writeTogether(tmp_path, "me")
    ClientTLS("gw.example", None, together)
    together.chmod(0o644)
    with pytest.raises(WrongFile, match="others can read it") as raised:
        ClientTLS("gw.example", None, together)
    assert raised.value.key == "certificate"


def test_filesThatChange(tmp_path: Path) -> None:
    """They are read again; one that is broken is told once, and not used."""
    tls = made(tmp_path)
    first = tls._context
    assert (tls.problem(), tls._context) == ("", first)
    ROOT.issue(email("new@corp.example")).write(tmp_path, "me")
    assert tls.problem() == ""
    second = tls._context
    assert second is not first
    with capturedLogs() as events:
        (tmp_path / "me.pem").write_bytes(b"-----BEGIN")
        assert "me.pem" in tls.problem()
        assert "me.pem" in tls.problem()
        assert tls._context is second
    assert len(events) == 1
    ME.write(tmp_path, "me")
    assert tls.problem() == ""
    assert tls._context is not second


def test_whatIsNoName(tmp_path: Path) -> None:
    """Nothing can be verified without a name."""
    with pytest.raises(ValueError, match="neither a DNS name nor an address"):
        ClientTLS("no name", None)
