"""
What generations share: parts that are made once for the process, and a pool of
those that live as long as some generation wants them.

In the pool, with their keys: the resolver (its settings), the TLS of a listener
(its table), threads by purpose (hashing, PAM, Kerberos), and the groups that a
decision service has told at logins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from socksgw.gateway.host import HostAddresses
from socksgw.interfaces import SetDeadline
from socksgw.login.throttle import LoginThrottle
from socksgw.policy.told import Told
from socksgw.relay.memory import Memory, Pipes
from socksgw.route.outward import Outward
from socksgw.system.usage import UsagePool
from socksgw.system.watch import Watch

__all__ = ["Shared"]


@final
class Shared:
    """
    What outlives a generation.

    @ivar append: adds a line to the journal.
    @ivar clock: monotonic seconds.
    @ivar memory: what everything that waits for a reader is counted in.
    @ivar pool: what is counted, and ends with the last generation that has it.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Callable[[], float],
        setDeadline: SetDeadline,
        hosts: HostAddresses,
        memory: Memory,
        append: Callable[[str], None],
    ) -> None:
        """
        @param clock: monotonic seconds.
        @param append: adds a line to the journal.
        """
        self.append = append
        self.reactor = reactor
        self.clock = clock
        self.setDeadline = setDeadline
        self.hosts = hosts
        self.memory = memory
        self.pipes = Pipes()
        self.told = Told(clock)
        self.outward = Outward()
        self.watch = Watch(reactor)
        self.throttle = LoginThrottle(clock, reactor.callLater)
        self.pool = UsagePool()

    def start(self) -> None:
        """
        Begin to watch. Not before: whoever becomes a daemon forks until then.
        """
        self.watch.start()

    def close(self) -> None:
        """
        End everything: no generation is used any more.
        """
        # What is in the pool has sockets that are watched.
        self.pool.close()
        self.watch.stop()
        self.pipes.close()
        self.hosts.close()
