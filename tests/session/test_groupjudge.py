"""
What judges the groups of a client, where the journal or the rules change meanwhile, and
where the kernel watches no more sockets.
"""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from socksgw.audit.record import SessionRecord
from socksgw.config.schema import Limit, ListenMulticast, Rate, Rule
from socksgw.errors import AuditFailed
from socksgw.interfaces import Asker
from socksgw.limits.allowance import Allowances
from socksgw.limits.counters import ProcessCounters
from socksgw.limits.limits import Limits
from socksgw.policy.decision import Policy
from socksgw.relay.groups import Unpermitted, Wanted, serveGroups
from socksgw.relay.groupsocket import Relayed
from socksgw.relay.membership import GroupSettings
from socksgw.relay.tally import Tally
from socksgw.session.multicast import Multicast
from socksgw.wire.address import Address
from socksgw.wire.levels import CLEAR, CONFIDENTIALITY
from socksgw.wire.multicast import Outcome
from tests.fakes.connections import Client, Floor, Recorder
from tests.fakes.policy import ruleset
from tests.fakes.resolver import Names
from tests.live.groups import BIND, INSIDE, MULTICAST, RECEIVE, RELEASE
from tests.live.groups import asked as message
from tests.tools.sockets import descriptors, udp

RULES = """
[[rule]]
id = "first"
allow = ["multicast"]
to = ["239.1.0.0/16"]
"""
#: The same group, by another rule.
LATER = RULES.replace("first", "second")
CLIENT = Address.parse("192.0.2.1")


class Gateway:
    """
    What a judge asks of a gateway, with limits that count, and one group allowed.

    @ivar lines: of the journal.
    @ivar written: what the next line that a client waits for comes to.
    """

    def __init__(self) -> None:
        clock = Clock()
        self.clock = clock.seconds
        self.limits = Limits(
            ProcessCounters(clock.seconds), Allowances(clock, clock.seconds)
        )
        self.changes = 0
        self.lines: list[Any] = []
        self.written: Callable[[], Deferred[None]] = lambda: succeed(None)
        self.journal = SimpleNamespace(
            append=self._append,
            commit=self._commit,
            refusal=lambda _refusal, line: self._commit(line()),
        )
        self.take(RULES)

    def take(self, rules: str) -> None:
        """Have these rules from now on."""
        self.changes += 1
        self.generation = SimpleNamespace(
            policy=Policy(ruleset(rules), Names()),
            mark="0123456789ab",
            groupsOf=lambda _listener: ListenMulticast("lo"),
        )

    def _append(self, line: str) -> None:
        self.lines.append(json.loads("{" + line + "}"))

    def _commit(self, line: str, stranger: bool = False) -> Deferred[None]:
        self._append(line)
        return self.written()


def entering(gateway: Gateway, datagrams: bool = True) -> Any:
    """
    Return the facts of a client that enters the mode.

    @param datagrams: whether these can go beside its connection.
    """
    user = SimpleNamespace(
        name="alice", method="none", groups=frozenset(), anonymous=False, doubt=""
    )
    case: Any = SimpleNamespace(
        gateway=gateway,
        generation=gateway.generation,
        client=SimpleNamespace(program=None, datagrams=datagrams),
        flows=None,
        # As of a client that comes by TLS.
        asker=Asker(user, CLIENT, "lan", CONFIDENTIALITY),
        askerBeside=Asker(user, CLIENT, "lan"),
        remain=lambda generation: None,
        record=SessionRecord(1, "lan", CLIENT, 40000, 0.0),
    )
    return case


def judging(gateway: Gateway) -> Any:
    """Return the judge of a client that has entered the mode."""
    case, request = entering(gateway), cast(Any, None)
    Deferred.fromCoroutine(Multicast().route(case, request))
    return case.flows


def asked(judge: Any, group: str, inside: bool = False) -> list[Any]:
    """Ask for a group, and return where what comes of it will stand."""
    found: list[Any] = []
    wanted = Wanted(Address.parse(group), 5004, True, None, (), inside)
    Deferred.fromCoroutine(judge.permit(wanted, None)).addBoth(found.append)
    return found


