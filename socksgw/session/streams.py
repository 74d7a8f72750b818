"""
The commands that end in a stream of octets: CONNECT and BIND.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from socksgw.errors import LeadsHere, LimitReached, SocksError
from socksgw.policy.decision import Decision
from socksgw.policy.leaving import Leaving
from socksgw.policy.questions import UNSEEN, Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.tally import Tally
from socksgw.route.ways import Outlet, Ways
from socksgw.session.besides import Besides
from socksgw.session.case import Case
from socksgw.session.command import (
    Command,
    Relay,
    Routed,
    named,
    sayable,
    strictest,
)
from socksgw.session.introducing import introduce
from socksgw.session.looking import lookAndRelay
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.events import Requested

__all__ = ["CONNECT", "Bind", "Connect", "Dialling", "looks", "reached", "targets"]

#: As of L{Ways.connect}.
Admit = Callable[[Address], float | None]


def _looking(case: Case, outlet: Outlet) -> Relay:
    """Return what looks at the first octets, and moves them and all others."""

    def relay(early: bytes, tally: Tally) -> Awaitable[None]:
        return lookAndRelay(case, outlet, early, tally)

    return relay


def _between(case: Case, outlet: Outlet) -> Relay:
    """Return what moves octets between the client and an outlet."""

    def relay(early: bytes, tally: Tally) -> Awaitable[None]:
        claim = case.claim
        assert claim is not None
        return case.generation.relays.between(
            case.client,
            outlet,
            early,
            tally,
            case.obligations.idle,
            claim.sending,
            claim.receiving,
            outlet.surplus() if outlet.path else b"",
        )

    return relay


def looks(case: Case) -> bool:
    """Return whether the first octets of a session are looked at."""
    return case.pending or case.generation.inspection.always


def targets(case: Case) -> Sequence[Address | str]:
    """Return what may be dialled: addresses, or the name that an upstream looks up."""
    record = case.record
    if record.judged and record.name is not None:
        return (record.name,)
    return record.addresses


def reached(case: Case, outlet: Outlet, ways: Ways) -> None:
    """
    Take note of the connection to an address that was judged.

    @param ways: by which it leads there.
    @raise LeadsHere: it leads to this host, which is banned; it is closed.
    """
    record, path = case.record, outlet.path
    record.dialled, record.bound = outlet.address, outlet.bound
    # A reload may have judged it again meanwhile.
    case.livesBy(case.verdicts[outlet.address])
    if path or record.via:
        record.went(path, outlet.tls)
    if path:
        case.outgoing = outlet.local.address
    elif case.loops(outlet.bound[0], outlet.address, record.port):
        outlet.loseConnection()
        raise LeadsHere("the destination turned out to be this host")
    ways.reached(case.whose, outlet.address)
    if case.obligations.leaving is not None:
        introduce(case, outlet)


class Dialling(Command):
    """What goes to a destination that is named: judged, and dialled."""

    name = "connect"

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask about the destination's addresses, one by one."""
        return await case.generation.policy.decide(
            case.asker, self.name, named(request), request.port, case.arrive, case.found
        )

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Ask about the address that was dialled; before that, each that may be."""
        record = case.record
        question = Question(
            case.asker, self.name, record.name, record.port, None, case.found
        )
        if record.judged:
            assert record.name is not None
            verdict = ruleset.byName(question)
            case.verdicts = {record.name: verdict}
            return verdict
        if record.dialled is not None:
            verdict = ruleset.judge(question, record.dialled)
            case.verdicts = {record.dialled: verdict}
            return verdict
        case.verdicts = {a: ruleset.judge(question, a) for a in record.addresses}
        return strictest(case.verdicts.values())

    async def dial(
        self, case: Case, addresses: Sequence[Address] | None = None
    ) -> Outlet:
        """
        Dial the addresses that were judged, and no other.

        @param addresses: some of them; by default all.
        @raise SocksError: none can be reached.
        """
        record = case.record
        if record.judged:
            return await self._reach(case)
        with Besides(case) as besides:

            def admit(address: Address) -> float | None:
                verdict = case.verdicts[address]
                besides.admit(verdict)
                return verdict.obligations.connect

            addresses = addresses or record.addresses
            if len(addresses) == 1:
                verdict = case.verdicts[addresses[0]]
                ways = self._waysOf(case, verdict.obligations.leaving)
                outlet = await ways.connect(addresses, record.port, admit, case)
            else:
                outlet, ways = await self._first(case, addresses, admit)
            reached(case, outlet, ways)
        return outlet

    def _waysOf(self, case: Case, leaving: Leaving | None) -> Ways:
        """Return the ways by which a session leaves."""
        return self.ways(case, case.generation.waysOf(case.record.listener, leaving))

    def ways(self, case: Case, ways: Ways) -> Ways:
        """Return the ways that this request takes in place of those of all."""
        return ways

    async def _reach(self, case: Case) -> Outlet:
        """
        Have an upstream dial the name that was judged.

        @raise SocksError: it cannot be reached.
        """
        record = case.record
        assert record.name is not None
        obligations = case.verdicts[record.name].obligations
        ways = case.generation.waysOf(record.listener, obligations.leaving)
        outlet = await ways.reach(record.name, record.port, obligations.connect, case)
        record.bound = outlet.bound
        case.livesBy(case.verdicts[record.name])
        record.went(outlet.path, outlet.tls)
        case.outgoing = outlet.local.address
        introduce(case, outlet)
        return outlet

    async def _first(
        self, case: Case, addresses: Sequence[Address], admit: Admit
    ) -> tuple[Outlet, Ways]:
        """
        Dial the addresses that leave as the first one does; then the others.

        @raise SocksError: none can be reached.
        """
        verdicts, record = case.verdicts, case.record
        leaving = verdicts[addresses[0]].obligations.leaving
        others = [
            each for each in addresses if verdicts[each].obligations.leaving != leaving
        ]
        if others:
            addresses = [each for each in addresses if each not in others]
        ways = self._waysOf(case, leaving)
        try:
            return await ways.connect(addresses, record.port, admit, case), ways
        except SocksError:
            if not others:
                raise
        return await self._first(case, others, admit)


class Connect(Dialling):
    """CONNECT (RFC 1928 section 4)."""

    async def route(self, case: Case, request: Requested) -> Routed:
        """Dial, and relay what both say."""
        outlet = await self.dial(case)
        return Routed(outlet.bound, self.relay(case, outlet))

    def relay(self, case: Case, outlet: Outlet) -> Relay:
        """Return what moves octets between the client and its destination."""
        if looks(case):
            return _looking(case, outlet)
        case.found = UNSEEN
        return _between(case, outlet)


CONNECT: Final = Connect()


class Bind(Command):
    """BIND: two replies, one listener, one peer (RFC 1928 section 4)."""

    name = "bind"

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask which peers may be waited for; the one that comes is judged again."""
        return await case.generation.policy.expect(
            case.asker, named(request), case.arrive
        )

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Ask about the peer that came; before that, each that may come."""
        record = case.record
        if record.dialled is not None:
            question = Question(case.asker, self.name, record.name, record.peerPort)
            return ruleset.judge(question, record.dialled)
        question = Question(case.asker, self.name, record.name, 0)
        case.verdicts = {a: ruleset.awaited(question, a) for a in record.addresses}
        return strictest(case.verdicts.values())

    def ways(self, case: Case, ways: Ways) -> Ways:
        """As L{Dialling.ways}."""
        return ways

    async def route(self, case: Case, request: Requested) -> Routed:
        """Listen, tell where, wait for the peer, and record it."""
        record, client, generation = case.record, case.client, case.generation
        expected = sayable(case)
        anybody = expected[0].isUnspecified
        # Of the client's own family, where the peer has such an address.
        near = client.connection.local
        peer = next(
            (a for a in expected if a.version == near.address.version), expected[0]
        )
        obligations = case.verdicts[peer].obligations
        leaving, deciders = obligations.leaving, obligations.deciders
        ways = self.ways(case, generation.waysOf(record.listener, leaving))
        listening = await ways.listen(
            case.whose,
            peer,
            anybody,
            near,
            generation.udpOf(record.listener),
            case,
        )
        record.path = listening.path

        def admits(peer: Address, port: int) -> bool:
            question = Question(case.asker, self.name, record.name, port)
            # By the rules of that moment, not of the request's.
            verdict = case.generation.policy.ruleset.judge(question, peer)
            if (
                not (anybody or peer in expected)
                or not verdict.allowed
                or verdict.obligations.leaving != leaving
                # Those that were asked; there is no time to ask others.
                or verdict.obligations.deciders != deciders
                or case.loops(listening.own, peer, port)
            ):
                return False
            try:
                with Besides(case) as besides:
                    besides.admit(verdict)
                    case.livesBy(verdict)
            except LimitReached:
                return False
            return True

        try:
            record.bound = listening.told
            client.reply(Reply.SUCCEEDED, listening.told, more=True)
            client.hold()
            outlet = await listening.accept(admits)
        finally:
            listening.close()
            record.strangers = listening.strangers
            client.holding = False
        try:
            record.dialled, record.peerPort = outlet.address, outlet.port
            await case.gateway.journal.commit(record.peerLine(outlet.port))
        except BaseException:
            outlet.loseConnection()
            raise
        return Routed((outlet.address, outlet.port), _between(case, outlet))
