"""
Values behind a word of a file.
"""

from __future__ import annotations

import pytest

from socksgw.importing.values import needed, number, port


def test_needed() -> None:
    """The first that is not there is named."""
    needed(("a", "1", "more"), "HOST", "PORT")
    needed(())
    with pytest.raises(ValueError, match=r"^HOST PORT have to follow, and PORT is not"):
        needed(("a",), "HOST", "PORT")
    with pytest.raises(ValueError, match=r"^ADDRESS has to follow$"):
        needed((), "ADDRESS")


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "8000-8099", "²", "٣"])
def test_none(value: str) -> None:
    """Decimal digits of ASCII, and nothing else."""
    with pytest.raises(ValueError, match="write decimal digits alone"):
        number(value)
    with pytest.raises(ValueError, match="no port: write one number"):
        port(value)


def test_edges() -> None:
    """A port is 65535 at most; a number has no end."""
    assert (port("0"), port("65535")) == (0, 65535)
    assert number("65536") == 65536
    with pytest.raises(ValueError, match="'65536' is no port"):
        port("65536")
