"""
One member of a cluster: what has its counters ask Redis, and says how that goes.

There is one exchange at a time, in a thread: what is asked for meanwhile goes with the
next one. Sessions touch only the counters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from socksgw.config.schema import ClusterConfig, Config
from socksgw.gateway.parts import Part
from socksgw.gateway.starting import CannotStart
from socksgw.limits.cluster import ClusterCounters, Members
from socksgw.limits.membership import boottime
from socksgw.limits.script import SCRIPT
from socksgw.login.throttle import LoginThrottle
from socksgw.system.files import FileError
from socksgw.system.once import Once
from socksgw.system.redisserver import RedisFailed, RedisServer, addressIn
from socksgw.system.secretfile import SecretFile
from socksgw.system.threads import Threads

__all__ = ["Cluster", "clusterOf", "serverOf"]

_log = Logger()

#: Seconds between two exchanges, at least; while leases are held; and without any.
_GAP: Final = 0.004
_HELD: Final = 0.1
_IDLE: Final = 1.0
#: Seconds between two tries after a failure.
_AGAIN: Final = 0.25


def membersIn(config: Config) -> Members:
    """Return the cluster of a configuration that has one."""
    cluster = config.cluster
    assert cluster is not None
    name = cluster.member or config.gateway.name
    return Members(name, cluster.members, float(cluster.ttl))


def clusterOf(
    config: Config,
    reactor: Any,
    throttle: LoginThrottle,
    usedUp: Callable[[], None],
) -> Cluster | None:
    """Return what makes a gateway a member; L{None}: its configuration has no cluster."""
    if config.cluster is None:
        return None
    return Cluster(config, reactor, throttle, usedUp)


@final
class Cluster(Part):
    """
    This gateway as a member.

    @ivar counters: what counts for limits.
    @ivar absent: the members that Redis does not hear of.
    @ivar exchanges: how many exchanges there have been.
    @ivar failures: how many of them have failed.
    """

    named = "the cluster's counters"
    alone = True

    def __init__(
        self,
        config: Config,
        reactor: Any,
        throttle: LoginThrottle,
        usedUp: Callable[[], None],
    ) -> None:
        """
        Ask nothing yet.

        @param usedUp: called when a quota may be used up.
        """
        self.counters = ClusterCounters(membersIn(config))
        self.counters.membership.hurry = self._hurry
        self.absent: Sequence[str] = ()
        self.exchanges = self.failures = 0
        self._reactor = reactor
        self._throttle = throttle
        throttle.tell = self.counters.failed
        self._usedUp = usedUp
        self._threads = Threads(reactor, "cluster", 1, 1, lambda: RuntimeError("busy"))
        self._settings: ClusterConfig | None = None
        self._server: RedisServer | None = None
        assert config.cluster is not None
        self._key = f"{{socksgw:{config.cluster.name}}}"
        self._call: Any = None
        self._alarm: Any = None
        self._asking = self._hurried = self._running = self._failing = False
        self._rested: Deferred[None] | None = None
        self._last = 0.0
        self._why = "it has not answered yet"
        self._trouble = Once()
        self._missing = Once()
        self._dropping = Once()

    @property
    def isAlone(self) -> bool:
        """Whether limits are this member's shares, since Redis is out of reach."""
        return self.counters.alone

    @property
    def standing(self) -> str:
        """How it goes, in one line; empty: all is well."""
        if self.isAlone:
            return f"limits are divided by members: Redis is out of reach: {self._why}"
        if self.absent:
            return f"no word from {', '.join(self.absent)}: the share is kept"
        return ""

    # Its life.

    def change(self, config: Config) -> None:
        """As L{Part.change}."""
        cluster = config.cluster
        if cluster is None:
            # That takes effect at the next start.
            return
        if cluster != self._settings:
            before, self._server = self._server, serverOf(config, cluster)
            if before is not None:
                before.close()
            self._settings = cluster
            self._hurry()
        # Its own name and the cluster's stay until the next start.
        own = self.counters.members.name
        self.counters.membership.change(membersIn(config)._replace(name=own))
        self._divide(self.isAlone)

    def start(self) -> None:
        """As L{Part.start}."""
        self._running = True
        self._hurry()

    def look(self) -> None:
        """As L{Part.look}."""
        self._judge()

    def leave(self) -> Deferred[Any] | None:
        """As L{Part.leave}: the next process takes this one's place."""
        self._stop()
        return None

    def close(self) -> Deferred[Any] | None:
        """As L{Part.close}: what others may have is given back."""
        self._stop()
        rested: Deferred[None] = Deferred()
        self._rested = rested
        rested.addCallback(lambda _: self._left())
        if not self._asking:
            rested.callback(None)
        return rested.addBoth(lambda _: self._threads.stop())

    def _left(self) -> Deferred[Any] | None:
        """Tell Redis that this member has nothing any more."""
        if not self.counters.joined:
            return None
        left = self._ask(self.counters.leaving())
        # What it had ends in time by itself, too.
        return left.addErrback(lambda failure: failure.trap(RedisFailed))

    def _stop(self) -> None:
        self._running = False
        for call in (self._call, self._alarm):
            if call is not None:
                call.cancel()
        self._call = self._alarm = None
        self._throttle.tell = None

    # Exchanges.

    def _ask(self, octets: bytes) -> Deferred[bytes]:
        server, key = self._server, self._key
        assert server is not None
        return self._threads.do(lambda: server.run(SCRIPT, key, octets))

    def _hurry(self) -> None:
        """Have an exchange as soon as may be."""
        if self._asking:
            self._hurried = True
        elif self._running and not self._failing:
            self._later(max(0.0, self._last + _GAP - boottime()))

    def _later(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self._call = self._reactor.callLater(seconds, self._exchange)

    def _exchange(self) -> None:
        self._call = None
        self._asking, self._hurried = True, False
        self._last = sent = boottime()
        self.exchanges += 1
        asked = self._ask(self.counters.request())
        asked.addBoth(self._rest)
        asked.addCallback(self._answered, sent)
        asked.addErrback(self._missed)

    def _rest(self, result: Any) -> Any:
        self._asking = False
        if self._rested is not None:
            self._rested.callback(None)
        return result

    def _answered(self, octets: bytes, sent: float) -> None:
        answer = self.counters.answered(octets, sent)
        if answer.fenced:
            if answer.fenced == "taken":
                name = self.counters.members.name
                self._missed(
                    Failure(RedisFailed(f'another process is the member "{name}"'))
                )
            elif self._running:
                # Redis has lost what it knew of us, or we have been away too long.
                self._later(0)
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._failing = False
        self._why = ""
        self.absent = answer.absent
        if answer.key:
            self._throttle.share(answer.key)
        if answer.drops and self._dropping.begins():
            _log.warn(
                "cluster: Redis drops what is counted when its memory is full "
                "(maxmemory-policy {policy}), and quotas begin anew then: set "
                "noeviction",
                policy=answer.drops,
            )
        for ago, source, who in answer.failures:
            self._throttle.learn(ago, source, who)
        self._judge()
        self.counters.answer()
        if self.counters.ended():
            self._usedUp()
        if self._running:
            held = self.counters.isBusy
            hurried = self._hurried or self.counters.needs
            self._later(_GAP if hurried else _HELD if held else self._pause())

    def _pause(self) -> float:
        """Return seconds between exchanges of a member without leases."""
        return min(_IDLE, self.counters.members.ttl / 4)

    def _missed(self, failure: Failure) -> None:
        self.failures += 1
        self._why = failure.getErrorMessage()
        if failure.check(RedisFailed) is None:
            _log.failure("an exchange failed by a defect in socksgw", failure)
        self.counters.missed()
        if not self._running:
            return
        self._failing = True
        self._later(_AGAIN)
        if self._alarm is None and not self.isAlone:
            left = self.counters.membership.deadline - boottime()
            self._alarm = self._reactor.callLater(left + 0.01, self._ended)
        self._judge()

    def _ended(self) -> None:
        """Have those who wait be judged by the shares."""
        self._alarm = None
        self._judge()
        self.counters.answer()

    # Saying so.

    def _judge(self) -> None:
        """Say it once when shares count, and once when they do no longer."""
        members = self.counters.members
        alone = self.isAlone
        if alone and self._trouble.begins():
            _log.error(
                "cluster: Redis is out of reach ({why}): each limit is divided by "
                "{count} members until it is back; live sessions go on",
                why=self._why,
                count=len(members.all),
            )
            self._divide(True)
            self.counters.answer()
        elif not alone and self._trouble.ends():
            _log.info("cluster: limits are counted together again")
            self._divide(False)
        for name in self._missing.holds(self.absent):
            _log.warn(
                'cluster: no word from member "{name}": its share of each limit is '
                "kept for it; take it out of [cluster] members if it does not run",
                name=name,
            )

    def _divide(self, alone: bool) -> None:
        count = len(self.counters.members.all)
        self._throttle.divide(count if alone else 1)


def serverOf(config: Config, cluster: ClusterConfig) -> RedisServer:
    """
    Return the Redis of a cluster; nothing is connected yet.

    @raise CannotStart: it cannot be asked as the table says.
    """

    def at(path: str) -> str:
        return str(config.directory / path) if path else ""

    try:
        password = None
        if cluster.password_file:
            password = SecretFile(config.directory / cluster.password_file).read
        return RedisServer(
            addressIn(cluster.url),
            float(cluster.timeout),
            cluster.user,
            password,
            at(cluster.ca),
            at(cluster.certificate),
            at(cluster.key),
        )
    except FileError as e:
        raise CannotStart(f"cluster.password_file: {e}") from None
    except ImportError:
        raise CannotStart(
            "cluster: needs an extra: pip install 'socksgw[redis]'"
        ) from None
