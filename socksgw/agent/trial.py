"""
A trial, whether the gateway takes this user.
"""

from __future__ import annotations

from typing import Final, final

from socksgw.agent.configuring import GATEWAY, PROGRAMS
from socksgw.agent.diagnosis import diagnose
from socksgw.agent.settings import Settings
from socksgw.agent.trouble import Trouble
from socksgw.errors import SocksError
from socksgw.gateway.gateway import Gateway
from socksgw.interfaces import Asker
from socksgw.login.realm import ANYBODY
from socksgw.policy.leaving import Leaving
from socksgw.route.upstreams.standing import Standing
from socksgw.wire.address import Address

__all__ = ["NOWHERE", "attempt"]

#: What is asked for: a name that does not exist (RFC 6761 section 6.4). The gateway
#: answers after the login, by its policy or its resolver.
NOWHERE: Final = "socksgw-agent.invalid"
_PORT: Final = 1
_LEAVING: Final = Leaving(via=((GATEWAY,),), there=True)


@final
class _Myself:
    """
    The agent, as whom a connection is opened for (L{Traveller}).
    """

    asker = Asker(ANYBODY, Address.parse("127.0.0.1"), PROGRAMS)
    local: Final = None
    port: Final = 0
    gateways: Final = ()

    def __init__(self) -> None:
        self._used: list[Standing] = []

    @property
    def shown(self) -> None:
        """As L{socksgw.route.upstreams.trip.Traveller.shown}: nothing."""

    def joins(self, standing: Standing) -> None:
        """As L{Traveller.joins}."""
        self._used.append(standing)

    def parts(self, standing: Standing) -> None:
        """As L{Traveller.parts}."""
        self._used.remove(standing)
        standing.end()

    def leave(self) -> None:
        """Part with every upstream."""
        for each in list(self._used):
            self.parts(each)


async def attempt(gateway: Gateway, settings: Settings) -> Trouble | None:
    """
    Log in to the gateway as a session does, and ask for nothing that exists.

    @param gateway: the agent's own.
    @return: what is wrong; L{None} if the gateway has answered.
    """
    ways = gateway.generation.waysOf(PROGRAMS, _LEAVING)
    myself = _Myself()
    try:
        outlet = await ways.reach(NOWHERE, _PORT, None, myself)
    except SocksError as e:
        return diagnose(settings, e)
    finally:
        myself.leave()
    outlet.abortConnection()
    return None
