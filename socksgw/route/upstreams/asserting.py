"""
What is said to the next gateway about the client, before anything else.
"""

from __future__ import annotations

from typing import Any, final

from socksgw.errors import UserRefused
from socksgw.route.upstreams.trip import Traveller
from socksgw.system.assertionkeys import SigningKey
from socksgw.wire.address import Address
from socksgw.wire.assertion import MOST_HOPS, TYPE, Assertion
from socksgw.wire.proxywriter import proxyHeader
from socksgw.wire.reader import WireError

__all__ = ["Asserting"]


@final
class Asserting:
    """
    Says who the client is, signed for one connection.
    """

    __slots__ = ("_key", "_name")

    def __init__(self, key: SigningKey, name: str) -> None:
        """
        @param name: of the upstream.
        """
        self._key = key
        self._name = name

    def header(
        self, connection: Any, traveller: Traveller, host: Address | str, port: int
    ) -> bytes:
        """
        Return the PROXY header for a connection.

        @param connection: over TLS; what binds it is part of what is signed.
        @param host: where the client wants to go.
        @raise UserRefused: it cannot be said, or the connection has come through too
            many gateways.
        """
        asker = traveller.asker
        user = asker.user
        path = (*traveller.gateways, self._key.name)
        if len(path) > MOST_HOPS:
            text = (
                f'upstream "{self._name}" would be behind {len(path)} gateways; '
                f"{MOST_HOPS} are the most"
            )
            raise UserRefused(text, None, "loop")
        if user.unsure:
            # A deny by one of these groups could not match there.
            text = f'upstream "{self._name}" cannot be told the groups: {user.doubt}'
            raise UserRefused(text, reason="identity")
        said = Assertion(
            "" if user.anonymous else user.name,
            user.method,
            user.groups,
            asker.tag,
            asker.secured,
            user.expires,
            path,
        )
        try:
            value = self._key.sign(said, connection.binding)
        except (ValueError, WireError) as e:
            text = f'upstream "{self._name}" cannot be told who asks: {e}'
            raise UserRefused(text, reason="identity") from None
        source = asker.source, traveller.port
        return proxyHeader("v2", source, (host, port), [(TYPE, value)])
