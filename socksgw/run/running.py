"""
A program that runs, with its supervisor.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, final

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint

from socksgw.client.datagrams import associate
from socksgw.client.errors import CommandNotSupported
from socksgw.client.proxy import Proxy
from socksgw.interfaces import Timer
from socksgw.relay.between import Relays
from socksgw.relay.memory import Memory, Pipes
from socksgw.relay.settings import RelaySettings
from socksgw.run.calls import Calls
from socksgw.run.datagrams import Carriage, Datagrams
from socksgw.run.doors import Doors
from socksgw.run.gates import Bundles, Gates, LoopbackGates
from socksgw.run.inside import Inside
from socksgw.run.isolated import IsolatedDatagrams
from socksgw.run.known import Known
from socksgw.run.names import Names
from socksgw.run.program import Program
from socksgw.run.standin import Joints, LoopbackJoints
from socksgw.run.streams import Streams
from socksgw.run.supervisor import Supervisor
from socksgw.run.way import Way
from socksgw.system.coroutines import Running
from socksgw.system.warned import beginWarning
from socksgw.system.watch import Watch
from socksgw.wire.codes import SOCKS5, Reply

__all__ = ["PREFIX", "Gateway", "run"]

PREFIX: Final = "socksgw run: "
#: Octets that are held for whoever does not read.
_MEMORY: Final = 64_000_000
#: Seconds that a connection of a program may be silent: as long as it likes.
_IDLE: Final = 10 * 365 * 86400.0

_NO_COMMAND: Final = int(Reply.COMMAND_NOT_SUPPORTED)


class Gateway(NamedTuple):
    """
    The gateway, as the user names it.

    @ivar host: where it is.
    @ivar port: its port.
    @ivar proxy: speaks to it.
    @ivar login: how to log in; L{None} for not.
    @ivar tls: TLS to it (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
    @ivar certified: whether the user's certificate is the login.
    @ivar naked: whether nothing is between the octets and the wire after the reply.
    @ivar datagrams: the version of SOCKS by which it relays datagrams; 0 for none.
    @ivar seconds: for all that comes before a connection is open.
    """

    host: str
    port: int
    proxy: Proxy
    login: Any
    tls: Any
    certified: bool
    naked: bool
    datagrams: int
    seconds: float


@final
class _Deadline:
    """A call of the reactor's that is to come, unless it is cleared."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def clear(self) -> None:
        """Forget the call; without effect when it has been made."""
        if self._call.active():
            self._call.cancel()


@final
class _Supervised:
    """One program, from the first look at the gateway to its end."""

    def __init__(
        self,
        reactor: Any,
        program: Program,
        calls: Calls,
        gateway: Gateway,
        say: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._program = program
        self._calls = calls
        self._gateway = gateway
        self._say = say
        self._watch = Watch(reactor)
        self.result: int | BaseException = 1
        self._running = False

    def begin(self) -> None:
        """See whether the gateway is there, and run the program."""
        self._watch.start()
        Running(self._begun()).addErrback(self._failed)

    def stop(self) -> None:
        """Watch nothing any more."""
        self._watch.stop()
        if not self._running:
            self._program.abandon()

    def _failed(self, failure: Any) -> None:
        self.result = failure.value
        self._reactor.callLater(0, self._reactor.stop)

    async def _begun(self) -> None:
        to = self._gateway
        watch, setDeadline = self._watch, self._setDeadline
        keeper = self._program.keeper
        doors = keeper.doors() if keeper is not None else []
        way = Way(
            watch,
            setDeadline,
            to.proxy,
            (to.host, to.port),
            to.tls,
            to.certified,
            to.certified or to.login is not None,
            # The program's own sockets do not reach the gateway from their network.
            to.naked and keeper is None,
            to.seconds,
        )
        listener = self._program.listener()
        await way.greet()
        names, known = Names(), Known()
        settings = RelaySettings(watch, setDeadline, Memory(_MEMORY), Pipes(), _IDLE)
        gates: Gates = keeper or LoopbackGates()
        bundles = Bundles(
            watch, setDeadline, names, gates, partial(self._associate, way), self._say
        )
        bundles.start()
        joints: Joints = LoopbackJoints()
        datagrams: Carriage = Datagrams(bundles, watch, setDeadline, known)
        if keeper is not None:
            joints = entrance = Doors(keeper, doors, watch, names, bundles)
            datagrams = IsolatedDatagrams(bundles, setDeadline)
        streams = Streams(
            listener,
            way,
            names,
            known,
            Relays(settings),
            joints,
            setDeadline,
            self._say,
        )
        if keeper is not None:
            entrance.start(streams.unasked)
        Supervisor(
            listener, self._calls, watch, streams, datagrams, known, self._say
        ).start()
        self._program.start(self._ended)
        self._running = True

    def _setDeadline(self, seconds: float, call: Callable[[], None]) -> Timer:
        """As L{Deadlines.set<socksgw.system.deadlines.Deadlines.set>}, and exact."""
        return _Deadline(self._reactor.callLater(seconds, call))

    def _associate(self, way: Way, protocol: Any) -> Deferred[Any]:
        to = self._gateway
        if not to.datagrams:
            return fail(CommandNotSupported(_NO_COMMAND, "its protocol has no UDP"))
        if to.tls is not None and to.datagrams != SOCKS5:
            return fail(CommandNotSupported(_NO_COMMAND, "not by SOCKS 6 inside TLS"))
        if to.tls is not None:
            return Deferred.fromCoroutine(self._inside(way, protocol))
        endpoint = HostnameEndpoint(self._reactor, to.host, to.port)
        return associate(
            self._reactor,
            endpoint,
            protocol,
            login=to.login,
            version=to.datagrams,
            timeout=to.seconds,
        )

    async def _inside(self, way: Way, protocol: Any) -> Inside:
        """
        Have an association whose datagrams are as well protected as the rest.

        @raise ProxyError: there is none.
        """
        try:
            connection, late = await way.inside()
        except CommandNotSupported as e:
            raise CommandNotSupported(
                e.code,
                "beside TLS they would go in clear, and inside it the proxy takes none: "
                'a socksgw needs tunnels = ["hev"] in its [listen.udp]',
            ) from None
        association = Inside(connection, protocol)
        association.begin(late)
        return association

    def _ended(self, status: int) -> None:
        self.result = status
        self._reactor.callFromThread(self._reactor.stop)


def run(program: Program, calls: Calls, gateway: Gateway, verbose: bool) -> int:
    """
    Run a program through a gateway until it ends.

    @param verbose: whether it is said why its calls fail.
    @return: its exit status; that of a signal is 128 and its number.
    @raise ProxyError: the gateway cannot be used. The program has not run.
    @raise NotRun: the program cannot be supervised.
    """
    from twisted.internet import reactor

    # The program's own process has been made, and keeps its limit.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    beginWarning(PREFIX)

    def say(text: str) -> None:
        if verbose:
            print(f"{PREFIX}{text}", file=sys.stderr, flush=True)

    supervised = _Supervised(reactor, program, calls, gateway, say)
    running: Any = reactor
    running.callWhenRunning(supervised.begin)
    running.run(installSignalHandlers=False)
    supervised.stop()
    if isinstance(supervised.result, BaseException):
        raise supervised.result
    return supervised.result
