"""
Verdicts that are remembered, as long as nothing changes that they depend on.

The same users go to the same places. A ruleset does not change, so its verdict about
one question does not either, but for the time of day and for what leads to this host.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol, final, overload

from socksgw.policy.questions import Asking, Question, Verdict
from socksgw.policy.ruleset import Ruleset
from socksgw.wire.address import Address

__all__ = ["Remembered", "Surroundings"]

#: The most verdicts that are remembered of one ruleset.
_MOST: Final = 4096
#: In the place of a name that no rule knows: rules tell no such two apart.
_UNKNOWN: Final = ""


class Surroundings(Protocol):
    """What verdicts depend on besides the rules and the question."""

    def seen(self, listener: str) -> int | None:
        """
        Return a number that grows when something else may count as this host's own.

        @param listener: the client's.
        @return: L{None} where that may happen unnoticed.
        """


@final
class Remembered:
    """
    The verdicts of one ruleset about live requests.

    @ivar ruleset: the rules.
    """

    __slots__ = (
        "_around", "_known", "_names", "_passes", "_sources", "_timed", "ruleset",
    )  # fmt: skip

    def __init__(self, ruleset: Ruleset, around: Surroundings | None) -> None:
        """
        Remember nothing yet.

        @param around: what the word C{self} of rules means now; L{None} where that
            cannot be told, and nothing is remembered.
        """
        self.ruleset = ruleset
        self._around = around
        self._known: dict[Any, Verdict | None] = {}
        self._names = ruleset.names
        # Where the gateway listens may change at any time.
        self._passes = around is None or ruleset.placed
        # Most rulesets tell no sources apart.
        self._sources = ruleset.tellsSources
        self._timed = ruleset.timed

    def judge(self, question: Question, address: Address) -> Verdict:
        """
        Return what L{Ruleset.judge} says of a live request.

        @param question: with the port, and about now.
        """
        asker = question.asker
        if question.found is not None or question.at is not None:
            return self.ruleset.judge(question, address)
        return self.of(asker, question.command, question.name, question.port, address)

    @overload
    def of(
        self, asker: Asking, command: str, name: str | None, port: int, address: Address
    ) -> Verdict: ...

    @overload
    def of(
        self, asker: Asking, command: str, name: str, port: int, address: None
    ) -> Verdict | None: ...

    def of(
        self,
        asker: Asking,
        command: str,
        name: str | None,
        port: int,
        address: Address | None,
    ) -> Verdict | None:
        """
        Return the same of a question that is not asked yet: mostly it need not be.

        @param address: with L{None} what L{Ruleset.hopeless} says is returned.
        """
        user, source, listener = asker.user, asker.source, asker.listener
        if (
            self._passes
            or user.unsure
            or source is None
            or listener is None
            or self._around is None
            or (seen := self._around.seen(listener)) is None
        ):
            return self._ask(asker, command, name, port, address)
        named = name
        if name is not None and name not in self._names:
            named = _UNKNOWN
        key = (
            None if address is None else address.packed,
            port,
            named,
            command,
            user.name,
            user.groups,
            user.method,
            listener,
            asker.secured,
            asker.tag,
            source.packed if self._sources else None,
            seen,
            period := self._period() if self._timed else 0,
        )
        try:
            return self._known[key]
        except KeyError:
            pass
        known = self._ask(asker, command, name, port, address)
        # What was noticed only now is in the verdict, and not in the key.
        if self._around.seen(listener) == seen and (
            not self._timed or self._period() == period
        ):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = known
        return known

    def _ask(
        self,
        asker: Asking,
        command: str,
        name: str | None,
        port: int,
        address: Address | None,
    ) -> Verdict | None:
        question = Question(asker, command, name, port)
        if address is None:
            return self.ruleset.hopeless(question)
        return self.ruleset.judge(question, address)

    def _period(self) -> int:
        """Return what tells the present time from others at which other rules hold."""
        return self.ruleset.period(time.time())
