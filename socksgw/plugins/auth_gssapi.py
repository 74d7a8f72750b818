"""
GSSAPI (RFC 1961, method 01; Negotiate in HTTP, RFC 4559): Kerberos single sign-on.

In SOCKS 5 every octet after the login travels in wrapped tokens; SOCKS 6
(draft-olteanu-intarea-socks-6-11 section 6) and HTTP have no such protection.

What a token holds is the business of a mechanism: C{gssapi_kerberos.py}, or
C{gssapi_stub.py} for tests and demonstrations.
"""

from __future__ import annotations

import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, final

from zope.interface import implementer

from socksgw.errors import AuthenticationFailed
from socksgw.interfaces import (
    CLEAR,
    CONFIDENTIALITY,
    INTEGRITY,
    Answer,
    IAnswering,
    IProbed,
    IProtectingMethod,
    IReportingStore,
    IVerifiedIdentity,
    IVerifyingMethod,
    Settings,
)
from socksgw.plugins.gssapi_stub import StubMechanism
from socksgw.wire import gssapi as wire
from socksgw.wire.codes import Method
from socksgw.wire.encapsulation import Encapsulation, Sealing
from socksgw.wire.gssapi import Level, MessageType, encode
from socksgw.wire.reader import Reader, WireError

__all__ = ["Context", "Mechanism", "method"]

#: Tokens of the client's, at most, until the context is there.
_ROUNDS: Final = 10
#: How a token of NTLM begins.
_NTLM: Final = b"NTLMSSP\0"
#: By the words of the configuration.
_LEVELS: Final = {
    CLEAR: Level.CLEAR,
    INTEGRITY: Level.INTEGRITY,
    CONFIDENTIALITY: Level.CONFIDENTIALITY,
    "selective": Level.SELECTIVE,
}


class Context(Sealing, Protocol):
    """
    One client's security context. All but C{complete} is known when that is set.
    """

    @property
    def complete(self) -> bool:
        """Whether the context is established."""

    @property
    def name(self) -> bytes:
        """The client's name, without its realm."""

    @property
    def realm(self) -> str:
        """The realm of the client's name."""

    @property
    def expires(self) -> float | None:
        """When the context ends, in seconds since the epoch; L{None} for never."""

    @property
    def confidential(self) -> bool:
        """Whether the mechanism can encrypt."""

    def step(self, token: bytes) -> Awaitable[bytes]:
        """
        Take a token of the client's. May read files: never call it on the reactor.

        @return: fires with the token to answer with, or nothing.
        @raise AuthenticationFailed: it is not acceptable.
        """


class Mechanism(Protocol):
    """A kind of GSSAPI; it makes a context for each client."""

    def accept(self, negotiated: bool = False) -> Context:
        """
        Return the context of a client that begins.

        @param negotiated: whether it may choose the mechanism by SPNEGO (RFC 4178).
        @raise AuthenticationFailed: there can be none at the moment.
        """

    def problems(self) -> Sequence[str]:
        """As L{socksgw.interfaces.IReportingStore.problems}."""

    async def probe(self) -> Sequence[Answer]:
        """As L{socksgw.interfaces.IProbed.probe}."""


@implementer(IVerifiedIdentity)
@final
class Credentials:
    """
    Whom the context has proved.

    @ivar answer: the token that completes it on the client's side; held back
        until the Portal said yes.
    """

    __slots__ = ("answer", "context", "expires", "realm", "username")

    def __init__(self, context: Context, answer: bytes) -> None:
        self.context = context
        self.answer = answer
        self.username = context.name
        self.realm = context.realm
        self.expires = context.expires

    def __repr__(self) -> str:
        return "<Credentials>"


