"""
Ask services about what the rules allow: C{[[decider]]}.

A service may only deny. It is asked when everything else is known, the addresses of a
name among it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol, final

from attrs import frozen

from socksgw.policy.questions import DECIDER, Consulting, Question, Verdict
from socksgw.wire.address import Address

__all__ = ["Asked", "Decider", "Opinion", "ask", "concerning", "shortened"]

#: Characters of a reason that a service gives.
_REASON: Final = 200


@final
@frozen
class Opinion:
    """
    What a service says.

    @ivar why: its reason, or why there is no answer; may be empty.
    @ivar failed: whether there is no answer, and the configuration decides.
    """

    allowed: bool
    why: str = ""
    failed: bool = False


class Decider(Protocol):
    """A service (L{socksgw.gateway.deciders})."""

    def ask(self, question: Mapping[str, Any]) -> Awaitable[Opinion]:
        """
        Ask about a request; it never fails.

        @param question: can be written as JSON.
        """


@final
class Asked:
    """
    What services have said of one request.

    @ivar denied: the targets that they deny, each with the verdict.
    @ivar names: the services that were asked, as text.
    @ivar said: what they said, or why they did not, as text; may be empty.
    """

    __slots__ = ("_names", "_said", "denied")

    def __init__(self) -> None:
        self.denied: dict[Address | str, Verdict] = {}
        self._names: list[str] = []
        self._said: list[str] = []

    @property
    def names(self) -> str:
        """Return the names of the services that were asked."""
        return ", ".join(dict.fromkeys(self._names))

    @property
    def said(self) -> str:
        """Return the reasons that they gave."""
        return "; ".join(dict.fromkeys(self._said))

    def heard(
        self, name: str, opinion: Opinion, rule: str, targets: Iterable[Address | str]
    ) -> None:
        """Keep what a service says of some targets, which a rule allows."""
        self._names.append(name)
        if opinion.why:
            said = f"cannot be asked: {opinion.why}" if opinion.failed else opinion.why
            self._said.append(said)
        if opinion.allowed:
            return
        why = opinion.why or "it gives no reason"
        if opinion.failed:
            why = f"it cannot be asked: {why}"
        text = f'decider "{name}": {why} (rule "{rule}" allows it)'
        self.denied.update(dict.fromkeys(targets, Verdict(False, DECIDER, text)))


async def ask(
    deciders: Mapping[str, Decider],
    question: Question,
    verdicts: Mapping[Address | str, Verdict],
    arrive: Callable[[], None] | None,
) -> Asked | None:
    """
    Ask each service that the rules name about what they allow.

    @param verdicts: what the rules say of each address, or of the name.
    @param arrive: called before the first question.
    @return: L{None} where none has to be asked.
    """
    asked: Asked | None = None
    listener = question.asker.listener
    for (rule, each, ticket), targets in _wanted(verdicts, listener).items():
        if asked is None:
            asked = Asked()
            if arrive is not None:
                arrive()
        left = [target for target in targets if target not in asked.denied]
        if left:
            facts = _facts(question, rule, ticket, left)
            asked.heard(each, await deciders[each].ask(facts), rule, left)
    return asked


def _wanted(
    verdicts: Mapping[Address | str, Verdict], listener: str | None
) -> dict[tuple[str, str, str], list[Address | str]]:
    """Return what is asked about, by rule, service and ticket."""
    found: dict[tuple[str, str, str], list[Address | str]] = {}
    for target, verdict in verdicts.items():
        for each in verdict.obligations.deciders if verdict.allowed else ():
            if each.concerns(listener):
                key = verdict.rule, each.name, verdict.ticket
                found.setdefault(key, []).append(target)
    return found


def _facts(
    question: Question, rule: str, ticket: str, targets: Iterable[Address | str]
) -> Mapping[str, Any]:
    """Return what a service is told: what rules could ask for, and their verdict."""
    asker = question.asker
    user, source, found = asker.user, asker.source, question.found
    return {
        "user": user.name,
        "groups": sorted(user.groups),
        "method": user.method,
        "tag": asker.tag or "",
        "source": None if source is None else source.text,
        "listener": asker.listener,
        "secured": asker.secured,
        "command": question.command,
        "name": question.name,
        "addresses": [each.text for each in targets if isinstance(each, Address)],
        "port": question.port,
        "application": None if found is None else found.application,
        "server_name": None if found is None else found.serverName,
        "rule": rule,
        "ticket": ticket,
    }


def shortened(text: str) -> str:
    """Return a reason as it may stand in a record: one line, not long."""
    line = " ".join(text.split())
    clean = "".join(each if each.isprintable() else "?" for each in line[:_REASON])
    return clean if len(line) <= _REASON else f"{clean}…"


def concerning(
    consulting: Iterable[Consulting], listener: str | None = None
) -> tuple[str, ...]:
    """Return the names of the services that are asked; of any listener, if L{None}."""
    return tuple(
        each.name for each in consulting if listener is None or each.concerns(listener)
    )
