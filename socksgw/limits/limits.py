"""
What C{[[limit]]} and the C{limits} of rules mean.

They are compiled once for each configuration, and counted for each session and
flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final, NoReturn, final

from socksgw.config.schema import Limit, Rule
from socksgw.errors import LimitReached, NotCounted, QuotaUsedUp
from socksgw.interfaces import Asker
from socksgw.limits.allowance import Allowance, Allowances, Bucket
from socksgw.limits.bound import OF_COMMAND, Bound, Some
from socksgw.limits.counters import NEW, Counters, Key
from socksgw.limits.window import Window, named

__all__ = ["DEFAULTS", "Claim", "Limits"]

#: Where the configuration says no other: the live associations of one user, and
#: the live associations and BINDs of one source, so that it takes neither all ports
#: nor all descriptors (an association needs four). Each multicast group is a membership
#: of this host, which brings all its datagrams here.
DEFAULTS: Final = (
    Limit("user", associations=4096),
    Limit("source", associations=1024, binds=1024, groups=64),
    Limit("all", groups=1024),
)
#: A command that is not among them; and the most rules of which a claim is kept.
_UNCOUNTED: Final = "connect"
_MOST: Final = 1024
#: Commands whose octets are bounded by session; an association's are by flow.
_STREAMS: Final = ("connect", "bind")
#: Kinds of limits that several clients do not share.
_ALONE: Final = ("source", "user")


def _missing(limits: Sequence[Limit], defaults: Sequence[Limit]) -> list[Limit]:
    """Return the amounts of the defaults that no limit says otherwise."""
    return [
        Limit(default.per, **{name: getattr(default, name)})
        for default in defaults
        for name in dict.fromkeys((*OF_COMMAND.values(), "groups"))
        if getattr(default, name) is not None
        and not any(
            x.per == default.per and getattr(x, name) is not None for x in limits
        )
    ]


@final
class Claim:
    """
    What one session, or one flow, takes of the limits.

    @ivar rule: the rule that allowed it.
    @ivar keys: where it is counted.
    @ivar windows: the quotas that it uses.
    @ivar sending: what bounds the octets from the client; L{None} for nothing.
    @ivar receiving: the same for those to the client.
    """

    __slots__ = ("keys", "receiving", "rule", "sending", "windows")

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.keys: Sequence[Key] = ()
        self.windows: Sequence[Window] = ()
        self.sending: Allowance | None = None
        self.receiving: Allowance | None = None

    @property
    def over(self) -> QuotaUsedUp | None:
        """The failure for the first of its quotas that is used up; L{None} for none."""
        for window in self.windows:
            if window.over:
                return QuotaUsedUp(str(window))
        return None

    def wake(self) -> None:
        """Have what waits look again: a window may have begun."""
        for allowance in (self.sending, self.receiving):
            if allowance is not None:
                allowance.wake()

    def close(self) -> None:
        """Let go of the allowances: nothing moves any more."""
        if self.sending is not None:
            self.sending.close()
        if self.receiving is not None:
            self.receiving.close()


@final
class Limits:
    """
    The limits in force.

    @ivar live: how many sessions live.
    @ivar refused: how many sessions and flows were refused.
    @ivar enforced: whether live sessions end when a quota is used up.
    @ivar usedUp: whether a quota may have been used up since this was set to
        L{False}.
    """

    def __init__(self, counters: Counters, allowances: Allowances) -> None:
        self._counters = counters
        self._allowances = allowances
        self._entering: tuple[Bound, ...] = ()
        self._arriving: tuple[Bound, ...] = ()
        self._ofCommand: dict[str, tuple[Bound, ...]] = {}
        self._flowing: tuple[Bound, ...] = ()
        self._grouped: tuple[Bound, ...] = ()
        self._rules: dict[str, Bound] = {}
        self._ports: Mapping[str, int] = {}
        # By rule, the claim of all sessions that nothing counts nor bounds.
        self._free: dict[str, Claim] = {}
        self._parts = 1
        self.live = self.refused = 0
        self.enforced = True
        self.usedUp = False
        self.apply((), ())

    def apply(
        self,
        limits: Sequence[Limit],
        rules: Sequence[Rule],
        enforced: bool = True,
        *,
        defaults: Sequence[Limit] = DEFAULTS,
        ports: Mapping[str, int] | None = None,
        parts: int = 1,
        some: Sequence[Some | None] = (),
    ) -> None:
        """
        Replace the limits.

        Nothing that was counted is forgotten. A live session is counted by the new
        limits when L{again} is called for it.

        @param defaults: amounts of associations and BINDs that hold where
            C{limits} says no other.
        @param ports: how many ports one source may have at a listener that has a
            range of ports for relay sockets and BIND.
        @param parts: among how many machines each rate is divided.
        @param some: who counts in each of C{limits}; by default all in each.
        """
        self._ports = ports or {}
        self._free.clear()
        self._parts = parts
        counting = list(zip_longest(limits, some[: len(limits)]))
        general = [limit for limit, who in counting if who is None]
        counting += [(limit, None) for limit in _missing(general, defaults)]
        kinds: dict[tuple[str, str], list[tuple[Limit, Some | None]]] = {}
        for limit, who in counting:
            kind = (limit.per, "" if who is None else who.text)
            kinds.setdefault(kind, []).append((limit, who))
        bounds = [
            Bound(per, "", [limit for limit, _ in alike], alike[0][1])
            for (per, _), alike in kinds.items()
        ]
        self._entering = tuple(b for b in bounds if b.entering)
        self._arriving = tuple(b for b in bounds if b.per in _ALONE and b.newSessions)
        self._ofCommand = {
            command: tuple(b for b in bounds if b.entering or command in b.ofCommand)
            for command in OF_COMMAND
        }
        self._flowing = tuple(b for b in bounds if b.moving or b.flows is not None)
        self._grouped = tuple(b for b in bounds if b.moving or b.groups is not None)
        self._rules = {
            rule.id: Bound(rule.limits.per, rule.id, [rule.limits])
            for rule in rules
            if rule.limits is not None
        }
        self.enforced = enforced
        self.usedUp = True

    # Sessions.

    def arrive(self, asker: Asker) -> None:
        """
        Count a session as new before a name is looked up for it.

        That is done whatever the rules will say, and so only by limits per user
        and source; limits that several share count what is allowed.

        @raise LimitReached: a limit forbids it; the text says which.
        @raise NotCounted: that is not known yet.
        """
        events = [
            ((event, bound.per, bound.rule, who), most)
            for bound in self._arriving
            for who in bound.who(asker, "")
            for event, most in bound.newSessions
        ]
        if self._counters.asks:
            self._ask(events)
        full = self._counters.happen(events) if events else None
        if full is not None:
            self._refuse(full, events)

    def _ask(
        self, wanted: Sequence[tuple[Key, int]], windows: Sequence[Window] = ()
    ) -> None:
        """
        Ask other machines, where that is needed.

        @raise NotCounted: they have not answered yet.
        """
        known = self._counters.ask(wanted, [each.asked for each in windows])
        if known is not None:
            raise NotCounted(known)

    def take(
        self, asker: Asker, command: str, rule: str, arrived: bool = False
    ) -> Claim:
        """
        Count one more session.

        @param rule: the rule that allows it.
        @param arrived: whether it was counted by L{arrive}.
        @raise LimitReached: a limit forbids it; the text says which.
        @raise NotCounted: that is not known yet.
        """
        if command == _UNCOUNTED and (free := self._free.get(rule)) is not None:
            self.live += 1
            return free
        bounds = self._boundsOf(command, rule)
        claim = Claim(rule)
        if command == _UNCOUNTED and not bounds:
            if len(self._free) >= _MOST:
                self._free.clear()
            self._free[rule] = claim
        elif bounds or self._ports:
            counted, events = self._wanted(bounds, asker, command, rule, arrived)
            counted += self._wantedPort(asker, command)
            self._enter(claim, bounds, asker, counted, events)
            if command in _STREAMS:
                self._allow(claim, bounds, asker)
        self.live += 1
        return claim

    def full(self, asker: Asker, command: str, rule: str) -> str:
        """
        Return which limit forbids one more session now, in words; empty for none.

        Nothing is counted; how many are new within a second is not looked at.
        """
        bounds = self._boundsOf(command, rule)
        for window in self._windows(bounds, asker, rule):
            if window.over:
                return str(window)
        counted, _ = self._wanted(bounds, asker, command, rule)
        for key, most in (*counted, *self._wantedPort(asker, command)):
            if self._counters.counted(key) >= most:
                return named(f"{most} {key[0]}", key)
        return ""

    def beside(self, asker: Asker, command: str, rule: str) -> Claim:
        """
        Count a session by the rule of one more address that it may use.

        @raise LimitReached: a limit of that rule forbids it.
        """
        claim = Claim(rule)
        own = self._rules.get(rule)
        if own is not None and (own.entering or command in own.ofCommand):
            counted, events = self._wanted((own,), asker, command, rule)
            try:
                self._enter(claim, (own,), asker, counted, events)
            except NotCounted:
                # A dialler cannot wait for it. The next one finds it known.
                self.refused += 1
                raise LimitReached(
                    f'limits of rule "{rule}" are not known yet'
                ) from None
        return claim

    def leave(self, claim: Claim) -> None:
        """Undo L{beside}."""
        self._counters.give(claim.keys)

    def give(self, claim: Claim) -> None:
        """Count one session less."""
        self.live -= 1
        if claim.keys:
            self._counters.give(claim.keys)
        claim.close()

    def again(self, claim: Claim, asker: Asker, command: str, rule: str) -> Claim:
        """
        Count a live session by the limits of now, in place of its claim.

        @param rule: the rule that allows the session now.
        @return: the new claim. The old one is to be closed when the new one bounds
            what moves.
        """
        bounds = self._boundsOf(command, rule)
        counted, _ = self._wanted(bounds, asker, command, rule)
        counted += self._wantedPort(asker, command)
        new = self._moved(claim, bounds, asker, rule, counted)
        if command in _STREAMS:
            self._allow(new, bounds, asker)
        return new

    def resume(self, asker: Asker, command: str, rule: str) -> Claim:
        """
        Count a session that another process has counted until now.

        @param rule: the rule that allows it.
        """
        self.live += 1
        return self.again(Claim(rule), asker, command, rule)

    def _boundsOf(self, command: str, rule: str) -> tuple[Bound, ...]:
        bounds = self._ofCommand.get(command, self._entering)
        own = self._rules.get(rule)
        return bounds if own is None else (*bounds, own)

    def _wanted(
        self,
        bounds: Sequence[Bound],
        asker: Asker,
        command: str,
        rule: str,
        arrived: bool = False,
    ) -> tuple[list[tuple[Key, int]], list[tuple[Key, int]]]:
        """
        Return what is counted of a session.

        @return: keys of what lives and keys of events, each with its limit.
        """
        counted: list[tuple[Key, int]] = []
        events: list[tuple[Key, int]] = []
        for bound in bounds:
            for who in bound.who(asker, rule):
                at = (bound.per, bound.rule, who)
                if bound.sessions is not None:
                    counted.append((("sessions", *at), bound.sessions))
                if command in bound.ofCommand:
                    what = OF_COMMAND[command]
                    counted.append(((what, *at), bound.ofCommand[command]))
                if bound.newSessions and not (arrived and bound in self._arriving):
                    events += [((event, *at), n) for event, n in bound.newSessions]
        return counted, events

    def _wantedPort(self, asker: Asker, command: str) -> list[tuple[Key, int]]:
        """Return the key of the listener's ports with its limit, if one is taken."""
        if command not in OF_COMMAND or asker.listener not in self._ports:
            return []
        most = self._ports[asker.listener]
        who = f"{asker.listener} {asker.source.sourceText}"
        return [(("ports", "source", "", who), most)]

    # Flows.

    def takeFlow(self, asker: Asker, rule: str) -> Claim:
        """
        Count one more flow of an association.

        @param rule: the rule that allows it.
        @raise LimitReached: a limit forbids it; the text says which.
        @raise NotCounted: that is not known yet.
        """
        bounds = self._flowBoundsOf(rule)
        claim = Claim(rule)
        if bounds:
            self._enter(claim, bounds, asker, self._flows(bounds, asker, rule), ())
        return claim

    def giveFlow(self, claim: Claim) -> None:
        """Count one flow less."""
        self._counters.give(claim.keys)

    def flowAgain(self, claim: Claim, asker: Asker, rule: str) -> Claim:
        """Count a live flow by the limits of now, as L{again} does a session."""
        bounds = self._flowBoundsOf(rule)
        counted = self._flows(bounds, asker, rule)
        return self._moved(claim, bounds, asker, rule, counted)

    def datagrams(self, asker: Asker, rule: str) -> Claim:
        """Return what bounds the datagrams of all flows that a rule allows."""
        bounds = self._flowBoundsOf(rule)
        claim = Claim(rule)
        claim.windows = self._windows(bounds, asker, rule)
        self._allow(claim, bounds, asker)
        return claim

    def _flowBoundsOf(self, rule: str) -> tuple[Bound, ...]:
        return self._boundsFor(self._flowing, rule)

    def _boundsFor(self, bounds: tuple[Bound, ...], rule: str) -> tuple[Bound, ...]:
        """Return bounds, with those of a rule."""
        own = self._rules.get(rule)
        return bounds if own is None else (*bounds, own)

    def _flows(
        self, bounds: Sequence[Bound], asker: Asker, rule: str
    ) -> list[tuple[Key, int]]:
        return [
            (("flows", bound.per, bound.rule, who), bound.flows)
            for bound in bounds
            if bound.flows is not None
            for who in bound.who(asker, rule)
        ]

    # Multicast groups.

    def takeGroup(self, asker: Asker, rule: str) -> Claim:
        """Count one more group that a client is in, as L{takeFlow} does a flow."""
        bounds = self._boundsFor(self._grouped, rule)
        claim = Claim(rule)
        if bounds:
            counted = self._groups(bounds, asker, rule)
            self._enter(claim, bounds, asker, counted, ())
            self._allow(claim, bounds, asker)
        return claim

    def giveGroup(self, claim: Claim) -> None:
        """Count one group less."""
        self._counters.give(claim.keys)
        claim.close()

    def groupAgain(self, claim: Claim, asker: Asker, rule: str) -> Claim:
        """Count a group by the limits of now, as L{again} does a session."""
        bounds = self._boundsFor(self._grouped, rule)
        counted = self._groups(bounds, asker, rule)
        new = self._moved(claim, bounds, asker, rule, counted)
        self._allow(new, bounds, asker)
        claim.close()
        return new

    def _groups(
        self, bounds: Sequence[Bound], asker: Asker, rule: str
    ) -> list[tuple[Key, int]]:
        return [
            (("groups", bound.per, bound.rule, who), bound.groups)
            for bound in bounds
            if bound.groups is not None
            for who in bound.who(asker, rule)
        ]

    # All.

    def _enter(
        self,
        claim: Claim,
        bounds: Sequence[Bound],
        asker: Asker,
        counted: Sequence[tuple[Key, int]],
        events: Sequence[tuple[Key, int]],
    ) -> None:
        """
        Count a session or a flow, and write it into its claim.

        @raise LimitReached: a limit forbids it, and nothing was counted.
        @raise NotCounted: that is not known yet.
        """
        windows = self._windows(bounds, asker, claim.rule)
        if self._counters.asks:
            self._ask((*counted, *events), windows)
        for window in windows:
            if window.over:
                self.refused += 1
                raise QuotaUsedUp(str(window))
        full = self._counters.take(counted) if counted else None
        keys = [key for key, _ in counted]
        if full is None and events:
            full = self._counters.happen(events)
            if full is not None:
                self._counters.give(keys)
        if full is not None:
            self._refuse(full, (*counted, *events))
        claim.keys = keys
        claim.windows = windows

    def _refuse(self, full: Key, wanted: Iterable[tuple[Key, int]]) -> NoReturn:
        """
        Count a refusal.

        @raise LimitReached: always.
        """
        self.refused += 1
        most = dict(wanted)[full]
        per = " per second" if full[0] == NEW else ""
        raise LimitReached(named(f"{most} {full[0]}{per}", full))

    def _moved(
        self,
        before: Claim,
        bounds: Sequence[Bound],
        asker: Asker,
        rule: str,
        counted: Sequence[tuple[Key, int]],
    ) -> Claim:
        claim = Claim(rule)
        claim.keys = [key for key, _ in counted]
        claim.windows = self._windows(bounds, asker, rule)
        if any(window.ended for window in before.windows):
            for window in claim.windows:
                window.end()
        self._counters.add(claim.keys)
        self._counters.give(before.keys)
        self.usedUp = self.usedUp or bool(claim.windows)
        return claim

    def _windows(
        self, bounds: Sequence[Bound], asker: Asker, rule: str
    ) -> Sequence[Window]:
        return [
            Window(self, self._counters, ("octets", bound.per, bound.rule, who), quota)
            for bound in bounds
            if bound.quotas
            for who in bound.who(asker, rule)
            for quota in bound.quotas
        ]

    def _allow(self, claim: Claim, bounds: Sequence[Bound], asker: Asker) -> None:
        """Make the allowances of a claim."""
        if not any(bound.moving for bound in bounds):
            return
        all_ = self._allowances
        sending: list[Bucket] = []
        receiving: list[Bucket] = []
        for bound in bounds:
            if bound.rate is not None:
                rate = max(1, bound.rate // self._parts)
                for who in bound.who(asker, claim.rule):
                    at = (bound.per, bound.rule, who)
                    sending.append(all_.bucket(("sent", *at), rate))
                    receiving.append(all_.bucket(("received", *at), rate))
        claim.sending = all_.allowance(sending, claim.windows)
        claim.receiving = all_.allowance(receiving, claim.windows)
