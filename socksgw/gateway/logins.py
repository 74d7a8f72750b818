"""
How clients log in: from C{[auth]} to the methods that are offered and the
checkers that decide.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from attrs import fields
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.strcred import InvalidAuthArgumentString
from zope.interface.interface import InterfaceClass

from socksgw.accept.endpoints import isSecured
from socksgw.config.convert import nearest
from socksgw.config.schema import AuthConfig, Checker, Choose, Config
from socksgw.gateway.offers import Offers
from socksgw.interfaces import (
    IConfigurableCheckerFactory,
    IFileCheckerFactory,
    INamingStore,
    IProtectingMethod,
    IRenumbered,
    IVerifyingMethod,
    IWrapper,
    Settings,
)
from socksgw.login.canonical import CanonicalNames
from socksgw.login.discovery import brokenPlugins, findCheckers
from socksgw.login.identities import VerifiedIdentities
from socksgw.negotiate.capabilities import Capabilities, capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.policy.conditions import Addresses
from socksgw.policy.document import Compiler

__all__ = ["Entrance"]


def _takes(checker: ICredentialsChecker, credentials: InterfaceClass) -> bool:
    """Whether the Portal would ask it about such credentials."""
    return any(map(credentials.isOrExtends, checker.credentialInterfaces))


def _example(factory: Any) -> str:
    """How one of its checkers is written in C{[auth]}."""
    if IConfigurableCheckerFactory.providedBy(factory):
        return f'kind = "{factory.authType}"'
    argument = "users" if IFileCheckerFactory.providedBy(factory) else "…"
    return f'"{factory.authType}:{argument}"'


def _insistent(name: str, later: str) -> str:
    """What a method does to clients that offer it without being able to use it."""
    return (
        f'"{name}" comes before "{later}": programs on libcurl (curl, git, PHP) that '
        "have a password offer both, cannot fall back, and fail; put "
        f'"{later}" first: clients that have a ticket only do not offer it'
    )


@final
class Entrance:
    """
    The reading of one configuration's C{[auth]}.

    @ivar capabilities: what the methods that are installed declare, by name.
    @ivar sources: the C{from} of each entry, once L{choices} has come to it.
    """

    def __init__(
        self,
        config: Config,
        compiler: Compiler,
        reactor: Any,
        routable: Collection[str],
        wrong: Callable[[str, str], None],
    ) -> None:
        """
        @param routable: the names of the listeners that other hosts can reach.
        @param wrong: told what is wrong: where, and what.
        """
        self._config = config
        self._auth = config.auth
        self._compiler = compiler
        self._reactor = reactor
        self._routable = routable
        self._wrong = wrong
        self._found, self._broken = findMethods()
        self.capabilities: dict[str, Capabilities] = {
            name: capabilitiesOf(method) for name, method in self._found.items()
        }
        self.sources: list[Addresses | None] = []
        self._built: dict[object, OfferedMethod | None] = {}

    # Methods.

    def choices(self) -> Iterator[Choice]:
        """
        What is offered to whom, in order.
        """
        self._settings()
        for i, choose in enumerate(self._auth.choose):
            path = f"auth.choose[{i}]"
            methods = []
            for n, name in enumerate(choose.methods):
                if name not in self._found:
                    self._wrong(f"{path}.methods[{n}]", self._unknownMethod(name))
                    continue
                method = self._method(name, choose.protection, path, n)
                if method is not None:
                    methods.append(method)
            sources = self._compiler.addresses(choose.from_, f"{path}.from")
            self.sources.append(sources)
            listeners = self._compiler.listeners(choose.listener, f"{path}.listener")
            if choose.protection is not None and not any(
                IProtectingMethod.providedBy(self._found.get(name))
                for name in choose.methods
            ):
                self._wrong(
                    f"{path}.protection", "no method of this entry has such levels"
                )
            yield Choice(
                methods, listeners, None if sources is None else sources.covers
            )

    def wrongNames(self, names: Sequence[str] | None) -> Iterator[str]:
        """
        Why some of these are no methods.
        """
        for name in names or ():
            if name not in self._found:
                yield self._unknownMethod(name)

    def _method(
        self, name: str, levels: tuple[str, ...] | None, entry: str, n: int
    ) -> OfferedMethod | None:
        """
        The method, as one entry wants it; built once for all that want the
        same.

        @param levels: the entry's C{protection}.
        @param entry: its place.
        """
        method = self._found[name]
        key = name, levels = self._key(name, levels)
        if key not in self._built:
            self._built[key] = None
            table = dict(self._auth.settings.get(name, {}))
            path = f"auth.{name}" if table else f"{entry}.methods[{n}]"
            if levels is not None:
                self._narrow(name, table, levels, f"{entry}.protection")
            settings = Settings(table, self._config.directory, bool(self._routable))
            codes = (method.code,)
            if IRenumbered.providedBy(method):
                codes += tuple(method.otherCodes)
            try:
                built = method.build(settings, self._reactor)
                inner = tuple(self._inside(built))
            except ValueError as e:
                self._wrong(path, f'"{name}": {e}')
            else:
                can = self.capabilities[name]
                self._built[key] = OfferedMethod(name, codes, built, inner, can)
        return self._built[key]

    def _key(
        self, name: str, levels: tuple[str, ...] | None
    ) -> tuple[str, tuple[str, ...] | None]:
        """What the method is built for; levels count where it has some."""
        protecting = IProtectingMethod.providedBy(self._found.get(name))
        return name, levels if protecting else None

    def _inside(self, built: Any) -> Iterator[OfferedMethod]:
        """
        The methods inside one that only protects.

        @raise ValueError: one cannot be there.
        """
        if not IWrapper.providedBy(built):
            return
        if not built.inner:
            raise ValueError("has no methods inside, and nobody could log in")
        for name in built.inner:
            method = self._found.get(name)
            if method is None:
                raise ValueError(self._unknownMethod(name))
            table = Settings(
                self._auth.settings.get(name, {}),
                self._config.directory,
                bool(self._routable),
            )
            found = method.build(table, self._reactor)
            can = self.capabilities[name]
            if (
                can.mayBeAnonymous
                or IVerifyingMethod.providedBy(method)
                or IWrapper.providedBy(found)
            ):
                raise ValueError(
                    f'"{name}" has no place inside it: a method there has to read '
                    "credentials that a checker decides about, and to declare that it "
                    "never lets anybody in without"
                )
            yield OfferedMethod(name, method.code, found, capabilities=can)

    def _asked(self, choose: Choose) -> Iterator[str]:
        """The methods that clients are asked for, also inside others."""
        for name in choose.methods:
            if name in self._found:
                yield name
            method = self._built.get(self._key(name, choose.protection))
            if method is not None:
                yield from (each.name for each in method.inner)

    def _shows(self, name: str, choose: Choose) -> bool:
        """
        Whether it has to be assumed that a method shows secrets to the wire;
        one that wraps others does if it does not hide them and they do.
        """
        if name not in self._found or not self.capabilities[name].showsSecrets:
            return False
        method = self._built.get(self._key(name, choose.protection))
        if method is None or not method.inner:
            return True
        return any(each.capabilities.showsSecrets for each in method.inner)

    @property
    def anonymous(self) -> frozenset[str]:
        """
        The names of the methods of which it has to be assumed that they log
        nobody in.
        """
        return frozenset(
            name for name, can in self.capabilities.items() if can.mayBeAnonymous
        )

    def _narrow(
        self, name: str, table: dict[str, Any], levels: tuple[str, ...], place: str
    ) -> None:
        """
        Of the levels that a method accepts, an entry wants only some.
        """
        accepted = table.get("protection", self._found[name].protection)
        if not isinstance(accepted, (list, tuple)):
            # The method says what is wrong.
            return
        wider = [level for level in levels if level not in accepted]
        if wider or not levels:
            known = ", ".join(f'"{each}"' for each in accepted)
            what = f'"{wider[0]}" is not among them' if wider else "it is empty"
            self._wrong(
                place, f'can only narrow what "{name}" accepts ({known}), and {what}'
            )
        else:
            table["protection"] = list(levels)

    def _settings(self) -> None:
        """
        A table that no method owns is a mistake.
        """
        for name in self._auth.settings:
            if name not in self._found:
                known = [*self._found, *(each.name for each in fields(AuthConfig))]
                why = f"unknown key, and no method of that name{nearest(name, known)}"
                self._wrong(f"auth.{name}", why)

    def _unknownMethod(self, name: str) -> str:
        for module, why in self._broken:
            if module.endswith(f"auth_{name}"):
                return f'"{name}": its plug-in {module} is broken: {why}'
        known = ", ".join(sorted(self._found))
        why = f'there is no method "{name}"; installed are: {known}'
        return why + nearest(name, self._found)

    def offers(self, choices: Sequence[Choice]) -> Offers:
        """
        Return who gets in.

        @param choices: all that L{choices} has yielded.
        """
        protecting = [
            name
            for name, method in self._found.items()
            if IProtectingMethod.providedBy(method)
        ]
        secured = self._secured()
        return Offers(self._config, choices, self.sources, secured, protecting)

    # Checkers.

    def checkers(self) -> Iterator[ICredentialsChecker]:
        """
        Who decides about credentials, in the order in which they are asked.
        """
        auth = self._auth
        if not auth.checkers and not auth.checker:
            return
        factories, _ = findCheckers()
        for i, text in enumerate(auth.checkers):
            kind, _, argument = text.partition(":")
            path = f"auth.checkers[{i}]"
            if kind not in factories:
                self._wrong(path, self._unknownChecker(kind, factories))
            else:
                yield from self._ofString(factories[kind], argument, path)
        names: set[str] = set()
        for i, table in enumerate(auth.checker):
            path = f"auth.checker[{i}]"
            name = table.name or table.kind
            if name in names:
                self._wrong(f"{path}.name", f'"{name}" is another checker\'s name, too')
            names.add(name)
            if table.kind not in factories:
                unknown = self._unknownChecker(table.kind, factories)
                self._wrong(f"{path}.kind", unknown)
            else:
                yield from self._ofTable(factories[table.kind], table, name, path)

    def _ofString(
        self, factory: Any, argument: str, path: str
    ) -> Iterator[ICredentialsChecker]:
        if argument and not Path(argument).is_absolute():
            # As everything that is read: beside the file that names it.
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
            # A checker's factory raises whatever its argument makes it.
            why = str(e) or "its argument is wrong"
            self._wrong(path, f"cannot be used: {why}")

    def _ofTable(
        self, factory: Any, table: Checker, name: str, path: str
    ) -> Iterator[ICredentialsChecker]:
        mistakes: list[tuple[str, str]] = []
        settings = Settings(
            table.options,
            self._config.directory,
            bool(self._routable),
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

    def _unknownChecker(self, kind: str, factories: Mapping[str, Any]) -> str:
        known = ", ".join(sorted(factories))
        text = f'there is no checker "{kind}"; installed are: {known}'
        text += nearest(kind, factories)
        for module, why in (*findCheckers()[1], *brokenPlugins()):
            text += f"; the plug-in {module} is broken: {why}"
        return text

    def identities(
        self, checkers: Sequence[ICredentialsChecker]
    ) -> Iterator[ICredentialsChecker]:
        """
        Who says yes to what a method has verified, where one is offered that
        does.

        @param checkers: among them, the directories that know users' names.
        """
        realms = self._auth.strip_realms
        for i, realm in enumerate(realms):
            if not realm or "@" in realm or not realm.isprintable():
                self._wrong(
                    f"auth.strip_realms[{i}]",
                    'must be a realm such as "CORP.EXAMPLE", in its own case',
                )
        if any(
            IVerifyingMethod.providedBy(self._found.get(name))
            for choose in self._auth.choose
            for name in choose.methods
        ):
            stores = [each for each in checkers if INamingStore.providedBy(each)]
            names = None
            if stores:
                names = CanonicalNames(stores, self._auth.cache, self._reactor.seconds)
            exact = self._auth.kerberos_names == "exact"
            yield VerifiedIdentities(realms, exact, names)

    # What the methods need and show.

    def passwords(self, checkers: Sequence[ICredentialsChecker]) -> None:
        """
        Whether credentials are asked for only where some checker takes them,
        and secrets cross the wire only where nobody listens.

        @param checkers: those that work.
        """
        auth = self._auth
        broken = len(checkers) < len(auth.checkers) + len(auth.checker)
        for i, choose in enumerate(auth.choose):
            for name in dict.fromkeys(self._asked(choose)):
                if not broken and not self._isChecked(name, checkers):
                    self._wrong(
                        f"auth.choose[{i}].methods",
                        f'"{name}" is offered, and there is no checker for it; name '
                        f"one in [auth] checkers{self._checkersFor(name)}",
                    )
            shown = [name for name in choose.methods if self._shows(name, choose)]
            if shown and not choose.cleartext_passwords:
                self._cleartext(i, choose, shown)

    def _isChecked(self, name: str, checkers: Sequence[ICredentialsChecker]) -> bool:
        """Whether some checker takes a method's credentials, if one has to."""
        can = self.capabilities[name]
        if not can.needsChecker:
            return True
        if can.credentials is None:
            return bool(checkers)
        return any(
            _takes(checker, kind) for checker in checkers for kind in can.credentials
        )

    def _checkersFor(self, name: str) -> str:
        """Which of the installed checkers take a method's credentials."""
        kinds = self.capabilities[name].credentials
        if kinds is None:
            return " (the method does not declare which credentials it has)"
        able = sorted(
            _example(factory)
            for factory in findCheckers()[0].values()
            if any(
                kind.isOrExtends(wanted)
                for kind in factory.credentialInterfaces
                for wanted in kinds
            )
        )
        return f"; installed for it are: {', '.join(able) or 'none'}"

    def orders(self) -> Iterator[tuple[str, str]]:
        """
        Yield what an order of methods does to clients that offer several of
        them: places, each with a text.
        """
        for i, choose in enumerate(self._auth.choose):
            path = f"auth.choose[{i}].methods"
            names = [name for name in choose.methods if name in self._found]
            free = [n for n in names if not self.capabilities[n].mayBeSomebody]
            asking = [
                name
                for name in names
                if name not in free and not self.capabilities[name].certificate
            ]
            if free and asking:
                yield path, self._optional(names, free[0], asking[0])
            listeners = choose.listener or [each.name for each in self._config.listen]
            if set(listeners) <= set(self._secured()):
                continue
            for name in names:
                if self.capabilities[name].protects:
                    for later in names[names.index(name) + 1 :]:
                        if self.capabilities[later].credentials:
                            yield path, _insistent(name, later)

    def _optional(self, names: Sequence[str], free: str, asking: str) -> str:
        """What a login that is optional comes to, in either order."""
        if names.index(free) < names.index(asking):
            does = (
                f'"{free}" comes before "{asking}": clients that offer both are '
                "anonymous, also those that have a password"
            )
        else:
            does = (
                f'"{asking}" comes before "{free}": clients that always offer both '
                "(Java, tsocks, Dante's) have to log in, and fail without a password"
            )
        return f"{does}; two listeners, one for each, leave the choice to the client"

    def certificates(self) -> None:
        """
        Whether client certificates are wanted only where they can be shown.
        """
        showing = {
            listen.name
            for listen in self._config.listen
            if listen.tls is not None and listen.tls.client_certificate != "off"
        }
        for i, choose in enumerate(self._auth.choose):
            wanting = [
                name
                for name in choose.methods
                if name in self._found and self.capabilities[name].certificate
            ]
            without = [f'"{x}"' for x in choose.listener or () if x not in showing]
            for method in wanting:
                for name in without or ([] if showing else ["every listener"]):
                    self._wrong(
                        f"auth.choose[{i}].methods",
                        f'"{method}" wants listeners that ask for a certificate: '
                        "[listen.tls] with client_ca and client_certificate = "
                        f'"required" (or "optional"); missing on: {name}',
                    )

    def _secured(self) -> Collection[str]:
        """The listeners on which everything is inside TLS."""
        return {
            each.name
            for each in self._config.listen
            if each.tls is not None or (each.endpoint and isSecured(each.endpoint))
        }

    def _cleartext(self, i: int, choose: Choose, shown: Sequence[str]) -> None:
        secured = self._secured()
        words = " and ".join(f'"{name}"' for name in shown)
        declared = all(self.capabilities[name].cleartext for name in shown)
        for name in sorted(self._routable):
            if name not in secured and (
                choose.listener is None or name in choose.listener
            ):
                place, accept = f"auth.choose[{i}]", "cleartext_passwords = true"
                if not self._config.file:
                    place, accept = "--auth", "--cleartext-passwords"
                self._wrong(
                    place,
                    f"{words} would send passwords in the clear"
                    + ("" if declared else ", as far as is declared,")
                    + f' to "{name}", which other hosts can reach; say {accept} to '
                    "accept that, give the listener TLS, or listen on 127.0.0.1",
                )
