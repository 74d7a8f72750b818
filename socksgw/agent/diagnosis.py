"""
What a gateway that was not reached, or that refused, means to a user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from socksgw.agent.settings import Login, Settings
from socksgw.agent.trouble import Trouble
from socksgw.errors import SocksError, UpstreamRefused

__all__ = ["diagnose", "isRefusal"]

#: What is said of a way that ends before the gateway, by the word in the journal.
#: C{%s} is the gateway's place.
_WAYS: Final[Mapping[str, Trouble]] = {
    "no-such-host": Trouble(
        "no-such-host",
        "%s has no address",
        "check the name, and whether this machine is connected",
    ),
    "lookup-timeout": Trouble(
        "no-names", "no name server answers about %s", "is this machine connected?"
    ),
    "network-unreachable": Trouble(
        "no-network", "no network leads to %s", "is this machine connected?"
    ),
    "host-unreachable": Trouble(
        "no-network", "no way leads to %s", "is this machine connected?"
    ),
    "refused": Trouble(
        "refused",
        "%s refuses connections",
        "is that the port, and does the gateway run?",
    ),
    "connect-timeout": Trouble(
        "no-answer",
        "%s does not answer",
        "does the gateway run, and lets a firewall it?",
    ),
    "forbidden-by-kernel": Trouble(
        "forbidden", "this machine forbids connections to %s", "see its packet filter"
    ),
    "loop": Trouble("loop", "%s is this agent itself", "name the gateway"),
}
#: Likewise of a gateway that was reached. C{%s} is what it has said, or its client.
_GATEWAYS: Final[Mapping[str, Trouble]] = {
    "upstream-timeout": Trouble(
        "no-reply",
        "the gateway was reached and does not reply (%s)",
        "ask its operator",
    ),
    "upstream-tls": Trouble(
        "tls",
        "the gateway is not believed to be itself (%s)",
        "check --ca, --server-name and the clock",
    ),
    "upstream-closed": Trouble(
        "closed",
        "the gateway closed the connection (%s)",
        "check the scheme and the port; a certificate may be wanted",
    ),
    "upstream-protocol": Trouble(
        "protocol",
        "the gateway says something else (%s)",
        "check the scheme and the port",
    ),
}
#: What to do where the gateway refuses the login.
_LOGINS: Final[Mapping[Login, str]] = {
    "none": "it wants one: choose it with --login",
    "kerberos": "see klist; its operator may have to admit you",
    "token": "get another token",
    "certificate": "get another certificate",
    "password": "check the user and the password",
}
#: What the client of Kerberos says where it gets no ticket for the gateway.
_TICKETS: Final = "no ticket of Kerberos"
#: What it says where the gateway has not asked for the login of this agent.
_OTHERS: Final = ("accepts none of", "asks for another login")
#: Kinds of trouble in which the gateway was not reached.
_AWAY: Final = frozenset(
    each.kind for table in (_WAYS, _GATEWAYS) for each in table.values()
)


def isRefusal(trouble: Trouble) -> bool:
    """Tell whether it is the user who is refused, or has nothing to log in with."""
    return trouble.kind not in _AWAY


def diagnose(settings: Settings, error: SocksError) -> Trouble | None:
    """
    Return what is wrong after a request through the gateway has failed.

    @param error: why.
    @return: L{None} where the gateway itself has answered the request: it was reached,
        and has accepted the login.
    """
    if isinstance(error, UpstreamRefused):
        return None
    place = f"{settings.host}:{settings.port}"
    reasons = list(_reasons(error))
    if error.reason == "upstream-login" and _TICKETS in str(error):
        return Trouble("no-service-ticket", _words(error), "is the KDC reached?")
    if error.reason == "upstream-login":
        what = f"the gateway refuses the login ({_words(error)})"
        todo = _LOGINS[settings.method]
        if settings.method != "none" and any(each in str(error) for each in _OTHERS):
            todo = "it wants another one: choose it with --login"
        return Trouble("login", what, todo)
    for reason in reasons:
        if (found := _WAYS.get(reason)) is not None:
            return found._replace(what=found.what % place)
    if (found := _GATEWAYS.get(error.reason)) is not None:
        return found._replace(what=found.what % _words(error))
    what = f"{place} is not reached ({_words(error)})"
    return Trouble(error.reason, what, "see the agent's journal")


def _reasons(error: BaseException | None) -> Iterator[str]:
    """Yield the word of a failure, and of those that it came from."""
    while error is not None:
        if isinstance(error, SocksError):
            yield error.reason
        error = error.__context__


def _words(error: SocksError) -> str:
    """Return what a failure says, in one line, without what is clear here."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return text.removeprefix('upstream "gateway": ') or error.reason
