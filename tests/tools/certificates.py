"""
Authorities and certificates for tests, good and bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)

#: Microsoft's user principal name.
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


def email(name: str) -> x509.GeneralName:
    return x509.RFC822Name(name)


def dns(name: str) -> x509.GeneralName:
    return x509.DNSName(name)


def address(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(text))


def uri(name: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(name)


def tagged(tag: int, content: bytes) -> bytes:
    """DER, with the length in as few octets as it takes (X.690 section 8.1.3)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def upn(name: str | bytes) -> x509.GeneralName:
    """Make an otherName with a UTF8String."""
    octets = name if isinstance(name, bytes) else name.encode()
    return x509.OtherName(UPN, tagged(0x0C, octets))


def rawPrincipal(value: bytes) -> x509.ExtensionType:
    """As L{rawName}, for the octets of a user principal name's value."""
    oid = bytes.fromhex("060a2b060104018237140203")
    return rawName(0xA0, oid + tagged(0xA0, value))


def rawName(tag: int, content: bytes) -> x509.ExtensionType:
    """
    Make a subjectAltName of one name, with octets that the library would not put
    there: tag 0x81 is rfc822Name, 0x82 dNSName (RFC 5280 section 4.2.1.6).
    """
    return x509.UnrecognizedExtension(
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME, tagged(0x30, tagged(tag, content))
    )


def newKey() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pemOf(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def pemOfKey(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Issued:
    """
    A certificate with its key, and those between it and the root.

    @ivar chain: the certificate first.
    """

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]
    ) -> None:
        self.key = key
        self.chain = chain
        self.certificate = chain[0]

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """
        Put it into files.

        @return: certificates, and key.
        """
        file, key = directory / f"{name}.pem", directory / f"{name}.key"
        key.touch(0o600)
        key.write_bytes(pemOfKey(self.key))
        file.write_bytes(pemOf(*self.chain))
        return file, key

    def writeTogether(self, directory: Path, name: str) -> Path:
        """Put it into one file, key and all, as socat and curl want it."""
        file = directory / f"{name}.both.pem"
        file.touch(0o600)
        file.write_bytes(pemOfKey(self.key) + pemOf(*self.chain))
        return file


class Authority:
    """
    A CA: a root, or one below another.
    """

    def __init__(
        self,
        name: str = "Test CA",
        above: Authority | None = None,
        after: timedelta = 240 * HOUR,
    ) -> None:
        """@param after: its end, from now."""
        self.key = newKey()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._above = above
        issuer = above or self
        self._serial = 1
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(issuer._name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 24 * HOUR)
            .not_valid_after(datetime.now(UTC) + after)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    issuer.key.public_key()
                ),
                critical=False,
            )
            .sign(issuer.key, SHA256())
        )
        self.chain: tuple[x509.Certificate, ...] = (
            () if above is None else (self.certificate, *above.chain)
        )

    def issue(
        self,
        *names: x509.GeneralName,
        usage: Sequence[x509.ObjectIdentifier] = (CLIENT,),
        after: timedelta = 24 * HOUR,
        before: timedelta = -HOUR,
        raw: x509.ExtensionType | None = None,
        subject: str = "somebody",
    ) -> Issued:
        """
        A certificate.

        @param after: its end, from now.
        @param before: its beginning, from now.
        @param raw: the extension of its names, instead.
        """
        key = newKey()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) + before)
            .not_valid_after(datetime.now(UTC) + after)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
        )
        if usage:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage(usage), critical=False
            )
        if raw is not None:
            builder = builder.add_extension(raw, critical=False)
        elif names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(names), critical=False
            )
        return Issued(key, (builder.sign(self.key, SHA256()), *self.chain))

    def revoke(self, *revoked: x509.Certificate, until: timedelta = 24 * HOUR) -> bytes:
        """
        A CRL, in PEM.

        @param until: its nextUpdate, from now.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(NOW - 2 * HOUR)
            .next_update(datetime.now(UTC) + until)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.serial_number)
                .revocation_date(NOW - HOUR)
                .build()
            )
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


def server(authority: Authority) -> Issued:
    """Issue a gateway's certificate, for localhost."""
    return authority.issue(dns("localhost"), usage=(SERVER,))
