"""
Inspectors: what tells, by the first octets of a session, what it carries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from zope.interface import Attribute, Interface

from socksgw.wire.address import Address, BadHost, parseHost

__all__ = [
    "MALFORMED",
    "NOT_MINE",
    "OTHER",
    "UNKNOWN",
    "Finding",
    "IInspector",
    "Look",
    "nameIn",
]

#: The application of a session whose first octets are those of no inspector's.
OTHER: Final = "other"
#: The application of one of which that cannot be told: its first octets break the
#: rules of what they began as, are too many, or did not come in time.
UNKNOWN: Final = "unknown"


class Finding(NamedTuple):
    """
    What the first octets of a session tell.

    @ivar application: the inspector's name, or L{OTHER}, or L{UNKNOWN}.
    @ivar serverName: the name of the server that the client means, in normal form, or
        the text of an address; L{None} for none.
    @ivar outer: whether that may stand before another one, which is encrypted.
    @ivar hidden: whether there is a name that cannot be read.
    @ivar alpn: the protocols that the client offers for what TLS carries.
    @ivar method: of HTTP, the method of the first request.
    @ivar detail: something of the protocol's own, for people; all ASCII.
    """

    application: str
    serverName: str | None = None
    outer: bool = False
    hidden: bool = False
    alpn: tuple[str, ...] = ()
    method: str = ""
    detail: str = ""


#: In place of a finding: the octets are not of this protocol, and those to come
#: cannot change that,
NOT_MINE: Final = 0
#: or they began as such, and break its rules.
MALFORMED: Final = -1

#: Looks at all octets that one side has sent so far. It returns the finding, or how
#: many octets there have to be at least until it can be told, or L{NOT_MINE}, or
#: L{MALFORMED}. It is called each time that octets come, perhaps for each one, and may
#: keep how far it has come. What it finds may not depend on how they come.
Look = Callable[[Any], Finding | int]


def nameIn(octets: bytes) -> str | None:
    """
    Return the name of a server, or the text of an address, in normal form.

    @return: L{None} where the octets are neither.
    """
    host = parseHost(octets)
    if isinstance(host, BadHost):
        return None
    return host.text if isinstance(host, Address) else host


class IInspector(Interface):
    """
    An inspector of one protocol.

    It is found as the module-level name C{inspector} of a module
    C{socksgw.plugins.inspect_*}. It sees octets that anybody may have made up: the
    time that it takes has to be proportional to their number, and it must not raise.
    """

    name = Attribute("The word for rules (C{application}) and records, a C{str}.")
    help = Attribute("One line for C{socksgw plugins}, a C{str}.")
    fromClient = Attribute(
        "The octets with which a client may begin, C{bytes}; empty where it is silent."
    )
    fromServer = Attribute(
        "The octets with which a server may begin that speaks before its client, "
        "C{bytes}; empty where none does."
    )

    def begin(client: bool) -> Look:
        """
        Make what looks at the octets of one side of one session.

        @param client: whether they are the client's.
        """
