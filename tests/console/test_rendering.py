"""
reStructuredText for the terminal.
"""

from __future__ import annotations

import re

import pytest

from socksgw.console.rendering import rendered


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("Head\n====\n\nA ``word`` and *another*.\n", "Head\n====\n\nA word and another.\n"),
        ("``[x]``\n-------\n", "[x]\n---\n"),
        ("UDP\n~~~\n\nText\n", "UDP\n~~~\n\nText\n"),
        ("Run::\n\n    a ``b``\n\nAfter ``b``\n", "Run:\n\n    a ``b``\n\nAfter b\n"),
        ("A\n\n::\n\n    only\n", "A\n\n    only\n"),
        ("A\n\n.. code-block:: toml\n\n    [a]\n\nB\n", "A\n\n    [a]\n\nB\n"),
        (".. contents::\n   :depth: 1\n\nText\n", "Text\n"),
        ("- ``a\n  b``\n- c\n", "- a b\n- c\n"),
        ("a\nb\n\nTerm\n    c\n    d\n", "a b\n\nTerm\n    c d\n"),
        ("1. a\n   b\n2. c\n", "1. a b\n2. c\n"),
        ("2 * 3 * 4\n", "2 * 3 * 4\n"),
        ("``*.x`` and ``*.y``\n", "*.x and *.y\n"),
        ("Term\n    Text::\n\n        code\n\n    More\n",
         "Term\n    Text:\n\n        code\n\n    More\n"),
    ],
)  # fmt: skip
def test_plain(source: str, shown: str) -> None:
    """The marks are gone, and what is literal stays."""
    assert rendered(source) == shown


def test_table() -> None:
    """Columns stay in line."""
    source = "=====  ======\n\\      Head\n=====  ======\n``a``  ``b`` c\n=====  ======\n\nT\n"
    assert rendered(source).splitlines() == [
        "-----  ------",
        "       Head",
        "-----  ------",
        "a      b c",
        "-----  ------",
        "",
        "T",
    ]


def test_coloured() -> None:
    """Headings are bold; what was marked is underlined."""
    assert rendered("Head\n====\n\n``a\nb`` c\n", coloured=True) == (
        "\x1b[1mHead\x1b[0m\n\n\x1b[4ma b\x1b[0m c\n"
    )
    table = "=====  =====\n``a``  b\n=====  =====\n"
    assert "\x1b[4ma\x1b[0m      b\n" in rendered(table, coloured=True)


@pytest.mark.parametrize("coloured", [False, True])
def test_width(coloured: bool) -> None:
    """Paragraphs are filled; what is marked is not broken, and counts as it is seen."""
    text = "- aaa ``bb bb`` cc\n  dd ``ee`` ff\n"
    lines = rendered(text, coloured, width=11).splitlines()
    plain = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
    assert plain == ["- aaa bb bb", "  cc dd ee", "  ff"]
