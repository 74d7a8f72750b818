"""
What editors make of a file without changing what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["EDITED", "wide"]

_MARK: Final = b"\xef\xbb\xbf"

#: From a text in UTF-8 to the same with a byte-order mark, with line ends as on
#: Windows, and without the last of them.
EDITED: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "mark": lambda octets: _MARK + octets,
    "crlf": lambda octets: octets.replace(b"\n", b"\r\n"),
    "cut": lambda octets: octets.rstrip(b"\n"),
    "all": lambda octets: _MARK + octets.rstrip(b"\n").replace(b"\n", b"\r\n"),
}


def wide(octets: bytes) -> bytes:
    """Return the same text in UTF-16, which the gateway refuses and calls by its name."""
    return octets.decode("utf-8").encode("utf-16")
