"""
A connection through a gateway on standard streams: C{socksgw connect}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from socksgw.console.proxyoptions import Misused, chosen, failed, proxyOptions

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "connectMain", "options"]

HELP: Final = "connect to a host through a gateway, on standard input and output"
DESCRIPTION: Final = (
    "Connect to HOST:PORT through a SOCKS or HTTP proxy, and carry standard input and "
    "output. The proxy looks HOST up. For OpenSSH: ProxyCommand socksgw connect %h %p "
    "--proxy URL"
)
EPILOG: Final = (
    "Exit status 0 when the connection has ended in order, 1 if the proxy refuses the "
    "login or the destination, or the connection breaks, 2 for wrong use, 3 if the "
    "proxy cannot be reached, or is not the one that is meant. See socksgw help client."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("host", metavar="HOST", help="the destination: a name or an address")
    add("port", metavar="PORT", type=int, help="its port")
    proxyOptions(parser)
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=30.0,
        help="for all that comes before the connection is open; default: 30",
    )


def connectMain(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    try:
        opening = _prepared(options)
    except Misused as e:
        return _said(str(e), 2)
    return _run(opening, options)


def _theReactor() -> Any:
    """Return the reactor: one that takes a file as standard input, as epoll does not."""
    from twisted.internet import pollreactor
    from twisted.internet.error import ReactorAlreadyInstalledError

    with suppress(ReactorAlreadyInstalledError):
        pollreactor.install()
    from twisted.internet import reactor

    return reactor


def _said(text: str, status: int) -> int:
    print(f"socksgw connect: {text}", file=sys.stderr)
    return status


def _prepared(options: argparse.Namespace) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    """
    Return what opens the connection.

    @raise Misused: an option cannot be used.
    """
    from socksgw.client.dialling import dialled, through
    from socksgw.client.endpoint import destination

    try:
        host = destination(options.host)
        if not 0 < options.port <= 0xFFFF:
            raise ValueError("PORT is within 1 to 65535")
    except ValueError as e:
        raise Misused(str(e)) from None
    to = chosen(options, _theReactor)

    def opening(watch: Any) -> Coroutine[Any, Any, Any]:
        async def dial() -> Any:
            return dialled(to.host, to.port, options.timeout)

        return through(dial, watch, to.tls, to.proxy, host, options.port, to.certified)

    return opening


def _run(opening: Callable[[Any], Any], options: argparse.Namespace) -> int:
    from socksgw.client.reach import within
    from socksgw.client.standard import Streams
    from socksgw.system.watch import Watch

    reactor = _theReactor()
    watch = Watch(reactor)
    watch.start()
    statuses: list[int] = []

    def opened(found: Any, told: Any) -> None:
        connection, early = found
        Streams(reactor, connection, early, 0, 1).done.chainDeferred(told)

    def over(result: Any) -> None:
        failure = getattr(result, "value", None)
        if failure is None:
            statuses.append(0)
        else:
            place = f"{options.host} port {options.port}"
            statuses.append(_said(*failed(failure, options, place)))
        reactor.stop()

    def begin() -> None:
        within(reactor, options.timeout, opening(watch), opened).addBoth(over)

    reactor.callWhenRunning(begin)
    reactor.run()
    watch.stop()
    return statuses[0] if statuses else 1
