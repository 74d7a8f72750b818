"""
What limits mean, at N and N+1 of everything, and over reloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from socksgw.config.schema import Limit, Quota, Rate, Rule
from socksgw.config.schema.values import Times
from socksgw.errors import LimitReached, QuotaUsedUp
from socksgw.interfaces import Asker
from socksgw.limits.allowance import Allowance, Allowances
from socksgw.limits.counters import ProcessCounters
from socksgw.limits.limits import Claim, Limits
from socksgw.wire.address import Address
from socksgw.wire.codes import Reply
from tests.fakes.policy import ANONYMOUS, Somebody

A, B, C = (Address.parse(f"192.0.2.{number}") for number in (1, 2, 3))
sources = [Address.parse(f"198.51.100.{number}") for number in range(5)]
ALICE = Somebody("alice", frozenset({"staff", "web"}))
BOB = Somebody("bob", frozenset({"staff"}))
DAY = 86400.0


def asker(
    user: Somebody = ANONYMOUS, source: Address = A, listener: str = "lan"
) -> Asker:
    return Asker(user, source, listener)


def limit(per: Any, **most: Any) -> Limit:
    """A limit of which only the test's parameters are known."""
    return Limit(per, **most)


def rule(name: str, limits: Limit) -> Rule:
    return Rule(id=name, allow="any", limits=limits)


class World:
    """
    Limits, and the clocks that they go by.
    """

    def __init__(self, limits: Sequence[Limit] = (), *rules: Rule) -> None:
        self.clock = Clock()
        self.wall = 1000 * DAY
        self.counters = ProcessCounters(self.clock.seconds, lambda: self.wall)
        self.allowances = Allowances(self.clock, self.clock.seconds)
        self.limits = Limits(self.counters, self.allowances)
        self.limits.apply(limits, rules)

    def take(
        self, who: Asker | None = None, by: str = "web", command: str = "connect"
    ) -> Claim:
        return self.limits.take(who or asker(), command, by)

    def refused(self, *arguments: Any, **named: Any) -> str:
        """Why nobody is let in."""
        with pytest.raises(LimitReached) as raised:
            self.take(*arguments, **named)
        return str(raised.value)

    @property
    def nothing(self) -> bool:
        """Whether nothing at all is counted, but what has been spent."""
        return not [key for key in self.counters.keys if key[0] != "octets"]


def test_withoutLimitsThereAreNone() -> None:
    """None by default, and nothing is counted."""
    world = World()
    claims = [world.take() for _ in range(1000)]
    assert world.limits.live == 1000
    assert world.nothing
    assert claims[0].sending is None
    assert claims[0].receiving is None
    for claim in claims:
        world.limits.give(claim)
    assert world.limits.live == 0


#: Whom each limit tells apart: two who are the same to it, and one who is not.
WHO = {
    "all": (asker(), asker(BOB, B, "wan"), None, "in all"),
    "source": (asker(), asker(BOB, A, "wan"), asker(ANONYMOUS, B), "per source"),
    "listener": (asker(), asker(BOB, B), asker(listener="wan"), "per listener"),
    "user": (asker(ALICE), asker(ALICE, B, "wan"), asker(BOB), "per user"),
    "group": (asker(ALICE), asker(BOB, B), asker(), 'per group "staff"'),
}


@pytest.mark.parametrize("per", WHO)
def test_sessionsAtTheirNumber(per: Any) -> None:
    """
    Up to N are taken, the next is not, and the text says which limit it was;
    when one goes another may come.
    """
    one, same, other, text = WHO[per]
    world = World([Limit(per, sessions=2)])
    first = world.take(one)
    world.take(same)
    for who in (one, same):
        assert world.refused(who) == f"2 sessions {text}"
    assert (world.limits.live, world.limits.refused) == (2, 2)
    if other is not None:
        world.take(other)
    world.limits.give(first)
    world.take(same)
    assert world.refused(one)


def test_sessionsPerRule() -> None:
    """Each rule by itself."""
    world = World([Limit("rule", sessions=1)])
    world.take(by="web")
    assert world.refused(by="web") == '1 sessions per rule "web"'
    world.take(by="mail")


