"""
C{from} for clients of Unix sockets, who have no address.
"""

from __future__ import annotations

import pytest

from socksgw.config.loading import loads
from tests.tools.examining import examined

TEXT = """
[[listen]]
name = "local"
address = ["unix:/run/x"]
[[listen]]
name = "lan"
address = ["127.0.0.1:1080"]
[[auth.choose]]
listener = ["local"]
%s
methods = ["peer"]
[[auth.choose]]
methods = ["none"]
[[rule]]
id = "r"
allow = ["connect"]
listener = %s
%s
"""


@pytest.mark.parametrize(
    ("choose", "listeners", "rule", "paths"),
    [
        ("", '["local"]', "", []),
        ('from = ["127.0.0.0/8"]', '["local"]', 'from = ["loopback"]', []),
        ('from = ["10.0.0.0/8"]', '["lan"]', "", ["auth.choose[0].from"]),
        ('from = ["::1"]', '["lan"]', "", ["auth.choose[0].from"]),
        ("", '["local"]', 'from = ["10.0.0.0/8"]', ["rule[0].from"]),
        ("", '["local", "lan"]', 'from = ["10.0.0.0/8"]', []),
    ],
)
def test_aSourceThatNoneHas(
    choose: str, listeners: str, rule: str, paths: list[str]
) -> None:
    """A warning that says what counts for them."""
    found = examined(loads(TEXT % (choose, listeners, rule), "f"))
    assert found.errors == []
    warned = [each for each in found.warnings if each.path.endswith("from")]
    assert [each.path for each in warned] == paths
    assert all("count as 127.0.0.1" in each.text for each in warned)


def test_whatIsExposed() -> None:
    """It is told as what it is, and is no open relay."""
    text = TEXT % ("", '["local"]', "")
    found = examined(loads(text.replace('"peer"', '"none"'), "f"))
    assert found.errors == []
    assert len(found.exposures) == 2
    for line in found.exposures:
        assert line.startswith('anonymous on "local" from programs of this machine: ')


@pytest.mark.parametrize("word", ["uid:65534", "uid:nobody", "gid:65534"])
def test_whoIsNobody(word: str) -> None:
    """Users without a number here share one, which is no identity."""
    text = TEXT % ("", '["local"]', f'who = ["uid:0", "{word}", "gid:nowhere"]')
    (warning,) = examined(text).warnings
    assert (warning.path, word in warning.text) == ("rule[0].who[1]", True)
    text = TEXT % ("", '["local"]', f'who = ["@g"]\n[groups]\ng = ["{word}"]')
    (warning,) = examined(text).warnings
    assert warning.path == "groups.g[0]"
