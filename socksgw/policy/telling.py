"""
What a client may be told of a look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from socksgw.policy.questions import DEFAULT, Missing, Question, Verdict
from socksgw.wire.address import Address

__all__ = ["tellable"]

#: The commands that lead to a destination.
_REACHING: Final = ("connect", "udp", "bind")
#: The verdict about a look-up of an address that none of these may reach.
_UNREACHED: Final = Verdict(False, DEFAULT, "no rule lets the client reach it")


def tellable(
    judge: Callable[[Question, Address | None], Verdict], question: Question
) -> Callable[[Address | None], Verdict]:
    """
    Return a function that judges the answers to a look-up.

    Its argument is L{None} for the name, before an answer is known.

    @param judge: judges a question about an address.
    @param question: a question about C{resolve}.
    """

    def answer(address: Address | None) -> Verdict:
        verdict = judge(question, address)
        if not verdict.allowed:
            return verdict
        missing: Missing | None = None
        for command in _REACHING:
            try:
                if judge(question.about(command, 0), address).allowed:
                    return verdict
            except Missing as e:
                missing = missing or e
        if missing is not None:
            raise missing
        return _UNREACHED

    return answer
