"""
Whole requests of SOCKS 6, by many clients at once: what the draft lets be of each.

Messages are made and read here by the text of draft-olteanu-intarea-socks-6-11 alone.
Sessions, logins, limits and the memory of sessions are the gateway's; policy, journal's
disk, dialler and relay are the test's.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred

from socksgw.config.schema import Limit
from socksgw.errors import AuditFailed
from socksgw.route.failures import failureFor
from socksgw.wire.address import Address
from tests.fakes.gateway import (
    BOUND,
    LOGIN,
    NONE,
    USERPASS,
    WRONG,
    Gateway,
    denied,
    option6,
    well,
)

#: What comes of a session is the same by both lanes.
pytestmark = pytest.mark.usefixtures("lane")

MODULUS: Final = 1 << 32
#: Sessions that are relayed at a time, of one source.
MOST: Final = 3
#: Tokens of a window that one client gets; of those that it asks for.
WINDOW: Final = 1024
#: Seconds for a handshake, and those that a session is not used.
HANDSHAKE: Final = 10
IDLE: Final = 3600
#: Octets that come at once.
COUNTS: Final = st.sampled_from([1 << 16, 1 << 16]) | st.integers(0, 90)
#: The reply to a request that is none.
BROKEN_REPLY: Final = b"\x06\x01\0\0"
#: "Connection not allowed by ruleset" and others (section 7).
DENIED, REFUSED, UNKNOWN_COMMAND, FAILED = 2, 5, 7, 1
CONNECT, NOOP, UNKNOWN = 1, 0, 9
#: Address type and address, or a name in both forms of its length (sections 4; -12).
PLACES: Final[dict[bytes, Address | str]] = {
    bytes.fromhex("01 c0000207"): Address.parse("192.0.2.7"),
    bytes.fromhex("04 20010db8000000000000000000000001"): Address.parse("2001:db8::1"),
    b"\x03\x0bexample.com": "example.com",
    b"\x03\x01a\0\0": "a",
    b"\x03\x03a\0\0": "a",
}
#: Options that break the draft, or a bound of ours.
BROKEN: Final[dict[str, bytes]] = {
    "length 0": bytes.fromhex("fc00 0000"),
    "length 3": bytes.fromhex("0005 0003"),
    "no multiple of four": bytes.fromhex("0005 0006 0000 0000"),
    "beyond the end": bytes.fromhex("0005 0008"),
    "wraps around": bytes.fromhex("fc00 fffc"),
    "a session asked for twice": bytes.fromhex("0005 0004") * 2,
    "within another session": bytes.fromhex("0005 0004 0006 0008 61626364"),
    "a session without ID": bytes.fromhex("0006 0004"),
    "a session with a long ID": option6(6, b"i" * 260),
    "two sessions": option6(6, b"i" * 16) * 2,
    "a teardown with data": bytes.fromhex("000a 0008 00000000"),
    "a token of no octets": bytes.fromhex("000d 0004"),
    "a token of eight": bytes.fromhex("000d 000c 0000000000000000"),
    "two tokens": option6(13, bytes(4)) * 2,
    "half a size of a window": bytes.fromhex("000b 0004"),
    "two windows": option6(11, b"\0\0\0\1") * 2,
    "no methods": bytes.fromhex("0002 0004"),
    "methods twice": option6(2, b"\0\0\2\0") * 2,
    "too much initial data": bytes.fromhex("0002 0008 4001 02 00"),
    "no method of the data": bytes.fromhex("0004 0004"),
    "data of one method twice": option6(4, b"\2" + LOGIN) * 2,
    "a stack without level": bytes.fromhex("0001 0004"),
    "stacks that contradict": bytes.fromhex("0001 0008 81 01 b8 00 0001 0008 c1 01 00 00"),
    "129 options": bytes.fromhex("fc00 0004") * 129,
    "20 KB and four octets": bytes.fromhex("fc00 5004") + bytes(0x5000),
}  # fmt: skip


class Held:
    """What each of those who wait for it gets when the test says so."""

    def __init__(self) -> None:
        self.last: Deferred[None] | None = None

    def __await__(self) -> Generator[Deferred[None], None, None]:
        self.last = Deferred()
        return self.last.__await__()


class Reply(NamedTuple):
    """An authentication reply that is to come: its type and options, without order."""

    type: int
    options: dict[int, bytes]


class Session:
    """
    A session of the client, as the draft lets it be.

    @ivar window: the base and size that were told last; L{None} for none.
    """

    def __init__(self, key: bytes, now: float) -> None:
        self.key = key
        self.used = now
        self.ended = False
        self.window: tuple[int, int] | None = None
        self.spent: set[int] = set()

    def alive(self, now: float) -> bool:
        """Whether a request can be of it."""
        return not self.ended and now < self.used + IDLE

    def takes(self, token: int) -> bool:
        """Whether a token can be spent, which it is then."""
        if self.window is None:
            return False
        base, size = self.window
        if (token - base) % MODULUS >= size or token in self.spent:
            return False
        self.spent.add(token)
        return True

    def told(self, option: bytes) -> None:
        """Check the window that a reply tells (section 8.5.3)."""
        base, size = (int.from_bytes(x, "big") for x in (option[:4], option[4:]))
        if self.window is None:
            assert 1 <= size <= WINDOW
        else:
            before, same = self.window
            moved = (base - before) % MODULUS
            assert size == same
            assert moved <= size, "the window moves up, and not beyond itself"
            every = [(before + place) % MODULUS for place in range(size)]
            unspent = [n for n, token in enumerate(every) if token not in self.spent]
            assert moved <= max(unspent, default=size), (
                "the highest unspent one is lost"
            )
        assert base not in self.spent, "the lowest of the window is spent"
        self.window = base, size


class Client:
    """
    A client and its request.

    @ivar all: what it is made of.
    @ivar sent: the octets that it has sent, of what it says.
    @ivar expected: what it is to be sent, in order: octets, and replies whose options
        have no order.
    @ivar state: C{asking}, C{proving} (by messages), C{judged} (the policy is asked),
        C{relayed}, or C{over}.
    """

    def __init__(self, gateway: Gateway, number: int, **said: Any) -> None:
        self.number = number
        self.all = said
        self.transport = gateway.connect()
        self.born = gateway.clock()
        self.expected: list[bytes | Reply] = []
        self.state = "asking"
        self.waits: Deferred[None] | None = None
        self.sent = 0
        self.command: int = said["command"]
        self.place: bytes = said["place"]
        self.login: str = said["login"]
        self.session: Session | bytes | None = said["session"]
        self.begins: bool = said["begins"]
        self.ends: bool = said["ends"]
        self.size: int | None = said["size"]
        self.token: int | None = said["token"]
        self.broken: str | None = said["broken"]
        # With other commands its length says nothing (section 8.2).
        early = b"e" * (said["early"] if self.command == CONNECT else 0)
        advertises = {
            "messages": 2, "wrong messages": 2, "option and messages": 2, "another": 9,
        }.get(self.login)  # fmt: skip
        options = option6(0xFC00, b"ignored")
        self.initial = 0
        if advertises is not None:
            self.initial = len(early)
            length = said["early"].to_bytes(2, "big")
            options += option6(2, length + bytes((advertises,)))
        if "option" in self.login:
            login = WRONG if self.login == "wrong option" else LOGIN
            options += option6(4, b"\2" + login)
        if self.session is not None:
            key = self.session if isinstance(self.session, bytes) else self.session.key
            options += option6(6, key)
            if self.ends:
                options += option6(10, b"")
        elif self.begins:
            options += option6(5, b"")
        if self.size is not None:
            options += option6(11, self.size.to_bytes(4, "big"))
        if self.token is not None:
            options += option6(13, self.token.to_bytes(4, "big"))
        if self.broken is not None:
            options = BROKEN[self.broken]
        if self.command == NOOP:
            self.place, port = b"\1" + bytes(4), 0
        else:
            port = 443
        head = bytes((6, self.command)) + len(options).to_bytes(2, "big")
        request = head + port.to_bytes(2, "big") + b"\0" + self.place + options
        self.whole = len(request)
        message = {"messages": LOGIN, "wrong messages": WRONG}.get(self.login, b"")
        self.proved = self.whole + len(early) + len(message)
        self.message = len(message)
        self.said: bytes = request + early + message + said["late"]

    @property
    def relayable(self) -> bytes:
        """What it has sent for the destination, but for the login's messages."""
        behind: bytes = self.said[self.whole : self.sent]
        if self.message and self.byMessages:
            return behind[: self.initial] + behind[self.initial + self.message :]
        return behind

    #: Whether its login took messages.
    byMessages = False

    def heard(self) -> list[bytes | Reply]:
        """Read what it was sent, as far as that is to come, and nothing more."""
        octets: bytes = self.transport.value()
        found: list[bytes | Reply] = []
        for each in self.expected:
            if isinstance(each, bytes):
                found.append(octets[: len(each)])
                octets = octets[len(each) :]
                continue
            assert octets[:1] == b"\6"
            end = 4 + int.from_bytes(octets[2:4], "big")
            assert len(octets) >= end
            found.append(Reply(octets[1], optionsOf(octets[4:end])))
            octets = octets[end:]
        assert octets == b"", "more than the replies to one request"
        return found


