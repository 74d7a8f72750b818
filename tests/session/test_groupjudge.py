"""
What judges the groups of a client, where the journal or the rules change meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

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
from socksgw.relay.groups import Unpermitted, Wanted
from socksgw.session.multicast import Multicast
from socksgw.wire.address import Address
from socksgw.wire.multicast import Outcome
from tests.fakes.policy import ruleset
from tests.fakes.resolver import Names

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


def judging(gateway: Gateway) -> Any:
    """Return the judge of a client that has entered the mode."""
    user = SimpleNamespace(
        name="alice", method="none", groups=frozenset(), anonymous=False, doubt=""
    )
    case: Any = SimpleNamespace(
        gateway=gateway,
        generation=gateway.generation,
        client=SimpleNamespace(program=None),
        flows=None,
        asker=Asker(user, CLIENT, "lan"),
        remain=lambda generation: None,
        record=SessionRecord(1, "lan", CLIENT, 40000, 0.0),
    )
    request: Any = None
    Deferred.fromCoroutine(Multicast().route(case, request))
    return case.flows


def asked(judge: Any, group: str) -> list[Any]:
    """Ask for a group, and return where what comes of it will stand."""
    found: list[Any] = []
    wanted = Wanted(Address.parse(group), 5004, True, None, ())
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
