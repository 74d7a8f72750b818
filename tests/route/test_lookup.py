"""
Whom a host asks, in which order, and that its files are read again.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.errors import LookupFailed
from socksgw.interfaces import Timer
from socksgw.route import hostlookup, librarylookup
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.hostlookup import HostLookup
from socksgw.route.hostsfile import HostsFile
from socksgw.route.librarylookup import LibraryLookup, askLibrary
from socksgw.route.lookup import ServersLookup
from socksgw.route.nameserver import ServerSettings
from socksgw.route.resolvconf import HostChoice
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply


def never(seconds: float, call: Callable[[], None]) -> Timer:
    """Set no deadline: nothing is asked."""
    raise AssertionError


def info(*texts: str) -> list[tuple[Any, ...]]:
    """What getaddrinfo returns."""
    return [
        (
            socket.AF_INET6 if ":" in text else socket.AF_INET,
            socket.SOCK_STREAM,
            6,
            "",
            (text, 0),
        )
        for text in texts
    ]


def result(asked: Deferred[Any]) -> Any:
    """What came of it: texts, or the exception."""
    found: list[Any] = []
    asked.addCallbacks(
        lambda addresses: found.append([a.text for a in addresses]),
        lambda failure: found.append(failure.value),
    )
    (value,) = found
    return value


@pytest.mark.parametrize(
    ("limit", "places", "perSource"),
    [
        (524288, 1024, 256),
        (resource.RLIM_INFINITY, 1024, 256),
        (1024, 85, 21),
        (256, 21, 5),
        (16, 4, 1),
    ],
)
def test_fewDescriptorsAllowFewQuestions(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    limit: int,
    places: int,
    perSource: int,
) -> None:
    """
    A question that three servers do not answer has three sockets: all of them
    take no more than a quarter of the descriptors, those of one source no more
    than a sixteenth.
    """
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    watch: Any = None
    servers = tuple((f"192.0.2.{number}", 53) for number in range(3))
    lookup = ServersLookup(Clock(), watch, never, ServerSettings(servers), 5.0)
    assert (lookup.places, lookup.perSource) == (places, perSource)
    host = HostLookup(
        Clock(), watch, never, HostChoice(), 5.0, HostsFile(), tmp_path / "resolv.conf"
    )
    assert (host.places, host.perSource) == (places, perSource)


# The C library.


def test_theNameIsAskedForAsItStands() -> None:
    """With the root dot: never with a search domain."""
    asked: list[tuple[Any, ...]] = []

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        asked.append(arguments)
        return info("192.0.2.1", "2001:db8::1", "fe80::1%eth0")

    found = askLibrary("www.example", getaddrinfo=getaddrinfo)
    assert [name for name, *_ in asked] == ["www.example."]
    # An address with a zone id means nothing to anybody else.
    assert [a.text for a in found] == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no-such-host"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "lookup-failed"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "lookup-failed"),
        (UnicodeError("label too long"), "no-such-host"),
    ],
)
def test_whatTheLibrarySaysIsTold(error: Exception, reason: str) -> None:
    """No such host is told from a resolver that failed; both are 04."""

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise error

    with pytest.raises(LookupFailed) as caught:
        askLibrary("www.example", getaddrinfo=getaddrinfo)
    assert caught.value.reason == reason
    assert caught.value.reply == Reply.HOST_UNREACHABLE
    assert isinstance(caught.value, NoSuchName) == (reason == "no-such-host")


@pytest.mark.parametrize("code", [socket.EAI_NODATA, socket.EAI_ADDRFAMILY])
def test_aNameWithOtherAddressesHasNone(code: int) -> None:
    """It is there."""

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise socket.gaierror(code, "x")

    assert askLibrary("www.example", getaddrinfo=getaddrinfo) == []


class Inline:
    """Threads that are none."""

    def start(self) -> None: ...

    def abandon(self) -> None: ...

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], work: Callable[..., Any], *its: Any
    ) -> None:
        try:
            found = work(*its)
        except Exception as e:
            done(False, e)
        else:
            done(True, found)


class Reactor(Clock):
    """A clock whose threads are the test's own."""

    def callFromThread(self, call: Callable[..., Any], *its: Any) -> None:
        call(*its)


@pytest.fixture
def reactor(monkeypatch: pytest.MonkeyPatch) -> Reactor:
    monkeypatch.setattr(librarylookup, "DaemonPool", lambda *_: Inline())
    made = Reactor()
    made.advance(1000)
    return made


def test_eachVersionIsAskedForByItself(reactor: Reactor, tmp_path: Path) -> None:
    """A server that does not answer one of them keeps nothing from the other."""
    asked: list[int] = []

    def getaddrinfo(name: str, port: None, family: int, kind: int) -> Any:
        asked.append(family)
        return info("192.0.2.1" if family == socket.AF_INET else "2001:db8::1")

    library = LibraryLookup(reactor, HostsFile(tmp_path / "hosts"), getaddrinfo)
    assert result(library.addresses("www.example", 4)) == ["192.0.2.1"]
    assert result(library.addresses("www.example", 6)) == ["2001:db8::1"]
    assert asked == [socket.AF_INET, socket.AF_INET6]


