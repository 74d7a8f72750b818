"""
What two sides of TLS have agreed on, by OpenSSL's own handshakes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from OpenSSL.crypto import X509

from socksgw.system.tlssession import TLSSession, sessionOf
from tests.live.servers import program
from tests.tools.certificates import HOUR, NOW, Authority, Issued, email, pemOf, server

ROOT = Authority()
OWN = server(ROOT)
BOB = ROOT.issue(email("bob@partner.example"))


def shaken(
    own: Issued, client: SSL.Context, shown: bool = True
) -> tuple[TLSSession, TLSSession]:
    """
    Shake hands in memory.

    @param shown: whether the server asks for a certificate.
    @return: what it has agreed on, and the client.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(own.certificate)
    context.use_privatekey(own.key)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    if shown:
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    sides = SSL.Connection(context, None), SSL.Connection(client, None)
    sides[0].set_accept_state()
    sides[1].set_connect_state()
    for _ in range(4):
        for one, other in (sides, sides[::-1]):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                other.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    return sessionOf(sides[0]), sessionOf(sides[1])


def clientOf(issued: Issued | None = None) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if issued is not None:
        context.use_certificate(issued.certificate)
        context.use_privatekey(issued.key)
    return context


def openssl(certificate: x509.Certificate, *options: str) -> str:
    """What OpenSSL's own program says of a certificate."""
    done = subprocess.run(
        [program("openssl", "openssl"), "x509", "-noout", *options],
        input=pemOf(certificate),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip().partition("=")[2]


def test_asOpenSSLNamesThem() -> None:
    """The version, the group, and the certificate of the other side."""
    client = clientOf(BOB)
    ours, theirs = shaken(OWN, client)
    assert ours.version == "TLSv1.3"
    # X25519MLKEM768 since OpenSSL 3.5.
    assert "X25519" in ours.group.upper()
    assert (theirs.version, theirs.group) == (ours.version, ours.group)
    for session, issued in ((ours, BOB), (theirs, OWN)):
        said = openssl(issued.certificate, "-fingerprint", "-sha256")
        assert session.fingerprint == said.replace(":", "").lower()
        assert session.serial == openssl(issued.certificate, "-serial")


def test_withoutACertificate() -> None:
    """Those are alike, so there is one of them."""
    first, again = (shaken(OWN, clientOf(), shown=False)[0] for _ in range(2))
    assert first is again
    assert (first.fingerprint, first.serial) == ("", "")


def test_withoutAGroup(tmp_path: Path) -> None:
    """RSA key transport, which TLS 1.2 has (RFC 5246 section 7.4.7.1)."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x0A1B)
        .not_valid_before(NOW - HOUR)
        .not_valid_after(NOW + HOUR)
        .sign(key, SHA256())
    )
    client = clientOf()
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    client.set_cipher_list(b"AES128-SHA:@SECLEVEL=0")
    ours, theirs = shaken(Issued(key, (certificate,)), client)  # type: ignore[arg-type]
    assert ours == TLSSession("TLSv1.2", "")
    assert theirs[:2] == ("TLSv1.2", "")
    assert theirs.serial == "0A1B" == openssl(certificate, "-serial")


@pytest.mark.parametrize("issued", [BOB, OWN])
def test_notAccepted(issued: Issued) -> None:
    """A certificate that OpenSSL has refused is not the connection's; it is given."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    connection.set_accept_state()
    found = sessionOf(connection, X509.from_cryptography(issued.certificate))
    assert found.serial == openssl(issued.certificate, "-serial")
