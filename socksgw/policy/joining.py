"""
What a client wants to do in a multicast group, and whether a rule lets it do all of that.
"""

from __future__ import annotations

from enum import Enum
from typing import final

from attrs import frozen

from socksgw.policy.questions import Obligations
from socksgw.wire.address import Address

__all__ = ["Joining", "Lack", "lackOf"]


@final
@frozen
class Joining:
    """
    What a client wants to do in a group.

    @ivar ttl: the TTL, or the hop limit, of what it sends; L{None} where it sends
        nothing.
    @ivar sources: the only senders whose datagrams it wants; empty for everybody's.
    """

    ttl: int | None = None
    sources: tuple[Address, ...] = ()


class Lack(Enum):
    """What a rule that allows a group does not let a client do there."""

    SENDERS = "senders"
    SENDING = "sending"
    TTL = "ttl"
    UPSTREAMS = "upstreams"


def lackOf(joining: Joining, obligations: Obligations) -> tuple[Lack, str] | None:
    """
    Return what a rule does not let a client do in a group that it allows, and why.

    @param obligations: of that rule.
    @return: L{None} where the client may do all that it wants.
    """
    terms, leaving = obligations.groups, obligations.leaving
    for each in joining.sources:
        if not terms.admits(each):
            why = f"{each} is none of the senders (multicast.sources of the rule)"
            return Lack.SENDERS, why
    if joining.ttl is not None:
        if not terms.send:
            return Lack.SENDING, "the rule lets nobody send (multicast.send)"
        if joining.ttl > terms.ttl:
            most = f"more than {terms.ttl} (multicast.ttl of the rule)"
            return Lack.TTL, f"TTL {joining.ttl} is {most}"
    if leaving is not None and leaving.via:
        why = "the rule has upstreams (via), and groups do not go through them"
        return Lack.UPSTREAMS, why
    return None
