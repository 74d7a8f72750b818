"""
Where the passwords of clients may go.
"""

from __future__ import annotations

import pytest

from tests.tools.examining import LISTEN, RULE, wrong

UPSTREAM = """
[[upstream]]
name = "{0}"
url = "{1}"
pass_through = true
{2}
"""


@pytest.mark.parametrize(
    ("url", "more", "path"),
    [
        ("socks5://127.0.0.1:1080", "", ""),
        ("socks5://[::1]:1080", "", ""),
        ("socks5://192.0.2.1:1080", "cleartext_passwords = true", ""),
        ("socks5://192.0.2.1:1080", "", "upstream[0].pass_through"),
        # A name may be anyone's by tomorrow.
        ("socks5://localhost:1080", "", "upstream[0].pass_through"),
        (
            "socks5://127.0.0.1:1080",
            'check = { every = "1s", target = "www.example:80" }',
            "upstream[0].check.target",
        ),
    ],
)
def test_inClear(url: str, more: str, path: str) -> None:
    """Nobody else can read them, or that is asked for."""
    text = UPSTREAM.format("u", url, more) + LISTEN + RULE + 'via = ["u"]'
    assert [place for place, _ in wrong(text)] == ([path] if path else [])


def test_anothersLoopback() -> None:
    """Behind another upstream, a loopback address is not ours."""
    text = UPSTREAM.format("u", "socks5://127.0.0.1:1080", "") + LISTEN + RULE
    text += 'via = ["v", "u"]\n'
    text += '[[upstream]]\nname = "v"\nurl = "socks5://192.0.2.1:1080"\n'
    ((path, why),) = wrong(text)
    assert path == "upstream[0].pass_through"
    assert "cleartext_passwords = true" in why
