"""
Stand for the parts of a gateway that a session meets.

Methods, logins, records and limits are the real ones; policy, journal's disk,
dialler and relay answer what the test says.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from socksgw.accept.admission import Census
from socksgw.accept.bridge import TwistedProtocol
from socksgw.accept.listener import Listener
from socksgw.config.schema import Limit, ListenUDP
from socksgw.errors import (
    Draining,
    SocksError,
)
from socksgw.limits.allowance import Allowances
from socksgw.limits.counters import ProcessCounters
from socksgw.limits.limits import Limits
from socksgw.login.portal import Login
from socksgw.metrics.meters import Meters
from socksgw.negotiate.capabilities import capabilitiesOf
from socksgw.negotiate.methods import Choice, Methods, OfferedMethod
from socksgw.negotiate.resumption import Resumptions
from socksgw.plugins import auth_none, auth_userpass
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Verdict
from socksgw.relay.memory import Memory
from socksgw.route.udpoptions import UDPOptions
from socksgw.session.express import Serving, begin
from socksgw.session.session import Session
from socksgw.system.coroutines import Running
from socksgw.system.domains import OWN
from socksgw.wire import socks4, socks5, userpass
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from socksgw.wire.http import Http
from tests.fakes.loops import Timers
from tests.tools.catalogue import catalogued

CANARY = b"canary-e47a"
TARGET = Address.parse("198.51.100.9")
BOUND = (Address.parse("192.0.2.1"), 40000)
NONE = OfferedMethod(
    "none",
    0,
    auth_none.method.build({}, None),
    capabilities=capabilitiesOf(auth_none.method),
)
USERPASS = OfferedMethod(
    "userpass",
    2,
    auth_userpass.method.build({}, None),
    capabilities=capabilitiesOf(auth_userpass.method),
)
LOGIN = userpass.encodeRequest(b"alice", CANARY)
WRONG = userpass.encodeRequest(b"alice", CANARY + b"x")
CONNECT = socks5.encodeRequest(1, "example.com", 443)
CONNECT4 = socks4.encodeRequest(1, TARGET, 443, b"fred")
CONNECT4A = socks4.encodeRequest(1, "example.com", 443)
#: alice's request in HTTP, in two parts of which the second has her login.
CONNECTING = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n"
BASIC = b"Proxy-Authorization: Basic " + b64encode(b"alice:" + CANARY) + b"\r\n"


def option6(kind: int, data: bytes) -> bytes:
    """An option of SOCKS 6 (draft-olteanu-intarea-socks-6-11 section 8)."""
    data += bytes(-len(data) % 4)
    return kind.to_bytes(2, "big") + (len(data) + 4).to_bytes(2, "big") + data


def request6(*options: bytes, command: int = 1) -> bytes:
    """A request for example.com in SOCKS 6 (section 4 there)."""
    head = bytes((6, command)) + len(b"".join(options)).to_bytes(2, "big")
    return head + b"\x01\xbb\x00\x03\x0bexample.com" + b"".join(options)


#: The ways of a client to ask for example.com or its address, to the end of
#: its request.
WAYS: dict[str, bytes] = {
    "socks5": b"\x05\x01\x00" + CONNECT,
    "socks5-userpass": b"\x05\x01\x02" + LOGIN + CONNECT,
    "socks4": CONNECT4,
    "socks4a": CONNECT4A,
    "socks6": request6(),
    "socks6-userpass": request6(option6(4, b"\x02" + LOGIN)),
    "http": CONNECTING + b"\r\n",
    "http-userpass": CONNECTING + BASIC + b"\r\n",
}
#: What each is sent before the answer to its request.
BEFORE = {
    "socks5": b"\x05\x00",
    "socks5-userpass": b"\x05\x02\x01\x00",
    "socks4": b"",
    "socks4a": b"",
    "socks6": b"\x06\x00\x00\x00",
    "socks6-userpass": b"\x06\x00\x00\x08\x00\x04\x00\x08\x02\x01\x00\x00",
    "http": b"",
    "http-userpass": b"",
}


def answer(
    way: str,
    reply: int,
    bound: tuple[Address, int] | None = None,
    reason: str = "policy",
) -> bytes:
    """
    Everything this client is sent, with this reply at the end.

    @param reason: of a refusal, which HTTP tells apart by more than the reply.
    """
    if way.startswith("http"):
        if reply == 0:
            return b"HTTP/1.1 200 Connection established\r\n\r\n"
        return Http().encodeRefusal(Reply(reply), reason, "")
    if way.startswith("socks6"):
        # Section 7, with a code for what came too late.
        code = 9 if reason.endswith("-timeout") else reply
        place = bytes(3) + b"\x01" + bytes(4)
        if bound is not None:
            kind = b"\x01" if bound[0].version == 4 else b"\x04"
            place = bound[1].to_bytes(2, "big") + b"\0" + kind + bound[0].packed
        return BEFORE[way] + bytes((6, code, 0, 0)) + place
    if way.startswith("socks5"):
        place = b"\x01" + bytes(6)
        if bound is not None:
            kind = b"\x01" if bound[0].version == 4 else b"\x04"
            place = kind + bound[0].packed + bound[1].to_bytes(2, "big")
        return BEFORE[way] + bytes((5, reply, 0)) + place
    place = bytes(6)
    if bound is not None and bound[0].version == 4:
        place = bound[1].to_bytes(2, "big") + bound[0].packed
    return bytes((0, 91 if reply else 90)) + place


@implementer(IHalfCloseableDescriptor)
class Transport(StringTransport):
    """
    A client's connection; what happens to it is written down, and closing it
    closes it.
    """

    def __init__(self, happened: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self._happened = happened
        self.protocol: Any = None
        self.ending = ""

    def write(self, data: bytes) -> None:
        super().write(data)
        self._happened.append(("sent", data))

    def loseWriteConnection(self) -> None:
        self._happened.append(("ended",))

    def readConnectionLost(self, reason: Failure) -> None: ...

    def writeConnectionLost(self, reason: Failure) -> None: ...

    def loseConnection(self) -> None:
        self._lose("closed", ConnectionDone())

    def abortConnection(self) -> None:
        self._lose("aborted", ConnectionAborted())

    def lost(self) -> None:
        """Let the client go away."""
        self._lose("lost", ConnectionDone())

    def _lose(self, how: str, why: Exception) -> None:
        if not self.ending:
            self.ending = how
            self.protocol.connectionLost(Failure(why))


@implementer(ICredentialsChecker)
class Checker:
    """Knows alice; may take its time."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.held: Deferred[Any] | None = None

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        if self.held is not None:
            return self.held
        if (credentials.username, credentials.password) == (b"alice", CANARY):
            return succeed(b"alice")
        return fail(UnauthorizedLogin())


