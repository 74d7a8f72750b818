"""
What the record keeps of a PROXY header.
"""

from __future__ import annotations

import json

from socksgw.audit.proxied import proxiedMembers
from socksgw.wire.address import Address
from socksgw.wire.proxyheader import Origin, ProxyHeader

SENDER = Address.parse("10.0.0.5")


def members(header: ProxyHeader) -> object:
    """The members that are written."""
    return json.loads(f'{{"v":1{proxiedMembers(Origin(header, SENDER, 41000))}}}')


def test_members() -> None:
    """Who sent it, where the client connected to, and what is told."""
    source = (Address.parse("192.0.2.7"), 4000)
    destination = (Address.parse("2001:db8::1"), 1080)
    told = {"authority": b"gw.example", "unique_id": b'\x00"\\\xff'}
    assert members(ProxyHeader(source, destination, told)) == {
        "v": 1,
        "sender": "10.0.0.5:41000",
        "sender_to": "[2001:db8::1]:1080",
        "told": {"authority": "gw.example", "unique_id": '\\x00"\\x5c\\xff'},
    }


def test_ofItself() -> None:
    """Nothing but the sender."""
    assert members(ProxyHeader(None)) == {"v": 1, "sender": "10.0.0.5:41000"}


def test_bounded() -> None:
    """However much a sender tells."""
    told = dict.fromkeys(("authority", "alpn", "netns", "tls_name"), b"\x00" * 2000)
    text = proxiedMembers(Origin(ProxyHeader(None, told=told), SENDER, 1))
    assert len(text) < 3000
    assert text.isascii()
    assert text.isprintable()
