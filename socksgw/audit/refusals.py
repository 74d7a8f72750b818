"""
Decide which refusals have lines of their own in the journal, and which are summed.

So refused clients cannot fill the journal, whether the policy refused them or
something before it.

Clients without a login are told apart by source (an IPv4 address, or an IPv6
/64), the others by user. Each client has some lines a second, and all clients of
one kind (with or without a login) share a budget that refills. Refusals beyond
either are counted, and become one line a second for each source, user and rule;
if these are too many, the rest shares one line. Clients without a login also have a
ration of octets, half of it for sums; when that is used up, their sums wait until
it refills. Grants are not counted here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from json.encoder import encode_basestring_ascii as quoted
from typing import Final, NamedTuple, final

from socksgw.audit.ration import Ration
from socksgw.wire.address import Address

__all__ = ["Refusal", "Refusals"]

#: Sums of one kind of clients in a second; further ones are summed together.
_SUMS: Final = 20
#: Clients, and sums, told apart within a second.
_APART: Final = 4_096


class Refusal(NamedTuple):
    """
    What a refusal is counted by.

    @ivar source: the client's address.
    @ivar user: the user name; empty before the login.
    @ivar loggedIn: whether the client has logged in as a user.
    @ivar reason: the cause, as a fixed word.
    @ivar destination: what the policy refused; empty when it was not asked.
    @ivar rule: the rule that refused it; empty when none did.
    """

    source: Address
    user: str
    loggedIn: bool
    reason: str
    destination: str = ""
    rule: str = ""


@final
class _Sum:
    """
    The sum of refusals, within a second, that have no lines of their own.
    """

    __slots__ = ("count", "first", "last", "reasons", "which")

    def __init__(self, which: Refusal | None) -> None:
        """
        @param which: the first one; L{None} for a sum of different clients.
        """
        self.which = which
        self.count = 0
        self.reasons: dict[str, int] = {}
        self.first = self.last = ""

    def add(self, reason: str, first: str, last: str, count: int = 1) -> None:
        """Count refusals for one reason, from the first destination to the last."""
        self.count += count
        self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.first = self.first or first
        self.last = last

    def merge(self, other: _Sum) -> None:
        """Add another sum to this one."""
        for reason, count in other.reasons.items():
            self.add(reason, other.first, other.last, count)

    def line(self) -> str:
        """Return the JSON members of the sum's line."""
        which = self.which
        source = quoted(which.source.sourceText) if which is not None else "null"
        event = "denials" if self.first else "refusals"
        line = f'"event":"{event}","source":{source}'
        if which is not None and which.user:
            line += f',"user":{quoted(which.user)}'
        if which is not None and which.rule:
            line += f',"rule":{quoted(which.rule)}'
        reasons = ",".join(f"{quoted(r)}:{n}" for r, n in self.reasons.items())
        line += f',"count":{self.count},"reasons":{{{reasons}}}'
        if self.first:
            line += f',"first":{quoted(self.first)},"last":{quoted(self.last)}'
        return line


class _Rate(NamedTuple):
    """
    How many lines there are for one kind of clients.

    @ivar each: lines of one client in a second, while at least half of the
        budget is left.
    @ivar few: the same, below that.
    @ivar burst: the budget: lines of all clients at once.
    @ivar refill: lines that are added to it in a second.
    """

    each: int
    few: int
    burst: int
    refill: float


_STRANGERS: Final = _Rate(500, 5, 2_000, 20.0)
_USERS: Final = _Rate(500, 20, 10_000, 50.0)


@final
class _Clients:
    """
    The refusals of one kind of clients.
    """

    def __init__(self, rate: _Rate, ration: Ration | None = None) -> None:
        self._rate = rate
        self._ration = ration
        self._budget = float(rate.burst)
        self._taken: dict[Hashable, int] = {}
        self._sums: dict[Hashable, _Sum] = {}

    def take(self, client: Hashable) -> bool:
        """Tell whether one more refusal of that client has its own line."""
        rate, taken = self._rate, self._taken.get(client, 0)
        most = rate.each if self._budget > rate.burst / 2 else rate.few
        known = taken or len(self._taken) < _APART
        if taken >= most or self._budget < 1 or not known:
            return False
        if self._ration is not None and self._ration.isShort:
            return False
        self._taken[client] = taken + 1
        self._budget -= 1
        return True

    def wrote(self, body: str) -> None:
        """Charge a line to the ration: that of a refusal, or of a sum."""
        if self._ration is not None:
            self._ration.spend(body)

    def count(self, refusal: Refusal) -> None:
        """Count a refusal that has no line of its own."""
        source, user, _, reason, destination, rule = refusal
        key: Hashable = (source.sourceKey, user, rule, bool(destination))
        which: Refusal | None = refusal
        if key not in self._sums and len(self._sums) >= _APART:
            key, which = bool(destination), None
        found = self._sums.get(key)
        if found is None:
            found = self._sums[key] = _Sum(which)
        found.add(reason, destination, destination)

    def sums(self, seconds: float, last: bool) -> Iterator[str]:
        """
        Yield the lines of the sums, and start counting again.

        @param seconds: how long ago this was last called.
        @param last: whether sums have to be written now, for the journal ends.
        """
        rate = self._rate
        self._budget = min(float(rate.burst), self._budget + seconds * rate.refill)
        self._taken.clear()
        if self._ration is not None:
            self._ration.refill(seconds)
        if self._ration is not None and self._ration.isUsedUp and not last:
            return
        found = sorted(self._sums.values(), key=lambda each: -each.count)
        self._sums.clear()
        named = [each for each in found if each.which is not None]
        # Refusals and denials that do not fit.
        rest = _Sum(None), _Sum(None)
        for each in [each for each in found if each.which is None] + named[_SUMS:]:
            rest[bool(each.first)].merge(each)
        for each in [*named[:_SUMS], *rest]:
            if each.count:
                line = each.line()
                self.wrote(line)
                yield line


@final
class Refusals:
    """
    Decides which refusals have lines of their own, and sums the others.
    """

    def __init__(self, ration: Ration | None = None) -> None:
        """
        @param ration: octets for clients without a login; L{None} for no bound.
        """
        self._strangers = _Clients(_STRANGERS, ration)
        self._users = _Clients(_USERS)
        self._at: float | None = None

    def whole(self, refusal: Refusal) -> bool:
        """
        Tell whether a refusal has a line of its own, and count it if not.
        """
        clients = self._clientsOf(refusal)
        client = refusal.user if refusal.loggedIn else refusal.source.sourceKey
        if clients.take(client):
            return True
        clients.count(refusal)
        return False

    def _clientsOf(self, refusal: Refusal) -> _Clients:
        return self._users if refusal.loggedIn else self._strangers

    def wrote(self, refusal: Refusal, body: str) -> None:
        """Charge the line of a refusal that has its own."""
        self._clientsOf(refusal).wrote(body)

    def sums(self, now: float, last: bool = False) -> Iterator[tuple[str, bool]]:
        """
        Yield the lines of the last second's sums.

        Each comes with whether it is of clients without a login.

        @param now: monotonic seconds.
        @param last: whether the journal is being closed.
        """
        before, self._at = self._at, now
        seconds = now - before if before is not None else 0.0
        for line in self._strangers.sums(seconds, last):
            yield line, True
        for line in self._users.sums(seconds, last):
            yield line, False
