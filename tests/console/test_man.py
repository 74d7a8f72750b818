"""
The man pages: made without a warning, with every command and every key.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from docutils.utils import code_analyzer

from socksgw.console import man
from socksgw.console.manual import chapters
from socksgw.console.parser import makeParser
from socksgw.console.reference import allTables
from socksgw.console.usage import commandsOf
from socksgw.tap import Options
from tests.live.running import ROOT
from tests.live.servers import program


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files that C{make man} makes."""
    folder = tmp_path_factory.mktemp("man") / "made"
    man.main(str(folder))
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def shown(pages: dict[str, Path]) -> dict[str, str]:
    """What C{man} shows of them; it has nothing to warn of."""
    groff = program("groff", "groff-base")
    found = {}
    for name, path in pages.items():
        done = subprocess.run(
            [groff, "-Kutf8", "-Tutf8", "-man", "-t", "-ww", "-P-c", "-rLL=100n", path],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == "", name
        found[name] = re.sub(r"\s+", " ", re.sub(r".\x08", "", done.stdout))
    return found


def test_withoutPygments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra C{man} installs docutils alone, and the examples are in the page."""
    monkeypatch.setattr(code_analyzer, "with_pygments", False)
    assert "[[limit]]" in man.roff(
        "::\n\n    x\n\n.. code-block:: toml\n\n    [[limit]]\n"
    )


def test_theCommands(shown: dict[str, str]) -> None:
    """socksgw(1) has each command with each of its options."""
    text = shown["socksgw.1"]
    for name, parser in commandsOf(makeParser()).items():
        assert f"socksgw {name}" in text
        for action in parser._actions:
            for option in action.option_strings:
                assert option in text, option
    for chapter in chapters():
        assert f" {chapter} " in text


def test_theSynopsis(shown: dict[str, str]) -> None:
    """It is that of twistd's own help."""
    assert f"twistd -n socksgw {Options.synopsis}" in shown["socksgw.1"]


def test_theKeys(pages: dict[str, Path], shown: dict[str, str]) -> None:
    """socksgw.toml(5) has each table and each key, as a term."""
    source = pages["socksgw.toml.5"].read_text("utf-8").replace("\\", "")
    text = shown["socksgw.toml.5"]
    for table in allTables():
        if table.path:
            assert f" {table.header} " in text
        for key in table.keys:
            name = key.path.rpartition(".")[2]
            assert table.like or re.search(rf"fB{name}fP: ", source), key.path


@pytest.mark.parametrize(
    "name", ["README.rst", *(f"socksgw/manual/{each}.rst" for each in chapters())]
)
def test_source(name: str) -> None:
    """Every text of the manual is good reStructuredText."""
    settings = {
        "halt_level": 2,
        "report_level": 2,
        "_disable_config": True,
        # Pygments is no package of ours, and old versions of pytest lack it.
        "syntax_highlight": "none",
    }
    text = (ROOT / name).read_text("utf-8")
    publish_doctree(text, source_path=name, settings_overrides=settings)
