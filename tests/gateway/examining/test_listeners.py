"""
C{[[listen]]}: what its TLS reads.
"""

from __future__ import annotations

from pathlib import Path

from socksgw.config.loading import loads
from tests.tools.certificates import HOUR, Authority, dns
from tests.tools.examining import TLS, examined, wrong


def test_tls(certified: Path) -> None:
    """Each wrong file, and each wrong key, at its place."""
    assert wrong(loads(TLS, "gw.toml", certified)) == []
    assert set(examined(loads(TLS, "gw.toml", certified)).secured) == {"main"}
    text = TLS + 'client_certificate = "required"\n'
    for more, path in (
        ("", "client_ca"),
        ('client_ca = "nowhere.pem"\n', "client_ca"),
        ('client_ca = "ca.pem"\ncrl = "nowhere.pem"\n', "crl"),
        ('client_ca = "ca.pem"\nidentity = []\n', "identity"),
    ):
        ((found, said),) = wrong(loads(text + more, "gw.toml", certified))
        assert found == f"listen[0].tls.{path}"
        assert said
    (certified / "gw.key").chmod(0o644)
    ((found, said),) = wrong(loads(TLS, "gw.toml", certified))
    assert (found, "chmod o-rwx" in said) == ("listen[0].tls.key", True)


def test_tlsGoesWithAddress(certified: Path) -> None:
    """An endpoint has its own transport."""
    text = TLS.replace('address = ["127.0.0.1:1080"]', 'endpoint = "tcp:1080"')
    ((path, said),) = wrong(loads(text, "gw.toml", certified))
    assert path == "listen[0].tls"
    assert "goes with address" in said


def test_tlsThatAges(certified: Path) -> None:
    """What has expired is a warning: it may be replaced while we serve."""
    old = Authority().issue(dns("localhost"), usage=(), after=-HOUR / 2)
    old.write(certified, "gw")
    found = examined(loads(TLS, "gw.toml", certified))
    assert found.errors == []
    paths = [each.path for each in found.warnings]
    assert paths == ["listen[0].tls.certificate"]
