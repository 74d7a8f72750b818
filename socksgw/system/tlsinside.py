"""
TLS inside SOCKS after its handshake, of either end (draft-ietf-aft-socks-ssl-00).
"""

from __future__ import annotations

from typing import final

from socksgw.system.tls import Stream
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.reader import WireError
from socksgw.wire.tls import Records, State, encodeRecords

__all__ = ["Secured"]


@final
class Secured:
    """
    TLS between the octets of SOCKS and the wire, after the handshake.

    It is a L{socksgw.wire.protection.StreamProtection}.

    @ivar naked: whether datagrams go unprotected beside it (UDP-Naked).
    """

    level = CONFIDENTIALITY

    __slots__ = ("_least", "_over", "_records", "_stream", "naked")

    def __init__(self, stream: Stream, least: State = State.HANDSHAKE) -> None:
        """
        Take TLS whose handshake is done.

        @param least: the STATE of what we send, until the peer has come further. A
            server follows the client; a client says by C{DATA} that its login is over.
        """
        self._stream = stream
        self._least = least
        self._records = Records(State.HANDSHAKE)
        #: Nothing can be said any more.
        self._over = False
        self.naked = False

    def unwrap(self, octets: bytes | memoryview) -> bytes:
        """Octets came."""
        stream = self._stream
        try:
            data = stream.receive(self._records.receive(bytes(octets)))
        except WireError:
            self._over = True
            raise
        if stream.failure is not None:
            self._over = True
            raise WireError("what came is not the peer's TLS") from None
        return data

    def wrap(self, octets: bytes) -> bytes:
        """Return what to send: nothing once our side has ended, or TLS failed."""
        if self._over:
            return b""
        # Of the state that the peer has come to.
        state = max(self._least, min(self._records.state, State.DATA))
        return encodeRecords(state, self._stream.send(octets))

    def close(self) -> bytes:
        """Return the orderly end of our side ("Orderly closure")."""
        if self._over:
            return b""
        self._over = True
        return encodeRecords(State.CLOSING, self._stream.end())

    def unwrapDatagram(self, octets: bytes) -> bytes:
        """As it is."""
        return octets

    def wrapDatagram(self, octets: bytes) -> bytes:
        """As it is."""
        return octets
