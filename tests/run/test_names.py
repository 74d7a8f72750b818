"""
Names and the addresses that stand for them.
"""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from socksgw.run.names import Names
from socksgw.wire.address import Address


def asked(names: Names, name: str, kind: str = "A") -> dns.message.Message:
    """What is answered to a question."""
    question = dns.message.make_query(name, kind)
    octets = names.answer(question.to_wire())
    assert octets is not None
    found = dns.message.from_wire(octets)
    assert question.is_response(found)
    return found


def addressIn(message: dns.message.Message) -> Address:
    """The address in an answer."""
    [rows] = message.answer
    [row] = rows
    return Address.parse(row.to_text())


def test_name() -> None:
    """Each name has an address of 198.18.0.0/15 that leads back to it."""
    names = Names()
    first = addressIn(asked(names, "A.Example"))
    assert first == addressIn(asked(names, "a.example"))
    other = addressIn(asked(names, "b.example"))
    assert {first.packed[:2], other.packed[:2]} == {bytes((198, 18))}
    assert names.hostOf(first) == "a.example"
    assert names.hostOf(other) == "b.example"
    real = Address.parse("192.0.2.1")
    assert names.hostOf(real) == real


def test_noOtherAddresses() -> None:
    """There is such a name, and it has no IPv6 address and no more of HTTPS."""
    names = Names()
    for kind in ("AAAA", "HTTPS", "SVCB"):
        found = asked(names, "a.example", kind)
        assert (found.rcode(), found.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("a.example", "TXT", dns.rcode.NOTIMP),
        ("a.example", "MX", dns.rcode.NOTIMP),
        ("10.0.0.1", "A", dns.rcode.NXDOMAIN),
        ("a b.example", "A", dns.rcode.NXDOMAIN),
        ("1.0.18.198.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN),
        ("nothing.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN),
    ],
)
def test_none(name: str, kind: str, code: int) -> None:
    """What cannot be told is an error."""
    found = asked(Names(), name, kind)
    assert (found.rcode(), found.answer) == (code, [])


def test_reverse() -> None:
    """An address that stands for a name tells it."""
    names = Names()
    address = addressIn(asked(names, "a.example"))
    back = ".".join(reversed(address.text.split("."))) + ".in-addr.arpa"
    [rows] = asked(names, back, "PTR").answer
    assert [row.to_text() for row in rows] == ["a.example."]


def test_localhost() -> None:
    """localhost is this host (RFC 6761 section 6.3)."""
    names = Names()
    assert addressIn(asked(names, "localhost")).text == "127.0.0.1"
    assert addressIn(asked(names, "a.localhost", "AAAA")).text == "::1"


def test_oldest() -> None:
    """When all addresses are used, the name that was asked for longest ago goes."""
    names = Names(2)
    first = names.addressFor("a.example")
    names.addressFor("b.example")
    names.addressFor("a.example")
    third = names.addressFor("c.example")
    assert names.hostOf(first) == "a.example"
    assert names.hostOf(third) == "c.example"
    assert names.addressFor("b.example") == first
    assert names.hostOf(first) == "b.example"


@pytest.mark.parametrize("octets", [b"", b"\0" * 11, b"\xff" * 40, bytes(12)])
def test_garbage(octets: bytes) -> None:
    """What is no question is not answered, or is told to be none."""
    answer = Names().answer(octets)
    if answer is not None:
        assert dns.message.from_wire(answer).rcode() == dns.rcode.FORMERR
