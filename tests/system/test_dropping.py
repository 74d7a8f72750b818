"""
What drops datagrams while its connection is full, on a transport that says so.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport

from socksgw.system.dropping import Dropping


def test_full() -> None:
    """It follows what the transport says, until that has gone."""
    dropping, transport = Dropping(), StringTransport()
    transport.registerProducer(dropping, True)
    producer = transport.producer
    assert producer is not None
    seen = [dropping.full]
    for step in (
        producer.pauseProducing,
        producer.resumeProducing,
        producer.stopProducing,
    ):
        step()
        seen.append(dropping.full)
    assert seen == [False, True, False, True]