def optionsOf(octets: bytes) -> dict[int, bytes]:
    """Read options, of which there is one of each kind (section 8)."""
    found = {}
    while octets:
        kind, length = (int.from_bytes(x, "big") for x in (octets[:2], octets[2:4]))
        assert 4 <= length <= len(octets)
        assert length % 4 == 0
        assert kind not in found
        found[kind], octets = octets[4:length], octets[length:]
    return found


def answered(code: int, bound: tuple[Address, int] | None = None) -> bytes:
    """An operation reply (section 7)."""
    place = bytes(3) + b"\x01" + bytes(4)
    if bound is not None:
        place = bound[1].to_bytes(2, "big") + b"\0\x01" + bound[0].packed
    return bytes((6, code, 0, 0)) + place


class Requests(RuleBasedStateMachine):
    """Clients that say anything the draft has, in any turns and pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Client] = []
        self.sessions: list[Session] = []
        self.dials = 0
        self.relays: list[tuple[str, bytes]] = []
        #: Whose request was dealt with while the journal could be written.
        self.recorded: list[Client] = []
        self.policy = Held()
        self.relay = Held()

    @initialize(open_=st.booleans())
    def begins(self, open_: bool) -> None:
        """A gateway where a login is wanted, or where there need be none."""
        self.open = open_
        wanted = [USERPASS, NONE] if open_ else [USERPASS]
        self.gateway = Gateway(wanted, [Limit(per="source", sessions=MOST)])
        self.gateway.steps["relay"] = self.relay
        self.allowed = self.gateway.decision

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self.gateway.clock()

    @property
    def talking(self) -> list[Client]:
        """Clients that have more to say, and somebody who listens."""
        states = "asking", "proving", "judged"
        return [
            x for x in self.clients if x.state in states and x.sent < len(x.said)
        ]  # fmt: skip

    @rule(
        data=st.data(),
        command=st.sampled_from([CONNECT, CONNECT, CONNECT, NOOP, UNKNOWN]),
        place=st.sampled_from(sorted(PLACES)),
        login=st.sampled_from(
            ["option", "messages", "option and messages", "none", "wrong option",
             "wrong messages", "another"]
        ),
        begins=st.booleans(),
        ends=st.sampled_from([False, False, True]),
        size=st.sampled_from([4, None, 0, 1, 7, 2000, (1 << 32) - 1]),
        early=st.sampled_from([0, 5, 0x4000]),
        late=st.sampled_from([b"", b"late"]),
        broken=st.sampled_from([None] * 60 + sorted(BROKEN)),
        count=COUNTS,
    )  # fmt: skip
    def connects(self, data: st.DataObject, count: int, **said: Any) -> None:
        """Another one, with the beginning of its request, or all of it."""
        sessions = st.sampled_from(self.sessions) if self.sessions else st.nothing()
        session = data.draw(st.none() | st.none() | st.just(b"x" * 16) | sessions)
        window = session.window if isinstance(session, Session) else None
        base, size = window or (0, 4)
        token = data.draw(
            st.none()
            | st.none()
            | st.integers(-2, size + 1).map(lambda place: (base + place) % MODULUS)
        )
        self._connect(count, session=session, token=token, **said)

    @precondition(lambda self: any(x.window for x in self.sessions))
    @rule(data=st.data(), command=st.sampled_from([CONNECT, NOOP, UNKNOWN]))
    def spends(self, data: st.DataObject, command: int) -> None:
        """A request that spends a token, all at once."""
        session = data.draw(st.sampled_from([x for x in self.sessions if x.window]))
        assert session.window is not None
        base, size = session.window
        self._connect(
            1 << 16,
            session=session,
            token=(base + data.draw(st.integers(0, size - 1))) % MODULUS,
            command=command,
            place=b"\x03\x0bexample.com",
            login="none",
            begins=False,
            ends=False,
            size=None,
            early=0,
            late=b"late",
            broken=None,
        )

    @precondition(lambda self: any(x.token is not None for x in self.clients))
    @rule(data=st.data())
    def replays(self, data: st.DataObject) -> None:
        """Somebody says once more what spends a token (section 13.2)."""
        before = [x for x in self.clients if x.token is not None]
        self._connect(1 << 16, **data.draw(st.sampled_from(before)).all)

    def _connect(self, count: int, **said: Any) -> None:
        client = Client(self.gateway, len(self.clients), **said)
        self.clients.append(client)
        self._say(client, count)

    @precondition(lambda self: self.talking)
    @rule(data=st.data(), count=COUNTS)
    def hears(self, data: st.DataObject, count: int) -> None:
        """Some more octets of one client."""
        self._say(data.draw(st.sampled_from(self.talking)), count)

    def _say(self, client: Client, count: int) -> None:
        octets = client.said[client.sent : client.sent + count]
        client.sent += len(octets)
        if octets:
            client.transport.protocol.dataReceived(octets)
        if client.broken is not None:
            # It may be seen before the end.
            if client.sent >= client.whole or client.transport.value():
                self._over(client, BROKEN_REPLY)
        else:
            if client.state == "asking" and client.sent >= client.whole:
                self._asked(client)
            if client.state == "proving" and client.sent >= client.proved:
                right = client.login == "messages"
                client.expected.append(b"\1\0" if right else b"\1\1")
                self._proved(client, right, {})
        self._same()

    def _asked(self, client: Client) -> None:
        """The request is whole (sections 4, 8.2 to 8.5)."""
        session = client.session
        if isinstance(session, Session) and client.ends:
            session.ended = True
        if session is not None and not client.ends:
            self._resumed(client)
        elif "option" in client.login:
            wrong = client.login == "wrong option"
            self._proved(client, not wrong, {4: b"\2\1\1\0" if wrong else b"\2\1\0\0"})
        elif self.open:
            self._proved(client, True, {})
        elif "messages" in client.login:
            client.expected.append(Reply(1, {3: b"\2\0\0\0"}))
            client.byMessages = True
            client.state = "proving"
        else:
            nothing = {3: b"\xff\0\0\0"} if client.login == "another" else {}
            self._over(client, Reply(1, nothing))

    def _resumed(self, client: Client) -> None:
        """A request of a session: no login is looked at (section 8.4.2)."""
        session = client.session
        if not isinstance(session, Session) or not session.alive(self.now):
            if isinstance(session, Session):
                session.ended = True
            self._over(client, Reply(1, {9: b""}))
            return
        session.used = self.now
        told = {8: b""}
        if client.token is not None:
            if not session.takes(client.token):
                self._over(client, Reply(1, {15: b""}))
                return
            told[14] = b""
        self._letIn(client, told, session)

    def _proved(self, client: Client, right: bool, told: dict[int, bytes]) -> None:
        """The login is over; a session may begin with it (section 8.4.1)."""
        if not right:
            self._over(client, Reply(1, told))
            return
        begins = client.begins and client.session is None
        if not begins:
            self._letIn(client, told, None)
        elif client.token is not None:
            # There is no window yet from which it could be.
            self._over(client, Reply(1, {**told, 15: b""}))
        else:
            # The ID is whatever nobody can guess.
            reply = optionsOfReply(client)
            key = reply[6]
            assert len(key) == 16
            assert key not in {each.key for each in self.sessions}
            session = Session(key, self.now)
            self.sessions.append(session)
            self._letIn(client, {**told, 6: key}, session)

    def _letIn(
        self, client: Client, told: dict[int, bytes], session: Session | None
    ) -> None:
        """The second half: what is asked for."""
        if session is not None and (session.window is not None or client.size):
            window = optionsOfReply(client)[12]
            if session.window is None:
                assert client.size
                assert int.from_bytes(window[4:], "big") <= client.size
            session.told(window)
            told = {**told, 12: window}
        client.expected.append(Reply(0, told))
        if client.command == UNKNOWN:
            self._over(client, answered(UNKNOWN_COMMAND))
        elif client.command == NOOP:
            failed = self._unwritten or self._full
            self._over(client, answered(FAILED if failed else 0))
        else:
            decisions = [x for x in self.gateway.happened if x[0] == "decide"]
            assert decisions[-1][5:] == (PLACES[client.place], 443)
            if "policy" in self.gateway.steps:
                client.state, client.waits = "judged", self.policy.last
            else:
                self._judged(client)

    @property
    def _unwritten(self) -> bool:
        return "audit" in self.gateway.steps

    @property
    def _full(self) -> bool:
        """Whether no more sessions can be, which a limit says."""
        return sum(each.state == "relayed" for each in self.clients) >= MOST

    def _judged(self, client: Client) -> None:
        """The policy has been asked; what it allows may fail still."""
        if self._unwritten:
            code = FAILED
        elif self.gateway.decision is not self.allowed:
            code = DENIED
        elif self._full:
            code = FAILED
        else:
            self.dials += 1
            code = REFUSED if "route" in self.gateway.steps else 0
        if code:
            self._over(client, answered(code))
            return
        client.expected.append(answered(0, BOUND))
        self.relays.append(("relay", client.relayable))
        self._record(client)
        client.state, client.waits = "relayed", self.relay.last

    def _over(self, client: Client, last: bytes | Reply | None) -> None:
        """There is nothing to come but this."""
        if last is not None:
            client.expected.append(last)
            self._record(client)
        client.state, client.waits = "over", None

    def _record(self, client: Client) -> None:
        if not self._unwritten:
            self.recorded.append(client)

    @precondition(lambda self: any(x.waits for x in self.clients))
    @rule(data=st.data())
    def goesOn(self, data: st.DataObject) -> None:
        """The policy's answer comes, or a relay ends."""
        waiting = [each for each in self.clients if each.waits is not None]
        client = data.draw(st.sampled_from(waiting))
        assert client.waits is not None
        client.waits.callback(None)
        if client.state == "judged":
            self._judged(client)
        else:
            self._over(client, None)
        self._same()

    @precondition(lambda self: any(x.state != "over" for x in self.clients))
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        """A client goes away, wherever its request is."""
        there = [each for each in self.clients if each.state != "over"]
        client = data.draw(st.sampled_from(there))
        client.transport.lost()
        self._over(client, None)
        self._same()

    @rule(what=st.sampled_from(["policy", "denies", "route", "audit"]))
    def turns(self, what: str) -> None:
        """The policy takes its time or denies, the way out or the disk fails; or not."""
        gateway = self.gateway
        if what == "denies":
            other = denied() if gateway.decision is self.allowed else self.allowed
            gateway.decision = other
        elif gateway.steps.pop(what, None) is None:
            gateway.steps[what] = {
                "policy": self.policy,
                "route": failureFor(errno.ECONNREFUSED),
                "audit": AuditFailed("disk full"),
            }[what]

    @rule(seconds=st.sampled_from([4, 7, 4, 7, IDLE + 1]))
    def waits(self, seconds: int) -> None:
        """Time goes by."""
        self.gateway.reactor.advance(seconds)
        for client in self.clients:
            late = self.now >= client.born + HANDSHAKE
            if client.state in ("asking", "proving") and late:
                self._over(client, None)
        self._same()

    def _same(self) -> None:
        """Each was sent what the draft says, once; nothing else was done for any."""
        for client in self.clients:
            assert client.heard() == client.expected, client.number
        assert self.gateway.order.count("dial") == self.dials
        relays = [each for each in self.gateway.happened if each[0] == "relay"]
        assert relays == self.relays

    def teardown(self) -> None:
        """One line for one request; no session more than was told of."""
        if not self.clients:
            return
        lines = [
            line["session"]
            for line in self.gateway.lines()
            if line["event"] in ("decision", "refused", "login-failed")
        ]
        assert len(lines) == len(set(lines))
        clients = [each.client for each in self.gateway.sessions]
        for client in self.recorded:
            place = clients.index(client.transport.protocol.client)
            assert place + 1 in lines
        assert len(self.gateway.resumptions) <= len(self.sessions)
        well(self.gateway)


def optionsOfReply(client: Client) -> dict[int, bytes]:
    """The options of the authentication reply that is next for a client."""
    octets: bytes = client.transport.value()
    for each in client.expected:
        octets = octets[len(each) if isinstance(each, bytes) else 12 :]
    return optionsOf(octets[4 : 4 + int.from_bytes(octets[2:4], "big")])


def test_anyRequests() -> None:
    """
    A token is spent once, windows stay in their bounds, nothing is relayed for who has
    not logged in, and there is one answer to each request.
    """
    run_state_machine_as_test(
        Requests,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            # To shrink what fails takes minutes. It is kept in .hypothesis: a run with
            # Phase.shrink begins with it.
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
