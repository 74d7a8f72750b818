"""
The two halves of a relay's connection, each in one of four states.

Each direction of a connection ends by itself (RFC 9293 section 3.6), and its end is
passed on behind the last octet that came before it. OpenSSH keeps the same two
machines for each of its channels (nchan.c).
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Protocol, Self

from socksgw.relay.seams import Allowance
from socksgw.relay.settings import RelaySettings

__all__ = ["Half", "HalfRelay", "Input", "Output"]


class Input(Enum):
    """
    The half that the peer sends on.

    C{OPEN} → C{DRAINING} → C{ENDED}, or C{OPEN} → C{ENDED}; from each C{LOST}.
    """

    #: Octets may come.
    OPEN = "open"
    #: The peer has ended its side. Octets that came before wait for the other
    #: connection, or for an allowance.
    DRAINING = "draining"
    #: The peer has ended its side, and all that came is passed on.
    ENDED = "ended"
    #: Nothing that comes is passed on any more: this connection failed, or the
    #: other one.
    LOST = "lost"


class Output(Enum):
    """
    The half that is written to.

    C{OPEN} → C{DRAINING} → C{ENDED}, or C{OPEN} → C{ENDED}; from each C{LOST}.
    """

    #: Octets may go.
    OPEN = "open"
    #: Our side ends when the transport has sent what it keeps.
    DRAINING = "draining"
    #: Our side has ended: the peer is told that nothing follows.
    ENDED = "ended"
    #: The connection failed, or is closed.
    LOST = "lost"


#: Under names of the module: Python 3.11 finds a member of an enumeration by a call.
_INPUT_DRAINING: Final = Input.DRAINING
_INPUT_ENDED: Final = Input.ENDED
_INPUT_OPEN: Final = Input.OPEN
_OUTPUT_LOST: Final = Output.LOST
_OUTPUT_OPEN: Final = Output.OPEN


class HalfRelay(Protocol):
    """What a connection's halves need of their relay."""

    @property
    def settings(self) -> RelaySettings:
        """What the relays of a generation share."""

    def finish(self, reason: str) -> None:
        """End the relay, for a fixed word."""

    def lost(self, half: Any) -> None:
        """Take note that a connection failed, and that all it brought is passed on."""


class Half:
    """
    One of the two connections of a relay, and the direction that starts at it.

    @ivar other: the other one.
    @ivar relay: the relay of both.
    @ivar input: the state of what comes from the peer.
    @ivar output: the state of what goes to it.
    @ivar moved: octets handed to the other connection.
    @ivar allowance: what bounds this direction; L{None} for nothing.
    """

    __slots__ = ("allowance", "input", "moved", "other", "output", "relay")

    other: Self
    relay: HalfRelay

    def __init__(self, relay: HalfRelay) -> None:
        self.relay = relay
        self.moved = 0
        self.allowance: Allowance | None = None
        self.input = _INPUT_OPEN
        self.output = _OUTPUT_OPEN

    def limit(self, allowance: Allowance | None) -> None:
        """Bound this direction by another allowance from now on."""
        was, self.allowance = self.allowance, allowance
        if was is not None and was.forget() is not None:
            self.paced()

    @property
    def delayed(self) -> bool:
        """Whether its rate keeps back what there is to move."""
        return self.allowance is not None and self.allowance.delaying

    def paced(self) -> None:
        """Move on: the allowance that was waited for has room again."""
        raise NotImplementedError

    def end(self, held: bool) -> None:
        """
        Take note that the peer has ended its side, and pass that on.

        @param held: whether octets that came before still wait here. L{drained} is
            called when they do no longer.
        """
        if held:
            self.input = _INPUT_DRAINING
            return
        self.input = _INPUT_ENDED
        other = self.other
        if self.output is _OUTPUT_LOST:
            self.relay.lost(self)
        elif other.input is _INPUT_ENDED:
            # Both directions are done: closing tells the rest.
            self.relay.finish("closed")
        elif other.output is _OUTPUT_OPEN:
            other.endOutput()

    def drained(self) -> None:
        """Take note that everything that came is passed on: so is the end now."""
        if self.input is _INPUT_DRAINING:
            self.end(held=False)

    def endOutput(self) -> None:
        """
        End our side, behind what was written.

        It is called once, when the input of the other connection has ended.
        """
        raise NotImplementedError
