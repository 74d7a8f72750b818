"""
Where the C{socksgw} command starts.

OpenSSH runs C{socksgw connect} for each connection. It starts without what the other
commands need, in a quarter of the time, and so do C{socksgw run} and those that read
the journal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from socksgw.system.output import readable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param arguments: those of the command line; by default the process's.
    @return: the exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["connect"]:
        from socksgw.console import connect

        return _alone(words, connect, connect.connectMain)
    if words[:1] == ["run"]:
        from socksgw.console import run

        return _alone(words, run, run.runMain)
    if words[:1] == ["audit"]:
        from socksgw.console.auditcommand import auditMain

        return auditMain(words)
    from socksgw.console import command

    return command.main(words)


def _alone(
    words: Sequence[str], command: Any, main: Callable[[argparse.Namespace], int]
) -> int:
    """
    Run a command without the others.

    @param command: its module.
    """
    readable(sys.stdout)
    readable(sys.stderr)
    parser = argparse.ArgumentParser(
        prog=f"socksgw {words[0]}",
        description=command.DESCRIPTION,
        epilog=command.EPILOG,
    )
    command.options(parser)
    return main(parser.parse_args(words[1:]))


if __name__ == "__main__":
    sys.exit(main())
