"""
What generations share.

Some parts are made once for the process. Others are in a pool, and live as long
as some generation uses them: the resolver (by its settings), the TLS of a listener
(by its table), threads (by their purpose), files of secrets (by their path), and the
groups of users that a decision service has named at logins (by its URL).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from socksgw.gateway.host import HostAddresses
from socksgw.gateway.networks import Networks
from socksgw.interfaces import SetDeadline
from socksgw.login.checkers import HashingPool
from socksgw.login.throttle import LoginThrottle
from socksgw.metrics.meters import Meters
from socksgw.policy.told import Told
from socksgw.relay.memory import Memory, Pipes
from socksgw.route.outward import Elsewhere, nowhere
from socksgw.route.upstreams.checks import ALONE
from socksgw.system.threads import Threads
from socksgw.system.usage import UsagePool
from socksgw.system.watch import Watch

__all__ = ["Shared"]


@final
class Shared:
    """
    The parts of a gateway that outlive a generation.

    @ivar append: adds a line to the journal.
    @ivar checks: which process checks upstreams.
    @ivar clock: returns monotonic seconds.
    @ivar meters: what sessions count.
    @ivar memory: counts the octets that wait for slow readers.
    @ivar pool: the parts that end with the last generation that uses them.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Callable[[], float],
        setDeadline: SetDeadline,
        hosts: HostAddresses,
        memory: Memory,
        append: Callable[[str], None],
        netns: Path = Path("/run/socksgw/netns"),
        elsewhere: Elsewhere = nowhere,
    ) -> None:
        """
        Make what all generations share, and start nothing yet.

        @param clock: returns monotonic seconds.
        @param append: adds a line to the journal.
        @param netns: the directory of the sockets of brokers.
        @param elsewhere: as of L{Networks}.
        """
        self.append = append
        self.checks = ALONE
        self.reactor = reactor
        self.clock = clock
        self.setDeadline = setDeadline
        self.hosts = hosts
        self.memory = memory
        self.meters = Meters()
        self.pipes = Pipes()
        self.told = Told(clock)
        self.watch = Watch(reactor)
        self.networks = Networks(netns, hosts, self.watch, append, elsewhere)
        self.throttle = LoginThrottle(clock, reactor.callLater)
        self.pool = UsagePool()

    def start(self) -> None:
        """
        Begin to watch descriptors.

        An epoll instance must not be in use while twistd forks, so this comes
        after that.
        """
        self.watch.start()
        self.hosts.follow(self.watch)
        self.networks.start()

    def threads(self) -> list[tuple[str, int, int, int]]:
        """
        Return what each pool of threads does.

        @return: its name, the threads at work, those that may be, the calls that wait.
        """
        pools = {each.figures for each in self.pool.each(Threads)}
        pools |= {each.figures for each in self.pool.each(HashingPool)}
        own = self.reactor.getThreadPool()
        waiting: int = own._team.statistics().backloggedWorkCount
        return [("reactor", len(own.working), own.max, waiting), *sorted(pools)]

    def close(self) -> None:
        """
        End everything, when no session is left.
        """
        # Parts in the pool have sockets that are watched.
        self.pool.close()
        self.networks.close()
        self.watch.stop()
        self.pipes.close()
        self.hosts.close()
