"""
From a name to its addresses.

A name is looked up with a deadline, and once for all sessions that ask for it at the
same time. A name server that does not answer costs only the sessions that asked it:
each source may have so many look-ups under way, and the sources take turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from socksgw.config.schema import ResolverConfig
from socksgw.errors import LimitReached, LookupFailed, SocksError
from socksgw.interfaces import SetDeadline, Timer
from socksgw.route.dnsmessages import NoSuchName
from socksgw.route.hostlookup import HostLookup
from socksgw.route.hostsfile import HostsFile
from socksgw.route.librarylookup import LibraryLookup, askLibrary
from socksgw.route.lookup import Lookup, NoLookup, ServersLookup
from socksgw.route.nameserver import ServerSettings, parseServer
from socksgw.route.resolvconf import HostChoice
from socksgw.system.coroutines import Awaited
from socksgw.system.domains import Domain, Sockets
from socksgw.system.fairly import Places, TooManyWaiting
from socksgw.system.watch import Watcher
from socksgw.wire.address import Address, parseHost

__all__ = ["Resolver", "filesOf", "lookUpNow", "preferred"]

#: Questions of one source that wait for their turn, at most.
_WAITING: Final = 1024
#: Answers remembered, how long (seconds), and addresses kept of each.
_REMEMBERED: Final = 8192
_SECONDS: Final = 10.0
_SECONDS_FAILED: Final = 3.0
_ADDRESSES: Final = 32
#: Seconds that IPv6 addresses may come later than the answer about IPv4 (RFC
#: 8305 section 3, the Resolution Delay). What is judged is dialled and nothing
#: else, so IPv4 addresses, which every host can dial, are waited for.
_DELAY: Final = 0.05

#: Where the files of one network namespace are (ip-netns(8)).
_NETNS: Final = Path("/etc/netns")

#: The addresses of one version, or the name of an address, or why there is none.
Answer = tuple[Any, ...] | SocksError
#: What is known of a name or an address, by version.
_Answers = dict[int, Answer]
#: A name and a version, or an address whose name is wanted.
_Key = tuple[str | Address, int]
#: The addresses of a name, or why there are none.
Found = tuple[Address, ...] | SocksError


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
    return tuple(addresses[:_ADDRESSES])


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
class _Question:
    """
    One question that is being asked, or waits for its turn.

    @ivar key: what it is about.
    @ivar waiting: the requests that wait for the answer.
    @ivar running: the look-up; L{None} before its turn.
    @ivar queued: the sources in whose name it waits.
    """

    __slots__ = ("key", "queued", "running", "waiting")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.waiting: dict[_Asking, None] = {}
        self.running: Deferred[Any] | None = None
        self.queued: set[bytes] = set()


@final
class _Asking:
    """
    One request for the addresses of a name, or the name of an address.

    @ivar answers: what is known, by version.
    @ivar missing: the questions that it waits for, by version.
    """

    __slots__ = ("_deadline", "_delay", "_done", "_resolver", "answers", "missing")

    def __init__(self, resolver: Resolver, answers: _Answers) -> None:
        """
        @param answers: what is known already.
        """
        self._resolver = resolver
        self._delay: Any = None
        self._deadline: Timer | None = None
        self._done: Callable[[_Answers], None] | None = None
        self.answers = answers
        self.missing: dict[int, _Question] = {}

    def wait(
        self,
        seconds: float,
        setDeadline: SetDeadline,
        done: Callable[[_Answers], None],
    ) -> None:
        """
        Begin to wait for what is missing.

        @param done: called with what is known when enough is.
        """
        self._done = done
        self._deadline = setDeadline(seconds, self._expired)
        self._enough()

    def got(self, version: int, answer: Answer) -> None:
        """
        Take the answer to one of the questions.
        """
        del self.missing[version]
        self.answers[version] = answer
        if not self.missing:
            self._finish()
        elif self._deadline is not None:
            self._enough()

    def _enough(self) -> None:
        """
        Wait for IPv6 no longer than the delay, once enough is known of IPv4.

        That is its addresses, or that there is no such name.
        """
        known = self.answers.get(4)
        if not known or (
            isinstance(known, SocksError) and not isinstance(known, NoSuchName)
        ):
            return
        if self._delay is None:
            reactor = self._resolver.reactor
            self._delay = reactor.callLater(_DELAY, self._late)

    def _late(self) -> None:
        self._delay = None
        question = self.missing[6]
        if len(question.waiting) == 1 and question.running is not None:
            # Else each request would wait for it again.
            self._resolver.remember(question.key, _unanswered())
        self._finish()

    def _expired(self) -> None:
        self._deadline = None
        for version in self.missing:
            self.answers[version] = _unanswered()
        self._finish()

    def _finish(self) -> None:
        done = self._done
        self.cancel()
        if done is not None:
            done(self.answers)

    def cancel(self) -> None:
        """Wait no longer; nothing is called then."""
        self._done = None
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        if self._deadline is not None:
            self._deadline.clear()
            self._deadline = None
        for question in list(self.missing.values()):
            self._resolver.leave(question, self)
        self.missing.clear()


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
        self._versions = _versions(family)
        self._timeout = timeout
        self._setDeadline = setDeadline
        self._clock = clock
        self._known: OrderedDict[_Key, tuple[Answer, float]] = OrderedDict()
        self._asked: dict[_Key, _Question] = {}
        self._turns = Places(lookup.places, lookup.perSource, _WAITING)
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
        versions = self._versions
        found = _found(await self._answers(name, versions, source), versions)
        if isinstance(found, SocksError):
            raise found
        return found

    def ask(
        self, name: str, source: Address, done: Callable[[Found], None]
    ) -> Found | _Asking:
        """
        As L{socksgw.policy.naming.NameResolver.ask}.
        """
        versions = self._versions
        asking = self._ask(
            name, versions, source, lambda answers: done(_found(answers, versions))
        )
        return asking if asking.missing else _found(asking.answers, versions)

    def known(self, name: str) -> tuple[Address, ...] | None:
        """
        As L{socksgw.policy.naming.NameResolver.known}.
        """
        found: tuple[Address, ...] = ()
        now = self._clock()
        for version in self._versions:
            answer = self._known.get((name, version))
            if answer is None or now >= answer[1]:
                return None
            if not isinstance(answer[0], SocksError):
                found += answer[0]
        return found[:_ADDRESSES] or None

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
            raise _again(answer)
        name: str = answer[0]
        return name

    async def _answers(
        self, subject: str | Address, versions: tuple[int, ...], source: Address
    ) -> _Answers:
        waiting: Awaited[_Answers] = Awaited(lambda _: asking.cancel())
        asking = self._ask(subject, versions, source, waiting.callback)
        return await waiting if asking.missing else asking.answers

    def _ask(
        self,
        subject: str | Address,
        versions: tuple[int, ...],
        source: Address,
        done: Callable[[_Answers], None],
    ) -> _Asking:
        """
        Ask for what is not known.

        @param done: called later, unless nothing is missing at the end of this.
        @raise LimitReached: too many look-ups of the source wait.
        """
        answers: _Answers = {}
        missing: list[_Key] = []
        now = self._clock()
        for version in versions:
            known = self._known.get((subject, version))
            if known is not None and now < known[1]:
                answers[version] = known[0]
            else:
                missing.append((subject, version))
        asking = _Asking(self, answers)
        if not missing:
            return asking
        questions = [self._join(key, asking) for key in missing]
        try:
            for question in questions:
                self._turn(question, source.sourceKey)
        except TooManyWaiting:
            asking.cancel()
            raise LimitReached(
                "too many names are being looked up for this source"
            ) from None
        if asking.missing:
            asking.wait(self._timeout, self._setDeadline, done)
        return asking

    def _join(self, key: _Key, asking: _Asking) -> _Question:
        question = self._asked.get(key)
        if question is None:
            question = self._asked[key] = _Question(key)
        question.waiting[asking] = None
        asking.missing[key[1]] = question
        return question

    def _turn(self, question: _Question, source: bytes) -> None:
        """
        Ask when it is the source's turn, unless the question is asked by then.

        Where two sources wait for the same, the turn that comes first counts.

        @raise TooManyWaiting: too many of the source's questions wait.
        """
        if question.running is not None or source in question.queued:
            return
        question.queued.add(source)

        def begin() -> bool:
            question.queued.discard(source)
            if question.running is not None or not question.waiting:
                return False
            self._look(question, source)
            return True

        try:
            self._turns.enter(source, begin)
        except TooManyWaiting:
            question.queued.discard(source)
            raise

    def _look(self, question: _Question, source: bytes) -> None:
        subject, version = question.key

        def settle(answer: Answer) -> None:
            self._turns.leave(source)
            self._settle(question, answer)

        def failed(failure: Failure) -> None:
            settle(_errorOf(failure))

        if isinstance(subject, Address):
            named = question.running = maybeDeferred(self._lookup.pointer, subject)
            named.addCallback(lambda text: (_hostName(text),))
            named.addCallbacks(settle, failed)
            return
        try:
            found = question.running = self._lookup.addresses(subject, version)
        except Exception:
            failed(Failure())
            return
        found.addCallbacks(
            lambda each: settle(tuple(dict.fromkeys(each))[:_ADDRESSES]), failed
        )

    def _settle(self, question: _Question, answer: Answer) -> None:
        if self._asked.get(question.key) is question:
            del self._asked[question.key]
            self.remember(question.key, answer)
        waiting, question.waiting = question.waiting, {}
        for asking in waiting:
            asking.got(question.key[1], answer)

    def remember(self, key: _Key, answer: Answer) -> None:
        """
        Give this answer for some seconds.
        """
        lasts = _SECONDS_FAILED if isinstance(answer, SocksError) else _SECONDS
        self._known[key] = (answer, self._clock() + lasts)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def leave(self, question: _Question, asking: _Asking) -> None:
        """
        Have a request wait for a question no longer.

        A question that no request waits for ends, where it can be ended.
        """
        question.waiting.pop(asking, None)
        if question.waiting:
            return
        if question.running is None:
            self._asked.pop(question.key, None)
        elif self._lookup.cancels:
            # What it fails with then, that it was cancelled, is not remembered.
            self._asked.pop(question.key, None)
            question.running.cancel()


def _found(answers: _Answers, versions: tuple[int, ...]) -> Found:
    """
    Return the addresses that answers give, or why there are none.

    @param versions: in the order of preference.
    """
    found: tuple[Address, ...] = ()
    errors: list[SocksError] = []
    for version in versions:
        answer = answers.get(version, ())
        if isinstance(answer, SocksError):
            errors.append(answer)
        else:
            found += answer
    if found:
        return found[:_ADDRESSES]
    # A name that does not exist has no addresses of either version (RFC 8020), but
    # some servers say so of IPv6 where it has only IPv4 addresses (RFC 4074).
    known = answers.get(4)
    if isinstance(known, NoSuchName):
        return _again(known)
    errors.sort(key=lambda error: isinstance(error, NoSuchName))
    return _again(errors[0]) if errors else LookupFailed("no such host")


def _again(error: SocksError) -> SocksError:
    """Return a copy of an error: each raise of one adds to its traceback."""
    return LookupFailed(str(error), error.reply, error.reason)


def _unanswered() -> LookupFailed:
    return LookupFailed("no answer in time", reason="lookup-timeout")


def _hostName(text: str) -> str:
    """
    Return a name from DNS in normal form.

    @raise LookupFailed: it is no host name.
    """
    host = parseHost(text.encode("ascii", "replace"))
    if not isinstance(host, str):
        raise LookupFailed("the address has no name")
    return host


def _errorOf(failure: Failure) -> Answer:
    error = failure.value
    if isinstance(error, SocksError):
        # It is remembered, and its frames would hold the whole answer.
        error.__traceback__ = error.__context__ = None
        return error
    return LookupFailed(
        f"the look-up failed: {type(error).__name__}", reason="lookup-failed"
    )
