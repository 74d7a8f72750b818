"""
Find out, before anything is tried, where nobody accepts connections.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from socksgw.console.selftest.places import Place
from socksgw.system.inwords import Words, inWords

__all__ = ["notReached", "unreached"]

#: Places that are connected to at a time.
_AT_ONCE: Final = 16
#: What is said where nobody listens.
_NOBODY: Final = inWords(OSError(errno.ECONNREFUSED, ""))
#: Places that a message names at most.
_NAMED: Final = 4


def unreached(places: Sequence[Place], seconds: float) -> dict[Place, Words]:
    """
    Connect to each place and say nothing. It blocks.

    @param seconds: that each connection may take.
    @return: those where that is not possible, and why.
    """
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        why = threads.map(lambda place: _why(place, seconds), places)
        pairs = zip(places, why, strict=True)
        return {place: words for place, words in pairs if words is not None}


def _why(place: Place, seconds: float) -> Words | None:
    try:
        if isinstance(place.where, tuple):
            socket.create_connection(place.where, seconds).close()
            return None
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(seconds)
            made.connect(place.where)
    except FileNotFoundError:
        # Whoever listened at the Unix socket has removed it.
        return _NOBODY
    except UnicodeError:
        # Nothing that DNS could have.
        return inWords(socket.gaierror(socket.EAI_NONAME, ""))
    except OSError as e:
        return inWords(e)
    return None


def notReached(away: Mapping[Place, Words], start: str) -> str:
    """
    Return the line that tells of places none of which is reached.

    @param start: what helps where nobody listens.
    """
    places: dict[Words, list[str]] = {}
    for place, words in away.items():
        places.setdefault(words, []).append(place.shown)
    told = [f"{_listed(shown)}: {words.said}" for words, shown in places.items()]
    remedies = (start if words == _NOBODY else words.remedy for words in places)
    return "; ".join([*told, *filter(None, remedies)])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    text = ", ".join(names[:_NAMED])
    return f"{text} and {more} more" if more > 0 else text
