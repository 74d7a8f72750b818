"""
Examine configurations as a gateway does before it starts.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.testing import MemoryReactorClock

from socksgw.config.loading import loads
from socksgw.config.schema import Config
from socksgw.gateway.examination import Examination, examine
from tests.fakes.policy import Facts

#: What no message may hold: how Python and its libraries call things.
PYTHON = re.compile(
    r"\b(str|int|bool|list|dict|tuple|None|NoneType|True|False|object|class|"
    r"Traceback|KeyError|TypeError|ValueError|Error|Exception|cattrs|attrs|structure|"
    r"from_|except_|Literal|Union|Mapping|sys)\b"
)
LISTEN = '[[listen]]\nname = "main"\naddress = ["127.0.0.1:1080"]\n'


def examined(
    text: str | Config, checkers: bool = True, directory: Path = Path()
) -> Examination:
    """
    Return what is found in a configuration that fits the schema.

    @param checkers: whether there is a checker for passwords from elsewhere.
    @param directory: where its relative paths begin.
    """
    given = [InMemoryUsernamePasswordDatabaseDontUse()] if checkers else None
    config = loads(text, "gw.toml", directory) if isinstance(text, str) else text
    return examine(config, Facts(), MemoryReactorClock(), given)


def wrong(text: str | Config, checkers: bool = True) -> list[tuple[str, str]]:
    """Return places and texts of what is wrong with a configuration."""
    found = examined(text, checkers)
    for error in found.errors:
        assert not PYTHON.search(error.text), error.text
    return [(p.path, p.text) for p in found.errors]
