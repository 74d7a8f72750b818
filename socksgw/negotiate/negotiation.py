"""
The choice of the authentication method, and its sub-negotiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import CancelledError

from socksgw.errors import NoAcceptableMethod, SocksError
from socksgw.negotiate.attempt import Attempt, attempt, defect
from socksgw.negotiate.challenges import answered
from socksgw.negotiate.exchange import Client, Exchange
from socksgw.negotiate.methods import OfferedMethod
from socksgw.negotiate.remedy import remedy
from socksgw.wire.codes import methodsText
from socksgw.wire.events import Event
from socksgw.wire.levels import CONFIDENTIALITY
from socksgw.wire.reader import WireError

__all__ = ["lead", "negotiate"]


def _unmet(offered: bytes, wanted: Sequence[OfferedMethod]) -> str:
    """Say why no method was chosen, for the journal."""
    for method in wanted:
        if any(code in offered for code in method.codes):
            return (
                f'"{method.name}" is wanted here, and this connection lacks what '
                "it needs"
            )
    theirs = f"the client offered {methodsText(offered)}"
    if not wanted:
        return (
            "nobody may log in here: no [[auth.choose]] is for this client; " + theirs
        )
    names = ", ".join(
        f"{m.name} = {methodsText(m.codes[:1]) if m.codes else 'none of SOCKS'}"
        for m in wanted
    )
    helps = remedy(offered, {code for m in wanted for code in m.codes})
    why = f"none of the methods offered is wanted here: {names} wanted; {theirs}"
    return f"{why}; {helps}" if helps else why


def _late(offered: bytes, wrapping: Sequence[OfferedMethod]) -> str:
    """Say that a client offers what has to protect its request; empty where not."""
    for method in wrapping:
        if any(code in offered for code in method.codes):
            return (
                f'"{method.name}" protects what follows a login, and the request of '
                "this client is before it: it needs a listener with TLS"
            )
    return ""


def _chosen(
    offered: bytes, wanted: Sequence[OfferedMethod], exchange: Exchange, client: Client
) -> tuple[OfferedMethod, int] | None:
    """
    Choose the best method that can serve this connection (RFC 1928 section 3).

    The client has to have offered it. A method that protects the connection adds nothing where all of it is inside
    TLS. There a later one that reads a credential is preferred: programs on libcurl
    that have a password offer both, and cannot fall back.

    @return: the method, and its number; L{None} where there is none.
    """
    found: tuple[OfferedMethod, int] | None = None
    for method in wanted:
        for code in method.codes:
            if code in offered:
                break
        else:
            continue
        if not method.isFor(exchange):
            continue
        if found is not None:
            if method.capabilities.credentials:
                return method, code
            continue
        found = method, code
        if not method.capabilities.protects or client.secured != CONFIDENTIALITY:
            break
    return found


async def negotiate(
    client: Client,
    event: Event,
    wanted: Sequence[OfferedMethod],
    chosen: Callable[[str], None] | None = None,
) -> Attempt:
    """
    Choose a method and lead its sub-negotiation.

    The best method that the client offered is taken (RFC 1928 section 3). Where the
    client's protocol has no logins, only a method without messages can log it in,
    such as one by the certificate that the connection has proved. After a method
    that only protects, the client chooses again, inside it.

    @param event: the client's first message.
    @param wanted: the acceptable methods, best first.
    @param chosen: told the name of the method before its sub-negotiation, in
        which the client may go away.
    @return: the try; where the method refused the client by itself, with C{failure}.
    @raise NoAcceptableMethod: the client offered none of them, or none that can
        serve the connection; nothing has been sent.
    @raise WireError: the client broke the protocol.
    @raise AuthenticationFailed: the method has a defect.
    """
    exchange, conversation = Exchange(client), client.conversation
    dialect = conversation.dialect
    if dialect.challenging:
        return await answered(client, event, wanted, chosen)
    login = conversation.login
    offers = (dialect.offered(event),) if login is None else login.offers
    if login is not None:
        # TLS cannot begin in the middle of the client's messages.
        wrapping = [m for m in wanted if m.inner]
        wanted = [m for m in wanted if not m.inner]
    else:
        wrapping = []
    found = None
    for offered in offers:
        found = found or _chosen(offered, wanted, exchange, client)
    if found is None:
        offered = b"".join(offers)
        why = dialect.loginless or _late(offered, wrapping) or _unmet(offered, wanted)
        raise NoAcceptableMethod(why, dialect.denial)
    method, code = found
    if chosen is not None:
        chosen(method.name)
    answer = conversation.answerOffer(code)
    if answer:
        client.send(answer)
    return await lead(client, event, method, chosen)


async def lead(
    client: Client,
    event: Event,
    method: OfferedMethod,
    chosen: Callable[[str], None] | None = None,
) -> Attempt:
    """
    Lead the sub-negotiation of the method that was chosen, as L{negotiate} does.

    @param event: the client's first message, which has been answered.
    """
    exchange = Exchange(client)
    try:
        if method.inner:
            await method.authenticator.wrap(exchange)
        else:
            reading = method.authenticator.readCredentials(exchange)
            return await attempt(method, method.authenticator, exchange, event, reading)
    except (WireError, SocksError, CancelledError):
        raise
    except Exception as e:
        raise defect(method.name, e) from None
    client.conversation.selectAgain()
    return await negotiate(client, await client.next(), method.inner, chosen)