@implementer(IAnswering, IProbed, IReportingStore)
@final
class Gssapi:
    """
    Establish the context before the Portal is asked, and the protection after it.

    Each failure is answered alike (section 3.8).
    """

    def __init__(
        self,
        mechanism: Mechanism,
        levels: tuple[Level, ...],
        nec: bool,
        binding: bool = False,
    ) -> None:
        """
        Make the method.

        @param levels: those accepted, the preferred one first.
        @param binding: whether a login that protects nothing itself needs a
            connection that is protected, where clear is not among the levels.
        @param nec: whether the level may come unwrapped, as NEC's implementation
            has it.
        """
        self._mechanism = mechanism
        self._levels = levels
        self._nec = nec
        self._refusesClear = binding and Level.CLEAR not in levels

    async def probe(self) -> Sequence[Answer]:
        """As L{IProbed.probe}."""
        return await self._mechanism.probe()

    def problems(self) -> Sequence[str]:
        """As L{IReportingStore.problems}."""
        return self._mechanism.problems()

    async def readCredentials(self, exchange: Any) -> Credentials:
        """
        Establish the context, but for our last token.

        @raise AuthenticationFailed: the client does not get in; in SOCKS 6, where the
            context protects nothing, also where nothing else does and C{clear} is not
            accepted.
        """
        if (
            not exchange.protects
            and exchange.secured == CLEAR
            and Level.CLEAR not in self._levels
        ):
            raise AuthenticationFailed(
                "a login of SOCKS 6 protects nothing of what follows it, and "
                '`protection` does not have "clear": use TLS, or SOCKS 5, or add that',
                reason="protection",
                counts=False,
            )
        context = self._mechanism.accept()
        for _ in range(_ROUNDS):
            token = await _read(exchange, wire.readAuthentication)
            if not token:
                # Old Kerberos libraries crash on it (CVE-2014-4344).
                raise AuthenticationFailed("an empty token", reason="protocol")
            answer = await context.step(token)
            if context.complete:
                return Credentials(context, answer)
            exchange.write(encode(MessageType.AUTHENTICATION, answer))
        raise AuthenticationFailed(
            f"no security context after {_ROUNDS} tokens", reason="protocol"
        )

    async def readAnswers(self, answers: Any) -> Credentials:
        """Establish the context (RFC 4559 section 5); nothing protects what follows."""
        if self._refusesClear and answers.secured == CLEAR:
            raise AuthenticationFailed(
                "nothing would protect what follows, and `protection` does not have "
                '"clear": use TLS, or add that',
                reason="protection",
                counts=False,
            )
        context = self._mechanism.accept(negotiated=True)
        answer = answers.answer
        for _ in range(_ROUNDS):
            output = await context.step(_token(answer))
            said = binascii.b2a_base64(output, newline=False).decode("ascii")
            if context.complete:
                if output:
                    answers.conclude(said)
                return Credentials(context, b"")
            answer = await answers.challenge(said)
        raise AuthenticationFailed(
            f"no security context after {_ROUNDS} tokens", reason="protocol"
        )

    async def writeOutcome(
        self, exchange: Any, credentials: Credentials | None, granted: bool
    ) -> None:
        """
        Abort; or complete the context, and agree on the level.
        """
        if credentials is None or not granted:
            exchange.write(wire.ABORT)
            return
        context = credentials.context
        exchange.write(encode(MessageType.AUTHENTICATION, credentials.answer))
        if not exchange.protects:
            # There is no level to agree on.
            return
        token = await _read(exchange, wire.readLevel)
        unwrapped = len(token) == 1
        if unwrapped and not self._nec:
            raise AuthenticationFailed(
                "the protection level came unwrapped (nec = true accepts that)",
                reason="protection",
            )
        try:
            asked = token if unwrapped else context.unwrap(token)[0]
        except WireError as e:
            raise AuthenticationFailed(str(e), reason="protection") from None
        if len(asked) != 1:
            raise AuthenticationFailed(
                f"a protection level of {len(asked)} octets", reason="protection"
            )
        level = self._agreed(asked[0], context)
        answer = bytes((level,))
        if not unwrapped:
            answer = context.wrap(answer, False)
        exchange.write(encode(MessageType.LEVEL, answer))
        if level != Level.CLEAR:
            exchange.protect(Encapsulation(context, level))

    def _agreed(self, asked: int, context: Context) -> Level:
        """
        Return the level that was asked for, if it is accepted, else what we prefer.

        The client closes if it does not accept that (section 4.4).
        """
        levels = [
            level
            for level in self._levels
            if context.confidential
            or level not in (Level.CONFIDENTIALITY, Level.SELECTIVE)
        ]
        if not levels:
            raise AuthenticationFailed(
                "the client's mechanism cannot encrypt", reason="protection"
            )
        return next((level for level in levels if level == asked), levels[0])


