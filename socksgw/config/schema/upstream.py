"""
The table of other gateways that sessions leave by.
"""

from typing import Literal

from attrs import frozen

from socksgw.config.convert import Duration

__all__ = ["Upstream", "UpstreamCheck"]


@frozen
class UpstreamCheck:
    """
    Checks of an upstream: a connection to it and a login, as sessions have them.

    @ivar every: The time between two checks; it varies by a tenth.
    @ivar fall: So many failed checks in a row, or failed sessions, eject it.
    @ivar rise: So many passed checks in a row bring it back.
    @ivar target: Something that it has to connect to in each check, such as
        C{"www.example:443"}. The connection is closed at once.
    """

    every: Duration
    fall: int = 3
    rise: int = 2
    target: str = ""


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
    @ivar udp: How datagrams go to it. C{"associate"}: beside the connection, as RFC
        1928 has it. C{"hev"} and C{"gost"}: inside the connection, as socksgw takes
        them where C{listen.udp.tunnels} says so.
    @ivar pass_through: C{true}: it is given the name and the password by which the
        client has logged in here, if it asks for these. Clients that have shown no
        password are refused.
    @ivar cleartext_passwords: C{true}: passwords may go to it without TLS; else only
        where it is on this host.
    @ivar check: Checks that eject the upstream and bring it back. Absent: sessions do.
    """

    name: str
    url: str
    resolve: Literal["here", "there"] = "here"
    udp: Literal["associate", "hev", "gost"] = "associate"
    pass_through: bool = False
    cleartext_passwords: bool = False
    check: UpstreamCheck | None = None
