"""
TLS over octets in memory, record by record, as a server or as a client.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, final

from OpenSSL import SSL

__all__ = ["AT_ONCE", "RECORD", "Excessive", "Stream"]

#: Octets of application data that one record holds at most (RFC 8446 section
#: 5.1).
RECORD: Final = 1 << 14
#: Octets of a record's header, and of what may follow: TLS 1.2 allows 2 KiB more
#: than the data (RFC 5246 section 6.2.3), TLS 1.3 less.
_HEADER: Final = 5
_LONGEST: Final = RECORD + 2048
#: Octets that are sealed at once: two records.
AT_ONCE: Final = 2 * RECORD
#: Octets that OpenSSL has to send then, at most: also what it had to say about
#: records of the peer before.
_SEALED: Final = AT_ONCE + 4096
#: Content types: from change_cipher_spec to application_data.
_TYPES: Final = range(20, 24)
#: The content type of change_cipher_spec.
_CHANGE: Final = 20
#: Records that a handshake may take: a chain of certificates in fragments of 512
#: octets, the fewest that a client can ask for (RFC 6066 section 4), is of 200.
OPENING: Final = 256
#: Records without application data that may come after the handshake, for each
#: L{_MEANWHILE} octets of data. Clients change their keys after 2^24 records or
#: more (RFC 8446 section 5.5).
EMPTY: Final = 32
_MEANWHILE: Final = 1 << 20


class Excessive(SSL.Error):
    """
    The peer sends more records without application data than TLS has a use for.
    """


@final
class Stream:
    """
    One connection's TLS, over octets in memory.

    OpenSSL is given one record at a time, so that the work that a call does is
    bounded by the octets it is given, and records without application data (key
    updates, fragments of handshake messages, alerts) are counted. OpenSSL alone
    would work off as many of them as the peer can send, in one call.

    @ivar connection: as OpenSSL has it.
    @ivar established: whether the handshake is done.
    @ivar ended: whether the peer has ended its side (close_notify, RFC 8446
        section 6.1).
    @ivar failure: what broke the connection, if anything did; nothing is read
        after that.
    """

    __slots__ = (
        "_closed", "_data", "_header", "_missing", "_records", "connection", "ended",
        "established", "failure",
    )  # fmt: skip

    def __init__(self, connection: SSL.Connection) -> None:
        """
        @param connection: on octets in memory, and told which side it is.
        """
        self.connection = connection
        self.established = False
        self.ended = False
        self.failure: SSL.Error | None = None
        #: What has come of a header, and octets of a record that are to come.
        self._header = b""
        self._missing = 0
        #: Records that brought no data, and octets of data since that counts.
        self._records = 0
        self._data = 0
        #: Whether our side has ended.
        self._closed = False

    def begin(self) -> bytes:
        """
        Begin the handshake, as a client does.

        @return: what is to be sent.
        """
        with suppress(SSL.WantReadError):
            self.connection.do_handshake()
        return self.outgoing()

    def receive(self, octets: bytes | memoryview) -> bytes:
        """
        Take what came from the peer.

        @return: the application data in it. Octets that came with the end of the
            handshake may be among them: whether L{established} has changed is to
            be looked at first.
        """
        parts: list[bytes] = []
        length = len(octets)
        if (
            length >= _HEADER
            and (octets[3] << 8 | octets[4]) + _HEADER == length <= _LONGEST
            and not (self._missing or self._header)
            and octets[1] == 3
            and octets[0] in _TYPES
            and not self.ended
            and self.failure is None
        ):
            # Nearly always one record comes, and is whole.
            self.connection.bio_write(octets)
            self._whole(parts)
        else:
            self._receive(memoryview(octets), parts)
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._data += len(data)
        if self._data >= _MEANWHILE:
            self._data = self._records = 0
        return data

    def _receive(self, view: memoryview, parts: list[bytes]) -> None:
        """Take octets of any number of records."""
        position, length = 0, len(view)
        while position < length and not self.ended and self.failure is None:
            kind = 0 if self._missing or self._header else view[position]
            if not self._missing:
                position += self._begin(view[position : position + _HEADER])
            part = view[position : position + self._missing]
            if part:
                position += len(part)
                self._missing -= len(part)
                self.connection.bio_write(part)
            if not self._missing and not self._header and self.failure is None:
                if kind == _CHANGE and position < length and not self.established:
                    # It says nothing in TLS 1.3, and goes with what is behind it
                    # (RFC 8446 appendix D.4).
                    self._records += 1
                else:
                    self._whole(parts)

    def _begin(self, header: memoryview) -> int:
        """
        Begin a record, or go on with a header of which a part had come.

        @return: how many octets of it were taken. A header that came whole is
            left, to be handed on together with what follows it.
        """
        whole: bytes | memoryview = header
        if self._header or len(header) < _HEADER:
            taken = header[: _HEADER - len(self._header)]
            whole = self._header = self._header + bytes(taken)
            if len(whole) < _HEADER:
                return len(taken)
            self._header = b""
            self.connection.bio_write(whole)
        length = whole[3] << 8 | whole[4]
        if whole[0] not in _TYPES or whole[1] != 3 or length > _LONGEST:
            self.failure = SSL.Error([("", "", "what came is no record of TLS")])
            return 0
        if whole is header:
            self._missing = _HEADER + length
            return 0
        self._missing = length
        return len(taken)

    def _whole(self, parts: list[bytes]) -> None:
        """Have OpenSSL work off a record that is whole."""
        try:
            if self.established:
                parts.append(self.connection.recv(RECORD))
                return
            self.connection.do_handshake()
            self.established = True
            self._records = 0
            return
        except SSL.WantReadError:
            self._records += 1
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as e:
            # Its traceback leads here: a circle.
            self.failure = e.with_traceback(None)
        if self._records > (EMPTY if self.established else OPENING):
            self.failure = Excessive("too many records of TLS without data")

    def send(self, data: bytes | memoryview) -> bytes:
        """
        Seal application data.

        @return: what is to be sent.
        @raise SSL.Error: the connection is broken.
        """
        if len(data) <= AT_ONCE:
            self.connection.send(data)
            return self.connection.bio_read(_SEALED)
        view = memoryview(data)
        # OpenSSL keeps a buffer as large as what it was given at once.
        starts = range(0, len(data), AT_ONCE)
        return b"".join([self.send(view[each : each + AT_ONCE]) for each in starts])

    def end(self) -> bytes:
        """
        End our side, once.

        @return: what is to be sent: the rest, and TLS's word for the end.
        @raise SSL.Error: the connection is broken.
        """
        if not self._closed:
            self._closed = True
            self.connection.shutdown()
        return self.outgoing()

    def outgoing(self) -> bytes:
        """
        Take what OpenSSL has to send of its own accord.

        @return: its part of a handshake, an alert, or nothing.
        """
        # What is not filled has emptied it: no call to be told that.
        parts: list[bytes] = []
        try:
            first = self.connection.bio_read(_SEALED)
            if len(first) < _SEALED:
                return first
            parts.append(first)
            while len(parts[-1]) == _SEALED:
                parts.append(self.connection.bio_read(_SEALED))
        except SSL.WantReadError:
            pass
        return b"".join(parts)
