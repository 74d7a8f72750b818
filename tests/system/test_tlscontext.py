"""
Contexts of both sides: keys of every kind serve, and what cannot be used is refused.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from OpenSSL import SSL

from socksgw.system.tls import Stream
from socksgw.system.tlscontext import (
    Own,
    certificatesOf,
    clientContext,
    keyFor,
    serverContext,
)
from tests.live.servers import program
from tests.tools.certificates import Authority, email, server

ROOT = Authority()


def met(client: SSL.Context, server: SSL.Context) -> tuple[Stream, Stream]:
    """A client and a server that have shaken hands, unless one fails."""
    near, far = SSL.Connection(client, None), SSL.Connection(server, None)
    near.set_connect_state()
    far.set_accept_state()
    ours, theirs = Stream(near), Stream(far)
    octets = ours.begin()
    while octets:
        theirs.receive(octets)
        ours.receive(theirs.outgoing())
        octets = ours.outgoing()
    return ours, theirs


@pytest.fixture
def pss(tmp_path: Path) -> tuple[bytes, bytes]:
    """A certificate and its key, which is for RSA-PSS alone."""
    openssl = program("openssl", "openssl")
    key, file = tmp_path / "pss.key", tmp_path / "pss.pem"
    bits = ("-pkeyopt", "rsa_keygen_bits:2048")
    for command in (
        ("genpkey", "-algorithm", "RSA-PSS", *bits, "-out", key),
        ("req", "-x509", "-new", "-key", key, "-subj", "/CN=gw", "-out", file),
    ):
        subprocess.run([openssl, *command], check=True, capture_output=True)
    return file.read_bytes(), key.read_bytes()


def test_aSandboxWithoutFilesInMemory(
    pss: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memfd_create(2) is refused, such a key is, with the remedy."""

    def refused(name: str) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    with pytest.raises(ValueError, match=r"memfd_create\(2\).*not permitted; allow"):
        keyFor(certificatesOf(pss[0]), pss[1])


def test_keysForRSAPSS(pss: tuple[bytes, bytes]) -> None:
    """A key that is for RSA-PSS alone fits its certificate, and serves."""
    own = keyFor(certificatesOf(pss[0]), pss[1])
    assert all(each.established for each in met(clientContext(()), serverContext(own)))


def test_whatAClientShows() -> None:
    """A client shows its certificate to a server that asks, and to no other."""
    shown = ROOT.issue(email("gw@corp.example"))
    context = clientContext([ROOT.certificate], Own(shown.chain, shown.key))
    issued = server(ROOT)
    asking = serverContext(Own(issued.chain, issued.key))
    asking.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    _, theirs = met(context, asking)
    found = theirs.connection.get_peer_certificate(as_cryptography=True)
    assert found == shown.certificate
    _, theirs = met(context, serverContext(Own(issued.chain, issued.key)))
    assert theirs.connection.get_peer_certificate() is None


def test_oldVersions() -> None:
    """TLS 1.1 is spoken with nobody."""
    issued = server(ROOT)
    old = SSL.Context(SSL.TLS_SERVER_METHOD)
    old.use_certificate(issued.certificate)
    old.use_privatekey(issued.key)
    old.set_max_proto_version(SSL.TLS1_1_VERSION)
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    ours, theirs = met(clientContext(()), old)
    assert not ours.established
    assert ours.failure or theirs.failure
