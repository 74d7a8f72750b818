"""
The facts of a supposed question, for C{socksgw explain} and C{[[expect]]}.

They come from what people write, or from a line of the journal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from socksgw.config.reserved import isLocal, isLocalName
from socksgw.config.schema import Config, Group
from socksgw.interfaces import ANONYMOUS, UNKNOWN
from socksgw.policy.joining import Joining
from socksgw.policy.questions import Found, Supposed
from socksgw.wire.address import Address, BadHost, parseHost
from socksgw.wire.codes import DATAGRAMS
from socksgw.wire.levels import CLEAR

__all__ = ["Facts", "destination", "factsOf", "groupsOf", "tagOf", "unsureOf"]

#: Commands that need a port.
_WITH_PORT: Final = ("connect", "udp", "multicast")


@frozen
class _Person:
    """
    The user of a question (L{socksgw.policy.conditions.Person}).

    C{doubt} is empty: groups that are unknown are reported as a missing fact.
    """

    name: str
    groups: frozenset[str]
    method: str | None
    unsure: frozenset[str]
    doubt: str = ""

    @property
    def anonymous(self) -> bool:
        """Tell whether the user has not logged in."""
        return self.name == ANONYMOUS


@frozen
class _Supposing:
    """Who asks (L{socksgw.policy.questions.Asking})."""

    user: _Person
    source: Address | None
    listener: str | None
    secured: str | None
    tag: str | None


@frozen
class Facts:
    """
    The facts of a question; L{None} for a fact that is unknown.

    @ivar user: a name, or C{anonymous}.
    @ivar groups: the known groups of the user.
    @ivar unsure: groups of a directory that the user may be in.
    @ivar port: 0 for a BIND whose peer's port is unknown, for a look-up, and for an
        association (which has neither name nor addresses).
    @ivar addresses: the requested address, or the addresses of the name.
    @ivar at: seconds since the epoch.
    @ivar application: what inspection found, or would find.
    @ivar serverName: the name of the server that it found; empty for none.
    @ivar joining: what is wanted of a multicast group; L{None} for nothing that a rule
        could refuse.
    """

    user: str
    groups: frozenset[str]
    command: str
    name: str | None
    port: int
    addresses: tuple[Address, ...] = ()
    method: str | None = None
    source: Address | None = None
    listener: str | None = None
    secured: str | None = None
    at: float | None = None
    unsure: frozenset[str] = frozenset()
    tag: str | None = None
    application: str | None = None
    serverName: str | None = None
    joining: Joining | None = None

    def question(self) -> Supposed:
        """Return the question with these facts."""
        person = _Person(self.user, self.groups, self.method, self.unsure)
        asker = _Supposing(person, self.source, self.listener, self.secured, self.tag)
        # A look-up has no port.
        port = 0 if self.command == "resolve" else self.port
        unknown = self.application == UNKNOWN
        found = Found(self.application, "" if unknown else self.serverName, unknown)
        return Supposed(asker, self.command, self.name, port, self.at, found)


def destination(text: str, command: str) -> tuple[Address | str, int]:
    """
    Read a destination such as C{"host:443"} or C{"[::1]:443"}.

    @param command: decides whether a port is needed.
    @return: the host and the port; 0 where there is none.
    @raise ValueError: it is not a destination; the text has the remedy.
    """
    scheme, slashes, rest = text.partition("://")
    if slashes:
        host = rest.partition("/")[0]
        port = "80" if scheme.lower() in ("http", "ws") else "443"
        example = host if ":" in host.rpartition("]")[2] else f"{host}:{port}"
        raise ValueError(f'"{text}": a URL; say host and port: {example}')
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, "0"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f'"{text}": the port is not a number from 0 to 65535')
    found = parseHost(host.encode("utf-8"))
    if isinstance(found, BadHost):
        raise ValueError(f'"{host}": {found.why}')
    if int(port) == 0 and command in _WITH_PORT:
        if isinstance(found, Address) and found.version == 6:
            host = f"[{found}]"
        raise ValueError(f'"{text}": {command} needs a port, as in "{host}:443"')
    return found, int(port)


def _elsewhere(line: Mapping[str, Any], config: Config) -> frozenset[str]:
    """
    Return the groups that a line of the journal has for its user, and no file.

    They are a directory's, or of this machine.
    """
    return frozenset(
        name
        for name in line.get("groups", ())
        if isLocal(name) or (name in config.groups and _isOpen(config.groups[name]))
    )


def _isOpen(group: Group) -> bool:
    """Tell whether something else than a user's name makes members of a group."""
    return bool(group.inDirectory or group.token) or any(map(_isAlias, group.members))


