"""
What runs the commands of C{socksgw audit}.

It imports nothing of a gateway, so that they start in a third of the time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import load
from socksgw.config.schema import Config
from socksgw.console.export import exportMain
from socksgw.console.follow import followMain
from socksgw.console.search import rulePlace, searchMain
from socksgw.console.signingkey import keyMain
from socksgw.console.verify import verifyMain
from socksgw.console.wanted import WrongUse, criteriaOf
from socksgw.system.output import coloured, widthOf

__all__ = ["AUDIT", "configuration", "journalIn", "journalOf"]


def configuration(file: str | None) -> Config:
    """Return the configuration that is named, or that of a gateway without one."""
    return load(file) if file else defaultConfig()


def journalOf(file: str | None) -> Path:
    """Return where the journal of a configuration is."""
    return journalIn(configuration(file))


def journalIn(config: Config) -> Path:
    """Return where the journal of a configuration is."""
    return config.directory / config.gateway.state_dir / config.audit.journal


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
