"""
How a client's octets are protected on the wire, in the words of the policy.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CLEAR",
    "CONFIDENTIALITY",
    "FACTS",
    "INTEGRITY",
    "IPSEC",
    "LEVELS",
    "WORDS",
    "factOf",
    "factsOf",
]

#: Not at all.
CLEAR: Final = "clear"
#: Nothing can be changed unnoticed, and everything can be read.
INTEGRITY: Final = "integrity"
#: Nothing can be changed or read.
CONFIDENTIALITY: Final = "confidentiality"
#: All of them, the weakest first.
LEVELS: Final = (CLEAR, INTEGRITY, CONFIDENTIALITY)
#: The connection came in by IPsec; what it protects itself is said beside that.
IPSEC: Final = "ipsec"
#: The words of rules.
WORDS: Final = (*LEVELS, IPSEC)


def factOf(level: str, ipsec: bool) -> str:
    """
    Return what rules and the journal see of a client's side.

    @param level: the connection's own, of L{LEVELS}.
    @param ipsec: whether the connection came in by IPsec.
    """
    if not ipsec:
        return level
    return IPSEC if level == CLEAR else f"{level}+{IPSEC}"


#: Everything that L{factOf} returns.
FACTS: Final = (*LEVELS, *(factOf(each, True) for each in LEVELS))


def factsOf(word: str) -> frozenset[str]:
    """
    Return the facts that a word of a rule means.

    TLS inside IPsec is both C{confidentiality} and C{ipsec}; what is clear inside
    IPsec is no longer C{clear}.

    @raise KeyError: it is none of L{WORDS}.
    """
    return _MEANINGS[word]


_MEANINGS: Final = {
    word: frozenset(fact for fact in FACTS if word in fact.split("+")) for word in WORDS
}
