"""
The part of a method's contract that is about HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from socksgw.errors import SocksError
from socksgw.interfaces import IAnswering, IAnswers
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.wire.reader import WireError

__all__ = ["AnswersContract"]

#: What a client says behind the scheme's name, request by request. Each is octets, or
#: a function that makes them from what it was told last.
Said = Sequence[bytes | Callable[[bytes], bytes]]

#: Octets of an answer that is no answer.
_LONG: Final = 60_000


@implementer(IAnswers)
@final
class _Answers:
    """
    Lead one login in memory, from the request that brings its first answer on.

    @ivar credentials: what the method has read; L{None} so far.
    @ivar failure: the exception that it raised instead.
    @ivar challenges: how often it has asked for more.
    """

    secured = "clear"

    def __init__(self, authenticator: Any, identity: Any, said: Said) -> None:
        self.identity = identity
        self.credentials: Any = None
        self.failure: BaseException | None = None
        self.challenges = 0
        self.told: list[str] = []
        self._said = list(said)
        self.answer = self._next(b"")
        self.running: Deferred[None] = Deferred.fromCoroutine(self._run(authenticator))
        self.running.addErrback(self._failed)

    def _next(self, heard: bytes) -> bytes:
        line = self._said.pop(0)
        return line(heard) if callable(line) else line

    async def _run(self, authenticator: Any) -> None:
        self.credentials = await authenticator.readAnswers(self)

    def _failed(self, failure: Failure) -> None:
        self.failure = failure.value

    async def challenge(self, octets: str) -> bytes:
        """Return the client's next answer; without one the client waits."""
        self.challenges += 1
        self.told.append(octets)
        if not self._said:
            await Deferred()
        self.answer = self._next(octets.encode("ascii"))
        return self.answer

    def deny(self, octets: str) -> None:
        """Note what the client is told if it is not let in."""
        self.told.append(octets)

    def conclude(self, octets: str) -> None:
        """Note what the client is told at the end."""
        self.told.append(octets)


class AnswersContract:
    """
    Test that a method which declares C{challenge} holds it.

    @cvar goodAnswers: what a client of HTTP says that is let in, as the one of
        C{good} is: of each request what stands behind the scheme's name. Empty for
        a method that declares no C{challenge}.
    @cvar badAnswers: what one says that is not.
    """

    method: Any
    checker: Any
    identity: Any
    settings: Mapping[str, Any]
    mostMessages: int
    mutations: int
    goodAnswers: Said = ()
    badAnswers: Said = ()

    def describe(self, credentials: Any) -> object:
        """As C{AuthMethodContract.describe}."""
        raise NotImplementedError

    def _built(self) -> Any:
        raise NotImplementedError

    def _decided(self, credentials: Any) -> bool:
        raise NotImplementedError

    def _silent(self, text: str) -> None:
        raise NotImplementedError

    def _goodLogin(self) -> Any:
        raise NotImplementedError

    def _answered(self, said: Said) -> _Answers:
        return _Answers(self._built(), self.identity, said)

    def test_answersAreAsGood(self) -> None:
        """
        Check that requests of HTTP bring the same credentials as messages of SOCKS.

        What is refused there is refused here, and no text shows the secret.
        """
        if not capabilitiesOf(self.method).challenge:
            assert not self.goodAnswers, "it declares no `challenge`"
            return
        assert self.goodAnswers, "goodAnswers is missing: it declares `challenge`"
        verifyObject(IAnswering, self._built())
        good = self._answered(self.goodAnswers)
        if good.failure is not None:
            raise good.failure
        assert good.credentials is not None, "the good answers are not whole"
        expected = self.describe(self._goodLogin().credentials)
        assert self.describe(good.credentials) == expected, "other credentials"
        assert self._decided(good.credentials), "the checker says no"
        for text in (repr(good.credentials), *good.told):
            self._silent(text)
            assert text.isascii()
            assert text.isprintable(), "it says more than a line"
        if self.badAnswers:
            bad = self._answered(self.badAnswers)
            if bad.failure is not None:
                assert isinstance(bad.failure, (WireError, SocksError)), bad.failure
            else:
                assert not self._decided(bad.credentials), "the checker says yes"

    def test_nothingElseEscapesOfAnswers(self) -> None:
        """Check that only the errors of the interfaces are raised, whatever comes."""
        random = Random(f"{self.method.name} answers")
        for _ in range(self.mutations if self.goodAnswers else 0):
            spoilt: list[bytes | Callable[[bytes], bytes]] = list(self.goodAnswers)
            place = random.randrange(len(spoilt))
            line = spoilt[place]
            octets = bytearray(line if isinstance(line, bytes) else b"")
            at = random.randint(0, len(octets))
            put = random.choice((b"", b"=", b" ", b"!", b"A", random.randbytes(3)))
            octets[at : at + random.randint(0, 4)] = put
            spoilt[place] = bytes(octets)
            more = random.choice((b"", b"QQ==", b"Q" * _LONG))
            login = self._answered([*spoilt, *([more] * self.mostMessages)])
            assert login.challenges <= self.mostMessages, "it asks without an end"
            if login.failure is not None:
                assert isinstance(login.failure, (WireError, SocksError)), (
                    f"{type(login.failure).__name__} escaped"
                )
                self._silent(str(login.failure))

    def test_theClientGoesAmidAnswers(self) -> None:
        """Check that the method ends when its client goes away between requests."""
        for count in range(1, len(self.goodAnswers)):
            login = self._answered(self.goodAnswers[:count])
            assert login.credentials is None
            login.running.cancel()
            assert isinstance(login.failure, CancelledError), "it holds on"
