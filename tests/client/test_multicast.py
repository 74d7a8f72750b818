"""
The groups of a program whose proxy does not do its part.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from socksgw.client.errors import ProtocolBroken
from socksgw.client.multicast import Groups
from socksgw.wire.address import Address


def test_noAddressForDatagrams() -> None:
    """A join that fails leaves nothing behind: the end of the connection is told."""
    made = Groups(None, False, None)
    ended: list[Any] = []
    failed: list[Any] = []
    made.ended.addBoth(ended.append)
    host = SimpleNamespace(host="192.0.2.1", port=40000)
    port = SimpleNamespace(getHost=lambda: host, stopListening=lambda: None)
    reactor: Any = SimpleNamespace(listenUDP=lambda *_, **__: port)
    made._begin(reactor, SimpleNamespace(transport=StringTransport()), host.host)
    made.join(DatagramProtocol(), "239.1.2.3", 5004).addBoth(failed.append)
    # Section 4.2 of the draft: a success, at port 0.
    group = Address.parse("239.1.2.3").packed
    places = b"\1" + bytes(4) + bytes(2) + b"\1" + group + b"\x13\x8c"
    head = b"\0" + b"\0\x31" + b"\0" + b"\0\1" + b"\0\0\0\1"
    made._received(b"\2" + (len(head + places) + 3).to_bytes(2, "big") + head + places)
    assert failed[0].check(ProtocolBroken)
    made._end(Failure(ConnectionDone()))
    assert len(ended) == 1
    assert isinstance(ended[0], ConnectionDone)


def test_full() -> None:
    """Datagrams inside the connection are dropped while the proxy does not read."""
    transport = StringTransport()
    made = Groups(None, True, None)
    made._begin(SimpleNamespace(), SimpleNamespace(transport=transport), "")
    joined: list[Any] = []
    made.join(DatagramProtocol(), "239.1.2.3", 5004, ttl=1).addBoth(joined.append)
    # Section 4.2 of the draft: a success for association 1, with no places.
    made._received(b"\2\0\x0d" + b"\0" + b"\0\x3b" + b"\0" + b"\0\1" + b"\0\0\0\1")
    (group,) = joined
    producer = transport.producer
    assert producer is not None
    transport.clear()
    sent = []
    for step in (lambda: None, producer.pauseProducing, producer.resumeProducing):
        step()
        group.write(b"x")
        sent.append(transport.value())
        transport.clear()
    # Section 4.4: a datagram of one octet.
    whole = b"\3\0\x08\0\0\0\1x"
    assert sent == [whole, b"", whole]
    made.close()
    assert (transport.producer, transport.disconnecting) == (None, True)
