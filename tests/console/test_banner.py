"""
What people see at the start.
"""

from __future__ import annotations

import pytest
from twisted.internet import reactor

from socksgw.config.defaults import defaultConfig
from socksgw.config.loading import loads
from socksgw.console.banner import banner
from socksgw.gateway.gateway import Gateway


@pytest.mark.parametrize(
    ("protocols", "command"),
    [
        ("'socks4', 'http', 'socks5'", "curl -x socks5h://127.0.0.1:1080 "),
        ("'socks4', 'http'", "curl -x http://127.0.0.1:1080 "),
        ("'socks4'", "curl -x socks4a://127.0.0.1:1080 "),
        ("'socks6'", "socksgw connect example.com 443 --proxy socks6://127.0.0.1:1080"),
    ],
)
def test_whatToTry(protocols: str, command: str) -> None:
    """A command that the listener takes."""
    text = (
        "listen = [{ name = 'a', address = ['127.0.0.1:1080'], "
        f"protocols = [{protocols}] }}]\n"
        "auth = { choose = [{ methods = ['none'] }] }\n"
    )
    assert command in banner(Gateway(reactor, loads(text, "f")))


@pytest.mark.parametrize("width", [0, 40, 60, 200])
def test_theTextFitsTheTerminal(width: int) -> None:
    """Sentences are wrapped, commands and places stay to be copied."""
    gateway = Gateway(reactor, defaultConfig())
    text = banner(gateway, False, width)
    assert "curl -x socks5h://127.0.0.1:1080 https://example.com\n" in text
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "  end  " in line)
    ending = lines[start:]
    assert " ".join(" ".join(ending).split()).endswith("^C again ends them at once")
    if width:
        assert max(map(len, ending)) <= width
    assert (len(ending) > 1) is (0 < width < 80)
