"""
Counters of several machines, with a real Redis: never more than the limit together.
"""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from socksgw.console.manual import chapters
from socksgw.limits.cluster import Answer, ClusterCounters, Members
from socksgw.limits.counters import Key
from socksgw.limits.script import SCRIPT
from socksgw.system.redisserver import RedisFailed, RedisServer, addressIn
from tests.live.redisserver import LiveRedis
from tests.live.servers import freePort
from tests.tools.waiting import until

DAY = 86400.0
NAMES = ("a", "b", "c")
OCTETS: Key = ("octets", "user", "", "ann")


def key(who: str, what: str = "sessions") -> Key:
    """Return what counts somebody."""
    return (what, "user", "", who)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveRedis]:
    """One Redis for all tests here."""
    found = LiveRedis()
    yield found
    found.close()


@pytest.fixture
def redis(server: LiveRedis) -> LiveRedis:
    """It, with nothing in it."""
    server.client().flushall()
    return server


class Member:
    """
    One member, whose exchanges are made as the test says.

    @ivar late: by how much its clock is slow: it has been paused.
    """

    def __init__(
        self,
        redis: LiveRedis,
        name: str,
        ttl: float = 30.0,
        all_: Sequence[str] = NAMES,
    ) -> None:
        self.name = name
        self.server = RedisServer(addressIn(redis.url), 0.1)
        self._ttl, self._all = ttl, all_
        self.begin()

    def begin(self) -> None:
        """Begin as a new process."""
        members = Members(self.name, self._all, self._ttl)
        self.counters = ClusterCounters(members)

    def exchange(self) -> Answer | None:
        """Ask Redis, if it answers, and have those who wait look again."""
        counters = self.counters
        sent = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            octets = self.server.run(SCRIPT, "{socksgw:t}", counters.request())
        except RedisFailed:
            counters.missed()
            return None
        found = counters.answered(octets, sent)
        counters.answer()
        return found

    def enters(self, *wanted: tuple[Key, int]) -> bool | None:
        """Return whether one more may; L{None} where that is not known yet."""
        if self.counters.ask(wanted) is not None:
            return None
        return self.counters.take(wanted) is None


def all3(redis: LiveRedis, ttl: float = 30.0) -> list[Member]:
    """Return three members that know of each other."""
    found = [Member(redis, name, ttl) for name in NAMES]
    for each in found:
        each.exchange()
    return found


def sure(
    member: Member, others: Sequence[Member], *wanted: tuple[Key, int]
) -> bool | None:
    """Return whether one more may, when all have exchanged what that takes."""
    for _ in range(8):
        found = member.enters(*wanted)
        if found is not None:
            return found
        for each in (member, *others):
            each.exchange()
    return None


def test_oneLimitOfThree(redis: LiveRedis) -> None:
    """What one has the others do not get; what it gives they do."""
    members = a, b, _ = all3(redis)
    one = (key("ann"), 1)
    assert a.enters(one) is None
    a.exchange()
    assert a.enters(one)
    assert not a.enters(one)
    assert sure(b, members, one) is False
    assert b.counters.counted(one[0]) == 1
    a.counters.give([one[0]])
    # For a moment it is believed that the limit is reached.
    assert b.enters(one) is False
    time.sleep(0.21)
    assert sure(b, members, one)
    assert sure(a, members, one) is False


