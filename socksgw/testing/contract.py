"""
The contract of an authentication method, as tests that the method's author runs.
"""

from __future__ import annotations

import re
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import zip_longest
from random import Random
from types import MappingProxyType
from typing import Any, Final, Self, final

from twisted.cred.credentials import IAnonymous
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer, providedBy
from zope.interface.verify import verifyObject

from socksgw.errors import SocksError
from socksgw.interfaces import (
    CLEAR,
    IAuthenticator,
    IAuthMethod,
    IExchange,
    IVerifiedIdentity,
    Settings,
)
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.testing.answers import AnswersContract
from socksgw.wire.codes import SOCKS5
from socksgw.wire.events import Decoded
from socksgw.wire.reader import Reader, WireError
from socksgw.wire.server import ServerConversation

__all__ = ["AuthMethodContract", "Script"]

#: The messages of a client in a sub-negotiation, in their order. Each is octets, or
#: a function that makes them from what the method has written since the message
#: before (a challenge).
Script = Sequence[bytes | Callable[[bytes], bytes]]

#: The longest message that any method may read: a token of 64 KiB and its header.
_MOST: Final = (1 << 16) + 8

_Split = Callable[[bytes], Iterable[bytes]]


def _whole(octets: bytes) -> Iterable[bytes]:
    return (octets,)


def _octets(octets: bytes) -> Iterable[bytes]:
    return [bytes((octet,)) for octet in octets]


def _cutAt(place: int) -> _Split:
    return lambda octets: (octets[:place], octets[place:])


