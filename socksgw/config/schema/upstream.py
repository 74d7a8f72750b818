"""
The table of other gateways that sessions leave by.
"""

from typing import Literal

from attrs import frozen

__all__ = ["Upstream"]


@frozen
class Upstream:
    """
    Another gateway, which rules name in C{via}.

    @ivar name: Its name, for C{via} of rules and for the journal.
    @ivar url: Where it is, and what it speaks: C{"socks5://gw2.example:1080"}. The
        host is a name or an address, IPv6 in brackets; the port is needed.
    @ivar resolve: Who looks up the name of the destination, and that of the next
        upstream of a chain. C{"here"}: this gateway, which judges the addresses.
        C{"there"}: the upstream; rules that name an address decide nothing then.
    """

    name: str
    url: str
    resolve: Literal["here", "there"] = "here"
