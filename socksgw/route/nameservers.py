"""
Name servers: which one is asked next, and for how long one is waited for.

A server that does not answer rests: the others are asked first until it answers a
probe. Only probes tell whether it answers, not the look-ups of clients: a name that
no server answers for makes none rest.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import dns.message
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed
from socksgw.route.dnsmessages import Asked, BadAnswer, NoSuchName, Truncated
from socksgw.route.dnstransport import (
    Datagrams,
    SocketAddress,
    Stream,
    Talk,
    socketAddress,
)
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = ["NameServers", "ServerSettings", "parseServer"]

#: Seconds that the first server has before the next is asked, at most.
_PATIENCE: Final = 1.0
#: The same as a part of the time that a look-up has.
_PART: Final = 0.25
#: Seconds between two probes of a server that rests.
_REST: Final = 10.0

_log: Final = Logger()


def parseServer(text: str) -> tuple[str, int]:
    """
    Return the address and port of a DNS server.

    @param text: C{"9.9.9.9"}, C{"9.9.9.9:5353"} or C{"[2620:fe::fe]:53"}, say.
    @raise ValueError: it is none of these.
    """
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError('must be "[address]" or "[address]:port"')
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, port = text.split(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("the port is not within 1 to 65535")
    return Address.parse(host).text, int(port)


@frozen
class ServerSettings:
    """
    Which servers are asked, and how.

    @ivar servers: their addresses, which may have zone ids, and ports.
    @ivar rounds: how often each is asked.
    @ivar patience: seconds that one has, at most, before the next is asked.
    @ivar rotate: whether look-ups begin with one after another.
    @ivar stream: whether TCP is used from the start.
    @ivar edns: whether EDNS is used (RFC 6891).
    """

    servers: tuple[tuple[str, int], ...]
    rounds: int = 2
    patience: float = _PATIENCE
    rotate: bool = False
    stream: bool = False
    edns: bool = True


@final
class _Server:
    """
    One server, and what is known of it.

    @ivar name: for the log.
    @ivar edns: whether it is asked with EDNS.
    @ivar spoken: whether it has ever answered a question with EDNS.
    @ivar heard: when it answered last, in monotonic seconds.
    @ivar resting: when it is to be probed; L{None} while it works.
    @ivar probing: whether it is being probed.
    """

    __slots__ = ("edns", "heard", "name", "probing", "resting", "spoken", "where")

    def __init__(self, host: str, port: int, edns: bool) -> None:
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.where: tuple[socket.AddressFamily, SocketAddress]
        self.where = socketAddress(host, port)
        self.edns = edns
        self.spoken = False
        self.heard = float("-inf")
        self.resting: float | None = None
        self.probing = False


@final
class NameServers:
    """
    The name servers that are asked.

    @ivar live: what is being asked.
    """

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        settings: ServerSettings,
        timeout: float,
    ) -> None:
        """
        @param timeout: seconds that a look-up has in all.
        """
        self.reactor = reactor
        self.watch = watch
        self.settings = settings
        self.timeout = timeout
        self.patience = min(settings.patience, timeout * _PART)
        self._servers = [
            _Server(host, port, settings.edns) for host, port in settings.servers
        ]
        self._first = 0
        self.live: set[_Asking | _Probe] = set()

    @property
    def names(self) -> list[str]:
        """The servers' addresses and ports."""
        return [server.name for server in self._servers]

    def stop(self) -> None:
        """End the questions that are asked."""
        for each in list(self.live):
            each.stop()

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        Ask for the addresses of a name.

        @param version: 4 or 6.
        @return: fires with them, none where the name has others; fails with
            L{socksgw.errors.LookupFailed}. It can be cancelled.
        """
        asked = Asked.addresses(name, version)
        return self._ask(asked).addCallback(
            lambda records: [Address.parse(each.address) for each in records]
        )

    def pointer(self, address: Address) -> Deferred[str]:
        """
        Ask for the name of an address: as L{addresses}.
        """

        def named(records: list[Any]) -> str:
            if not records:
                raise LookupFailed("the address has no name")
            return str(records[0].target.to_text())

        return self._ask(Asked.pointer(address)).addCallback(named)

    def _ask(self, asked: Asked) -> Deferred[list[Any]]:
        order = self._order()
        for server in order:
            if server.resting is not None and self.reactor.seconds() >= server.resting:
                self._probe(server)
        return _Asking(self, asked, order).answer

    def _order(self) -> list[_Server]:
        """
        Return the servers in the order in which they are asked: resting ones last.
        """
        servers = self._servers
        if self.settings.rotate and servers:
            self._first = (self._first + 1) % len(servers)
            servers = servers[self._first :] + servers[: self._first]
        return sorted(servers, key=lambda server: server.resting is not None)

    # How servers are.

    def answered(self, server: _Server) -> None:
        """Note that a server has answered."""
        server.heard = self.reactor.seconds()
        if server.resting is not None:
            server.resting = None
            _log.info("name server {name} answers again", name=server.name)

    def missed(self, server: _Server, since: float) -> None:
        """
        Note that a server has not answered a question.

        @param since: when it was asked.
        """
        if server.heard < since and server.resting is None and len(self._servers) > 1:
            self._probe(server)

    def refused(self, server: _Server) -> None:
        """Note that a server cannot be reached."""
        if len(self._servers) > 1:
            self._rest(server, "cannot be reached")

    def _rest(self, server: _Server, why: str) -> None:
        if server.resting is None:
            _log.warn(
                "name server {name} {why}: others are asked before it until it answers",
                name=server.name,
                why=why,
            )
        server.resting = self.reactor.seconds() + _REST

    def _probe(self, server: _Server) -> None:
        if not server.probing:
            server.probing = True
            _Probe(self, server)

    def probed(self, server: _Server, answered: bool) -> None:
        """Note what came of a probe."""
        server.probing = False
        if answered:
            self.answered(server)
        else:
            self._rest(server, "does not answer")


@final
class _Try:
    """
    One question to one server, until it is answered, refused, or ended.

    @ivar since: when it was asked, in monotonic seconds.
    @ivar server: the server that was asked.
    """

    def __init__(
        self,
        servers: NameServers,
        server: _Server,
        asked: Asked,
        edns: bool,
        done: Callable[[_Try, list[Any] | Exception], None],
    ) -> None:
        """
        Send the question.

        @param done: called once with the records, with L{BadAnswer},
            L{NoSuchName}, or with L{OSError} when the server cannot be reached.
        """
        self._servers = servers
        self._asked = asked
        self._done = done
        self._talk: Talk | None = None
        self._over = False
        self.server = server
        self.since = servers.reactor.seconds()
        self._send(edns, servers.settings.stream)

    def _send(self, edns: bool, stream: bool) -> None:
        servers, server = self._servers, self.server
        self._hangUp()
        self._stream = stream
        self._query: dns.message.QueryMessage = self._asked.query(edns)
        octets = self._query.to_wire()
        if stream:
            self._talk = Stream(
                servers.reactor,
                server.where,
                octets,
                servers.timeout,
                self._came,
                self._lost,
            )
            return
        try:
            self._talk = Datagrams(
                servers.watch, server.where, octets, self._came, self._lost
            )
        except OSError:
            # No descriptor, say, or no route. The caller does not expect a call yet.
            servers.reactor.callLater(0, self._lost)

    def _came(self, octets: bytes) -> None:
        outcome: list[Any] | Exception | None
        try:
            outcome = self._asked.read(self._query, octets)
        except Truncated:
            if not self._stream:
                self._servers.answered(self.server)
                self._send(self._query.edns >= 0, True)
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
        if self._query.edns >= 0 and not isinstance(outcome, BadAnswer):
            self.server.spoken = True
        self._end(outcome)

    def _lost(self) -> None:
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
class _Probe:
    """
    A question that tells whether a server works.
    """

    def __init__(self, servers: NameServers, server: _Server) -> None:
        self._servers = servers
        self._server = server
        servers.live.add(self)
        self._over = servers.reactor.callLater(servers.patience, self._expired)
        self._try = _Try(servers, server, Asked.probe(), False, self._done)

    def stop(self) -> None:
        """End it without a word."""
        self._servers.live.discard(self)
        self._try.close()
        if self._over.active():
            self._over.cancel()

    def _expired(self) -> None:
        self.stop()
        self._servers.probed(self._server, False)

    def _done(self, attempt: _Try, outcome: list[Any] | Exception) -> None:
        self.stop()
        self._servers.probed(self._server, not isinstance(outcome, OSError))


@final
class _Asking:
    """
    One question, put to as many servers as it takes.

    Servers that were asked before may still answer.

    @ivar answer: fires with the records, fails with L{LookupFailed}. It can be
        cancelled.
    """

    def __init__(
        self, servers: NameServers, asked: Asked, order: Sequence[_Server]
    ) -> None:
        self.answer: Deferred[list[Any]] = Deferred(lambda _: self._end())
        self._servers = servers
        self._asked = asked
        self._order = list(order)
        self._left = [*order] * servers.settings.rounds
        #: Servers whose answers were of no use, with why.
        self._failed: dict[_Server, str] = {}
        self._tries: list[_Try] = []
        reactor = servers.reactor
        self._patience: Any = None
        self._deadline = reactor.callLater(servers.timeout, self._expired)
        servers.live.add(self)
        self._next()

    def _next(self) -> None:
        """
        Ask the next server.
        """
        self._stopWaiting()
        self._left = [server for server in self._left if server not in self._failed]
        if not self._left:
            # The servers that were asked may still answer.
            return
        server = self._left.pop(0)
        before = next((each for each in self._tries if each.server is server), None)
        again = before is not None
        if before is not None:
            # A question has one socket for each server, at most.
            before.close()
            self._tries.remove(before)
        # A middlebox may drop messages with EDNS.
        edns = server.edns and (server.spoken or not again)
        attempt = _Try(self._servers, server, self._asked, edns, self._done)
        self._tries.append(attempt)
        seconds = self._servers.patience * (2 if again else 1)
        self._patience = self._servers.reactor.callLater(seconds, self._missed, attempt)

    def _missed(self, attempt: _Try) -> None:
        self._patience = None
        self._servers.missed(attempt.server, attempt.since)
        self._next()

    def _done(self, attempt: _Try, outcome: list[Any] | Exception) -> None:
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

    def _stopWaiting(self) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = None

    def stop(self) -> None:
        """Have the question fail."""
        self.answer.cancel()

    def _end(self) -> None:
        self._servers.live.discard(self)
        self._stopWaiting()
        if self._deadline.active():
            self._deadline.cancel()
        for each in self._tries:
            each.close()
        self._tries.clear()
