"""
TLS inside SOCKS (draft-ietf-aft-socks-ssl-00): its records, and its options.

A record holds a slice of TLS's stream; the options are agreed on within.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, final

from socksgw.wire.reader import NeedMoreData, Reader, WireError

__all__ = [
    "OPTIONS_LIMIT",
    "RECORD_LIMIT",
    "Option",
    "Record",
    "Records",
    "State",
    "encodeOptions",
    "encodeRecords",
    "readOptions",
    "readRecord",
]

_VERSION: Final = 1
#: Octets of the DATA of one record, at most: LEN has two octets.
_LONGEST: Final = 65535
#: Octets of the longest record.
RECORD_LIMIT: Final = 4 + _LONGEST
#: Octets of the longest list of options.
OPTIONS_LIMIT: Final = 256


class State(IntEnum):
    """STATE ("SSL Record Framing")."""

    HANDSHAKE = 1
    OPTIONS = 2
    DATA = 3
    CLOSING = 4


class Option(IntEnum):
    """What a client and a server can agree on ("SSL specific options")."""

    SUBAUTHENTICATION = 0x01
    UDP_NAKED = 0x10


class Record(NamedTuple):
    """
    One record.

    @ivar data: a slice of TLS's stream.
    """

    state: State
    data: bytes


def readRecord(reader: Reader) -> Record:
    """
    Read a record: VER, STATE, LEN, DATA.

    @raise WireError: VER or STATE is unknown, which is seen as soon as they
        have come.
    """
    if reader.u8() != _VERSION:
        raise WireError("the record of TLS in SOCKS has another version than 1")
    state = reader.u8()
    if not State.HANDSHAKE <= state <= State.CLOSING:
        raise WireError(f"the record of TLS in SOCKS has the unknown state {state}")
    return Record(State(state), reader.take(reader.u16()))


def encodeRecords(state: State, data: bytes) -> bytes:
    """Return as many records as the data takes; none, when there is none."""
    parts = []
    for start in range(0, len(data), _LONGEST):
        part = data[start : start + _LONGEST]
        parts += [bytes((_VERSION, state)), len(part).to_bytes(2, "big"), part]
    return b"".join(parts)


def readOptions(reader: Reader) -> bytes:
    """Read the options of either side: LEN, OPTIONS ("SSL specific options")."""
    return reader.take(reader.u8())


def encodeOptions(options: bytes) -> bytes:
    """Return the options of either side, as L{readOptions} takes them."""
    return bytes((len(options),)) + options


@final
class Records:
    """
    The records of a stream, however it is cut.

    At most one that is not whole is held.

    @ivar state: the latest record's.
    """

    __slots__ = ("_held", "state")

    def __init__(self, state: State) -> None:
        """
        @param state: what the stream is in already.
        """
        self.state = state
        self._held = bytearray()

    def receive(self, octets: bytes) -> bytes:
        """
        Take octets of the stream.

        @return: the DATA of the records that are whole now.
        @raise WireError: they are no record, or one of a state that is over; the
            stream cannot be followed any further.
        """
        held = self._held
        held += octets
        parts = []
        start = 0
        with memoryview(held) as view:
            reader = Reader(view)
            try:
                while start < len(view):
                    record = readRecord(reader)
                    start = reader.position
                    if record.state < self.state:
                        raise WireError("a record of TLS in SOCKS goes back to a state")
                    self.state = record.state
                    parts.append(record.data)
            except NeedMoreData:
                pass
        del held[:start]
        return b"".join(parts)
