"""
From a file, and those that it includes, to a configuration or all its errors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attrs import fields, has
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from socksgw.config.loading import ConfigError, load, loads
from socksgw.config.schema import Config, Quota
from socksgw.gateway.examination import examine
from tests.fakes.policy import Facts
from tests.live.running import ROOT
from tests.tools.editors import EDITED, wide
from tests.tools.examining import LISTEN, PYTHON, RULE, examined, problems


def test_allErrorsComeAtOnceEachWithItsPath() -> None:
    """Nothing hides behind the first."""
    found = problems(
        """
        nonsense = 1
        [gateway]
        name = 5
        [timeouts]
        idle = 7200
        [[listen]]
        address = "127.0.0.1:1080"
        protocols = ["socks5", "socks7"]
        [[rule]]
        id = "a"
        allow = "connect"
        ports = [1, true, 80.0]
        [[rule]]
        allow = ["connekt"]
        [groups]
        g = ["a", 5]
        """
    )
    assert sorted(path for path, _ in found) == [
        "gateway.name",
        "groups.g[1]",
        "listen[0].address",
        "listen[0].name",
        "listen[0].protocols[1]",
        "nonsense",
        "rule[0].allow",
        "rule[0].ports[1]",
        "rule[0].ports[2]",
        "rule[1].allow",
        "rule[1].id",
        "timeouts.idle",
    ]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = ", 1, 5),
        ("[gateway]\nname = nothing\n", 2, 8),
        ('[gateway]\nname = "a"\nname = "b"\n', 3, None),
        ("[gateway\n", 1, 9),
        ("\n\n= 1\n", 3, 1),
    ],
)
def test_syntaxErrorsNameLineAndColumn(text: str, line: int, column: object) -> None:
    """A file that is no TOML says where."""
    ((path, said),) = problems(text)
    assert path == ""
    assert f"line {line}" in said
    assert re.search(r"column \d+", said)
    if column is not None:
        assert f"column {column}" in said


@pytest.mark.parametrize(
    "text",
    ["a = " + "9" * 5000, "a = " + "[" * 3000, "a." * 3000 + "a = 1", "\0", "a = 1\r"],
    ids=["a large number", "deep arrays", "a deep key", "NUL", "a bare CR"],
)
def test_hostileTextIsAnErrorAndNothingElse(text: str) -> None:
    """Whatever stands in the file: a L{ConfigError}."""
    assert problems(text)


def test_oneBracketWhereTwoBelong() -> None:
    """Two rules in one pair of brackets each are told how it is written."""
    ((_, said),) = problems("[rule]\n[rule]\n")
    assert re.match(r"line 2, .* two brackets, as \[\[rule\]\]", said)


def test_aFileThatIsMissing(tmp_path: Path) -> None:
    """One line with the remedy."""
    file = str(tmp_path / "none.toml")
    with pytest.raises(ConfigError) as caught:
        load(file)
    (line,) = caught.value.lines()
    assert line.startswith(f"{file}: cannot be read: No such file")


def test_aFileThatIsADirectory(tmp_path: Path) -> None:
    """The same."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path))


@pytest.mark.parametrize("edited", EDITED)
def test_filesOfAnyEditor(tmp_path: Path, edited: str) -> None:
    """A byte-order mark and other line ends change nothing, in included files, too."""
    main = 'include = ["rules.d/*.toml"]\n\n' + LISTEN + "\n"
    (tmp_path / "rules.d").mkdir()
    found = []
    for edit in (lambda octets: octets, EDITED[edited]):
        (tmp_path / "gw.toml").write_bytes(edit(main.encode()))
        (tmp_path / "rules.d" / "a.toml").write_bytes(edit(RULE.encode()))
        found.append(load(str(tmp_path / "gw.toml")))
    assert found[0] == found[1]
    assert found[0].rule


def test_aWideFile(tmp_path: Path) -> None:
    """UTF-16 is told by name."""
    file = tmp_path / "gw.toml"
    file.write_bytes(wide(LISTEN.encode()))
    with pytest.raises(ConfigError, match="is UTF-16; save the file as UTF-8"):
        load(str(file))


def test_aFileThatIsNotUtf8(tmp_path: Path) -> None:
    """It says where."""
    file = tmp_path / "latin.toml"
    file.write_bytes(b'[gateway]\nname = "K\xf6ln"\n')
    with pytest.raises(ConfigError, match="octet 19: not UTF-8"):
        load(str(file))


def test_relativePathsStartBesideTheFile(tmp_path: Path) -> None:
    """Never the current directory."""
    file = tmp_path / "gw.toml"
    file.write_text("")
    assert load(str(file)).directory == tmp_path


VALID = (ROOT / "etc" / "socksgw.toml").read_text()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_anyMutationIsAConfigurationOrAConfigError(data: st.DataObject) -> None:
    """Whatever happens to a file, no traceback comes of it."""
    text = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 40))
        pieces = ["", "[", "]", '"', "true", "1", "{}", "[[rule]]\n", "\\", "=", "\n"]
        piece = data.draw(st.sampled_from(pieces) | st.text(max_size=6))
        text = text[:start] + piece + text[end:]
    try:
        found = examined(loads(text, "gw.toml")).errors
    except ConfigError as e:
        found = e.problems
    for problem in found:
        assert not PYTHON.search(re.sub('".*?"', "", problem.text)), problem


# The file that we ship.


def test_theShippedExampleIsGood() -> None:
    """`etc/socksgw.toml` loads without errors and warnings."""
    found = examine(
        load(str(ROOT / "etc" / "socksgw.toml")), Facts(), MemoryReactorClock()
    )
    assert (found.errors, found.warnings) == ([], [])


def test_theShippedExampleShowsEveryOption() -> None:
    """Every key of the shape stands in it."""

    def keys(kind: Any) -> set[str]:
        found: set[str] = set()
        for attribute in fields(kind):
            name = attribute.metadata.get("toml", attribute.name)
            if name not in (None, "*"):
                found.add(name)
            for inner in (attribute.type, *getattr(attribute.type, "__args__", ())):
                if has(inner) and inner is not Quota:
                    found |= keys(inner)
        return found

    assert len(keys(Config)) > 40
    missing = [key for key in keys(Config) if not re.search(rf"\b{key}\b", VALID)]
    assert sorted(missing) == []
