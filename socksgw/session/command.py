"""
What every command has: a question for the policy, and what it opens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from socksgw.errors import BadDestination, CommandNotSupported, LookupFailed
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.tally import Tally
from socksgw.session.case import Case
from socksgw.wire.address import Address, BadHost
from socksgw.wire.events import Requested

__all__ = ["Command", "Relay", "Routed", "named", "sayable", "strictest"]

#: Moves octets until it is over. It is given the octets that the client sent
#: behind its request, and fills in the tally, also when it is cancelled.
Relay = Callable[[bytes, Tally], Awaitable[None]]


class Routed(NamedTuple):
    """
    What a command has opened.

    @ivar told: the address (of RESOLVE_PTR, the name) and the port that the reply
        says; L{None} where the destination itself replies.
    @ivar relay: what moves octets from then on; L{None} where the reply is all
        there is.
    """

    told: tuple[Address | str, int] | None
    relay: Relay | None = None


class Command:
    """
    One command.

    @cvar name: the policy's name of it.
    @cvar tunnel: the framing of C{listen.udp.tunnels} without which a listener
        does not know it; empty for a command of every listener.
    @cvar unserved: the reason of the refusal there.
    """

    name: str
    tunnel = ""
    unserved = CommandNotSupported.reason

    async def decide(self, case: Case, request: Requested) -> Decision:
        """
        Ask the policy.

        @raise SocksError: it cannot be asked such a thing.
        """
        raise NotImplementedError

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """
        Ask other rules about a session that was allowed.

        @return: the first denial of what it has or may still get, else an allow.
        """
        raise NotImplementedError

    async def route(self, case: Case, request: Requested) -> Routed:
        """
        Open what the policy has allowed. The last reply is left to the session.

        @raise SocksError: it cannot be opened; nothing is left open then.
        """
        raise NotImplementedError


def named(request: Requested) -> Address | str:
    """
    Return the destination of a request.

    @raise BadDestination: it is none that could be reached.
    """
    if isinstance(request.host, BadHost):
        raise BadDestination(request.host.why)
    return request.host


def sayable(case: Case) -> tuple[Address, ...]:
    """
    Return the allowed addresses that a reply can say in the client's protocol.

    @raise LookupFailed: there is none.
    """
    families = case.client.conversation.dialect.families
    found = tuple(a for a in case.record.addresses if a.version in families)
    if not found:
        raise LookupFailed("the client's protocol can say none of the addresses")
    return found


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the first denial; without one the first allow."""
    first: Verdict | None = None
    for verdict in verdicts:
        if not verdict.allowed:
            return verdict
        first = first or verdict
    assert first is not None
    return first
