"""
One question to name servers, until it is answered or has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed, SocksError
from socksgw.interfaces import Timer
from socksgw.route.dnsmessages import (
    Asked,
    BadAnswer,
    NoSuchName,
    Query,
    Truncated,
)
from socksgw.route.dnstransport import Datagrams, Stream, Talk
from socksgw.route.nameserver import Server, Servers

__all__ = ["Asking", "Probe", "Try"]

#: Seconds after which a question is sent for which there was no socket at hand.
_SOON: Final = 0.01


@final
class Try:
    """
    One question to one server, until it is answered, refused, or ended.

    @ivar since: when it was asked, in monotonic seconds.
    @ivar server: the server that was asked.
    """

    def __init__(
        self,
        servers: Servers,
        server: Server,
        asked: Asked,
        done: Callable[[Try, list[Any] | Exception], None],
    ) -> None:
        """
        Send nothing yet.

        @param done: called once with the records, with L{BadAnswer},
            L{NoSuchName}, or with L{OSError} when the server cannot be reached.
        """
        self._servers = servers
        self._asked = asked
        self._done = done
        self._talk: Talk | None = None
        self._over = self._stream = False
        self._query: Query
        self.server = server
        self.since = 0.0

    def start(self, edns: bool) -> None:
        """Send the question."""
        self.since = self._servers.reactor.seconds()
        self._send(edns, self._servers.settings.stream)

    def begun(self, query: Query, talk: Talk, since: float) -> None:
        """
        Take a question that was sent elsewhere, and is answered there.

        @param talk: L{came} and L{lost} are called by it.
        @param since: as L{since}.
        """
        self._query, self._talk, self.since = query, talk, since

    def _send(self, edns: bool, stream: bool) -> None:
        servers, server = self._servers, self.server
        self._hangUp()
        self._stream = stream
        query = self._query = self._asked.query(edns)
        octets = query.octets
        if stream:
            self._talk = Stream(
                servers.reactor,
                server.where,
                octets,
                servers.timeout,
                self.came,
                self.lost,
                servers.sockets,
            )
            return
        try:
            self._talk = Datagrams(
                servers.watch,
                server.where,
                octets,
                self.came,
                self.lost,
                servers.sockets,
            )
        except BlockingIOError:
            # The server is not asked yet.
            servers.reactor.callLater(_SOON, self._sendStill, edns)
        except (OSError, SocksError):
            # No descriptor, say, or no route. The caller does not expect a call yet.
            servers.reactor.callLater(0, self.lost)

    def _sendStill(self, edns: bool) -> None:
        if not self._over:
            self._send(edns, False)

    def came(self, octets: bytes) -> None:
        """Take what the server has sent."""
        outcome: list[Any] | Exception | None
        try:
            outcome = self._asked.read(self._query, octets)
        except Truncated:
            if not self._stream:
                self._servers.answered(self.server)
                self._send(self._query.edns, True)
                return
            outcome = BadAnswer("an answer that is cut over TCP")
        except BadAnswer as e:
            if e.edns:
                # A server that has never understood EDNS is not asked with it again.
                self.server.edns = self.server.edns and self.server.spoken
                self._send(False, self._stream)
                return
            outcome = e
        except NoSuchName as e:
            outcome = e
        if outcome is None:
            # It is another question's answer.
            return
        self._servers.answered(self.server)
        if self._query.edns and not isinstance(outcome, BadAnswer):
            self.server.spoken = True
        self._end(outcome)

    def lost(self) -> None:
        """Give up: the server cannot be reached."""
        if not self._over:
            self._end(OSError("the name server cannot be reached"))

    def _end(self, outcome: list[Any] | Exception) -> None:
        self.close()
        self._done(self, outcome)

    def close(self) -> None:
        """End it without a word."""
        self._over = True
        self._hangUp()

    def _hangUp(self) -> None:
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.close()


@final
class Probe:
    """
    A question that tells whether a server works.
    """

    def __init__(self, servers: Servers, server: Server) -> None:
        self._servers = servers
        self._server = server
        servers.live.add(self)
        self._over = servers.setDeadline(servers.patience, self._expired)
        self._try = Try(servers, server, Asked.probe(), self._done)
        self._try.start(False)

    def stop(self) -> None:
        """End it without a word."""
        self._servers.live.discard(self)
        self._try.close()
        self._over.clear()

    def _expired(self) -> None:
        self.stop()
        self._servers.probed(self._server, False)

    def _done(self, attempt: Try, outcome: list[Any] | Exception) -> None:
        self.stop()
        self._servers.probed(self._server, not isinstance(outcome, OSError))


@final
class Asking:
    """
    One question, put to as many servers as it takes.

    Servers that were asked before may still answer.

    @ivar answer: fires with the records, fails with L{LookupFailed}. It can be
        cancelled.
    """

    def __init__(self, servers: Servers, asked: Asked, order: Sequence[Server]) -> None:
        """
        Ask nobody yet.
        """
        self.answer: Deferred[list[Any]] = Deferred(lambda _: self._end())
        self._servers = servers
        self._asked = asked
        self._order = order
        self._left = [*order] * servers.settings.rounds
        #: Servers whose answers were of no use, with why.
        self._failed: dict[Server, str] = {}
        self._tries: list[Try] = []
        #: When all is over, in monotonic seconds.
        self._ends = 0.0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Ask the first server."""
        servers = self._servers
        self._ends = servers.reactor.seconds() + servers.timeout
        servers.live.add(self)
        self._next()

    def begun(self, query: Query, talk: Talk, since: float) -> Try:
        """
        Go on with a question that the first server was asked already.

        @return: what the answer is told to, as L{Try.begun} has it.
        """
        servers = self._servers
        self._ends = since + servers.timeout
        servers.live.add(self)
        attempt = Try(servers, self._left.pop(0), self._asked, self._done)
        attempt.begun(query, talk, since)
        self._tries.append(attempt)
        self._wait(servers.patience, attempt)
        return attempt

    def _next(self) -> None:
        """
        Ask the next server.
        """
        if self._failed:
            self._left = [each for each in self._left if each not in self._failed]
        if not self._left:
            # The servers that were asked may still answer.
            self._wait(self._servers.timeout, None)
            return
        server = self._left.pop(0)
        again = False
        for before in self._tries:
            if before.server is server:
                # A question has one socket for each server, at most.
                before.close()
                self._tries.remove(before)
                again = True
                break
        # A middlebox may drop messages with EDNS.
        edns = server.edns and (server.spoken or not again)
        attempt = Try(self._servers, server, self._asked, self._done)
        attempt.start(edns)
        self._tries.append(attempt)
        self._wait(self._servers.patience * (2 if again else 1), attempt)

    def _wait(self, seconds: float, attempt: Try | None) -> None:
        """
        Wait for an answer, and ask the next server if it does not come in time.

        @param attempt: what was asked last.
        """
        if self._timer is not None:
            self._timer.clear()
        left = self._ends - self._servers.reactor.seconds()
        if attempt is not None and seconds < left:
            self._timer = self._servers.setDeadline(
                seconds, lambda: self.missed(attempt)
            )
        else:
            self._timer = self._servers.setDeadline(max(left, 0.0), self._expired)

    def missed(self, attempt: Try) -> None:
        """Ask the next server: the last one has not answered in time."""
        self._servers.missed(attempt.server, attempt.since)
        self._next()

    def _done(self, attempt: Try, outcome: list[Any] | Exception) -> None:
        if isinstance(outcome, list):
            self._end()
            self.answer.callback(outcome)
        elif isinstance(outcome, LookupFailed):
            self._end()
            self.answer.errback(Failure(outcome))
        else:
            if isinstance(outcome, OSError):
                self._servers.refused(attempt.server)
            self._failed[attempt.server] = str(outcome)
            if len(self._failed) == len(self._order):
                self._fail()
            elif attempt is self._tries[-1]:
                self._next()

    def _fail(self) -> None:
        self._end()
        said = ", ".join(dict.fromkeys(self._failed.values()))
        self.answer.errback(
            LookupFailed(f"the look-up failed: {said}", reason="lookup-failed")
        )

    def _expired(self) -> None:
        self._end()
        self.answer.errback(LookupFailed("no answer in time", reason="lookup-timeout"))

    def stop(self) -> None:
        """Have the question fail."""
        self.answer.cancel()

    def _end(self) -> None:
        self._servers.live.discard(self)
        if self._timer is not None:
            self._timer.clear()
        for each in self._tries:
            each.close()
        self._tries.clear()
