"""
Where the C{socksgw} command starts.

OpenSSH runs C{socksgw connect} for each connection. It starts without what the other
commands need, in a quarter of the time, and so do those that read the journal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

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
        return _connect(words[1:])
    if words[:1] == ["audit"]:
        from socksgw.console.auditcommand import auditMain

        return auditMain(words)
    from socksgw.console import command

    return command.main(words)


def _connect(words: Sequence[str]) -> int:
    from socksgw.console import connect

    readable(sys.stdout)
    readable(sys.stderr)
    parser = argparse.ArgumentParser(
        prog="socksgw connect",
        description=connect.DESCRIPTION,
        epilog=connect.EPILOG,
    )
    connect.options(parser)
    return connect.connectMain(parser.parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
