"""
What C{check} says of sinks, and of the key that signs the journal.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from socksgw.config.loading import ConfigError, loads
from socksgw.gateway.examining.sinks import sinkNamed, writesToStdout
from tests.tools.examining import HEAD, examined


def test_good(tmp_path: Path) -> None:
    """Short ones and tables; each has its name."""
    text = HEAD + (
        '[audit]\nsinks = ["stdout", "stdout:ocsf", "file:a", "sql:sqlite:///a.db"]\n'
        '[[audit.sink]]\nkind = "file"\nurl = "b"\nformat = "cef"\n'
    )
    assert examined(text, directory=tmp_path).errors == []
    config = loads(text, "gw.toml", tmp_path)
    assert writesToStdout(config)
    order = sinkNamed(config, "file")
    assert (order.target, order.format) == ("b", "cef")
    assert sinkNamed(config, "stdout:ocsf").format == "ocsf"
    assert sinkNamed(config, "file:elsewhere").target == "elsewhere"
    with pytest.raises(ConfigError, match="there is no sink"):
        sinkNamed(config, "fiel:x")


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('sinks = ["fiel:x"]', "audit.sinks[0]", 'did you mean "file"?'),
        ('sinks = ["file:"]', "audit.sinks[0]", 'is missing: a sink "file" needs PATH'),
        ('sinks = ["file:a", "file:a"]', "audit.sinks[1]", "another sink, too"),
        ('sinks = ["stdout:nativ"]', "audit.sinks[0]", 'did you mean "native"?'),
        ('[[audit.sink]]\nkind = "fiel"', "audit.sink[0].kind", "there is no sink"),
        ('[[audit.sink]]\nkind = "file"', "audit.sink[0].url", "is missing"),
        (
            '[[audit.sink]]\nkind = "file"\nurl = "a"\nformat = "csv"',
            "audit.sink[0].format",
            'there is no format "csv"; there are: native',
        ),
        (
            '[[audit.sink]]\nkind = "file"\nurl = "a"\nbatch = 3',
            "audit.sink[0].batch",
            "unknown key",
        ),
        (
            '[[audit.sink]]\nkind = "sql"\nurl = "sqlite:///a"\nformat = "cef"',
            "audit.sink[0].format",
            "takes no format",
        ),
        (
            '[[audit.sink]]\nkind = "sql"\nurl = "x"\nurl_file = "y"',
            "audit.sink[0].url_file",
            "not both",
        ),
        (
            '[[audit.sink]]\nkind = "sql"\nurl_file = "none"',
            "audit.sink[0].url_file",
            "No such file",
        ),
        (
            '[[audit.sink]]\nkind = "file"\nname = "a\\nb"\nurl = "a"',
            "audit.sink[0].name",
            "printable",
        ),
        ('signing_key = "none"', "audit.signing_key", "No such file"),
        ("checkpoint_lines = 0", "audit.checkpoint_lines", "at least 1"),
        ('checkpoint_every = "0s"', "audit.checkpoint_every", 'at least "1s"'),
    ],
)
def test_wrong(text: str, path: str, words: str, tmp_path: Path) -> None:
    """The place, and the remedy."""
    found = examined(f"{HEAD}[audit]\n{text}\n", directory=tmp_path).errors
    assert {each.path for each in found} == {path}
    assert words in found[0].text


def test_aPasswordInTheConfiguration(tmp_path: Path) -> None:
    """Is warned of, and is not in the sink's name."""
    url = "sql:postgresql://gw:canary-66@db.example/audit"
    text = f'{HEAD}[audit]\nsinks = ["{url}"]\n'
    found = examined(text, directory=tmp_path)
    assert not any("canary" in each.text for each in (*found.errors, *found.warnings))
    assert any("url_file" in each.text for each in found.warnings)
    name = "sql:postgresql://***@db.example/audit"
    order = sinkNamed(loads(text, "gw.toml", tmp_path), name)
    assert order.name == name
    assert "canary" in order.target
