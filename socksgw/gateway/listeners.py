"""
All listeners of a gateway, and their ports: opened, changed while they serve,
paused, closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.endpoints import (
    isMissingFamily,
    isTaken,
    listenOnAddress,
    listenOnEndpoint,
    remedyFor,
)
from socksgw.accept.listener import Listener, Service
from socksgw.config.listening import parseListenAddress
from socksgw.config.schema import Listen
from socksgw.system.watch import Watcher

__all__ = ["CannotStart", "Listeners"]

#: A listener's name, and the address or endpoint.
Place = tuple[str, str]


class CannotStart(Exception):
    """
    The gateway cannot start, or not go on as it is told to; the text is for the
    operator, a line a cause.

    @ivar taken: the port on which another socket listens already; 0 for none.
    """

    def __init__(self, text: str, taken: int = 0) -> None:
        super().__init__(text)
        self.taken = taken


def _places(listens: Sequence[Listen]) -> list[Place]:
    return [(listen.name, place) for listen in listens for place in listen.places]


def _portOf(where: str) -> int:
    """Return the port of an address; 0 for any, and for endpoints."""
    try:
        return parseListenAddress(where)[1]
    except ValueError:
        return 0


@final
class Listeners:
    """
    Where clients come in.

    @ivar byName: the listeners, also those that are open no longer and still
        have clients.
    """

    def __init__(
        self,
        service: Service,
        reactor: Any,
        watch: Watcher,
        exhausted: Callable[[], None],
    ) -> None:
        """
        @param exhausted: called when there is no descriptor for a client.
        """
        self._service = service
        self._reactor = reactor
        self._watch = watch
        self._exhausted = exhausted
        self.byName: dict[str, Listener] = {}
        self._ports: dict[Place, Any] = {}

    def prepare(
        self,
        listens: Sequence[Listen],
        handshake: float,
        secured: Mapping[str, ServerTLS],
    ) -> None:
        """
        Have a listener for each name, with what the configuration says of it.

        @param handshake: seconds from accept to request.
        @param secured: the TLS of those listeners that have it.
        """
        for listen in listens:
            listener = self.byName.get(listen.name)
            if listener is None:
                listener = Listener(self._service, listen.name)
                self.byName[listen.name] = listener
            listener.configure(
                listen.protocols,
                listen.half_open,
                listen.half_open_per_source,
                handshake,
                secured.get(listen.name),
            )

    def open(self, listens: Sequence[Listen], lenient: bool) -> list[str]:
        """
        Listen everywhere.

        @param lenient: whether IPv6's loopback may be missing.
        @return: what was left out and why, a line each.
        @raise CannotStart: some listener cannot be had.
        """
        skipped: list[str] = []
        for place in _places(listens):
            self._open(place, skipped if lenient else None)
        return skipped

    def change(self, listens: Sequence[Listen]) -> None:
        """
        Listen elsewhere; what stays is not touched, and nothing changes when
        something new cannot be had.

        @raise CannotStart: some listener cannot be had. An endpoint's plug-in
            may raise anything else; the effect is the same.
        """
        wanted = _places(listens)
        gone = [place for place in self._ports if place not in wanted]
        new = [place for place in wanted if place not in self._ports]
        renamed = self._renamed(gone, new)
        gone = [place for place in gone if place not in renamed]
        new = [place for place in new if place not in renamed.values()]
        try:
            self._openAll(new)
        except CannotStart as e:
            if e.taken not in {_portOf(where) for _, where in gone} - {0}:
                raise
            # What goes may be in the way of what comes.
            self._closeAll(gone)
            try:
                self._openAll(new)
            except Exception:
                self._openAll(gone)
                raise
        else:
            self._closeAll(gone)
        for before, after in renamed.items():
            port = self._ports[after] = self._ports.pop(before)
            self.byName[before[0]].leaving += 1
            port.handTo(self.byName[after[0]])

    def _renamed(
        self, gone: Sequence[Place], new: Sequence[Place]
    ) -> dict[Place, Place]:
        """
        Return which addresses only get another listener: they stay open.
        """
        found: dict[Place, Place] = {}
        left = {where: (name, where) for name, where in new}
        for place in gone:
            if hasattr(self._ports[place], "handTo") and place[1] in left:
                found[place] = left.pop(place[1])
        return found

    def _openAll(self, places: Sequence[Place]) -> None:
        opened: list[Place] = []
        try:
            for place in places:
                self._open(place, None)
                opened.append(place)
        except Exception:
            self._closeAll(opened)
            raise

    def _closeAll(self, places: Sequence[Place]) -> None:
        for place in places:
            self.byName[place[0]].leaving += 1
            maybeDeferred(self._ports.pop(place).stopListening)

    def _open(self, place: Place, skipped: list[str] | None) -> None:
        name, where = place
        listener = self.byName[name]
        try:
            port: Any = listenOnAddress(
                self._reactor, where, listener, self._exhausted, self._watch
            )
        except ValueError:
            self._openEndpoint(place, listener)
        except (CannotListenError, OSError) as e:
            line = remedyFor(where, e)
            if skipped is None or not isMissingFamily(where, e):
                taken = _portOf(where) if isTaken(e) else 0
                raise CannotStart(line, taken) from None
            skipped.append(f"left out: {line}")
        else:
            self._ports[place] = port

    def _openEndpoint(self, place: Place, listener: Listener) -> None:
        endpoint = place[1]
        failures: list[str] = []

        def opened(port: Any) -> None:
            self._ports[place] = port

        def failed(failure: Failure) -> None:
            failures.append(remedyFor(endpoint, failure.value))

        try:
            listening = listenOnEndpoint(self._reactor, endpoint, listener, self._watch)
        except ValueError as e:
            raise CannotStart(f"endpoint {endpoint}: {e}") from None
        listening.addCallbacks(opened, failed)
        if failures:
            raise CannotStart(failures[0])

    def bound(self) -> Iterator[tuple[str, int]]:
        """Yield where we listen: addresses and ports."""
        for port in self._ports.values():
            host: Any = port.getHost()
            if hasattr(host, "host"):
                # A link-local address has its interface behind it.
                yield host.host.partition("%")[0], host.port

    def pause(self) -> None:
        """Accept no connections for the time being."""
        for port in self._ports.values():
            port.stopReading()

    def resume(self) -> None:
        """Go on accepting."""
        for port in self._ports.values():
            port.startReading()

    def close(self) -> None:
        """Listen nowhere."""
        self._closeAll(list(self._ports))
