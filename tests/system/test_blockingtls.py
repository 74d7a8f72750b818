"""
TLS for clients that block.
"""

from __future__ import annotations

import socket
import ssl

import pytest

from socksgw.system.blockingtls import clientContext, whyFailed
from tests.tools.certificates import SERVER, Authority, dns, pemOf, pemOfKey


def test_names() -> None:
    """The name of the other side is verified, and nothing below TLS 1.2 is spoken."""
    authority = Authority()
    context = clientContext(pemOf(authority.certificate), b"", b"")
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
    assert clientContext(b"", b"", b"").check_hostname


def test_certificate() -> None:
    """A certificate goes with its key, both from memory."""
    issued = Authority().issue(dns("edge.example"), usage=(SERVER,))
    chain, key = pemOf(*issued.chain), pemOfKey(issued.key)
    clientContext(b"", chain, key)
    other = Authority().issue(dns("edge.example"), usage=(SERVER,))
    with pytest.raises(ValueError, match="certificate: "):
        clientContext(b"", chain, pemOfKey(other.key))
    with pytest.raises(ValueError, match="ca: "):
        clientContext(b"no certificate", b"", b"")


def test_whyFailed() -> None:
    """What failed is told in a few words."""
    assert whyFailed(TimeoutError()) == "no answer in time"
    assert whyFailed(ConnectionRefusedError(111, "Connection refused")) == (
        "Connection refused"
    )
    assert "not known" in whyFailed(socket.gaierror(-2, "Name or service not known"))
