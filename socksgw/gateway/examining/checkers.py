"""
The checkers of C{[auth]}, made from strings and tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.strcred import InvalidAuthArgumentString

from socksgw.config.problems import nearest
from socksgw.config.schema import Checker, Config
from socksgw.gateway.examining.methods import Methods
from socksgw.gateway.examining.problems import Problems
from socksgw.interfaces import (
    IConfigurableCheckerFactory,
    IFileCheckerFactory,
    INamingStore,
    Settings,
)
from socksgw.login.canonical import CanonicalNames
from socksgw.login.discovery import brokenPlugins, findCheckers
from socksgw.login.identities import VerifiedIdentities
from socksgw.login.userfile import Unread, readingAhead
from socksgw.system.steps import Steps

__all__ = ["Checkers", "verifiedIdentities"]


@final
class Checkers:
    """
    The checkers of one configuration.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        reachable: Collection[str],
        problems: Problems,
    ) -> None:
        """
        @param reachable: the names of the listeners that other hosts can reach.
        """
        self._config = config
        self._reactor = reactor
        self._reachable = reachable
        self._problems = problems
        self._wrong = problems.wrong

    def all(self) -> Steps[tuple[ICredentialsChecker, ...]]:
        """
        Make the checkers; they are in the order in which they are asked.

        A large file of users is read before, in a thread.
        """
        problems, before = self._problems, len(self._problems.errors)
        with readingAhead():
            while True:
                try:
                    return tuple(self._all())
                except Unread as e:
                    del problems.errors[before:]
                    # Not in the exception's own block: it refers to all that was made.
                    work = e.run
                yield work

    def _all(self) -> Iterator[ICredentialsChecker]:
        auth = self._config.auth
        if not auth.checkers and not auth.checker:
            return
        factories, _ = findCheckers()
        for i, text in enumerate(auth.checkers):
            kind, _, argument = text.partition(":")
            path = f"auth.checkers[{i}]"
            if kind not in factories:
                self._wrong(path, _unknown(kind, factories))
            else:
                yield from self._ofString(factories[kind], argument, path)
        names: set[str] = set()
        for i, table in enumerate(auth.checker):
            path = f"auth.checker[{i}]"
            name = table.name or table.kind
            if name in names:
                self._wrong(
                    f"{path}.name", f'"{name}" is also the name of another checker'
                )
            names.add(name)
            if table.kind not in factories:
                self._wrong(f"{path}.kind", _unknown(table.kind, factories))
            else:
                yield from self._ofTable(factories[table.kind], table, name, path)

    def _ofString(
        self, factory: Any, argument: str, path: str
    ) -> Iterator[ICredentialsChecker]:
        if argument and not Path(argument).is_absolute():
            # Paths in a configuration are relative to the directory of its file.
            beside = self._config.directory / argument
            if IFileCheckerFactory.providedBy(factory):
                argument = str(beside)
            elif beside.exists() or Path(argument).exists():
                self._wrong(
                    path,
                    "its argument is the relative path of a file, and the checker "
                    f'"{factory.authType}" does not declare that it takes one, so the '
                    "path could start from the current directory; write an absolute "
                    "path",
                )
                return
        try:
            yield factory.generateChecker(argument)
        except InvalidAuthArgumentString as e:
            self._wrong(path, " ".join(str(e).split()))
        except Exception as e:
            # A factory of another package may raise anything.
            why = str(e) or "its argument is wrong"
            self._wrong(path, f"cannot be used: {why}")

    def _ofTable(
        self, factory: Any, table: Checker, name: str, path: str
    ) -> Iterator[ICredentialsChecker]:
        mistakes: list[tuple[str, str]] = []
        settings = Settings(
            table.options,
            self._config.directory,
            bool(self._reachable),
            name,
            lambda key, text: mistakes.append((key, text)),
        )
        if not IConfigurableCheckerFactory.providedBy(factory):
            settings.only("argument")
            argument = settings.word("argument")
            if not mistakes:
                yield from self._ofString(factory, argument, path)
        else:
            try:
                checker = factory.fromSettings(settings, self._reactor)
            except ValueError as e:
                if not mistakes:
                    self._wrong(path, str(e))
            else:
                if not mistakes:
                    yield checker
        for key, text in mistakes:
            self._wrong(f"{path}.{key}", text)


def _unknown(kind: str, factories: Mapping[str, Any]) -> str:
    known = ", ".join(sorted(factories))
    text = f'there is no checker "{kind}"; installed are: {known}'
    text += nearest(kind, factories)
    for module, why in (*findCheckers()[1], *brokenPlugins()):
        text += f"; the plug-in {module} is broken: {why}"
    return text


def verifiedIdentities(
    config: Config,
    methods: Methods,
    checkers: Sequence[ICredentialsChecker],
    reactor: Any,
    problems: Problems,
) -> Iterator[ICredentialsChecker]:
    """
    Yield the checker for methods that verify by themselves, if one is offered.

    @param checkers: all others; directories among them know the users' names.
    """
    auth = config.auth
    for i, realm in enumerate(auth.strip_realms):
        if not realm or "@" in realm or not realm.isprintable():
            problems.wrong(
                f"auth.strip_realms[{i}]",
                'must be a realm such as "CORP.EXAMPLE", in its own case',
            )
    if any(methods.verifying(choose.methods) for choose in auth.choose):
        stores = [each for each in checkers if INamingStore.providedBy(each)]
        names = None
        if stores:
            names = CanonicalNames(stores, auth.cache, reactor.seconds)
        exact = auth.kerberos_names == "exact"
        yield VerifiedIdentities(auth.strip_realms, exact, names)
