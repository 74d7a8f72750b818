"""
Work that is done again and again while the gateway runs.
"""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_tb
from typing import Final, final

from twisted.logger import Logger

from socksgw.system.once import Once

__all__ = ["Upkeep", "defect"]

_log: Final = Logger()


def defect(what: str, error: Exception) -> None:
    """
    Log that something failed by a defect, ours or a plug-in's.

    The log says where, but neither the text of the exception nor any value, since
    both may hold a secret.
    """
    _log.error(
        "{what} failed by a defect: {kind} at\n{where}",
        what=what,
        kind=type(error).__qualname__,
        where="".join(format_tb(error.__traceback__)),
    )


@final
class Upkeep:
    """
    Do parts of one work, each whether or not another fails.

    A failure is logged once, until the part works again.
    """

    def __init__(self) -> None:
        self._failing = Once()

    def do(self, what: str, part: Callable[[], object]) -> None:
        """
        Do one part. It never raises.

        @param what: what the part is called in the log.
        """
        try:
            part()
        except Exception as e:
            if self._failing.begins(what):
                defect(what, e)
        else:
            self._failing.ends(what)