def test_groupsThatAreNotKnown() -> None:
    """
    A user counts in each group that they may be in while the directory is away, and
    in none when it turns out that they are not.
    """
    world = World([Limit("group", sessions=2)])
    unknown = asker(Somebody("carol", unsure=frozenset({"staff", "web"})))
    first = world.take(unknown)
    second = world.take(asker(BOB))
    assert world.refused(unknown) == '2 sessions per group "staff"'
    assert world.refused(asker(BOB)) == '2 sessions per group "staff"'
    known = world.limits.again(first, asker(Somebody("carol")), "connect", "web")
    world.take(asker(BOB))
    world.limits.give(known)
    world.limits.give(second)


def test_theLimitsOfARule() -> None:
    """They count what that rule allowed, and nothing else."""
    world = World([], rule("web", Limit("user", sessions=1)))
    for _ in range(3):
        world.take(asker(ALICE), by="mail")
    world.take(asker(ALICE))
    assert world.refused(asker(ALICE)) == '1 sessions per user (rule "web")'
    world.take(asker(BOB))
    world.take(asker(ALICE), by="mail")


@pytest.mark.parametrize(
    ("per", "text"),
    [
        ("all", " in all"),
        ("rule", ""),
        ("group", ' per group "staff"'),
        ("source", " per source"),
        ("listener", " per listener"),
    ],
)
def test_theLimitsOfARulePerAnything(per: Any, text: str) -> None:
    """All of it together, or each group's, source's and so on."""
    world = World([], rule("web", Limit(per, sessions=1)))
    world.take(asker(ALICE))
    assert world.refused(asker(BOB)) == f'1 sessions{text} (rule "web")'
    world.take(asker(BOB), by="mail")


def test_severalLimitsTogether() -> None:
    """All count; who is refused by one takes nothing of the others."""
    world = World(
        [Limit("all", sessions=3), Limit("user", sessions=2)],
        rule("web", Limit("user", sessions=1)),
    )
    claims = [world.take(asker(ALICE))]
    for _ in range(5):
        assert world.refused(asker(ALICE)) == '1 sessions per user (rule "web")'
    claims.append(world.take(asker(ALICE), by="mail"))
    assert world.refused(asker(ALICE), by="mail") == "2 sessions per user"
    claims.append(world.take(asker(BOB)))
    assert world.refused(asker(), by="mail") == "3 sessions in all"
    for claim in claims:
        world.limits.give(claim)
    assert world.nothing


def test_theSmallestOfSeveralCounts() -> None:
    """Two limits of one kind are no error."""
    world = World([Limit("all", 5), Limit("all", 1), Limit("all", 3)])
    world.take()
    assert world.refused() == "1 sessions in all"


@pytest.mark.parametrize("name", ["sessions", "new_sessions"])
@pytest.mark.parametrize("per", ["all", "source", "listener", "user", "rule"])
def test_aLimitOfNothingLetsNobodyIn(per: Any, name: str) -> None:
    """`sessions = 0`."""
    assert World([limit(per, **{name: 0})]).refused()


def test_aListenerNamedLikeASourceIsAnother() -> None:
    """The counts do not mix."""
    world = World([Limit("source", 1), Limit("listener", 1)])
    world.take(asker(source=B, listener=A.text))
    world.take(asker(source=A, listener=B.text))
    assert world.refused(asker(source=A, listener="lan"))


def test_newSessions() -> None:
    """At most N in any one second; those that live on count no longer."""
    world = World([limit("user", new_sessions=2)])
    world.take(asker(ALICE))
    world.clock.advance(0.5)
    world.take(asker(ALICE))
    assert world.refused(asker(ALICE)) == "2 new sessions per second per user"
    world.take(asker(BOB))
    world.clock.advance(0.5)
    world.take(asker(ALICE))
    assert world.refused(asker(ALICE))
    world.clock.advance(0.5)
    world.take(asker(ALICE))