@pytest.mark.parametrize("seed", range(2))
def test_neverMore(redis: LiveRedis, seed: int) -> None:
    """
    Whatever members do, and whatever becomes of them and of Redis: never more live
    together than the limit, but for what a member had above its share while one, which
    may have its share then, was alone.
    """
    chance = random.Random(seed)
    ttl = 0.25
    members = all3(redis, ttl)
    most = {key("ann"): 1, key("bob"): 4, key("cy"): 30, key("all"): 40}
    held: dict[str, list[list[Key]]] = {name: [] for name in NAMES}
    overhang: Counter[Key] = Counter()
    paused: dict[str, float] = {}
    answers: Counter[object] = Counter()
    down = 0.0

    def live() -> Counter[Key]:
        return Counter(k for each in held.values() for keys in each for k in keys)

    def exceed() -> None:
        """Note what members have above their shares while one of them is alone."""
        if not any(each.counters.alone for each in members):
            return
        for each in members:
            own = Counter(k for keys in held[each.name] for k in keys)
            for k, number in own.items():
                overhang[k] = max(overhang[k], number - most[k] // 3)

    end = time.monotonic() + 2.0
    while (now := time.monotonic()) < end:
        if down and now > down:
            down = 0.0
            redis.hang(False)
        member = chance.choice(members)
        if paused.get(member.name, 0.0) > now:
            continue
        mine = held[member.name]
        exceed()
        what = chance.random()
        if what < 0.5:
            keys = [chance.choice([*most][:3]), key("all")]
            wanted = [(k, most[k]) for k in keys]
            alone = member.counters.alone
            found = member.enters(*wanted)
            # Some may be alone since a moment ago.
            exceed()
            answers[alone, found] += 1
            if found:
                mine.append(keys)
                together = live()
                for k in keys:
                    assert together[k] <= most[k] + overhang[k], (k, alone)
        elif what < 0.7:
            if mine:
                keys = mine.pop(chance.randrange(len(mine)))
                member.counters.give(keys)
        elif what < 0.95:
            if member.exchange() is not None and chance.random() < 0.1:
                member.counters.look()
        elif what < 0.953:
            # It is killed, and begins anew.
            mine.clear()
            member.begin()
        elif what < 0.956:
            paused[member.name] = now + chance.choice([0.1, 0.4])
        elif what < 0.957 and not down:
            down = now + chance.choice([0.05, 0.5])
            redis.hang(True)
        elif what < 0.958 and not down:
            redis.kill()
            redis.start()
        if not any(live().values()):
            overhang.clear()
        for k in most:
            overhang[k] = min(overhang[k], live()[k])
    redis.hang(False)
    assert min(answers[False, True], answers[False, False]) > 5
    assert answers[True, True]


@pytest.mark.parametrize("seed", range(2))
def test_events(redis: LiveRedis, seed: int) -> None:
    """In no second are there more than the limit, whoever has them; nor far fewer."""
    chance = random.Random(seed)
    members = all3(redis, 5.0)
    most, had, refused = 30, [], 0
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        member = chance.choice(members)
        wanted = [(key("ann", "new sessions"), most)]
        found, before = None, time.clock_gettime(time.CLOCK_BOOTTIME)
        if member.counters.ask(wanted) is None:
            found = member.counters.happen(wanted) is None
        if found:
            # Each was at some time from the first to the second reading of the clock.
            had.append(before)
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            assert len([each for each in had if now - each < 1.0]) <= most
        refused += found is False
        if chance.random() < 0.2:
            member.exchange()
    assert refused > 30
    assert len(had) > 1.5 * most


@pytest.mark.parametrize("seed", range(3))
def test_octets(redis: LiveRedis, seed: int) -> None:
    """
    There never move more octets than the quota, whoever moves them and whoever dies; in
    the end each of them has moved, but for what was with the dead.
    """
    chance = random.Random(seed)
    members = all3(redis, 5.0)
    quota, moved, lost, over = 30_000_000, 0, 0, 0
    for turn in range(100_000):
        member = chance.choice(members)
        counters = member.counters
        wanted = chance.choice([1, 1500, 40_000, 200_000])
        if counters.ask((), [(OCTETS, DAY, quota)]) is None:
            octets = min(wanted, counters.room(OCTETS, DAY, quota, wanted))
            if octets > 0:
                counters.spend(OCTETS, DAY, octets)
                moved += octets
            if counters.over(OCTETS, DAY, quota):
                over += 1
                if over > 20:
                    break
        assert moved <= quota
        if chance.random() < 0.3:
            member.exchange()
        if turn % 50 == 0:
            for each in members:
                each.counters.look()
        if turn == 200:
            lost = counters.left(OCTETS, DAY)
            member.begin()
    assert quota - lost - 3 <= moved <= quota
    # Everybody hears that it is used up. What is not asked for of itself any more is
    # asked for at a look.
    for each in members:
        until(lambda each=each: each.exchange() and each.counters.look())


def test_whatMovesCannotWait(redis: LiveRedis) -> None:
    """What has moved beyond a lease counts, and leaves less for others."""
    a, b, _ = all3(redis)
    quota = 1_000_000
    assert a.counters.ask((), [(OCTETS, DAY, quota)]) is not None
    a.exchange()
    assert a.counters.ask((), [(OCTETS, DAY, quota)]) is None
    room = a.counters.room(OCTETS, DAY, quota)
    assert 0 < room < quota
    assert a.counters.pending(OCTETS, DAY)
    a.counters.spend(OCTETS, DAY, 900_000)
    a.exchange()
    b.counters.ask((), [(OCTETS, DAY, quota)])
    b.exchange()
    assert 0 < b.counters.room(OCTETS, DAY, quota) <= 100_000


def test_whatIsGivenBackIsNotUsedUp(redis: LiveRedis) -> None:
    """A session that moves nothing for long loses its octets, and not its quota."""
    (a, *_) = all3(redis)
    quota = 1_000_000
    a.counters.ask((), [(OCTETS, DAY, quota)])
    a.exchange()
    assert a.counters.room(OCTETS, DAY, quota) > 0
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        assert not a.counters.look()
        a.exchange()
        time.sleep(0.05)
    assert a.counters.left(OCTETS, DAY) == 0
    assert not a.counters.over(OCTETS, DAY, quota)
    assert a.counters.room(OCTETS, DAY, quota) == 0
    a.exchange()
    assert a.counters.room(OCTETS, DAY, quota) > 0


def test_windowsAreKept(redis: LiveRedis) -> None:
    """
    A file that has more than Redis counts: Redis has lost it. Where Redis has more, the
    file is older.
    """
    a, b, _ = all3(redis)
    quota = [(OCTETS, DAY, 1_000_000)]
    a.counters.ask((), quota)
    a.exchange()
    a.counters.spend(OCTETS, DAY, 200_000)
    a.exchange()
    (row,) = a.counters.rows()
    assert row[:4] == ("user", "", "ann", DAY)
    assert row[5] == 200_000
    # Redis has forgotten all; a process of the same name has only the file.
    redis.client().flushall()
    a.begin()
    a.counters.restore([row])
    for each in (a, b, Member(redis, "c")):
        each.exchange()
    a.counters.ask((), quota)
    a.exchange()
    assert a.counters.rows()[0][5] == 200_000
    a.counters.spend(OCTETS, DAY, 50_000)
    a.exchange()
    a.begin()
    a.counters.restore([row])
    a.exchange()
    a.counters.ask((), quota)
    a.exchange()
    # What was taken ahead is lost with the process: it counts as moved.
    assert a.counters.rows()[0][5] >= 250_000


def test_aReplyIsLost(redis: LiveRedis) -> None:
    """
    What Redis has done unheard counts for nobody, and what it does late, neither.
    """
    a, b, _ = members = all3(redis)
    four = (key("bob"), 4)
    assert a.enters(four) is None
    asked = a.counters.request()
    a.server.run(SCRIPT, "{socksgw:t}", asked)
    a.counters.missed()
    assert a.enters(four) is None
    assert sure(a, members, four)
    for _ in range(3):
        assert sure(b, members, four)
    assert sure(a, members, four) is False
    # The old question comes to Redis once more.
    again = a.server.run(SCRIPT, "{socksgw:t}", asked)
    assert again == b'{"fenced":"lost"}'
    b.counters.give([four[0]])
    time.sleep(0.21)
    assert sure(a, members, four)


def test_pausedForLonger(redis: LiveRedis) -> None:
    """
    A member that was away for longer than its leases are good has its share, and what
    lives there; the others have all but its share meanwhile. It counts once.
    """
    a, b, c = members = all3(redis, 0.3)
    nine = (key("cy"), 9)
    for _ in range(5):
        assert sure(a, members, nine)
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        b.exchange()
        c.exchange()
        time.sleep(0.03)
    assert a.counters.alone
    assert a.enters(nine) is False
    assert a.counters.counted(nine[0]) == 5
    for _ in range(6):
        assert sure(b, (c,), nine)
    assert sure(c, (b,), nine) is False
    answer = a.exchange()
    assert answer is not None
    assert answer.fenced == "lost"
    answer = a.exchange()
    assert answer is not None
    assert not answer.fenced
    assert not a.counters.alone
    assert sure(c, members, nine) is False
    assert b.counters.counts() == {nine[0]: 6}
    for _ in range(5):
        a.counters.give([nine[0]])
    time.sleep(0.21)
    for _ in range(3):
        assert sure(c, members, nine)
        for each in members:
            each.exchange()
    assert sure(a, members, nine) is False


def test_oneName(redis: LiveRedis) -> None:
    """A new process takes the place of one before it; that one counts no more."""
    a, _, _ = all3(redis)
    second = Member(redis, "a")
    second.exchange()
    assert second.counters.joined
    for _ in range(3):
        answer = a.exchange()
        assert answer is not None
        assert answer.fenced == "taken"
    assert a.server.run(SCRIPT, "{socksgw:t}", second.counters.leaving()) == b"{}"
    answer = a.exchange()
    assert answer is not None
    assert not answer.fenced


def test_leaving(redis: LiveRedis) -> None:
    """What a member had that leaves in order may be had at once, but for its share."""
    a, b, c = members = all3(redis)
    nine = (key("cy"), 9)
    for _ in range(9):
        assert sure(a, members, nine)
    assert sure(b, members, nine) is False
    a.server.run(SCRIPT, "{socksgw:t}", a.counters.leaving())
    time.sleep(0.21)
    for _ in range(6):
        assert sure(b, (c,), nine)
    assert sure(b, (c,), nine) is False
    answer = b.exchange()
    assert answer is not None
    assert answer.absent == ["a"]
    # It is taken out of the configuration.
    for each in (b, c):
        each.counters.membership.change(Members(each.name, ("b", "c"), 30.0))
    time.sleep(0.21)
    assert sure(b, (c,), nine)


def test_redisForgets(redis: LiveRedis) -> None:
    """Until all members have been heard nobody gets more; then all counts as before."""
    a, b, c = members = all3(redis, 2.0)
    four = (key("bob"), 4)
    for each in (a, b, b):
        assert sure(each, members, four)
    redis.client().flushall()
    assert sure(a, (a,), four) is None
    c.exchange()
    c.exchange()
    assert sure(c, (a, c), four) is None
    assert sure(c, members, four)
    assert sure(c, members, four) is False
    assert sure(a, members, four) is False


@pytest.mark.parametrize("ttl", [0.5, 30.0])
def test_redisForgetsWhatCameLast(redis: LiveRedis, ttl: float) -> None:
    """
    It comes back with a snapshot, in which members are that live, or that lived then:
    nobody gets more until all of them have been heard.
    """
    a, b, c = members = all3(redis, ttl)
    nine = (key("cy"), 9)
    redis.client().save()
    for _ in range(9):
        assert sure(b, members, nine)
    if ttl < 1:
        # What the snapshot says of members is over.
        end = time.monotonic() + 1.2 * ttl
        while time.monotonic() < end:
            for each in members:
                each.exchange()
            time.sleep(0.01)
    redis.kill()
    for each in members:
        assert each.exchange() is None
    redis.start()
    for each in (a, c):
        assert sure(each, (a, c), nine) is None
    for each in members:
        assert each.exchange() is not None
    assert sure(a, members, nine) is False
    b.counters.give([nine[0]])
    time.sleep(0.21)
    assert sure(a, members, nine)
    assert sure(c, members, nine) is False


def test_whatWasCountedIsDropped(redis: LiveRedis) -> None:
    """
    A Redis whose memory is full drops nothing of what lives, where it drops only what
    has a time to live; where it drops all, members are heard anew.
    """
    a, b, c = members = all3(redis)
    nine = (key("cy"), 9)
    for _ in range(9):
        assert sure(b, members, nine)
    client = redis.client()
    held = client.keys("*:h:*")
    assert held
    for each in client.scan_iter("{socksgw:t}*"):
        if client.ttl(each) >= 0:
            client.delete(each)
    assert sure(a, members, nine) is False
    # As long ago as that makes no difference.
    client.set("{socksgw:t}:born", 1)
    client.delete("{socksgw:t}:members", *held)
    time.sleep(0.21)
    for each in (a, c):
        assert sure(each, (a, c), nine) is None
    assert sure(c, members, nine) is False
    # What the dead had is removed, though they do not come again.
    client.hset("{socksgw:t}:members", "b", "1:0:0:b")
    client.hset("{socksgw:t}:h:b:1", "x", "1:1:1")
    a.exchange()
    assert not client.exists("{socksgw:t}:h:b:1")


def test_whatRedisDrops(redis: LiveRedis) -> None:
    """A member that joins is told by which policy, where that drops anything."""
    client = redis.client()
    found = []
    try:
        for memory, policy in (
            ("0", "volatile-lru"),
            ("1gb", "noeviction"),
            ("1gb", "volatile-ttl"),
        ):
            client.config_set("maxmemory", memory)
            client.config_set("maxmemory-policy", policy)
            member = Member(redis, "a")
            for _ in range(2):
                answer = member.exchange()
                assert answer is not None
                found.append(answer.drops)
    finally:
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
    assert found == ["", "", "", "", "volatile-ttl", ""]


def test_theUserOfTheManual() -> None:
    """It may do all that members ask for, also in another database."""
    (rights,) = (
        line.split(">PASSWORD ")[1]
        for line in chapters()["cluster"].splitlines()
        if "ACL SETUSER socksgw" in line
    )
    port = freePort(kind=socket.SOCK_STREAM)
    redis = LiveRedis(["--port", str(port)])
    try:
        redis.client().execute_command(
            "ACL", "SETUSER", "socksgw", "on", ">word", *rights.split()
        )
        redis.url = f"redis://127.0.0.1:{port}/1"
        a, b, _ = members = all3(redis)
        for each in members:
            each.server.close()
            each.server = RedisServer(
                addressIn(redis.url), 5.0, "socksgw", lambda: b"word"
            )
            assert each.exchange() is not None
        assert sure(a, members, (key("bob"), 1))
        assert sure(b, members, (key("bob"), 1)) is False
        assert a.counters.ask((), [(OCTETS, DAY, 1000)]) is not None
        a.counters.failed(b"source", b"name")
        assert a.exchange() is not None
        assert a.counters.room(OCTETS, DAY, 1000)
        answer = b.exchange()
        assert answer is not None
        assert len(answer.failures) == 1
        assert a.server.run(SCRIPT, "{socksgw:t}", a.counters.leaving()) == b"{}"
        # The library itself tells its name, and does without if it may not.
        log = map(str, redis.client().execute_command("ACL", "LOG"))
        assert [each for each in log if "setinfo" not in each] == []
    finally:
        redis.close()


def test_unheard(redis: LiveRedis) -> None:
    """A member that has never come has its share kept, after a while."""
    members = a, b = Member(redis, "a", 0.3), Member(redis, "b", 0.3)
    nine = (key("cy"), 9)
    assert sure(a, (b,), nine) is None
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        a.exchange()
        b.exchange()
        time.sleep(0.03)
    for _ in range(6):
        assert sure(a, members, nine)
    assert sure(a, members, nine) is False


def test_idleLeasesGoBack(redis: LiveRedis) -> None:
    """What nobody needs is given back, and then forgotten, here and there."""
    a, b, _ = members = all3(redis, 5.0)
    many = (key("cy"), 400)
    assert sure(a, members, many)
    a.counters.give([many[0]])
    assert a.counters.isBusy
    for _ in range(4):
        a.counters.look()
    a.exchange()
    a.counters.sweep()
    assert not a.counters.isBusy
    assert not a.counters.counts()
    found = redis.client().keys("*:h:*")
    assert found == []
    assert sure(b, members, many)
    with pytest.raises(KeyError):
        b.counters.give([key("nobody")])


def test_failedLogins(redis: LiveRedis) -> None:
    """Each hears once of those of others, and after its start of its own, too."""
    a, b, _ = all3(redis)
    a.counters.failed(b"source", b"name")
    a.exchange()
    answer = b.exchange()
    assert answer is not None
    ((ago, source, name),) = answer.failures
    assert 0 <= ago < 1
    assert (source, name) == (b"source", b"name")
    assert a.counters.key == b.counters.key
    for each in (a, b):
        answer = each.exchange()
        assert answer is not None
        assert answer.failures == []
    a.begin()
    answer = a.exchange()
    assert answer is not None
    assert [each[1:] for each in answer.failures] == [(b"source", b"name")]
    assert answer.key == b.counters.key


def test_failedLoginsAreToldAgain(redis: LiveRedis) -> None:
    """What was told while Redis did not answer is told again, and counts once."""
    a, b, _ = all3(redis)
    # Redis does it; the answer is lost.
    a.counters.failed(b"source", b"first")
    a.server.run(SCRIPT, "{socksgw:t}", a.counters.request())
    a.counters.missed()
    # Redis is away.
    a.counters.failed(b"source", b"second")
    a.counters.request()
    a.counters.missed()
    # It has lost what it knew: that exchange did nothing.
    assert a.exchange() is not None
    a.counters.failed(b"source", b"third")
    redis.client().delete("{socksgw:t}:members")
    answer = a.exchange()
    assert answer is not None
    assert answer.fenced == "lost"
    answer = a.exchange()
    assert answer is not None
    assert answer.failures == []
    heard = b.exchange()
    if heard is not None and heard.fenced:
        heard = b.exchange()
    assert heard is not None
    names = [name for _, _, name in heard.failures]
    assert names == [b"first", b"second", b"third"]


def test_failedLoginsAreAsOldAsTheyAre(redis: LiveRedis) -> None:
    """Those that wait for Redis do not count as of the moment when it is back."""
    a, b, _ = all3(redis)
    a.counters.failed(b"source", b"old")
    a.counters.request()
    a.counters.missed()
    clock = a.counters.membership.clock
    a.counters.membership.clock = lambda: clock() + 120
    a.counters.failed(b"source", b"new")
    # One of the version before: without an age, by the name of the member.
    redis.client().xadd("{socksgw:t}:t", {"m": "c", "s": "73", "n": "6e"})
    for _ in range(2):
        assert a.exchange() is not None
    answer = b.exchange()
    assert answer is not None
    ages = {name: ago for ago, _, name in answer.failures}
    assert list(ages) == [b"n", b"old", b"new"]
    assert ages[b"old"] - ages[b"new"] >= 119
    assert ages[b"old"] >= 120


def test_failedLoginsTakeOneKey(redis: LiveRedis) -> None:
    """However many a process tells, Redis keeps one number of them, and not for ever."""
    a, b, _ = all3(redis)
    for _ in range(3):
        for _ in range(5):
            a.counters.failed(b"source", b"name")
        assert a.exchange() is not None
    (key,) = redis.client().keys("{socksgw:t}:f:*")
    assert redis.client().get(key) == b"15"
    assert redis.client().ttl(key) > 0
    answer = b.exchange()
    assert answer is not None
    assert len(answer.failures) == 15


def test_withoutRedis() -> None:
    """As long as nothing is known all wait; then each has its share."""
    now = 1000.0
    members = Members("a", NAMES, 5.0)
    counters = ClusterCounters(members, lambda: now, lambda: now + 1e9)
    wanted = [(key("bob"), 7)]
    assert counters.ask(wanted) is not None
    assert counters.take(wanted) == wanted[0][0]
    assert counters.room(OCTETS, DAY, 900) == 0
    assert not counters.over(OCTETS, DAY, 900)
    now += 5.0
    assert counters.ask(wanted) is None
    assert [counters.take(wanted) for _ in range(3)] == [None, None, wanted[0][0]]
    assert counters.room(OCTETS, DAY, 900) == 300
    counters.spend(OCTETS, DAY, 300)
    assert counters.over(OCTETS, DAY, 900)
    (row,) = counters.rows()
    assert row[5] == 300
    now += DAY
    assert counters.room(OCTETS, DAY, 900) == 300
    # A limit of fewer than there are members has no share.
    assert counters.take([(key("ann"), 2)]) == key("ann")
    assert counters.happen([(key("n", "new sessions"), 3)]) is None
    assert counters.happen([(key("n", "new sessions"), 3)]) is not None
