"""
The first octets of a TLS client.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

__all__ = ["hello"]


def hello(name: str = "a.example") -> bytes:
    """Return a ClientHello of the ssl module's library, for a server's name."""
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), out, server_hostname=name
    )
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()
