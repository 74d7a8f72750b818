"""
The supervisor's side of a program's datagrams, and its questions of DNS.

A socket of the program sends to the supervisor: for each destination there is a gate, a
socket of the supervisor's. What comes from the destination leaves by its gate, so that
the program's socket hears it whether it is connected or not.
"""

from __future__ import annotations

import errno
import socket
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol

from socksgw.client.errors import ProxyError
from socksgw.interfaces import SetDeadline
from socksgw.run.errnos import errorOf, told
from socksgw.run.memory import Place
from socksgw.run.names import Names
from socksgw.run.standin import loopback
from socksgw.system.watch import READ, Watcher
from socksgw.wire.address import Address

__all__ = ["DNS", "Associated", "Bundle", "Bundles", "Gates", "LoopbackGates"]

#: The port of name servers, which the supervisor stands for.
DNS: Final = 53
#: The most destinations of one socket at a time; those of longest ago are forgotten.
_GATES: Final = 1024
#: Datagrams that wait for an association.
_WAITING: Final = 64
#: Seconds between two looks whether the program has closed its sockets.
_LOOK: Final = 30.0
_BUFFER: Final = 1 << 16


class Associated(Protocol):
    """
    An association at the gateway, as L{Association} is one.

    @ivar ended: fires when it has ended.
    """

    ended: Deferred[BaseException | None]

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Send a datagram to a host and a port."""

    def stopListening(self) -> object:
        """End it."""


class Gates(Protocol):
    """What makes the sockets of gates."""

    def open(self, family: int, place: Place, near: tuple[str, int]) -> socket.socket:
        """
        Return the socket of a gate, which does not block.

        @param family: of the program's socket.
        @param place: the destination.
        @param near: where the program's socket is; port 0 where it has none yet.
        @raise OSError: there is none.
        """

    def isGone(self, family: int, near: tuple[str, int]) -> bool:
        """Return whether the program has closed a socket: its port is free."""


@final
class LoopbackGates:
    """Gates on loopback, in the network of the program."""

    def open(self, family: int, place: Place, near: tuple[str, int]) -> socket.socket:
        """As L{Gates.open}."""
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            made.bind((loopback(family), 0))
            if near[1]:
                made.connect(near)
        except BaseException:
            made.close()
            raise
        return made

    def isGone(self, family: int, near: tuple[str, int]) -> bool:
        """As L{Gates.isGone}."""
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(near)
            except OSError as e:
                return e.errno != errno.EADDRINUSE
        return True


@final
class _Gate:
    """
    The supervisor's side of one destination of a socket.

    @ivar place: the destination.
    @ivar host: what the gateway is asked for.
    @ivar port: the gate's own port.
    """

    def __init__(self, bundle: Bundle, place: Place, near: tuple[str, int]) -> None:
        self._bundle = bundle
        self.place = place
        self.host = bundle.shared.names.hostOf(place.address)
        self._socket = bundle.shared.gates.open(bundle.family, place, near)
        self.port: int = self._socket.getsockname()[1]
        bundle.shared.watch.add(self._socket.fileno(), READ, self._ready)

    @property
    def at(self) -> tuple[str, int]:
        """Where the program's socket reaches it."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def heed(self, near: tuple[str, int]) -> None:
        """Hear the program's socket alone."""
        self._socket.connect(near)

    def _ready(self, _: int) -> None:
        try:
            octets = self._socket.recv(_BUFFER)
        except OSError:
            # It would block, or the program has closed its socket.
            return
        self._bundle.out(self, octets)

    def tell(self, octets: bytes) -> None:
        """Send a datagram to the program's socket."""
        # A socket that is full, or gone, loses datagrams.
        with suppress(OSError):
            self._socket.send(octets)

    def close(self) -> None:
        """Close it."""
        self._bundle.shared.watch.remove(self._socket.fileno())
        self._socket.close()


@final
class _Hearing(DatagramProtocol):
    """What comes by an association."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Hand a datagram on."""
        self._bundle.came(datagram, Address.parse(addr[0]), addr[1])