def _token(answer: bytes) -> bytes:
    """
    Return the token of an answer.

    @raise AuthenticationFailed: it is none.
    """
    try:
        token = binascii.a2b_base64(answer, strict_mode=True)
    except binascii.Error:
        raise AuthenticationFailed("no token in base64", reason="protocol") from None
    if not token:
        raise AuthenticationFailed("an empty token", reason="protocol")
    if token.startswith(_NTLM):
        # Windows falls back to it, and its password could be guessed so.
        raise AuthenticationFailed(
            "NTLM, which is not taken: the client has no ticket of Kerberos for this "
            "gateway's name",
            reason="bad-token",
            counts=False,
        )
    return token


async def _read(exchange: Any, decoder: Callable[[Reader], bytes]) -> bytes:
    """
    Read the client's next message.

    @raise AuthenticationFailed: the client sent something else; it is told so, as
        of any other failure.
    """
    try:
        token: bytes = await exchange.read(decoder, wire.MESSAGE_LIMIT)
    except WireError as e:
        raise AuthenticationFailed(str(e), reason="protocol") from None
    return token


@implementer(IVerifyingMethod, IProtectingMethod)
@final
class GssapiMethod:
    """
    The method's declaration.
    """

    name = "gssapi"
    code = Method.GSSAPI
    help = "Kerberos, and protection of all that follows (RFC 1961, method 01)"
    protection = (CONFIDENTIALITY, INTEGRITY)
    anonymous = False
    cleartext = False
    credentials = ()
    serves = "with Kerberos"
    challenge = "Negotiate"
    keys: Final[Mapping[str, str]] = {
        "keytab": "string. The file of the service's keys, which nobody else may read. "
        "Needed with ``kerberos``.",
        "protection": 'array of strings; default ``["confidentiality", "integrity"]``. '
        "Levels of protection that are accepted: these, and ``selective`` and "
        "``clear``. The first is answered to a client that asks for another one. HTTP "
        "has no protection: with this key, a login there needs TLS, or ``clear``. In "
        "SOCKS 6, which has none either, it needs that in any case.",
        "mechanism": 'string; default ``"kerberos"``. ``"stub"`` believes everybody, '
        "for tests; only where every listener is on loopback.",
        "nec": "true or false; default ``false``. ``true``: the level may come "
        "unprotected, too, as NEC's clients send it.",
    }

    def build(self, settings: Settings, reactor: Any) -> Gssapi:
        """
        C{keytab}, C{protection}, C{mechanism} and C{nec}.
        """
        settings.only(*self.keys)
        levels = tuple(map(_level, settings.words("protection", self.protection)))
        if not levels:
            raise ValueError("protection is empty: nobody could get in")
        nec = settings.flag("nec")
        binding = "protection" in settings
        return Gssapi(_mechanism(settings, reactor), levels, nec, binding)


def _level(word: str) -> Level:
    if word not in _LEVELS:
        known = ", ".join(f'"{each}"' for each in _LEVELS)
        raise ValueError(f'protection: there is no level "{word}"; there are: {known}')
    return _LEVELS[word]


def _mechanism(settings: Settings, reactor: Any) -> Mechanism:
    """
    @raise ValueError: it cannot be used, with the reason.
    """
    name = settings.word("mechanism", "kerberos")
    keytab = settings.path("keytab")
    if name == "stub":
        if settings.routable:
            raise ValueError(
                'mechanism = "stub" believes everybody; it is for tests, where '
                "every listener is on loopback"
            )
        return StubMechanism()
    if name != "kerberos":
        raise ValueError(
            f'there is no mechanism "{name}"; there are: "kerberos", "stub"'
        )
    if keytab is None:
        raise ValueError('needs keytab = "FILE", with the keys of the service')
    try:
        from socksgw.plugins.gssapi_kerberos import Kerberos
    except ImportError as e:
        raise ValueError(
            f"needs the package gssapi ({e}); remedy: pip install 'socksgw[gssapi]'"
        ) from None
    return Kerberos(keytab, reactor)


method = GssapiMethod()
