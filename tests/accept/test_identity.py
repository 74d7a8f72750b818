"""
Names of certificates.
"""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from zope.interface.verify import verifyObject

from socksgw.accept.identity import BadName, CertificateIdentity, nameOf
from socksgw.interfaces import IVerifiedIdentity
from tests.tools.certificates import (
    Authority,
    dns,
    email,
    rawName,
    rawPrincipal,
    tagged,
    upn,
    uri,
)

CA = Authority()
ALL = ("email", "dns", "uri", "upn")
#: Each kind, as the library writes it.
EVERY = (upn("bob@AD"), uri("spiffe://a/b"), dns("host.example"), email("b@x.example"))


def named(*names: x509.GeneralName, raw: Any = None) -> x509.Certificate:
    return CA.issue(*names, raw=raw).certificate


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        (("email", "dns"), "b@x.example"),
        (("dns", "email"), "host.example"),
        (("uri",), "spiffe://a/b"),
        (("upn", "email"), "bob@AD"),
        ((), None),
    ],
)
def test_firstKindFound(kinds: tuple[str, ...], name: str | None) -> None:
    """The order is the configuration's, not the certificate's."""
    assert nameOf(named(*EVERY), kinds) == name


def test_kindsThatAreNotThere() -> None:
    """The next kind is looked for."""
    assert nameOf(named(dns("host.example")), ALL) == "host.example"
    assert nameOf(named(dns("host.example")), ("email", "upn")) is None


def test_firstOfItsKind() -> None:
    """Of several, the first."""
    assert nameOf(named(email("a@x.example"), email("b@x.example")), ALL) == (
        "a@x.example"
    )


def test_noNames() -> None:
    """The subject is no name."""
    assert nameOf(named(), ALL) is None
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), tagged(0x0C, b"bob"))
    assert nameOf(named(other), ALL) is None


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (dns("Host.EXAMPLE"), "host.example"),
        (email("Bob.B@X.Example"), "Bob.B@x.example"),
        (uri("https://X.example/Path"), "https://X.example/Path"),
        (upn("Bob@AD.example"), "Bob@AD.example"),
        (upn("jörg@ad"), "jörg@ad"),
        (upn("u" * 200), "u" * 200),
        (upn("u" * 255), "u" * 255),
    ],
)
def test_normalForm(name: x509.GeneralName, called: str) -> None:
    """Where case means nothing (RFC 5280 section 7), it is lower."""
    assert nameOf(named(name), ALL) == called


EMAIL, DNS = 0x81, 0x82


@pytest.mark.parametrize(
    "raw",
    [
        rawName(EMAIL, b"bob@partner.example\0.evil.example"),
        rawName(EMAIL, b"\0"),
        rawName(EMAIL, b""),
        rawName(EMAIL, b"bob\n@partner.example"),
        rawName(EMAIL, b"bob\x7f@partner.example"),
        rawName(EMAIL, b"bob\xff@partner.example"),
        rawName(DNS, b"host.example\0.evil.example"),
        rawName(DNS, b"h" * 256),
        rawName(EMAIL, b"b" * 300 + b"@x.example"),
    ],
    ids=repr,
)
def test_badNames(raw: x509.ExtensionType) -> None:
    """Nobody is called like that."""
    with pytest.raises(BadName):
        nameOf(named(raw=raw), ALL)


@pytest.mark.parametrize(
    "value",
    [
        tagged(0x0C, b"bob\0evil"),
        tagged(0x0C, b"bob\xff"),
        tagged(0x0C, b"u" * 256),
        tagged(0x16, b"bob"),
        tagged(0x0C, b"bob") + b"x",
        tagged(0x0C, b"bob")[:-1],
        tagged(0x30, tagged(0x0C, b"bob")),
        b"\x0c",
        b"\x0c\x81",
    ],
    ids=bytes.hex,
)
def test_badPrincipals(value: bytes) -> None:
    """Anything but one whole UTF8String is refused."""
    with pytest.raises(BadName):
        nameOf(named(raw=rawPrincipal(value)), ALL)


def test_aBadNameIsNotPassedOver() -> None:
    """The next name does not make up for it."""
    octets = tagged(EMAIL, b"a\0b") + tagged(EMAIL, b"bob@partner.example")
    raw = x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, tagged(0x30, octets)
    )
    with pytest.raises(BadName):
        nameOf(named(raw=raw), ALL)


def test_malformed() -> None:
    """What is no sequence of names is refused, too."""
    raw = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x05\x81")
    with pytest.raises(BadName):
        nameOf(named(raw=raw), ALL)


def test_credentials() -> None:
    """The identity is what the Portal takes."""
    identity = CertificateIdentity(b"bob", 5.0, None, ())  # type: ignore[arg-type]
    verifyObject(IVerifiedIdentity, identity)


@pytest.mark.parametrize(
    ("names", "called"),
    [
        ((uri("spiffe://corp.example/ci/build"),), "spiffe://corp.example/ci/build"),
        ((dns("a.example"), uri("spiffe://a/b")), "spiffe://a/b"),
        # Other URIs are not judged so.
        ((uri("https://a/b"), uri("https://a/c")), "https://a/b"),
        ((uri("spiffe://a/b"), uri("https://a/c")), None),
        ((uri("https://a/c"), uri("spiffe://a/b")), None),
        ((uri("spiffe://a/b"), uri("spiffe://a/b")), None),
        ((uri("spiffe://a/../b"),), None),
        ((uri("spiffe://a"),), None),
        ((uri("SPIFFE://a/b"),), None),
    ],
)
def test_workloads(names: Any, called: str | None) -> None:
    """X509-SVID section 2: exactly one URI, and that a SPIFFE ID of a workload."""
    if called is not None:
        assert nameOf(named(*names), ("uri",)) == called
        return
    with pytest.raises(BadName):
        nameOf(named(*names), ("uri",))


def test_longURI() -> None:
    """SPIFFE-ID section 2.3: up to 2,048 octets."""
    whole = "spiffe://a/" + "b" * 2037
    assert nameOf(named(uri(whole)), ("uri",)) == whole
    with pytest.raises(BadName, match="too long"):
        nameOf(named(uri(whole + "b")), ("uri",))
