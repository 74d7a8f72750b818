"""
The end of sessions with SOCKS 6 proxies (draft -11, section 8.4.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory

from socksgw.client.carrier import TransportLink
from socksgw.client.endpoint import TIMEOUT, socksProxy
from socksgw.client.logins.login import Login
from socksgw.client.reach import asked, within
from socksgw.client.session import Session
from socksgw.wire.codes import SOCKS6

__all__ = ["endSession"]


def endSession(
    reactor: Any,
    proxyEndpoint: Any,
    session: Session,
    *,
    login: Login | Iterable[Login] | None = None,
    timeout: float | None = TIMEOUT,
) -> Deferred[None]:
    """
    Have a proxy forget a session, by a request that asks for nothing else.

    Connections of the session stay, as far as the proxy lets them. The next request
    with the session begins another one.

    @param proxyEndpoint: leads to the proxy (C{IStreamClientEndpoint}).
    @param login: as of the session's requests: the one that ends it is of no session.
    @return: fires when the proxy has answered; at once where no session is open. It
        fails with a L{ProxyError<socksgw.client.errors.ProxyError>}; the session is not
        used any more in any case.
    """
    if not session.isOpen:
        return succeed(None)
    proxy = socksProxy(SOCKS6, login, b"", session=session)

    async def ask(proxy: Any, link: TransportLink) -> None:
        await proxy.leave(link)

    def done(found: tuple[TransportLink, None], told: Deferred[Any]) -> None:
        found[0].abandon()
        told.callback(None)

    return within(reactor, timeout, asked(proxyEndpoint, Factory(), proxy, ask), done)
