"""
What each server of a directory answers: connection, TLS, the bind, a search.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults

from socksgw.interfaces import Answer
from socksgw.login.refusal import Refused
from socksgw.login.stores.ldaplinks import (
    Link,
    NotServed,
    ResultError,
    TooMany,
    TooMuch,
)
from socksgw.login.stores.ldapnames import ANYTHING, present
from socksgw.login.stores.ldapservers import Server, Servers
from socksgw.system.inwords import Words, inWords

__all__ = ["askServers", "greetServers"]

#: What Active Directory says of an account in the diagnostic of a refused bind.
_ACCOUNT: Final = re.compile(r"\bdata ([0-9a-f]{2,4})\b")
_OF_ACCOUNT: Final = {
    "530": "may not log in at this time",
    "531": "may not log in from this computer",
    "532": "has a password that has expired",
    "533": "is disabled",
    "701": "has expired",
    "773": "has to change its password first",
    "775": "is locked",
}
#: A bind's result codes (RFC 4511 section 4.1.9).
_OF_BIND: Final = {
    8: Words(
        "it takes no bind without TLS or signing",
        "use ldaps://, or say start_tls = true",
    ),
    13: Words(
        "it takes no password without TLS", "use ldaps://, or say start_tls = true"
    ),
    32: Words("there is no entry of the bind account's name", "correct bind_dn"),
    34: Words("the bind account's name is none to it", "write bind_dn as a whole DN"),
    48: Words("the bind account has no password there", "correct bind_dn"),
    49: Words(
        "the bind account's name or password is wrong",
        "correct bind_dn and the file bind_password_file",
    ),
    50: Words("the bind account may not log in", "see its rights in the directory"),
    53: Words(
        "it is not willing to let the bind account in", "see the directory's log"
    ),
}
_BASE: Final = "base"


async def askServers(
    servers: Servers,
    become: Callable[[Link], Awaitable[None]] | None,
    base: str,
    attribute: str,
    look: Callable[[Link], Awaitable[frozenset[str]]],
    lenient: bool = False,
) -> Sequence[Answer]:
    """
    Ask every server, all at once.

    @param become: logs in as the service account; L{None} for an anonymous search.
    @param base: below which users are.
    @param attribute: what has their names.
    @param look: returns the groups of the configuration that are not there.
    @param lenient: whether users log in although nothing can be searched.
    """
    asking = [
        Deferred.fromCoroutine(
            _ask(servers, each, become, base, attribute, look, lenient)
        )
        for each in await servers.all()
    ]
    try:
        found: list[Answer] = await gatherResults(asking, consumeErrors=True)
    except BaseException:
        for each in asking:
            each.cancel()
        raise
    return found


async def greetServers(servers: Servers) -> Sequence[Answer]:
    """Ask every server for a connection with TLS, by which users' passwords go."""

    async def greet(server: Server) -> Answer:
        try:
            link = await servers.open(server)
        except Exception as e:
            words = inWords(e)
            return Answer(server.url, words.said, "failed", words.remedy)
        link.abort()
        return Answer(
            server.url, "TLS with the right certificate, for users' passwords"
        )

    return [await greet(each) for each in await servers.all()]


async def _ask(
    servers: Servers,
    server: Server,
    become: Callable[[Link], Awaitable[None]] | None,
    base: str,
    attribute: str,
    look: Callable[[Link], Awaitable[frozenset[str]]],
    lenient: bool,
) -> Answer:
    def failed(words: Words) -> Answer:
        return Answer(server.url, words.said, "failed", words.remedy)

    try:
        link = await servers.open(server)
    except Exception as e:
        return failed(inWords(e))
    try:
        try:
            if become is not None:
                await become(link)
        except ResultError as e:
            return failed(_ofBind(e))
        except (NotServed, Refused) as e:
            return failed(inWords(e))
        words: Words | None = None
        try:
            # With a base that is not there this fails, and says so.
            await link.search(base, False, ANYTHING, ("1.1",), 1)
            missing = await look(link)
            # The last question: a server that knows no size limit, as Samba's, sends
            # so many users that the connection is closed.
            if not await _has(link, base, attribute):
                words = _noUsers(base, attribute, become is not None)
        except (ResultError, NotServed, TooMuch, Refused) as e:
            words = _ofSearch(e, base, become is not None)
        if words is not None and lenient:
            said = f"answers; users can log in, and groups are not known: {words.said}"
            return Answer(server.url, said, "warning", words.remedy)
        if words is not None:
            return failed(words)
    except Exception as e:
        # The connection was lost, or the directory says what is no LDAP.
        return failed(inWords(e))
    finally:
        link.abort()
    how = "anonymously" if become is None else "as the bind account"
    tls = "" if server.tls is None else ", TLS with the right certificate"
    said = f"answers{tls}; searched {how}, and found users"
    if missing:
        return Answer(
            server.url,
            f"{said}; it has no such group: {'; '.join(sorted(missing))}",
            "warning",
            "correct [groups] directory; a distribution group is in no token of "
            "Active Directory",
        )
    return Answer(server.url, said)


async def _has(link: Link, base: str, attribute: str) -> bool:
    """Return whether the account sees one user, at least."""
    node: Any = present(attribute) if attribute else ANYTHING
    try:
        return bool(await link.search(base, True, node, ("1.1",), 1))
    except TooMany:
        return True


def _noUsers(base: str, attribute: str, bound: bool) -> Words:
    return Words(
        f"below {base} it shows no entry with {attribute or 'anything'}",
        "correct base and user_filter"
        + (
            ", or let the bind account read the users"
            if bound
            else ", or name an account: bind_dn and bind_password_file"
        ),
    )


def _told(error: ResultError) -> str:
    """Return the server's own words, for people."""
    line = " ".join(error.message.strip("\0").split())[:200]
    text = "".join(c if c.isprintable() else "?" for c in line)
    return f': "{text}"' if text else ""


def _ofBind(error: ResultError) -> Words:
    data = _ACCOUNT.search(error.message)
    if data is not None and data[1] in _OF_ACCOUNT:
        return Words(
            f"the bind account {_OF_ACCOUNT[data[1]]}", "see it in the directory"
        )
    known = _OF_BIND.get(error.code)
    if known is not None:
        return known
    told = _told(error)
    return Words(
        f"it refuses the bind account with result code {error.code}{told}",
        "see the directory's log",
    )


def _ofSearch(error: Exception, base: str, bound: bool) -> Words:
    if not isinstance(error, ResultError):
        return inWords(error)
    account = "name an account: bind_dn and bind_password_file, or bind_keytab"
    if error.code == 32:
        why = (
            "there is no entry"
            if bound
            else "there is no entry, or none for strangers,"
        )
        return Words(
            f"{why} {base}", f"correct {_BASE}" + ("" if bound else f", or {account}")
        )
    if error.code in (1, 8, 50):
        # Samba answers 1 to a search before a bind.
        who = "the bind account" if bound else "whoever has not logged in"
        return Words(
            f"{who} may not search it",
            "let it read users and groups" if bound else account,
        )
    told = _told(error)
    return Words(f"a search fails with result code {error.code}{told}")
