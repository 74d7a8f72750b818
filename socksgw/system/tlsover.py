"""
The connection to a server through TLS, over any other connection.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionAborted
from twisted.python.failure import Failure

from socksgw.system.above import Above
from socksgw.system.assertionkeys import bindingOf
from socksgw.system.connection import Connection
from socksgw.system.coroutines import Awaited
from socksgw.system.halves import Outgoing
from socksgw.system.tls import AT_ONCE, Stream
from socksgw.system.tlsfailed import TLSCut, TLSFailed
from socksgw.system.tlsname import PeerName, PeerRefused
from socksgw.system.tlssession import TLSSession, sessionOf
from socksgw.wire.levels import CONFIDENTIALITY

__all__ = ["TLSCut", "TLSFailed", "TLSOver"]

_WRITABLE: Final = Outgoing.OPEN
_ENDED: Final = Outgoing.ENDED
_CLOSING: Final = Outgoing.CLOSING
_BROKEN: Final = Outgoing.BROKEN

#: What OpenSSL calls some failures, and what to do.
_REMEDIES: Final = {
    "certificate required": "it wants a client certificate; configure one",
    "what came is no record of TLS": "it does not speak TLS; is this its TLS port?",
}


@final
class TLSOver(Above):
    """
    A L{Connection} through TLS, above another one whose receiver it is.

    Each side's end is its own (close_notify, RFC 8446 section 6.1), whatever the
    connection below can do. One that ends without it was cut off, and is told as lost,
    never as ended.

    @ivar shown: whether the server has asked for our certificate, and has seen it.
    """

    halfCloses: Final = True
    secured: Final = CONFIDENTIALITY
    atOnce: Final = 1 << 16

    def __init__(self, below: Connection, stream: Stream) -> None:
        """@param stream: of a client, before its handshake."""
        super().__init__(below)
        self._stream: Stream | None = stream
        self._opening: Awaited[None] | None = None
        self._outgoing = _WRITABLE
        #: What came before anybody took it: no more than was read at once.
        self._held = b""
        self._reading = False
        #: Whether the server's end has been told.
        self._told = False
        self._lost: Failure | None = None
        self.shown = False

    @property
    def tls(self) -> TLSSession | None:
        """As L{Connection.tls}."""
        stream = self._stream
        return None if stream is None else sessionOf(stream.connection)

    @property
    def binding(self) -> bytes:
        """What only the two ends of this connection know (RFC 9266)."""
        assert self._stream is not None
        return bindingOf(self._stream.connection)

    # The handshake.

    async def open(self, name: PeerName) -> None:
        """
        Shake hands.

        @param name: what the server has to prove.
            Its stream's connection has a L{Handshake<socksgw.system.tlsname.Handshake>}
            as app data.
        @raise TLSFailed: it did not work; the connection is closed.
        @raise ConnectError: there was no connection (TCP Fast Open), or no way any more.
        """
        stream = self._stream
        assert stream is not None
        handshake = stream.connection.get_app_data()
        opening: Awaited[None] = Awaited(lambda _: self._giveUp())
        self._opening = opening
        try:
            self._below.take(self)
            self._below.write(stream.begin())
            await opening
            name.confirm(stream.connection)
        except PeerRefused as e:
            self._below.abortConnection()
            raise TLSFailed(str(e)) from None
        except TLSFailed as e:
            refusal = handshake.refusal
            why = str(PeerRefused(refusal)) if refusal else e.why
            raise type(e)(why) from None
        finally:
            self._opening = None
        self.shown = handshake.shown

    def _giveUp(self) -> None:
        """Close: nobody waits for the handshake any more."""
        self._opening = self._stream = None
        self._below.abortConnection()

    def _shake(self, stream: Stream, data: bytes | memoryview) -> None:
        """Go on with the handshake."""
        opening = self._opening
        assert opening is not None
        self._held += stream.receive(data)
        error = stream.failure
        octets = stream.outgoing()
        if octets:
            # An alert, too, is to arrive.
            self._below.write(octets)
        if error is not None:
            self._stream = None
            self._below.cut()
            _fail(opening, TLSFailed(f"its TLS failed: {_words(error)}"))
        elif stream.established:
            self._below.pauseProducing()
            if not opening.called:
                opening.callback(None)

    # The receiver of what is below.

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Open records, and hand on what they hold."""
        stream = self._stream
        if stream is None:
            return
        if not stream.established:
            self._shake(stream, data)
            return
        octets = stream.receive(data)
        if not octets or stream.failure is not None:
            # An answer to what was no data: a change of keys, an alert.
            answer = stream.outgoing()
            if answer:
                self._below.write(answer)
        if octets and self.receiver is None:
            self._held += octets
        elif octets:
            self.receiver.dataReceived(octets)
        if self._stream is not stream:
            return
        if stream.failure is not None:
            self._fail(TLSFailed(f"its TLS failed: {_words(stream.failure)}"))
        elif stream.ended:
            # What follows, whatever it is, is not read.
            self._below.pauseProducing()
            if self._reading:
                # Else it is for whoever reads next.
                self._tellEnd()

    def _tellEnd(self) -> None:
        if not self._told and self.receiver is not None:
            self._told = True
            self.receiver.readConnectionLost()

    def readConnectionLost(self) -> None:
        """Take note that nothing comes any more from below: only TLS ends in order."""
        stream = self._stream
        if stream is not None and not stream.ended:
            self._fail(TLSCut("it cut the connection off, without the end of TLS"))

    def departed(self) -> None:
        """As L{Receiver.departed}."""
        stream = self._stream
        if self.receiver is not None and stream is not None and not stream.ended:
            self.receiver.departed()

    def _fail(self, error: TLSFailed) -> None:
        """End the connection, which cannot go on."""
        self._stream = None
        self._below.abortConnection()
        self._gone(Failure(error))

    def connectionLost(self, reason: Failure) -> None:
        """As L{Receiver.connectionLost}."""
        stream, self._stream = self._stream, None
        if (
            stream is not None
            and not stream.ended
            and self._outgoing is not _CLOSING
            and not reason.check(ConnectionAborted, ConnectError)
        ):
            reason = Failure(TLSCut("it closed the connection, without TLS's end"))
        if stream is not None:
            if stream.ended:
                self._tellEnd()
            self._gone(reason)

    def _gone(self, reason: Failure) -> None:
        self._outgoing = _BROKEN
        if self._opening is not None:
            _fail(self._opening, reason.value)
        elif self.receiver is None:
            self._lost = reason
        else:
            super().connectionLost(reason)

    # The connection of what is above.

    def pauseProducing(self) -> None:
        """As L{Connection.pauseProducing}."""
        self._reading = False
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """As L{Connection.resumeProducing}."""
        if self._lost is not None:
            lost, self._lost = self._lost, None
            super().connectionLost(lost)
            return
        self._reading = True
        held, self._held = self._held, b""
        if held:
            self.receiver.dataReceived(held)
        stream = self._stream
        if stream is None or not self._reading:
            return
        if stream.ended:
            self._tellEnd()
        else:
            self._below.resumeProducing()

    def write(self, data: bytes | memoryview) -> None:
        """Send octets, sealed."""
        stream = self._stream
        if stream is None or self._outgoing is not _WRITABLE or not data:
            return
        view, below = memoryview(data), self._below
        try:
            for start in range(0, len(view), AT_ONCE):
                # Each part is sent as it was sealed: joined they would be copied.
                below.write(stream.send(view[start : start + AT_ONCE]))
        except SSL.Error as e:
            self._fail(TLSFailed(f"its TLS failed: {_words(e)}"))

    def _end(self) -> None:
        """Send our side's end, once."""
        if self._stream is not None and self._outgoing is _WRITABLE:
            self._outgoing = _ENDED
            with suppress(SSL.Error):
                self._below.write(self._stream.end())

    def loseWriteConnection(self) -> None:
        """As L{Connection.loseWriteConnection}: what is below stays open."""
        self._end()

    def loseConnection(self) -> None:
        """As L{Connection.loseConnection}."""
        self._end()
        self._outgoing = _CLOSING
        self._below.loseConnection()

    def cut(self) -> None:
        """
        Close after what was written, without a close_notify.

        What has ended in order cannot be cut off any more.
        """
        ended = self._outgoing is _ENDED
        self._outgoing = _CLOSING
        if ended:
            self._below.loseConnection()
        else:
            self._below.cut()


def _fail(opening: Awaited[None], error: BaseException | None) -> None:
    if not opening.called:
        opening.errback(error)


def _words(error: SSL.Error) -> str:
    """Return what OpenSSL says, in one line, with a remedy where there is one."""
    lines = [each[-1] for each in error.args[0]] if error.args else []
    words = "; ".join(filter(None, lines)) or "no reason given"
    for part, remedy in _REMEDIES.items():
        if part in words:
            return remedy
    return words
