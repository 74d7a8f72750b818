"""
Places where nobody accepts connections.
"""

from __future__ import annotations

import socket
from pathlib import Path

from socksgw.console.selftest.places import Place
from socksgw.console.selftest.reaching import notReached, unreached


def test_unreached(tmp_path: Path) -> None:
    """By TCP and Unix sockets; a socket that is bound and does not listen is nobody."""
    place = Place("listen[0].address[0]", "here", "", ())
    left = str(tmp_path / "left")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket() as silent,
        socket.socket(socket.AF_UNIX) as abandoned,
    ):
        unix.bind(str(tmp_path / "unix"))
        unix.listen()
        silent.bind(("127.0.0.1", 0))
        abandoned.bind(left)
        places = [
            place._replace(where=where, shown=shown)
            for where, shown in (
                (tcp.getsockname(), "tcp"),
                (str(tmp_path / "unix"), "unix"),
                (silent.getsockname(), "silent"),
                (left, "left"),
                (str(tmp_path / "none"), "none"),
                (("a..b", 1080), "name"),
            )
        ]
        away = unreached(places, 20)
    assert [each.shown for each in away] == ["silent", "left", "none", "name"]
    assert notReached(away, "start it") == (
        "silent, left, none: nothing accepts connections there (connection refused); "
        "name: its name has no address; start it; check the name, and the name servers "
        "of this host (/etc/resolv.conf)"
    )


def test_many() -> None:
    """A line names four."""
    where = ("127.0.0.1", 1)
    places = [Place("", str(n), where, ()) for n in range(6)]
    told = notReached(unreached(places, 20), "start it")
    assert told.startswith("0, 1, 2, 3 and 2 more: nothing accepts")
