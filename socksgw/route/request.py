"""
One request for the addresses of a name, and the questions that it waits for.

Requests for the same name at the same time share the questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, final

from socksgw.errors import LookupFailed, SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.dnsmessages import NoSuchName
from socksgw.wire.address import Address

__all__ = [
    "ADDRESSES",
    "Answer",
    "Answers",
    "Found",
    "Key",
    "Question",
    "Request",
    "again",
    "kept",
    "outcome",
]

#: Addresses kept of each answer.
ADDRESSES: Final = 32
#: Seconds that IPv6 addresses may come later than the answer about IPv4 (RFC
#: 8305 section 3, the Resolution Delay). What is judged is dialled and nothing
#: else, so IPv4 addresses, which every host can dial, are waited for.
_DELAY: Final = 0.05

#: The addresses of one version, or the name of an address, or why there is none.
Answer = tuple[Any, ...] | SocksError
#: What is known of a name or an address, by version.
Answers = dict[int, Answer]
#: A name and a version, or an address whose name is wanted.
Key = tuple[str | Address, int]
#: The addresses of a name, or why there are none.
Found = tuple[Address, ...] | SocksError


class Asked(Protocol):
    """
    The resolver, for a request.

    @ivar reactor: for the delay.
    """

    reactor: Any

    def remember(self, key: Key, answer: Answer) -> None:
        """Give this answer for some seconds."""

    def leave(self, question: Question, request: Request) -> None:
        """Have a request wait for a question no longer."""


@final
class Question:
    """
    One question that is being asked, or waits for its turn.

    @ivar key: what it is about.
    @ivar waiting: the requests that wait for the answer.
    @ivar running: ends the look-up; L{None} before its turn.
    @ivar queued: the sources in whose name it waits.
    """

    __slots__ = ("key", "queued", "running", "waiting")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.waiting: dict[Request, None] = {}
        self.running: Callable[[], object] | None = None
        self.queued: set[bytes] = set()


@final
class Request:
    """
    One request for the addresses of a name, or the name of an address.

    @ivar answers: what is known, by version.
    @ivar missing: the questions that it waits for, by version.
    """

    __slots__ = ("_deadline", "_delay", "_done", "_resolver", "answers", "missing")

    def __init__(self, resolver: Asked, answers: Answers) -> None:
        """
        @param answers: what is known already.
        """
        self._resolver = resolver
        self._delay: Any = None
        self._deadline: Timer | None = None
        self._done: Callable[[Answers], None] | None = None
        self.answers = answers
        self.missing: dict[int, Question] = {}

    def wait(
        self,
        seconds: float,
        setDeadline: SetDeadline,
        done: Callable[[Answers], None],
    ) -> None:
        """
        Begin to wait for what is missing.

        @param done: called with what is known when enough is.
        """
        self._done = done
        self._deadline = setDeadline(seconds, self._expired)
        self._enough()

    def got(self, version: int, answer: Answer) -> None:
        """
        Take the answer to one of the questions.
        """
        del self.missing[version]
        self.answers[version] = answer
        if not self.missing:
            self._finish()
        elif self._deadline is not None:
            self._enough()

    def _enough(self) -> None:
        """
        Wait for IPv6 no longer than the delay, once enough is known of IPv4.

        That is its addresses, or that there is no such name.
        """
        known = self.answers.get(4)
        if not known or (
            isinstance(known, SocksError) and not isinstance(known, NoSuchName)
        ):
            return
        if self._delay is None:
            reactor = self._resolver.reactor
            self._delay = reactor.callLater(_DELAY, self._late)

    def _late(self) -> None:
        self._delay = None
        question = self.missing[6]
        if len(question.waiting) == 1 and question.running is not None:
            # Else each request would wait for it again.
            self._resolver.remember(question.key, unanswered())
        self._finish()

    def _expired(self) -> None:
        self._deadline = None
        for version in self.missing:
            self.answers[version] = unanswered()
        self._finish()

    def _finish(self) -> None:
        done = self._done
        self.cancel()
        if done is not None:
            done(self.answers)

    def cancel(self) -> None:
        """Wait no longer; nothing is called then."""
        self._done = None
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._deadline is not None:
            self._deadline.clear()
            self._deadline = None
        for question in list(self.missing.values()):
            self._resolver.leave(question, self)
        self.missing.clear()


def outcome(answers: Answers, versions: tuple[int, ...]) -> Found:
    """
    Return the addresses that answers give, or why there are none.

    @param versions: in the order of preference.
    """
    found: tuple[Address, ...] = ()
    errors: list[SocksError] = []
    for version in versions:
        answer = answers.get(version, ())
        if isinstance(answer, SocksError):
            errors.append(answer)
        else:
            found += answer
    if found:
        return found[:ADDRESSES]
    # A name that does not exist has no addresses of either version (RFC 8020), but
    # some servers say so of IPv6 where it has only IPv4 addresses (RFC 4074).
    known = answers.get(4)
    if isinstance(known, NoSuchName):
        return again(known)
    errors.sort(key=lambda error: isinstance(error, NoSuchName))
    return again(errors[0]) if errors else LookupFailed("no such host")


def kept(answer: list[Address] | SocksError) -> Answer:
    """Return what is remembered of an answer."""
    if isinstance(answer, SocksError):
        # Its frames would hold the whole answer.
        answer.__traceback__ = answer.__context__ = None
        return answer
    if len(answer) < 2:
        return tuple(answer)
    return tuple(dict.fromkeys(answer))[:ADDRESSES]


def again(error: SocksError) -> SocksError:
    """Return a copy of an error: each raise of one adds to its traceback."""
    return LookupFailed(str(error), error.reply, error.reason)


def unanswered() -> LookupFailed:
    return LookupFailed("no answer in time", reason="lookup-timeout")
