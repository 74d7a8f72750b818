"""
Ask the services of C{[[decider]]} by HTTP, as one asks an Open Policy Agent.

The question is C{{"input": {…}}}. The answer is C{{"result": true}} or C{false}, or
C{{"result": {"allow": true, "reason": "…"}}}.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from socksgw.config.schema import Decider
from socksgw.interfaces import Settings
from socksgw.login.refusal import Refused
from socksgw.login.stores.httpservice import JSONService
from socksgw.login.stores.remote import Turns, Unavailable, trustIn, urlIn
from socksgw.policy.deciders import Opinion, shortened
from socksgw.system.keptsecret import KeptSecret
from socksgw.system.tlspeer import TLSPeer

__all__ = ["HTTPDecider", "deciderFor"]

#: Seconds that a question may take, and that an answer may count, at most.
_LONGEST: Final = 60.0
_KEPT: Final = 300.0
#: Answers that are kept.
_MOST: Final = 4096
#: Questions that are asked and wait, at most: what is allowed waits for them.
_WAITING: Final = 256
#: What a service without TLS means.
_RISK: Final = (
    "would tell a network who asks for what, and anybody there could answer; use "
    "https://, or say cleartext = true to accept that"
)


@final
class HTTPDecider:
    """
    A service that may deny.

    @ivar asked: how often it was asked.
    @ivar denied: how often it said no.
    @ivar failed: how often there was no answer.
    @ivar kept: how often an earlier answer counted.
    """

    def __init__(
        self,
        table: Decider,
        service: JSONService,
        turns: Turns,
        clock: Callable[[], float],
        files: Sequence[KeptSecret] = (),
    ) -> None:
        """
        Take the parts, and open nothing yet.

        @param table: what the configuration says of it.
        @param service: what is asked.
        @param turns: of questions.
        @param clock: returns monotonic seconds.
        @param files: the token.
        """
        self._url = table.url
        self._opens = table.on_failure == "allow"
        self._seconds = float(table.cache)
        self._service = service
        self._turns = turns
        self._clock = clock
        self._files = files
        self._answers: OrderedDict[str, tuple[float, Opinion]] = OrderedDict()
        self.asked = self.denied = self.failed = self.kept = 0

    def problems(self) -> list[str]:
        """Return what is wrong with its files now, one line each."""
        return [line for line in (each.problem() for each in self._files) if line]

    async def ask(self, question: Mapping[str, Any]) -> Opinion:
        """
        Ask, or take the answer to the same question from before.

        It never fails. What a service cannot answer is decided as configured, and asked
        again the next time.
        """
        key = json.dumps(question, sort_keys=True) if self._seconds else ""
        found = self._answers.get(key)
        if found is not None and self._clock() < found[0]:
            self.kept += 1
            return found[1]
        self.asked += 1
        try:
            answer = await self._turns.ask(
                partial(self._service.ask, self._url, {"input": question})
            )
            opinion = _opinionIn(answer)
        except Refused as e:
            self.failed += 1
            return Opinion(self._opens, shortened(e.why), failed=True)
        self.denied += not opinion.allowed
        if key:
            self._answers.pop(key, None)
            self._answers[key] = self._clock() + self._seconds, opinion
            if len(self._answers) > _MOST:
                self._answers.popitem(last=False)
        return opinion


def _opinionIn(answer: Mapping[str, Any]) -> Opinion:
    """
    Read an answer.

    @raise Unavailable: it says neither yes nor no.
    """
    if "result" not in answer:
        # OPA's answer where the path of the URL, or the rule there, is undefined.
        return Opinion(False, "no result: its policy says nothing of it")
    result, why = answer["result"], ""
    if isinstance(result, dict):
        reason = result.get("reason", "")
        why = shortened(reason) if type(reason) is str else ""
        result = result.get("allow")
    if type(result) is not bool:
        raise Unavailable("a result that is neither true nor false", alone=True)
    return Opinion(result, why)


def deciderFor(
    table: Decider,
    directory: Path,
    reactor: Any,
    wrong: Callable[[str, str], None],
) -> HTTPDecider:
    """
    Make what asks a service; it opens nothing yet.

    @param directory: what relative paths start from.
    @param wrong: called with each key that is wrong, and why.
    """
    values = {
        key: getattr(table, key)
        for key in ("url", "token_file", "ca")
        if getattr(table, key)
    }
    settings = Settings(values, directory, name=table.name, wrong=wrong)
    for key, most in (("timeout", _LONGEST), ("cache", _KEPT)):
        if getattr(table, key) > most:
            wrong(key, f'must be at most "{most:.0f}s"')
    if table.timeout <= 0:
        wrong("timeout", "must be more than 0s")
    if not 1 <= table.connections <= 64:
        wrong("connections", "must be an integer from 1 to 64")
    cleartext = table.cleartext or bool(table.socket)
    peers: dict[str, TLSPeer] = {}
    url = urlIn(settings, "url", _RISK, cleartext, trustIn(settings), peers)
    if url.startswith("https:") and table.cleartext:
        wrong("cleartext", "has no effect: url is https://")
    timeout, connections = float(table.timeout), table.connections
    socket = str(directory / table.socket) if table.socket else ""
    token = settings.secret("token_file")
    return HTTPDecider(
        table,
        JSONService(reactor, peers, connections, timeout, token, socket),
        Turns(reactor, f'decider "{table.name}"', connections, timeout, _WAITING),
        reactor.seconds,
        settings.kept("token_file"),
    )
