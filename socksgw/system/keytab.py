"""
The keys in a keytab: whose they are, of which kinds, in which versions.

The format is that of MIT Kerberos ("The Kerberos Keytab Binary File Format"), version
0x0502, which Heimdal, Samba and ktpass write, too. No key leaves this module.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Key", "keysIn", "toldKeys", "withoutAES"]

_VERSION: Final = b"\x05\x02"
#: Names of kinds of encryption (RFC 3961 section 8, RFC 8009 section 7).
_KINDS: Final = {
    1: "des-cbc-crc",
    3: "des-cbc-md5",
    16: "des3-cbc-sha1",
    17: "aes128-sha1",
    18: "aes256-sha1",
    19: "aes128-sha256",
    20: "aes256-sha384",
    23: "arcfour",
    25: "camellia128",
    26: "camellia256",
}
_AES: Final = frozenset({17, 18, 19, 20})


class Key(NamedTuple):
    """
    One key, without its octets.

    @ivar principal: whose it is, such as C{rcmd/gw.corp.example@CORP.EXAMPLE}.
    @ivar version: its version number (kvno).
    @ivar kind: the number of its kind of encryption.
    """

    principal: str
    version: int
    kind: int


def keysIn(octets: bytes) -> list[Key]:
    """
    Return the keys in a keytab.

    @raise ValueError: it is none.
    """
    if not octets.startswith(_VERSION):
        raise ValueError("is no keytab (version 0x0502)")
    try:
        return list(_keys(memoryview(octets)[2:]))
    except (IndexError, struct.error, UnicodeDecodeError):
        raise ValueError("is a keytab that is cut, or damaged") from None


def _keys(rest: memoryview) -> Iterator[Key]:
    while rest:
        (size,) = struct.unpack_from(">i", rest)
        entry, rest = rest[4 : 4 + abs(size)], rest[4 + abs(size) :]
        if size == 0:
            return
        if len(entry) != abs(size):
            raise IndexError
        if size > 0:
            yield _key(entry)


def _key(entry: memoryview) -> Key:
    (count,) = struct.unpack_from(">H", entry)
    at = 2
    parts = []
    for _ in range(count + 1):
        (length,) = struct.unpack_from(">H", entry, at)
        at += 2 + length
        parts.append(bytes(entry[at - length : at]).decode())
    # The type of the name, and when the key was written.
    at += 8
    version, kind, length = struct.unpack_from(">BHH", entry, at)
    at += 5 + length
    if len(entry) - at >= 4:
        # The old field has the last octet of the number only.
        version = struct.unpack_from(">I", entry, at)[0] or version
    realm, *names = parts
    return Key(f"{'/'.join(names)}@{realm}", version, kind)


def toldKeys(keys: list[Key]) -> str:
    """Return for people whose keys there are: kinds, and versions."""
    found: dict[str, tuple[set[int], list[int]]] = {}
    for key in keys:
        versions, kinds = found.setdefault(key.principal, (set(), []))
        versions.add(key.version)
        if key.kind not in kinds:
            kinds.append(key.kind)
    return "; ".join(
        f"{principal} (kvno {', '.join(map(str, sorted(versions)))}: "
        f"{', '.join(_KINDS.get(kind, f'kind {kind}') for kind in kinds)})"
        for principal, (versions, kinds) in found.items()
    )


def withoutAES(keys: list[Key]) -> list[str]:
    """Return the principals that have no key of AES, in the newest of their versions."""
    newest: dict[str, int] = {}
    for key in keys:
        newest[key.principal] = max(newest.get(key.principal, 0), key.version)
    strong = {
        key.principal
        for key in keys
        if key.kind in _AES and key.version == newest[key.principal]
    }
    return [each for each in newest if each not in strong]
