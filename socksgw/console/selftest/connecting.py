"""
Connect through a proxy with the product's own client, as users do.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any, Final, NamedTuple, TypeVar

from socksgw.client.dialling import dialled, protected, reached
from socksgw.client.errors import (
    CommandNotSupported,
    LoginFailed,
    LoginWanted,
    NoMethodAccepted,
    NotAllowed,
    ProxyClosed,
    ProxyDistrusted,
    ProxyError,
    ProxyRefused,
)
from socksgw.client.kinds import proxyOf
from socksgw.console.selftest.logins import Way
from socksgw.console.selftest.places import KINDS, Place
from socksgw.console.selftest.witness import Expected, Witness
from socksgw.errors import SocksError
from socksgw.interfaces import Answer, ProbeFailed
from socksgw.route.probe import localTowards
from socksgw.system.sockets import FAMILIES
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address
from socksgw.wire.proxywriter import proxyHeader

__all__ = [
    "LOOPBACK",
    "TEXT",
    "Entered",
    "Means",
    "Unwanted",
    "connects",
    "enters",
    "headerOf",
    "oursFor",
    "refused",
    "taken",
    "unwanted",
    "whereOf",
]

T = TypeVar("T")

TEXT: Final = b"socksgw selftest"
LOOPBACK: Final = Address.parse("127.0.0.1")


class Means(NamedTuple):
    """
    What is tried with.

    @ivar watch: watches sockets.
    @ivar aside: does in a thread what blocks.
    @ivar target: the destination; L{None}: a listener of ours, by loopback.
    @ivar seconds: that a connection may take.
    @ivar witness: is told what the journal has to have.
    @ivar later: calls a function in so many seconds, as C{callLater} does.
    """

    watch: Watcher
    aside: Callable[[Callable[[], Any]], Awaitable[Any]]
    target: tuple[Address | str, int] | None
    seconds: float
    witness: Witness
    later: Callable[..., Any]


class Entered(NamedTuple):
    """
    A place, and how it is entered.

    @ivar protocol: of the place.
    @ivar tls: to the place (L{socksgw.system.tlsclient.ClientTLS}); L{None} for none.
    """

    place: Place
    protocol: str
    tls: Any
    way: Way

    def named(self, what: str) -> str:
        """Return what people call an attempt."""
        name = f"{self.protocol}: {what} by socksgw's own client"
        return f"{name}, {self.way.called}" if self.way.called else name


class Unwanted(Exception):
    """The proxy does not offer this host the login; the text says what it wants."""


async def enters(
    entered: Entered,
    means: Means,
    asked: Expected | None,
    ask: Callable[[Any, Any], Awaitable[T]],
) -> tuple[Any, T]:
    """
    Ask a proxy for something, and have the journal looked at for it.

    @param asked: what the journal has of it, if it is allowed; L{None} for nothing.
    @param ask: asks a L{Proxy<socksgw.client.proxy.Proxy>} by a link.
    @return: the link, and the answer.
    @raise ProxyRefused: it says no.
    @raise Unwanted: it wants another login, or none.
    @raise ProbeFailed: it does not work.
    """
    place, way = entered.place, entered.way
    source = ""

    async def dial() -> socket.socket:
        nonlocal source
        found: socket.socket = await means.aside(lambda: _dialled(place, means.seconds))
        source = clientOf(found)
        return found

    logins = () if way.login is None else (way.login,)
    try:
        proxy = proxyOf(KINDS[entered.protocol], *logins)
        found = await reached(
            dial, means.watch, entered.tls, proxy, ask, way.certified, way.preface
        )
    except ProxyRefused as e:
        # What is refused before it is decided has another line.
        if asked is not None and not isinstance(e, CommandNotSupported):
            verdict = "deny" if isinstance(e, NotAllowed) else ""
            means.witness.expects(asked._replace(client=source, verdict=verdict))
        raise
    except (LoginWanted, NoMethodAccepted) as e:
        raise Unwanted(str(e)) from None
    except LoginFailed as e:
        raise ProbeFailed(str(e), _REMEDIES.get(way.method, _REMEDY)) from None
    except ProxyDistrusted as e:
        raise ProbeFailed(str(e), "are --ca and --server-name right?") from None
    except ProxyError as e:
        # Who is not believed is not answered.
        unbelieved = way.preface is not None and isinstance(e, ProxyClosed)
        remedy = _REMEDIES[way.method] if unbelieved else "does the gateway run there?"
        raise ProbeFailed(str(e), remedy) from None
    if asked is not None:
        means.witness.expects(asked._replace(client=source))
    return found


_REMEDY: Final = "are --user and the password right?"
_REMEDIES: Final = {
    "gssapi": "is the ticket for this gateway (--service), and has its keytab the key?",
    "token": "is the token right, and still valid?",
    "certificate": "does the listener's client_ca sign --certificate?",
    "gateway": "is --identity-key that of a key in the listener's identity_keys?",
}


def clientOf(connected: socket.socket) -> str:
    """Return what the journal calls a client."""
    if connected.family == socket.AF_UNIX:
        return "127.0.0.1:0"
    host, port = connected.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _dialled(place: Place, seconds: float) -> socket.socket:
    """
    Return a socket that is connected to a place, and has said its header.

    @raise ProxyUnreachable: there is nobody.
    @raise OSError: likewise, on a Unix socket.
    """
    if isinstance(place.where, tuple):
        made = dialled(*place.where, seconds)
    else:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(place.where)
        except OSError:
            made.close()
            raise
        made.setblocking(False)
    if place.headed:
        made.send(headerOf(made))
    return made


def headerOf(connected: socket.socket) -> bytes:
    """Return a PROXY header that tells of a client which is this host itself."""
    if connected.family == socket.AF_UNIX:
        own = there = (Address.parse("127.0.0.1"), 0)
    else:
        own, there = (
            (Address.parse(name[0].partition("%")[0]), name[1])
            for name in (connected.getsockname(), connected.getpeername())
        )
    return proxyHeader("v2", own, there)


def oursFor(place: Place) -> Address:
    """
    Return the address by which a proxy reaches this host: where it runs here, loopback.

    It blocks, where the proxy has a name.
    """
    if isinstance(place.where, str):
        return LOOPBACK
    try:
        found = socket.getaddrinfo(*place.where, type=socket.SOCK_STREAM)[0][4][0]
        there = Address.parse(str(found).partition("%")[0])
        with socket.socket(FAMILIES[there.version], socket.SOCK_DGRAM) as probe:
            if _isOwn(probe, there):
                return LOOPBACK
        return localTowards(there)
    except (OSError, SocksError):
        # Whoever connects there tells why that is not possible.
        return LOOPBACK


def _isOwn(probe: socket.socket, address: Address) -> bool:
    """Return whether this host has an address: a socket can be bound to it."""
    try:
        probe.bind((address.text, 0))
    except OSError:
        return False
    return True


async def connects(entered: Entered, means: Means) -> Answer:
    """
    Connect, and return what is to be told.

    @raise ProbeFailed: it does not work.
    """
    if means.target is not None:
        return await _tried(entered, means, *means.target, None)
    ours = await means.aside(lambda: oursFor(entered.place))
    family = FAMILIES[ours.version]
    with closing(socket.create_server((ours.text, 0), family=family)) as own:
        own.settimeout(means.seconds)
        return await _tried(entered, means, ours, own.getsockname()[1], own)


async def _tried(
    entered: Entered,
    means: Means,
    host: Address | str,
    port: int,
    own: socket.socket | None,
) -> Answer:
    name = entered.named("CONNECT")
    shown = host.text if isinstance(host, Address) else host
    try:
        link, accepted = await enters(
            entered,
            means,
            Expected("connect", shown, port),
            lambda proxy, link: proxy.connect(link, host, port),
        )
    except Unwanted as e:
        return unwanted(entered, name, str(e))
    except ProxyRefused as e:
        return _refused(name, f"{shown} port {port}: {e}", own is not None)
    connection = protected(link, accepted)
    try:
        if own is None:
            return Answer(name, f"it connects to {shown} port {port}")
        connection.write(TEXT)
        came = await means.aside(lambda: taken(own.accept()[0], means.seconds))
    finally:
        connection.abortConnection()
    if came != TEXT:
        raise ProbeFailed("what is sent does not arrive")
    return Answer(name, "it connects, and what is sent arrives")


def unwanted(entered: Entered, name: str, why: str) -> Answer:
    """Return what is told of a login that is not offered to this host."""
    # A gateway's key, and a certificate in SOCKS 4, say nothing in the protocol itself.
    if entered.way.called:
        return Answer(
            name,
            f"not tried: this host is not offered it ({why})",
            "warning",
            "run this on a host that its [[auth.choose]] matches, with --proxy",
        )
    methods = entered.place.methods
    if methods is not None and any(each not in ("none", "peer") for each in methods):
        return Answer(name, "a login is wanted of this host")
    return Answer(
        name,
        "not tried: a login is wanted",
        "warning",
        "name a user of the proxy: --user and --password-file",
    )


def _refused(name: str, why: str, own: bool) -> Answer:
    if own:
        return Answer(
            name,
            f"it answers and refuses this host, {why}",
            "warning",
            "name a destination that a rule allows: --target HOST:PORT",
        )
    return Answer(
        name, f"it refuses {why}", "failed", "ask why: socksgw explain, or the journal"
    )


def taken(peer: socket.socket, seconds: float) -> bytes:
    """Return what a connection brings first, and close it."""
    with peer:
        peer.settimeout(seconds)
        came = b""
        while len(came) < len(TEXT) and (octets := peer.recv(100)):
            came += octets
        return came


def whereOf(entered: Entered, host: Address, port: int) -> tuple[str, int]:
    """Return where a port of the proxy is reached that it has told."""
    where = entered.place.where
    if host.isUnspecified:
        return (where[0] if isinstance(where, tuple) else LOOPBACK.text), port
    return host.text, port


def refused(entered: Entered, name: str, command: str, error: ProxyRefused) -> Answer:
    """Return what is told of a command that the proxy refuses."""
    if isinstance(error, CommandNotSupported):
        return Answer(name, f"it does not have it here: {error}")
    commands = entered.place.commands
    if commands is not None and command not in commands:
        return Answer(name, f"it refuses, as no rule allows it: {error}")
    return Answer(
        name,
        f"it answers and refuses this host: {error}",
        "warning",
        "ask why: socksgw explain, or the journal",
    )
