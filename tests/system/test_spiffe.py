"""
Identities of workloads, as SPIFFE's standards have them.
"""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from socksgw.system.spiffe import isSPIFFE, wrongId, wrongSVID
from tests.tools.certificates import HOUR, NOW, newKey


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://corp.example/ci/build",
        "spiffe://staging.corp.example/payments/mysql",
        "spiffe://k8s-west.example/ns/staging/sa/default",
        "spiffe://example/9eebccd2-12bf-40a6-b262-65fe0487d453",
        "spiffe://1.2.3.4/service",
        "spiffe://a_b-c.d/A.z_0-9",
        "spiffe://a/...",
        "spiffe://" + "a" * 255 + "/b",
        "spiffe://a/" + "b" * 2037,
    ],
)
def test_good(uri: str) -> None:
    """SPIFFE-ID section 2, with its examples."""
    assert isSPIFFE(uri)
    assert wrongId(uri) == ""


@pytest.mark.parametrize(
    "uri",
    [
        "SPIFFE://a/b",
        "spiffe:/a/b",
        "spiffe:a",
        "spiffe://",
        "spiffe:///b",
        "spiffe://a",
        "spiffe://a/",
        "spiffe://a/b/",
        "spiffe://a//b",
        "spiffe://a/./b",
        "spiffe://a/..",
        "spiffe://A/b",
        "spiffe://a:8443/b",
        "spiffe://user@a/b",
        "spiffe://[::1]/b",
        "spiffe://a/b?c=d",
        "spiffe://a/b#c",
        "spiffe://a/%62",
        "spiffe://a/b c",
        "spiffe://a/b\n",
        "spiffe://a/*",
        "spiffe://*/b",
        "spiffe://ä/b",
        "spiffe://a/ü",
        "spiffe://" + "a" * 256 + "/b",
        "spiffe://a/" + "b" * 2038,
    ],
)
def test_bad(uri: str) -> None:
    """Nothing is put right: what is not to the letter is nobody's."""
    assert isSPIFFE(uri)
    assert wrongId(uri)


def certificate(*, ca: bool | None, usage: bool | None) -> x509.Certificate:
    """@param usage: whether its key may sign certificates."""
    key = newKey()
    name = x509.Name([])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), NOW, NOW + HOUR
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if usage is not None:
        flags = [True, *[False] * 4, usage, False, False, False]
        builder = builder.add_extension(x509.KeyUsage(*flags), critical=True)
    return builder.sign(key, SHA256())


@pytest.mark.parametrize(
    ("ca", "usage", "good"),
    [
        (False, False, True),
        (None, None, True),
        (False, None, True),
        (True, False, False),
        (True, None, False),
        (False, True, False),
        (None, True, False),
    ],
)
def test_authorities(ca: bool | None, usage: bool | None, good: bool) -> None:
    """X509-SVID section 5.2: who may sign for others is nobody by itself."""
    wrong = wrongSVID(certificate(ca=ca, usage=usage), ["spiffe://a/b"])
    assert (wrong == "") is good


@pytest.mark.parametrize("uris", [[], ["spiffe://a/b", "spiffe://a/c"]])
def test_oneURI(uris: list[str]) -> None:
    assert wrongSVID(certificate(ca=False, usage=False), uris)
