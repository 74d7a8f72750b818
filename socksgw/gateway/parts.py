"""
Parts of a running gateway beside its sessions: what it serves, and what follows it.

Each is one object that the gateway tells of its life (L{Part}): a reload, the start,
the end. A new one is joined by C{Gateway.adjoin}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import Logger

from socksgw.config.schema import Config
from socksgw.gateway.starting import CannotStart
from socksgw.system.upkeep import Upkeep

__all__ = ["Part", "Parts", "Ports"]

_log = Logger()


class Part:
    """
    One part; a real one overrides what it needs.

    @cvar named: what it is, for the log.
    @cvar alone: whether only one process may have it at a time.
    """

    named = "a part of the gateway"
    alone = False

    def change(self, config: Config) -> None:
        """
        Be as a configuration wants it.

        It is called before the first session, while the process may still have the
        rights of root, and then at each reload.

        @raise CannotStart: that is not possible. Nothing has changed then.
        """

    def start(self) -> None:
        """
        Begin: the journal is open, and the process has the rights that it keeps.

        @raise CannotStart: that is not possible.
        """

    def look(self) -> None:
        """Do what is due; this is called once a second."""

    def draining(self) -> None:
        """Take note that the gateway stops: it accepts no client any more."""

    def close(self) -> Deferred[Any] | None:
        """
        End: all sessions are over, and the journal is closed.

        @return: fires when it has ended; L{None} where it has.
        """
        return None

    def leave(self) -> Deferred[Any] | None:
        """
        End, where it is L{alone}: another process has it from then on.

        @return: fires when that may begin; L{None} for now.
        """
        return self.close()


@final
class Parts:
    """The parts of a gateway, in the order in which they were joined."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._absent: list[Part] = []
        self._upkeep = Upkeep()

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def adjoin(self, part: Part) -> None:
        """Add a part."""
        self._parts.append(part)

    def change(self, config: Config, before: Config) -> None:
        """
        Have all be as a configuration wants them.

        @param before: the one in force.
        @raise CannotStart: one cannot. All are as before then.
        """
        done: list[Part] = []
        try:
            for part in self._parts:
                done.append(part)
                part.change(config)
        except BaseException:
            # The one that failed has not changed.
            for part in done[:-1]:
                with suppress(CannotStart):
                    part.change(before)
            raise

    def await_(self) -> None:
        """Do without the parts that another process has, until L{arrive}."""
        self._absent = [each for each in self._parts if each.alone]
        self._parts = [each for each in self._parts if not each.alone]

    def arrive(self, config: Config) -> None:
        """
        Begin with the parts that another process had.

        @raise CannotStart: one of them cannot begin. It and those behind it have not.
        """
        while self._absent:
            part = self._absent[0]
            part.change(config)
            part.start()
            self._parts.append(self._absent.pop(0))

    def leave(self) -> Deferred[Any]:
        """
        Leave the parts that only one process may have to another one.

        @return: fires when they have ended; never fails.
        """
        leaving = []
        for part in [each for each in reversed(self._parts) if each.alone]:
            self._parts.remove(part)
            left = maybeDeferred(part.leave)
            left.addErrback(partial(_failed, part.named))
            leaving.append(left)
        return gatherResults(leaving)

    def start(self) -> None:
        """
        Start all.

        @raise CannotStart: one cannot be started.
        """
        for part in self._parts:
            part.start()

    def look(self) -> None:
        """Have each do what is due. It never raises."""
        for part in self._parts:
            self._upkeep.do(part.named, part.look)

    def draining(self) -> None:
        """Tell all that the gateway accepts no client any more."""
        for part in self._parts:
            self._upkeep.do(part.named, part.draining)

    def close(self) -> Deferred[Any]:
        """
        End all, the last one first.

        @return: fires when all have ended; never fails.
        """
        closing = []
        for part in reversed(self._parts):
            ended = maybeDeferred(part.close)
            ended.addErrback(partial(_failed, part.named))
            closing.append(ended)
        return gatherResults(closing)


def _failed(named: str, failure: Any) -> None:
    _log.failure("{named} could not be ended", failure, named=named)


@final
class Ports:
    """The ports of a part, which are changed all together or not at all."""

    def __init__(self, listen: Callable[[str], Any]) -> None:
        """
        Begin with none.

        @param listen: listens at one address and returns the port; raises
            L{CannotStart}.
        """
        self._listen = listen
        self._ports: dict[str, Any] = {}

    def change(self, addresses: Sequence[str]) -> None:
        """
        Listen at these addresses, and at no others.

        @raise CannotStart: one of them cannot be listened on. Nothing has changed then.
        """
        opened: dict[str, Any] = {}
        try:
            for text in addresses:
                if text not in self._ports:
                    opened[text] = self._listen(text)
        except BaseException:
            for port in opened.values():
                maybeDeferred(port.stopListening)
            raise
        for text in [each for each in self._ports if each not in addresses]:
            maybeDeferred(self._ports.pop(text).stopListening)
        self._ports |= opened

    def bound(self) -> list[tuple[str, int]]:
        """Return the addresses and ports that are open, not those of Unix sockets."""
        hosts = [port.getHost() for port in self._ports.values()]
        return [
            (each.host, each.port)
            for each in hosts
            if isinstance(each, (IPv4Address, IPv6Address))
        ]
