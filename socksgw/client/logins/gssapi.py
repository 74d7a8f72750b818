"""
GSSAPI: RFC 1961 in SOCKS 5, and in SOCKS 6.

In SOCKS 5 every octet after the login goes through the protection that both have agreed
on. In SOCKS 6 it protects nothing of what follows (draft-olteanu-intarea-socks-6-11
section 6), and so it is a login inside TLS alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from socksgw.client.errors import LoginRefused, ProtocolBroken
from socksgw.client.logins.initiator import Initiator, InitiatorContext
from socksgw.client.logins.login import Login, LoginExchange
from socksgw.wire.codes import Method
from socksgw.wire.encapsulation import Encapsulation
from socksgw.wire.gssapi import (
    LONGEST,
    MESSAGE_LIMIT,
    Aborted,
    Level,
    MessageType,
    encode,
    readAuthentication,
    readLevel,
)
from socksgw.wire.protection import Protection
from socksgw.wire.reader import Reader, WireError

__all__ = ["PROTECTIONS", "ROUNDS", "GssapiLogin"]

#: Tokens of ours, at most, until the context is there.
ROUNDS: Final = 10
#: Levels of protection that can be asked for, best first.
PROTECTIONS: Final = {
    "confidentiality": Level.CONFIDENTIALITY,
    "integrity": Level.INTEGRITY,
}


@final
class GssapiLogin(Login):
    """
    Log in by a ticket of Kerberos, say, and protect what follows.

    The proxy proves its name, too. It cannot choose a weaker protection than those
    that are named, nor none.
    """

    methods = bytes((Method.GSSAPI,))
    called = "GSSAPI"
    protects = True

    def __init__(
        self,
        initiator: Initiator,
        service: str,
        protection: Sequence[str] = tuple(PROTECTIONS),
    ) -> None:
        """
        Make the login for one proxy.

        @param service: the proxy's, as C{rcmd@gw2.example}.
        @param protection: acceptable levels, of L{PROTECTIONS}; the first is asked for.
        @raise ValueError: there is none, or one is unknown.
        """
        self._initiator = initiator
        self._service = service
        try:
            self._levels = [PROTECTIONS[each] for each in protection]
        except KeyError as e:
            raise ValueError(f"there is no protection {e}") from None
        if not self._levels:
            raise ValueError("no protection is acceptable")

    async def socks5(self, method: int, exchange: LoginExchange) -> Protection | None:
        """As L{Login.socks5} (RFC 1961 sections 3 and 4)."""
        if not exchange.protects and not exchange.secured:
            raise LoginRefused(
                "GSSAPI protects nothing of what follows in SOCKS 6: use TLS to the "
                "proxy, or SOCKS 5"
            )
        context = self._initiator.begin(self._service, datagrams=exchange.datagrams)
        await self._establish(context, exchange)
        if not exchange.protects:
            return None
        level = await self._agree(context, exchange)
        return Encapsulation(context, level)

    async def _establish(
        self, context: InitiatorContext, exchange: LoginExchange
    ) -> None:
        token = await context.step(b"")
        for _ in range(ROUNDS):
            if len(token) > LONGEST:
                raise LoginRefused(
                    f"a token of {len(token)} octets, and RFC 1961 carries {LONGEST}"
                )
            exchange.write(encode(MessageType.AUTHENTICATION, token))
            answer = await _read(exchange, _AUTHENTICATION)
            if context.complete:
                if answer:
                    raise ProtocolBroken("the proxy goes on with a login that is done")
                return
            if not answer:
                raise LoginRefused("the proxy has not proved its name")
            token = await context.step(answer)
            if context.complete and not token:
                return
        raise LoginRefused(f"no security context after {ROUNDS} tokens")

    async def _agree(self, context: InitiatorContext, exchange: LoginExchange) -> Level:
        """Agree on the level (section 4): what the proxy answers counts, if it is ours."""
        levels = [
            each
            for each in self._levels
            if context.confidential or each != Level.CONFIDENTIALITY
        ]
        if not levels:
            raise LoginRefused("the mechanism cannot encrypt")
        wanted = context.wrap(bytes((levels[0],)), False)
        exchange.write(encode(MessageType.LEVEL, wanted))
        token = await _read(exchange, _LEVEL)
        try:
            answer, _ = context.unwrap(token)
        except WireError as e:
            # An octet that is not protected could come from anybody on the way.
            raise ProtocolBroken(
                f"the proxy's level of protection is not its own: {e}"
            ) from None
        for level in levels:
            if answer == bytes((level,)):
                return level
        raise LoginRefused(
            f"the proxy wants another protection than {_named(levels)} "
            f"(level {answer[:1].hex() or 'none'})"
        )


def _named(levels: Sequence[Level]) -> str:
    return " or ".join(level.name.lower() for level in levels)


def _unlessAborted(
    read: Callable[[Reader], bytes],
) -> Callable[[Reader], tuple[bytes, ...]]:
    """Return a decoder that takes an abort message, too: it has no token (3.8)."""

    def decode(reader: Reader) -> tuple[bytes, ...]:
        try:
            return (read(reader),)
        except Aborted:
            return ()

    return decode


_AUTHENTICATION: Final = _unlessAborted(readAuthentication)
_LEVEL: Final = _unlessAborted(readLevel)


async def _read(
    exchange: LoginExchange, decode: Callable[[Reader], tuple[bytes, ...]]
) -> bytes:
    tokens = await exchange.read(decode, MESSAGE_LIMIT)
    if not tokens:
        raise LoginRefused("the proxy does not accept the login")
    return tokens[0]
