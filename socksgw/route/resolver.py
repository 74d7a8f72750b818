"""
From a name to its addresses.

A name is looked up with a deadline, and once for all sessions that ask for it at the
same time. A name server that does not answer costs only the sessions that asked it:
each source may have so many look-ups under way, and the sources take turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from socksgw.config.schema import ResolverConfig
from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.interfaces import SetDeadline
from socksgw.route.hostlookup import HostLookup
from socksgw.route.hostsfile import HostsFile
from socksgw.route.librarylookup import LibraryLookup, askLibrary
from socksgw.route.lookup import Lookup, NoLookup, ServersLookup
from socksgw.route.nameserver import ServerSettings, parseServer
from socksgw.route.pair import VERSIONS, lookupError
from socksgw.route.request import (
    ADDRESSES,
    Answer,
    Answers,
    Found,
    Key,
    Question,
    Request,
    again,
    kept,
    outcome,
)
from socksgw.route.resolvconf import HostChoice
from socksgw.route.sole import Sole
from socksgw.system.coroutines import Awaited
from socksgw.system.domains import Domain, Sockets
from socksgw.system.fairly import Places, TooManyWaiting
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address, parseHost

__all__ = ["Resolver", "filesOf", "lookUpNow", "preferred"]

#: Questions of one source that wait for their turn, at most.
_WAITING: Final = 1024
#: Answers remembered, and how long (seconds).
_REMEMBERED: Final = 8192
_SECONDS: Final = 10.0
_SECONDS_FAILED: Final = 3.0
#: Where the files of one network namespace are (ip-netns(8)).
_NETNS: Final = Path("/etc/netns")


def lookUpNow(name: str, family: str) -> tuple[Address, ...]:
    """
    Ask as the C library does, and wait: for commands, never in the gateway.

    @raise LookupFailed: there is no answer.
    """
    hosts = HostsFile()
    hosts.refresh()
    found = hosts.addresses(name)
    return preferred(askLibrary(name) if found is None else found, family)


def preferred(found: list[Address], family: str) -> tuple[Address, ...]:
    """
    Return the addresses without repetitions, in the order of preference.

    @param family: C{prefer6}, C{prefer4}, C{only4} or C{only6}.
    @raise LookupFailed: nothing is left.
    """
    versions = _versions(family)
    addresses = [a for a in dict.fromkeys(found) if a.version in versions]
    addresses.sort(key=lambda a: versions.index(a.version))
    if not addresses:
        raise LookupFailed("no such host")
    return tuple(addresses[:ADDRESSES])


def filesOf(domain: Domain) -> tuple[Path, Path] | None:
    """
    Return the hosts file and the resolv.conf that C{ip netns exec} would use.

    @return: L{None} for a domain that can have none.
    """
    if domain.kind != "netns":
        return None
    return _NETNS / domain.name / "hosts", _NETNS / domain.name / "resolv.conf"


def _versions(family: str) -> tuple[int, ...]:
    first = int(family[-1])
    return (first,) if family.startswith("only") else (first, 10 - first)


@final
class Resolver:
    """
    Looks names up for the policy.
    """

    def __init__(
        self,
        reactor: Any,
        lookup: Lookup,
        family: str,
        timeout: float,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
    ) -> None:
        """
        Make a resolver, which has to be started.

        @param family: C{prefer6}, C{prefer4}, C{only4} or C{only6}.
        @param timeout: seconds that a look-up may take.
        @param clock: monotonic seconds.
        """
        self.reactor = reactor
        self._lookup = lookup
        self.versions = _versions(family)
        self.timeout = timeout
        self.setDeadline = setDeadline
        self.clock = clock
        self._known: OrderedDict[Key, tuple[Answer, float]] = OrderedDict()
        self._asked: dict[Key, Question] = {}
        #: Names that one request alone asks for.
        self._soles: dict[str, Sole] = {}
        # A name whose addresses of both versions are asked for has one turn.
        share = len(self.versions)
        self._turns = Places(
            max(1, lookup.places // share),
            max(1, lookup.perSource // share),
            _WAITING // share,
        )
        self._started = False

    @classmethod
    def of(
        cls,
        reactor: Any,
        watch: Watcher,
        config: ResolverConfig,
        choice: HostChoice,
        timeout: float,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
    ) -> Resolver:
        """
        Return the resolver that a configuration asks for.

        @param choice: what is asked where the configuration names no servers.
        """
        lookup: Lookup
        if config.servers:
            servers = tuple(map(parseServer, config.servers))
            settings = ServerSettings(servers)
            lookup = ServersLookup(reactor, watch, setDeadline, settings, timeout)
        elif choice.order:
            lookup = HostLookup(
                reactor, watch, setDeadline, choice, timeout, HostsFile()
            )
        else:
            lookup = LibraryLookup(reactor, HostsFile())
        return cls(reactor, lookup, config.family, timeout, setDeadline, clock)

    @classmethod
    def within(
        cls,
        reactor: Any,
        watch: Watcher,
        domain: Domain,
        config: ResolverConfig,
        sockets: Sockets,
        timeout: float,
        setDeadline: SetDeadline,
        clock: Callable[[], float],
    ) -> Resolver:
        """
        Return the resolver for the clients of a routing domain.

        It asks name servers of that domain, and neither this host's nor its hosts
        file: the names and addresses of one network mean nothing in another.

        @param config: with servers, or those of the files that L{filesOf} has
            for the namespace.
        """
        lookup: Lookup
        files = filesOf(domain)
        if config.servers:
            settings = ServerSettings(tuple(map(parseServer, config.servers)))
            lookup = ServersLookup(
                reactor, watch, setDeadline, settings, timeout, sockets
            )
        elif files is not None and any(file.exists() for file in files):
            hosts, conf = files
            order = ("files", "dns") if conf.exists() else ("files",)
            lookup = HostLookup(
                reactor,
                watch,
                setDeadline,
                HostChoice(order),
                timeout,
                HostsFile(hosts),
                conf,
                sockets,
            )
        else:
            lookup = NoLookup(str(domain))
        return cls(reactor, lookup, config.family, timeout, setDeadline, clock)

    def start(self) -> None:
        """Be ready for look-ups. It may be called again."""
        if not self._started:
            self._lookup.start()
            self._started = True

    def stop(self) -> None:
        """End the look-ups."""
        self._lookup.stop()

    async def lookUp(self, name: str, source: Address) -> tuple[Address, ...]:
        """
        As L{socksgw.policy.naming.NameResolver.lookUp}.
        """
        asked: Request | Sole
        waiting: Awaited[Found] = Awaited(lambda _: asked.cancel())
        found = self.ask(name, source, waiting.callback)
        if not isinstance(found, (tuple, SocksError)):
            asked = found
            found = await waiting
        if isinstance(found, SocksError):
            raise found
        return found

    def ask(
        self, name: str, source: Address, done: Callable[[Found], None]
    ) -> Found | Request | Sole:
        """
        As L{socksgw.policy.naming.NameResolver.ask}.
        """
        versions = self.versions
        if len(versions) == 2:
            sole = self._sole(name, source.sourceKey)
            if sole is not None:
                return sole.start(self._lookup, done)
        request = self._ask(
            name, versions, source, lambda answers: done(outcome(answers, versions))
        )
        return request if request.missing else outcome(request.answers, versions)

    def _sole(self, name: str, source: bytes) -> Sole | None:
        """
        Return what asks for a name that is neither known nor asked for.

        It has a place of the source; L{None} where there is none now.
        """
        sole = self._soles.get(name)
        if sole is not None:
            sole.share()
            return None
        now = self.clock()
        for version in VERSIONS:
            key = name, version
            known = self._known.get(key)
            if (known is not None and now < known[1]) or key in self._asked:
                return None
        if not self._turns.take(source):
            return None
        sole = self._soles[name] = Sole(self, name, source, now)
        return sole

    def over(self, name: str, source: bytes) -> None:
        """As L{socksgw.route.sole.Asker.over}."""
        del self._soles[name]
        self._turns.leave(source)

    def share(self, name: str, questions: Iterable[Question]) -> None:
        """As L{socksgw.route.sole.Asker.share}."""
        del self._soles[name]
        for question in questions:
            self._asked[question.key] = question

    def left(self, source: bytes) -> None:
        """As L{socksgw.route.sole.Asker.left}."""
        self._turns.leave(source)

    def known(self, name: str) -> tuple[Address, ...] | None:
        """
        As L{socksgw.policy.naming.NameResolver.known}.
        """
        found: tuple[Address, ...] = ()
        now = self.clock()
        for version in self.versions:
            answer = self._known.get((name, version))
            if answer is None or now >= answer[1]:
                return None
            if not isinstance(answer[0], SocksError):
                found += answer[0]
        return found[:ADDRESSES] or None

    async def nameOf(self, address: Address, source: Address) -> str:
        """
        Return the name that DNS gives an address: a claim of the address's owner.

        @param source: the client's address.
        @raise LookupFailed: there is none, or no answer came in time.
        @raise LimitReached: too many look-ups of the source wait.
        """
        answers = await self._answers(address, (0,), source)
        answer = answers[0]
        if isinstance(answer, SocksError):
            raise again(answer)
        name: str = answer[0]
        return name

    async def _answers(
        self, subject: str | Address, versions: tuple[int, ...], source: Address
    ) -> Answers:
        waiting: Awaited[Answers] = Awaited(lambda _: request.cancel())
        request = self._ask(subject, versions, source, waiting.callback)
        return await waiting if request.missing else request.answers

    def _ask(
        self,
        subject: str | Address,
        versions: tuple[int, ...],
        source: Address,
        done: Callable[[Answers], None],
    ) -> Request:
        """
        Ask for what is not known.

        @param done: called later, unless nothing is missing at the end of this.
        @raise LimitReached: too many look-ups of the source wait.
        """
        answers: Answers = {}
        missing: list[Key] = []
        now = self.clock()
        for version in versions:
            known = self._known.get((subject, version))
            if known is not None and now < known[1]:
                answers[version] = known[0]
            else:
                missing.append((subject, version))
        request = Request(self, answers)
        if not missing:
            return request
        asked = self._asked
        together = (
            len(missing) == 2 and missing[0] not in asked and missing[1] not in asked
        )
        questions = [self._join(key, request) for key in missing]
        try:
            if together:
                self._turn(questions, source.sourceKey)
            else:
                for question in questions:
                    self._turn((question,), source.sourceKey)
        except TooManyWaiting:
            request.cancel()
            raise LimitReached(
                "too many names are being looked up for this source"
            ) from None
        if request.missing:
            request.wait(self.timeout, self.setDeadline, done)
        return request

    def _join(self, key: Key, request: Request) -> Question:
        question = self._asked.get(key)
        if question is None:
            question = self._asked[key] = Question(key)
        question.waiting[request] = None
        request.missing[key[1]] = question
        return question

    def _turn(self, questions: Sequence[Question], source: bytes) -> None:
        """
        Ask when it is the source's turn, unless the questions are asked by then.

        Where two sources wait for the same, the turn that comes first counts.

        @param questions: one; or both about a name, which nobody has asked yet.
        @raise TooManyWaiting: too many of the source's questions wait.
        """
        for question in questions:
            if question.running is not None or source in question.queued:
                return
            question.queued.add(source)

        def begin() -> bool:
            left = []
            for question in questions:
                question.queued.discard(source)
                if question.running is None and question.waiting:
                    left.append(question)
            if len(left) > 1:
                self._lookBoth(left, source)
            elif left:
                self._look(left[0], source)
            return bool(left)

        try:
            self._turns.enter(source, begin)
        except TooManyWaiting:
            for question in questions:
                question.queued.discard(source)
            raise

    def _lookBoth(self, questions: Sequence[Question], source: bytes) -> None:
        """Ask for the addresses of a name of either version."""
        byVersion = {question.key[1]: question for question in questions}
        left = len(questions)

        def came(version: int, answer: list[Address] | SocksError) -> None:
            nonlocal left
            left -= 1
            if not left:
                self._turns.leave(source)
            self.settle(byVersion[version], kept(answer))

        name = questions[0].key[0]
        assert isinstance(name, str)
        both = self._lookup.both(name, came)
        for version, question in byVersion.items():
            if question.waiting:
                question.running = partial(both.cancel, version)

    def _look(self, question: Question, source: bytes) -> None:
        subject, version = question.key

        def settle(answer: Answer) -> None:
            self._turns.leave(source)
            self.settle(question, answer)

        def failed(failure: Failure) -> None:
            settle(kept(lookupError(failure.value)))

        if isinstance(subject, Address):
            named = maybeDeferred(self._lookup.pointer, subject)
            question.running = named.cancel
            named.addCallback(lambda text: (_hostName(text),))
            named.addCallbacks(settle, failed)
            return
        try:
            found = self._lookup.addresses(subject, version)
        except Exception:
            failed(Failure())
            return
        question.running = found.cancel
        found.addCallbacks(lambda each: settle(kept(each)), failed)

    def settle(self, question: Question, answer: Answer) -> None:
        """As L{socksgw.route.sole.Asker.settle}."""
        if self._asked.get(question.key) is question:
            del self._asked[question.key]
            self.remember(question.key, answer)
        # What it runs refers to it.
        question.running = None
        waiting, question.waiting = question.waiting, {}
        for request in waiting:
            request.got(question.key[1], answer)

    def remember(self, key: Key, answer: Answer) -> None:
        """
        Give this answer for some seconds.
        """
        lasts = _SECONDS_FAILED if isinstance(answer, SocksError) else _SECONDS
        self._known[key] = (answer, self.clock() + lasts)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def leave(self, question: Question, request: Request) -> None:
        """
        Have a request wait for a question no longer.

        A question that no request waits for ends, where it can be ended.
        """
        question.waiting.pop(request, None)
        if question.waiting:
            return
        if question.running is None:
            self._asked.pop(question.key, None)
        elif self._lookup.cancels:
            # What it fails with then, that it was cancelled, is not remembered.
            self._asked.pop(question.key, None)
            question.running()


def _hostName(text: str) -> str:
    """
    Return a name from DNS in normal form.

    @raise LookupFailed: it is no host name.
    """
    host = parseHost(text.encode("ascii", "replace"))
    if not isinstance(host, str):
        raise LookupFailed("the address has no name")
    return host
