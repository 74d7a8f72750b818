"""
From an endpoint of a proxy to a dialogue with it, in its time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from socksgw.client.carrier import TransportFactory, TransportLink, distrusted, isOfTLS
from socksgw.client.errors import ProxyError, ProxyTimedOut, unreached
from socksgw.client.proxy import Again
from socksgw.system.coroutines import Running

__all__ = ["asked", "within"]

T = TypeVar("T")


async def asked(
    endpoint: Any,
    factory: Any,
    proxy: Any,
    ask: Callable[[Any, TransportLink], Coroutine[Any, Any, T]],
) -> tuple[TransportLink, T]:
    """
    Connect to a proxy, and ask it for something.

    @param endpoint: leads to it (C{IStreamClientEndpoint}).
    @param factory: whose C{doStart} and C{doStop} are called.
    @param ask: asks a proxy by a link.
    @return: the link, and the answer.
    @raise ProxyError: there is no answer that grants it. The connection is closed then.
    """
    while True:
        link = TransportLink()
        try:
            await _connect(endpoint, TransportFactory(link, factory))
            return link, await ask(proxy, link)
        except Again as e:
            link.abandon()
            proxy = e.proxy
        except BaseException:
            link.abandon()
            raise


async def _connect(endpoint: Any, factory: TransportFactory) -> None:
    try:
        await endpoint.connect(factory)
    except (CancelledError, ProxyError):
        # A proxy in front of this one says what is wrong.
        raise
    except Exception as e:
        if isOfTLS(e):
            raise distrusted(e) from None
        raise unreached(e) from e


def within(
    reactor: Any,
    seconds: float | None,
    coroutine: Coroutine[Any, Any, T],
    done: Callable[[T, Deferred[Any]], None],
) -> Deferred[Any]:
    """
    Run what a program waits for.

    @param seconds: that it may take; L{None} for any time.
    @param done: is given the result, and fires the Deferred.
    @return: what the program waits for; to cancel it cancels the coroutine. It fails as
        the coroutine does, and with L{ProxyTimedOut} when the time is up.
    """
    running = Running(coroutine)
    timer: Any = None
    late = False

    def expire() -> None:
        nonlocal late
        late = True
        running.cancel()

    def ended(result: Any) -> Any:
        if timer is not None and timer.active():
            timer.cancel()
        return result

    def failed(failure: Any) -> None:
        if late and failure.check(CancelledError):
            failure = ProxyTimedOut(
                f"the proxy has not answered in {seconds:g} seconds"
            )
        if not told.called:
            told.errback(failure)

    told: Deferred[Any] = Deferred(lambda _: running.cancel())
    if seconds is not None and not running.called:
        timer = reactor.callLater(seconds, expire)
    running.addBoth(ended)
    running.addCallback(done, told)
    running.addErrback(failed)
    return told
