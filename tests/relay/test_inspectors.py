"""
The inspectors that are installed.
"""

from __future__ import annotations

from types import SimpleNamespace

from socksgw.relay.inspectors import Inspectors, findInspectors


def test_found() -> None:
    """Each module is found, by its inspector's name, and none is broken."""
    found, broken = findInspectors()
    assert broken == []
    assert "tls" in found
    assert all(name == each.name for name, each in found.items())


def test_byTheFirstOctet() -> None:
    """An inspector looks only where a side begins with one of its octets."""
    one = SimpleNamespace(fromClient=b"ab", fromServer=b"")
    two = SimpleNamespace(fromClient=b"bc", fromServer=b"x")
    table = Inspectors([one, two])
    assert [table.ofClient[each] for each in b"abcx"] == [
        (one,),
        (one, two),
        (two,),
        (),
    ]
    assert table.ofServer[ord("x")] == (two,)
    assert table.ofServer[ord("a")] == ()