def test_theHostsFileCounts(reactor: Reactor, tmp_path: Path) -> None:
    """As for every program of this host, and before DNS."""
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.5 printer printer.example\n2001:db8::5 printer\n")

    def getaddrinfo(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("asked")

    library = LibraryLookup(reactor, HostsFile(hosts), getaddrinfo)
    library.start()
    assert result(library.addresses("printer", 4)) == ["192.0.2.5"]
    assert result(library.addresses("printer", 6)) == ["2001:db8::5"]
    assert result(library.addresses("printer.example", 6)) == []


def test_noThread(
    reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no thread can be started a look-up fails, and nothing waits for one."""

    class Full(Inline):
        def callInThreadWithCallback(self, *_: Any) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(librarylookup, "DaemonPool", lambda *_: Full())
    library = LibraryLookup(reactor, HostsFile(tmp_path / "hosts"))
    failures: list[Any] = []
    library.addresses("www.example", 4).addErrback(failures.append)
    assert failures[0].check(LookupFailed)
    assert failures[0].value.reason == "lookup-failed"
    library.pointer(Address.parse("192.0.2.1")).addErrback(failures.append)
    assert failures[1].check(LookupFailed)
    done: list[int] = []
    library.inThread(lambda: 7, done.append)
    assert done == [7]


# The host's files and name servers.


class Asked:
    """Stands for the name servers."""

    made: list[ServerSettings]
    names = ("x",)

    def __init__(self, settings: ServerSettings) -> None:
        Asked.made.append(settings)
        self.asked: list[tuple[str | Address, int]] = []

    def addresses(self, name: str, version: int) -> Deferred[Any]:
        self.asked.append((name, version))
        answer: Deferred[Any] = Deferred()
        if name == "missing.example":
            answer.errback(NoSuchName())
        else:
            answer.callback([Address.parse("192.0.2.1" if version == 4 else "::2")])
        return answer

    def pointer(self, address: Address) -> Deferred[Any]:
        self.asked.append((address, 0))
        answer: Deferred[Any] = Deferred()
        answer.callback("www.example.")
        return answer

    def stop(self) -> None: ...


class Host:
    """A host with its files."""

    def __init__(self, reactor: Reactor, directory: Path) -> None:
        self.reactor = reactor
        self.hosts = directory / "hosts"
        self.resolvConf = directory / "resolv.conf"
        self.hosts.write_text("192.0.2.5 printer missing.example\n")
        self.resolvConf.write_text("nameserver 192.0.2.53\n")

    def lookup(self, *order: str, local: bool = False) -> HostLookup:
        choice = HostChoice(order or ("files", "dns"), local=local)
        made = HostLookup(
            self.reactor,
            None,  # type: ignore[arg-type]
            never,
            choice,
            5.0,
            HostsFile(self.hosts),
            self.resolvConf,
        )
        made.start()
        return made


@pytest.fixture
def host(reactor: Reactor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    Asked.made = []
    monkeypatch.setattr(
        hostlookup,
        "NameServers",
        lambda reactor, watch, setDeadline, settings, timeout, sockets: Asked(settings),
    )
    return Host(reactor, tmp_path)


def test_theFileComesFirst(host: Host) -> None:
    """A name that is in it is not asked for, of whatever version."""
    lookup = host.lookup()
    assert result(lookup.addresses("printer", 4)) == ["192.0.2.5"]
    assert result(lookup.addresses("printer", 6)) == []
    assert result(lookup.addresses("www.example", 6)) == ["::2"]
    assert lookup._servers.asked == [("www.example", 6)]  # type: ignore[attr-defined]


def test_otherOrders(host: Host) -> None:
    """As nsswitch.conf has them."""
    lookup = host.lookup("dns", "files")
    assert result(lookup.addresses("printer", 4)) == ["192.0.2.1"]
    assert result(lookup.addresses("missing.example", 4)) == ["192.0.2.5"]
    lookup = host.lookup("dns")
    assert isinstance(result(lookup.addresses("missing.example", 4)), NoSuchName)
    lookup = host.lookup("files")
    assert result(lookup.addresses("printer", 4)) == ["192.0.2.5"]
    with pytest.raises(NoSuchName):
        lookup.addresses("www.example", 4)


def test_namesOfAddressesComeFromTheFileToo(host: Host) -> None:
    """First."""
    lookup = host.lookup()
    for text, expected in (("192.0.2.5", "printer"), ("192.0.2.6", "www.example.")):
        names: list[str] = []
        lookup.pointer(Address.parse(text)).addCallback(names.append)
        assert names == [expected]


def test_theFilesAreReadAgainWhenTheyChange(host: Host) -> None:
    """Within a second, and the servers only where they are others."""
    lookup = host.lookup()
    host.resolvConf.write_text("# changed\nnameserver 192.0.2.53\n")
    host.reactor.advance(1.1)
    lookup.addresses("www.example", 4)
    assert len(Asked.made) == 1
    host.resolvConf.write_text("nameserver 192.0.2.54\noptions no-aaaa\n")
    host.hosts.write_text("192.0.2.7 printer\n")
    host.reactor.advance(1.1)
    assert result(lookup.addresses("printer", 4)) == ["192.0.2.7"]
    assert Asked.made[-1].servers == (("192.0.2.54", 53),)
    assert result(lookup.addresses("www.example", 6)) == []
    assert result(lookup.addresses("www.example", 4)) == ["192.0.2.1"]


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "_gateway", "this-host"])
def test_thisHostsOwnNameIsTheLibrarys(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where nss-myhostname(8) has to answer; everybody else's is not."""
    monkeypatch.setattr(socket, "gethostname", lambda: "This-Host")
    asked: list[str] = []

    def library(name: str, *rest: Any) -> Any:
        asked.append(name)
        return []

    monkeypatch.setattr(librarylookup, "askLibrary", library)
    lookup = host.lookup(local=True)
    assert result(lookup.addresses(name, 4)) == []
    assert result(lookup.addresses("www.example", 4)) == ["192.0.2.1"]
    assert asked == [name]
    assert result(host.lookup().addresses(name, 4)) == ["192.0.2.1"]
