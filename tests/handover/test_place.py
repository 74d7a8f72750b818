"""
Where a successor comes.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from socksgw.handover.place import Nobody, admits, bind, connect, unbind


def test_oneComes(tmp_path: Path) -> None:
    """However long the path is; nobody else may open the socket."""
    deep = tmp_path.joinpath(*["a-long-name-of-a-directory"] * 6)
    deep.mkdir(parents=True)
    with bind(deep) as listening, connect(deep) as connection:
        assert connection.type & socket.SOCK_SEQPACKET
        accepted, _ = listening.accept()
        with accepted:
            assert admits(accepted)
        assert (deep / "handover").stat().st_mode & 0o777 == 0o600
    unbind(deep)
    assert list(deep.iterdir()) == []
    unbind(deep)


def test_nobodyIsThere(tmp_path: Path) -> None:
    """A socket that was left behind is no gateway; the next one replaces it."""
    for _ in range(2):
        with pytest.raises(Nobody, match="none serves"):
            connect(tmp_path)
        bind(tmp_path).close()
    with bind(tmp_path), connect(tmp_path):
        pass
    with pytest.raises(Nobody, match="no gateway"):
        connect(tmp_path / "none")
