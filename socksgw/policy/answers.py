"""
What a condition, and a rule, can answer to a question: yes, no, or that it depends
on facts which are not known.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AT",
    "FROM",
    "GROUPS",
    "KEEPS_ALLOWING",
    "KEEPS_DENYING",
    "LISTENER",
    "METHOD",
    "PORTS",
    "SECURED",
    "TO",
    "YES",
    "Answer",
    "missing",
    "unknown",
]

#: A string is a no: the first condition that does not hold. A number is no
#: condition that fails: 0 is a yes; else the sum of the facts that it depends on.
Answer = str | int

YES: Final = 0
#: Facts that may not be known.
GROUPS: Final = 1
LISTENER: Final = 2
FROM: Final = 4
METHOD: Final = 8
SECURED: Final = 16
AT: Final = 32
#: Facts that a live request may not know yet, and that are judged when they are
#: known: the port, and the address that a name leads to.
PORTS: Final = 64
TO: Final = 128

#: The facts as people name them, in the order in which rules ask for them.
_NAMES: Final = {
    GROUPS: "groups",
    LISTENER: "listener",
    FROM: "from",
    METHOD: "method",
    SECURED: "secured",
    AT: "at",
    PORTS: "ports",
    TO: "to",
}
_GIVEN: Final = GROUPS | LISTENER | FROM | METHOD | SECURED | AT

#: What keeps a rule from allowing: a fact that must be known. What will be known
#: later does not, for the rule may match then.
KEEPS_ALLOWING: Final = _GIVEN
#: What keeps a rule from denying: anything; while the port is not known, what
#: holds for some ports denies nothing.
KEEPS_DENYING: Final = _GIVEN | PORTS | TO


def unknown(answer: int) -> str:
    """Return the first fact that an answer depends on."""
    return _NAMES[answer & -answer]


def missing(allow: bool, answer: Answer) -> str | None:
    """
    Return the fact that has to be told before a rule decides; L{None} where the
    rule does not depend on one, or could not decide with it either.

    @param allow: whether the rule allows.
    """
    if isinstance(answer, str) or not answer & _GIVEN:
        return None
    return unknown(answer) if allow or not answer & ~_GIVEN else None
