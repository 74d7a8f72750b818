"""
The two questions about a name, for its addresses of either version.

They are sent by one socket, as the C library sends them. To forge an answer somebody has
to guess no less than where each has a socket (RFC 5452 section 9.2): the port, which
the kernel chooses anew for each name; the number of the question, of which there are two
that have nothing in common; and the question itself has to come back with it.

Nearly always both have plain answers soon, and that is all that is seen to here. Each
question for which anything else happens goes on as one of its own
(L{socksgw.route.asking}).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from secrets import token_bytes
from typing import Final, final

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed, SocksError
from socksgw.interfaces import Timer
from socksgw.route.asking import Asking, Try
from socksgw.route.dnsmessages import (
    ENDS,
    RECORDS,
    TYPES,
    Asked,
    NoSuchName,
)
from socksgw.route.dnstransport import DATAGRAM
from socksgw.route.dnswire import Unusual, addressesIn, nameOctets, questionOctets
from socksgw.route.nameserver import Server, Servers
from socksgw.system.watch import READ
from socksgw.wire.address import Address

__all__ = ["VERSIONS", "Came", "Pair", "lookupError"]

#: That of IPv6 is sent first (RFC 8305 section 3).
VERSIONS: Final = (6, 4)
#: By version: the type, and what stands behind the name in a question.
_KINDS: Final = {v: (TYPES[v], ENDS[TYPES[v]]) for v in VERSIONS}
_ENDS: Final = tuple(end for _, end in _KINDS.values())
_DATAGRAMS: Final = socket.SOCK_DGRAM

#: Takes a version, and its addresses, or why there are none.
Came = Callable[[int, list[Address] | SocksError], None]


@final
class _Half:
    """One question of a pair that goes on as one of its own."""

    __slots__ = ("_number", "_pair")

    def __init__(self, pair: Pair, number: bytes) -> None:
        self._pair = pair
        self._number = number

    def close(self) -> None:
        """As L{socksgw.route.dnstransport.Talk.close}."""
        self._pair.drop(self._number)


@final
class Pair:
    """
    Both questions about one name.
    """

    __slots__ = (
        "_askings", "_came", "_deadline", "_edns", "_name", "_order", "_server",
        "_servers", "_since", "_socket", "_tries", "_waiting",
    )  # fmt: skip

    bounded: Final = True

    def __init__(
        self, servers: Servers, order: Sequence[Server], name: str, came: Came
    ) -> None:
        """
        Begin with nothing.

        @param order: the servers, in the order in which they are asked.
        @param name: in normal form (L{socksgw.wire.address.parseHost}).
        @param came: called once for each version, unless that is cancelled. It may be
            called within L{start}.
        """
        self._servers = servers
        self._order = order
        self._server = order[0]
        self._name = nameOctets(name)
        self._came = came
        self._edns = self._server.edns
        self._since = 0.0
        self._socket: socket.socket | None = None
        self._deadline: Timer | None = None
        #: By the number of the query: those that are waited for here, and elsewhere.
        self._waiting: dict[bytes, int] = {}
        self._tries: dict[bytes, Try] = {}
        self._askings: dict[int, Asking] = {}

    def start(self) -> None:
        """Ask."""
        servers, name, edns = self._servers, self._name, self._edns
        numbers = token_bytes(4)
        one, other = numbers[:2], numbers[2:]
        if servers.settings.apart or one == other:
            self._apart()
            return
        where = self._server.where
        opened = None
        try:
            opened = servers.sockets.open(where[0], _DATAGRAMS)
            opened.connect(where[1])
            opened.send(questionOctets(one, name + _ENDS[0], edns))
            opened.send(questionOctets(other, name + _ENDS[1], edns))
            servers.watch.add(opened.fileno(), READ, self._ready)
        except (OSError, SocksError):
            # None is at hand, say, or the server is not there.
            if opened is not None:
                opened.close()
            self._apart()
            return
        self._socket = opened
        self._since = servers.reactor.seconds()
        self._waiting = {one: 6, other: 4}
        servers.live.add(self)
        self._deadline = servers.setDeadline(servers.patience, self._late)

    def _apart(self) -> None:
        """Ask each question by itself."""
        for version in VERSIONS:
            asked = Asked(self._name, TYPES[version])
            self._goOn(version, Asking(self._servers, asked, self._order)).start()

    def _ready(self, events: int) -> None:
        assert self._socket is not None
        try:
            octets = self._socket.recv(DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            # ICMP says that no server is there (RFC 1122 section 4.1.3.3).
            for number in list(self._waiting):
                self._hand(number)
            tries = list(self._tries.values())
            self._close()
            for each in tries:
                each.lost()
            return
        number = octets[:2]
        version = self._waiting.get(number)
        if version is None:
            attempt = self._tries.get(number)
            if attempt is not None:
                attempt.came(octets)
            return
        kind, end = _KINDS[version]
        try:
            found = addressesIn(octets, self._name + end, kind, RECORDS)
        except Unusual:
            self._hand(number).came(octets)
            return
        self._servers.answered(self._server)
        if self._edns:
            self._server.spoken = True
        del self._waiting[number]
        if not self._waiting:
            self._alone()
            if not self._tries:
                self._close()
        self._came(
            version, NoSuchName() if found is None else list(map(Address, found))
        )

    def _late(self) -> None:
        """Go on to the next server."""
        self._deadline = None
        for number, version in list(self._waiting.items()):
            attempt = self._hand(number)
            self._askings[version].missed(attempt)

    def _hand(self, number: bytes) -> Try:
        """
        Have a question go on as one of its own.

        @return: its first try, which goes on here.
        """
        version = self._waiting[number]
        asked = Asked(self._name, TYPES[version])
        asking = self._goOn(version, Asking(self._servers, asked, self._order))
        query = asked.query(self._edns, number)
        attempt = asking.begun(query, _Half(self, number), self._since)
        self._tries[number] = attempt
        del self._waiting[number]
        if not self._waiting:
            self._alone()
        return attempt

    def _goOn(self, version: int, asking: Asking) -> Asking:
        self._askings[version] = asking

        def failed(failure: Failure) -> None:
            self._came(version, lookupError(failure.value))

        asking.answer.addCallbacks(lambda found: self._came(version, found), failed)
        return asking

    def drop(self, number: bytes) -> None:
        """Wait for the answer to a query no longer."""
        self._tries.pop(number, None)
        if self._waiting.pop(number, None) is not None and not self._waiting:
            self._alone()
        if not self._waiting and not self._tries:
            self._close()

    def _alone(self) -> None:
        """Take note that nothing is waited for here any more."""
        self._servers.live.discard(self)
        if self._deadline is not None:
            self._deadline.clear()
            self._deadline = None

    def _close(self) -> None:
        self._tries.clear()
        found, self._socket = self._socket, None
        if found is not None:
            self._servers.watch.closing(found.fileno())
            found.close()

    def cancel(self, version: int) -> None:
        """Have one of the questions fail."""
        asking = self._askings.get(version)
        if asking is not None:
            asking.answer.cancel()
            return
        for number, each in self._waiting.items():
            if each == version:
                self.drop(number)
                self._came(version, lookupError(CancelledError()))
                return

    def stop(self) -> None:
        """Have what is waited for here fail."""
        for version in list(self._waiting.values()):
            self.cancel(version)


def lookupError(error: BaseException | None) -> SocksError:
    """
    Return why a look-up has failed.

    @param error: a failure of a look-up, or any other: it has been cancelled, say, or
        there is a defect.
    """
    if isinstance(error, SocksError):
        return error
    return LookupFailed(
        f"the look-up failed: {type(error).__name__}", reason="lookup-failed"
    )
