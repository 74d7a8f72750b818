"""
A directory in memory: ldaptor's own server side, with entries and answers that
tests say, and the checker that asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ldaptor.protocols import pureldap
from ldaptor.protocols.ldap.ldapserver import BaseLDAPServer
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from socksgw.interfaces import Settings
from socksgw.login.stores.ldap import LDAPChecker, ldapChecker

BASE = "dc=corp,dc=test"
#: One entry: its name, and its attributes.
Entry = tuple[str, dict[str, list[bytes | str]]]
#: What a search finds: entries, a result code, or nothing at all, ever.
Found = list[Entry] | int | None


def textOf(node: Any) -> str:
    """A filter as text; ldaptor's own way knows none that was read."""

    def text(value: Any) -> str:
        value = getattr(value, "value", value)
        return value.decode() if isinstance(value, bytes) else str(value)

    if isinstance(node, pureldap.LDAPFilterSet):
        sign = "&" if isinstance(node, pureldap.LDAPFilter_and) else "|"
        return f"({sign}{''.join(sorted(map(textOf, node)))})"
    if isinstance(node, pureldap.LDAPFilter_not):
        return f"(!{textOf(node.value)})"
    if isinstance(node, pureldap.LDAPFilter_extensibleMatch):
        return f"({text(node.type)}:{text(node.matchingRule)}:={text(node.matchValue)})"
    if isinstance(node, pureldap.LDAPFilter_substrings):
        return f"({text(node.type)}={text(node.substrings[0])}*)"
    if isinstance(node, pureldap.LDAPFilter_present):
        return f"({text(node)}=*)"
    return f"({text(node.attributeDesc)}={text(node.assertionValue)})"


class Directory:
    """
    Answers searches as C{search(base, text)} says, and binds by C{passwords}.

    @ivar passwords: of distinguished names; a number is a result code.
    @ivar asked: bases and filters of all searches, without those for the root
        entry.
    @ivar bound: names of all binds.
    @ivar messages: diagnostic messages of refused binds, by distinguished names.
    @ivar attributes: those that the present search asks for.
    @ivar silent: answers nothing at all.
    @ivar mute: answers no bind.
    """

    def __init__(self, search: Callable[[str, str], Found]) -> None:
        self.search = search
        self.passwords: dict[str, str | int] = {}
        self.asked: list[tuple[str, str]] = []
        self.bound: list[str] = []
        self.root: dict[str, list[bytes | str]] = {}
        self.messages: dict[str, str] = {}
        self.attributes = ""
        self.silent = False
        self.mute = False


class _Server(BaseLDAPServer):  # type: ignore[misc]  # ldaptor has no types
    directory: Directory

    def handle_LDAPBindRequest(self, request: Any, controls: Any, reply: Any) -> None:
        dn = request.dn.decode()
        self.directory.bound.append(dn)
        expected = self.directory.passwords.get(dn, "")
        code = expected if isinstance(expected, int) else 49
        if expected == request.auth.decode():
            code = 0
        if not self.directory.mute:
            said = self.directory.messages.get(dn, "") if code else ""
            reply(pureldap.LDAPBindResponse(resultCode=code, errorMessage=said))

    def handle_LDAPSearchRequest(self, request: Any, controls: Any, reply: Any) -> None:
        base, found = request.baseObject.decode(), None
        asked = (getattr(each, "value", each) for each in request.attributes)
        self.directory.attributes = " ".join(
            each.decode() if isinstance(each, bytes) else each for each in asked
        )
        if base or request.scope == pureldap.LDAP_SCOPE_wholeSubtree:
            text = textOf(request.filter)
            self.directory.asked.append((base, text))
            found = self.directory.search(base, text)
        else:
            found = [("", self.directory.root)]
        if found is None:
            return
        for dn, attributes in found if isinstance(found, list) else ():
            reply(
                pureldap.LDAPSearchResultEntry(
                    dn, [(k, v) for k, v in attributes.items()]
                )
            )
        code = found if isinstance(found, int) else 0
        reply(pureldap.LDAPSearchResultDone(resultCode=code))

    def handleUnknown(self, request: Any, controls: Any, reply: Any) -> None:
        """What is abandoned, say."""


class _Side(StringTransport):
    """One side's transport."""

    def abortConnection(self) -> None:
        self.disconnecting = True


class World:
    """
    A checker, its directories by port, and the time.

    @ivar connections: how many there were.
    """

    def __init__(
        self, *directories: Directory, first: int = 1001, **table: Any
    ) -> None:
        """@param first: the port of the first directory; the others' follow."""
        self.reactor: Any = MemoryReactorClock()
        self._directories = {first + i: each for i, each in enumerate(directories)}
        urls = [f"ldap://127.0.0.1:{port}" for port in self._directories]
        table = {"url": urls, "base": BASE, **table}
        self.checker: LDAPChecker = ldapChecker(
            Settings(table, name="ad"), self.reactor
        )
        self.connections = 0
        self._pairs: list[tuple[Any, _Side, Any, _Side]] = []

    def run(self) -> None:
        """Carry octets until there are none."""
        moved = True
        while moved:
            moved = False
            while self.reactor.tcpClients:
                self._connect(*self.reactor.tcpClients.pop(0)[:3])
                moved = True
            for pair in list(self._pairs):
                moved |= self._carry(*pair)

    def _connect(self, host: str, port: int, factory: Any) -> None:
        self.connections += 1
        client, server = factory.buildProtocol(None), _Server()
        server.directory = self._directories[port]
        ours, theirs = _Side(), _Side()
        self._pairs.append((client, ours, server, theirs))
        server.makeConnection(theirs)
        client.makeConnection(ours)

    def _carry(self, client: Any, ours: _Side, server: Any, theirs: _Side) -> bool:
        out = ours.value()
        ours.clear()
        if out and not server.directory.silent:
            server.dataReceived(out)
        back = theirs.value()
        theirs.clear()
        if back and not ours.disconnecting:
            client.dataReceived(back)
        if ours.disconnecting:
            self._pairs.remove((client, ours, server, theirs))
            client.connectionLost(Failure(ConnectionDone()))
            return True
        return bool(out or back)

    def drop(self) -> None:
        """The servers close all connections."""
        pairs, self._pairs = self._pairs, []
        for client, *_ in pairs:
            client.connectionLost(Failure(ConnectionDone()))

    def results(self, asking: Deferred[Any]) -> list[Any]:
        """What a question comes to: its result, or its exception."""
        results: list[Any] = []
        asking.addBoth(lambda r: results.append(getattr(r, "value", r)))
        self.run()
        return results

    def result(self, asking: Deferred[Any], seconds: float = 0) -> Any:
        """The same, which must be there after so many seconds."""
        results = self.results(asking)
        end = self.reactor.seconds() + seconds
        while not results and self.reactor.seconds() < end:
            self.reactor.advance(0.1)
            self.run()
        assert results, "it waits"
        return results[0]
