"""
What each program takes: where it is told of a proxy, in which words.

Each row was seen to work, with the versions of Debian 12 where nothing else is said.
The rows of one program stand in the order of preference: first those by which the
gateway looks names up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from socksgw.console.clients.browsing import BROWSING
from socksgw.console.clients.connecting import CONNECTING
from socksgw.console.clients.fetching import FETCHING
from socksgw.console.clients.setting import Setting
from socksgw.console.clients.wrapping import WRAPPING

__all__ = ["TABLE"]

_ALL: Final = {**BROWSING, **CONNECTING, **FETCHING, **WRAPPING}
#: By the word on the command line: what the program is called, and its ways.
TABLE: Final[Mapping[str, tuple[str, Sequence[Setting]]]] = dict(sorted(_ALL.items()))
