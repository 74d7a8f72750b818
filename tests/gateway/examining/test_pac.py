"""
C{[pac]}: what C{check} says of it.
"""

from __future__ import annotations

import pytest

from tests.tools.examining import examined, wrong

TWO = """
[[listen]]
name = "a"
address = ["127.0.0.1:1080"]
protocols = ["socks5", "http"]
[[listen]]
name = "b"
address = ["127.0.0.1:1081"]
protocols = ["http"]
[[listen]]
name = "c"
address = ["127.0.0.1:1082"]
[[auth.choose]]
methods = ["none"]
"""
ONE = TWO.replace('["http"]', '["socks5"]')


def test_good() -> None:
    """The only listener with HTTP needs no name, others do."""
    assert examined(f'{ONE}[pac]\naddress = ["127.0.0.1:8080"]\n').errors == []
    text = f'{TWO}[pac]\naddress = ["127.0.0.1:8080"]\nlistener = "b"\nhost = "gw"\n'
    assert examined(text).errors == []


@pytest.mark.parametrize(
    ("text", "pac", "path", "words"),
    [
        (ONE, "address = []", "pac.address", "name where it is served"),
        (ONE, 'address = ["gw:80"]', "pac.address[0]", '"gw:80"'),
        (ONE, 'address = ["127.0.0.1:1080"]', "pac.address[0]", 'listener "a" has'),
        (TWO, 'address = ["127.0.0.1:80"]', "pac.listener", 'one of "a", "b"'),
        (
            TWO,
            'address = ["127.0.0.1:80"]\nlistener = "c"',
            "pac.listener",
            '"c" is no',
        ),
        (
            ONE.replace(', "http"', ""),
            'address = ["127.0.0.1:80"]',
            "pac.listener",
            "no listener",
        ),
        (ONE, 'address = ["127.0.0.1:80"]\nhost = "a/b"', "pac.host", "neither"),
    ],
)
def test_bad(text: str, pac: str, path: str, words: str) -> None:
    """Each with its place and its remedy."""
    found = dict(wrong(f"{text}[pac]\n{pac}\n"))
    assert words in found[path]
