"""
Look at the head of an HTTP request: its method, and the host that it is for.
"""

from __future__ import annotations

from typing import Any, Final, final

from zope.interface import implementer

from socksgw.interfaces import MALFORMED, NOT_MINE, Finding, IInspector, Look, nameIn

__all__ = ["inspector"]

#: What methods and names of fields are made of (RFC 9110 section 5.6.2).
_TOKEN: Final = frozenset(
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_DELETED: Final = bytes(_TOKEN)
_SPACE: Final = b" \t"
#: The longest method that is known, and more.
_METHOD: Final = 32
#: How many empty lines may stand before a request (RFC 9112 section 2.2).
_EMPTY: Final = 4
#: With which a client of HTTP/2 begins (RFC 9113 section 3.4).
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@final
class _Looking:
    """Reads the lines of one head as they come."""

    __slots__ = ("_at", "_empty", "_host", "_method", "_seen", "_target")

    def __init__(self) -> None:
        # Where the present line begins, and up to where it was searched for its end.
        self._at = self._seen = 0
        self._empty = 0
        self._method = b""
        self._target = b""
        self._host: bytes | None = None

    def __call__(self, octets: Any) -> Finding | int:
        while (end := octets.find(b"\n", self._seen)) >= 0:
            line = bytes(octets[self._at : end])
            if line.endswith(b"\r"):
                line = line[:-1]
            self._at = self._seen = end + 1
            found = self._field(line) if self._method else self._request(line, octets)
            if found is not None:
                return found
        self._seen = len(octets)
        if not self._method:
            return self._begun(octets)
        return len(octets) + 1

    def _begun(self, octets: Any) -> int:
        """Return whether the first line may be that of a request, so far."""
        begin = bytes(octets[self._at : self._at + _METHOD + 1])
        method, space, _ = begin.partition(b" ")
        if not space:
            method = method.removesuffix(b"\r")
        if len(method) > _METHOD or method.translate(None, _DELETED):
            return NOT_MINE
        if space and not method:
            return NOT_MINE
        return len(octets) + 1

    def _request(self, line: bytes, octets: Any) -> Finding | int | None:
        """Read the first line (RFC 9112 section 3)."""
        if not line:
            self._empty += 1
            return MALFORMED if self._empty > _EMPTY else None
        method, _, rest = line.partition(b" ")
        if not method or len(method) > _METHOD or method.translate(None, _DELETED):
            return NOT_MINE
        target, _, version = rest.rpartition(b" ")
        if version.startswith(b"HTTP/1.") and len(version) == 8:
            self._method, self._target = method, target
            return None if target else MALFORMED
        if line == b"PRI * HTTP/2.0":
            return self._preface(octets)
        if method == b"GET" and rest.startswith(b"/") and b" " not in rest:
            # HTTP/0.9, which has neither fields nor a host.
            return Finding("http", method="GET")
        return NOT_MINE if b"HTTP/" not in line else MALFORMED

    def _preface(self, octets: Any) -> Finding | int | None:
        """Read the preface of HTTP/2; the host is in a frame, and compressed."""
        begin = self._at - len(b"PRI * HTTP/2.0\r\n")
        came = bytes(octets[begin : begin + len(_PREFACE)])
        if not _PREFACE.startswith(came):
            return MALFORMED
        if len(came) < len(_PREFACE):
            # The same line is read again.
            self._at = self._seen = begin
            return begin + len(_PREFACE)
        return Finding("http", hidden=True, method="PRI", detail="HTTP/2")

    def _field(self, line: bytes) -> Finding | int | None:
        """Read a line behind the first one (RFC 9112 section 5)."""
        if not line:
            return self._found()
        name, colon, value = line.partition(b":")
        # Servers differ in how they read what is not a field, as these lines.
        if not colon or not name or name.translate(None, _DELETED):
            return MALFORMED
        if name.lower() == b"host":
            if self._host is not None:
                return MALFORMED
            self._host = value.strip(_SPACE)
        return None

    def _found(self) -> Finding | int:
        """Return what the whole head tells."""
        method, target, host = self._method, self._target, self._host
        asked = None
        if method == b"CONNECT":
            asked = target
        elif b"://" in target and not target.startswith(b"/"):
            rest = target.partition(b"://")[2]
            for end in b"/?#":
                rest = rest.partition(bytes((end,)))[0]
            asked = rest.rpartition(b"@")[2]
        text = method.decode("ascii")
        named = None if not host else _hostIn(host)
        if host and named is None:
            return MALFORMED
        if asked is None:
            return Finding("http", named, method=text)
        meant = _hostIn(asked)
        # The host of the target counts (RFC 9112 section 3.2.2), and not everywhere.
        if meant is None or (named is not None and named != meant):
            return MALFORMED
        return Finding("http", meant, method=text)


def _hostIn(authority: bytes) -> str | None:
    """Return the host of a host with or without a port, in normal form."""
    host, colon, port = authority.rpartition(b":")
    if colon and not authority.endswith(b"]"):
        if port and not port.isdigit():
            return None
        authority = host
    if b":" in authority and not authority.startswith(b"["):
        return None
    return nameIn(authority)


@implementer(IInspector)
@final
class _HTTP:
    name = "http"
    help = "HTTP: method and host of the first request"
    fromClient = bytes(sorted(_TOKEN)) + b"\r\n"
    fromServer = b""

    def begin(self, client: bool) -> Look:
        """As L{IInspector.begin}."""
        return _Looking()


inspector = _HTTP()
