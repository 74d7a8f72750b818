"""
Look at the greeting of a mail server, which speaks first (RFC 5321 section 4.2).
"""

from __future__ import annotations

from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import NOT_MINE, Finding, IInspector, Look
from socksgw.wire.address import escaped

__all__ = ["inspector"]

_CODE: Final = b"220"
#: The most octets of a reply line (RFC 5321 section 4.5.3.1.5).
_LONGEST: Final = 512
_SHOWN: Final = 120


def _look(octets: Any) -> Finding | int:
    """Look at the first line; servers of FTP begin with the same code."""
    begin = bytes(octets[:_LONGEST])
    if not begin.startswith(_CODE):
        return NOT_MINE if not _CODE.startswith(begin) else len(_CODE)
    if len(begin) > 3 and begin[3] not in b" -":
        return NOT_MINE
    line, end, _ = begin.partition(b"\n")
    if not end:
        return len(begin) + 1 if len(begin) < _LONGEST else NOT_MINE
    if b"SMTP" not in line.upper():
        return NOT_MINE
    return Finding("smtp", detail=escaped(line.removesuffix(b"\r"))[:_SHOWN])


@implementer(IInspector)
@final
class _SMTP:
    name = "smtp"
    help = "SMTP: the server's greeting"
    fromClient = b""
    fromServer = _CODE[:1]

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        return _look


inspector = _SMTP()
