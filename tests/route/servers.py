"""
Name servers on loopback whose answers are scripted, and what asks them, on a clock
that is not real.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed
from socksgw.route.nameserver import ServerSettings
from socksgw.route.nameservers import NameServers
from socksgw.route.pair import VERSIONS
from socksgw.system.deadlines import Deadlines
from socksgw.system.watch import Watch

#: From a query to its response; None for no response.
Script = Callable[[dns.message.Message], dns.message.Message | bytes | None]


def mute(query: dns.message.Message) -> None:
    """Answers nothing."""


def records(*texts: str, code: int = 0, flags: int = dns.flags.RA) -> Script:
    """
    Answers with these of the type that is asked for.

    @param texts: addresses, or a type with the rest.
    """

    def script(query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= flags
        answer.set_rcode(dns.rcode.Rcode(code))
        (asked,) = query.question
        kind = dns.rdatatype.to_text(asked.rdtype)
        for text in texts:
            if " " in text:
                owner, its, content = text.split()
            else:
                owner, its = asked.name.to_text(), "AAAA" if ":" in text else "A"
                content = text
            if its in (kind, "CNAME"):
                new = dns.rrset.from_text(owner, 60, "IN", its, content)
                same = next(
                    (r for r in answer.answer if r.match(new.name, 1, new.rdtype, 0)),
                    None,
                )
                if same is None:
                    answer.answer.append(new)
                else:
                    same.update(new)
        return answer

    return script


#: What servers read queries with, whatever a test puts in its place.
_query = dns.message.from_wire


class Server:
    """
    One name server.

    @ivar asked: every query; of a pair, that for the IPv4 addresses.
    @ivar peers: where they came from.
    """

    def __init__(self, script: Script, pairs: bool = False) -> None:
        self.script = script
        self._pairs = pairs
        self.asked: list[dns.message.Message] = []
        self.peers: list[Any] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    @property
    def names(self) -> list[str]:
        """The names and types that clients asked for: no probes."""
        return [
            q.question[0].to_text().replace(". IN", "")
            for q in self.asked
            if len(q.question[0].name) > 1
        ]

    @property
    def probes(self) -> int:
        """How often it was asked whether it is there."""
        return len(self.asked) - len(self.names)

    def serve(self) -> bool:
        """Answer what has come."""
        try:
            octets, peer = self.socket.recvfrom(4096)
        except (BlockingIOError, OSError):
            return False
        query = _query(octets)
        if not (self._pairs and query.question[0].rdtype == dns.rdatatype.AAAA):
            self.asked.append(query)
            self.peers.append(peer)
        response = self.script(query)
        if isinstance(response, dns.message.Message):
            response = response.to_wire()
        if response is not None:
            self.socket.sendto(response, peer)
        return True


class World:
    """
    Servers, and who asks them.

    @ivar pairs: whether a name is asked for with the other version's question.
    """

    def __init__(self, *scripts: Script, pairs: bool = False, **settings: Any) -> None:
        self.pairs = pairs
        self.reactor: Any = MemoryReactorClock()
        self.watch = Watch(self.reactor)
        self.deadlines = Deadlines(self.reactor.seconds)
        self.servers = [Server(script, pairs) for script in scripts]
        places = tuple(server.socket.getsockname() for server in self.servers)
        self.names = NameServers(
            self.reactor,
            self.watch,
            self.deadlines.set,
            ServerSettings(places, **settings),
            5.0,
        )

    def ask(
        self, name: str = "www.example", version: int = 4
    ) -> tuple[list[Any], Deferred[Any]]:
        """Ask; what comes of it will be in the list."""
        if not self.pairs:
            return self.collect(self.names.addresses(name, version))

        def cancel(_: object) -> None:
            for each in VERSIONS:
                pair.cancel(each)

        asked: Deferred[Any] = Deferred(cancel)

        def came(its: int, answer: Any) -> None:
            if its == version:
                asked.callback(answer if isinstance(answer, list) else Failure(answer))

        pair = self.names.both(name, came)
        return self.collect(asked)

    def collect(self, asked: Deferred[Any]) -> tuple[list[Any], Deferred[Any]]:
        found: list[Any] = []
        asked.addCallbacks(
            lambda result: found.append(
                [a.text for a in result] if isinstance(result, list) else result
            ),
            lambda failure: found.append(failure.value),
        )
        self.pump()
        return found, asked

    def pump(self) -> None:
        """Let everybody read what has come."""
        quiet = 0
        while quiet < 2:
            quiet += 1
            for server in self.servers:
                if server.serve():
                    quiet = 0
            self.watch.doRead()
            self.reactor.advance(0)

    def advance(self, seconds: float) -> None:
        """Time goes on, in steps of a tenth."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)
            self.deadlines.scan()
            self.pump()

    def close(self) -> None:
        self.names.stop()
        for server in self.servers:
            server.socket.close()
        assert self.watch.watched == 0
        assert not self.reactor.getDelayedCalls()
        assert not self.deadlines.pending
        self.watch._epoll.close()


Worlds = Callable[..., World]


def reason(found: list[Any]) -> str:
    """Why there is no answer."""
    (error,) = found
    assert isinstance(error, LookupFailed)
    return error.reason
