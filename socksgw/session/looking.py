"""
The look at what a session carries, between its last reply and its relay.
"""

from __future__ import annotations

from collections.abc import Sequence

from socksgw.errors import Inspected, LimitReached, SocksError
from socksgw.interfaces import Finding
from socksgw.policy.questions import Found, Question, Verdict
from socksgw.relay.inspection import Look
from socksgw.relay.tally import Tally
from socksgw.route.ways import Outlet
from socksgw.session.besides import Besides
from socksgw.session.case import Case

__all__ = ["lookAndRelay"]


async def lookAndRelay(case: Case, outlet: Outlet, early: bytes, tally: Tally) -> None:
    """
    Look at the first octets of both sides, and relay then.

    Where a rule depends on what they are, the session is judged again before the
    client's octets go on.

    @raise SocksError: the session is not allowed.
    """
    look = await _look(case, outlet, early, tally)
    reason, ended = look.reason, look.far.ended
    early, late = look.dissolve()
    del look
    if reason:
        tally.reason, tally.reset = reason, reason != "closed"
        if tally.reset:
            outlet.abortConnection()
        else:
            outlet.loseConnection()
        return
    sent, received = tally.sent, tally.received
    claim = case.claim
    assert claim is not None
    try:
        await case.generation.relays.between(
            case.client,
            outlet,
            early,
            tally,
            case.obligations.idle,
            claim.sending,
            claim.receiving,
            late,
            ended,
        )
    finally:
        tally.sent += sent
        tally.received += received


async def _look(case: Case, outlet: Outlet, early: bytes, tally: Tally) -> Look:
    """
    Look until it is known what the session carries, and judge it.

    @raise SocksError: it is not allowed; the outlet is closed then.
    """
    claim, pending = case.claim, case.pending
    assert claim is not None
    generation = case.generation
    look = Look(
        generation.inspection,
        pending,
        case.client,
        outlet,
        claim.sending,
        claim.receiving,
    )
    try:
        finding = await look.find(
            early,
            outlet.surplus() if outlet.path else b"",
            case.obligations.idle or generation.relays.idle,
        )
        if finding is not None:
            case.found = Found(
                finding.application, finding.serverName or "", finding.hidden
            )
            _keep(case, finding, generation.inspection.cuts)
            if pending:
                await _judge(case)
            elif case.generation.policy.ruleset.inspects:
                _again(case)
    except BaseException:
        look.dissolve()
        outlet.abortConnection()
        raise
    finally:
        tally.sent, tally.received = look.near.passed, look.far.passed
    return look


def _keep(case: Case, finding: Finding, cuts: bool) -> None:
    """
    Record what the session carries: also that it is for another name than asked for.

    @param cuts: whether the names have to be the same.
    @raise Inspected: they are not.
    """
    record = case.record
    asked, named = record.name, finding.serverName
    mismatch = asked is not None and named is not None and asked != named
    ruleset = case.generation.policy.ruleset
    reports: Sequence[str] = ()
    if ruleset.reporting:
        reports = ruleset.reports(_question(case), record.dialled)
    record.carries(finding, mismatch, reports)
    if mismatch and cuts:
        raise Inspected(
            f'the client asked for {asked}, and its {finding.application} is for "{named}"',
            reason="mismatch",
        )


async def _judge(case: Case) -> None:
    """
    Judge a session by what it carries, and write that down.

    @raise SocksError: it is not allowed.
    """
    record, journal = case.record, case.gateway.journal
    policy, said = case.generation.policy, ("", "")
    verdict = case.command.again(case, policy.ruleset)
    refusal: SocksError | None = _refusal(case, verdict)
    if refusal is None:
        asked = None
        if verdict.obligations.deciders:
            question = _question(case)
            target = record.dialled or record.name or ""
            asked = await policy.askedAgain(question, target, verdict, case.obligations)
        if asked is not None:
            said = asked.names, asked.said
            verdict = asked.denied.get(target, verdict)
            refusal = _refusal(case, verdict)
    with Besides(case) as besides:
        if refusal is None:
            try:
                besides.admit(verdict)
            except LimitReached as e:
                # Its traceback would hold this frame.
                refusal = e.with_traceback(None)
        if refusal is None:
            line = record.inspectedLine(True, verdict.rule, "", verdict.ticket, said)
        elif isinstance(refusal, LimitReached):
            line = record.inspectedLine(False, "limit", str(refusal))
        else:
            line = record.inspectedLine(False, verdict.rule, str(refusal), "", said)
        await journal.commit(line)
        if refusal is not None:
            limited = isinstance(refusal, LimitReached)
            record.livesBy("limit" if limited else verdict.rule, "")
            raise refusal
        case.livesBy(verdict)
    case.pending = False


def _again(case: Case) -> None:
    """
    Judge a session that the rules have begun to look into while it was looked at.

    @raise Inspected: it is not allowed.
    """
    verdict = case.command.again(case, case.generation.policy.ruleset)
    refusal = _refusal(case, verdict)
    if refusal is not None:
        case.record.livesBy(verdict.rule, "")
        raise refusal
    case.livesBy(verdict)


def _question(case: Case) -> Question:
    """Return the question to the policy, now that it is known what there is."""
    record = case.record
    return Question(
        case.asker, case.command.name, record.name, record.port, None, case.found
    )


def _refusal(case: Case, verdict: Verdict) -> Inspected | None:
    """Return why the verdict about what a session carries ends it, if it does."""
    if not verdict.allowed:
        return Inspected(f'rule "{verdict.rule}": {verdict.why}')
    if verdict.obligations.leaving != case.obligations.leaving:
        return Inspected(
            f'rule "{verdict.rule}" allows it by another way than it has left'
        )
    return None