@implementer(IExchange)
@final
class _Dialogue:
    """
    Lead one login in memory, from the choice of the method on.

    @ivar credentials: what the method has read; L{None} so far.
    @ivar failure: the exception that the method raised instead.
    @ivar written: the octets that the method has sent.
    @ivar limits: the longest message of each read, as the method said it.
    @ivar protected: whether the method protects the connection
        (L{socksgw.interfaces.IExchange.protect}).
    @ivar told: whether the method knows the Portal's answer.
    """

    def __init__(self, authenticator: Any, code: int, identity: Any, script: Script):
        self.identity = identity
        self.program = None
        self.protects, self.secured = True, CLEAR
        self.credentials: Any = None
        self.failure: BaseException | None = None
        self.written = b""
        self.limits: list[int] = []
        self.protected = self.told = False
        self._authenticator = authenticator
        self._conversation = conversation = ServerConversation()
        conversation.receive(bytes((SOCKS5, 1, code)))
        assert conversation.next() is not None
        conversation.chooseMethod(code)
        self._script = list(script)
        self._heard = 0
        self._over = False
        self._waiting: Deferred[None] | None = None
        self._running = self._run(self._readCredentials())

    # IExchange.

    async def read(self, decoder: Callable[[Reader], Any], limit: int) -> Any:
        """Return the client's next message."""
        assert not self._over, "it reads after the refusal"
        self.limits.append(limit)
        self._conversation.expect(decoder, limit)
        while (event := self._conversation.next()) is None:
            self._waiting = Deferred()
            await self._waiting
        assert isinstance(event, Decoded)
        return event.message

    def write(self, octets: bytes) -> None:
        """Send octets to the client."""
        assert not self._over, "it writes after the refusal"
        self.written += octets

    def protect(self, protection: Any) -> None:
        """Note that the method protects the connection."""
        assert not self._over, "it protects what was refused"
        self.protected = True

    # The test's side.

    def _run(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        running: Deferred[None] = Deferred.fromCoroutine(work)
        return running.addErrback(self._failed)

    async def _readCredentials(self) -> None:
        self.credentials = await self._authenticator.readCredentials(self)

    def _failed(self, failure: Failure) -> None:
        self.failure = failure.value

    def say(self, octets: bytes) -> None:
        """Hand the method octets of the client's."""
        self._conversation.receive(octets)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def steps(self, split: _Split = _whole) -> Iterator[None]:
        """
        Send the client's script piece by piece, for as long as the method reads.

        @param split: cuts a message into pieces.
        """
        while self._script and self._waiting is not None:
            line = self._script.pop(0)
            heard, self._heard = self._heard, len(self.written)
            if callable(line):
                line = line(self.written[heard:])
            for piece in split(line):
                self.say(piece)
                yield

    def follow(self, split: _Split = _whole) -> Self:
        """Send the client's whole script, as far as the method reads it."""
        for _ in self.steps(split):
            pass
        return self

    @property
    def hasMore(self) -> bool:
        """Whether a part of the script has not been sent."""
        return bool(self._script)

    @property
    def waits(self) -> bool:
        """Whether the method waits for the client."""
        return self._waiting is not None

    @property
    def surplus(self) -> bytes:
        """Return the octets that came and were not read."""
        return self._conversation.surplus()

    def tell(self, granted: bool, split: _Split = _whole) -> bytes:
        """
        Tell the method what the Portal has decided.

        @return: the octets that the method sent then.
        """
        before = len(self.written)
        self.told = True
        self._running = self._run(
            self._authenticator.writeOutcome(self, self.credentials, granted)
        )
        if granted:
            self.follow(split)
        self._over = not granted
        return self.written[before:]

    def leave(self) -> BaseException | None:
        """
        Let the client go away.

        @return: the exception that the method ended with.
        """
        self._waiting = None
        self._running.cancel()
        return self.failure


class AuthMethodContract(AnswersContract):
    r"""
    Test that an authentication method holds what every one must hold.

    Its author makes a subclass in a module of tests, and pytest runs it::

        class TestToken(AuthMethodContract):
            method = auth_token.method
            checker = Tokens("tokens")
            good = (b"alice:secret\n",)
            bad = (b"alice:wrong\n",)
            secret = b"secret"

    No reactor, socket or file is needed.

    @cvar method: the L{IAuthMethod}.
    @cvar settings: the method's table under C{[auth]}.
    @cvar reactor: what the method is built with; L{None} is a C{task.Clock}.
    @cvar checker: an C{ICredentialsChecker} that accepts the credentials of L{good}
        and refuses those of L{bad}, at once.
    @cvar good: the messages of a client that is let in.
    @cvar bad: the messages of a client that is not; L{None} for a method that lets
        every client in.
    @cvar secret: octets of L{good} that must never be shown.
    @cvar identity: what the connection of L{good} has proved
        (L{socksgw.interfaces.IVerifiedIdentity}).
    @cvar mostOctets: the longest message that the method may read, in octets; at
        most a token of 64 KiB and its header.
    @cvar mostMessages: how many messages the method may read.
    @cvar goodAnswers: what the client of L{good} says in HTTP, as in
        L{AnswersContract}; so is C{badAnswers}.
    @cvar mutations: how many changed conversations are tried.
    """

    method: Any
    checker: Any
    good: Script
    bad: Script | None
    settings: Mapping[str, Any] = MappingProxyType({})
    reactor: Any = None
    secret: bytes = b""
    identity: Any = None
    mostOctets: int = 2048
    mostMessages: int = 16
    mutations: int = 500

    def describe(self, credentials: Any) -> object:
        """
        Return what is the same in all credentials of one client.

        By default these are the interfaces that the credentials provide, and every
        plain value that they hold. Override it where they hold something random.
        """
        interfaces = sorted(each.__identifier__ for each in providedBy(credentials))
        names = set(getattr(credentials, "__dict__", ()))
        for kind in type(credentials).__mro__:
            slots = getattr(kind, "__slots__", ())
            names.update((slots,) if isinstance(slots, str) else slots)
        held = [(name, getattr(credentials, name, None)) for name in sorted(names)]
        plain = (bytes, str, int, float, bool, tuple, frozenset)
        return interfaces, [each for each in held if isinstance(each[1], plain)]

    # The test's side.

    def _built(self) -> Any:
        self._clock = self.reactor or Clock()
        return self.method.build(Settings(dict(self.settings)), self._clock)

    def _login(self, script: Script, identity: Any = None) -> _Dialogue:
        return _Dialogue(self._built(), self.method.code, identity, script)

    def _goodLogin(self, split: _Split = _whole) -> _Dialogue:
        login = self._login(self.good, self.identity).follow(split)
        if login.failure is not None:
            raise login.failure
        assert not login.waits, "the good conversation is not whole"
        assert login.credentials is not None, "it read no credentials"
        return login

    def _decided(self, credentials: Any) -> bool:
        """Return whether the checker accepts these credentials."""
        decided: list[Any] = []
        asked = maybeDeferred(self.checker.requestAvatarId, credentials)
        asked.addBoth(decided.append)
        assert decided, "the checker must answer at once here"
        if not isinstance(decided[0], Failure):
            return True
        decided[0].trap(UnauthorizedLogin)
        return False

    # The contract.

    def test_itIsDeclared(self) -> None:
        """Check the interfaces, and that name, code and help are what they may be."""
        method = self.method
        verifyObject(IAuthMethod, method)
        verifyObject(IAuthenticator, self._built())
        assert re.fullmatch(r"[a-z][a-z0-9-]*", method.name), method.name
        # RFC 1928 section 3: FF is "no acceptable methods".
        assert isinstance(method.code, int)
        assert 0 <= method.code < 0xFF
        assert method.help == method.help.strip() != ""
        assert "\n" not in method.help

    def test_whatItDeclaresIsTrue(self) -> None:
        """
        Check what the method declares (L{IMethodCapabilities}) against what it does.
        """
        declared = capabilitiesOf(self.method)
        credentials = self._goodLogin().credentials
        anonymous = IAnonymous.providedBy(credentials)
        assert not anonymous or declared.anonymous, (
            "it logs nobody in: declare anonymous = True"
        )
        if declared.credentials is not None:
            taken = any(kind.providedBy(credentials) for kind in declared.credentials)
            proved = declared.verifies and IVerifiedIdentity.providedBy(credentials)
            assert taken or proved or anonymous, "it declares other credentials"
        if self.identity is not None:
            assert declared.certificate, (
                "it needs what the connection proved: declare certificate = True"
            )
        if declared.cleartext is False and self.secret:
            said = b"".join(each for each in self.good if isinstance(each, bytes))
            assert self.secret not in said, (
                "the client says its secret: declare cleartext = True"
            )

    def test_aSettingItDoesNotKnowIsAnError(self) -> None:
        """Check that an unknown setting is a C{ValueError}, and not ignored."""
        settings = Settings({**self.settings, "no_such_setting": 1})
        said = ""
        try:
            self.method.build(settings, self.reactor or Clock())
        except ValueError as e:
            said = str(e)
        assert said, "it takes a setting that nobody knows, or does not say which"

    def test_whoIsGoodIsLetIn(self) -> None:
        """
        Check that the client of L{good} is let in.

        The octets that a client sends behind its login are not the method's.
        """
        login = self._goodLogin()
        provided = [
            each
            for each in self.checker.credentialInterfaces
            if each.providedBy(login.credentials)
        ]
        assert provided, "the checker takes no such credentials"
        assert self._decided(login.credentials), "the checker says no"
        if login.hasMore:
            login.tell(True)
        login.say(b"the request")
        if not login.told:
            login.tell(True)
        assert login.failure is None
        assert login.surplus == b"the request", "it reads what is behind the login"

    def test_whoIsBadIsNot(self) -> None:
        """
        Check that the client of L{bad} is refused.

        Once it has been told, nothing more is read, written or protected.
        """
        if self.bad is None:
            return
        login = self._login(self.bad)
        login.follow()
        if login.credentials is not None:
            assert not self._decided(login.credentials), "the checker says yes"
            login.tell(False)
            assert not login.waits, "it waits after the refusal"
            if isinstance(self._clock, Clock):
                self._clock.advance(3600)
        else:
            assert isinstance(login.failure, (WireError, SocksError)), login.failure
        assert not login.protected

    def test_anySplitIsTheSame(self) -> None:
        """Check that the credentials are the same however the octets are cut."""
        expected = self.describe(self._goodLogin().credentials)
        longest = max((len(x) for x in self.good if isinstance(x, bytes)), default=2)
        for split in (_octets, *map(_cutAt, range(1, min(longest, 512)))):
            login = self._goodLogin(split)
            assert self.describe(login.credentials) == expected
            login.tell(True, split)
            assert login.failure is None
            assert not login.waits

    def test_stateIsOfOneConnection(self) -> None:
        """Check that two clients of one authenticator at a time do not mix."""
        authenticator, code = self._built(), self.method.code
        other = self.good if self.bad is None else self.bad
        expected = self.describe(self._goodLogin().credentials)
        wrong = self._login(other, self.identity).follow().credentials
        first, second = (
            _Dialogue(authenticator, code, self.identity, script)
            for script in (self.good, other)
        )
        for _ in zip_longest(first.steps(_octets), second.steps(_octets)):
            pass
        assert self.describe(first.credentials) == expected
        if wrong is not None:
            assert self.describe(second.credentials) == self.describe(wrong)
            second.tell(False)
        first.tell(True)
        assert first.failure is None

    def test_nothingElseEscapes(self) -> None:
        """
        Check that only L{WireError} and L{SocksError} are raised, whatever comes.

        Messages are bounded in length and number.
        """
        random = Random(f"{self.method.name} {self.mutations}")
        scripts = [self.good] + ([self.bad] if self.bad is not None else [])
        for _ in range(self.mutations):
            script = _spoilt(random.choice(scripts), random)
            login = self._login(script, self.identity)
            login.follow()
            self._exhaust(login, random)
            if login.failure is not None:
                assert isinstance(login.failure, (WireError, SocksError)), (
                    f"{type(login.failure).__name__} escaped"
                )
                self._silent(str(login.failure))
                continue
            login.tell(self._decided(login.credentials))
            self._exhaust(login, random)
            assert login.failure is None or isinstance(
                login.failure, (WireError, SocksError)
            )

    def _exhaust(self, login: _Dialogue, random: Random) -> None:
        """Send as much as the method may read, and see that it reads no more."""
        if login.failure is None and login.waits:
            login.say(random.randbytes(300))
            login.say(bytes(1 << 17))
            assert not login.waits or login.failure, "it reads without an end"
        assert len(login.limits) <= self.mostMessages, "more messages than are allowed"
        longest = max(login.limits, default=0)
        assert longest <= min(self.mostOctets, _MOST), "longer messages than allowed"

    def _silent(self, text: str) -> None:
        """Check that a text does not show the secret, in any spelling."""
        if self.secret:
            for guise in (
                self.secret.decode("latin-1"),
                repr(self.secret)[2:-1],
                self.secret.hex(),
            ):
                assert guise not in text, "it shows the secret"

    def test_secretsAreNotShown(self) -> None:
        """Check that no C{repr} or C{str} shows the secret."""
        login = self._goodLogin()
        for each in (login.credentials, self._built(), self.method):
            self._silent(repr(each))
            self._silent(str(each))

    def test_aRefusalTellsNoCause(self) -> None:
        """
        Check that every refusal sounds the same.

        Here a client with wrong credentials is refused, and one with right ones that
        must not come in all the same (too many tries, a reserved name).
        """
        login = self._goodLogin()
        refused = login.tell(False)
        assert not login.protected
        if self.bad is not None:
            other = self._login(self.bad).follow()
            if other.credentials is not None:
                assert other.tell(False) == refused, "the refusals differ"
        granted = self._goodLogin().tell(True)
        assert not granted or granted != refused, "a refusal sounds like a grant"

    def test_theClientGoes(self) -> None:
        """Check that the method ends when its client goes away in the middle."""
        for said in range(sum(isinstance(line, bytes) for line in self.good)):
            login = self._login(self.good[:said], self.identity).follow()
            if login.waits:
                assert isinstance(login.leave(), CancelledError), "it holds on"


def _spoilt(script: Script, random: Random) -> Script:
    """Return a script with up to three random changes."""
    spoilt = list(script)
    for _ in range(random.randint(1, 3)):
        number = random.randrange(len(spoilt) or 1)
        if not spoilt or random.random() < 0.1:
            spoilt.insert(number, random.randbytes(random.choice((0, 1, 2, 60, 3000))))
            continue
        spoilt[number] = _spoiltLine(spoilt[number], random)
    return spoilt


def _spoiltLine(
    line: bytes | Callable[[bytes], bytes], random: Random
) -> bytes | Callable[[bytes], bytes]:
    if callable(line):
        answer, seed = line, random.random()
        return lambda heard: _spoiltOctets(answer(heard), Random(seed))
    return _spoiltOctets(line, random)


def _spoiltOctets(octets: bytes, random: Random) -> bytes:
    at = random.randint(0, len(octets))
    kind = random.randrange(5)
    if kind == 0 and octets:
        at = min(at, len(octets) - 1)
        changed = octets[at] ^ (1 << random.randrange(8))
        return octets[:at] + bytes((changed,)) + octets[at + 1 :]
    if kind == 1:
        return octets[:at]
    if kind == 2:
        return octets[:at] + random.randbytes(random.choice((1, 3, 255))) + octets[at:]
    if kind == 3:
        return octets[:at] + octets[random.randint(0, len(octets)) :]
    return random.randbytes(len(octets) + random.randint(0, 4))
