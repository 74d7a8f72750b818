"""
What a supervisor asks of all its workers together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, final

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from socksgw.config.problems import Finding
from socksgw.metrics.merging import unpacked
from socksgw.metrics.snapshot import Snapshot
from socksgw.system.channel import ChannelError, ChannelGone, Message
from socksgw.workers.child import Child
from socksgw.workers.destinations import LAST, together
from socksgw.workers.orders import findings

__all__ = ["Questions"]

_log = Logger()

#: Seconds that a worker may take to say what it has been asked.
_ANSWER: Final = 30.0
#: The same where somebody waits to see all: what is not said by then is left out.
_SEEN: Final = 3.0


@final
class Questions:
    """Asks all workers that there are at a time."""

    def __init__(self, reactor: Any, everyone: Callable[[], Iterator[Child]]) -> None:
        """
        Ask nothing yet.

        @param everyone: returns the processes of now.
        """
        self._reactor = reactor
        self._everyone = everyone

    def agree(self, order: Message) -> Deferred[Sequence[Finding]]:
        """
        Ask whether they can use a configuration.

        @return: fires with what is wrong, and never fails.
        """
        asked = [(each, self._asked(each, order)) for each in self._everyone()]
        answers = DeferredList([answer for _, answer in asked], consumeErrors=True)
        return answers.addCallback(self._answered, [child for child, _ in asked])

    def _asked(self, child: Child, order: Message) -> Deferred[dict[str, Any]]:
        """Ask one worker, which is ended when it says nothing."""
        late = self._reactor.callLater(_ANSWER, child.kill)

        def done(result: Any) -> Any:
            if late.active():
                late.cancel()
            return result

        return child.ask(order).addBoth(done)

    def _answered(
        self, answers: Sequence[tuple[bool, Any]], asked: Sequence[Child]
    ) -> Sequence[Finding]:
        """
        Return why a configuration cannot be used.

        A worker that has died meanwhile has no say: another one takes its place, and
        begins with what is in force then.
        """
        problems: list[Finding] = []
        for (succeeded, answer), child in zip(answers, asked, strict=True):
            if succeeded:
                problems += findings(answer)
            elif child in self._everyone():
                problems.append(
                    Finding(
                        "", "", f"worker {child.number}: {answer.getErrorMessage()}"
                    )
                )
        # Each of them says the same.
        return list(dict.fromkeys(problems))

    def ask(
        self, question: Message, seconds: float | None = _SEEN
    ) -> Deferred[list[dict[str, Any]]]:
        """
        Ask those that serve; as L{Role.askAll}.

        @param seconds: that each may take; L{None}: as long as it lives.
        """
        answers = []
        for each in self._everyone():
            if each.serves:
                asked = each.ask(question)
                if seconds is not None:
                    asked.addTimeout(seconds, self._reactor)
                answers.append(asked)
        all_: Deferred[Any] = DeferredList(answers, consumeErrors=True)
        return all_.addCallback(self._told, question)

    def _told(
        self, answers: Sequence[tuple[bool, Any]], question: Message
    ) -> list[dict[str, Any]]:
        """Return the answers of those that have answered."""
        for succeeded, answer in answers:
            if not succeeded and not answer.check(ChannelGone):
                _log.error(
                    "a worker did not do {what}: {why}",
                    what=question.get("part") or question["do"],
                    why=answer.getErrorMessage(),
                )
        return [answer for succeeded, answer in answers if succeeded]

    def asked(self, question: Message) -> Deferred[Message]:
        """
        Answer what a worker asks of all, itself among them.

        @raise ChannelError: that is nothing to ask.
        """
        if question.get("do") != LAST:
            raise ChannelError("that is not to be asked")
        return self.ask(question).addCallback(together)

    def measured(self) -> Deferred[list[Snapshot]]:
        """Return the values of all metrics in those that serve; it never fails."""
        measuring = []
        for each in self._everyone():
            if each.serves:
                asked = each.ask({"do": "measure"}).addTimeout(_SEEN, self._reactor)
                asked.addCallback(partial(self._measured, each))
                measuring.append(asked)
        all_: Deferred[Any] = DeferredList(measuring, consumeErrors=True)
        return all_.addCallback(self._counts)

    def _measured(self, child: Child, answer: dict[str, Any]) -> None:
        child.measured = unpacked(answer)

    def _counts(self, _: object) -> list[Snapshot]:
        return [each.measured for each in self._everyone() if each.measured is not None]
