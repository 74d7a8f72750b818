"""
Words of a command line that are misspelt.
"""

from __future__ import annotations

import pytest

from socksgw.console.command import main


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("agnet", "agent"),
        ("audit serach", "search"),
        ("grant aprove 7", "approve"),
        ("report --by houre", "hour"),
    ],
)
def test_meant(words: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The word that was meant is named, and the status says that the use was wrong."""
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2
    assert f'did you mean "{meant}"' in capsys.readouterr().err


def test_nothingNear(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is guessed where no word is near."""
    with pytest.raises(SystemExit):
        main(["pigeons"])
    assert "did you mean" not in capsys.readouterr().err