class Gateway:
    """
    The parts of a gateway that a session meets.

    Each step that a test wants to hold up or to fail is in L{steps}: nothing
    for success, an exception, or a Deferred.

    @ivar happened: everything of importance, in its order.
    """

    def __init__(
        self,
        wanted: Sequence[OfferedMethod] = (USERPASS, NONE),
        limits: Sequence[Limit] = (),
        protocols: tuple[str, ...] = ("socks5", "socks4", "socks6", "http"),
    ) -> None:
        self.happened: list[tuple[Any, ...]] = []
        timers = Timers()
        self.reactor = timers.clock
        self.setDeadline = timers.setDeadline
        self.meters = Meters()
        self.resumptions = Resumptions(lambda: self.clock())
        self.clock = timers.clock.seconds
        self.checker = Checker()
        self.steps: dict[str, Any] = {}
        #: What each address may take, as the dialler is told.
        self.seconds: list[float | None] = []
        self.decision = Decision(Verdict(True, "all", "it may"), (TARGET,))
        self.outlet: Any = SimpleNamespace(
            plain=None,
            address=TARGET,
            bound=BOUND,
            path="",
            tls=None,
            surplus=bytes,
            loseConnection=lambda: None,
            abortConnection=lambda: None,
        )
        self.tally: dict[str, Any] = {
            "sent": 11,
            "received": 22,
            "reason": "closed",
            "reset": False,
        }
        ways = SimpleNamespace(
            begin=self._begin, connect=self._open, reached=lambda *_: None
        )
        ways.dressed = lambda *_: ways
        self.generation: Any = SimpleNamespace(
            methods=Methods([Choice(wanted, None, None)]),
            login=Login([self.checker], {"staff": ["alice"]}, 60, self.clock),
            policy=SimpleNamespace(
                atOnce=self._atOnce, begin=self._look, decide=self._decide
            ),
            ways=ways,
            waysOf=lambda listener, leaving=None: ways,
            handsOn=False,
            mark="0123456789ab",
            domainOf=lambda listener: OWN,
            # Clients are no plain sockets here.
            relays=SimpleNamespace(
                between=self._between, join=self._join, joined=self._joined
            ),
            inspection=SimpleNamespace(always=False),
            udpOf=lambda name: UDPOptions(ListenUDP()),
            stackOf=lambda name: (),
        )
        self.changes = 0
        self.expiring: dict[Session, None] = {}
        self.stranger: bool | None = None
        self.limits = Limits(
            ProcessCounters(self.clock), Allowances(self.reactor, self.clock)
        )
        self.limits.apply(limits, ())
        self.journal: Any = SimpleNamespace(
            commit=self._commit,
            commitFor=self._commitFor,
            append=self._append,
            refusal=lambda refusal, line: self._commit(line(), not refusal.loggedIn),
        )
        self.census = Census(10_000)
        self.memory = Memory(256_000_000)
        self.listener = Listener(self, "lan")
        self.listener.configure(protocols, 100, 100, 10.0)
        self.sessions: list[Session] = []
        self.over: list[Session] = []
        self.unhandled: list[Failure] = []

    # What a listener needs.

    def serve(self, client: Any) -> Serving:
        session = Session(self, client, len(self.sessions) + 1)
        self.sessions.append(session)
        serving = begin(session)
        if isinstance(serving, Running):
            serving.addErrback(self.unhandled.append)
        return serving

    def exhausted(self) -> None: ...

    def lost(self, name: str) -> None: ...

    def settled(self) -> None:
        pass

    # What a session needs.

    def recheck(self, session: Session) -> None:
        """Find nothing against it."""

    def left(self, session: Session) -> None:
        assert session not in self.over
        self.over.append(session)
        if session.claim is not None:
            self.limits.give(session.claim)

    async def _step(self, name: str) -> None:
        step = self.steps.get(name)
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            await step

    async def _decide(
        self,
        asker: Any,
        command: str,
        host: Any,
        port: int,
        arrive: Any,
        found: Any = None,
    ) -> Decision:
        question = command, host, port
        who = (asker.user.name, asker.source, asker.listener)
        self.happened.append(("decide", *who, *question))
        await self._step("policy")
        return self.decision

    def _atOnce(
        self, asker: Any, command: str, host: Any, port: int, arrive: Any
    ) -> tuple[Address, Verdict] | None:
        decision = self.decision
        if "policy" in self.steps or len(decision.verdicts) > 1 or decision.struck:
            return None
        if not decision.allowed:
            return None
        who = (asker.user.name, asker.source, asker.listener)
        self.happened.append(("decide", *who, command, host, port))
        (verdict,) = decision.verdicts.values()
        return host if isinstance(host, Address) else decision.addresses[0], verdict

    def _look(
        self,
        asker: Any,
        command: str,
        host: Any,
        port: int,
        arrive: Any,
        done: Callable[[Decision], None],
    ) -> Any:
        if isinstance(self.steps.get("policy"), BaseException):
            return None
        looking = Running(self._decide(asker, command, host, port, arrive))
        if looking.called:
            return self.decision
        looking.addCallbacks(done, lambda failure: failure.trap(CancelledError))
        return looking

    def _begin(
        self,
        address: Address,
        port: int,
        seconds: float | None,
        connected: Callable[[Any], None],
        failed: Callable[[Any], None],
    ) -> Deferred[None]:
        self.happened.append(("dial", (address,), port))
        self.seconds.append(seconds)
        dialling = Running(self._step("route"))
        dialling.addCallbacks(
            lambda _: connected(self.outlet),
            lambda failure: failure.check(CancelledError) or failed(failure.value),
        )
        return dialling

    async def _open(
        self,
        addresses: tuple[Address, ...],
        port: int,
        admit: Callable[..., Any],
        traveller: Any,
    ) -> Any:
        self.happened.append(("dial", addresses, port))
        for address in addresses:
            self.seconds.append(admit(address))
        await self._step("route")
        return self.outlet

    async def _between(
        self,
        client: Any,
        destination: Any,
        early: bytes,
        tally: Any,
        idle: Any,
        *allowances: Any,
    ) -> None:
        assert destination is self.outlet
        self.happened.append(("relay", early))
        try:
            await self._step("relay")
        finally:
            for name, value in self.tally.items():
                setattr(tally, name, value)

    def _join(
        self,
        client: Any,
        destination: Any,
        tally: Any,
        done: Any,
        idle: Any,
        *allowances: Any,
    ) -> Any:
        relays: list[Running[None]] = []

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                done.fail(failure.value)

        def start(early: bytes) -> None:
            between = self._between(
                client, destination, early, tally, idle, *allowances
            )
            relays.append(Running(between))
            relays[0].addCallbacks(
                lambda _: done.callback((tally.reason, tally.reset, False)), failed
            )

        tally.relay = SimpleNamespace(
            start=start,
            cancel=lambda: relays[0].cancel(),
            limit=lambda *_: None,
        )
        return tally.relay

    def _joined(self, client: Any, destination: Any, tally: Any, reset: bool) -> None:
        tally.relay = None

    async def _commit(self, line: str, stranger: bool = False) -> None:
        await self._step("audit")
        self.stranger = stranger
        self._append(line, "commit")

    def _commitFor(self, line: str, waiting: Any, stranger: bool = False) -> None:
        def done(result: Any) -> None:
            if waiting.called:
                return
            if isinstance(result, Failure):
                waiting.errback(result.value)
            else:
                waiting.callback(None)

        Running(self._commit(line, stranger)).addBoth(done)

    def _append(self, line: str, how: str = "append") -> None:
        assert line.isascii()
        found = json.loads("{" + line + "}")
        catalogued(found)
        self.happened.append((how, found))

    # For the test.

    def connect(self, octets: bytes = b"") -> Transport:
        """Connect a client that sends these octets."""
        client = self.listener.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        assert client is not None
        transport = Transport(self.happened)
        # Without a descriptor there is nothing to watch.
        watch: Any = None
        transport.protocol = TwistedProtocol(client, watch)
        transport.protocol.makeConnection(transport)
        if octets:
            transport.protocol.dataReceived(octets)
        return transport

    @property
    def order(self) -> list[str]:
        """What happened, in a word each."""
        return [happening[0] for happening in self.happened]

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of the journal; of one event, if it is given."""
        return [
            happening[1]
            for happening in self.happened
            if happening[0] in ("commit", "append")
            and event in (None, happening[1]["event"])
        ]


def well(gateway: Gateway) -> None:
    """
    Every session left once, nothing was raised out of one, no limit is still
    taken, and the password is in no record.
    """
    for session in gateway.sessions:
        if session not in gateway.over:
            session.client.end(Draining("the test is over"))
    assert set(gateway.over) == set(gateway.sessions)
    assert not gateway.unhandled
    assert gateway.limits.live == 0
    assert CANARY.decode() not in json.dumps(gateway.lines())


def denied(error: SocksError | None = None) -> Decision:
    return Decision(Verdict(False, "no", "it may not"), error=error)
