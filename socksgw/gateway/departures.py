"""
The ways of sessions that leave by a chosen address, device or mark.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from twisted.logger import Logger

from socksgw.audit.process import leavingLine
from socksgw.config.schema import Listen
from socksgw.policy.leaving import SAME, Leaving
from socksgw.route.chosen import Chosen
from socksgw.route.leaving import Departure, LeaveBy
from socksgw.route.ways import Direct
from socksgw.system.domains import HERE, Domain, Sockets
from socksgw.system.once import Once
from socksgw.system.outgoing import Marked, Near, Outgoing
from socksgw.wire.address import Address

__all__ = ["Departures"]

_log = Logger()

#: Makes the ways of a routing domain, by a departure.
Make = Callable[[Domain, Departure], Direct]


@final
class Departures:
    """
    What makes such ways, and says once when an address is not there.
    """

    def __init__(
        self,
        socketsOf: Callable[[Domain], Sockets],
        make: Make,
        bans: Callable[[Address, int], bool],
        append: Callable[[str], object],
    ) -> None:
        """
        Take the parts.

        @param socketsOf: returns the sockets of a routing domain.
        @param bans: whether an address and port are banned if they lead to this host.
        @param append: writes a line to the journal.
        """
        self._socketsOf = socketsOf
        self._make = make
        self._bans = bans
        self._append = append
        self._missing = Once()

    def ways(
        self,
        listen: Listen,
        leaving: Leaving | None,
        usual: Direct | Chosen,
        trusted: bool = False,
    ) -> Direct | Chosen:
        """
        Return the ways of a listener's sessions.

        @param leaving: what the rule says.
        @param usual: where neither says anything.
        @param trusted: whether they may lead to this host: to upstreams, which
            whoever configures them may have here.
        """
        said = (leaving or Leaving()).orElse(listen.leave_by, listen.mark)
        words = said.leaveBy
        if not (words or said.device or said.mark):
            return usual
        domain = listen.domain
        sockets = self._socketsOf(domain)
        if said.device and domain.kind == "device":
            # A socket that is bound to a device can be bound to no other.
            sockets = HERE
        bare = Marked(sockets, said.device, said.mark or None)
        bans = _never if trusted else self._bans

        def make(near: Near) -> Direct:
            outgoing = Outgoing(bare, near, self._found)
            return self._make(domain, Departure(near, bare, outgoing, bans))

        if not words:
            return make(Near(None, None, True))
        if SAME in words:
            return Chosen(LeaveBy((), same=True), make)
        leaveBy = LeaveBy(map(Address.parse, words))
        return Chosen(leaveBy, make) if leaveBy.only is None else make(leaveBy.only)

    def _found(self, address: Address, found: bool) -> None:
        """Say that an address is not there, and that it is there again."""
        if found:
            if self._missing.ends(address):
                _log.warn("leave_by: {address} is there again", address=address.text)
                self._append(leavingLine(address.text, "found"))
        elif self._missing.begins(address):
            _log.error(
                "leave_by: {address} is no address of this host now; what has to leave "
                "by it fails",
                address=address.text,
            )
            self._append(leavingLine(address.text, "lost"))


def _never(_address: Address, _port: int) -> bool:
    return False
