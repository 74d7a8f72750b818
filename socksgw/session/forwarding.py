"""
The command whose request is passed on, and answered by the destination.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, final

from socksgw.errors import ConnectFailed, LimitReached, Revoked, SocksError
from socksgw.interfaces import Finding
from socksgw.policy.decision import Decision
from socksgw.policy.questions import Found
from socksgw.relay.forward import STALE
from socksgw.relay.tally import Tally
from socksgw.route.ways import Outlet
from socksgw.session.besides import Besides
from socksgw.session.case import Case
from socksgw.session.command import Routed, named
from socksgw.session.streams import Dialling, targets
from socksgw.wire.address import Address
from socksgw.wire.dialect import Exchange
from socksgw.wire.events import Requested

__all__ = ["Forward"]


@final
class Forward(Dialling):
    """
    One request and its answer.

    The client may make more of them on its connection. Each is a session of its own,
    judged on its own destination. The destination's connection is used again only
    for the same client, user, address, port and rule.
    """

    async def decide(self, case: Case, request: Requested) -> Decision:
        """Ask as for any other: what the session carries is known already."""
        host = named(request)
        name = host.text if isinstance(host, Address) else host
        case.found = Found("http", name)
        return await super().decide(case, request)

    async def route(self, case: Case, request: Requested) -> Routed:
        """Take the connection that was kept, or dial."""
        exchange = case.client.conversation.passOn()
        found = case.found
        assert found is not None
        case.record.carries(
            Finding("http", found.serverName, method=exchange.method),
            reports=case.record.reports,
        )
        outlet = self._kept(case, exchange.safe)
        again = outlet is not None
        # What a way out needs, should the kept connection turn out to be closed.
        shown = case.shown if again else None
        if outlet is None:
            outlet = await self.dial(case)
            if outlet.surplus():
                outlet.abortConnection()
                raise ConnectFailed("it answers before it is asked", None, "bad-answer")

        def relay(early: bytes, tally: Tally) -> Awaitable[None]:
            return self._pass(case, exchange, outlet, again, shown, early, tally)

        return Routed(None, relay)

    def _kept(self, case: Case, safe: bool) -> Any:
        """
        Return the destination's connection that an earlier request has left.

        @param safe: whether the request could be sent again, should that turn out to
            be closed.
        @return: L{None} where there is none that this one may use.
        """
        client, record = case.client, case.record
        kept: Any = client.kept
        client.kept = None
        if kept is None:
            return None
        for host in targets(case) if safe else ():
            verdict = case.verdicts[host]
            if kept.purpose != _purpose(case, host, verdict.rule):
                continue
            # No room for another session by that rule: then it is not used.
            with suppress(LimitReached), Besides(case) as besides:
                besides.admit(verdict)
                outlet = kept.claim()
                if outlet is not None:
                    if isinstance(host, Address):
                        record.dialled = host
                    record.bound = outlet.bound
                    case.livesBy(verdict)
                    record.went(outlet.path, outlet.tls)
                return outlet
        kept.close()
        return None

    async def _pass(
        self,
        case: Case,
        exchange: Exchange,
        outlet: Outlet,
        again: bool,
        shown: tuple[bytes, bytes] | None,
        early: bytes,
        tally: Tally,
    ) -> None:
        """
        Pass the request on, by another connection if the kept one is closed.

        @param shown: as L{Case.shown}, for that other one.
        """
        client, record = case.client, case.record
        while True:
            claim = case.claim
            assert claim is not None
            kept = await case.generation.relays.forward(
                client,
                outlet,
                exchange,
                early,
                tally,
                case.obligations.idle,
                claim.sending,
                claim.receiving,
                _purpose(case, outlet.address, record.rule),
                again,
            )
            if tally.reason != STALE:
                client.kept = kept
                return
            again = False
            early, tally.further = tally.further or b"", None
            try:
                case.shown, shown = shown, None
                outlet = await self._anew(case, outlet.address)
            except SocksError as e:
                client.send(exchange.refuse(e.reason, str(e)))
                tally.reason = e.reason
                if exchange.keepsClient:
                    tally.further = exchange.surplus + early
                return
            finally:
                case.shown = None

    async def _anew(self, case: Case, host: Address | str) -> Outlet:
        """
        Dial an address, or a name, again, if it is still allowed.

        @raise SocksError: it is not, or cannot be reached.
        """
        verdict = self.again(case, case.generation.policy.ruleset)
        if not verdict.allowed:
            raise Revoked("it is allowed no longer")
        return await self.dial(case, (host,) if isinstance(host, Address) else ())


def _purpose(case: Case, host: Address | str, rule: str) -> object:
    """
    Return what a destination's connection may be used for again.

    A login at the destination may hold for its connection (RFC 4559 section 4.1), so
    that it is one user's. And the next gateway may have been told the tag with it.
    """
    record = case.record
    return host, record.port, rule, record.user, record.tag, case.generation