def test_newSessionsOfAnotherTime() -> None:
    """At most N in any such time; of several times each counts."""
    world = World(
        [
            limit("user", new_sessions=Times(3, 60.0)),
            limit("user", new_sessions=Times(9, 60.0)),
            limit("user", new_sessions=2),
        ]
    )
    for _ in range(2):
        world.take(asker(ALICE))
    assert world.refused(asker(ALICE)) == "2 new sessions per second per user"
    world.clock.advance(58.5)
    world.take(asker(ALICE))
    assert world.refused(asker(ALICE)) == "3 new sessions in 60s per user"
    world.take(asker(BOB))
    world.clock.advance(1.0)
    assert world.refused(asker(ALICE)) == "3 new sessions in 60s per user"
    world.clock.advance(0.5)
    for _ in range(2):
        world.take(asker(ALICE))
    assert world.refused(asker(ALICE)) == "3 new sessions in 60s per user"
    world.clock.advance(2)
    world.counters.sweep()
    assert len(list(world.counters.keys)) == 2
    world.clock.advance(60)
    world.counters.sweep()
    assert world.nothing


@pytest.mark.parametrize("per", ["source", "user"])
def test_namesCountBeforeTheyAreLookedUp(per: Any) -> None:
    """Also those that are denied then; what is allowed is not counted twice."""
    world = World([limit(per, new_sessions=2)])
    world.limits.arrive(asker())
    world.limits.take(asker(), "connect", "web", True)
    world.limits.arrive(asker())
    with pytest.raises(LimitReached) as raised:
        world.limits.arrive(asker())
    assert str(raised.value) == f"2 new sessions per second per {per}"
    assert world.refused() == str(raised.value)
    world.limits.arrive(asker(ALICE, B))


@pytest.mark.parametrize("per", ["all", "listener", "group"])
def test_whatIsDeniedTakesNothingOfWhatIsShared(per: Any) -> None:
    """A flood of denied names leaves the others' new sessions."""
    world = World([limit(per, new_sessions=1)])
    for _ in range(9):
        world.limits.arrive(asker(ALICE))
    world.limits.take(asker(ALICE), "connect", "web", True)
    assert "new sessions" in world.refused(asker(ALICE))


def test_whoComesTooSoonTakesNothing() -> None:
    """Of the other limits."""
    world = World([limit("user", sessions=3, new_sessions=1)])
    claim = world.take()
    for _ in range(9):
        assert "new sessions" in world.refused()
    world.limits.give(claim)
    world.clock.advance(1)
    world.counters.sweep()
    assert world.nothing


def test_associations() -> None:
    """They are sessions, and counted by themselves besides."""
    world = World([Limit("user", sessions=3, associations=1)])
    claim = world.take(command="udp")
    assert world.refused(command="udp") == "1 associations per user"
    world.take()
    world.take()
    assert world.refused() == "3 sessions per user"
    world.limits.give(claim)
    world.take(command="udp")


def test_associationsWhereNothingIsSaid() -> None:
    """
    One user has 4096, at most, and one source 1024; a limit may say more, or
    fewer.
    """
    world = World()
    for number in range(4096):
        world.take(asker(source=sources[number % 4]), command="udp")
    for source in (sources[0], sources[4]):
        who = asker(source=source)
        assert world.refused(who, command="udp") == "4096 associations per user"
    world = World([Limit("user", associations=4097)])
    for number in range(4097):
        world.take(asker(source=sources[number % 5]), command="udp")
    assert world.refused(command="udp") == "4097 associations per user"


@pytest.mark.parametrize(
    ("command", "name"), [("udp", "associations"), ("bind", "binds")]
)
def test_theShareOfASource(command: str, name: str) -> None:
    """
    One source has 1024 associations and as many BINDs, whoever its users are; a
    limit of another thing changes nothing of that.
    """
    world = World([Limit("source", sessions=5000)])
    for number in range(1024):
        world.take(asker(Somebody(f"user{number}")), command=command)
    assert world.refused(asker(ALICE), command=command) == f"1024 {name} per source"
    world.take(asker(ALICE, B), command=command)
    world.take(asker(ALICE))
    world = World([limit("source", **{name: 1}), limit("source", **{name: 7})])
    world.take(command=command)
    assert world.refused(command=command) == f"1 {name} per source"


