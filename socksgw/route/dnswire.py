"""
The DNS messages that nearly every look-up consists of, as octets.

A library that knows all of DNS takes two thirds of the time of a look-up to write and
read them. Whatever is unusual in an answer is left to it: L{addressesIn} says so.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["QUESTION", "Unusual", "addressesIn", "nameOctets", "questionOctets"]

#: Where the question of a message stands (RFC 1035 section 4.1.1).
QUESTION: Final = 12

#: Recursion is desired, and there is one question (RFC 1035 section 4.1.1).
_ASKS: Final = b"\x01\x00\x00\x01\x00\x00\x00\x00"
#: What fits into one datagram on every path (RFC 9715 section 3.1), in an OPT record
#: (RFC 6891 section 6.1.2).
_OPT: Final = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
#: In the third octet: a response (QR), the kind of query, authoritative (AA), and
#: truncated (TC); in the fourth: recursion available (RA), and the code.
_KIND: Final = 0xFA
_RESPONSE: Final = 0x80
_AA: Final = 0x04
_RA: Final = 0x80
_CODE: Final = 0x0F
_NO_NAME: Final = 3

#: A name that is said by where it stands (RFC 1035 section 4.1.4).
_POINTER: Final = 0xC000
#: A pointer, type, class, time to live, and length (RFC 1035 section 4.1.3).
_RECORD: Final = struct.Struct("!HHHIH")
_HEADER: Final = struct.Struct("!2B4H")
_IN: Final = 1
_CNAME: Final = 5
#: Octets of an address, by its type: A and AAAA.
_LENGTHS: Final = {1: 4, 28: 16}


class Unusual(Exception):
    """An answer that has to be read by somebody who knows all of DNS."""


def nameOctets(name: str) -> bytes:
    """
    Return a host name as it stands in a message (RFC 1035 section 3.1).

    @param name: in normal form (L{socksgw.wire.address.parseHost}).
    """
    parts = [bytes((len(label),)) + label for label in name.encode("ascii").split(b".")]
    return b"".join(parts) + b"\x00"


def questionOctets(number: bytes, question: bytes, edns: bool) -> bytes:
    """
    Return a message that asks.

    @param number: its identifier, two octets.
    @param question: the name, the type, and the class.
    @param edns: whether larger answers may come (RFC 6891).
    """
    if edns:
        return b"".join((number, _ASKS, b"\x00\x01", question, _OPT))
    return b"".join((number, _ASKS, b"\x00\x00", question))


def addressesIn(
    octets: bytes, question: bytes, kind: int, most: int
) -> list[bytes] | None:
    """
    Return the addresses that an answer holds, following its aliases.

    @param octets: a message whose identifier is the query's.
    @param question: as it was asked.
    @param kind: the type that was asked for: A or AAAA.
    @param most: records that are looked at.
    @return: L{None} when there is no such name.
    @raise Unusual: it is no plain answer to this question.
    """
    try:
        high, low, questions, answers, _, more = _HEADER.unpack_from(octets, 2)
        code = low & _CODE
        if (
            high & _KIND != _RESPONSE
            or questions != 1
            or not octets.startswith(question, QUESTION)
        ):
            raise Unusual
        if not answers:
            # The code has more bits in an OPT record (RFC 6891 section 6.1.3), which
            # is the last one where the server sends no options with it.
            if more and (octets[-11:-8] != _OPT[:3] or octets[-6] or any(octets[-2:])):
                raise Unusual
            if code == _NO_NAME:
                return None
            if code or not (high & _AA or low & _RA):
                raise Unusual
            return []
        if code:
            raise Unusual
        return _found(octets, QUESTION + len(question), kind, min(answers, most))
    except (IndexError, struct.error) as e:
        raise Unusual from e


def _found(octets: bytes, at: int, kind: int, answers: int) -> list[bytes]:
    """
    Return the addresses of the records that begin at C{at}.

    @raise Unusual: there are others than aliases and addresses of the name.
    @raise struct.error: a record is cut.
    """
    length = _LENGTHS[kind]
    owner = _POINTER | QUESTION
    found = []
    for _ in range(answers):
        named, its, class_, _, size = _RECORD.unpack_from(octets, at)
        at += _RECORD.size
        if named != owner or class_ != _IN:
            raise Unusual
        if its == kind and size == length:
            packed = octets[at : at + size]
            if len(packed) < size:
                raise Unusual
            found.append(packed)
        elif its == _CNAME and not found:
            # The records of the name that the alias stands for point at it here, where
            # the server has written it; an alias of itself does not.
            owner = _POINTER | at
        else:
            raise Unusual
        at += size
    if not found:
        # The aliases lead nowhere, or in a circle.
        raise Unusual
    return found
