"""
Addresses, host names, and the one place that tells them apart.

An L{Address} is made only from packed octets or by the strict parser; policy
and dialler accept nothing else. A host name is ASCII letters, digits,
hyphens and underscores in labels of at most 63 octets, 253 in all, with no
hyphen at the start and at most one root dot (which is cut). What the C
library's C{inet_aton} would take for an address without being a strict dotted
quad is neither.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, final

__all__ = ["Address", "BadHost", "Host", "UNSPECIFIED4", "escaped", "parseHost"]

_MAPPED: Final = bytes(10) + b"\xff\xff"
#: Octets of an IPv6 address that name its network: a host has a whole /64 to
#: itself (RFC 4291 section 2.5.4), and takes any address of it.
_SUBNET: Final = 8
#: Before the number of a user in a source's key, which is longer than any other.
_USER: Final = b"uid:"
_NUMBER_OCTETS: Final = 5


@final
class Address:
    """
    An IPv4 or IPv6 address, immutable and hashable.

    An IPv4-mapped IPv6 address (C{::ffff:a.b.c.d}) is that IPv4 address: the
    kernel would connect to the same place, so no rule may tell them apart.

    @ivar packed: 4 or 16 octets, network order.
    @ivar text: the canonical text (RFC 5952 for IPv6).
    @ivar version: 4 or 6.
    @ivar sourceKey: what counts as one source, wherever clients are counted by
        source: an IPv4 address, the /64 of an IPv6 address, or a user of this
        machine (L{ofUser}).
    """

    __slots__ = ("packed", "sourceKey", "text", "version")

    packed: bytes
    text: str
    version: int
    sourceKey: bytes

    def __init__(self, packed: bytes) -> None:
        """
        @raise ValueError: C{packed} has neither 4 nor 16 octets.
        """
        if len(packed) == 16:
            if packed.startswith(_MAPPED):
                packed = packed[12:]
        elif len(packed) != 4:
            raise ValueError("an address has 4 or 16 octets")
        self.packed = packed
        if len(packed) == 4:
            self.text = "{}.{}.{}.{}".format(*packed)
            self.version = 4
            self.sourceKey = packed
        else:
            self.text = str(IPv6Address(packed))
            self.version = 6
            self.sourceKey = packed[:_SUBNET]

    @classmethod
    def ofUser(cls, uid: int) -> Address:
        """
        Return the address of a user's programs on this machine.

        It is 127.0.0.1 to rules, and a source of its own wherever clients are counted.

        @param uid: the user's number in the system.
        """
        address = cls(b"\x7f\x00\x00\x01")
        address.sourceKey = _USER + uid.to_bytes(_NUMBER_OCTETS, "big")
        return address

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Return the address of a strict literal.

        @param text: a dotted quad in decimal without leading zeros, or IPv6 text
            without zone id.
        @raise ValueError: it is none.
        """
        try:
            if ":" in text:
                if "%" in text:
                    raise ValueError("zone ids are not accepted")
                return cls(IPv6Address(text).packed)
            return cls(IPv4Address(text).packed)
        except AddressValueError:
            # The library's messages speak of its parser.
            kind = "6 address, such as 2001:db8::7"
            if ":" not in text:
                kind = "4 address: four numbers up to 255, without leading zeros"
            raise ValueError(f"not an IPv{kind}") from None

    @property
    def isLoopback(self) -> bool:
        """Whether it never leaves the host: 127/8 or ::1."""
        return self.packed[0] == 127 if self.version == 4 else self.text == "::1"

    @property
    def sourceText(self) -> str:
        """
        L{sourceKey} as text: C{192.0.2.1}, C{2001:db8::/64}, or C{uid:1000}.

        Of a client in another network that is behind it: C{192.0.2.1@netns:blue}.
        """
        if self.isUser:
            return f"uid:{self._uid}"
        if self.version == 4:
            text, network = self.text, self.sourceKey[:-4]
        else:
            subnet = self.sourceKey[-_SUBNET:]
            text = str(IPv6Address(subnet + bytes(16 - _SUBNET))) + "/64"
            network = self.sourceKey[:-_SUBNET]
        return f"{text}@{network[:-1].decode()}" if network else text

    def among(self, network: str) -> Address:
        """
        Return the same address as that of a client in another network.

        It counts as another source than the same address elsewhere.

        @param network: as one word without C{@}.
        """
        other = Address(self.packed)
        # Not by its own key, which may have the network already.
        other.sourceKey = network.encode() + b"@" + other.sourceKey
        return other

    @property
    def isUser(self) -> bool:
        """Whether it stands for one user of this machine (L{ofUser})."""
        return len(self.sourceKey) == len(_USER) + _NUMBER_OCTETS

    @property
    def _uid(self) -> int:
        return int.from_bytes(self.sourceKey[len(_USER) :], "big")

    @property
    def isUnspecified(self) -> bool:
        """Whether it is 0.0.0.0 or ::."""
        return not any(self.packed)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Address({self.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash(self.packed)


UNSPECIFIED4: Final = Address(bytes(4))


@final
class BadHost:
    """
    What a client sent as a host, and what is never resolved nor dialled.

    @ivar raw: the octets as they came.
    @ivar why: a few words for the journal; never the octets themselves.
    """

    __slots__ = ("raw", "why")

    def __init__(self, raw: bytes, why: str) -> None:
        self.raw = raw
        self.why = why

    def __repr__(self) -> str:
        return f"BadHost({self.why})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BadHost) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)


#: A strict literal, a host name in its normal form (lower case, no root dot),
#: or something refused.
Host = Address | str | BadHost

_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}\Z", re.ASCII)
#: One part of what inet_aton takes: decimal, octal or hexadecimal; or the same
#: with a sign.
_NUMBER: Final = re.compile(r"-?(?:0x[0-9a-f]*|[0-9]+)\Z", re.ASCII)


@lru_cache(maxsize=4096)
def parseHost(raw: bytes) -> Host:
    """
    Return what the octets of a name field mean.

    They are normalised (brackets, case, one root dot). The result is an address if
    they are a strict literal then, else a host name if they are one, else a
    L{BadHost}.
    """
    try:
        text = raw.decode("ascii").lower()
    except UnicodeDecodeError:
        return BadHost(raw, "not ASCII (use the A-label form)")
    bracketed = text.startswith("[") and text.endswith("]")
    if bracketed:
        text = text[1:-1]
    if ":" in text or bracketed:
        try:
            address = Address.parse(text)
        except ValueError:
            return BadHost(raw, "not an IPv6 address")
        return address
    if text.endswith("."):
        text = text[:-1]
    if not text:
        return BadHost(raw, "empty")
    if len(text) > 253:
        return BadHost(raw, "longer than 253 octets")
    labels = text.split(".")
    if _NUMBER.match(labels[-1]):
        # No top-level domain is a number: this is an address or nothing.
        try:
            return Address.parse(text)
        except ValueError:
            return BadHost(raw, "a number, but not a strict IPv4 address")
    # Labels may begin and end with a hyphen, and a name may only end with one:
    # what RFC 952 forbids exists, and the C library looks it up.
    if text.startswith("-") or not all(map(_LABEL.match, labels)):
        return BadHost(raw, "not a host name")
    return text


def escaped(raw: bytes) -> str:
    r"""Return octets as printable ASCII, which any log can hold; others as C{\xNN}."""
    if raw.isascii():
        text = raw.decode("ascii")
        if text.isprintable() and "\\" not in text:
            return text
    return "".join(
        chr(o) if 0x20 <= o < 0x7F and o != 0x5C else f"\\x{o:02x}" for o in raw
    )
