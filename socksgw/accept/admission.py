"""
How many may be in: clients that have not made their request yet, in all and
by source, and connections that the process has descriptors for.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final, final

from socksgw.sockets import tellOnce
from socksgw.wire.address import Address

__all__ = ["Admission", "Census", "raiseDescriptorLimit"]

#: Descriptors kept for the journal, look-ups, configuration and the reactor.
_RESERVED: Final = 64
#: The limit of most systems, where it cannot be asked for.
_USUAL: Final = 1024


def raiseDescriptorLimit() -> int:
    """
    Raise the soft limit on descriptors to the hard one.

    @return: the limit now in force.
    """
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError as e:
        tellOnce("getrlimit(2)", e, f"{_USUAL} descriptors are taken for the limit")
        return _USUAL
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except OSError as e:
            tellOnce("setrlimit(2)", e, f"{soft} descriptors are all there are")
            hard = soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 30


@final
class Census:
    """
    The connections of the whole gateway, against its descriptors.

    Each client counts twice, for its own connection and the one it asks for.
    At the high-water mark every listener pauses (what waits then stays in
    the kernel's backlog, unharmed); when clients have left they go on.

    @ivar clients: connected clients.
    @ivar most: most clients that the descriptors allow.
    @ivar pauses: how often the mark was reached.
    @ivar refused: connections closed at once because of a limit.
    """

    def __init__(self, descriptors: int) -> None:
        """
        @param descriptors: the process's limit on descriptors.
        """
        reserved = min(_RESERVED, descriptors // 4)
        self.most = max(1, (descriptors - reserved) // 2)
        self._slack = min(32, self.most // 4)
        self.clients = 0
        self.pauses = 0
        self.refused = 0
        self.paused = False
        self.pause: Callable[[], None] = lambda: None
        self.resume: Callable[[], None] = lambda: None

    def entered(self) -> bool:
        """
        A client came.

        @return: whether there is room for it.
        """
        if self.clients >= self.most:
            self.refused += 1
            return False
        self.clients += 1
        if not self.paused and self.clients >= self.most - self._slack:
            self.exhausted()
        return True

    def left(self) -> None:
        """
        A client went.
        """
        self.clients -= 1
        if self.paused and self.clients < self.most - 2 * self._slack:
            self.recovered()

    def exhausted(self) -> None:
        """
        Pause every listener.
        """
        if not self.paused:
            self.paused = True
            self.pauses += 1
            self.pause()

    def recovered(self) -> None:
        """
        Let every listener go on.
        """
        if self.paused:
            self.paused = False
            self.resume()


@final
class Admission:
    """
    The half-open clients of one listener.

    @ivar halfOpen: how many there are.
    """

    __slots__ = ("_bySource", "_most", "_mostPerSource", "census", "halfOpen")

    def __init__(self, census: Census, most: int, mostPerSource: int) -> None:
        self.census = census
        self.limit(most, mostPerSource)
        self._bySource: dict[bytes, int] = {}
        self.halfOpen = 0

    def limit(self, most: int, mostPerSource: int) -> None:
        """
        How many there may be from now on.
        """
        self._most = most
        self._mostPerSource = mostPerSource

    def admit(self, source: Address) -> bool:
        """
        A client came; count it if it may stay.
        """
        bySource = self._bySource
        key = source.packed
        count = bySource.get(key, 0)
        if self.halfOpen >= self._most or count >= self._mostPerSource:
            self.census.refused += 1
            return False
        if not self.census.entered():
            return False
        bySource[key] = count + 1
        self.halfOpen += 1
        return True

    def requested(self, source: Address) -> None:
        """
        A client is no longer half-open: it made its request, or went.
        """
        key = source.packed
        count = self._bySource[key] - 1
        if count:
            self._bySource[key] = count
        else:
            del self._bySource[key]
        self.halfOpen -= 1
