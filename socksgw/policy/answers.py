"""
The answers of a rule to a question: yes, no, or that it depends on unknown facts.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "APPLICATION",
    "AT",
    "FROM",
    "GROUPS",
    "INSPECTED",
    "KEEPS_ALLOWING",
    "KEEPS_DENYING",
    "LISTENER",
    "METHOD",
    "PORTS",
    "SECURED",
    "SERVER_NAME",
    "TAG",
    "TO",
    "YES",
    "Answer",
    "missing",
    "unknown",
]

#: A string means no: it names the first condition that does not hold. A number means
#: that none is known to fail: 0 is a yes, else it is the sum of the facts that the
#: answer depends on.
Answer = str | int

YES: Final = 0
#: Facts that may be unknown.
GROUPS: Final = 1
LISTENER: Final = 2
FROM: Final = 4
METHOD: Final = 8
SECURED: Final = 16
TAG: Final = 32
AT: Final = 64
#: Facts that even a live request may not have yet, and that are judged later: the
#: port, and the address that a name leads to.
PORTS: Final = 128
TO: Final = 256
#: And what the first octets of the session tell.
APPLICATION: Final = 512
SERVER_NAME: Final = 1024
INSPECTED: Final = APPLICATION | SERVER_NAME

#: The facts as people name them, in the order in which rules ask for them.
_NAMES: Final = {
    GROUPS: "groups",
    LISTENER: "listener",
    FROM: "from",
    METHOD: "method",
    SECURED: "secured",
    TAG: "tag",
    AT: "at",
    PORTS: "ports",
    TO: "to",
    APPLICATION: "application",
    SERVER_NAME: "server_name",
}
_KNOWN: Final = GROUPS | LISTENER | FROM | METHOD | SECURED | TAG | AT
_GIVEN: Final = _KNOWN | INSPECTED

#: The facts which, while they are unknown, keep a rule from allowing. Port, address
#: and what the session carries do not: the rule may match when they are known.
KEEPS_ALLOWING: Final = _KNOWN
#: The facts which, while they are unknown, keep a rule from denying: all. A rule for
#: some ports denies nothing while the port is unknown.
KEEPS_DENYING: Final = _GIVEN | PORTS | TO


def unknown(answer: int) -> str:
    """Return the first fact that an answer depends on."""
    return _NAMES[answer & -answer]


def missing(allow: bool, answer: Answer) -> str | None:
    """
    Return the fact that has to be given before a rule can decide.

    It is L{None} where the rule depends on none, or could not decide with it either.

    @param allow: whether the rule allows.
    """
    if isinstance(answer, str) or not answer & _GIVEN:
        return None
    given = unknown(answer & _GIVEN)
    return given if allow or not answer & ~_GIVEN else None
