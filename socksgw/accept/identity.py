"""
The identity that a client's certificate proves.

It is a name from subjectAltName (RFC 5280 section 4.2.1.6), never from the subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, final

from cryptography import x509
from OpenSSL.crypto import X509
from zope.interface import implementer

from socksgw.interfaces import IVerifiedIdentity
from socksgw.system.spiffe import LONGEST, isSPIFFE, wrongSVID

__all__ = ["BadName", "CertificateIdentity", "Refused", "Unacceptable", "nameOf"]

#: Octets of the longest name, and of the longest URI.
_LONGEST: Final = 255
_LONGEST_URI: Final = LONGEST
#: A user principal name, as Microsoft's directories put it into an otherName.
_UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
#: DER's tag of a UTF8String (X.690 section 8.23).
_UTF8_STRING: Final = 0x0C


class Unacceptable(ValueError):
    """
    A certificate that OpenSSL has verified is not accepted all the same.
    """


class BadName(Unacceptable):
    """
    The certificate has a name that nobody should be called by.
    """


class Refused(NamedTuple):
    """
    Why OpenSSL has not accepted a chain.

    @ivar leaf: the peer's certificate; L{None} where another one of the chain is why.
    """

    why: str
    leaf: X509 | None


def _domain(name: str) -> str:
    # Case means nothing in it (RFC 5280 section 7.2).
    return name.lower()


def _mailbox(name: str) -> str:
    # Case means nothing behind the @ (RFC 5280 section 7.5).
    local, at, domain = name.rpartition("@")
    return local + at + domain.lower()


def _principal(encoded: bytes) -> str:
    """
    @raise ValueError: it is not one UTF8String of at most 255 octets.
    """
    tag, length, *_ = *encoded[:2], 0, 0
    start = 2
    if length == 0x81:
        # The length's long form (X.690 section 8.1.3.5), of one octet.
        length, start = int.from_bytes(encoded[2:3]), 3
    if tag != _UTF8_STRING or length != len(encoded) - start:
        raise ValueError("not one UTF8String")
    return encoded[start:].decode("utf-8")


def _principals(names: x509.SubjectAlternativeName) -> list[str]:
    return [
        _principal(other.value)
        for other in names.get_values_for_type(x509.OtherName)
        if other.type_id == _UPN
    ]


_KINDS: Final[Mapping[str, Callable[[x509.SubjectAlternativeName], list[str]]]] = {
    "email": lambda names: [
        _mailbox(name) for name in names.get_values_for_type(x509.RFC822Name)
    ],
    "dns": lambda names: [
        _domain(name) for name in names.get_values_for_type(x509.DNSName)
    ],
    "uri": lambda names: names.get_values_for_type(x509.UniformResourceIdentifier),
    "upn": _principals,
}


def nameOf(certificate: x509.Certificate, kinds: Iterable[str]) -> str | None:
    """
    Return the first name of the first kind that the certificate has.

    @param kinds: of C{email}, C{dns}, C{uri} and C{upn}, best first.
    @return: L{None}, when it has none of them.
    @raise BadName: its names cannot be read, or this one holds what cannot be
        printed (a NUL, say, which cut names short in CVE-2013-4314), or is
        empty or longer than 255 octets, a URI than 2,048; or it is that of a
        workload, and not as SPIFFE wants it.
    """
    wrong = ""
    try:
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        kind, found = next(
            filter(lambda each: each[1], ((k, _KINDS[k](names)) for k in kinds)),
            ("", None),
        )
        if kind == "uri" and found is not None and any(map(isSPIFFE, found)):
            wrong = wrongSVID(certificate, found)
    except x509.ExtensionNotFound:
        return None
    except Exception:
        # Whatever a parser makes of what somebody had signed.
        raise BadName("its subjectAltName cannot be read") from None
    if found is None:
        return None
    if wrong:
        raise BadName(wrong)
    name = found[0]
    longest = _LONGEST_URI if kind == "uri" else _LONGEST
    if not name or not name.isprintable() or len(name.encode()) > longest:
        raise BadName("its name is empty, too long, or has control characters")
    return name


@implementer(IVerifiedIdentity)
@final
class CertificateIdentity:
    """
    A client whose certificate was verified, on this connection.

    @ivar username: the name, with the listener's prefix.
    @ivar realm: none.
    @ivar expires: the certificate's notAfter, in seconds since the epoch.
    @ivar leaf: the certificate.
    @ivar chain: those between it and the CA.
    """

    __slots__ = ("chain", "expires", "leaf", "realm", "username")

    def __init__(
        self, username: bytes, expires: float, leaf: X509, chain: tuple[X509, ...]
    ) -> None:
        self.username = username
        self.realm = ""
        self.expires = expires
        self.leaf = leaf
        self.chain = chain
