"""
Look at a query of DNS over TCP: the name that it is about.
"""

from __future__ import annotations

from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import NOT_MINE, Finding, IInspector, Look
from socksgw.wire.address import escaped

__all__ = ["inspector"]

#: Octets of the length (RFC 1035 section 4.2.2), and of the header behind it (4.1.1).
_LENGTH: Final = 2
_HEADER: Final = 12
#: The longest name (RFC 1035 section 2.3.4), and label.
_NAME: Final = 255
_LABEL: Final = 63
#: Of the flags: a response; an opcode other than QUERY, NOTIFY (4) and UPDATE (5).
_RESPONSE: Final = 0x80
_OPCODES: Final = (0, 4, 5)
#: The most records that a query has besides its question: EDNS, TSIG, UPDATE.
_RECORDS: Final = 256


def _look(octets: Any) -> Finding | int:
    """Look at the first message: one question, in a message that has room for it."""
    have = len(octets)
    begin = _LENGTH + _HEADER
    if have < begin:
        if have >= _LENGTH and not _fits(octets):
            return NOT_MINE
        if have > 4 and not _asks(octets[4]):
            return NOT_MINE
        return begin
    if not _fits(octets) or not _asks(octets[4]):
        return NOT_MINE
    questions, *others = (octets[i] << 8 | octets[i + 1] for i in range(6, 14, 2))
    if questions != 1 or sum(others) > _RECORDS:
        return NOT_MINE
    end = _LENGTH + (octets[0] << 8 | octets[1])
    labels: list[str] = []
    at = begin
    while True:
        if at >= end or at - begin > _NAME:
            return NOT_MINE
        if at >= have:
            return at + 1
        length: int = octets[at]
        if length == 0:
            break
        if length > _LABEL:
            # No name stands before it that it could point to.
            return NOT_MINE
        after = at + 1 + length
        if after >= end:
            return NOT_MINE
        if after > have:
            return after
        labels.append(escaped(bytes(octets[at + 1 : after])))
        at = after
    # Behind it come the type and the class: IN, CH, HS, or any.
    at += 5
    if at > end:
        return NOT_MINE
    if at > have:
        return at
    if octets[at - 2] or octets[at - 1] not in (1, 3, 4, 254, 255):
        return NOT_MINE
    return Finding("dns", detail=".".join(labels).lower() or ".")


def _fits(octets: Any) -> bool:
    """Tell whether the length is that of a message with a question."""
    length: int = octets[0] << 8 | octets[1]
    return length >= _HEADER + 5


def _asks(flags: int) -> bool:
    """Tell whether it is a query."""
    return not flags & _RESPONSE and flags >> 3 & 15 in _OPCODES


@implementer(IInspector)
@final
class _DNS:
    name = "dns"
    help = "DNS over TCP: the name that is asked for"
    #: Of the length: queries are no longer than 16 KiB.
    fromClient = bytes(range(64))
    fromServer = b""

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        return _look


inspector = _DNS()