def _isAlias(word: str) -> bool:
    """Tell whether a user of this machine may be called so besides its name."""
    return isLocal(word) and not isLocalName(word)


def factsOf(
    line: Mapping[str, Any], config: Config, carried: Mapping[str, Any] | None = None
) -> Facts | None:
    """
    Return the facts of a decision in the journal.

    @param carried: a later line that tells what the session carried.
    @return: L{None} where the policy was not asked, or the line names what is no
        address.
    """
    try:
        return _factsOf(line, config, carried or {})
    except ValueError:
        return None


def _factsOf(
    line: Mapping[str, Any], config: Config, found: Mapping[str, Any]
) -> Facts | None:
    command, name, port = line["command"], line["name"], line["port"]
    if command == "noop":
        return None
    addresses = [*line["addresses"], *(a for a, _ in line.get("struck", ()))]
    if command in DATAGRAMS and line["event"] == "decision":
        # An association: what it names is a hint.
        name, port, addresses = None, 0, []
    elif not addresses and name is None:
        host = parseHost(line["asked"].encode("ascii"))
        if not isinstance(host, Address):
            return None
        addresses = [host.text]
    if command == "bind":
        # The peer's port is known when it comes.
        port = 0
    elif port == 0 and addresses and command in _WITH_PORT:
        return None
    user = line["user"]
    return Facts(
        user=user,
        groups=groupsOf(user, config.groups, _elsewhere(line, config)),
        command=command,
        name=name,
        port=port,
        addresses=tuple(Address.parse(address) for address in addresses),
        method=line["method"],
        source=Address.parse(line["client"].rpartition(":")[0].strip("[]")),
        listener=line["listener"],
        secured=line.get("secured", CLEAR),
        at=datetime.fromisoformat(line["time"]).timestamp(),
        tag=line.get("tag", ""),
        application=found.get("application"),
        serverName=found.get("server_name", "" if "application" in found else None),
        joining=_joining(line),
    )


def _joining(line: Mapping[str, Any]) -> Joining | None:
    """Return what a line says that a client wants of a group."""
    if line["command"] != "multicast" or line["event"] != "flow":
        return None
    return Joining(line.get("ttl"), tuple(map(Address.parse, line.get("senders", ()))))


def tagOf(user: str, config: Config, given: str | None) -> str | None:
    """
    Return the tag of a question; L{None} where it is not known.

    @param given: the tag, if it was given.
    """
    none = user == ANONYMOUS or not config.auth.tag_separator
    return "" if given is None and none else given


def groupsOf(
    user: str, groups: Mapping[str, Group], given: frozenset[str] = frozenset()
) -> frozenset[str]:
    """
    Return the groups that a user is in, by the configuration and by what is given.

    @param given: other groups, among them those of this machine.
    """
    called = {user, *filter(isLocal, given)}
    found = {
        name for name, group in groups.items() if not called.isdisjoint(group.members)
    }
    # The number of a user without a name is a word of its own.
    return given | found | set(filter(isLocal, (user,)))


def unsureOf(
    user: str, config: Config, given: Collection[str] | None
) -> frozenset[str]:
    """
    Return the groups which only a directory, a token or this machine can say.

    @param given: the user's groups, if they were given: then there are no others.
    """
    if given is not None or user == ANONYMOUS:
        return frozenset()
    local = isLocal(user)
    words = (word for rule in config.rule if local for word in rule.who or ())
    return frozenset(
        name
        for name, group in config.groups.items()
        if (group.inDirectory or group.token or (local and _isOpen(group)))
        and user not in group.members
    ).union(word for word in words if _isAlias(word) and word != user)