def test_binds() -> None:
    """They are sessions, and counted by themselves besides; a rule's own, too."""
    world = World([Limit("user", binds=2)], rule("ftp", Limit("source", binds=1)))
    claim = world.take(by="ftp", command="bind")
    assert world.refused(by="ftp", command="bind") == (
        '1 binds per source (rule "ftp")'
    )
    world.take(command="bind")
    assert world.refused(command="bind") == "2 binds per user"
    world.take(command="udp")
    world.take()
    world.limits.give(claim)
    world.take(command="bind")


def test_thePortsOfARange() -> None:
    """
    Of a listener's range a source has a share, by UDP and BIND together; a
    reload counts those who live.
    """
    world = World()
    limits = world.limits
    limits.apply((), (), ports={"lan": 2})
    udp, bind = world.take(command="udp"), world.take(command="bind")
    for command in ("udp", "bind"):
        assert world.refused(asker(ALICE), command=command) == "2 ports per source"
    world.take()
    world.take(asker(source=B), command="udp")
    world.take(asker(listener="wan"), command="udp")
    limits.apply((), (), ports={"lan": 3})
    before, udp = udp, limits.again(udp, asker(), "udp", "web")
    before.close()
    third = world.take(command="bind")
    assert world.refused(command="udp") == "3 ports per source"
    limits.apply((), ())
    for claim in (udp, bind, third):
        limits.give(claim)
    world.take(command="udp")


def test_anIpv6SourceIsItsSubnet() -> None:
    """Whatever is counted by source: of IPv6 it is the /64 (RFC 4291)."""
    one, same, other = (
        asker(source=Address.parse(text))
        for text in ("2001:db8::1", "2001:db8::f:1", "2001:db8:0:1::1")
    )
    world = World(
        [Limit("source", sessions=1, flows=1, quota=Quota(10, DAY), rate=Rate(1000))]
    )
    world.take(one)
    world.limits.takeFlow(one, "web")
    assert world.refused(same) == "1 sessions per source"
    with pytest.raises(LimitReached):
        world.limits.takeFlow(same, "web")
    world.take(other)
    assert {key[3] for key in world.counters.keys} == {
        "2001:db8::/64",
        "2001:db8:0:1::/64",
    }
    world = World([Limit("source", quota=Quota(10, DAY))])
    assert moved(world.take(one).sending, 100) == 10
    with pytest.raises(QuotaUsedUp):
        world.take(same)


def test_flows() -> None:
    """At N and N+1, over all associations; a rule's own besides."""
    world = World([Limit("user", flows=3)], rule("dns", Limit("source", flows=1)))
    limits = world.limits
    first = limits.takeFlow(asker(ALICE), "dns")
    with pytest.raises(LimitReached, match=r'^1 flows per source \(rule "dns"\)$'):
        limits.takeFlow(asker(BOB), "dns")
    others = [limits.takeFlow(asker(ALICE), "snmp") for _ in range(2)]
    with pytest.raises(LimitReached, match=r"^3 flows per user$"):
        limits.takeFlow(asker(ALICE), "snmp")
    limits.giveFlow(first)
    others.append(limits.takeFlow(asker(ALICE), "snmp"))
    for claim in others:
        limits.giveFlow(claim)
    assert world.nothing


# What moves.


def moved(allowance: Allowance | None, octets: int) -> int:
    """Move as much of that as is allowed now."""
    assert allowance is not None
    room = allowance.room(octets)
    allowance.spend(room)
    return room


def test_rates() -> None:
    """Each way by itself; the smallest of those that apply counts."""
    world = World(
        [Limit("all", rate=Rate(10**9)), Limit("user", rate=Rate(10**6))],
        rule("web", Limit("user", rate=Rate(10**4))),
    )
    claim, free = world.take(), world.take(by="mail")
    most = moved(claim.sending, 10**9)
    assert 0 < most < 2000
    assert moved(claim.receiving, 10**9) == most
    assert moved(free.sending, 10**9) > 10_000
    world.limits.give(claim)
    world.limits.give(free)
    world.clock.advance(60)
    world.allowances.sweep()
    assert world.allowances.buckets == 0


