"""
The layer in which the gateway before this one tells who the client is.

It is a PROXY header inside TLS, with a signed value (L{socksgw.wire.assertion}). A
client that begins with anything else speaks for itself.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple, Protocol, final

from zope.interface import implementer

from socksgw.accept.layers import Client, Preface, Upwards
from socksgw.errors import ProtocolViolated
from socksgw.interfaces import IAssertedIdentity
from socksgw.system.connection import Connection
from socksgw.wire.assertion import MOST_HOPS, TYPE, Assertion, Signed, open_
from socksgw.wire.proxyheader import SIGNATURE, Origin, readProxyHeader, vectorOf
from socksgw.wire.reader import WireError

__all__ = ["AssertedIdentity", "AssertedLayer", "Signer"]

_LOOPS: Final = (
    "the connection has been at this gateway before: two gateways lead to each other; "
    "look at via of their rules"
)


@implementer(IAssertedIdentity)
@final
class AssertedIdentity:
    """
    A user whom another gateway has verified.

    @ivar username: the name there, with the listener's prefix.
    @ivar realm: none.
    @ivar expires: when the login there ends; L{None} for never.
    @ivar groups: the groups that the user is in there.
    """

    __slots__ = ("expires", "groups", "realm", "username")

    def __init__(self, said: Assertion, prefix: str) -> None:
        self.username = f"{prefix}{said.user}".encode()
        self.realm = ""
        self.expires = said.expires
        self.groups = said.groups


class Keys(Protocol):
    """The keys of the gateways that are believed."""

    def knows(self, key: bytes) -> bool:
        """Return whether a key is among them, by its id."""

    def verify(self, found: Signed, binding: bytes) -> Assertion:
        """
        Return what an assertion says.

        @param binding: what binds it to its connection.
        @raise WireError: it is not to be believed.
        """


class Signer(NamedTuple):
    """
    The gateway that has signed who a client is.

    @ivar key: the id of its key.
    @ivar prefix: what was put before the user's name.
    @ivar identity: what TLS has proved of the gateway itself; L{None} for nothing.
    """

    key: bytes
    prefix: str
    identity: Any


@final
class AssertedLayer:
    """
    Signed identities as a layer, above TLS.
    """

    __slots__ = ("_keys", "_own", "_prefix")

    def __init__(self, keys: Keys, prefix: str = "", own: Collection[str] = ()) -> None:
        """
        Take what is believed.

        @param prefix: what is put before the names of users.
        @param own: what this gateway is called in the paths of its own assertions.
        """
        self._keys = keys
        self._prefix = prefix
        self._own = frozenset(own)

    def over(
        self, below: Connection, client: Client, upwards: Upwards, early: bytes
    ) -> None:
        """As L{socksgw.accept.layers.Layer.over}."""
        _Header(self, below, client, upwards, early)

    def take(self, client: Client, value: bytes, binding: bytes) -> None:
        """
        Have a client be whom the other gateway says.

        @raise WireError: it is not to be believed.
        """
        found = open_(value)
        said = self._keys.verify(found, binding)
        if self._own.intersection(said.path):
            raise WireError(_LOOPS, reason="loop")
        if len(said.path) > MOST_HOPS:
            raise WireError(
                f"the connection has come through {len(said.path)} gateways; "
                f"{MOST_HOPS} are the most",
                reason="loop",
            )
        client.gateways = said.path
        client.signer = Signer(found.key, self._prefix, client.identity)
        # Who has logged in there is who asks: not the other gateway's own certificate.
        client.identity = AssertedIdentity(said, self._prefix) if said.user else None

    def objection(self, signer: Signer) -> str:
        """
        Say why a gateway that was believed once would not be now.

        @return: empty when it would be.
        """
        if not self._keys.knows(signer.key):
            return "its key is believed no longer"
        if signer.prefix != self._prefix:
            return "its users are called otherwise now"
        return ""


@final
class _Header(Preface):
    """The first octets of one connection, in as many parts as they come."""

    _over = False

    def __init__(
        self,
        layer: AssertedLayer,
        below: Any,
        client: Client,
        upwards: Upwards,
        early: bytes,
    ) -> None:
        self._layer = layer
        self._came = bytearray()
        super().__init__(below, client, upwards, early)

    def dataReceived(self, data: Any) -> None:
        """As L{Preface.dataReceived}."""
        if self._over:
            return
        came = self._came
        came += data
        if came[: len(SIGNATURE)] != SIGNATURE[: len(came)]:
            self.upwards(self.below, bytes(came))
            return
        below: Any = self.below
        try:
            found = readProxyHeader(came)
            if found is None:
                return
            header, length = found
            value = vectorOf(came, TYPE)
            if header.source is None or value is None:
                raise WireError(
                    "a PROXY header without an identity that a gateway has signed: "
                    "listen.identity_keys takes no other"
                )
            self._layer.take(self.client, value, below.binding)
        except WireError as e:
            self._over = True
            reason = e.reason or "assertion"
            self.client.refused(ProtocolViolated(str(e), reason=reason))
            return
        client = self.client
        told = {**header.told, "gateways": ", ".join(client.gateways).encode()}
        origin = Origin(header._replace(told=told), client.source, client.port)
        client.forwarded(origin)
        source = header.source
        if source[0].isLoopback and not origin.sender.isLoopback:
            # Loopback of the other gateway's machine is not ours.
            source = origin.sender, source[1]
        if client.comesFrom(*source):
            self.upwards(below, bytes(came[length:]))

    def readConnectionLost(self) -> None:
        """As L{Preface.readConnectionLost}."""
        if not self._over:
            super().readConnectionLost()

    def departed(self) -> None:
        """As L{Preface.departed}."""
        if not self._over:
            super().departed()
