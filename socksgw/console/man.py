"""
Write the man pages C{socksgw(1)} and C{socksgw.toml(5)}.

They are made from the manual, the commands and the configuration schema by
C{python -m socksgw.console.man DIRECTORY}, which needs docutils (the extra C{man}).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from socksgw.console.manual import CONFIGURATION, chapters, titleOf
from socksgw.console.parser import makeParser
from socksgw.console.usage import commandsOf

__all__ = ["commandPage", "filePage", "main", "roff"]

#: Chapters that the page of the configuration has behind the reference.
_OF_THE_FILE = ("rules", "limits")
#: Chapters that the page of the command has.
_OF_THE_COMMAND = ("operations", "troubleshooting")

_SYNOPSIS = """
| ``socksgw`` *COMMAND* [*OPTION*]...
| ``twistd -n socksgw`` [``--config`` *FILE*] [``--listen`` *ENDPOINT*]... \
[``--auth`` *CHECKER*]...
"""

_DESCRIPTION = """
``twistd socksgw`` is the gateway: a SOCKS 4, 4a and 5 server with policy, login and
journal. ``twistd socksgw --help`` lists its options. Without ``--config`` it serves
clients of this machine on port 1080, and they reach public addresses only.

``socksgw`` looks after the gateway: it checks a configuration, explains decisions,
sets passwords, verifies the journal, and prints the manual.
"""

_ENVIRONMENT = """
``PAGER``
    The program that shows the manual on a terminal; ``less`` by default. Empty: none.

``NO_COLOR``
    Set to anything: no colours and no bold text. The same where ``TERM`` is ``dumb``.
"""

_FILES = """
``/etc/socksgw/gateway.toml``
    The configuration, by custom: ``socksgw.toml``\\ (5).

``var/audit`` beside the configuration, or ``state_dir``/``audit``
    The journal.
"""


def _page(name: str, section: int, what: str, body: str) -> str:
    return (
        f"{'=' * len(name)}\n{name}\n{'=' * len(name)}\n\n"
        f"{'-' * len(what)}\n{what}\n{'-' * len(what)}\n\n"
        f":Manual section: {section}\n"
        f":Manual group: socksgw\n"
        f":Version: {version('socksgw')}\n\n{body}"
    )


def _part(heading: str, body: str) -> str:
    return f"{heading}\n{'=' * len(heading)}\n\n{body.strip()}\n\n"


def _option(action: argparse.Action) -> tuple[str, str]:
    """Return an option or an argument, and what it means."""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest).upper()
    if action.choices is not None and not action.metavar:
        value = "|".join(map(str, action.choices))
    names = ", ".join(f"``{name}``" for name in action.option_strings)
    shown = f"{names} *{value}*" if value and names else names or f"*{value}*"
    return shown, (action.help or "").replace("*", "\\*")


def _commands() -> Iterator[str]:
    for name, parser in commandsOf(makeParser()).items():
        heading = f"socksgw {name}"
        usage = re.sub(r"\s+", " ", parser.format_usage()).removeprefix("usage: ")
        lines = [heading, "-" * len(heading), "", f"``{usage.strip()}``", ""]
        lines += [parser.description or "", ""]
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            shown, means = _option(action)
            lines += [shown, f"    {means}", ""]
        yield "\n".join(lines)


def _chapters(*names: str) -> str:
    texts = chapters()
    return "\n\n".join(
        _part(titleOf(texts[name]).upper(), texts[name].split("\n", 2)[2])
        for name in names
    )


def commandPage() -> str:
    """Return the source of C{socksgw(1)}, in reStructuredText."""
    listed = [f"``{name}``\n    {titleOf(text)}\n" for name, text in chapters().items()]
    body = (
        _part("SYNOPSIS", _SYNOPSIS)
        + _part("DESCRIPTION", _DESCRIPTION)
        + _part("COMMANDS", "\n\n".join(_commands()))
        + _part("CHAPTERS OF THE MANUAL", "\n".join(listed))
        + _chapters(*_OF_THE_COMMAND)
        + _part("ENVIRONMENT", _ENVIRONMENT)
        + _part("FILES", _FILES)
        + _part("SEE ALSO", "``socksgw.toml``\\ (5), ``twistd``\\ (1)")
    )
    return _page("socksgw", 1, "a SOCKS gateway with policy, login and journal", body)


def filePage() -> str:
    """Return the source of C{socksgw.toml(5)}, in reStructuredText."""
    body = (
        _part("DESCRIPTION", chapters()[CONFIGURATION].split("\n", 2)[2])
        + _chapters(*_OF_THE_FILE)
        + _part("SEE ALSO", "``socksgw``\\ (1)")
    )
    return _page("socksgw.toml", 5, "the configuration of socksgw", body)


def roff(source: str) -> str:
    """
    Return a page as C{man} reads it.

    @param source: in reStructuredText.
    @raise docutils.utils.SystemMessage: docutils has a warning about it.
    """
    from docutils.core import publish_string

    settings = {
        "halt_level": 2,
        "report_level": 2,
        # Pygments is not among what docutils installs, and a man page has no colours.
        "syntax_highlight": "none",
        "output_encoding": "unicode",
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "_disable_config": True,
    }
    text: str = publish_string(source, writer="manpage", settings_overrides=settings)
    return text


def main(directory: str) -> None:
    """
    Write both pages.

    @param directory: where to; it is made if it is not there.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in (("socksgw.1", commandPage()), ("socksgw.toml.5", filePage())):
        (folder / name).write_text(roff(source), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
