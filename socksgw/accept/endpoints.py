"""
Listening on addresses and on Twisted endpoint strings.

Each port has a backlog that takes a burst, and its accept loop rests when the
system is short of descriptors.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from socksgw.accept.bridge import TwistedFactory
from socksgw.accept.inbound import Inbound
from socksgw.accept.listener import Listener, addressOf
from socksgw.config.listening import parseListenAddress
from socksgw.system.domains import HERE, Sockets
from socksgw.system.plain import PlainConnection
from socksgw.system.sockets import accept, fastOpen, keepAlive, quick
from socksgw.system.transparent import CAPABILITIES, MissingRight, foreign
from socksgw.system.watch import FAILED, READ, Watcher

__all__ = [
    "BACKLOG",
    "GivenSocket",
    "ListeningPort",
    "isMissingFamily",
    "isSecured",
    "isSystemd",
    "isTaken",
    "listenBy",
    "listenOnAddress",
    "listenOnEndpoint",
    "prepare",
    "remedyFor",
    "surrender",
]

#: Connections that may wait to be accepted (the kernel cuts it to
#: C{net.core.somaxconn}).
BACKLOG: Final = 4096

#: How many turns with one client each it takes, until one looks whether there are more.
_ALONE: Final = 8
#: What accept(2) says when the process, the system or the kernel's memory is
#: at its limit.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_DONE: Final = Failure(ConnectionDone())
_log: Final = Logger()


class ListeningPort(tcp.Port):
    """
    A TCP port that does not spin when the system is short of descriptors.

    Its accept loop tells of that, and stops when told to pause.

    @ivar sockets: where its own socket comes from.
    @ivar exhausted: called when there is no descriptor for a client.
    @ivar watch: tells clients' connections what there is to read.
    @ivar diverting: whether the kernel diverts connections here that go elsewhere
        (C{tproxy}).
    @ivar isShared: whether other processes serve at the same socket.
    """

    exhausted: Callable[[], None]
    watch: Watcher
    diverting = isShared = False
    sockets: Sockets = HERE
    _paused = True
    #: How many turns are left in which one client is expected, and no more.
    _alone = 0

    def startReading(self) -> None:
        """Accept clients."""
        if self._paused:
            self._accepting(True)
            self._paused = False

    def stopReading(self) -> None:
        """Accept no clients for the time being, in a loop under way neither."""
        if not self._paused:
            self._paused = True
            self._accepting(False)

    def _accepting(self, accepting: bool) -> None:
        """Be told, or be told no longer, of clients that wait."""
        if accepting:
            self.watch.add(self.socket.fileno(), READ, self._ready)
        else:
            self.watch.remove(self.socket.fileno())

    def _ready(self, events: int) -> None:
        """Accept; or take note that the socket listens no longer."""
        if events & FAILED:
            self.connectionLost(Failure(ConnectionLost()))  # type: ignore[no-untyped-call]
        else:
            self.doRead()

    def loseConnection(self, connDone: Failure = _DONE) -> Deferred[None]:
        """
        Close at once, so that the address can be listened on again.

        Clients that the kernel has accepted are served.
        """
        if self.connected:
            self.numberAccepts, self._alone = BACKLOG, 0
            self.doRead()
            self.stopReading()
            self.connectionLost(connDone)  # type: ignore[no-untyped-call]
        return succeed(None)

    stopListening = loseConnection

    def part(self, stays: bool) -> None:
        """
        Choose what becomes of the socket when it is closed here.

        @param stays: whether it goes on listening for whoever else has it. If not, it
            ends for all, and its address can be listened on at once.
        """
        if not self.isShared:
            self._shouldShutdown = not stays

    def surrender(self) -> None:
        """
        Close our descriptor: another process goes on with the same socket.

        Clients that the kernel has accepted are left to that one.
        """
        if self.connected:
            surrender(self)

    def handTo(self, factory: Any) -> None:
        """Whoever comes from now on is somebody else's."""
        before: Any = self.factory
        self.factory = factory
        factory.doStart()
        before.doStop()

    def fastOpen(self, wanted: bool) -> None:
        """Take octets that come in a first packet, or none."""
        fastOpen(self.socket, wanted)

    def createInternetSocket(self) -> socket.socket:
        """
        Return a socket that listens on one address only.

        @raise ConnectFailed: the routing domain cannot be used.
        """
        created = self.sockets.open(self.addressFamily, self.socketType)
        created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.addressFamily == socket.AF_INET6:
            # Each address is listened on as written, and nothing else.
            created.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if self.diverting:
            try:
                foreign(created)
            except OSError:
                created.close()
                raise
        return created

    def doRead(self) -> None:
        """
        Accept the clients that wait, up to C{numberAccepts}.

        accept(2) that finds nobody makes a socket first, and costs as much as one that
        finds somebody. So where clients come one at a time it is not asked whether
        there is another: that is told in the next turn.
        """
        most = self.numberAccepts
        if self._alone:
            self._alone -= 1
            most = 1
        for taken in range(most):
            if self._paused:
                return
            try:
                accepted, address = accept(self.socket, self.addressFamily)
            except BlockingIOError:
                if taken < 2:
                    self._alone = _ALONE
                return
            except OSError as e:
                if e.errno in _EXHAUSTED:
                    self.exhausted()
                    return
                # The client went away before we came to it.
                continue
            except Exception as e:
                # Nothing that comes from here may reach the reactor: it would
                # close the listener for good.
                self._failed(e)
                return
            if not self._take(accepted, address):
                return

    def clientOf(self, accepted: socket.socket, address: Any) -> Inbound | None:
        """
        Let a client in.

        @param address: as accept(2) has it.
        @return: L{None} when there is no room.
        """
        factory: Any = self.factory
        # As buildProtocol(), which wants an address object for each client.
        client: Inbound | None = factory.letIn(addressOf(address[0]), address[1])
        return client

    def _take(self, accepted: socket.socket, address: Any) -> bool:
        """
        Begin with a client that has been accepted.

        @return: whether to go on with the next.
        """
        client = None
        try:
            client = self.clientOf(accepted, address)
            if client is None:
                accepted.close()
                return True
            accepted.setblocking(False)
            client.makeConnection(PlainConnection(accepted, self.watch))
        except Exception as e:
            # No memory, or no room in epoll.
            self.watch.closing(accepted.fileno())
            accepted.close()
            if client is not None:
                client.abandon()
            self._failed(e)
            return False
        return True

    def _failed(self, error: Exception) -> None:
        """Log that a client could not be taken, and rest before the next."""
        _log.error(
            "a client of {place} could not be taken, and was closed: {kind}: {error}",
            place=self._realPortNumber,
            kind=type(error).__name__,
            error=str(error),
        )
        self.exhausted()


