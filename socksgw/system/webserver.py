"""
HTTP for few clients, bounded in everything that a client can ask of memory and time.

A connection has one request. HTTP/1.1 alone is spoken. Importing this imports
Twisted's web server, which takes long: import it where it is needed.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

__all__ = ["BoundedChannel", "BoundedRequest", "BoundedSite"]

#: Seconds that a client may take to ask and to read the answer.
PATIENCE: Final = 15
#: Octets of a request line and its header, and fields of it.
_HEAD: Final = 8192
_FIELDS: Final = 64


class BoundedChannel(HTTPChannel):
    """
    One request of one client.

    What comes behind it is not read: many requests at once, whose answers nobody takes,
    would fill the memory.

    @ivar asked: whether the request has come as a whole.
    @ivar streaming: whether the answer has no end.
    """

    maxHeaders = _FIELDS
    totalHeadersSize = _HEAD
    MAX_LENGTH = _HEAD
    site: BoundedSite
    asked = streaming = False
    _end: Any = None

    def connectionMade(self) -> None:
        """As C{HTTPChannel.connectionMade}."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.channels[self] = None
        self.patience(PATIENCE)

    def patience(self, seconds: float | None) -> None:
        """
        Cut the client off in so many seconds from now, and not before.

        @param seconds: L{None} for never.
        """
        if self._end is not None and self._end.active():
            self._end.cancel()
        if seconds is not None:
            self._end = self.callLater(seconds, self.cut)  # type: ignore[no-untyped-call]

    def cut(self) -> None:
        """Cut the client off."""
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """As C{HTTPChannel.connectionLost}."""
        self.site.channels.pop(self, None)
        self.patience(None)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """As C{HTTPChannel.checkPersistence}."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False

    def allContentReceived(self) -> None:
        """As C{HTTPChannel.allContentReceived}."""
        self.asked = True
        super().allContentReceived()  # type: ignore[no-untyped-call]


class BoundedRequest(Request):
    """
    A request whose content is held in memory as far as it may be, and in no file.

    @cvar mostContent: octets that are kept; what is more is thrown away.
    @ivar overlong: whether there were more.
    """

    mostContent = 0
    overlong = False

    def gotLength(self, length: int | None) -> None:
        """As C{Request.gotLength}."""
        self.content = BytesIO()
        self.overlong = length is not None and length > self.mostContent

    def handleContentChunk(self, data: bytes) -> None:
        """As C{Request.handleContentChunk}."""
        content: Any = self.content
        left = self.mostContent - content.tell()
        self.overlong = self.overlong or len(data) > left
        content.write(data[: max(left, 0)])


class BoundedSite(Site):
    """
    A web server that writes no line for each request, and tells of no defects.

    A client that finds the place full takes that of the one who is asking for the
    longest time: connections that ask nothing keep nobody away.

    @ivar channels: the clients that are served, the oldest first.
    """

    protocol = BoundedChannel  # type: ignore[assignment]
    displayTracebacks = False
    noisy = False

    def __init__(self, resource: Any, requestFactory: Any, most: int) -> None:
        """
        @param most: how many clients are served at a time.
        """
        # The channel sees to the time.
        super().__init__(resource, requestFactory, timeout=None)  # type: ignore[no-untyped-call]
        self.channels: dict[BoundedChannel, None] = {}
        self._most = most

    def buildProtocol(self, addr: Any) -> Any:
        """As C{Site.buildProtocol}; L{None} where all who are served have asked."""
        if len(self.channels) >= self._most:
            idle = next((each for each in self.channels if not each.asked), None)
            if idle is None:
                return None
            del self.channels[idle]
            idle.cut()
        return super().buildProtocol(addr)  # type: ignore[no-untyped-call]

    def log(self, request: Any) -> None:
        """As C{Site.log}."""
