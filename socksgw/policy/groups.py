"""
What a rule says of the multicast groups that it allows, and which groups are local.
"""

from __future__ import annotations

from typing import Final, final

from attrs import frozen

from socksgw.policy.conditions import Addresses, Never
from socksgw.policy.special import kinds
from socksgw.wire.address import Address

__all__ = ["ORDINARY", "GroupTerms", "bannedGroup", "isGroup"]

#: Scopes of IPv6 groups that no router forwards: reserved, interface-local and
#: link-local (RFC 4291 section 2.7, RFC 7346).
_LOCAL_SCOPES: Final = (0, 1, 2)
#: The Local Network Control Block (RFC 5771 section 4).
_LOCAL_CONTROL: Final = b"\xe0\x00\x00"


@final
@frozen
class GroupTerms:
    """
    What a rule lets clients do in the groups that it allows.

    @ivar send: whether they may send, too.
    @ivar ttl: the most that the TTL, or the hop limit, of what they send may be.
    @ivar sources: whose datagrams come through; L{None} for everybody's.
    @ivar interface: where the groups are joined; empty for the listener's.
    """

    send: bool = False
    ttl: int = 1
    sources: Addresses | None = None
    interface: str = ""

    def admits(self, source: Address) -> bool:
        """Tell whether the datagrams of a sender come through."""
        return self.sources is None or self.sources.covers(source)


#: Where a rule says nothing of them.
ORDINARY: Final = GroupTerms()


def isGroup(address: Address) -> bool:
    """Tell whether an address is that of a multicast group."""
    return "multicast" in kinds(address)


def _isLocal(group: Address) -> bool:
    """
    Tell whether a group never leaves one network: routing protocols and mDNS are there.
    """
    if group.version == 4:
        return group.packed.startswith(_LOCAL_CONTROL)
    return group.packed[1] & 0x0F in _LOCAL_SCOPES


def bannedGroup(
    never: Never, group: Address, port: int, listener: str | None
) -> str | None:
    """
    Return why a group is banned before every rule; L{None} where it is not.

    That a group is C{special} does not ban it: rules for groups name what they allow.
    Groups of the local network are banned where that word bans anything.

    @param port: 0 while it is not known.
    @param listener: the client's.
    """
    if not isGroup(group):
        return f"{group} is not a multicast group"
    banned = never.banned
    if banned is None or never.lifts(group, port or None):
        return None
    if _isLocal(group) and "special" in banned.words:
        return f"{group} is a group of the local network (special)"
    if banned.everything or group in banned.networks or "multicast" in banned.words:
        return banned.why(group, port, listener)
    return None
