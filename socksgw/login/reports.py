"""
What stores, and methods with files of their own, say is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.logger import Logger

from socksgw.interfaces import IReportingStore

__all__ = ["reportedBy"]

_log: Final = Logger()


def reportedBy(found: Iterable[Any]) -> list[str]:
    """
    Return what is wrong now, a line each.

    Several checkers may use one file; a line about it is told once.
    """
    told: dict[str, None] = {}
    for each in found:
        if IReportingStore.providedBy(each):
            try:
                told.update(dict.fromkeys(each.problems()))
            except Exception as e:
                _log.error("a checker failed: {kind}", kind=type(e).__qualname__)
    return list(told)
