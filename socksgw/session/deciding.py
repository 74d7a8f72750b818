"""
From a request to the policy's answer, and to a place within the limits.
"""

from __future__ import annotations

from collections.abc import Iterable

from socksgw.errors import LimitReached, NotCounted, SocksError
from socksgw.policy.decision import Decision
from socksgw.session.case import Case
from socksgw.session.command import Command
from socksgw.session.commands import commandFor
from socksgw.session.stacking import stacked
from socksgw.wire.events import Requested

__all__ = ["decide", "limited", "settled"]


async def decide(case: Case, request: Requested) -> SocksError | None:
    """
    Ask the policy about a request, and take what it needs of the limits.

    What the policy says is written down.

    @return: what the client is refused with; L{None} when it is not refused.
    @raise SocksError: the policy cannot be asked such a thing.
    """
    command = _asked(case, request)
    while True:
        case.record.policy = case.generation.mark
        try:
            return settled(case, await command.decide(case, request))
        except NotCounted as e:
            known = e.known
        await known


def _asked(case: Case, request: Requested) -> Command:
    """
    Write down what a client asks for.

    @return: the command.
    @raise SocksError: there is no such command, or the client's network is gone.
    """
    record = case.record
    record.asked, record.port = request.asked, request.port
    record.command = f"0x{request.command:02x}"
    conversation = case.client.conversation
    tunnels = case.generation.udpOf(record.listener).tunnels
    command = case.command = commandFor(
        conversation.dialect.commands, request.command, tunnels
    )
    login = conversation.login
    if login is not None and login.stack:
        allowed = case.generation.stackOf(record.listener)
        command = case.command = stacked(command, login.stack, allowed)
    record.command, record.protocol = command.name, conversation.protocol
    if isinstance(request.host, str):
        record.name = request.host
    case.remain(case.generation)
    return command


def settled(case: Case, decision: Decision) -> SocksError | None:
    """
    Write down what the policy says, and take what the request needs of the limits.

    @return: as of L{decide}.
    @raise NotCounted: other machines have not answered yet.
    """
    record = case.record
    record.decided(decision)
    record.waited = decision.waited
    case.obligations = decision.obligations
    if decision.obligations.leaving is not None:
        record.via = decision.obligations.leaving.text
        if record.name is not None and decision.allowed and not decision.addresses:
            record.judged = "name"
    if isinstance(decision.error, LimitReached):
        return limited(case, decision.error)
    if not decision.allowed:
        return decision.error
    case.verdicts = decision.verdicts
    return _enter(case, decision)


def _enter(case: Case, decision: Decision) -> LimitReached | None:
    """
    Take what the session needs of the limits.

    That is by the rule of the first address, or, where that has no room, by that of
    the next one.

    @return: the first limit that is in the way, when each rule has one.
    @raise NotCounted: other machines have not answered yet.
    """
    limits, command = case.gateway.limits, case.command.name
    refusal = None
    rules: Iterable[str] = (decision.rule,)
    if len(decision.addresses) > 1:
        rules = dict.fromkeys(case.verdicts[a].rule for a in decision.addresses)
    for rule in rules:
        try:
            case.claim = limits.take(case.asker, command, rule, case.arrived)
        except LimitReached as e:
            # Its traceback would hold this frame, and so the session.
            refusal = refusal or e.with_traceback(None)
        else:
            return None
    assert refusal is not None
    return limited(case, refusal)


def limited(case: Case, error: LimitReached) -> LimitReached:
    """Write down that a limit refuses what the policy allowed."""
    case.record.limited(str(error), int(error.reply or 0), error.reason)
    return error
