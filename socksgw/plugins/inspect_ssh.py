"""
Look at the identification string of SSH, of either side (RFC 4253 section 4.2).
"""

from __future__ import annotations

from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding, IInspector, Look
from socksgw.wire.address import escaped

__all__ = ["inspector"]

_BEGIN: Final = b"SSH-"
#: The most octets of the line, with its end.
_LONGEST: Final = 255
_SHOWN: Final = 120


def _look(octets: Any) -> Finding | int:
    """
    Look at the first line.

    A server may send other lines before; its client's tells then what it is.
    """
    begin = bytes(octets[: _LONGEST + 1])
    if not begin.startswith(_BEGIN):
        return NOT_MINE if not _BEGIN.startswith(begin) else len(_BEGIN)
    line, end, _ = begin.partition(b"\n")
    if not end:
        return len(begin) + 1 if len(begin) < _LONGEST else MALFORMED
    # SSH-protoversion-softwareversion SP comments.
    if len(line) >= _LONGEST or line.count(b"-") < 2:
        return MALFORMED
    return Finding("ssh", detail=escaped(line.removesuffix(b"\r"))[:_SHOWN])


@implementer(IInspector)
@final
class _SSH:
    name = "ssh"
    help = "SSH: the banner of either side"
    fromClient = fromServer = _BEGIN[:1]

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        return _look


inspector = _SSH()
