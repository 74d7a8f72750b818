"""
C{identity_keys}: what C{check} says of them, and of the method that needs them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
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
[groups]
operators = {{ token = ["ops"] }}
[[rule]]
id = "operators"
allow = ["connect"]
who = ["@operators"]
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
    assert found.warnings == []
    assert set(found.identities.believed) == {"gateways"}
    file.write_bytes(b"")
    problems = dict(wrong(loads(TEXT.format(tls=TLS), "gw.toml", tmp_path)))
    assert "no public key" in problems["listen[0].identity_keys"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('identity_keys = ["edge.pub"]', "is of no use without"),
        ("", "printable"),
    ],
)
def test_prefix(change: str, words: str) -> None:
    """It goes with keys, and is part of names."""
    text = TEXT.format(tls=TLS).replace(change, "")
    prefix = 'identity_prefix = "a"\n' if change else 'identity_prefix = "a\\\\"\n'
    problems = dict(wrong(text.replace("[listen.tls]", f"{prefix}[listen.tls]")))
    assert words in problems["listen[0].identity_prefix"]


def test_upstreams(tmp_path: Path) -> None:
    """What is signed needs TLS to the upstream, and a key."""
    text = """
[[listen]]
name = "a"
address = ["127.0.0.1:1080"]
[[upstream]]
name = "next"
url = "{}://next.example:1443"
identity_key = "edge.key"
"""
    path = "upstream[0].identity_key"
    clear = loads(text.format("socks5"), "gw.toml", tmp_path)
    assert "needs TLS to the upstream" in dict(wrong(clear))[path]
    secure = loads(text.format("socks5+tls"), "gw.toml", tmp_path)
    assert "edge.key: No such file" in dict(wrong(secure))[path]


def test_bad() -> None:
    """It needs TLS; and the method is of no use elsewhere."""
    problems = dict(wrong(TEXT.format(tls="")))
    assert "needs [listen.tls]" in problems["listen[0].identity_keys"]
    without = TEXT.replace('identity_keys = ["edge.pub"]\n', "").format(tls="")
    assert "no listener of it" in dict(wrong(without))["auth.choose[0].methods"]
