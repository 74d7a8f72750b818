"""
A flow's decision: the rule of the address that it uses.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from socksgw.audit.record import SessionRecord
from socksgw.config.schema import Limit, Rate, Rule
from socksgw.errors import LimitReached
from socksgw.interfaces import Asker
from socksgw.limits.allowance import Allowances
from socksgw.limits.counters import ProcessCounters
from socksgw.limits.limits import Limits
from socksgw.policy.decision import Policy
from socksgw.session import flowjudge
from socksgw.wire.address import Address
from socksgw.wire.datagram import Datagram
from tests.fakes.policy import PUBLIC, PUBLIC6, ruleset
from tests.fakes.resolver import Names

RULES = f"""
[[rule]]
id = "six"
allow = "any"
to = ["{PUBLIC6}"]
ticket = "T-6"
udp = {{ replies = "any" }}
[[rule]]
id = "four"
allow = "any"
to = ["{PUBLIC}"]
"""


def test_theAddressThatIsUsedCounts() -> None:
    """
    Of a name with several addresses, the rule of the one that there is a way to
    bounds the flow, says whose answers come back, and stands in the record.
    """
    four, six = Address.parse(PUBLIC), Address.parse(PUBLIC6)
    outlet: Any = SimpleNamespace(choose=lambda addresses, _: addresses[-1])
    clock = Clock()
    limits = Limits(ProcessCounters(clock.seconds), Allowances(clock, clock.seconds))
    own = Limit("rule", flows=1, rate=Rate(1000))
    limits.apply((), [Rule(id="four", allow="any", limits=own)])
    names = Names()
    names.addresses["two.example"] = [PUBLIC6, PUBLIC]
    lines: list[Any] = []

    async def commit(line: str, stranger: bool = False) -> None:
        lines.append(json.loads("{" + line + "}"))

    gateway = SimpleNamespace(
        changes=0,
        generation=SimpleNamespace(
            policy=Policy(ruleset(RULES), names), mark="0123456789ab"
        ),
        journal=SimpleNamespace(
            commit=commit,
            append=lambda line: lines.append(json.loads("{" + line + "}")),
        ),
        limits=limits,
    )
    user = SimpleNamespace(name="alice", method="none", groups=frozenset())
    session: Any = SimpleNamespace(
        gateway=gateway,
        asker=Asker(user, four, "lan"),
        remain=lambda generation: None,
        record=SessionRecord(1, "lan", four, 40000, 0.0),
    )
    judge = flowjudge.FlowJudge(session, outlet)
    datagram = Datagram(0, "two.example", 53, b"", b"two.example")
    found: list[Any] = []

    def ask() -> None:
        judging = Deferred.fromCoroutine(judge.judge(datagram))
        judging.addBoth(found.append)

    ask()
    (permit,) = found
    assert permit.address == four
    assert permit.replies == "exact"
    assert permit.sending is not None
    (line,) = lines
    assert (line["rule"], line["rules"]) == ("four", ["six", "four"])
    assert "ticket" not in line
    # The flow is counted by that rule alone.
    ask()
    assert found.pop().check(LimitReached)
    outlet.choose = lambda addresses, _: addresses[0]
    ask()
    permit = found[-1]
    assert (permit.address, permit.replies) == (six, "any")
    assert (lines[-1]["rule"], lines[-1]["ticket"]) == ("six", "T-6")
