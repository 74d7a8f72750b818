r"""
How users are written in a policy: by their names, or by patterns of names.

A pattern ends with a C{*}, which stands for the rest of a name, one character or more:
C{spiffe://corp.example/ci/*} means every name below C{spiffe://corp.example/ci/}. The
C{*} stands behind a C{/} or a C{:}, where a part of a name begins, so that
C{.../ci*} cannot be taken for it. A C{*} or C{?} of a name itself is written C{\*} and
C{\?}; any other backslash is one of the name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from socksgw.config.reserved import isLocal

__all__ = ["UserWord", "userWord"]

#: What may stand before the C{*}.
_ENDS: Final = ("/", ":")
_WILD: Final = "*?"


class UserWord(NamedTuple):
    """
    What a word means.

    @ivar text: a name; of a pattern, what names begin with.
    @ivar pattern: whether it is a pattern.
    """

    text: str
    pattern: bool


def userWord(word: str) -> UserWord:
    r"""
    Read a word.

    @raise ValueError: it is no name, and no pattern that there is; the text says what
        to write.
    """
    if "*" not in word and "?" not in word:
        return UserWord(word, False)
    found: list[str] = []
    i, last = 0, len(word) - 1
    while i <= last:
        char = word[i]
        if char == "\\" and i < last and word[i + 1] in _WILD:
            i += 1
            char = word[i]
        elif char == "?":
            raise ValueError(r'"?" is no wildcard; of a name it is written "\?"')
        elif char == "*":
            text = "".join(found)
            if i < last or not text.endswith(_ENDS):
                raise ValueError(
                    'a "*" is the end of a pattern, behind a / or a : as in '
                    r'"spiffe://corp.example/ci/*"; of a name it is written "\*"'
                )
            if text.endswith("://") or not text.strip("/:"):
                raise ValueError(
                    "such a pattern would match names of everybody's; let it name whose, "
                    'as in "spiffe://corp.example/*", or say "users"'
                )
            if isLocal(text):
                raise ValueError("users and groups of this machine have no patterns")
            return UserWord(text, True)
        found.append(char)
        i += 1
    return UserWord("".join(found), False)
