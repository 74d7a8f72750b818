"""
What is asked for the addresses of a name.

That is the name servers of the configuration (here); those of this host, after its
hosts file (L{socksgw.route.hostlookup}); or the C library, in threads of its own
(L{socksgw.route.librarylookup}).
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, final

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure

from socksgw.errors import LookupFailed
from socksgw.interfaces import SetDeadline
from socksgw.route.nameserver import ServerSettings
from socksgw.route.nameservers import NameServers
from socksgw.route.pair import VERSIONS, Came, lookupError
from socksgw.system.domains import HERE, Sockets
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address

__all__ = [
    "QUESTIONS",
    "Both",
    "Each",
    "Lookup",
    "NoLookup",
    "ServersLookup",
    "questionsFor",
]

#: Questions to name servers at a time, at most, and the share of one source.
QUESTIONS: Final = 1024
_SOURCES: Final = 4
#: The share of the descriptors that their sockets take, as 1/n.
_SHARE: Final = 4
#: The limit on descriptors of most systems, where it cannot be asked for.
_USUAL: Final = 1024


class Both(Protocol):
    """
    Both questions about a name.

    @ivar bounded: whether both end by themselves in the time that a look-up has.
    """

    @property
    def bounded(self) -> bool:
        """See above."""

    def cancel(self, version: int) -> None:
        """Have one of them fail, if it can be ended."""


class Lookup(Protocol):
    """
    Where answers come from.

    @ivar places: questions at a time.
    @ivar perSource: the same, of one source.
    @ivar cancels: whether a question that is cancelled costs nothing more.
    """

    places: int
    perSource: int
    cancels: bool

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """
        Look up the addresses of a name.

        @param version: 4 or 6.
        @return: fires with what was found, nothing where the name has only
            others; fails with L{socksgw.errors.LookupFailed}, with
            L{NoSuchName} when there is no such name.
        """

    def both(self, name: str, came: Came) -> Both:
        """
        Look up the addresses of a name of either version.

        @param came: as of L{Pair}; it may be called before this returns.
        """

    def pointer(self, address: Address) -> Deferred[str]:
        """
        Look up the name of an address.

        @return: fires with the name that DNS gives it; fails with
            L{socksgw.errors.LookupFailed}.
        """

    def start(self) -> None:
        """Be ready for questions."""

    def stop(self) -> None:
        """End the questions that are asked."""


def questionsFor(servers: int) -> tuple[int, int]:
    """
    Return how many questions may be asked at a time, in all and by one source.

    A question that no server answers has a socket for each of them. Where there are
    few descriptors, few questions are allowed, so that one source's questions leave
    some for new clients.
    """
    try:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        limit = _USUAL
    places = QUESTIONS
    if limit != resource.RLIM_INFINITY:
        places = min(places, max(_SOURCES, limit // _SHARE // servers))
    return places, places // _SOURCES


@final
class Each:
    """
    Both questions about a name, asked one by one.
    """

    __slots__ = ("_asked",)

    bounded: Final = False

    def __init__(
        self,
        addresses: Callable[[str, int], Deferred[list[Address]]],
        name: str,
        came: Came,
    ) -> None:
        """
        Ask them.

        @param addresses: as L{Lookup.addresses}.
        """
        self._asked: dict[int, Deferred[list[Address]]] = {}

        def failed(failure: Failure, version: int) -> None:
            came(version, lookupError(failure.value))

        for version in VERSIONS:
            asked = maybeDeferred(addresses, name, version)
            self._asked[version] = asked
            asked.addCallbacks(partial(came, version), failed, errbackArgs=(version,))

    def cancel(self, version: int) -> None:
        """As L{Both.cancel}."""
        self._asked[version].cancel()


@final
class ServersLookup:
    """
    Name servers alone.
    """

    cancels = True

    def __init__(
        self,
        reactor: Any,
        watch: Watcher,
        setDeadline: SetDeadline,
        settings: ServerSettings,
        timeout: float,
        sockets: Sockets = HERE,
    ) -> None:
        self.places, self.perSource = questionsFor(len(settings.servers))
        self._servers = NameServers(
            reactor, watch, setDeadline, settings, timeout, sockets
        )
        self.addresses = self._servers.addresses
        self.both = self._servers.both
        self.pointer = self._servers.pointer
        self.stop = self._servers.stop

    def start(self) -> None:
        """Do nothing: without questions nothing runs."""


@final
class NoLookup:
    """
    Nothing: names are refused.
    """

    places = QUESTIONS
    perSource = QUESTIONS // _SOURCES
    cancels = True

    def __init__(self, where: str) -> None:
        """
        @param where: the routing domain that has no name servers.
        """
        self._why = (
            f"no name servers are known for {where}: name them in [listen.resolver], "
            "or have the client send addresses"
        )

    def addresses(self, name: str, version: int) -> Deferred[list[Address]]:
        """As L{Lookup.addresses}: fails."""
        return fail(LookupFailed(self._why, reason="no-name-servers"))

    def both(self, name: str, came: Came) -> Each:
        """As L{Lookup.both}: both fail."""
        return Each(self.addresses, name, came)

    def pointer(self, address: Address) -> Deferred[str]:
        """As L{Lookup.pointer}: fails."""
        return fail(LookupFailed(self._why, reason="no-name-servers"))

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""
