"""
What a client needs of other parts of the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from socksgw.accept.admission import Admission
from socksgw.accept.layers import Layer
from socksgw.interfaces import Timer
from socksgw.system.domains import Domain
from socksgw.wire.dialect import Dialect
from socksgw.wire.server import ServerConversation

__all__ = ["Budget", "Keepsake", "Lane", "Listening", "Serving"]


class Budget(Protocol):
    """
    A count of the octets that wait to be taken (L{socksgw.relay.memory.Memory}).
    """

    @property
    def scarce(self) -> bool:
        """Whether so many are held already that one connection shall hold few."""

    def take(self, octets: int) -> None:
        """Count octets that are held from now on."""

    def give(self, octets: int) -> None:
        """Count octets that are held no longer."""


class Serving(Protocol):
    """The session of a client."""

    def cancel(self) -> None:
        """End it."""


class Lane(Protocol):
    """
    What reads the client's messages in the place of its conversation, as they come.

    @ivar listens: whether it waits for one.
    """

    listens: bool

    def heard(self, octets: bytes | memoryview) -> None:
        """Take octets; they are good for this call only."""

    def retell(self, conversation: ServerConversation) -> None:
        """Have the conversation know what was said until now, and answered."""


class Listening(Protocol):
    """What a client needs of its listener."""

    @property
    def name(self) -> str:
        """The name in the configuration."""

    @property
    def dialects(self) -> Mapping[int, Dialect]:
        """What may be spoken, by the first octet of a client."""

    @property
    def domain(self) -> Domain:
        """The routing domain that it is in."""

    @property
    def admission(self) -> Admission:
        """What counts the clients that have not made their request."""

    @property
    def handshake(self) -> float:
        """Seconds from accept to request."""

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds."""

    @property
    def layers(self) -> Sequence[Layer]:
        """What stands between a client's socket and its conversation."""

    @property
    def memory(self) -> Budget:
        """What the octets count in that wait here."""

    @property
    def closing(self) -> bool:
        """Whether its clients may make no further requests."""

    def setDeadline(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call C{call} in so many seconds, unless the timer is cleared."""

    def serve(self, client: Any) -> Serving:
        """Start the session of a client."""

    def opened(self, client: Any) -> None:
        """Take note that a client's connection is ready."""

    def closed(self, client: Any) -> None:
        """Take note that a client's connection is gone."""


class Keepsake(Protocol):
    """What is kept between two requests of a client."""

    def close(self) -> None:
        """Let go of it."""
