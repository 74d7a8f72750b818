"""
All listeners of a gateway: opened, changed while they serve, paused, closed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, final

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.accept.certificates import ServerTLS
from socksgw.accept.endpoints import (
    ListeningPort,
    isMissingFamily,
    isTaken,
    remedyFor,
    surrender,
)
from socksgw.accept.ipsec import IPsecLayer
from socksgw.accept.layers import Layer
from socksgw.accept.listener import Listener, Service
from socksgw.accept.proxied import ProxyLayer
from socksgw.accept.tls import TLSLayer
from socksgw.accept.transparent import Host, TransparentLayer
from socksgw.accept.unixport import (
    UnixPort,
    permissionsOf,
    remedyForPath,
)
from socksgw.config.listening import UNIX
from socksgw.config.schema import Config, Listen
from socksgw.errors import ConnectFailed
from socksgw.gateway.generation import Generation
from socksgw.gateway.places import (
    DATAGRAMS,
    DIVERTED,
    Keeper,
    Key,
    NoKeeper,
    keysOf,
    portOf,
)
from socksgw.gateway.role import Role
from socksgw.gateway.starting import CannotStart
from socksgw.system.domains import HERE, Domain, Sockets
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address
from socksgw.wire.server import configured

__all__ = ["Listeners"]

_log = Logger()


@final
class _Pending:
    """
    What stands for the port of an endpoint that takes its time to open.

    @ivar withdrawn: whether it is to be closed as soon as it is open.
    @ivar paused: whether it is to rest then.
    """

    def __init__(self) -> None:
        self.withdrawn = self.paused = False

    def stopListening(self) -> None:
        """Have it closed."""
        self.withdrawn = True

    def stopReading(self) -> None:
        """Have it rest."""
        self.paused = True

    def startReading(self) -> None:
        """Have it accept clients."""
        self.paused = False

    def getHost(self) -> None:
        """Return no address: it has none yet."""


@final
class Listeners:
    """
    The listeners of a gateway, with their ports.

    @ivar byName: the listeners; one that is closed stays while it has clients.
    @ivar keeper: has the sockets kept for the next process.
    """

    def __init__(
        self,
        service: Service,
        reactor: Any,
        watch: Watcher,
        exhausted: Callable[[], None],
        host: Host,
        socketsOf: Callable[[Domain], Sockets] = lambda _: HERE,
        role: Role | None = None,
    ) -> None:
        """
        Begin with no listener.

        @param exhausted: called when there is no descriptor or memory for a
            client.
        @param socketsOf: returns where the sockets of a domain come from.
        @param role: how ports are opened.
        """
        self._role = role or Role()
        self.keeper: Keeper = NoKeeper()
        self._socketsOf = socketsOf
        self._wanted: list[Key] = []
        self._service = service
        self._reactor = reactor
        self._watch = watch
        self._exhausted = exhausted
        self._host = host
        self.byName: dict[str, Listener] = {}
        self._ports: dict[Key, Any] = {}
        self._listens: dict[str, Listen] = {}
        self._given: dict[tuple[str, ...], Sequence[socket.socket]] = {}

    def prepare(self, config: Config, generation: Generation) -> None:
        """
        Create the listeners that are new, and configure all of them.
        """
        known = configured(config.http.realm, config.http.reasons)
        for listen in config.listen:
            listener = self.byName.get(listen.name)
            if listener is None:
                listener = Listener(self._service, listen.name)
                self.byName[listen.name] = listener
            self._listens[listen.name] = listen
            believed = generation.senders.get(listen.name)
            isSender = None if believed is None else believed.covers
            listener.configure(
                listen.spoken,
                listen.half_open,
                listen.half_open_per_source,
                config.timeouts.handshake,
                tuple(
                    self._layers(
                        listen,
                        generation.secured.get(listen.name),
                        isSender,
                        generation.asserted.get(listen.name),
                    )
                ),
                known,
                isSender,
                listen.domain,
            )

    def _layers(
        self,
        listen: Listen,
        tls: ServerTLS | None,
        isSender: Callable[[Address], bool] | None,
        asserted: Layer | None,
    ) -> Iterator[Layer]:
        """Yield what stands between the sockets of clients and what they say."""
        if listen.ipsec_mark:
            yield IPsecLayer(listen.ipsec_mark)
        if isSender is not None:
            yield ProxyLayer(isSender)
        if listen.transparent is not None:
            redirected = listen.transparent == "redirect"
            yield TransparentLayer(redirected, self._host)
        if tls is not None:
            yield TLSLayer(tls, self._watch)
        if asserted is not None:
            yield asserted

    def open(self, listens: Sequence[Listen], lenient: bool) -> list[str]:
        """
        Open every address and endpoint.

        @param lenient: leave out IPv6's loopback where the host has none.
        @return: a line for each address that was left out, with the reason.
        @raise CannotStart: one cannot be opened.
        """
        skipped: list[str] = []
        self._wanted = keysOf(listens)
        for key in self._wanted:
            self._open(key, skipped if lenient else None)
        self._settle()
        self.keeper.changed()
        return skipped

    def named(self, name: str) -> Listener:
        """Return the listener of a name; a closed one, where none is configured."""
        listener = self.byName.get(name)
        if listener is None:
            listener = self.byName[name] = Listener(self._service, name)
            listener.close()
        return listener

    def give(self, sockets: Mapping[tuple[str, ...], Sequence[socket.socket]]) -> None:
        """
        Have L{open} use sockets that listen already.

        @param sockets: by what L{handles} of the other process has told.
        """
        self._given = dict(sockets)

    def _take(self, key: Key) -> Any:
        """Return what listens at a place already, if it was given, as the role has it."""
        told = key.told
        if told not in self._given:
            # The listener may have another name by now.
            told = next((each for each in self._given if each[1:] == told[1:]), told)
        return self._role.given(self._given.pop(told, ()))

    def dropGiven(self) -> None:
        """Close the sockets that were given and are not wanted."""
        for sockets in self._given.values():
            for each in sockets:
                each.close()
        self._given.clear()

    def places(self, listens: Sequence[Listen]) -> list[tuple[str, ...]]:
        """Return what tells each place of some listeners, as L{handles} does."""
        return [key.told for key in keysOf(listens)]

    def handles(self) -> list[tuple[tuple[str, ...], int]]:
        """
        Return the descriptors of each port, with what tells its place.

        @raise CannotStart: there is a port that no other process can go on with.
        """
        found = []
        for key, port in self._ports.items():
            handles = self._role.handlesOf(port)
            if not handles:
                raise CannotStart(f"the endpoint {key} cannot be handed over")
            found += [(key.told, fd) for fd in handles]
        return found

    def surrender(self) -> None:
        """Leave every port to another process, which has its socket."""
        for key in list(self._ports):
            self.byName[key.name].leaving += 1
            port = self._ports.pop(key)
            if isinstance(port, tcp.Port) and not isinstance(port, ListeningPort):
                surrender(port)
            else:
                port.surrender()
        for listener in self.byName.values():
            listener.close()

    def reopen(self, domain: Domain) -> list[str]:
        """
        Open the ports of a domain anew, since another one has its name now.

        @return: a line for each that cannot be opened.
        """
        keys = [key for key in self._wanted if key.domain == domain]
        self._closeAll([key for key in keys if key in self._ports])
        failed: list[str] = []
        for key in keys:
            try:
                self._open(key, None)
            except CannotStart as e:
                failed.append(str(e))
        self._settle()
        self.keeper.changed()
        return failed

    def change(self, listens: Sequence[Listen]) -> None:
        """
        Open what is new, and close what is gone.

        Ports that stay are not touched. If something new cannot be opened,
        nothing changes.

        @raise CannotStart: one cannot be opened. An endpoint's plug-in may raise
            anything else, with the same effect.
        """
        wanted = keysOf(listens)
        gone = [key for key in self._ports if key not in wanted]
        new = [key for key in wanted if key not in self._ports]
        renamed = self._renamed(gone, new)
        gone = [key for key in gone if key not in renamed]
        new = [key for key in new if key not in renamed.values()]
        with self._permitted(wanted, {b: a for a, b in renamed.items()}):
            self._replace(gone, new)
        self._wanted = wanted
        for before, after in renamed.items():
            port = self._ports[after] = self._ports.pop(before)
            self.byName[before.name].leaving += 1
            port.handTo(self.byName[after.name])
        open_ = {key.name for key in self._ports}
        for name, listener in self.byName.items():
            if name not in open_:
                listener.close()
        self._settle()
        self.keeper.changed()

    def _settle(self) -> None:
        """Have the sockets of TCP as C{fast_open} says, also those that were open."""
        for key, port in self._ports.items():
            if isinstance(port, ListeningPort):
                port.fastOpen(self._listens[key.name].fast_open)

    def _replace(self, gone: Sequence[Key], new: Sequence[Key]) -> None:
        """
        Open what is new, and close what is gone.

        @raise CannotStart: as L{change}.
        """
        try:
            self._openAll(new)
        except CannotStart as e:
            if e.taken not in {portOf(key.where) for key in gone} - {0}:
                raise
            # A port that is to be closed may be the one that is taken.
            self._closeAll(gone)
            try:
                self._openAll(new)
            except Exception:
                self._openAll(gone)
                # These are other sockets.
                self._role.relisten()
                raise
        else:
            self._closeAll(gone)

    @contextmanager
    def _permitted(
        self, wanted: Sequence[Key], before: Mapping[Key, Key]
    ) -> Iterator[None]:
        """
        Give the sockets that stay the modes and owners of now.

        @param before: the keys that ports have had, where they have others now.
        @raise CannotStart: that is not permitted. After this or any exception inside
            they have those from before.
        """
        changed: list[tuple[UnixPort, tuple[int, tuple[int, int]]]] = []
        try:
            for key in wanted:
                port = self._ports.get(before.get(key, key))
                if isinstance(port, UnixPort):
                    listen = self._listens[key.name]
                    changed.append((port, port.permissions))
                    try:
                        port.permit(*permissionsOf(listen.mode, listen.owner))
                    except OSError as e:
                        raise CannotStart(remedyForPath(key.where, e)) from None
            yield
        except BaseException:
            for port, permissions in changed:
                with suppress(OSError):
                    port.permit(*permissions)
            raise

    def _renamed(self, gone: Sequence[Key], new: Sequence[Key]) -> dict[Key, Key]:
        """
        Return the addresses that stay open for a listener of another name.

        @return: the new key of each old one.
        """
        found: dict[Key, Key] = {}
        left = {key.place: key for key in new}
        for key in gone:
            if isinstance(self._ports[key], ListeningPort) and key.place in left:
                found[key] = left.pop(key.place)
        return found

    def _openAll(self, keys: Sequence[Key]) -> None:
        opened: list[Key] = []
        try:
            for key in keys:
                self._open(key, None)
                opened.append(key)
        except Exception:
            self._closeAll(opened)
            raise

    def _closeAll(self, keys: Sequence[Key], stay: bool = False) -> None:
        """
        Close ports.

        @param stay: whether the next process has their sockets.
        """
        for key in keys:
            self.byName[key.name].leaving += 1
            port = self._ports.pop(key)
            if isinstance(port, ListeningPort):
                port.part(stay)
            maybeDeferred(port.stopListening)

    def _open(self, key: Key, skipped: list[str] | None) -> None:
        where = key.where
        listener = self.byName[key.name]
        if where.startswith(UNIX) and not key.endpoint:
            self._openPath(key, listener)
            return
        given = self._take(key)
        try:
            if key.what is DATAGRAMS:
                port: Any = self._role.datagrams(
                    where, listener, self._watch, self._host, given
                )
            else:
                port = self._role.address(
                    self._reactor,
                    where,
                    listener,
                    self._exhausted,
                    self._watch,
                    key.what is DIVERTED,
                    self._socketsOf(key.domain),
                    given,
                )
        except ValueError:
            self._openEndpoint(key, listener, given)
        except ConnectFailed as e:
            raise CannotStart(f"cannot listen on {where}: {e}") from None
        except (CannotListenError, OSError) as e:
            line = remedyFor(str(key), e)
            if skipped is None or not isMissingFamily(where, e):
                taken = portOf(where) if isTaken(e) else 0
                raise CannotStart(line, taken) from None
            skipped.append(f"left out: {line}")
        else:
            self._ports[key] = port

    def _openPath(self, key: Key, listener: Listener) -> None:
        listen = self._listens[key.name]
        try:
            self._ports[key] = self._role.path(
                self._reactor,
                key.where,
                *permissionsOf(listen.mode, listen.owner),
                listener,
                self._exhausted,
                self._watch,
                self._take(key),
            )
        except (CannotListenError, OSError) as e:
            raise CannotStart(remedyForPath(key.where, e)) from None

    def _openEndpoint(self, key: Key, listener: Listener, given: Any) -> None:
        name, endpoint = key.name, key.where
        failures: list[str] = []
        returned = False

        def opened(port: Any) -> None:
            if pending.withdrawn:
                maybeDeferred(port.stopListening)
                return
            self._ports[key] = port
            if pending.paused:
                port.stopReading()

        def failed(failure: Failure) -> None:
            if pending.withdrawn:
                # Nobody wants it any more, and nothing closes.
                listener.leaving -= 1
                return
            del self._ports[key]
            line = remedyFor(endpoint, failure.value)
            if returned:
                # The configuration is in force by now.
                _log.critical("{line}", line=line)
                self._service.lost(name)
            failures.append(line)

        try:
            listening = self._role.endpoint(
                self._reactor, endpoint, listener, self._watch, given
            )
        except ValueError as e:
            raise CannotStart(f"endpoint {endpoint}: {e}") from None
        pending = self._ports[key] = _Pending()
        listening.addCallbacks(opened, failed)
        returned = True
        if failures:
            raise CannotStart(failures[0])

    def bound(self) -> Iterator[tuple[str, int, Domain]]:
        """
        Yield the addresses and ports that are open, with their domains.

        One where UDP is open, too, comes once.
        """
        for key, port in self._ports.items():
            if key.what is DATAGRAMS:
                continue
            host = port.getHost()
            if isinstance(host, (IPv4Address, IPv6Address)):
                # A link-local address is followed by its interface.
                yield host.host.partition("%")[0], host.port, key.domain

    def ports(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Yield what is open, each port with what tells its place."""
        for key, port in self._ports.items():
            yield key.told, port

    @property
    def isOpen(self) -> bool:
        """Whether any port is."""
        return bool(self._ports)

    def rest(self) -> None:
        """Accept no connections until L{goOn}; nothing is closed."""
        for port in self._ports.values():
            port.stopReading()

    def goOn(self) -> None:
        """Accept connections again, after L{rest}."""
        for port in self._ports.values():
            port.startReading()

    def pause(self) -> None:
        """Accept no connections until L{resume}; close those that rest."""
        for port in self._ports.values():
            port.stopReading()
        for listener in self.byName.values():
            listener.relieve()

    def resume(self) -> None:
        """Accept connections again."""
        self.goOn()

    def close(self, last: bool = False) -> None:
        """
        Close every port.

        @param last: whether the process ends: what is kept goes on listening then.
        """
        self._closeAll(list(self._ports), last and self.keeper.keeps)
        self.keeper.changed()
        for listener in self.byName.values():
            listener.close()
