"""
Multicast groups of a client: the command.

It is Enhanced UDP Mode (draft-ietf-aft-mcast-fw-traversal-01).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, final

from socksgw.config.reserved import isLocal
from socksgw.errors import CommandNotSupported
from socksgw.interfaces import Asker
from socksgw.policy.decision import Decision
from socksgw.policy.questions import DEFAULT, Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.relay.groups import serveGroups
from socksgw.relay.tally import Tally
from socksgw.session.case import Case
from socksgw.session.command import Command, Routed
from socksgw.session.groupjudge import GroupJudge
from socksgw.wire.events import Requested
from socksgw.wire.multicast import ENTERED

__all__ = ["Multicast"]

_UNSERVED: Final = "the listener serves no multicast groups ([listen.multicast])"


def _askers(case: Case) -> tuple[Asker, ...]:
    """
    Return who asks for groups, of all ways that their datagrams can go.

    Which way a group's do is known with the group.
    """
    if not case.generation.groupsOf(case.record.listener).tunnels:
        return (case.askerBeside,)
    if case.client.datagrams:
        return case.asker, case.askerBeside
    return (case.asker,)


@final
class Multicast(Command):
    """
    Enhanced UDP Mode, for multicast groups; off unless the listener says where.

    Each group is judged.
    """

    name = "multicast"

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask whether any group may be allowed."""
        if not case.generation.groupsOf(case.record.listener).interface:
            raise CommandNotSupported(_UNSERVED)
        for asker in _askers(case):
            case.record.secured = asker.secured
            decision = case.generation.policy.associate(asker, self.name)
            if decision.allowed:
                break
        return decision

    def again(self, case: Case, ruleset: Ruleset) -> Verdict:
        """Ask group by group, and then whether any other is possible."""
        if case.flows is not None:
            case.flows.recheck(ruleset)
        if not case.gateway.generation.groupsOf(case.record.listener).interface:
            return Verdict(False, DEFAULT, _UNSERVED)
        for asker in _askers(case):
            verdict = ruleset.judge(Question(asker, self.name, None, 0), None)
            if verdict.allowed:
                break
        return verdict

    async def route(self, case: Case, request: Requested) -> Routed:
        """Open nothing yet: the client has named no group."""
        judge = GroupJudge(case)
        client, generation = case.client, case.generation
        program = client.program if isLocal(case.asker.user.name) else None

        def relay(early: bytes, tally: Tally) -> Awaitable[None]:
            client.send(ENTERED)
            return serveGroups(
                client,
                client.source,
                generation.groups,
                judge,
                case.gateway.clock,
                None if program is None else judge.ownedBy(program.uid),
                early,
                tally,
            )

        return Routed(None, relay)
