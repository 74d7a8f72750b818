"""
The one way out for a session that did not come to its end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from twisted.internet.defer import CancelledError

from socksgw.errors import (
    AuditFailed,
    AuthenticationFailed,
    CannotLeave,
    ClientLost,
    HandshakeTimedOut,
    Inspected,
    Killed,
    LeadsHere,
    NoAcceptableMethod,
    QuotaUsedUp,
    Revoked,
    SocksError,
    Unanswered,
    UpstreamFailed,
    UpstreamRefused,
    UserRefused,
)
from socksgw.negotiate.attempt import Attempt
from socksgw.session.case import Case
from socksgw.wire.codes import Method
from socksgw.wire.reader import WireError

__all__ = ["refuse"]

#: Failures whose text the last line of a session tells.
_TELLING: Final = (
    CannotLeave,
    Revoked,
    Killed,
    Inspected,
    QuotaUsedUp,
    LeadsHere,
    UpstreamFailed,
    UpstreamRefused,
    UserRefused,
)


async def refuse(case: Case, failure: SocksError, attempt: Attempt | None) -> None:
    """
    Record a failure, and tell the client. Closing is left to the session.

    @param attempt: the login that is under way, if any.
    """
    client, record = case.client, case.record
    conversation = client.conversation
    # Where its first message is broken, nothing else has said which it was.
    record.protocol = record.protocol or conversation.protocol
    if isinstance(failure, (ClientLost, HandshakeTimedOut)):
        failure = _unheard(case, failure)
    loginFailed = isinstance(failure, AuthenticationFailed)
    denial = conversation.dialect.denial
    if loginFailed and denial is not None:
        # This protocol has no message of a failed login.
        failure.reply = denial
    replying = failure.reply is not None and conversation.replyable
    record.reason = failure.reason
    record.reply = int(failure.reply or 0) if replying else 0
    if isinstance(failure, _TELLING):
        record.ending = str(failure)
    try:
        if record.verdict == "refuse":
            if _isCheck(case, failure):
                record.verdict = ""
            else:
                await _record(case, str(failure), loginFailed)
        elif record.allowed and not isinstance(failure, AuditFailed):
            case.gateway.journal.append(record.endLine(case.gateway.clock()))
    except (AuditFailed, CancelledError) as e:
        # Nothing is granted, so the client may be refused although the line is
        # missing (the journal counts it). The traceback would hold the session.
        e.__traceback__ = None
    if loginFailed and attempt is not None and not attempt.told:
        # When the method fails at that, it has been logged; when the client is gone,
        # there is none to tell.
        with suppress(SocksError, WireError, CancelledError):
            await attempt.report(False)
    elif isinstance(failure, NoAcceptableMethod):
        answer = conversation.answerOffer(Method.NO_ACCEPTABLE)
        if answer:
            client.send(answer)
    if failure.reply is None or not replying:
        return
    if loginFailed or isinstance(failure, NoAcceptableMethod):
        client.deny(failure.reply, failure.reason, str(failure))
    else:
        # A rule that allowed it is not why.
        rule = failure.rule if record.allowed else record.rule
        client.refuse(failure.reply, failure.reason, str(failure), rule)


def _unheard(case: Case, failure: SocksError) -> SocksError:
    """
    Return why a client is refused whose request or login took too long, or ended.

    @param failure: what ended it.
    """
    conversation = case.client.conversation
    if conversation.unanswered:
        conversation.dismiss()
        return Unanswered("a login is wanted; the client was told, and made none")
    late = conversation.dialect.late
    if (
        late is None
        or isinstance(failure, ClientLost)
        or case.record.command
        or not conversation.dismiss()
    ):
        return failure
    return HandshakeTimedOut(str(failure), late)


def _isCheck(case: Case, failure: SocksError) -> bool:
    """
    Tell whether the client is none, but a balancer that looks whether we are there.

    It may have begun as a client does, and goes before it asks for anything.
    """
    lost = isinstance(failure, ClientLost)
    return lost and case.client.unasked and not case.record.command


async def _record(case: Case, why: str, loginFailed: bool) -> None:
    """
    Record a refusal before any decision.

    @param why: for the operator.
    """
    record = case.record

    def line() -> str:
        return (record.loginFailedLine if loginFailed else record.refusedLine)(why)

    await case.gateway.journal.refusal(record.refusal(), line)