@pytest.mark.parametrize("group", ["239.1.0.1", "239.9.0.1"])
def test_noLineCanBeWritten(group: str) -> None:
    """The group is refused, whether it is allowed or not, and nothing else happens."""
    gateway = Gateway()
    gateway.written = lambda: fail(AuditFailed("the disk is full"))
    (failure,) = asked(judging(gateway), group)
    assert failure.check(Unpermitted), failure
    assert failure.value.outcome == Outcome.FAILED


def test_otherRulesMeanwhile() -> None:
    """A group counts by the rule that allows it when it begins."""
    gateway = Gateway()
    own = [
        Rule(id=name, allow=("multicast",), limits=Limit("rule", rate=rate, groups=1))
        for name, rate in (("first", None), ("second", Rate(1000)))
    ]
    gateway.limits.apply((), own)
    waiting: Deferred[None] = Deferred()
    gateway.written = lambda: waiting
    judge = judging(gateway)
    found = asked(judge, "239.1.0.1")
    assert not found
    gateway.take(LATER)
    waiting.callback(None)
    (permit,) = found
    with permit.receiver:
        assert permit.claim.rule == "second"
        assert permit.claim.receiving is not None
        gateway.written = lambda: succeed(None)
        (failure,) = asked(judge, "239.1.0.2")
        assert failure.value.outcome == Outcome.NOT_ALLOWED
        assert gateway.lines[-1]["why"] == '1 groups (rule "second")'


def decided(gateway: Gateway, datagrams: bool) -> tuple[bool, str]:
    """Return whether a client may enter the mode, and the level on record."""
    case, request = entering(gateway, datagrams), cast(Any, None)
    found: list[Any] = []
    Deferred.fromCoroutine(Multicast().decide(case, request)).addCallback(found.append)
    again = Multicast().again(case, gateway.generation.policy.ruleset)
    assert again.allowed is found[0].allowed
    return again.allowed, case.record.secured


@pytest.mark.parametrize(
    ("tunnels", "datagrams", "word", "expected"),
    [
        # Which way a group will go is not known yet.
        (True, True, CONFIDENTIALITY, (True, CONFIDENTIALITY)),
        (True, True, CLEAR, (True, CLEAR)),
        # They all go beside, or inside.
        (False, True, CONFIDENTIALITY, (False, CLEAR)),
        (False, True, CLEAR, (True, CLEAR)),
        (True, False, CONFIDENTIALITY, (True, CONFIDENTIALITY)),
        (True, False, CLEAR, (False, CONFIDENTIALITY)),
    ],
)
def test_whoMayEnter(
    tunnels: bool, datagrams: bool, word: str, expected: tuple[bool, str]
) -> None:
    """A client by TLS, and rules that ask how it is protected, also at a reload."""
    gateway = Gateway()
    gateway.take(f'{RULES}secured = "{word}"\n')
    gateway.generation.groupsOf = lambda _: ListenMulticast("lo", tunnels=tunnels)
    assert decided(gateway, datagrams) == expected


@pytest.mark.parametrize("inside", [False, True])
def test_besideTLS(inside: bool) -> None:
    """
    TLS protects the datagrams inside it alone: rules, those of a reload, and the
    record take those of a group beside it for clear.
    """
    gateway = Gateway()
    judge = judging(gateway)
    level = CONFIDENTIALITY if inside else CLEAR
    guarded = RULES + f'secured = "{CONFIDENTIALITY}"\n'

    def write() -> Deferred[None]:
        gateway.take(guarded)
        return succeed(None)

    gateway.written = write
    (before,) = asked(judge, "239.1.0.1", inside)
    gateway.written = lambda: succeed(None)
    (after,) = asked(judge, "239.1.0.1", inside)
    if inside:
        before.receiver.close()
        after.receiver.close()
    else:
        assert before.value.outcome == Outcome.NOT_ALLOWED
        assert after.value.outcome == Outcome.NO_RECEIVING
    flows = [each for each in gateway.lines if each["event"] == "flow"]
    assert [each.get("secured", CLEAR) for each in flows] == [level, level]
    verdicts = [each["verdict"] for each in flows]
    assert verdicts == ["allow", "allow" if inside else "deny"]