@final
class Bundle:
    """
    The gates of one socket of the program, and its association.

    @ivar family: the socket's.
    @ivar failure: the error number by which there is no association; 0 for none.
    """

    def __init__(self, shared: Bundles, family: int) -> None:
        self.shared = shared
        self.family = family
        self.near = ("", 0)
        self.failure = 0
        self._gates: OrderedDict[tuple[Address, int], _Gate] = OrderedDict()
        self._association: Associated | None = None
        self._opening: Deferred[Any] | None = None
        self._waiting: list[tuple[_Gate, bytes]] = []
        #: Which gate answers come by whose source is not its destination.
        self._learned: dict[tuple[Address, int], _Gate] = {}

    def gate(self, place: Place) -> _Gate:
        """
        Return the gate of a destination.

        @raise OSError: there can be none.
        """
        key = place.address, place.port
        found = self._gates.get(key)
        if found is None:
            found = self._gates[key] = _Gate(self, place, self.near)
            if len(self._gates) > _GATES:
                _, oldest = self._gates.popitem(last=False)
                self._forget(oldest)
        self._gates.move_to_end(key)
        return found

    def _forget(self, gate: _Gate) -> None:
        for key in [key for key, each in self._learned.items() if each is gate]:
            del self._learned[key]
        gate.close()

    def heed(self, near: tuple[str, int]) -> None:
        """Take note of where the program's socket is."""
        if near != self.near:
            self.near = near
            for gate in self._gates.values():
                gate.heed(near)

    def placeOf(self, port: int) -> Place | None:
        """Return the destination whose gate has a port; L{None} if it is none."""
        for gate in self._gates.values():
            if gate.port == port:
                return gate.place
        return None

    # Out.

    def out(self, gate: _Gate, octets: bytes) -> None:
        """Send a datagram of the program."""
        if gate.place.port == DNS:
            answer = self.shared.names.answer(octets)
            if answer is not None:
                gate.tell(answer)
        elif self._association is not None:
            self._association.write(octets, (str(gate.host), gate.place.port))
        elif not self.failure:
            if len(self._waiting) < _WAITING:
                self._waiting.append((gate, octets))
            self.open()
        else:
            # The program's next call tells the failure.
            self._refuse(gate)

    def _refuse(self, gate: _Gate) -> None:
        """Have the kernel tell a connected socket that nobody is there."""
        key = gate.place.address, gate.place.port
        if self._gates.pop(key, None) is not None:
            self._forget(gate)

    def open(self) -> None:
        """Have an association, unless there is one."""
        if self._opening is None and self._association is None:
            opening = self._opening = self.shared.associate(_Hearing(self))
            opening.addCallbacks(self._opened, self._failed)

    @property
    def decided(self) -> Deferred[Any] | None:
        """The association that is on its way; L{None} if none is."""
        return self._opening

    def _opened(self, association: Associated) -> None:
        self._opening = None
        self._association = association
        association.ended.addCallback(self._ended)
        waiting, self._waiting = self._waiting, []
        for gate, octets in waiting:
            self.out(gate, octets)

    def _failed(self, failure: Any) -> None:
        self._opening = None
        if failure.trap(ProxyError, CancelledError) is CancelledError:
            return
        error = errorOf(failure.value, "datagrams")
        self.failure = error.errno or errno.EIO
        self.shared.say(told(error))
        waiting, self._waiting = self._waiting, []
        for gate in {gate for gate, _ in waiting}:
            self._refuse(gate)

    def _ended(self, _: object) -> None:
        """Have another association for the next datagram."""
        self._association = None

    # In.

    def came(self, octets: bytes, address: Address, port: int) -> None:
        """Hand a datagram to the program."""
        key = address, port
        gate = self._gates.get(key) or self._learned.get(key) or self._named(port)
        if gate is None:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            if self.family == socket.AF_INET and family != self.family:
                return
            try:
                gate = self.gate(Place(self.family, address, port))
            except OSError:
                return
        elif key not in self._gates:
            self._learned[key] = gate
        gate.tell(octets)

    def _named(self, port: int) -> _Gate | None:
        """Return the gate of a name that no answer has come from yet."""
        taken = set(self._learned.values())
        for gate in reversed(self._gates.values()):
            if gate.place.port == port and isinstance(gate.host, str):
                if gate not in taken:
                    return gate
        return None

    # The end.

    def isGone(self) -> bool:
        """Return whether the program's socket is closed."""
        return not self.near[1] or self.shared.gates.isGone(self.family, self.near)

    def close(self) -> None:
        """Close everything."""
        for gate in self._gates.values():
            gate.close()
        self._gates.clear()
        self._learned.clear()
        if self._opening is not None:
            self._opening.cancel()
        elif self._association is not None:
            self._association.stopListening()


@final
class Bundles:
    """
    The bundles of all sockets of a program.

    @ivar watch: tells when sockets are ready.
    @ivar names: the names that were looked up.
    @ivar gates: makes the sockets of gates.
    @ivar associate: makes an association (L{Associated}) for a C{DatagramProtocol}.
    @ivar say: is told why there is no association.
    """

    def __init__(
        self,
        watch: Watcher,
        setDeadline: SetDeadline,
        names: Names,
        gates: Gates,
        associate: Callable[[Any], Deferred[Any]],
        say: Callable[[str], None],
    ) -> None:
        self.watch = watch
        self.names = names
        self.gates = gates
        self.associate = associate
        self.say = say
        self._setDeadline = setDeadline
        self._bundles: dict[object, Bundle] = {}

    def start(self) -> None:
        """Look now and then which sockets the program has closed."""
        self._setDeadline(_LOOK, self._look)

    def _look(self) -> None:
        for key in [key for key, each in self._bundles.items() if each.isGone()]:
            self._bundles.pop(key).close()
        self.start()

    def find(self, key: object) -> Bundle | None:
        """Return the bundle of a socket, if it has one."""
        return self._bundles.get(key)

    def of(self, key: object, family: int) -> Bundle:
        """
        Return the bundle of a socket, which is made if there is none.

        @param key: names the socket.
        """
        found = self._bundles.get(key)
        if found is None:
            found = self._bundles[key] = Bundle(self, family)
        return found

    def at(self, place: Place, near: tuple[str, int]) -> Bundle:
        """
        Return the bundle of a socket that is known by where it is.

        @param place: what it sends to, which tells its family.
        """
        family = socket.AF_INET if place.address.version == 4 else socket.AF_INET6
        bundle = self.of((family, near), family)
        bundle.heed(near)
        return bundle
