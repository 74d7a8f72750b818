"""
How a file of Squid is read.
"""

from __future__ import annotations

import pytest

from socksgw.importing.host import Host, Said, Unreadable
from socksgw.importing.squid.file import directives, valuesOf

FILES = {
    "conf.d/a.conf": "via off\n",
    "list": "a.example # one\n\n b.example c.example\n",
    "self": "include self\n",
}
HOST = Host(
    lambda _: (),
    lambda _: None,
    FILES.get,
    lambda pattern: [each for each in FILES if each.startswith(pattern.rstrip("*"))],
)


def test_lines() -> None:
    """Comments, lines that go on, and files within."""
    text = (
        "# x\n\n  acl a src \\\n 10.0.0.1 # why\ninclude conf.d/*\nvia on#off\n\\\n   \n"
        "last \\"
    )
    assert [*directives(text, HOST)] == [
        Said(3, "", ("acl", "a", "src", "10.0.0.1")),
        Said(1, "conf.d/a.conf", ("via", "off")),
        Said(6, "", ("via", "on#off")),
        Said(9, "", ("last",)),
    ]
    (said,) = directives("include conf.d/*\n", HOST)
    assert (said.name, said.rest, said.place) == (
        "via", ("off",), "line 1 of conf.d/a.conf",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("via off\nif ${process_number} = 1\n", "line 2: if: write what holds"),
        ("include self\n", "self: line 1: files are included 16 deep"),
    ],
)
def test_unreadable(text: str, why: str) -> None:
    """What would have to be guessed."""
    with pytest.raises(Unreadable, match=f"^{why}"):
        [*directives(text, HOST)]


def test_values() -> None:
    """Files of values, with comments in them."""
    said = Said(7, "", ("acl",))
    words = ["x", '"list"', 'parameters("list")']
    found = ["a.example", "b.example", "c.example"]
    assert valuesOf(said, words, HOST.text) == ["x", *found, *found]
    with pytest.raises(Unreadable, match=r"^line 7: none cannot be read"):
        valuesOf(said, ['"none"'], HOST.text)
