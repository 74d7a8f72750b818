"""
The commands that only look something up: Tor's RESOLVE and RESOLVE_PTR.
"""

from __future__ import annotations

from typing import final

from socksgw.errors import AddressTypeNotSupported
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.policy.telling import tellable
from socksgw.session.besides import Besides
from socksgw.session.case import Case
from socksgw.session.command import Command, Routed, named, sayable, strictest
from socksgw.wire.address import Address
from socksgw.wire.events import Requested

__all__ = ["Resolve", "ResolvePtr"]


class Resolve(Command):
    """RESOLVE: an address for a name."""

    name = "resolve"

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask whether the client may know it."""
        return await case.generation.policy.resolve(
            case.asker, named(request), case.arrive
        )

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Ask about the answer, as long as it is on its way."""
        record = case.record
        question = Question(case.asker, self.name, record.name, 0)
        judge = tellable(ruleset.judge, question)
        return strictest(map(judge, record.addresses))

    async def route(self, case: Case, request: Requested) -> Routed:
        """Choose the address that is told."""
        record = case.record
        addresses = sayable(case)
        # One answer: in the family that every client takes. Programs that look
        # names up so (torsocks) fail with an IPv6 address.
        address = next((a for a in addresses if a.version == 4), addresses[0])
        verdict = case.verdicts[address]
        with Besides(case) as besides:
            besides.admit(verdict)
            case.livesBy(verdict)
        if record.name is not None:
            case.generation.policy.told.tell(case.asker, record.name, address)
        return Routed((address, 0))


@final
class ResolvePtr(Resolve):
    """RESOLVE_PTR: a name for an address."""

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask whether the client may know it."""
        if not isinstance(request.host, Address):
            raise AddressTypeNotSupported("RESOLVE_PTR wants an address")
        return await super().decide(case, request)

    async def route(self, case: Case, request: Requested) -> Routed:
        """Look the name up."""
        record = case.record
        nameOf = case.generation.namesOf(record.listener)
        name = await nameOf(record.addresses[0], case.asker.source)
        return Routed((name, 0))
