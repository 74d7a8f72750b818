"""
Examine configurations as a gateway does before it starts.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.testing import MemoryReactorClock

from socksgw.config.loading import ConfigError, loads
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
#: A name of each kind that a policy can refer to.
HEAD = """
[[listen]]
name = "main"
address = ["127.0.0.1:1080"]
[[auth.choose]]
methods = ["none"]
from = ["127.0.0.1"]
[groups]
staff = ["alice"]
[services]
web = ["tcp/80", "tcp/443"]
dns = ["udp/53"]
both = ["tcp/53", "udp/53"]
[schedules]
office = { hours = "08:00-18:00" }
"""


def examined(
    text: str | Config,
    checkers: bool = True,
    directory: Path = Path(),
    facts: Facts | None = None,
) -> Examination:
    """
    Return what is found in a configuration that fits the schema.

    @param checkers: whether there is a checker for passwords from elsewhere.
    @param directory: where its relative paths begin.
    @param facts: of the host.
    """
    given = [InMemoryUsernamePasswordDatabaseDontUse()] if checkers else None
    config = loads(text, "gw.toml", directory) if isinstance(text, str) else text
    return examine(config, facts or Facts(), MemoryReactorClock(), given)


def wrong(text: str | Config, checkers: bool = True) -> list[tuple[str, str]]:
    """Return places and texts of what is wrong with a configuration."""
    found = examined(text, checkers)
    for error in found.errors:
        assert not PYTHON.search(error.text), error.text
    return [(p.path, p.text) for p in found.errors]


def problems(text: str) -> list[tuple[str, str]]:
    """Return places and texts of what does not fit the configuration schema."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "gw.toml")
    for line in caught.value.lines():
        assert re.match(r"gw\.toml(:\d+)?: ", line)
        assert "\n" not in line
    for problem in caught.value.problems:
        assert not PYTHON.search(problem.text), problem.text
    return [(p.path, p.text) for p in caught.value.problems]


TLS = f'{LISTEN}[listen.tls]\ncertificate = "gw.pem"\nkey = "gw.key"\n'


RULE = '[[rule]]\nid = "r"\nallow = ["connect"]\n'
