"""
What a configuration means as a whole: every error and warning in it, and
what it exposes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, final

from attrs import frozen
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.endpoints import serverFromString

from socksgw.accept.certificates import ServerTLS, WrongTLS
from socksgw.config.convert import Problem
from socksgw.config.listening import isRoutable, parseListenAddress
from socksgw.config.loading import refused
from socksgw.config.reserved import isReserved
from socksgw.config.schema import Config, Limit, Rule
from socksgw.gateway.logins import Entrance
from socksgw.gateway.offers import Offers
from socksgw.interfaces import (
    IChangingStore,
    IGroupSource,
    IReportingStore,
)
from socksgw.login.canonical import folded
from socksgw.negotiate.methods import Choice
from socksgw.policy.conditions import HostFacts
from socksgw.policy.document import Compiler
from socksgw.policy.expectations import unmet, wrongFacts
from socksgw.policy.exposure import Exposure
from socksgw.policy.ruleset import Ruleset
from socksgw.route.lookup import THREADS
from socksgw.route.nameservers import parseServer
from socksgw.route.placement import wrongPlace
from socksgw.route.resolvconf import NSSWITCH, readChoice
from socksgw.system.files import trustGroups

__all__ = ["Examination", "examine"]


@frozen
class Examination:
    """
    What was found.

    @ivar errors: what must be mended.
    @ivar warnings: what is odd.
    @ivar exposures: who gets in without login, and to what: a line each.
    @ivar ruleset: to be used only when there are no errors, as what follows.
    @ivar choices: the methods offered.
    @ivar checkers: who decides about credentials.
    @ivar secured: the TLS of the listeners that have it, by name.
    @ivar offers: who gets in, for questions that nobody has asked.
    @ivar unclear: the errors of the policy itself: with any, the ruleset says
        nothing.
    """

    errors: list[Problem]
    warnings: list[Problem]
    exposures: list[str]
    ruleset: Ruleset
    choices: tuple[Choice, ...]
    checkers: tuple[ICredentialsChecker, ...]
    secured: Mapping[str, ServerTLS]
    offers: Offers
    unclear: list[Problem]

    def lines(self, config: Config, verdict: str) -> Iterator[str]:
        """
        Yield for people: errors, warnings, the verdict, and what is exposed.

        @param config: what was examined.
        """
        yield from refused(config, self.errors).lines()
        for line in refused(config, self.warnings).lines():
            yield f"warning: {line}"
        yield f"{config.file}: {verdict}"
        yield (
            "exposed without login:"
            if self.exposures
            else ("exposed without login: nothing")
        )
        for line in self.exposures:
            yield f"  {line}"


def examine(
    config: Config,
    facts: HostFacts,
    reactor: Any,
    checkers: Sequence[ICredentialsChecker] | None = None,
    compiler: Compiler | None = None,
) -> Examination:
    """
    Judge a configuration as a whole.

    @param checkers: used instead of those that C{config} names.
    @param compiler: of C{config}, one that has done its work already.
    """
    compiler = compiler or Compiler(config, facts)
    return _Examiner(config, compiler, reactor).examine(checkers)


def _several(words: Sequence[str] | str | None) -> Sequence[str]:
    return (words,) if isinstance(words, str) else words or ()


def _withoutEffect(
    rule: Rule, services: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """
    The fields of a rule that can have no effect in it, or keep it from ever
    matching: each with why.
    """
    words = rule.allow if rule.allow is not None else rule.deny or ()
    commands = {"connect", "bind", "udp"} if words == "any" else set(words)
    timeouts = (("connect", {"connect"}), ("idle", {"connect", "bind"}))
    for name, those in timeouts:
        seconds = getattr(rule.timeouts, name)
        if seconds is None:
            continue
        if seconds <= 0:
            yield f"timeouts.{name}", "must be longer than nothing"
        if rule.allow is None:
            yield f"timeouts.{name}", "has no effect: the rule allows nothing"
        elif commands and not commands & those:
            yield (
                f"timeouts.{name}",
                f"has no effect: it is for {' and '.join(sorted(those))}",
            )
    if rule.udp.replies != "exact" and (rule.allow is None or "udp" not in commands):
        yield "udp.replies", "has no effect: the rule does not allow udp"
    if rule.asked_by is not None and "name" not in _several(rule.asked_by):
        for i, word in enumerate(rule.to or ()):
            if word.startswith(("*", ".", "=")):
                yield f"to[{i}]", f'"{word}" can never match: asked_by is "address"'
    if rule.services:
        wanted = {"udp" if command == "udp" else "tcp" for command in commands}
        has = {
            each.partition("/")[0]
            for word in rule.services
            for each in services.get(word, ())
        }
        if commands and has and not wanted & has:
            yield (
                "services",
                f"can never match: these are {'/'.join(sorted(has))}, and the rule is "
                f"for {', '.join(sorted(commands))}",
            )


#: Amounts of a limit that count one command alone.
_COUNTING: Final = {"associations": "udp", "flows": "udp", "binds": "bind"}


@final
class _Examiner:
    def __init__(self, config: Config, compiler: Compiler, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._compiler = compiler
        self._errors: list[Problem] = []
        self._warnings: list[Problem] = []

    def examine(self, given: Sequence[ICredentialsChecker] | None) -> Examination:
        self._values()
        self._listeners()
        secured = dict(self._secured())
        entrance = Entrance(
            self._config, self._compiler, self._reactor, self._routable(), self._wrong
        )
        choices = tuple(entrance.choices())
        checkers = tuple(entrance.checkers() if given is None else given)
        entrance.passwords(checkers)
        entrance.certificates()
        for path, why in entrance.orders():
            self._odd(path, why)
        identities = tuple(entrance.identities(checkers))
        self._directories(checkers)
        self._users(checkers, bool(identities))
        self._spellings(entrance, checkers)
        self._stores(checkers)
        self._rules(entrance)
        self._expectations(entrance)
        offers = entrance.offers(choices)
        compiled = self._compiler.compile()
        errors = self._errors + compiled.errors
        exposure = Exposure(
            self._config,
            entrance.anonymous,
            entrance.sources,
            [rule.sources for rule in compiled.ruleset.rules],
        )
        if not errors:
            errors += exposure.problems(self._routable())
            errors += unmet(self._config, compiled.ruleset, offers)
        return Examination(
            errors,
            self._warnings + compiled.warnings,
            list(exposure.lines()),
            compiled.ruleset,
            choices,
            checkers + identities,
            secured,
            offers,
            compiled.errors,
        )

    def _wrong(self, path: str, text: str) -> None:
        self._errors.append(Problem(path, text))

    def _odd(self, path: str, text: str) -> None:
        self._warnings.append(Problem(path, text))

    # Single values.

    def _values(self) -> None:
        config = self._config
        for name in ("handshake", "lookup", "connect", "idle", "udp_idle", "bind"):
            if getattr(config.timeouts, name) <= 0:
                self._wrong(f"timeouts.{name}", "must be longer than nothing")
        if config.relay.memory < 1 << 20:
            self._wrong("relay.memory", 'must be at least "1MiB"')
        trusted = config.gateway.trusted_groups
        for name in trustGroups(trusted):
            self._wrong(
                f"gateway.trusted_groups[{trusted.index(name)}]",
                f'"{name}": there is no such group on this machine; its number will '
                "do, too",
            )
        if not config.gateway.name:
            self._wrong("gateway.name", "must not be empty")
        for i, server in enumerate(config.resolver.servers):
            try:
                parseServer(server)
            except ValueError as e:
                self._wrong(f"resolver.servers[{i}]", f'"{server}": {e}')
        if not config.resolver.servers and (only := readChoice().why):
            self._odd(
                "resolver.servers",
                f'names are looked up in {THREADS} threads at most: "{only}" in the'
                f" hosts line of {NSSWITCH} needs the C library; name servers here"
                " need none",
            )
        for i, limit in enumerate(config.limit):
            self._limit(f"limit[{i}]", limit)
            if limit.per == "group" and not config.groups:
                self._odd(f"limit[{i}].per", "counts nobody: there are no [groups]")
        for i, rule in enumerate(config.rule):
            if rule.limits is not None:
                self._ruleLimit(f"{rule.place or f'rule[{i}]'}.limits", rule)
        throttle = config.auth.throttle
        for name in ("per_user", "per_source"):
            if getattr(throttle, name) < 0:
                self._wrong(f"auth.throttle.{name}", "must not be negative; 0 is none")
        if throttle.window <= 0:
            self._wrong("auth.throttle.window", "must be longer than nothing")
        if config.audit.max_size < 1_000_000:
            self._wrong("audit.max_size", 'must be at least "1MB"')

    def _limit(self, path: str, limit: Limit) -> None:
        amounts = ("sessions", "associations", "binds", "new_sessions", "flows")
        said = [getattr(limit, x) for x in (*amounts, "rate", "quota")]
        if not any(each is not None for each in said):
            self._wrong(path, "limits nothing; say sessions = 500")
        for name in amounts:
            if (getattr(limit, name) or 0) < 0:
                self._wrong(f"{path}.{name}", "must not be negative")

    def _ruleLimit(self, path: str, rule: Rule) -> None:
        limit = rule.limits
        assert limit is not None
        self._limit(path, limit)
        if rule.deny is not None:
            self._wrong(path, "counts what a rule allows, and this one denies")
        elif rule.allow != "any":
            for name, command in _COUNTING.items():
                if getattr(limit, name) is None or command in (rule.allow or ()):
                    continue
                self._odd(
                    f"{path}.{name}",
                    f"counts nothing: the rule does not allow {command}",
                )

    # Rules and their tests, as far as they name what is declared elsewhere.

    def _rules(self, entrance: Entrance) -> None:
        for i, rule in enumerate(self._config.rule):
            path = rule.place or f"rule[{i}]"
            for why in entrance.wrongNames(_several(rule.method)):
                self._wrong(f"{path}.method", why)
            for key, why in _withoutEffect(rule, self._config.services):
                self._wrong(f"{path}.{key}", why)

    def _expectations(self, entrance: Entrance) -> None:
        config = self._config
        for i, expect in enumerate(config.expect):
            path = expect.place or f"expect[{i}]"
            if expect.method is not None:
                for why in entrance.wrongNames([expect.method]):
                    self._wrong(f"{path}.method", why)
            for key, why in wrongFacts(
                config,
                expect.who,
                expect.groups or (),
                expect.listener,
                expect.method,
                expect.secured,
                entrance.capabilities,
            ):
                self._wrong(f"{path}.{key}", why)

    # Listeners.

    def _listeners(self) -> None:
        listeners = self._config.listen
        if not listeners:
            self._wrong(
                "listen",
                "is missing: at least one [[listen]] is needed, "
                "with a name and an address, as in etc/socksgw.toml",
            )
        names: set[str] = set()
        for i, listen in enumerate(listeners):
            path = f"listen[{i}]"
            if not listen.name:
                self._wrong(f"{path}.name", "must not be empty")
            if listen.name in names:
                self._wrong(f"{path}.name", f'"{listen.name}" names two listeners')
            names.add(listen.name)
            if bool(listen.address) == bool(listen.endpoint):
                self._wrong(path, "needs exactly one of address and endpoint")
            for n, address in enumerate(listen.address):
                try:
                    parseListenAddress(address)
                except ValueError as e:
                    self._wrong(f"{path}.address[{n}]", f'"{address}": {e}')
            if listen.endpoint:
                try:
                    serverFromString(self._reactor, listen.endpoint)
                except Exception as e:
                    # Endpoint parsers raise whatever their arguments raise, in
                    # Python's words.
                    why = "its arguments are not those of this type"
                    if isinstance(e, OSError):
                        why = f"{e.filename}: {e.strerror}"
                    elif str(e).startswith("Unknown endpoint type"):
                        why = str(e)
                    self._wrong(
                        f"{path}.endpoint",
                        f'"{listen.endpoint}" is neither an address with a port nor '
                        f"a Twisted server endpoint: {why}",
                    )
            for name, why in wrongPlace(listen.udp):
                self._wrong(f"{path}.udp.{name}", why)
            if not listen.protocols:
                self._wrong(f"{path}.protocols", "is empty: nobody could be served")
            for name in ("half_open", "half_open_per_source"):
                if getattr(listen, name) < 1:
                    self._wrong(f"{path}.{name}", "must be at least 1")

    def _secured(self) -> Iterator[tuple[str, ServerTLS]]:
        """Every C{[listen.tls]}, with what its files hold."""
        for i, listen in enumerate(self._config.listen):
            if listen.tls is None:
                continue
            path = f"listen[{i}].tls"
            if listen.endpoint:
                self._wrong(
                    path,
                    "goes with address; an endpoint brings the transport that its "
                    "string names",
                )
                continue
            try:
                tls = ServerTLS(listen.tls, self._config.directory)
            except WrongTLS as e:
                for key, why in e.wrong:
                    self._wrong(f"{path}.{key}", why)
            else:
                for key, why in tls.aged():
                    self._warnings.append(Problem(f"{path}.{key}", why))
                yield listen.name, tls

    # Groups.

    def _directories(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """Whether somebody can say who is in a directory's groups."""
        auth = self._config.auth
        sources: list[Any] = [c for c in checkers if IGroupSource.providedBy(c)]
        if not sources and len(checkers) < len(auth.checkers) + len(auth.checker):
            # What cannot be made yet is told already.
            return
        for name, group in self._config.groups.items():
            path = f"groups.{name}.directory"
            if group.directory and not sources:
                self._warnings.append(
                    Problem(path, "no checker knows groups: this adds nobody")
                )
                continue
            for i, each in enumerate(group.directory):
                why = [w for w in (_notNormal(source, each) for source in sources) if w]
                if len(why) == len(sources):
                    self._wrong(f"{path}[{i}]", why[0])

    def _stores(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """Warn of what is wrong with files of users that can be used."""
        for each in checkers:
            if IReportingStore.providedBy(each):
                for line in each.problems():
                    self._odd("auth.checkers", line)

    def _users(self, checkers: Sequence[ICredentialsChecker], verifies: bool) -> None:
        """
        Warn of names in rules and groups that no store knows, where every store
        can be asked at once and nobody logs in past them.

        @param verifies: whether a method verifies who the client is by itself.
        """
        stores: list[Any] = [c for c in checkers if IChangingStore.providedBy(c)]
        if verifies or not stores or len(stores) < len(checkers):
            return
        for path, name in self._named():
            if not any(store.knows(name.encode()) for store in stores):
                self._odd(path, f'no checker knows a user "{name}"')

    def _named(self) -> Iterator[tuple[str, str]]:
        """Yield the users that groups and rules name, each with the place."""
        config = self._config
        for path, words in chain(
            ((f"groups.{g}", group.members) for g, group in config.groups.items()),
            (
                (f"{rule.place or f'rule[{i}]'}.who", rule.who or ())
                for i, rule in enumerate(config.rule)
            ),
        ):
            for i, name in enumerate(words):
                if not isReserved(name):
                    yield f"{path}[{i}]", name

    def _spellings(
        self, entrance: Entrance, checkers: Sequence[ICredentialsChecker]
    ) -> None:
        """Warn of names that no user has, where all names are folded."""
        config = self._config
        offered = {name for choose in config.auth.choose for name in choose.methods}
        proving = [
            entrance.capabilities[name]
            for name in offered
            if name in entrance.capabilities and entrance.capabilities[name].verifies
        ]
        if (
            checkers
            or not proving
            or any(can.certificate for can in proving)
            or config.auth.kerberos_names == "exact"
        ):
            return
        for path, name in self._named():
            local = name.partition("@")[0]
            if local != folded(local):
                self._odd(
                    path,
                    f'nobody is called "{name}": names of Kerberos are in lower '
                    'case, unless kerberos_names = "exact"',
                )

    def _routable(self) -> set[str]:
        return {
            listen.name
            for listen in self._config.listen
            if any(map(isRoutable, listen.places))
        }


def _notNormal(source: Any, name: str) -> str:
    """What is wrong with the name of a group, for one source."""
    try:
        source.normal(name)
    except ValueError as e:
        return str(e)
    return ""
