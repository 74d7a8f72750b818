"""
The end of one client's connection: in order, after a refusal, or at once.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from socksgw.accept.requests import Phase, Requests
from socksgw.errors import HandshakeTimedOut, SocksError
from socksgw.wire.server import State

__all__ = ["Ending"]

#: Seconds that an orderly end may take whose last octets nobody reads.
_CLOSING: Final = 300.0
#: Seconds, and octets, that a refused client may go on sending.
_LINGER: Final = 2.0
_LINGER_OCTETS: Final = 1 << 20

_OPEN, _FINISHING, _CLOSED_SOON, _GONE = Phase


class Ending(Requests):
    """
    The part of L{socksgw.accept.inbound.Inbound} that ends its connection.

    It has no constructor: its attributes are set when our side ends.
    """

    __slots__ = ("_lingering", "_patient")

    # Octets that are still thrown away, once our side has ended.
    _lingering: int
    # Whether a client that goes on sending then is given the time to read the answer.
    _patient: bool

    def finish(self, patient: bool = False) -> None:
        """
        Close so that what was sent arrives.

        Our side ends, what still comes is read for a moment, and then the
        connection is closed. Closing it at once with input unread would send a
        reset, which destroys a reply in flight.

        @param patient: whether a client that sends much has the whole moment to look
            for the answer: no more than a part is read of it.
        """
        self._serving = None
        if self._phase is _GONE:
            return
        if self.ended:
            self.close()
            return
        self._patient, self._lingering = patient, _LINGER_OCTETS
        self._phase = _FINISHING
        self._drop()
        self._disarm()
        connection = self.connection
        if connection.halfCloses:
            self._deadline = self.listener.setDeadline(_LINGER, self.close)
            connection.loseWriteConnection()
        else:
            # Ends our side; it waits for the client to end its own.
            self._deadline = self.listener.setDeadline(_LINGER, self.abort)
            connection.loseConnection()
        connection.resumeProducing()

    def close(self, cut: bool = False) -> None:
        """
        Close, after what the connection still holds is sent.

        @param cut: close so that the client does not take it for the orderly end,
            where the connection can tell the two apart.
        """
        self._serving = None
        phase = self._phase
        if phase is _GONE:
            return
        if phase is _OPEN:
            self._lingering = _LINGER_OCTETS
        connection = self.connection
        self._phase = _CLOSED_SOON
        if self._conversation is not None:
            self._drop()
        if not self.ended and connection.plain is None:
            # TLS waits for the client's close_notify, which has to be read. What is
            # read instead is bounded by _LINGER_OCTETS.
            connection.resumeProducing()
        if cut:
            connection.cut()
        else:
            connection.loseConnection()
        if self._phase is not _GONE:
            self._disarm()
            # A client that made no request has been sent little: an alert of
            # TLS, say.
            patience = _LINGER if self.halfOpen else _CLOSING
            self._deadline = self.listener.setDeadline(patience, self.abort)

    def abort(self) -> None:
        """
        Close with a reset.
        """
        self._serving = None
        if self._phase is not _GONE:
            self.connection.abortConnection()

    def end(self, failure: SocksError) -> None:
        """
        End the client, whatever it is doing. A reply of its session still arrives.

        @param failure: why, for the record.
        """
        self._fail(failure)
        replying = self._phase is _FINISHING
        if not replying or self.conversation.state is not State.REPLIED:
            self.abort()

    def _discard(self, octets: int) -> None:
        """Take note of octets that come after our side has ended: nobody reads them."""
        if self._phase is _GONE:
            return
        self._lingering -= octets
        if self._lingering <= 0:
            if self._phase is _FINISHING and self._patient:
                self.connection.pauseProducing()
            else:
                self.abort()

    def _expired(self) -> None:
        failure = HandshakeTimedOut("no request came in time")
        if self._serving is None or self.conversation.dialect.late is None:
            self.end(failure)
            return
        # Its session records it, tells the client, and closes.
        self._deadline = self.listener.setDeadline(_LINGER, partial(self.end, failure))
        self._fail(failure)

    def _fail(self, failure: SocksError) -> None:
        if self.failure is None:
            self.failure = failure
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
