"""
Messages of syslog (RFC 5424), and how they follow each other on a connection (RFC 6587).

Messages are in ASCII, so that no byte-order mark has to precede the text (section 6.4):
programs that read JSON or CEF from it would trip over one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from socksgw.wire.bounded import shortened

__all__ = ["FACILITIES", "LEAST", "Header", "counted", "message", "structured"]

#: Numbers of facilities (section 6.2.1), by the names that other programs use.
FACILITIES: Final = {
    name: number
    for number, name in enumerate((
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp",
        "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1",
        "local2", "local3", "local4", "local5", "local6", "local7",
    ))
}  # fmt: skip
#: Octets that every receiver takes (section 6.1).
LEAST: Final = 480
#: Characters of the longest host name, program, process and event (section 6).
_HOST, _PROGRAM, _PROCESS, _EVENT = 255, 48, 128, 32
#: Characters of the longest value in structured data. The standard has no bound.
_VALUE: Final = 255
_NIL: Final = "-"
#: Section 6.2.3, where the time is in capitals and has no leap second.
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII
)

#: What has to be escaped in a value (section 6.3.3).
_ESCAPES: Final = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


class Header(NamedTuple):
    """
    The parts of a header that are the same in all messages of a sender.

    @ivar facility: a number of L{FACILITIES}.
    """

    facility: int
    host: str
    program: str
    process: str


def _word(text: str, most: int) -> str:
    """Return a field of a header: printable ASCII without spaces."""
    kept = "".join(c if "!" <= c <= "~" else "_" for c in text)
    return kept[:most] or _NIL


def _ascii(text: str) -> str:
    """Escape what is no printable ASCII."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)


def structured(elements: Mapping[str, Mapping[str, object]]) -> str:
    """
    Return structured data (section 6.3).

    @param elements: the parameters of each element; values that are L{None} or empty
        are left out, and so are elements without any.
    """
    text = ""
    for name, parameters in elements.items():
        members = [
            f'{key}="{shortened(_ascii(str(value)), _VALUE).translate(_ESCAPES)}"'
            for key, value in parameters.items()
            if value is not None and value != ""
        ]
        if members:
            text += f"[{' '.join([name, *members])}]"
    return text or _NIL


def message(header: Header, severity: int, time: str, event: str, data: str) -> bytes:
    """
    Return a message up to its text, with the space before it.

    @param severity: 0 to 7.
    @param time: as RFC 3339 has it; fractions of a second have six digits at most.
    @param event: what MSGID has.
    @param data: structured data.
    @raise ValueError: the time is none.
    """
    if _TIME.fullmatch(time) is None:
        raise ValueError(f"not a time of RFC 3339: {time!r}")
    priority = header.facility * 8 + severity
    return (
        f"<{priority}>1 {time} {_word(header.host, _HOST)} "
        f"{_word(header.program, _PROGRAM)} {_word(header.process, _PROCESS)} "
        f"{_word(event, _EVENT)} {data} "
    ).encode("ascii")


def counted(octets: bytes) -> bytes:
    """Return a message with its length before it (RFC 6587, section 3.4.1)."""
    return b"%d %b" % (len(octets), octets)