def test_resolvingNeedsNoAllowance() -> None:
    """Nothing is relayed."""
    world = World([Limit("user", rate=Rate(1))])
    assert world.take(command="resolve").sending is None
    assert world.take(command="udp").sending is None
    assert world.allowances.buckets == 0


def test_quota() -> None:
    """
    Both ways and all sessions together, to the octet; when it is used up the
    next is told so, and all that live on it can be found.
    """
    world = World([Limit("user", quota=Quota(1000, DAY))])
    one, two = world.take(asker(ALICE)), world.take(asker(ALICE), by="mail")
    other = world.take(asker(BOB))
    world.limits.usedUp = False
    assert moved(one.sending, 600) == 600
    assert not world.limits.usedUp
    assert one.over is None
    assert moved(two.receiving, 600) == 400
    assert world.limits.usedUp
    assert moved(one.receiving, 1) == 0
    with pytest.raises(QuotaUsedUp, match=r"^1KB/1d per user is used up$") as raised:
        world.take(asker(ALICE))
    assert raised.value.reply == Reply.NOT_ALLOWED
    assert raised.value.reason == "quota"
    assert str(one.over) == str(two.over) == "1KB/1d per user is used up"
    assert other.over is None
    world.take(asker(BOB))
    world.wall += DAY
    assert one.over is None
    assert moved(one.sending, 5000) == 1000


@pytest.mark.parametrize(
    ("quota", "text"),
    [
        (Quota(50 * 10**9, DAY), "50GB/1d"),
        (Quota(1500, 90.0), "1500B/90s"),
        (Quota(2 * 10**6, 7200.0), "2MB/2h"),
        (Quota(1, 0.25), "1B/0.25s"),
    ],
)
def test_quotasInWords(quota: Quota, text: str) -> None:
    """As the configuration writes them."""
    world = World([], rule("web", Limit("all", quota=quota)))
    claim = world.take()
    assert moved(claim.sending, 1 << 60) == quota.octets
    assert str(claim.over) == f'{text} in all (rule "web") is used up'


def test_severalQuotas() -> None:
    """Of different windows all count, of the same one the smallest."""
    world = World(
        [
            Limit("all", quota=Quota(1000, DAY)),
            Limit("all", quota=Quota(100, 3600.0)),
            Limit("all", quota=Quota(70, 3600.0)),
        ]
    )
    claim = world.take()
    assert moved(claim.sending, 5000) == 70
    world.wall += 3600
    assert moved(claim.sending, 5000) == 70
    world.wall += 20 * 3600
    assert moved(claim.sending, 5000) == 70


def test_quotaOfAssociations() -> None:
    """Their datagrams spend it; used up, neither they nor flows begin."""
    world = World([], rule("dns", Limit("user", quota=Quota(1000, DAY))))
    claim = world.take(by="dns", command="udp")
    flow = world.limits.takeFlow(asker(), "dns")
    bound = world.limits.datagrams(asker(), "dns")
    assert bound.sending is not None
    assert bound.receiving is not None
    assert bound.sending.passes(600)
    assert not bound.receiving.passes(600)
    assert claim.over is not None
    assert flow.over is not None
    with pytest.raises(QuotaUsedUp):
        world.limits.takeFlow(asker(), "dns")
    assert "used up" in world.refused(by="dns", command="udp")
    assert world.limits.datagrams(asker(), "mail").sending is None


def test_onlyNewOnesCount() -> None:
    """With enforce = "new-only" what lives moves on, and is counted."""
    world = World()
    world.limits.apply([Limit("user", quota=Quota(1000, DAY))], (), enforced=False)
    claim = world.take()
    assert moved(claim.sending, 5000) == 5000
    assert "used up" in world.refused()


# Other limits.


