"""
Lines of a TOML text, by path.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socksgw.config.positions import Positions
from tests.live.running import ROOT

TEXT = '''\
a = 1  # one
b = [
  "x", # ]
  "y",
  """z
]""",

  "w"
]
[[rule]]
id = "one"
to = ["a", "b"]
[rule.udp]
replies = "any"

[[rule]]
id = "two"
limits = { per = "user" }
[networks]
"a.b" = [
 "1", "2",
 "3" ]
x.y = 3
[groups]
c = { directory = [
"A",
"B"] }
[[rule]]
ports = [80]
[[listen]]
name = "lan"
[[listen.hop]]
one = 1
[[listen.hop]]
two = [[1],
  [2], 3]
'''


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [
        ("a", 1, "a"),
        ("b", 2, "b"),
        ("b[0]", 3, "b[1]"),
        ("b[1]", 4, "b[2]"),
        ("b[2]", 5, "b[3]"),
        ("b[3]", 8, "b[4]"),
        ("rule[0]", 10, 'rule[1] ("one")'),
        ("rule[0].to[1]", 12, 'rule[1].to[2] ("one")'),
        ("rule[0].udp.replies", 14, 'rule[1].udp.replies ("one")'),
        # What is missing is missed in its table.
        ("rule[0].udp.nothing", 13, 'rule[1].udp.nothing ("one")'),
        ("rule[1].from", 16, 'rule[2].from ("two")'),
        ("rule[1].limits.per", 18, 'rule[2].limits.per ("two")'),
        ("networks.a.b[1]", 21, "networks.a.b[2]"),
        ("networks.a.b[2]", 22, "networks.a.b[3]"),
        ("networks.x.y", 23, "networks.x.y"),
        ("groups.c.directory[1]", 25, "groups.c.directory[2]"),
        ("rule[2].ports[0]", 29, "rule[3].ports[1]"),
        ("listen[0].hop[1].two[1]", 36, 'listen[1].hop[2].two[2] ("lan")'),
        ("audit.keep", None, "audit.keep"),
        ("", None, ""),
    ],
)
def test_positions(path: str, line: int | None, shown: str) -> None:
    """Keys of every kind, of one line and of several, and keys that are not there."""
    positions = Positions(TEXT)
    assert positions.lineOf(path) == line
    assert positions.shown(path) == shown


@pytest.mark.parametrize(
    "path",
    [ROOT / "etc" / "socksgw.toml", *(ROOT / "etc" / "examples").glob("*.toml")],
    ids=lambda path: path.name,
)
def test_examples(path: Path) -> None:
    """
    In the files that we ship each key is found on a line that names it.
    """
    text = path.read_text()
    lines = text.split("\n")
    positions = Positions(text)

    def walk(value: object, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}.{key}" if place else key)
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                walk(inner, f"{place}[{i}]")
        if place:
            found = positions.lineOf(place)
            assert found is not None
            name = re.sub(r"\[\d+\]", "", place).rpartition(".")[2]
            word = value if isinstance(value, str) else name
            assert str(word) in lines[found - 1] or name in lines[found - 1]

    walk(tomllib.loads(text), "")


@given(st.lists(st.text(alphabet="ab#[]'\"\\ =\n", max_size=6), max_size=8))
def test_anyStrings(values: list[str]) -> None:
    """Whatever an array of several lines holds, each element has its own line."""
    quoted = [
        '"' + each.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        for each in values
    ]
    text = "before = 1\nx = [\n" + "".join(f"{q},\n" for q in quoted) + "]\nz = 2\n"
    assert tomllib.loads(text)["x"] == values
    positions = Positions(text)
    for i in range(len(values)):
        assert positions.lineOf(f"x[{i}]") == 3 + i
    assert positions.lineOf("z") == 4 + len(values)
