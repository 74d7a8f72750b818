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


def test_theMostParticularFirst() -> None:
    """What knows the fewest first octets looks first, whatever order they are in."""
    many = SimpleNamespace(fromClient=bytes(range(64)), fromServer=b"xy")
    few = SimpleNamespace(fromClient=b"\x16", fromServer=b"x")
    table = Inspectors([many, few])
    assert table.ofClient[0x16] == table.ofServer[ord("x")] == (few, many)
    assert table.ofClient[0] == table.ofServer[ord("y")] == (many,)


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
