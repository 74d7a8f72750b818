"""
The look at the first octets of a session, before its relay takes both connections.

Octets pass while they are looked at, where nothing depends on them. Else those of the
client are held until it is known what they are, and those of the server as long as an
inspector may still know them. Then the relay begins, as if it had been there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from socksgw.errors import SocksError
from socksgw.interfaces import (
    MALFORMED,
    NOT_MINE,
    OTHER,
    UNKNOWN,
    Finding,
    SetDeadline,
    Timer,
)
from socksgw.interfaces import Look as Looks
from socksgw.relay.inspectors import Inspectors
from socksgw.relay.memory import Memory
from socksgw.relay.seams import Allowance, Client
from socksgw.system.connection import Connection
from socksgw.system.coroutines import Awaited

__all__ = ["Inspection", "Look", "atOnce"]

_OTHER: Final = Finding(OTHER)
_UNKNOWN: Final = Finding(UNKNOWN, hidden=True)


def atOnce(inspectors: Sequence[Any], octets: bytes) -> Finding | None:
    """
    Return what a client's first octets tell by themselves.

    @param inspectors: those that know octets with this beginning.
    @return: L{None} where it takes a L{Look} to tell.
    """
    for inspector in inspectors:
        found: Finding | int = inspector.begin(True)(octets)
        if not isinstance(found, int):
            return found
        if found != NOT_MINE:
            return None
    return None


@final
class Inspection:
    """
    How the sessions of one generation are looked at.

    @ivar inspectors: what looks.
    @ivar octets: how many octets of each side are looked at, at most.
    @ivar timeout: seconds from the first octet until it has to be known what it is.
    @ivar always: whether all sessions are looked at; else only those that a rule
        depends on.
    @ivar cuts: whether a session is cut whose content contradicts its destination.
    @ivar setDeadline: sets deadlines.
    @ivar memory: the budget for what is held.
    """

    __slots__ = (
        "always", "cuts", "inspectors", "memory", "octets", "setDeadline", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        inspectors: Inspectors,
        octets: int,
        timeout: float,
        always: bool,
        cuts: bool,
        setDeadline: SetDeadline,
        memory: Memory,
    ) -> None:
        self.inspectors = inspectors
        self.octets = octets
        self.timeout = timeout
        self.always = always
        self.cuts = cuts
        self.setDeadline = setDeadline
        self.memory = memory


@final
class _Eye:
    """
    Takes what comes of one side, and has the inspectors look at it.

    @ivar held: octets that are not passed on yet.
    @ivar ended: whether that side has ended.
    @ivar passed: how many octets have been passed on.
    """

    __slots__ = (
        "_connection", "_looking", "_seen", "_table", "_wanted", "allowance", "blind",
        "client", "ended", "held", "look", "other", "parted", "passed",
    )  # fmt: skip

    look: Look
    other: _Eye

    def __init__(
        self,
        connection: Connection,
        table: tuple[tuple[Any, ...], ...],
        client: bool,
        allowance: Allowance | None,
    ) -> None:
        self._connection = connection
        self._table = table
        self.client = client
        self.allowance = allowance
        # No inspector knows what comes of this side.
        self.blind = False
        self.ended = False
        # The look is over.
        self.parted = False
        self.held = b""
        self.passed = 0
        self._seen: bytes | bytearray = b""
        self._looking: list[Looks] | None = None
        self._wanted = 1

    @property
    def silent(self) -> bool:
        """Whether nothing has come of this side."""
        return not self._seen

    def dataReceived(self, data: bytes | memoryview) -> None:
        """Look at octets, and pass them on or hold them."""
        octets, look = bytes(data), self.look
        if look.over:
            # The finding is being judged.
            self._hold(octets)
            return
        finding = None if self.blind else self.see(octets)
        if finding is not None:
            self._hold(octets)
            look.found(finding)
        elif look.holding and (self.client or not self.blind):
            self._hold(octets)
            look.begun()
        else:
            held = self.held
            if held:
                self.release()
                self.held = b""
                octets = held + octets
            self.write(octets)
            look.begun()

    def _hold(self, octets: bytes) -> None:
        self.look.settings.memory.take(len(octets))
        self.held += octets
        if len(self.held) > self.look.settings.octets:
            self._connection.pauseProducing()

    def release(self) -> None:
        """Count what is held in the memory no longer."""
        if self.held:
            self.look.settings.memory.give(len(self.held))

    def part(self) -> None:
        """Refer to the look no longer, and keep nothing."""
        self.parted = True
        self.held = self._seen = b""
        self._looking = None
        del self.other, self.look, self._connection

    def write(self, octets: bytes) -> None:
        """Pass octets on, as far as they may move."""
        if self.allowance is not None:
            octets = self.allowance.charge(octets)
        if octets:
            self.passed += len(octets)
            self.other._connection.write(octets)
        if self.blind and self.passed > self.look.settings.octets:
            self.look.flooded()

    def see(self, octets: bytes) -> Finding | None:
        """
        Look at octets that have come.

        @return: L{None} while it is not known what they are.
        """
        seen = self._seen
        looking: Iterable[Looks]
        if self._looking is not None:
            if isinstance(seen, bytes):
                seen = bytearray(seen)
            seen += octets
            looking = self._looking
        else:
            # One begins when those before it have not told what it is.
            seen = octets
            looking = map(self._begin, self._table[octets[0]])
        self._seen = seen
        self._looking = left = list[Looks]()
        wanted: list[int] = []
        for each in looking:
            found = each(seen)
            if not isinstance(found, int):
                return found
            if found == MALFORMED:
                return _UNKNOWN
            if found != NOT_MINE:
                left.append(each)
                wanted.append(found)
        if not left:
            self.blind = True
            return _OTHER if self.client else None
        self._wanted = min(wanted)
        return self._full()

    def _begin(self, inspector: Any) -> Looks:
        looks: Looks = inspector.begin(self.client)
        return looks

    def _full(self) -> Finding | None:
        """Return that it cannot be told, once as much has come as is looked at."""
        most = self.look.settings.octets
        return _UNKNOWN if max(len(self._seen), self._wanted) > most else None

    def readConnectionLost(self) -> None:
        """Take note that the peer has ended its side: nothing more is found."""
        self.ended = True
        look = self.look
        if not look.over:
            spoken = self if self.client else look.near
            look.found(_OTHER if spoken.silent else _UNKNOWN)

    def departed(self) -> None:
        """Do nothing: the same is told when what waits has been read."""

    def violated(self, failure: SocksError) -> None:
        """End the connection; of a client's its session hears."""
        self._connection.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """Take note that the connection is gone; of a client's its session hears."""
        if not (self.client or self.parted):
            self.look.lost("closed" if reason.check(ConnectionDone) else "")


