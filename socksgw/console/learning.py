"""
The command line of C{socksgw suggest}.
"""

from __future__ import annotations

from typing import Any, Final

from socksgw.console.auditing import Examples, configured
from socksgw.console.wanted import TIMES, times

__all__ = ["CONFIGURED", "learningCommands"]

#: In place of a URL: the database of the first sink that has one.
CONFIGURED: Final = "configured"

_SUGGESTED: Final = f"""\
{TIMES}

Examples:
  What would let alice do what she was denied since yesterday?
    socksgw suggest --config gw.toml --user alice --since yesterday
  What was denied to a group, as a file that the configuration includes?
    socksgw suggest --config gw.toml --group ops > rules.d/ops.toml
  What would be denied if a rule did not only report, and is wanted?
    socksgw suggest --config gw.toml --listener lan --reported lockdown

Exit status: 0 with a suggestion, 1 without one, 2 wrong use, or nothing can be read."""


def learningCommands(commands: Any) -> None:
    """
    Add C{suggest}.

    @param commands: the commands of the program, as argparse has them.
    """
    suggesting = commands.add_parser(
        "suggest",
        help="suggest rules for what was denied",
        description="Print the narrowest rules, with their expectations, that allow what "
        "was denied to a user, a group, a tag or on a listener: the names (else the "
        "addresses), ports and commands that were asked for, and no others. What "
        "[never] denies, and what a rule denies on purpose, is counted and not "
        "suggested.",
        epilog=_SUGGESTED,
        formatter_class=Examples,
    )
    configured(suggesting)
    for name, metavar, text in (
        ("user", "U", "the user, without a tag, or anonymous"),
        ("group", "G", "users of a group; the rules are for the group"),
        ("tag", "TAG", "what clients have written behind their names"),
        ("listener", "L", "clients of a listener"),
    ):
        suggesting.add_argument(f"--{name}", metavar=metavar, default="", help=text)
    times(suggesting)
    suggesting.add_argument(
        "--reported",
        metavar="RULE",
        help="look at what this rule, which only reports, would have denied",
    )
    suggesting.add_argument(
        "--overrule",
        metavar="RULE",
        action="append",
        default=[],
        help="look at what this rule denies on purpose, too; may be repeated",
    )
    suggesting.add_argument(
        "--warehouse",
        metavar="URL",
        nargs="?",
        const=CONFIGURED,
        help="read this database of a sink in place of the journal: "
        "sqlite:///audit.db, postgresql://host/db; without URL that of the configuration",
    )
    suggesting.add_argument("--json", action="store_true", help="print JSON")
    suggesting.set_defaults(run="suggest")
