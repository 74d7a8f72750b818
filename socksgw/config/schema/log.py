"""
The table about the log.
"""

from typing import Literal

from attrs import frozen

__all__ = ["LogConfig"]


@frozen
class LogConfig:
    """
    The log of the process: what it tells its operator; decisions are in the journal.

    A warning that is repeated is written three times a minute, or a hundred times where
    its figures differ, and then counted. A change takes effect at the next start.

    @ivar format: C{"text"}, or C{"json"}: an object in each line, with C{time},
        C{level}, C{system}, C{message} and, where something failed, C{traceback}.
    @ivar level: What is less severe than this is left out.
    """

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"
