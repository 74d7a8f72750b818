"""
The command line of C{socksgw audit}: its commands, and what each of them takes.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Final

from socksgw.console.usage import number
from socksgw.console.wanted import TIMES, filters, times

__all__ = ["Examples", "auditCommands", "configured"]

_SEARCHED: Final = f"""\
{TIMES}

Examples:
  Why was alice blocked just now? The line, the rule and its place, what to ask next:
    socksgw audit search --user alice --denied --last
  Who reached the database yesterday, and with how many octets each time?
    socksgw audit search --to db.corp.example:5432 --allowed --since yesterday --ends
  Failed logins from a network in the last two hours, for a program:
    socksgw audit search --event login-failed --client 10.1.0.0/16 --since -2h --json
  Everything that a session did:
    socksgw audit search --session 4711

Exit status: 0 found, 1 nothing found, 2 wrong use, or the journal cannot be read."""

_EXPORTED: Final = f"""\
{TIMES}

Examples:
  Yesterday, for DuckDB, Spark or pandas:
    socksgw audit export --since yesterday --until today --output audit.parquet
  Denials of a user, for a spreadsheet; a text that would be a formula there has an
  apostrophe before it:
    socksgw audit export --user alice --denied --output alice.csv
  Everything from now two hours back, for another program:
    socksgw audit export --since -2h --format jsonl

Exit status: 0 found, 1 nothing found, 2 wrong use, or the journal cannot be read, or
the file cannot be written."""

FOLLOWED: Final = """\
Examples:
  Denials as they happen:
    socksgw audit follow --denied
  The last ten lines about a user, and then what comes:
    socksgw audit follow --user alice --last 10
  All that comes to a host, for a program:
    socksgw audit follow --to '*.corp.example' --json"""


class Examples(argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of examples as they are, and fills those of descriptions."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def configured(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the gateway's configuration; default: that of a gateway without one, "
        "started in this directory",
    )


def auditCommands(commands: Any) -> None:
    """
    Add C{audit} with its commands.

    @param commands: the commands of the program, as argparse has them.
    """
    audit = commands.add_parser(
        "audit",
        help="search, follow, verify or export the audit journal",
        description="Search, follow, verify or export the audit journal.",
    ).add_subparsers(metavar="COMMAND", required=True)
    verifying = audit.add_parser(
        "verify",
        help="check that no line of the journal was changed, lost or moved",
        description="Check the journal's chain of hashes from its first line to "
        "its last; with --key its signatures, and with --against what a sink has. "
        "Exit status 0 if it is whole, 1 if it is not, 2 if it, the key or the sink "
        "cannot be read.",
    )
    configured(verifying)
    verifying.add_argument(
        "--head",
        metavar="N:HASH",
        type=_head,
        action="append",
        default=[],
        help="line N has to be there with this hash, which verify or the log printed "
        "and which was kept elsewhere; may be repeated",
    )
    verifying.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="the public key (audit key prints it) that the checkpoints have to be "
        "signed with; may be repeated",
    )
    verifying.add_argument(
        "--against",
        metavar="SINK",
        action="append",
        default=[],
        help="each line that this sink has must be the journal's: its name in the "
        "configuration, or as in [audit] sinks; may be repeated",
    )
    verifying.set_defaults(run="verify")
    making = audit.add_parser(
        "key",
        help="make the key that signs the journal",
        description="Make a key for [audit] signing_key, and print its public key, "
        "which is kept elsewhere: audit verify --key checks signatures with it. Exit "
        "status 2 if the file exists or cannot be written.",
    )
    making.add_argument("file", metavar="FILE", type=Path, help="the key (mode 0600)")
    making.add_argument(
        "--public",
        action="store_true",
        help="make none: print the public key of the one that is there",
    )
    making.set_defaults(run="key")
    following = audit.add_parser(
        "follow",
        help="print decisions as they are made",
        description="Print the journal while it is written, one line for people for "
        "each decision; ^C ends it.",
        epilog=f"{FOLLOWED}",
        formatter_class=Examples,
    )
    configured(following)
    begin = following.add_mutually_exclusive_group()
    begin.add_argument(
        "--all", action="store_true", help="begin with the journal's first line"
    )
    begin.add_argument(
        "--last", metavar="N", type=number, help="begin with the last N wanted lines"
    )
    following.add_argument(
        "--json", action="store_true", help="print the lines as they are in the journal"
    )
    filters(following)
    following.set_defaults(run="follow")
    searching = audit.add_parser(
        "search",
        help="find lines by who, what, when",
        description="Print the lines that meet all filters, one line for people for "
        "each, oldest first.",
        epilog=_SEARCHED,
        formatter_class=Examples,
    )
    configured(searching)
    times(searching)
    searching.add_argument(
        "--last",
        metavar="N",
        nargs="?",
        const=1,
        type=number,
        help="only the last N (default: 1), found from the journal's end; after them "
        "where the rule of the last one stands, why, and what to ask next",
    )
    searching.add_argument(
        "--limit", metavar="N", type=number, help="stop after N lines"
    )
    searching.add_argument(
        "--ends",
        action="store_true",
        help="also how each session ended that a found line has allowed",
    )
    form = searching.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print the lines as they are in the journal"
    )
    form.add_argument("--count", action="store_true", help="print how many they are")
    filters(searching)
    searching.set_defaults(run="search")
    exporting = audit.add_parser(
        "export",
        help="write lines as JSON lines, CSV or Parquet, with a fixed schema",
        description="Write the lines that meet all filters for other programs. Each "
        "row has every field of the catalogue, so that all have the same columns; "
        "what a line lacks is null. Only whole lines are written, also while the "
        "gateway runs. Fields of objects and of lists of lists are JSON text.",
        epilog=_EXPORTED,
        formatter_class=Examples,
    )
    configured(exporting)
    times(exporting)
    exporting.add_argument(
        "--format",
        choices=["jsonl", "csv", "parquet"],
        help="default: as the name of the file ends, else jsonl; parquet needs the "
        "extra parquet and a file",
    )
    exporting.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="the file, which is complete or not there; default: standard output",
    )
    filters(exporting)
    exporting.set_defaults(run="export")


def _head(text: str) -> tuple[int, str]:
    """
    Read the number and the hash of a line from C{N:HASH}.

    @raise argparse.ArgumentTypeError: it is something else.
    """
    match = re.fullmatch(r"([0-9]+):([0-9a-f]{64})", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a line's number and hash, such as 17:2fd4e1c6…"
        )
    return int(match[1]), match[2]
