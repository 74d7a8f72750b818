"""
The authentication methods of C{[auth]}, built from their names and tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, final

from attrs import fields

from socksgw.config.problems import nearest
from socksgw.config.schema import AuthConfig, Choose, Config
from socksgw.gateway.examining.problems import Problems
from socksgw.interfaces import (
    IAnswering,
    IProtectingMethod,
    IRenumbered,
    IVerifyingMethod,
    IWrapper,
    Settings,
)
from socksgw.negotiate.capabilities import Capabilities, capabilitiesOf
from socksgw.negotiate.discovery import findMethods
from socksgw.negotiate.methods import Choice, OfferedMethod
from socksgw.policy.conditions import Addresses
from socksgw.policy.document import Compiler
from socksgw.wire.codes import Method

__all__ = ["Methods"]

#: What other proxies, and HTTP, call the methods.
_ALSO: Final = {
    "basic": "userpass",
    "password": "userpass",
    "username": "userpass",
    "bearer": "token",
    "jwt": "token",
    "oidc": "token",
    "kerberos": "gssapi",
    "negotiate": "gssapi",
    "spnego": "gssapi",
    "anonymous": "none",
    "mtls": "certificate",
}


@final
class Methods:
    """
    The methods of one configuration.

    @ivar capabilities: what each installed method declares, by its name.
    @ivar sources: the C{from} of each C{[[auth.choose]]} that L{choices} has
        yielded.
    """

    def __init__(
        self,
        config: Config,
        compiler: Compiler,
        reactor: Any,
        reachable: Collection[str],
        problems: Problems,
    ) -> None:
        """
        @param reachable: the names of the listeners that other hosts can reach.
        """
        self._config = config
        self._auth = config.auth
        self._compiler = compiler
        self._reactor = reactor
        self._reachable = reachable
        self._wrong = problems.wrong
        self._found, self._broken = findMethods()
        self.capabilities: dict[str, Capabilities] = {
            name: capabilitiesOf(method) for name, method in self._found.items()
        }
        self.sources: list[Addresses | None] = []
        self._built: dict[object, OfferedMethod | None] = {}

    # Building.

    def choices(self) -> Iterator[Choice[OfferedMethod]]:
        """
        Yield the methods of each C{[[auth.choose]]}, in the order of the file.
        """
        self._settings()
        for i, choose in enumerate(self._auth.choose):
            path = f"auth.choose[{i}]"
            methods = []
            for n, name in enumerate(choose.methods):
                if name not in self._found:
                    self._wrong(f"{path}.methods[{n}]", self._unknown(name))
                    continue
                method = self._method(name, choose.protection, path, n)
                if method is not None:
                    methods.append(method)
            sources = self._compiler.addresses(choose.from_, f"{path}.from")
            self.sources.append(sources)
            listeners = self._compiler.listeners(choose.listener, f"{path}.listener")
            if choose.protection is not None and not self.protecting(choose.methods):
                self._wrong(
                    f"{path}.protection", "no method of this entry has such levels"
                )
            yield Choice(
                methods,
                listeners,
                None if sources is None else sources.covers,
                sources is not None and sources.moves,
            )

    def _settings(self) -> None:
        """Report tables of C{[auth]} that belong to no method."""
        for name in self._auth.settings:
            if name not in self._found:
                known = [*self._found, *(each.name for each in fields(AuthConfig))]
                why = f"unknown key, and no method of that name{nearest(name, known)}"
                self._wrong(f"auth.{name}", why)

    def _method(
        self, name: str, levels: tuple[str, ...] | None, entry: str, n: int
    ) -> OfferedMethod | None:
        """
        Return the method as one entry wants it.

        It is built once for all entries that want the same levels.

        @param levels: the entry's C{protection}.
        @param entry: the entry's TOML path.
        @param n: the index of the method in the entry.
        @return: L{None} when it cannot be built, which is reported.
        """
        method = self._found[name]
        key = name, levels = self._key(name, levels)
        if key not in self._built:
            self._built[key] = None
            table = dict(self._auth.settings.get(name, {}))
            path = f"auth.{name}" if table else f"{entry}.methods[{n}]"
            if levels is not None:
                self._narrow(name, table, levels, f"{entry}.protection")
            codes = () if method.code is None else (method.code,)
            if IRenumbered.providedBy(method):
                codes += tuple(method.otherCodes)
            try:
                built = method.build(self._settingsOf(table), self._reactor)
                inner = tuple(self._inside(built))
            except ValueError as e:
                self._wrong(path, f'"{name}": {e}')
            else:
                can = self.capabilities[name]
                if can.challenge and not IAnswering.providedBy(built):
                    self._wrong(
                        path,
                        f'"{name}": its plug-in declares `challenge`, and what it builds '
                        "is no IAnswering",
                    )
                self._built[key] = OfferedMethod(name, codes, built, inner, can)
        return self._built[key]

    def _settingsOf(self, table: Any) -> Settings:
        return Settings(table, self._config.directory, bool(self._reachable))

    def _key(
        self, name: str, levels: tuple[str, ...] | None
    ) -> tuple[str, tuple[str, ...] | None]:
        """
        Return the key of a built method; levels count if the method has some.
        """
        return name, levels if self.protecting([name]) else None

    def _narrow(
        self, name: str, table: dict[str, Any], levels: tuple[str, ...], place: str
    ) -> None:
        """
        Restrict a method's table to the levels that an entry wants.
        """
        accepted = table.get("protection", self._found[name].protection)
        if not isinstance(accepted, (list, tuple)):
            # The method itself reports a table of that kind.
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

    def _inside(self, built: Any) -> Iterator[OfferedMethod]:
        """
        Yield the methods inside a method that only protects.

        @raise ValueError: one of them cannot be used there.
        """
        if not IWrapper.providedBy(built):
            return
        if not built.inner:
            raise ValueError("has no methods inside: no user could log in")
        for name in built.inner:
            method = self._found.get(name)
            if method is None:
                raise ValueError(self._unknown(name))
            table = self._settingsOf(self._auth.settings.get(name, {}))
            found = method.build(table, self._reactor)
            can = self.capabilities[name]
            if (
                method.code is None
                or can.mayBeAnonymous
                or IVerifyingMethod.providedBy(method)
                or IWrapper.providedBy(found)
            ):
                raise ValueError(
                    f'"{name}" cannot be used inside it: a method there has to read '
                    "credentials that a checker decides about, and to declare that it "
                    "never lets a client in without a login"
                )
            yield OfferedMethod(name, method.code, found, capabilities=can)

    def _unknown(self, name: str) -> str:
        for module, why in self._broken:
            if module.endswith(f"auth_{name}"):
                return f'"{name}": its plug-in {module} is broken: {why}'
        known = ", ".join(sorted(self._found))
        why = f'there is no method "{name}"; installed are: {known}'
        meant = _ALSO.get(name.casefold())
        if meant in self._found:
            return f'{why}; it is called "{meant}" here'
        return why + nearest(name, self._found)

    # Questions.

    def wrongNames(self, names: Sequence[str] | None) -> Iterator[str]:
        """
        Yield an error for each of these names that is not a method.
        """
        for name in names or ():
            if name not in self._found:
                yield self._unknown(name)

    def known(self, names: Sequence[str]) -> list[str]:
        """Return those of the names that are installed methods."""
        return [name for name in names if name in self._found]

    def protecting(self, names: Sequence[str] | None = None) -> list[str]:
        """
        Return the methods that can protect the session after the login.

        @param names: the methods to look at; by default all.
        """
        return [
            name
            for name in (self._found if names is None else names)
            if IProtectingMethod.providedBy(self._found.get(name))
        ]

    def unnumbered(self, names: Sequence[str]) -> list[str]:
        """Return those of the names whose methods SOCKS has no number for."""
        return [n for n in names if n in self._found and self._found[n].code is None]

    def unchallenging(self, names: Sequence[str]) -> list[str]:
        """Return those of the names whose methods cannot be used in HTTP."""
        return [
            name
            for name in names
            if name in self._found
            and not self.capabilities[name].challenge
            and self._found[name].code != Method.NO_AUTHENTICATION
        ]

    def wrapping(self, names: Sequence[str]) -> list[str]:
        """Return those of the names whose methods have others inside."""
        return [
            name
            for name in names
            if (method := self._built.get(self._key(name, None))) and method.inner
        ]

    def verifying(self, names: Sequence[str]) -> bool:
        """Tell whether one of these methods verifies by itself who the user is."""
        return any(IVerifyingMethod.providedBy(self._found.get(name)) for name in names)

    def asked(self, choose: Choose) -> Iterator[str]:
        """Yield the methods of an entry, and those inside of them."""
        for name in choose.methods:
            if name in self._found:
                yield name
            method = self._built.get(self._key(name, choose.protection))
            if method is not None:
                yield from (each.name for each in method.inner)

    def shows(self, name: str, choose: Choose) -> bool:
        """
        Tell whether a method must be assumed to show secrets to the network.

        A method that wraps others does so unless it hides what they send.
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
        The methods that must be assumed to let clients in without a login.
        """
        return frozenset(
            name for name, can in self.capabilities.items() if can.mayBeAnonymous
        )
