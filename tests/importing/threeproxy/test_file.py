"""
Lines of 3proxy.cfg: words, quotes, files.
"""

from __future__ import annotations

import pytest

from socksgw.importing.host import Unreadable
from socksgw.importing.threeproxy.file import commands

FILES = {
    "list": "10.0.0.0/8\n10.9.9.9",
    "more": "allow *\nend\ndeny *",
    "loop": "include loop",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# one\n two\n\nauth  strong\t iponly\r\n", [("auth", "strong", "iponly")]),
        ('users "a:CR:$1$x" b:CL:"c d"', [("users", "a:CR:$1$x", "b:CL:c d")]),
        ('log "say ""hi"""', [("log", 'say "hi"')]),
        ("allow * x,$list *", [("allow", "*", "x,10.0.0.0/8", "10.9.9.9", "*")]),
        ("include more\nsocks", [("allow", "*"), ("socks",)]),
        ("end\nsocks", []),
    ],
)
def test_words(text: str, expected: list[tuple[str, ...]]) -> None:
    """As 3proxy breaks lines into words."""
    assert [each.words for each in commands(text, FILES.get)] == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\nallow $none", "line 2: none cannot be read"),
        ("include none", "line 1: none cannot be read"),
        ("include loop", "loop: line 1: files are included 8 deep"),
        ('log "x', "line 1: a quote does not end"),
    ],
)
def test_wrong(text: str, why: str) -> None:
    """The line is told."""
    with pytest.raises(Unreadable, match=why):
        [*commands(text, FILES.get)]