def surrender(port: tcp.Port) -> None:
    """
    Close the descriptor of a port: another process goes on with the same socket.

    A port of Twisted's would shut the socket down, for all who have it.
    """
    port.stopReading()
    port._shouldShutdown = False
    port.connectionLost(_DONE)


def prepare(listening: socket.socket) -> None:
    """
    Set the options that all listening sockets have.

    Accepted sockets inherit them, which saves system calls for each client.
    """
    listening.listen(BACKLOG)
    if listening.family in (socket.AF_INET, socket.AF_INET6):
        quick(listening)
        keepAlive(listening)


def listenOnAddress(
    reactor: Any,
    text: str,
    factory: Listener,
    exhausted: Callable[[], None],
    watch: Watcher,
    diverting: bool = False,
    sockets: Sockets = HERE,
    given: socket.socket | None = None,
) -> IListeningPort:
    """
    Listen on one C{address} of the configuration.

    @param exhausted: called when there is no descriptor for a client.
    @param watch: tells clients' transports what there is to read.
    @param diverting: whether the kernel diverts connections here that go elsewhere.
    @param sockets: of the listener's routing domain.
    @param given: the socket, where it listens already.
    @raise CannotListenError: the kernel does not let us.
    @raise ConnectFailed: the routing domain cannot be used.
    """
    address, number = parseListenAddress(text)
    # Not one of Twisted's factories: what it makes are clients.
    clients: Any = factory
    port = ListeningPort(number, clients, BACKLOG, address.text, reactor)
    port.exhausted = exhausted
    port.watch = watch
    port.diverting = diverting
    port.sockets = sockets
    if given is not None:
        port.addressFamily = given.family
        port._preexistingSocket = given
    port.startListening()
    port.numberAccepts = 64
    prepare(port.socket)
    return port


def listenOnEndpoint(
    reactor: Any,
    description: str,
    factory: Listener,
    watch: Watcher,
    given: socket.socket | None = None,
) -> Deferred[IListeningPort]:
    """
    Listen on a Twisted server endpoint string.

    @param watch: tells of clients that go while they are not read.
    @param given: the socket, where it listens already.
    @raise ValueError: Twisted does not know such an endpoint; the text says
        what it said.
    """
    if given is not None:
        reactor = GivenSocket(reactor, given)
    return listenBy(reactor, description, factory, watch)