def test_whatLivesCountsByOtherLimits() -> None:
    """Also by a limit that was not there when it came."""
    world = World([Limit("user", sessions=5)])
    claims = [world.take(asker(ALICE)) for _ in range(3)]
    world.limits.apply([Limit("source", sessions=3)], ())
    claims = [
        world.limits.again(claim, asker(ALICE), "connect", claim.rule)
        for claim in claims
    ]
    assert world.refused(asker(BOB)) == "3 sessions per source"
    world.limits.give(claims.pop())
    claims.append(world.take(asker(BOB)))
    for claim in claims:
        world.limits.give(claim)
    assert world.nothing


def test_otherGroupsAndAnotherRule() -> None:
    """Who they are now, and what allows it now, counts; nothing drifts."""
    world = World([Limit("group", sessions=1), Limit("rule", sessions=1)])
    claim = world.take(asker(ALICE), "connect")
    now = Somebody("alice", frozenset({"sales"}))
    claim = world.limits.again(claim, asker(now), "connect", "mail")
    other = world.take(asker(BOB))
    assert world.refused(asker(now), by="x") == '1 sessions per group "sales"'
    assert world.refused(by="mail") == '1 sessions per rule "mail"'
    world.limits.give(claim)
    world.limits.give(other)
    assert world.nothing


def test_otherRates() -> None:
    """A session that lives gets an allowance, another one, or none."""
    world = World()
    claim = world.take()
    for rate in (10**4, 10**6, None):
        limits = [] if rate is None else [Limit("user", rate=Rate(rate))]
        world.limits.apply(limits, ())
        before, claim = claim, world.limits.again(claim, asker(), "connect", "web")
        before.close()
        if rate is None:
            assert claim.sending is None
        else:
            world.clock.advance(1)
            assert rate / 50 <= moved(claim.sending, 10**9) <= rate / 5
    world.clock.advance(1)
    world.allowances.sweep()
    assert world.allowances.buckets == 0


def test_aSmallerQuotaIsSeen() -> None:
    """What is used up by the new number is used up, for who lives, too."""
    world = World([Limit("user", quota=Quota(1000, DAY))])
    claim = world.take()
    moved(claim.sending, 500)
    world.limits.usedUp = False
    world.limits.apply([Limit("user", quota=Quota(400, DAY))], ())
    claim = world.limits.again(claim, asker(), "connect", "web")
    assert world.limits.usedUp
    assert claim.over is not None
    world.limits.apply([Limit("user", quota=Quota(600, DAY))], ())
    claim = world.limits.again(claim, asker(), "connect", "web")
    assert claim.over is None
    assert moved(claim.sending, 500) == 100


LIMITS = st.lists(
    st.builds(
        Limit,
        st.sampled_from(["all", "source", "listener", "user", "group", "rule"]),
        sessions=st.none() | st.integers(0, 4),
        associations=st.none() | st.integers(0, 3),
        new_sessions=st.none() | st.integers(1, 5),
        flows=st.none() | st.integers(0, 3),
        rate=st.none() | st.just(Rate(1000)),
        quota=st.none() | st.just(Quota(500, DAY)),
    ),
    max_size=4,
)
ASKERS = [
    asker(user, source, listener)
    for user in (ANONYMOUS, ALICE, BOB)
    for source in (A, B)
    for listener in ("lan", "wan")
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "flow", "give", "reload", "move", "again"]),
        st.integers(0, len(ASKERS) - 1),
        st.sampled_from(["connect", "udp", "resolve"]),
        st.sampled_from(["web", "mail"]),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(st.lists(st.tuples(LIMITS, LIMITS), min_size=1, max_size=3), STEPS)