@final
class Look:
    """
    The look at one session.

    @ivar settings: how it is done.
    @ivar holding: whether nothing goes on before it is known what it is.
    @ivar over: whether it is known, or cannot be.
    @ivar near: the client's octets.
    @ivar far: the destination's.
    """

    __slots__ = (
        "_client", "_deadline", "_destination", "_done", "_finding", "_timed", "far",
        "holding", "near", "over", "reason", "settings",
    )  # fmt: skip

    def __init__(
        self,
        settings: Inspection,
        holding: bool,
        client: Client,
        destination: Connection,
        sending: Allowance | None,
        receiving: Allowance | None,
    ) -> None:
        self.settings = settings
        self.holding = holding
        self.over = False
        #: Why the destination was lost; empty while it is not.
        self.reason = ""
        self._client = client
        self._destination = destination
        table = settings.inspectors
        self.near = near = _Eye(client.connection, table.ofClient, True, sending)
        self.far = far = _Eye(destination, table.ofServer, False, receiving)
        near.look = far.look = self
        near.other, far.other = far, near
        self._done: Awaited[Finding | None] = Awaited(self._cancelled)
        self._finding: Finding | None = None
        self._deadline: Timer | None = None
        self._timed = False

    async def find(
        self, early: bytes, late: bytes, idle: float, ended: bool = False
    ) -> Finding | None:
        """
        Look until it is known what the session is.

        Both connections are read from then on, until L{dissolve}.

        @param early: octets that the client sent behind its request.
        @param late: octets of the destination that are read already.
        @param idle: seconds without an octet after which it is given up.
        @param ended: whether the destination has ended its side already.
        @return: L{None} where the destination is lost, or nothing came: see C{reason}.
        """
        near, far = self.near, self.far
        if late:
            far.dataReceived(late)
        if early and not self.over:
            near.dataReceived(early)
        elif early:
            near._hold(early)
        if ended:
            far.readConnectionLost()
        if self.over:
            return self._finding
        if not self._timed:
            self._deadline = self.settings.setDeadline(idle, self._idled)
        self._destination.take(far)
        self._client.take(near)
        if self._client.ended and not self.over:
            near.readConnectionLost()
        return self._finding if self.over else await self._done

    def begun(self) -> None:
        """Have the time count, from the first octet on."""
        if not (self._timed or self.over):
            self._timed = True
            self._clear()
            settings = self.settings
            self._deadline = settings.setDeadline(settings.timeout, self._late)

    def found(self, finding: Finding | None) -> None:
        """End the look."""
        if not self.over:
            self.over = True
            self._clear()
            self._finding = finding
            self._done.callback(finding)

    def dissolve(self) -> tuple[bytes, bytes]:
        """
        Let go of both connections.

        @return: what came of the client, and of the destination, and was not passed
            on.
        """
        near, far = self.near, self.far
        self._client.take(None)
        self.over = True
        self._clear()
        for each in (near, far):
            each.release()
        early, late = near.held, far.held
        # They refer to each other. The destination's connection may keep its eye, and
        # tell it of the end.
        near.part()
        far.part()
        return early, late

    def flooded(self) -> None:
        """
        Act on a server that sends on and on while its client is silent.

        Where something depends on the client's octets, no more is read of the server's.
        """
        if self.holding:
            self._destination.pauseProducing()
        else:
            self.found(_OTHER)

    def lost(self, reason: str) -> None:
        """Take note that the destination's connection is gone."""
        self.reason = reason or "destination-lost"
        self.found(None)

    def _late(self) -> None:
        self.found(_UNKNOWN)

    def _idled(self) -> None:
        self.reason = "idle"
        self.found(None)

    def _clear(self) -> None:
        if self._deadline is not None:
            self._deadline.clear()

    def _cancelled(self, _: object) -> None:
        self.over = True
        self._clear()
