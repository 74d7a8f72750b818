"""
TLS inside SOCKS 5, and a login in it (draft-ietf-aft-socks-ssl-00, methods 06 and 86).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, final

from socksgw.client.errors import (
    LoginRefused,
    NoMethodAccepted,
    ProtocolBroken,
    ProxyDistrusted,
)
from socksgw.client.logins.login import Login, LoginExchange
from socksgw.system.tls import Stream
from socksgw.system.tlsclient import ClientTLS
from socksgw.system.tlsinside import Secured
from socksgw.system.tlsname import PeerRefused
from socksgw.wire.codes import SOCKS5, Method, methodsText
from socksgw.wire.protection import Protection
from socksgw.wire.reader import NeedMoreData, Reader, WireError
from socksgw.wire.tls import (
    OPTIONS_LIMIT,
    RECORD_LIMIT,
    Option,
    Record,
    State,
    encodeOptions,
    encodeRecords,
    readOptions,
    readRecord,
)

__all__ = ["InsideLogin"]

M = TypeVar("M")

#: Octets of the proxy's side of the handshake, at most.
_HANDSHAKE: Final = 1 << 17
_NONE_ACCEPTED: Final = int(Method.NO_ACCEPTABLE)


@final
class InsideLogin(Login):
    """
    Have the proxy prove its name by TLS, and log in behind that.

    Everything that follows in SOCKS 5 goes through TLS, but for datagrams.
    """

    methods = bytes((Method.SSL, Method.SSL_DRAFT))
    called = "TLS inside SOCKS"
    protects = True

    def __init__(self, tls: ClientTLS, login: Login) -> None:
        """
        Make the login for one proxy.

        @param tls: who the proxy has to be.
        @param login: the login inside.
        @raise ValueError: SOCKS 5 cannot have it, or not there.
        """
        if not login.methods or login.protects:
            raise ValueError(f"TLS inside SOCKS has no login by {login.called}")
        self._tls = tls
        self._login = login

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5}."""
        if not exchange.protects:
            raise LoginRefused("TLS inside SOCKS is of SOCKS 5 alone")
        stream = self._tls.stream()
        await self._shakeHands(stream, exchange)
        inside = _Inside(stream, exchange)
        wanted = [Option.SUBAUTHENTICATION]
        if exchange.datagrams:
            wanted.append(Option.UDP_NAKED)
        inside.write(encodeOptions(bytes(wanted)))
        chosen = await inside.read(readOptions, OPTIONS_LIMIT)
        if Option.SUBAUTHENTICATION not in chosen:
            raise LoginRefused("the proxy has no login inside TLS")
        await self._enter(inside)
        protection = Secured(stream, State.DATA)
        protection.naked = Option.UDP_NAKED in chosen
        return protection

    async def _shakeHands(self, stream: Stream, exchange: LoginExchange) -> None:
        """
        Shake hands in records of their own.

        @raise ProxyDistrusted: the proxy is not who it should be.
        """
        exchange.write(encodeRecords(State.HANDSHAKE, stream.begin()))
        came = 0
        try:
            while not stream.established:
                record = await exchange.read(readRecord, RECORD_LIMIT)
                came += 4 + len(record.data)
                if record.state != State.HANDSHAKE or came > _HANDSHAKE:
                    raise ProtocolBroken("TLS in SOCKS begins with its handshake")
                if stream.receive(record.data):
                    raise ProtocolBroken("a record of TLS in SOCKS holds too much")
                # An alert, too, is to arrive.
                exchange.write(encodeRecords(State.HANDSHAKE, stream.outgoing()))
                if stream.failure is not None:
                    break
            self._tls.confirm(stream)
        except PeerRefused as e:
            raise ProxyDistrusted(f"TLS inside SOCKS: {e}") from None

    async def _enter(self, inside: _Inside) -> None:
        """Log in within TLS, as in SOCKS 5 without it."""
        offered = self._login.methods
        inside.write(bytes((SOCKS5, len(offered))) + offered)
        selected = (await inside.read(lambda reader: reader.take(2), 2))[1]
        if selected == _NONE_ACCEPTED or selected not in offered:
            raise NoMethodAccepted(
                f"inside TLS the proxy accepts none of {methodsText(offered)}"
            )
        await self._login.socks5(selected, inside)
        if inside.held:
            raise ProtocolBroken("the proxy has answered before it was asked")


@final
class _Inside:
    """
    The L{LoginExchange} of the login inside.

    @ivar held: what has come that nothing has read.
    """

    protects = False
    secured = True
    datagrams = False

    def __init__(self, stream: Stream, exchange: LoginExchange) -> None:
        self._stream = stream
        self._exchange = exchange
        self.held = b""

    def write(self, octets: bytes) -> None:
        """As L{LoginExchange.write}."""
        sealed = self._stream.send(octets)
        self._exchange.write(encodeRecords(State.OPTIONS, sealed))

    async def read(self, decoder: Callable[[Reader], M], limit: int) -> M:
        """As L{LoginExchange.read}."""
        while True:
            reader = Reader(self.held[:limit])
            try:
                message = decoder(reader)
            except NeedMoreData:
                if len(self.held) >= limit:
                    raise ProtocolBroken("a message of the login is too long") from None
            except WireError as e:
                raise ProtocolBroken(f"the proxy breaks the protocol: {e}") from None
            else:
                self.held = self.held[reader.position :]
                return message
            await self._more()

    async def _more(self) -> None:
        record: Record = await self._exchange.read(readRecord, RECORD_LIMIT)
        self.held += self._stream.receive(record.data)
        if self._stream.failure is not None or self._stream.ended:
            raise LoginRefused("the proxy ends TLS within the login")