def test_nothingDrifts(
    generations: list[tuple[list[Limit], list[Limit]]],
    steps: list[tuple[str, int, str, str]],
) -> None:
    """
    Whatever comes, moves, goes, is refused, and becomes somebody else, over
    whatever reloads: in the end nothing is counted.
    """

    def rules(number: int) -> list[Rule]:
        return [rule("web", each) for each in generations[number][1][:1]]

    world = World(generations[0][0], *rules(0))
    limits = world.limits
    sessions: list[tuple[Claim, Asker, str]] = []
    flows: list[tuple[Claim, Asker]] = []
    for number, (what, which, command, by) in enumerate(steps):
        who = ASKERS[which]
        world.clock.advance(0.1)
        try:
            if what == "take":
                sessions.append((limits.take(who, command, by), who, command))
            elif what == "flow":
                flows.append((limits.takeFlow(who, by), who))
        except LimitReached:
            continue
        if what == "give" and sessions:
            limits.give(sessions.pop(which % len(sessions))[0])
            if flows:
                limits.giveFlow(flows.pop(which % len(flows))[0])
        elif what == "move" and sessions:
            claim = sessions[which % len(sessions)][0]
            if claim.sending is not None:
                moved(claim.sending, 100)
        elif what in ("reload", "again"):
            if what == "reload":
                at = number % len(generations)
                limits.apply(generations[at][0], rules(at))
            before = sessions
            sessions = [(limits.again(c, who, m, by), who, m) for c, _, m in before]
            for claim, _, _ in before:
                claim.close()
            flows = [(limits.flowAgain(c, who, by), who) for c, _ in flows]
        assert limits.live == len(sessions)
    for claim, _, _ in sessions:
        limits.give(claim)
    for claim, _ in flows:
        limits.giveFlow(claim)
    world.clock.advance(10)
    world.counters.sweep()
    world.allowances.sweep()
    assert world.nothing
    assert limits.live == world.allowances.buckets == 0


def test_perTag() -> None:
    """
    One user's clients of one tag are counted together; another user's of the same tag,
    and clients without one, are not.
    """
    world = World([limit("tag", sessions=1)])

    def tagged(user: Somebody, tag: str) -> Asker:
        return Asker(user, A, "lan", "clear", tag)

    world.take(tagged(ALICE, "job-1"))
    world.take(tagged(ALICE, "job-2"))
    world.take(tagged(BOB, "job-1"))
    for _ in range(3):
        world.take(tagged(ALICE, ""))
    assert world.refused(tagged(ALICE, "job-1")) == "1 sessions per tag"


class These:
    """Users with some names, and whoever is in a group."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.text = f"who {', '.join(names)}"

    def counts(self, asker: Asker) -> bool:
        return asker.user.name in self.names


def test_limitsForSome() -> None:
    """
    Others do not count; all limits hold together, those for everybody too; and what
    counts by default still does.
    """
    world = World()
    only, both = These("alice"), These("alice", "bob")
    world.limits.apply(
        [
            limit("user", sessions=3),
            limit("user", sessions=1, associations=1),
            limit("all", sessions=2),
            limit("all", sessions=5),
        ],
        [],
        some=[None, only, both, both],
    )
    claims = [world.take(asker(ALICE))]
    said = world.refused(asker(ALICE))
    assert said == "1 sessions per user (who alice)"
    claims.append(world.take(asker(BOB)))
    assert world.refused(asker(BOB)) == "2 sessions in all (who alice, bob)"
    claims += [world.take() for _ in range(3)]
    assert world.refused() == "3 sessions per user"
    for claim in claims:
        world.limits.give(claim)
    assert world.nothing
    udp = [world.take(asker(BOB), command="udp") for _ in range(2)]
    assert len(udp) == 2
    world.limits.apply([limit("user", associations=1)], [], some=[only])
    more = [world.take(asker(BOB), command="udp") for _ in range(1022)]
    assert world.refused(asker(BOB), command="udp") == "1024 associations per source"
    world.limits.apply([limit("user", sessions=0)], [])
    assert world.refused(asker(BOB)) == "0 sessions per user"
    assert len(more) == 1022


def test_quotasForSome() -> None:
    """Each has what is left of its own."""
    world = World()
    quota = Quota(100, DAY)
    world.limits.apply([limit("user", quota=quota)], [], some=[These("alice")])
    claim = world.take(asker(ALICE))
    assert [str(each) for each in claim.windows] == [
        "100B/1d per user (who alice) is used up"
    ]
    assert not world.take(asker(BOB)).windows
    assert claim.sending is not None