class Full:
    """
    A watch that takes no more: fs.epoll.max_user_watches bounds them (epoll(7)).

    @ivar full: whether that is so.
    """

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self.full = False

    def add(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Take one more, or fail as the kernel does."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._watch.add(fd, events, ready)

    def remove(self, fd: int) -> None:
        """Watch it no longer."""
        self._watch.remove(fd)


class Channel:
    """A client in Enhanced UDP Mode, whose gateway judges by C{RULES}."""

    def __init__(self) -> None:
        self.floor, self.gateway, self.tally = Floor(), Gateway(), Tally()
        own = [Rule(id="first", allow=("multicast",), limits=Limit("rule", groups=1))]
        self.gateway.limits.apply((), own)
        self.watch = cast(Any, Full(self.floor.watch))
        self.client, connection = self.floor.connect(Recorder())
        inbound: Any = Client(connection)
        inbound.take = lambda taker: connection.take(taker or Recorder())
        judge = judging(self.gateway)
        judge.open = self._open
        timer = SimpleNamespace(clear=lambda: None)
        soon = self.floor.watch.soon
        settings = GroupSettings(self.watch, soon, lambda *_: timer, 300.0)
        clock = self.gateway.clock
        source = Address.parse("127.0.0.1")
        serving = serveGroups(
            inbound, source, settings, judge, clock, None, b"", self.tally
        )
        self.served = Deferred.fromCoroutine(serving)
        self.served.addBoth(lambda _: connection.abortConnection())

    async def _open(self) -> Relayed:
        relay = udp("127.0.0.1")
        return Relayed(relay, (Address.parse("127.0.0.1"), relay.getsockname()[1]))

    def ask(self, command: int, flags: int, aid: int = 0) -> tuple[int, int]:
        """Ask about a group, and return the reply and the association."""
        self.client.send(message(command, flags, ("239.1.0.1", 5004), aid=aid))
        told = self.floor.read(self.client, 27)
        return told[3], int.from_bytes(told[9:13], "big")

    def ends(self) -> list[tuple[str, int]]:
        """Return the reasons of what is over, with the octets."""
        lines = self.gateway.lines
        return [(e["reason"], e["received"]) for e in lines if e["event"] == "flow-end"]


@pytest.fixture
def channel() -> Iterator[Channel]:
    """One that leaves no socket open, and nothing watched."""
    made = Channel()
    yield made
    made.client.close()
    made.floor.until(lambda: made.served.called)
    made.floor.atBase()


@pytest.mark.parametrize("flags", [RECEIVE | MULTICAST, RECEIVE | MULTICAST | INSIDE])
def test_noMoreWatched(channel: Channel, flags: int) -> None:
    """What cannot be watched is not joined, counts for nothing, and is on record."""
    before = descriptors()
    channel.watch.full = True
    assert channel.ask(BIND, flags) == (Outcome.FAILED, 0)
    assert descriptors() <= before
    wanted = [("resources", 0)] if flags & INSIDE else []
    assert channel.ends() == wanted
    channel.watch.full = False
    # The limit of one group is not used up.
    reply, aid = channel.ask(BIND, flags)
    assert reply == 0
    assert channel.ask(RELEASE, RECEIVE, aid)[0] == 0
    assert channel.ends() == [*wanted, ("released", 0)]


def test_noMoreOfOne(channel: Channel) -> None:
    """A group whose change fails stays as it was, and is over but once."""
    flags = RECEIVE | MULTICAST | INSIDE
    reply, aid = channel.ask(BIND, flags)
    assert reply == 0
    before = descriptors()
    with udp("127.0.0.1") as speaker:
        speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, b"\x7f\0\0\1")
        speaker.sendto(b"one", ("239.1.0.1", 5004))
        assert channel.floor.read(channel.client, 10)[7:] == b"one"
        channel.watch.full = True
        assert channel.ask(BIND, flags, aid) == (Outcome.FAILED, 0)
        assert len(descriptors() - before) == 1
        speaker.sendto(b"two", ("239.1.0.1", 5004))
        assert channel.floor.read(channel.client, 10)[7:] == b"two"
    assert channel.ask(RELEASE, RECEIVE, aid)[0] == 0
    assert channel.ends() == [("resources", 0), ("released", 6)]
    channel.client.close()
    channel.floor.until(lambda: channel.served.called)
    assert channel.tally.received == 6