def listenBy(
    reactor: Any, description: str, factory: Listener, watch: Watcher
) -> Deferred[IListeningPort]:
    """
    Listen on a Twisted server endpoint string, by whatever stands for the reactor.

    @raise ValueError: as L{listenOnEndpoint}.
    """
    try:
        endpoint = serverFromString(reactor, description)
    except Exception as e:
        # Endpoint parsers raise whatever their arguments raise.
        why = f"{e}"
        if isSystemd(description) and isinstance(e, LookupError):
            why = "systemd has given no such socket (systemd.socket(5))"
        raise ValueError(why) from None

    def listening(port: IListeningPort) -> IListeningPort:
        found: Any = port
        prepare(found.getHandle() if hasattr(found, "getHandle") else found.socket)
        return port

    twisteds = TwistedFactory(factory, watch)
    return (endpoint.listen(twisteds) or succeed(None)).addCallback(listening)


def isSystemd(description: str) -> bool:
    """Return whether an endpoint is a socket that systemd has opened."""
    return description.partition(":")[0].strip() == "systemd"


class GivenSocket:
    """A reactor whose next port has a socket that listens already."""

    def __init__(self, reactor: Any, given: socket.socket) -> None:
        self._reactor = reactor
        self._given = given

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *rest: Any, **others: Any) -> Any:
        """Listen with the socket."""
        with self._given as given:
            # It duplicates the descriptor.
            return self._reactor.adoptStreamPort(given.fileno(), given.family, factory)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, *rest: Any, **others: Any
    ) -> Any:
        """Listen with the socket, by TLS."""
        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory))


class _Notes:
    """
    A reactor that only notes what an endpoint asks of it.

    @ivar secured: whether clients' octets would be inside TLS.
    """

    secured = False

    def listenSSL(self, *arguments: Any, **others: Any) -> None:
        self.secured = True

    def listenTCP(self, port: int, factory: Any, *rest: Any, **others: Any) -> None:
        while isinstance(factory, WrappingFactory):
            self.secured = self.secured or isinstance(factory, TLSMemoryBIOFactory)
            factory = factory.wrappedFactory


def isSecured(description: str) -> bool:
    """
    Return whether all octets of a Twisted server endpoint's clients are inside TLS.

    The endpoint itself is asked, whatever its name. Only Twisted's own endpoints can
    be: all others count as clear.
    """
    notes = _Notes()
    try:
        endpoint: Any = serverFromString(notes, description)
        if type(endpoint).__module__.partition(".")[0] == "twisted":
            endpoint.listen(Factory()).addErrback(lambda _: None)
    except Exception:
        # What is wrong with the string is told elsewhere; some endpoints want
        # more of a reactor, and are not TLS.
        return False
    return notes.secured


def isMissingFamily(listen: str, error: BaseException) -> bool:
    """
    Whether C{listen} is IPv6's loopback address, on a machine without IPv6.
    """
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return (
        listen.startswith("[::1]:")
        and isinstance(cause, OSError)
        and cause.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    )


def isTaken(error: BaseException) -> bool:
    """
    Whether somebody listens there already.
    """
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE


def remedyFor(listen: str, error: BaseException | None) -> str:
    """
    Return one line for the operator: why listening failed, and what to do.

    @param listen: the address or endpoint string.
    """
    cause = error.socketError if isinstance(error, CannotListenError) else error
    if isinstance(cause, MissingRight):
        return (
            f"cannot listen on {listen}: no permission to take what goes to other "
            f'addresses (IP_TRANSPARENT); transparent = "tproxy" needs {CAPABILITIES}: '
            "AmbientCapabilities= in the systemd unit (etc/socksgw.service); "
            'transparent = "redirect" needs none'
        )
    code = cause.errno if isinstance(cause, OSError) else None
    why, remedy = {
        errno.EADDRINUSE: (
            "the port is taken",
            "stop what listens there (ss -ltnp shows it) or choose another port",
        ),
        errno.EACCES: (
            "no permission",
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher port",
        ),
        errno.EPERM: (
            "the system does not let us",
            "device = … needs Linux 5.7, or CAP_NET_RAW before that",
        ),
        errno.EADDRNOTAVAIL: (
            "this machine has no such address",
            "ip addr shows those it has (one in a VRF wants device = its name, one in "
            "a network namespace netns = its name); 0.0.0.0 is all of IPv4",
        ),
        errno.EAFNOSUPPORT: (
            "this machine has no IPv6",
            "leave the IPv6 address out",
        ),
    }.get(code or 0, (str(cause), "see the text before this for the cause"))
    return f"cannot listen on {listen}: {why}; {remedy}"
