"""
Requests of C{twisted.web.client} and treq that go through a proxy.
"""

from __future__ import annotations

from typing import Any, final

from twisted.internet.endpoints import wrapClientTLS
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from socksgw.client.endpoint import SocksClientEndpoint

__all__ = ["proxyAgent"]


@implementer(IAgentEndpointFactory)
@final
class _EndpointFactory:
    """Makes the endpoint for each host that is asked."""

    def __init__(
        self,
        reactor: Any,
        proxyEndpoint: Any,
        kind: Any,
        policy: IPolicyForHTTPS,
        options: dict[str, Any],
    ) -> None:
        self._reactor = reactor
        self._proxyEndpoint = proxyEndpoint
        self._kind = kind
        self._policy = policy
        self._options = options

    def endpointForURI(self, uri: Any) -> Any:
        """As C{IAgentEndpointFactory}."""
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        endpoint = self._kind(
            self._reactor, uri.host, uri.port, self._proxyEndpoint, **self._options
        )
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        return endpoint


def proxyAgent(
    reactor: Any,
    proxyEndpoint: Any,
    *,
    kind: Any = SocksClientEndpoint,
    contextFactory: IPolicyForHTTPS | None = None,
    pool: HTTPConnectionPool | None = None,
    **options: Any,
) -> Agent:
    """
    Return an agent whose connections go through a proxy, which looks names up.

    For treq: C{treq.client.HTTPClient(proxyAgent(…))}, or C{treq.get(url, agent=…)}.

    @param proxyEndpoint: leads to the proxy (C{IStreamClientEndpoint}).
    @param kind: L{SocksClientEndpoint<socksgw.client.SocksClientEndpoint>}, or
        L{HTTPClientEndpoint<socksgw.client.HTTPClientEndpoint>}.
    @param contextFactory: how servers of https prove their names; by default as
        browsers have it.
    @param pool: of connections that are used again; by default there is none.
    @param options: of the endpoints, such as C{login} and C{timeout}.
    """
    policy = contextFactory or BrowserLikePolicyForHTTPS()
    factory = _EndpointFactory(reactor, proxyEndpoint, kind, policy, options)
    agent: Agent = Agent.usingEndpointFactory(reactor, factory, pool)
    return agent
