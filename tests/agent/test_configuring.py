"""
The configuration that makes a gateway an agent.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from socksgw.agent.configuring import configuration, quoted
from socksgw.agent.settings import Settings
from tests.tools.examining import examined

STATE = Path("/home/ada/.local/state/socksgw/agent")
PLACE = "127.0.0.1:1080"


def made(**settings: Any) -> str:
    """Return the configuration of settings that have no problem."""
    given = Settings(**{"gateway": "gw.example:1443", **settings})
    assert not list(given.problems())
    return configuration(given, 1000, STATE)


@pytest.mark.parametrize(
    "listen", [(PLACE,), ("unix:/run/a.sock", PLACE), ("[::1]:0",)]
)
def test_aGatewayStartsWithIt(listen: tuple[str, ...]) -> None:
    """Nothing is wrong with it, nor odd."""
    near = Settings(gateway="socks5://127.0.0.1:1", login="none", listen=listen)
    found = examined(configuration(near, 1000, STATE), checkers=False)
    assert (found.errors, found.warnings) == ([], [])


@pytest.mark.parametrize("name", ["fast_open", "session"])
def test_ofTheUpstream(name: str) -> None:
    """It is the upstream's, where the user wants it."""
    gateway = "socks6+tls://gw.example:1443"
    assert f"\n{name} =" not in made(gateway=gateway)
    (upstream,) = tomllib.loads(made(gateway=gateway, **{name: True}))["upstream"]
    assert upstream[name] is True


def test_oneUser() -> None:
    """Whose the socket is says who it is; no other rule allows anything."""
    found = tomllib.loads(made(listen=("unix:/run/a.sock",)))
    assert found["auth"]["choose"] == [{"methods": ["peer"]}]
    (rule,) = found["rule"]
    assert (rule["who"], rule["via"]) == (["uid:1000"], ["gateway"])
    assert found["listen"][0]["mode"] == "600"


@pytest.mark.parametrize(
    "text", ["/home/ada/me.pem", 'a"b\\c', "\x7f\x01\n", "päth with 🧦", "\u2028"]
)
def test_texts(text: str) -> None:
    """Any path can be written; TOML reads the same."""
    assert tomllib.loads(f"x = {quoted(text)}")["x"] == text
