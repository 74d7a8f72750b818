"""
What runs the commands of C{socksgw audit}.

It imports nothing of a gateway, so that they start in a third of the time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Final

from socksgw.console.configured import configuration, journalOf
from socksgw.console.export import exportMain
from socksgw.console.follow import followMain
from socksgw.console.search import rulePlace, searchMain
from socksgw.console.signingkey import keyMain
from socksgw.console.verify import verifyMain
from socksgw.console.wanted import WrongUse, criteriaOf
from socksgw.system.output import coloured, widthOf

__all__ = ["AUDIT"]


def _verify(options: argparse.Namespace) -> int:
    return verifyMain(
        configuration(options.config),
        sys.stdout,
        options.head,
        options.key,
        options.against,
    )


def _key(options: argparse.Namespace) -> int:
    return keyMain(options.file, options.public, sys.stdout, sys.stderr)


def _follow(options: argparse.Namespace) -> int:
    try:
        criteria = criteriaOf(options)
    except WrongUse as e:
        print(f"socksgw audit follow: {e}", file=sys.stderr)
        return 2
    return followMain(
        journalOf(options.config),
        sys.stdout,
        colour=coloured(sys.stdout),
        fromStart=options.all,
        raw=options.json,
        config=options.config or "",
        criteria=criteria,
        last=options.last or 0,
    )


def _search(options: argparse.Namespace) -> int:
    return searchMain(
        options,
        journalOf(options.config),
        sys.stdout,
        colour=coloured(sys.stdout),
        width=widthOf(sys.stdout),
        placeOf=lambda rule: rulePlace(configuration(options.config), rule),
    )


def _export(options: argparse.Namespace) -> int:
    return exportMain(options, journalOf(options.config), sys.stdout.buffer)


#: What runs each command, by its name in the parsed options.
AUDIT: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "verify": _verify,
    "key": _key,
    "follow": _follow,
    "search": _search,
    "export": _export,
}
