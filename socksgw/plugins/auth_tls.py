"""
TLS inside SOCKS (draft-ietf-aft-socks-ssl-00, methods 06 and 86).

The server shows a certificate, and the client logs in inside TLS, by a method that
protects nothing itself. TLS is of version 1.2 or newer, although the draft is of SSL 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from OpenSSL import SSL
from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import IRenumbered, IWrapper, Settings
from socksgw.system.tls import Stream
from socksgw.system.tlscontext import certificatesOf, keyFor, serverContext
from socksgw.system.tlsinside import Secured
from socksgw.wire.codes import Method
from socksgw.wire.reader import WireError
from socksgw.wire.tls import (
    OPTIONS_LIMIT,
    RECORD_LIMIT,
    Option,
    State,
    encodeOptions,
    encodeRecords,
    readOptions,
    readRecord,
)

__all__ = ["method"]

#: Octets of a client's side of the handshake, at most.
_HANDSHAKE: Final = 1 << 17


@implementer(IWrapper)
@final
class TLSInside:
    """
    The handshake and the options.

    @ivar inner: the methods to log in by inside.
    """

    def __init__(self, context: SSL.Context, inner: tuple[str, ...]) -> None:
        self._context = context
        self.inner = inner

    async def wrap(self, exchange: Any) -> None:
        """As L{IWrapper.wrap}."""
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        stream = Stream(connection)
        await self._shakeHands(exchange, stream)
        protection = Secured(stream)
        exchange.protect(protection)
        offered = await exchange.read(readOptions, OPTIONS_LIMIT)
        chosen = bytes(option for option in Option if option in offered)
        protection.naked = Option.UDP_NAKED in chosen
        exchange.write(encodeOptions(chosen))
        if Option.SUBAUTHENTICATION not in chosen:
            raise AuthenticationFailed(
                "the client does not want to log in inside TLS",
                reason="no-subauthentication",
                counts=False,
            )

    async def _shakeHands(self, exchange: Any, stream: Stream) -> None:
        came = 0
        while not stream.established:
            record = await exchange.read(readRecord, RECORD_LIMIT)
            # A record costs something, also an empty one.
            came += 4 + len(record.data)
            if record.state != State.HANDSHAKE or came > _HANDSHAKE:
                raise WireError("TLS in SOCKS begins with its handshake")
            early = stream.receive(record.data)
            # An alert, too, is to arrive.
            exchange.write(encodeRecords(State.HANDSHAKE, stream.outgoing()))
            if stream.failure is not None:
                raise WireError("the handshake of TLS in SOCKS failed")
            if early:
                raise WireError("a record of TLS in SOCKS holds more than its state")


@implementer(IRenumbered)
@final
class TLSMethod:
    """
    The method's declaration.
    """

    name = "tls"
    code = Method.SSL
    otherCodes = (Method.SSL_DRAFT,)
    help = "TLS inside SOCKS, and a login in it (SSL draft, methods 06 and 86)"
    anonymous = False
    cleartext = False
    credentials = ()
    serves = "with a login inside TLS"
    keys: Final[Mapping[str, str]] = {
        "certificate": "string; needed. The file of the certificate and its chain, in "
        "PEM. It is read at the start and on reload.",
        "key": "string. The file of the private key, which nobody else may read. "
        "Absent: the key is in the file of the certificate.",
        "methods": 'array of strings; default ``["userpass"]``. The methods of the '
        "login inside.",
    }

    def build(self, settings: Mapping[str, Any], reactor: Any) -> TLSInside:
        """C{certificate}, C{key} and C{methods} of C{[auth.tls]}."""
        assert isinstance(settings, Settings)
        settings.only(*self.keys)
        if not settings.word("certificate"):
            raise ValueError(
                "needs a certificate: [auth.tls] certificate, key and methods"
            )
        together = not settings.word("key")
        octets = settings.content("certificate", secret=together)
        chain = certificatesOf(octets)
        if not together:
            octets = settings.content("key", secret=True)
        context = serverContext(keyFor(chain, octets))
        return TLSInside(context, settings.words("methods", ("userpass",)))


method = TLSMethod()
