"""
The methods that C{[auth]} offers: from names and tables to what is built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, final

from attrs import fields

from socksgw.config.convert import nearest
from socksgw.config.schema import AuthConfig, Choose, Config
from socksgw.gateway.examining.problems import Problems
from socksgw.interfaces import (
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

__all__ = ["Methods"]


@final
class Methods:
    """
    The methods of one configuration.

    @ivar capabilities: what the methods that are installed declare, by name.
    @ivar sources: the C{from} of each C{[[auth.choose]]}, once L{choices} has
        come to it.
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

    def choices(self) -> Iterator[Choice]:
        """
        Yield what is offered to whom, in order.
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
                methods, listeners, None if sources is None else sources.covers
            )

    def _settings(self) -> None:
        """Tell of tables that no method owns."""
        for name in self._auth.settings:
            if name not in self._found:
                known = [*self._found, *(each.name for each in fields(AuthConfig))]
                why = f"unknown key, and no method of that name{nearest(name, known)}"
                self._wrong(f"auth.{name}", why)

    def _method(
        self, name: str, levels: tuple[str, ...] | None, entry: str, n: int
    ) -> OfferedMethod | None:
        """
        Return the method, as one entry wants it; built once for all entries
        that want the same.

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
            codes = (method.code,)
            if IRenumbered.providedBy(method):
                codes += tuple(method.otherCodes)
            try:
                built = method.build(self._settingsOf(table), self._reactor)
                inner = tuple(self._inside(built))
            except ValueError as e:
                self._wrong(path, f'"{name}": {e}')
            else:
                can = self.capabilities[name]
                self._built[key] = OfferedMethod(name, codes, built, inner, can)
        return self._built[key]

    def _settingsOf(self, table: Any) -> Settings:
        return Settings(table, self._config.directory, bool(self._reachable))

    def _key(
        self, name: str, levels: tuple[str, ...] | None
    ) -> tuple[str, tuple[str, ...] | None]:
        """
        Return what the method is built for; levels count where it has some.
        """
        return name, levels if self.protecting([name]) else None

    def _narrow(
        self, name: str, table: dict[str, Any], levels: tuple[str, ...], place: str
    ) -> None:
        """
        Leave only those levels of a method that an entry wants.
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

    def _inside(self, built: Any) -> Iterator[OfferedMethod]:
        """
        Yield the methods inside one that only protects.

        @raise ValueError: one cannot be there.
        """
        if not IWrapper.providedBy(built):
            return
        if not built.inner:
            raise ValueError("has no methods inside, and nobody could log in")
        for name in built.inner:
            method = self._found.get(name)
            if method is None:
                raise ValueError(self._unknown(name))
            table = self._settingsOf(self._auth.settings.get(name, {}))
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

    def _unknown(self, name: str) -> str:
        for module, why in self._broken:
            if module.endswith(f"auth_{name}"):
                return f'"{name}": its plug-in {module} is broken: {why}'
        known = ", ".join(sorted(self._found))
        why = f'there is no method "{name}"; installed are: {known}'
        return why + nearest(name, self._found)

    # Questions.

    def wrongNames(self, names: Sequence[str] | None) -> Iterator[str]:
        """
        Yield why some of these are no methods.
        """
        for name in names or ():
            if name not in self._found:
                yield self._unknown(name)

    def known(self, names: Sequence[str]) -> list[str]:
        """Return those of the names that are methods."""
        return [name for name in names if name in self._found]

    def protecting(self, names: Sequence[str] | None = None) -> list[str]:
        """
        Return the methods that may protect what follows them.

        @param names: only of these; by default of all.
        """
        return [
            name
            for name in (self._found if names is None else names)
            if IProtectingMethod.providedBy(self._found.get(name))
        ]

    def verifying(self, names: Sequence[str]) -> bool:
        """Tell whether one of these verifies by itself who the client is."""
        return any(IVerifyingMethod.providedBy(self._found.get(name)) for name in names)

    def asked(self, choose: Choose) -> Iterator[str]:
        """Yield the methods that an entry asks clients for, also inside others."""
        for name in choose.methods:
            if name in self._found:
                yield name
            method = self._built.get(self._key(name, choose.protection))
            if method is not None:
                yield from (each.name for each in method.inner)

    def shows(self, name: str, choose: Choose) -> bool:
        """
        Tell whether it has to be assumed that a method shows secrets to the
        wire; one that wraps others does if it does not hide them and they do.
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
