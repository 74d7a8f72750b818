"""
Keytabs, octet by octet as MIT's "Kerberos Keytab Binary File Format" has them.
"""

from __future__ import annotations

import struct

import pytest

from socksgw.system.keytab import Key, keysIn, toldKeys, withoutAES


def counted(text: bytes) -> bytes:
    """A string with its length in 16 bits."""
    return struct.pack(">H", len(text)) + text


def entry(kind: int, version: int, *names: bytes, wide: bool = True) -> bytes:
    """An entry; C{wide} ones have the number of the version in 32 bits, too."""
    octets = struct.pack(">H", len(names)) + counted(b"CORP.EXAMPLE")
    octets += b"".join(map(counted, names))
    # NT-PRINCIPAL, the time, the last octet of the version.
    octets += struct.pack(">IIB", 1, 1_700_000_000, version & 0xFF)
    octets += struct.pack(">H", kind) + counted(b"k" * 16)
    if wide:
        octets += struct.pack(">I", version)
    return struct.pack(">i", len(octets)) + octets


HEAD = b"\x05\x02"
#: A hole, where an entry was taken out.
HOLE = struct.pack(">i", -6) + b"x" * 6


def test_keys() -> None:
    """Versions above 255, holes, and what follows the last entry."""
    octets = (
        HEAD
        + entry(18, 300, b"rcmd", b"gw.corp.example")
        + HOLE
        + entry(23, 2, b"svc", wide=False)
        + struct.pack(">i", 0)
    )
    assert keysIn(octets) == [
        Key("rcmd/gw.corp.example@CORP.EXAMPLE", 300, 18),
        Key("svc@CORP.EXAMPLE", 2, 23),
    ]
    assert keysIn(HEAD) == []


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x05\x01" + entry(18, 1, b"x"),
        HEAD + entry(18, 1, b"x")[:-3],
        HEAD + b"\0",
    ],
)
def test_none(octets: bytes) -> None:
    """What is cut is no keytab."""
    with pytest.raises(ValueError, match="keytab"):
        keysIn(octets)


def test_kinds() -> None:
    """AES is looked for among the newest keys of each principal."""
    keys = keysIn(
        HEAD
        + entry(18, 1, b"old")
        + entry(23, 2, b"old")
        + entry(17, 2, b"good")
        + entry(23, 2, b"good")
    )
    assert withoutAES(keys) == ["old@CORP.EXAMPLE"]
    assert toldKeys(keys) == (
        "old@CORP.EXAMPLE (kvno 1, 2: aes256-sha1, arcfour); "
        "good@CORP.EXAMPLE (kvno 2: aes128-sha1, arcfour)"
    )
