"""
One way in which a program comes to a gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["LOCAL", "READABLE", "TICKET", "Setting", "url"]


class Setting(NamedTuple):
    """
    One way in which a program comes to a gateway.

    @ivar protocol: what it speaks, as in C{listen.protocols}.
    @ivar login: what it shows (L{socksgw.console.clients.reach.LOGINS}).
    @ivar where: the file, or what else takes the lines.
    @ivar lines: the lines, with C{{words}} of a L{Reach}.
    @ivar notes: what people have to know.
    @ivar tls: whether it speaks TLS to the gateway.
    @ivar comment: what begins a comment there.
    """

    protocol: str
    login: str
    where: str
    lines: Sequence[str]
    notes: Sequence[str] = ()
    tls: bool = False
    comment: str = "#"

    def __str__(self) -> str:
        way = f"{self.protocol} over TLS" if self.tls else self.protocol
        return f"{way} with {'no' if self.login == 'none' else self.login} login"


TICKET: Final = "With the ticket that klist shows."
READABLE: Final = "Whoever reads this file has the password: chmod 600."
LOCAL: Final = (
    "The program looks names up by itself: rules by name do not match, and the names "
    "have to be known here."
)

_LOGIN: Final = {"none": "", "password": "{quoted}:PASSWORD@", "kerberos": ":@"}


def url(scheme: str, login: str) -> str:
    """Return the URL of a proxy, with C{{words}} of a L{Reach}, and a login in it."""
    return f"{scheme}://{_LOGIN[login]}{{at}}"
