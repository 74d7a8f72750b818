"""
Tell a destination whose connection it is, by a PROXY header.
"""

from __future__ import annotations

from typing import Final, cast

from socksgw.route.ways import Outlet
from socksgw.session.case import Case
from socksgw.wire.proxywriter import HeaderVersion, proxyHeader

__all__ = ["introduce"]

#: A client on a Unix socket has no port.
_NONE: Final = 0


def introduce(case: Case, outlet: Outlet) -> None:
    """
    Write the header that the rule asks for, if it does, before anything else.

    The source is the client's own, also where a header of a proxy in front has named
    it. Through upstreams, it goes to the destination.

    @param outlet: of which nothing is written yet.
    """
    leaving = case.obligations.leaving
    if leaving is None or not leaving.header:
        return
    client = case.client
    source = None if client.port == _NONE else (client.source, client.port)
    version = cast(HeaderVersion, leaving.header)
    destination = outlet.address, case.record.port
    outlet.write(proxyHeader(version, source, destination))
