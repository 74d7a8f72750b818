"""
PROXY headers, as a proxy in front writes them.
"""

from __future__ import annotations

import socket

from socksgw.wire.proxyheader import crc32c

__all__ = [
    "LOCAL",
    "SIGNATURE",
    "checked",
    "line",
    "local",
    "tls",
    "vector",
    "version2",
]

#: The signature of version 2 (section 2.2).
SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")


def line(
    source: str, port: int, destination: str = "192.0.2.1", other: int = 1080
) -> bytes:
    """The line of version 1 for a client."""
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {port} {other}\r\n".encode()


def version2(
    source: str,
    port: int,
    destination: str = "192.0.2.1",
    other: int = 1080,
    vectors: bytes = b"",
) -> bytes:
    """The header of version 2 for a client, with what is told besides."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    block = b"".join(
        (
            socket.inet_pton(family, source),
            socket.inet_pton(family, destination),
            port.to_bytes(2, "big"),
            other.to_bytes(2, "big"),
            vectors,
        )
    )
    kind = 0x21 if ":" in source else 0x11
    return SIGNATURE + bytes((0x21, kind)) + len(block).to_bytes(2, "big") + block


def local(block: bytes = b"", kind: int = 0) -> bytes:
    """The header of version 2 of the sender's own connections."""
    return SIGNATURE + bytes((0x20, kind)) + len(block).to_bytes(2, "big") + block


LOCAL = local()


def vector(kind: int, value: bytes) -> bytes:
    """One thing that is told (section 2.2)."""
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def tls(client: int, verify: int, *vectors: bytes) -> bytes:
    """What is told of TLS (section 2.2.6)."""
    head = bytes((client,)) + verify.to_bytes(4, "big")
    return vector(0x20, head + b"".join(vectors))


def checked(header: bytes) -> bytes:
    """A header with its checksum behind all else (section 2.2.3)."""
    length = int.from_bytes(header[14:16], "big") + 7
    whole = header[:14] + length.to_bytes(2, "big") + header[16:] + vector(3, bytes(4))
    return whole[:-4] + crc32c(whole).to_bytes(4, "big")
