"""
Requests that a test reads as the gateway does, and messages in many framings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import h11

from socksgw.wire.httpexchange import Exchange, forwarded
from socksgw.wire.httphead import MOST_OCTETS, endOfHead, strict
from socksgw.wire.httpreplies import Refusals

__all__ = ["chunked", "exchangeOf", "parts"]


def exchangeOf(octets: bytes) -> tuple[Exchange, bytes]:
    """
    Return the exchange of a request, and what stands behind its head.

    @raise WireError: it is not passed on.
    """
    end = endOfHead(bytearray(octets))
    assert end
    strict(octets[:end])
    parser = h11.Connection(h11.SERVER, MOST_OCTETS)
    parser.receive_data(octets[:end])
    request = parser.next_event()
    assert isinstance(request, h11.Request)
    found = Exchange(parser, request, forwarded(request), Refusals(False))
    return found, octets[end:]


def chunked(body: bytes, sizes: Sequence[int], trailers: bytes = b"") -> bytes:
    """Return a body in chunks of these sizes, again and again."""
    out, at, turn = b"", 0, 0
    while at < len(body):
        piece = body[at : at + sizes[turn % len(sizes)]]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
        at += len(piece)
        turn += 1
    return out + b"0\r\n" + trailers + b"\r\n"


def parts(octets: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Return octets in parts of these sizes, again and again; none is empty."""
    at = turn = 0
    while at < len(octets):
        size = cuts[turn % len(cuts)] if cuts else len(octets)
        yield octets[at : at + size]
        at += size
        turn += 1
