"""
C{identity_keys}: what C{check} says of them, and of the method that needs them.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from socksgw.config.loading import loads
from tests.tools.certificates import Authority, server
from tests.tools.examining import examined, wrong

TEXT = """
[[listen]]
name = "gateways"
address = ["127.0.0.1:1443"]
identity_keys = ["edge.pub"]
{tls}
[[auth.choose]]
methods = ["gateway"]
"""
TLS = '[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n'


def test_good(tmp_path: Path) -> None:
    """The keys of each listener are found."""
    server(Authority()).write(tmp_path, "gw")
    key = Ed25519PrivateKey.generate().public_key()
    file = tmp_path / "edge.pub"
    file.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    found = examined(loads(TEXT.format(tls=TLS), "gw.toml", tmp_path))
    assert found.errors == []
    assert set(found.identities) == {"gateways"}
    file.write_bytes(b"")
    problems = dict(wrong(loads(TEXT.format(tls=TLS), "gw.toml", tmp_path)))
    assert "no public key" in problems["listen[0].identity_keys"]


def test_bad() -> None:
    """It needs TLS; and the method is of no use elsewhere."""
    problems = dict(wrong(TEXT.format(tls="")))
    assert "needs [listen.tls]" in problems["listen[0].identity_keys"]
    without = TEXT.replace('identity_keys = ["edge.pub"]\n', "").format(tls="")
    assert "no listener of it" in dict(wrong(without))["auth.choose[0].methods"]
