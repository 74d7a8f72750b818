"""
The requests of one client, one after the other on its connection.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from socksgw.accept.seams import Keepsake, Lane, Listening, Serving
from socksgw.errors import SocksError
from socksgw.interfaces import Timer
from socksgw.wire.server import ServerConversation

__all__ = ["SURPLUS", "Phase", "Requests"]

#: Seconds that a client may take to begin another request.
_RESTING: Final = 60.0
#: Octets that may wait behind a request before we stop reading, and before it
#: (while a login is checked, say), or when much of the memory is held already.
SURPLUS: Final = 65536
_EARLY: Final = 2048


class Phase(Enum):
    """How far the client's connection is from its end."""

    OPEN = "it is served"
    FINISHING = "our side has ended; what still comes is read for a moment"
    CLOSING = "it closes after what waits to be sent"
    GONE = "it is closed"


_OPEN, _FINISHING, _CLOSED_SOON, _GONE = Phase


class Requests:
    """
    The part of L{socksgw.accept.inbound.Inbound} that starts its sessions.

    Most clients have one. Where the protocol lets a client make another request, each
    has a session of its own.

    @ivar listener: where it has come in.
    @ivar connection: what carries its octets; L{None} until it is ready.
    @ivar came: when that was, in monotonic seconds; 0 once the client has been answered.
    @ivar early: its first octets, while its session begins; empty where they are in
        the conversation.
    @ivar lane: what reads its messages, as long as it has no conversation.
    @ivar halfOpen: whether it has not made its request yet.
    @ivar failure: why the client ended early.
    @ivar ended: whether the client has ended its side.
    @ivar resting: whether it was answered, and may make another request.
    @ivar kept: what its next request may use again; L{None} for nothing.
    @ivar proved: the method, and the credentials, by which it has proved who it is
        for as long as the connection lasts; L{None} where each request has to.
    """

    __slots__ = (
        "_conversation", "_counted", "_deadline", "_dialects", "_full", "_paused",
        "_phase", "_serving", "_starting", "came", "connection", "early", "ended", "failure",
        "halfOpen", "kept", "lane", "listener", "proved", "resting",
    )  # fmt: skip

    def __init__(self, listener: Listening) -> None:
        self.listener = listener
        self.connection: Any = None
        self.came = 0.0
        self.early: bytes | memoryview = b""
        self.lane: Lane | None = None
        self.halfOpen = True
        self.failure: SocksError | None = None
        self.ended = self.resting = False
        self.kept: Keepsake | None = None
        self.proved: tuple[str, Any] | None = None
        self._dialects = listener.dialects
        self._conversation: ServerConversation | None = None
        self._phase = _OPEN
        self._serving: Serving | None = None
        self._deadline: Timer | None = None
        # Octets of the conversation that count in the memory.
        self._counted = 0
        # Whether nothing is read; whether answers wait that the client does not take;
        # and whether a session is being started just now.
        self._paused = self._full = self._starting = False

    @property
    def conversation(self) -> ServerConversation:
        """
        What it says, in its protocol.

        It is made when it is first asked for.
        """
        conversation = self._conversation
        if conversation is None:
            conversation = self._conversation = ServerConversation(self._dialects)
            if self.lane is not None:
                self.lane.retell(conversation)
            if self.early:
                conversation.receive(self.early)
                self.early = b""
        return conversation

    @property
    def conversing(self) -> bool:
        """Whether there is a conversation."""
        return self._conversation is not None

    def surplus(self) -> bytes:
        """
        Take everything that came behind the request.

        @return: the octets, which do not count in the memory any more.
        """
        if self._conversation is None:
            return b""
        octets = self._conversation.surplus()
        if self._counted:
            self._count()
        return octets

    def begin(self) -> None:
        """As L{socksgw.accept.layers.Client.begin}."""
        if self._serving is None and self._phase is _OPEN:
            self._start()

    def _start(self) -> None:
        """Serve what has come, until something more is waited for."""
        self._starting = True
        if self.resting:
            self._wake()
        serving = self.listener.serve(self)
        while self.resting and self.conversation.held and not self._full:
            self._wake()
            serving = self.listener.serve(self)
        self._starting = False
        if not self.resting:
            self._serving = serving

    def _wake(self) -> None:
        """Give the client time for its next request, which has begun to come."""
        self.resting = False
        self._disarm()
        deadline = self.listener.handshake
        self._deadline = self.listener.setDeadline(deadline, self._expired)

    def again(self, octets: bytes) -> None:
        """
        Let the client make another request; its session is over.

        The next one is served when the client has taken the answers so far: one that
        takes none is not read.

        @param octets: what came behind the last one.
        """
        self._serving = None
        if self._phase is not _OPEN:
            return
        conversation = self.conversation
        if octets:
            conversation.receive(octets)
        scarce = self.listener.admission.census.paused
        if self.listener.closing or scarce or (self.ended and not conversation.held):
            self.close()
            return
        conversation.renew(self.listener.dialects)
        self.failure = None
        self.came = 0.0
        self.resting = True
        self._disarm()
        self._deadline = self.listener.setDeadline(_RESTING, self.close)
        # It pauses what writes much, at once where answers wait.
        self.connection.registerProducer(self, True)
        if not self._full:
            self.connection.unregisterProducer()
        self._count()
        if conversation.held > self._most:
            self._paused = True
            self.connection.pauseProducing()
        elif not self.ended:
            self.connection.resumeProducing()
        if not self._starting and not self._full and conversation.held:
            self._start()

    def pauseProducing(self) -> None:
        """Serve nothing more: the client does not take its answers."""
        self._full = True

    def resumeProducing(self) -> None:
        """Serve what has come: the client has taken its answers."""
        self._full = False
        if self._phase is _OPEN and self.resting:
            self.connection.unregisterProducer()
            if self.conversation.held:
                self._start()

    def stopProducing(self) -> None:
        """Serve nothing more: the client is gone."""

    @property
    def closing(self) -> bool:
        """Whether the connection is to end with the present answer."""
        return self.listener.closing

    def close(self, cut: bool = False) -> None:
        """Close in order."""
        raise NotImplementedError

    def _expired(self) -> None:
        raise NotImplementedError

    def _disarm(self) -> None:
        """Clear the deadline."""
        if self._deadline is not None:
            self._deadline.clear()
            self._deadline = None

    @property
    def _most(self) -> int:
        """How many octets may wait here."""
        return _EARLY if self.halfOpen or self.listener.memory.scarce else SURPLUS

    def _keep(self) -> None:
        """See to octets that are not asked for yet."""
        raise NotImplementedError

    def _look(self) -> None:
        """See to octets that are not asked for yet, if there are any."""
        conversation = self._conversation
        if conversation is not None and (conversation.held or self._counted):
            self._keep()

    def _drop(self) -> None:
        """Drop what the client has sent: it is not asked for any more."""
        if self._conversation is not None:
            self._conversation.drop()
            if self._counted:
                self._count()

    def _count(self) -> None:
        """Have the octets that wait here count in the memory."""
        held, counted = self.conversation.held, self._counted
        self._counted = held
        if held > counted:
            self.listener.memory.take(held - counted)
        elif held < counted:
            self.listener.memory.give(counted - held)
