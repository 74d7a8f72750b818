"""
The numbers of SOCKS, as the texts have them.
"""

from __future__ import annotations

from socksgw.wire.codes import AddressType, Command, Method, Reply, Socks4Reply


def test_numbersOfSOCKS5() -> None:
    """
    The numbers of RFC 1928 sections 3, 4, 5 and 6; IANA's, and the SSL draft's
    own.
    """
    assert {m.name: m.value for m in Method} == {
        "NO_AUTHENTICATION": 0x00,
        "GSSAPI": 0x01,
        "USERNAME_PASSWORD": 0x02,
        "CHAP": 0x03,
        "SSL": 0x06,
        "SSL_DRAFT": 0x86,
        "NO_ACCEPTABLE": 0xFF,
    }
    assert (Command.CONNECT, Command.BIND, Command.UDP_ASSOCIATE) == (1, 2, 3)
    assert (AddressType.IPV4, AddressType.NAME, AddressType.IPV6) == (1, 3, 4)
    assert [reply.value for reply in Reply] == list(range(9))
    assert Reply.NOT_ALLOWED == 2
    assert Reply.NETWORK_UNREACHABLE == 3
    assert Reply.HOST_UNREACHABLE == 4
    assert Reply.CONNECTION_REFUSED == 5
    assert Reply.TTL_EXPIRED == 6
    assert Reply.COMMAND_NOT_SUPPORTED == 7
    assert Reply.ADDRESS_TYPE_NOT_SUPPORTED == 8


def test_numbersOfSOCKS4() -> None:
    """The result codes (SOCKS 4, section CONNECT)."""
    assert [code.value for code in Socks4Reply] == [90, 91, 92, 93]
    assert Socks4Reply.GRANTED == 90
    assert Socks4Reply.REJECTED == 91
