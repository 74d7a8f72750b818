"""
The look-up of a name that one request alone asks for, which nearly every one is.

Both questions about it are asked at once, and one object sees to them. As soon as
anything else is needed (somebody else asks for the same name, the request goes away,
IPv6 is late), it is made into what others are: a request, and the questions that it
waits for (L{socksgw.route.request}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, final

from socksgw.errors import SocksError
from socksgw.interfaces import SetDeadline
from socksgw.route.lookup import Both, Lookup
from socksgw.route.pair import VERSIONS
from socksgw.route.request import (
    Answer,
    Answers,
    Asked,
    Found,
    Question,
    Request,
    kept,
    outcome,
)
from socksgw.wire.address import Address

__all__ = ["Asker", "Sole"]


class Asker(Asked, Protocol):
    """
    The resolver, for a sole request.

    @ivar versions: in the order of preference.
    @ivar timeout: seconds that a look-up may take.
    @ivar clock: monotonic seconds.
    """

    versions: tuple[int, ...]
    timeout: float
    clock: Callable[[], float]
    setDeadline: SetDeadline

    def over(self, name: str, source: bytes) -> None:
        """Take note that a sole request has all its answers."""

    def share(self, name: str, questions: Iterable[Question]) -> None:
        """Take note that a sole request is one like others from now on."""

    def left(self, source: bytes) -> None:
        """Take back the place of a source."""

    def settle(self, question: Question, answer: Answer) -> None:
        """Give all who wait for a question its answer."""


@final
class Sole:
    """
    One request, and both questions about its name, which has a source's place.
    """

    __slots__ = (
        "_answers", "_asker", "_both", "_done", "_name", "_questions", "_request",
        "_since", "_source",
    )  # fmt: skip

    _both: Both

    def __init__(self, asker: Asker, name: str, source: bytes, now: float) -> None:
        """
        Ask nothing yet.

        @param source: whose place it has.
        @param now: monotonic seconds.
        """
        self._asker = asker
        self._name = name
        self._source = source
        self._since = now
        self._answers: Answers = {}
        self._done: Callable[[Found], None] | None = None
        self._request: Request | None = None

    def start(self, lookup: Lookup, done: Callable[[Found], None]) -> Found | Sole:
        """
        Ask.

        @param done: called later, unless the outcome is returned.
        """
        try:
            self._both = both = lookup.both(self._name, self._came)
        except BaseException:
            # A defect is not to cost the source its place.
            self._asker.over(self._name, self._source)
            raise
        answers = self._answers
        if len(answers) == len(VERSIONS):
            return outcome(answers, self._asker.versions)
        self._done = done
        if answers or not both.bounded:
            self.share()
        return self

    def _came(self, version: int, answer: list[Address] | SocksError) -> None:
        """Take the answer to one question."""
        asker, found = self._asker, kept(answer)
        if self._request is not None:
            question = self._questions.pop(version)
            if not self._questions:
                asker.left(self._source)
            asker.settle(question, found)
            return
        answers = self._answers
        answers[version] = found
        asker.remember((self._name, version), found)
        if len(answers) == len(VERSIONS):
            asker.over(self._name, self._source)
            done, self._done = self._done, None
            if done is not None:
                done(outcome(answers, asker.versions))
        elif version == 4 and self._done is not None:
            # IPv6 has some time still, which a request like others sees to.
            self.share()

    def share(self) -> Request:
        """Be a request like others from now on."""
        asker, name, done = self._asker, self._name, self._done
        assert done is not None
        self._done = None
        self._request = request = Request(asker, self._answers)
        for version in VERSIONS:
            if version not in self._answers:
                question = Question((name, version))
                question.running = partial(self._both.cancel, version)
                question.waiting[request] = None
                request.missing[version] = question
        self._questions = dict(request.missing)
        asker.share(name, self._questions.values())
        versions = asker.versions
        left = self._since + asker.timeout - asker.clock()
        request.wait(
            max(left, 0.0),
            asker.setDeadline,
            lambda answers: done(outcome(answers, versions)),
        )
        return request

    def cancel(self) -> None:
        """Wait for it no longer; nothing is called then."""
        if self._request is not None:
            self._request.cancel()
        elif self._done is not None:
            self.share().cancel()
